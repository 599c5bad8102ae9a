//! The gate on OpenAI's chat answers: chunking and the time of verdicts change nothing, and a phrase neither slips out nor
//! takes anything with it.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use portcullis::detectors::pattern::{Builtin, PatternDetector, PatternSpec};
use portcullis::gate::{Gate, GateSettings, Step, Window, WindowSize};
use portcullis::guardrail::{Action, Ask, Decision, Detector, Priority, Stage};
use portcullis::policy::Label;
use portcullis::text::{Edit, Edits};
use portcullis::wire::openai_chat::OpenAiChat;
use portcullis::wire::{AnswerCodec, Dialect, Framing};
use proptest::prelude::*;
use serde_json::{Value, json};

const PHRASE: &str = "sec\"ret";

type Judge = fn(&Window) -> Decision;

/// A window of 0 is the whole answer.
fn settings(window: usize) -> GateSettings {
    let window = if window == 0 { WindowSize::All } else { WindowSize::Bytes(window) };
    GateSettings {
        window,
        lookahead: 8,
        max_hold: Duration::from_secs(1),
        max_held: 1 << 20,
        context: 16,
        observe: false,
    }
}

fn codec(framing: Framing) -> Box<dyn AnswerCodec> {
    OpenAiChat::default().answer(framing, 1 << 16)
}

fn allow(_: &Window) -> Decision {
    Decision::allow()
}

fn redact(window: &Window) -> Decision {
    let edits = window.segments.iter().map(|segment| (segment.id, edits(&segment.text)));
    Decision { action: Action::Redact, edits: edits.collect(), ..Decision::allow() }
}

fn block(window: &Window) -> Decision {
    let found = window.segments.iter().any(|segment| segment.text.contains(PHRASE));
    if found { Decision { action: Action::Block, ..Decision::allow() } } else { Decision::allow() }
}

/// Blocks what the pattern detector finds.
fn block_patterns(window: &Window) -> Decision {
    static DETECTOR: LazyLock<PatternDetector> = LazyLock::new(|| {
        let words = vec![(Label::new("phrase"), vec!["project bluebird".into()])];
        let builtin = vec![Builtin::Card, Builtin::Email, Builtin::PrivateKey];
        PatternDetector::new(&PatternSpec { builtin, words, ..Default::default() }).unwrap()
    });
    let found = |segment: &portcullis::text::Segment| {
        let within = Duration::from_secs(60);
        let deadline = tokio::time::Instant::now() + within;
        let ask = Ask {
            stage: Stage::Output,
            segment: segment.clone(),
            priority: Priority::Blocking,
            deadline,
            within,
            listener: None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        !runtime.block_on(DETECTOR.detect(&ask)).unwrap().findings.is_empty()
    };
    let action = if window.segments.iter().any(found) { Action::Block } else { Action::Allow };
    Decision { action, ..Decision::allow() }
}

fn edits(text: &str) -> Edits {
    text.match_indices(PHRASE).map(|(at, _)| Edit { span: at..at + PHRASE.len(), with: "#".into() }).collect()
}

/// Everything that leaves, and whether it was cut. `late[i]` says whether more is read before the verdict comes.
fn pass(framing: Framing, body: &str, window: usize, chunk: usize, late: &[bool], judge: Judge) -> (String, bool) {
    pass_with(settings(window), framing, body, chunk, late, judge)
}

fn pass_with(
    settings: GateSettings,
    framing: Framing,
    body: &str,
    chunk: usize,
    late: &[bool],
    judge: Judge,
) -> (String, bool) {
    let mut gate = Gate::new(codec(framing), settings);
    let mut late = late.iter().cycle();
    let (mut chunks, now, mut pending, mut out) = (body.as_bytes().chunks(chunk), Instant::now(), None, Vec::new());
    loop {
        match gate.step(now) {
            Step::Release(bytes) => out.extend_from_slice(&bytes),
            Step::Ask(window) => pending = Some(judge(&window)),
            Step::Pull if pending.is_none() || *late.next().unwrap() => match chunks.next() {
                Some(chunk) => gate.push(chunk, now),
                None => gate.finish(now),
            },
            Step::Pull | Step::Wait => gate.resolve(pending.take().expect("waits for nothing")),
            Step::Cut(bytes, _) => {
                out.extend_from_slice(&bytes);
                return (String::from_utf8(out).unwrap(), true);
            }
            Step::Done => return (String::from_utf8(out).unwrap(), false),
        }
    }
}

/// What the codec alone makes of it.
fn canonical(framing: Framing, body: &str) -> String {
    let mut codec = codec(framing);
    codec.push(body.as_bytes()).unwrap();
    codec.finish().unwrap();
    let mut out = Vec::new();
    while let Some(event) = codec.next() {
        out.extend_from_slice(&codec.encode(&event, &vec![None; event.texts.len()]).unwrap());
    }
    String::from_utf8(out).unwrap()
}

/// The words of a stream by choice and field, joined, as a client reads them.
fn words(stream: &str) -> BTreeMap<(u64, String), String> {
    let mut words: BTreeMap<_, String> = BTreeMap::new();
    for data in stream.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]") {
        let chunk: Value = serde_json::from_str(data).unwrap();
        for choice in chunk["choices"].as_array().into_iter().flatten() {
            for (field, text) in choice["delta"].as_object().into_iter().flatten() {
                let text = text.as_str().filter(|text| field != "role" && !text.is_empty());
                if let Some(text) = text {
                    *words.entry((choice["index"].as_u64().unwrap(), field.clone())).or_default() += text;
                }
            }
        }
    }
    words
}

