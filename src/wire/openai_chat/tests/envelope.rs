//! What stands around the words of an answer: ids, words, numbers and keys, judged unless they are the API's own.

use serde_json::{Value as Json, json};

use super::{run, stream, texts_of};
use crate::wire::testing::encoded;
use crate::wire::{Framing, WireError};

/// The texts of each event of a stream of these chunks, less the end mark.
fn judged(chunks: &[Json]) -> Vec<Vec<String>> {
    let (_, events, error) = run(Framing::Sse, &[stream(chunks).as_bytes()]);
    assert_eq!(error, None);
    events.iter().take(chunks.len()).map(texts_of).collect()
}

fn said(delta: Json) -> Json {
    json!({"choices": [{"delta": delta, "index": 0}]})
}

#[test]
fn what_the_api_itself_says_is_no_text() {
    let filters =
        json!({"hate": {"filtered": false, "severity": "safe"}, "jailbreak": {"detected": false, "filtered": false}});
    let chunk = json!({
        "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT", "object": "chat.completion.chunk", "created": 1741569952,
        "service_tier": "default", "system_fingerprint": "fp_44709d6fcb", "obfuscation": "Lw3uPqsVHK",
        "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": filters}],
        "choices": [{"index": 0, "finish_reason": "tool_calls", "content_filter_results": filters,
            "delta": {"role": "assistant", "tool_calls": [{"index": 0, "id": "call_abc", "type": "function"}],
                "reasoning_details": [{"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0, "id": "rs_1"}],
                "annotations": [{"type": "url_citation", "url_citation": {"start_index": 1, "end_index": 5}}]}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "cost": 0.00012, "prompt_tokens_details": {"cached_tokens": 0}},
    });
    assert_eq!(judged(&[chunk]), [Vec::<String>::new()]);
}

#[test]
fn what_could_be_a_text_is_judged() {
    let secret = "sk-proj-abcdefghijklmnop";
    for (chunk, expected) in [
        (json!({"id": secret}), &["0 word 0 !sk-proj-abcdefghijklmnop"][..]),
        (json!({"model": "m"}), &["0 word 0 !m"]),
        (json!({"system_fingerprint": "bob@example.com"}), &["0 word 0 !bob@example.com"]),
        (json!({"created": 4111111111111111u64}), &["0 other 0 !4111111111111111"]),
        (json!({"usage": {"total_tokens": 1, "a-b": "x"}}), &["0 other 0 !a-b", "0 other 1 x"]),
        (json!({"usage": {"total_tokens": 4111111111111111u64}}), &["0 other 0 !4111111111111111"]),
        (json!({"prompt_filter_results": [{"content_filter_results": {"hate": {"severity": "x"}}}]}), &["0 word 0 !x"]),
        (json!({"error": {"type": "x", "code": "y"}}), &["0 word 0 !x", "0 word 1 !y"]),
        (json!({"choices": [{"index": 0, "finish_reason": "x"}]}), &["0 word 0 !x"]),
        (json!({"choices": [{"index": 0, "stop_reason": 5}]}), &["0 other 0 !5"]),
        (json!({"new-member": 5}), &["0 other 0 !new-member", "0 other 1 !5"]),
        (said(json!({"role": "x"})), &["0 word 0 !x"]),
        (
            said(json!({"tool_calls": [{"id": "functions.send:0", "type": "x"}]})),
            &["0 word 0 !functions.send:0", "0 word 1 !x"],
        ),
        (
            said(json!({"tool_calls": [{"function": {"arguments": {"id": secret, "n": 4111, "type": "t"}}}]})),
            &[
                "0 tool_arguments 0 !id",
                "0 tool_arguments 1 sk-proj-abcdefghijklmnop",
                "0 tool_arguments 2 !n",
                "0 tool_arguments 3 !4111",
                "0 tool_arguments 4 !type",
                "0 tool_arguments 5 t",
            ],
        ),
        (
            said(json!({"reasoning_details": [{"id": secret, "format": "f", "n": 4111}]})),
            &["0 word 0 !sk-proj-abcdefghijklmnop", "0 word 1 !f", "0 other 0 !n", "0 other 1 !4111"],
        ),
        (
            said(json!({"annotations": [{"type": "url_citation", "url_citation": {"id": secret}}]})),
            &["0 other 0 !id", "0 other 1 sk-proj-abcdefghijklmnop"],
        ),
    ] {
        assert_eq!(judged(std::slice::from_ref(&chunk)), [expected], "{chunk}");
    }
}

#[test]
fn what_every_chunk_repeats_is_judged_once() {
    let chunk = |model: &str, left: u32| json!({"model": model, "choices": [], "left": left});
    let long = "m".repeat(200);
    let texts =
        judged(&[chunk("a", 7), chunk("a", 7), chunk("b", 71), chunk("a", 71), chunk(&long, 71), chunk(&long, 71)]);
    assert_eq!(texts[0], ["0 word 0 !a", "0 other 0 !left", "0 other 1 !7"]);
    assert_eq!(texts[1], ["0 word 0 !", "0 other 0 !", "0 other 1 !"]);
    // One number is not the start of the next.
    assert_eq!(texts[2], ["0 word 0 !\nb", "0 other 0 !", "0 other 1 !\n71"]);
    assert_eq!(texts[3], ["0 word 0 !\na", "0 other 0 !", "0 other 1 !"]);
    // Too long for a word, and for remembering.
    assert_eq!(texts[4][0], format!("0 other 2 !{long}"));
    assert_eq!(texts[5][0], format!("0 other 2 !\n{long}"));
}

#[test]
fn a_text_in_several_parts_is_one_text() {
    let part = |text: &str| json!({"type": "text", "text": text});
    let chunks = [
        said(json!({"content": "pro"})),
        said(json!({"content": [part("ject blue"), {"type": "text", "refusal": "no", "text": "bi", "x": "y"}]})),
        said(json!({"content": "rd", "reasoning_details": [{"text": "hm"}, {"text": "m"}]})),
    ];
    let expected = [
        &["0 content 0 pro"][..],
        &[
            "0 content 0 ject blue",
            "0 refusal 0 no",
            "0 content 0 bi",
            "0 other 0 !x",
            "0 other 1 y",
            "0 content 1 !\nproject blue\nbi",
        ],
        &["0 content 0 rd", "0 reasoning 0 hm", "0 reasoning 0 m", "0 content 1 !rd", "0 reasoning 1 !\nhm\nm"],
    ];
    assert_eq!(judged(&chunks), expected);
    // A transcript between them is another text.
    let chunks = [
        said(json!({"audio": {"transcript": "spoken"}, "content": "blue"})),
        said(json!({"audio": {"transcript": "word"}, "content": "bird"})),
    ];
    assert_eq!(judged(&chunks)[1], ["0 content 0 word", "0 content 1 bird"]);
}

/// A reader may show each, or join them: both are judged, and what is masked in one is masked in the other.
#[test]
fn what_no_table_names_is_judged_by_itself_and_joined() {
    let note = |text: &str| json!({"choices": [{"index": 0, "delta": {}}], "note": {"all": [text, "!"]}});
    let read = || run(Framing::Sse, &[stream(&[note("a sword"), note("fish b")]).as_bytes()]);
    let (codec, events, _) = read();
    let texts: Vec<_> = events[..2].iter().map(texts_of).collect();
    let keys = "0 other 0 !note, 0 other 1 !all";
    assert_eq!(texts[0].join(", "), format!("{keys}, 0 other 2 a sword, 0 other 2 \n!, 0 other 3 !a sword!"));
    let again = "0 other 0 !, 0 other 1 !";
    assert_eq!(
        texts[1].join(", "),
        format!("{again}, 0 other 2 \nfish b, 0 other 2 , 0 other 3 !fish b, 0 other 3 !!")
    );
    let (word, joined) = (Some("a [W]"), Some("a [W]!"));
    assert!(encoded(&*codec, &events[0], &[None, None, word, None, None]).is_ok());
    assert!(
        encoded(&*codec, &events[0], &[None, None, word, None, joined]).unwrap().contains(r#"{"all":["a [W]","!"]}"#)
    );
    let lines = [None, None, Some("\n[W]"), None, Some("[W]")];
    assert!(encoded(&*codec, &events[1], &lines).unwrap().contains(r#"{"all":["[W]","!"]}"#));
    // Only joined is it a finding: that can't be masked.
    let (codec, events, _) = read();
    let error = encoded(&*codec, &events[1], &[None, None, None, None, Some("[W]")]);
    assert!(matches!(error, Err(WireError::NotEditable { .. })));
}

#[test]
fn what_may_be_token_ids_is_refused() {
    let refused = |chunk: Json| {
        let (_, events, error) = run(Framing::Sse, &[stream(std::slice::from_ref(&chunk)).as_bytes()]);
        matches!(error, Some(WireError::Unsupported { .. })) && events.is_empty()
    };
    let ids: Vec<u32> = (0..17).map(|id| 90_000 + id).collect();
    assert!(refused(json!({"ids": ids})));
    assert!(refused(said(json!({"content": "hi", "ids": [{"of": [ids]}]}))));
    assert!(refused(
        json!({"choices": [{"index": 0, "delta": {}, "bytes": "bob@example.com 12".bytes().collect::<Vec<_>>()}]})
    ));
    assert!(refused(json!({"choices": [], "odd": [1.5, ids[0], "a", ids]})));
    // A few numbers, and others, are judged as any text is.
    assert!(!refused(json!({"ids": ids[1..]})));
    assert!(!refused(json!({"scores": ids.iter().map(|id| f64::from(*id) / 7.0).collect::<Vec<_>>()})));
    assert!(!refused(json!({"rows": ids.iter().map(|id| json!([id])).collect::<Vec<_>>()})));
    assert!(!refused(said(json!({"tool_calls": [{"function": {"arguments": {"rows": ids}}}]}))));
}

/// Some servers say the same in every chunk: it is judged once, and leaves as it left first.
#[test]
fn what_is_told_again_leaves_as_it_left() {
    let note = |text: &str| json!({"choices": [{"index": 0, "delta": {}}], "note": text});
    let long = |word: &str| format!("a long {word} ").repeat(20);
    let (first, other) = (note(&long("bluebird")), note("other"));
    let (codec, events, _) = run(Framing::Sse, &[stream(&[first.clone(), other, first]).as_bytes()]);
    let texts: Vec<_> = events[..3].iter().map(|event| event.texts[1].text.clone()).collect();
    assert_eq!(texts, [long("bluebird"), "\nother".into(), String::new()]);
    let masked = long("[W]");
    assert!(encoded(&*codec, &events[0], &[None, Some(&masked)]).unwrap().contains(&masked));
    assert!(encoded(&*codec, &events[1], &[]).unwrap().contains("other"));
    assert!(encoded(&*codec, &events[2], &[]).unwrap().contains(&masked));
}
