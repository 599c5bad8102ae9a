//! Streams: channels, ends, any chunks, any edits.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::{CHAT, GENERATE, done, lines, said};
use crate::wire::testing::{MAX, an_edit_is_what_is_read, chunks_make_no_difference, encoded, ends, run, texts_of};
use crate::wire::{Framing, WireError};

const LINES: Framing = Framing::Ndjson;

/// The texts of each event that are not the model's name, and whether it is a last one.
fn shown(stream: &str) -> Vec<(Vec<String>, bool)> {
    let (_, events, error) = run(&CHAT, LINES, &[stream.as_bytes()]);
    assert_eq!(error, None);
    let texts = |event| texts_of(event).into_iter().filter(|text| !text.starts_with("0 word 0")).collect();
    events.iter().map(|event| (texts(event), event.last)).collect()
}

#[test]
fn a_stream_is_lines_in_order() {
    let stream = lines(&[
        said(json!({"role": "assistant", "content": "", "thinking": "hm"})),
        said(json!({"role": "assistant", "content": "Hel"})),
        said(json!({"role": "assistant", "content": "lo"})),
        done(),
    ]);
    let expected = [
        (vec!["0 reasoning 0 hm".to_owned()], false),
        (vec!["0 content 0 Hel".to_owned()], false),
        (vec!["0 content 0 lo".to_owned()], false),
        (vec![], true),
    ];
    assert_eq!(shown(&stream), expected);
}

#[test]
fn calls_wait_for_the_end_and_stand_each_for_itself() {
    let call = |name: &str, city: &str| {
        said(
            json!({"role": "assistant", "content": "", "tool_calls": [{"function": {"name": name, "arguments": {"city": city}}}]}),
        )
    };
    let stream =
        lines(&[call("get", "blue"), call("get", "bird"), said(json!({"content": "a", "tool_calls": []})), done()]);
    let sorted: Vec<_> = shown(&stream)
        .into_iter()
        .map(|(mut texts, last)| {
            texts.sort();
            (texts, last)
        })
        .collect();
    let of = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    // `bluebird` is what nobody says: the second call is not a piece of the first.
    let expected = [
        (of(&["0 name 0 !get", "0 tool_arguments 0 !city", "0 tool_arguments 1 blue"]), true),
        (of(&["0 name 0 !", "0 tool_arguments 0 !", "0 tool_arguments 1 \nbird"]), true),
        (of(&["0 content 0 a"]), false),
        (of(&[]), true),
    ];
    assert_eq!(sorted, expected);
    let generate = json!({"tool_calls": [{"function": {"name": "f", "arguments": {}}}], "done": false});
    let (_, events, _) = run(&GENERATE, LINES, &[lines(&[generate, done()]).as_bytes()]);
    assert!(events[0].last);
}

#[test]
fn a_stream_ends_once_and_only_when_complete() {
    let text = said(json!({"content": "a"}));
    let all = lines(&[text.clone(), done()]);
    let ends = |stream: &str| ends(&CHAT, LINES, stream);
    assert_eq!(ends(&all), (2, false, None));
    assert_eq!(ends(all.trim_end()), (2, false, None));
    assert_eq!(ends(&all.replace('\n', "\r\n\n")), (2, false, None));
    // Behind the end nothing is read, not even rubbish.
    assert_eq!(ends(&format!("{all}{text}\n\0")), (2, false, None));
    assert_eq!(ends(&format!("{text}\n{{\"error\":\"m\"}}\n{text}\n")), (2, false, None));
    assert_eq!(ends(&format!("{text}\n")), (1, false, Some(WireError::Truncated)));
    assert_eq!(ends(&format!("{text}\n{{\"done\":tr")), (1, false, Some(WireError::Truncated)));
    assert_eq!(ends(""), (0, false, Some(WireError::Truncated)));
    for line in [
        "a",
        "[]",
        "\"a\"",
        "{\"a\":1} {}",
        "{\"a\":1}{\"b\":2}",
        "{\"done\":true,\"done\":false}",
        "{\"Done\":true}",
        "data: {}",
        "{\"image\":\"aGk=\"}",
    ] {
        let (events, _, error) = ends(&format!("{text}\n{line}\n{all}"));
        assert!(events == 1 && error.is_some(), "{line}");
    }
    // Only what is written so is the end.
    assert_eq!(ends(&format!("{}\n", json!({"done": "true"}))).2, Some(WireError::Truncated));
}