fn chunk(index: u64, delta: Value, finish: Value) -> Value {
    let choice = json!({"index": index, "delta": delta, "logprobs": null, "finish_reason": finish});
    json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m-1", "choices": [choice]})
}

/// Streams of up to three choices, each first thinking, then speaking, in the line forms that servers use.
fn stream() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        6 => proptest::sample::select(&["s", "se", "c", "\"", "ret", "a ", "é. ", "\n", "\u{2028}"][..]).prop_map(String::from),
        1 => Just(PHRASE.to_owned()),
    ];
    let text = proptest::collection::vec(text, 1..4).prop_map(|parts| parts.concat());
    let says = proptest::collection::vec((0u64..3, text), 1..25);
    (says, any::<bool>(), proptest::sample::select(&["\n", "\r\n", "\r"][..])).prop_map(|(says, thinks, end)| {
        let mut events = vec![chunk(0, json!({"role": "assistant", "content": ""}), Value::Null).to_string()];
        let half = if thinks { says.len() / 2 } else { 0 };
        for (at, (index, text)) in says.iter().enumerate() {
            let field = if at < half { "reasoning_content" } else { "content" };
            events.push(chunk(*index, json!({field: text}), Value::Null).to_string());
        }
        events.extend((0..3).map(|index| chunk(index, json!({}), json!("stop")).to_string()));
        events.push("[DONE]".into());
        events.iter().map(|event| format!(": hello{end}data: {event}{end}{end}")).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_is_allowed_arrives_whole(
        body in stream(), window in 0usize..40, size in 1usize..400, late in proptest::collection::vec(any::<bool>(), 0..5),
    ) {
        let late = [&late[..], &[false]].concat();
        prop_assert_eq!(pass(Framing::Sse, &body, window, size, &late, allow), (canonical(Framing::Sse, &body), false));
    }

    #[test]
    fn chunking_changes_nothing(body in stream(), window in 1usize..40, size in 1usize..400) {
        let run = |size, judge| pass(Framing::Sse, &body, window, size, &[false], judge);
        prop_assert_eq!(run(size, redact), run(body.len(), redact));
        // The cut itself names the choices that the codec knows of, and it may have read on.
        let before = |(out, cut): (String, bool)| (words(&out), cut);
        prop_assert_eq!(before(run(size, block)), before(run(body.len(), block)));
    }

    #[test]
    fn a_phrase_is_redacted_and_the_rest_stays(
        body in stream(), window in 0usize..40, size in 1usize..400, late in proptest::collection::vec(any::<bool>(), 0..5),
    ) {
        let late = [&late[..], &[false]].concat();
        let (out, cut) = pass(Framing::Sse, &body, window, size, &late, redact);
        let expected: BTreeMap<_, _> =
            words(&canonical(Framing::Sse, &body)).into_iter().map(|(at, text)| (at, edits(&text).apply(&text))).collect();
        prop_assert!(!cut);
        prop_assert_eq!(words(&out), expected);
    }

    #[test]
    fn a_phrase_that_blocks_never_begins(
        body in stream(), window in 0usize..40, size in 1usize..400, late in proptest::collection::vec(any::<bool>(), 0..5),
    ) {
        let late = [&late[..], &[false]].concat();
        let (out, cut) = pass(Framing::Sse, &body, window, size, &late, block);
        let full = words(&canonical(Framing::Sse, &body));
        prop_assert_eq!(cut, full.values().any(|text| text.contains(PHRASE)));
        prop_assert_eq!(cut, out.contains("content_filter"));
        for (at, text) in words(&out) {
            prop_assert!(full[&at].starts_with(&text));
            prop_assert!(full[&at].find(PHRASE).is_none_or(|at| text.len() <= at), "{text:?}");
        }
        prop_assert!(!out.contains(r#""finish_reason":"stop""#) || !cut);
    }
}

#[test]
fn a_whole_answer_is_a_stream_of_one_window() {
    let body = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m-1",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": format!("a {PHRASE} b")}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    })
    .to_string();
    for (size, window) in [(1, 1), (7, 3), (1000, 0)] {
        let run = |judge| pass(Framing::Json, &body, window, size, &[false], judge);
        assert_eq!(run(allow), (canonical(Framing::Json, &body), false));
        let (redacted, cut) = run(redact);
        let redacted: Value = serde_json::from_str(&redacted).unwrap();
        assert_eq!((&redacted["choices"][0]["message"]["content"], cut), (&json!("a # b"), false));
        // Nothing has left, so the refusal is the driver's to send.
        assert_eq!(run(block), (String::new(), true));
    }
}