#[test]
fn another_framing_than_lines_is_refused() {
    let line = said(json!({"content": "a"}));
    let (_, events, error) = run(&CHAT, Framing::Sse, &[format!("data: {line}\n\n").as_bytes()]);
    assert!(events.is_empty() && matches!(error, Some(WireError::Shape { .. })));
}

#[test]
fn lines_are_bounded_and_leave_as_one() {
    let long = said(json!({"content": "a".repeat(MAX)}));
    assert_eq!(ends(&CHAT, LINES, &lines(&[long])).2, Some(WireError::TooLarge { limit: MAX }));
    let odd = "{ \"message\" : {\t\"content\":\"a\u{2028}b\u{85}\" } }\n".to_owned() + &lines(&[done()]);
    let (codec, events, _) = run(&CHAT, LINES, &[odd.as_bytes()]);
    assert_eq!(encoded(&*codec, &events[0], &[]).unwrap(), "{\"message\":{\"content\":\"a\\u2028b\\u0085\"}}\n");
}

fn any_message() -> impl Strategy<Value = Json> {
    let text = "[a-z é\u{2028}\"\\\\]{1,6}";
    prop_oneof![
        6 => text.prop_map(|text| json!({"role": "assistant", "content": text})),
        2 => text.prop_map(|text| json!({"content": "", "thinking": text, "x": {"y z": [text]}})),
        1 => (0u32..3, text).prop_map(|(index, text)| json!({"tool_calls": [{"function": {"index": index, "name": "f", "arguments": {"a": text}}}]})),
        1 => text.prop_map(|text| json!({"tool_calls": [{"function": {"arguments": text}}]})),
    ]
}

fn any_line() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => any_message().prop_map(|message| said(message).to_string()),
        1 => Just(done().to_string()),
        1 => Just(json!({"error": "m m"}).to_string()),
        1 => Just("  ".to_owned()),
        1 => Just("{".to_owned()),
    ]
}

proptest! {
    #[test]
    fn any_chunks_give_the_same_events(
        parts in proptest::collection::vec((any_line(), prop::sample::select(vec!["\n", "\r\n", "\n\n"])), 0..8),
        cuts in proptest::collection::vec(any::<usize>(), 0..10),
    ) {
        let stream: String = parts.iter().map(|(line, end)| format!("{line}{end}")).collect();
        for dialect in [CHAT, GENERATE] {
            chunks_make_no_difference(&dialect, LINES, stream.as_bytes(), &cuts);
        }
    }

    #[test]
    fn an_edit_is_what_the_client_reads(message in any_message(), pick in any::<usize>(), with in "[a-z\n\"é]{1,6}") {
        an_edit_is_what_is_read(&CHAT, LINES, &json!({"message": message, "done": true}).to_string(), pick, &with);
    }

    #[test]
    fn unedited_lines_keep_their_values(message in any_message()) {
        let line = said(message);
        let (codec, events, _) = run(&CHAT, LINES, &[lines(&[line.clone(), done()]).as_bytes()]);
        for (event, before) in events.iter().zip([line, done()]) {
            let out = encoded(&*codec, event, &[]).unwrap();
            prop_assert_eq!(serde_json::from_str::<Json>(&out).unwrap(), before);
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for framing in [Framing::Json, Framing::Ndjson, Framing::Sse] {
            run(&GENERATE, framing, &[&bytes]);
        }
    }
}