/// What a stream of these words looks like: a few characters an event, not ended.
fn said(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let chunks = chars.chunks(8).map(|part| chunk(0, json!({"content": part.iter().collect::<String>()}), Value::Null));
    chunks.map(|chunk| format!("data: {chunk}\n\n")).collect()
}

fn content(stream: &str) -> String {
    words(stream).into_values().collect()
}

/// As configured by default, but for the window.
fn usual() -> GateSettings {
    GateSettings { lookahead: 64, context: 32 << 10, ..settings(256) }
}

#[test]
fn unseen_characters_let_no_part_of_a_match_slip_out() {
    let fine = "So far all of this is fine. ".repeat(20);
    let spread = |text: &str, by: &str| text.chars().map(|ch| format!("{ch}{by}")).collect::<String>();
    let ends = chunk(0, json!({}), json!("stop"));
    for (unseen, count) in
        ["\u{200b}", "\u{1}", "\u{336}"].into_iter().flat_map(|ch| [1_700, 9_000].map(|count| (ch, count)))
    {
        let run = unseen.repeat(count);
        let thirty = unseen.repeat(30);
        for bad in [
            format!("Project{run} bluebird"),
            format!("BOB{run}@example.com"),
            spread("4111111111111111", &thirty),
            spread("4111 1111 1111 1111", &unseen.repeat(5)),
            spread("Project Bluebird", &thirty),
            spread("-----BEGIN PRIVATE KEY-----", &unseen.repeat(12)),
        ] {
            let body = format!("{}data: {ends}\n\ndata: [DONE]\n\n", said(&format!("{fine}{bad} and so on")));
            let (out, cut) = pass_with(usual(), Framing::Sse, &body, 4096, &[false, true], block_patterns);
            let content = content(&out);
            assert!(cut && out.contains("content_filter"), "{out}");
            assert!(fine.starts_with(content.trim_end_matches(unseen)), "{unseen:?}: {content:?}");
            assert!(content.len() > fine.len() / 2, "{unseen:?}: {content:?}");
        }
    }
}

#[test]
fn what_people_write_with_unseen_characters_flows() {
    let settings = usual();
    for text in [
        "👨\u{200d}👩\u{200d}👧\u{200d}👦 ❤\u{fe0f} 🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f} ",
        "می\u{200c}خواهم مُحَمَّد ",
        "क्\u{200d}ष नमस्ते हिन्दी ",
        "今日は、がんばって。",
        "Ünï\u{301}cödé, e\u{301}te\u{301} ",
    ] {
        let text = text.repeat(4000 / text.len());
        let (body, now) = (said(&text), Instant::now());
        let (mut gate, mut out) = (Gate::new(codec(Framing::Sse), settings.clone()), Vec::new());
        gate.push(body.as_bytes(), now);
        loop {
            match gate.step(now) {
                Step::Release(bytes) => out.extend_from_slice(&bytes),
                Step::Ask(window) => gate.resolve(block_patterns(&window)),
                Step::Pull => break,
                other => panic!("{other:?}"),
            }
        }
        let left = content(std::str::from_utf8(&out).unwrap());
        assert!(text.starts_with(&left));
        // A window that is not full, the lookahead and the rest of an event.
        assert!(
            text.len() - left.len() < 256 + 3 * settings.lookahead + 32,
            "{} of {}: {text}",
            left.len(),
            text.len()
        );
    }
}
