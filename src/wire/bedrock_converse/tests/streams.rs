//! Streams: channels, order, ends, cuts.

use http::StatusCode;
use serde_json::{Value as Json, json};

use super::{BLOB, DIALECT, begin, delta, end, event, events_of, says, start, stop, stream, whole};
use crate::wire::testing::{MAX, run, texts_of, written};
use crate::wire::{AnswerCodec, Cut, Dialect, Event, Framing, Refusal, WireError};

const MESSAGES: Framing = Framing::EventStream;

fn write(codec: &dyn AnswerCodec, event: &Event) -> Vec<u8> {
    written(codec, event, &[]).unwrap().into()
}

/// An event without its padding.
fn plain(mut event: Json) -> Json {
    event.as_object_mut().unwrap().remove("p");
    event
}

#[test]
fn a_stream_is_events_in_order_with_channels() {
    let citation = json!({"title": "d", "sourceContent": [{"text": "c"}], "location": {"documentPage": {"start": 1}}});
    let events = [
        delta(0, json!({"reasoningContent": {"text": "hm"}})),
        delta(0, json!({"reasoningContent": {"signature": BLOB}})),
        delta(0, json!({"reasoningContent": {"redactedContent": BLOB}})),
        stop(0),
        says(1, "pro"),
        delta(1, json!({"citation": citation})),
        says(1, "j"),
        stop(1),
        says(2, "ect"),
        stop(2),
        start(3, json!({"toolUse": {"toolUseId": "tooluse_1", "name": "get"}})),
        delta(3, json!({"toolUse": {"input": "{\"q\":\"\\u00"}})),
        delta(3, json!({"toolUse": {"input": "41\"}"}})),
        stop(3),
        start(4, json!({"toolResult": {"toolUseId": "tooluse_2", "status": "success"}})),
        delta(4, json!({"toolResult": [{"text": "re"}, {"text": "su"}]})),
        delta(4, json!({"toolResult": [{"text": "lt"}, {"json": {"k": "v"}}]})),
        stop(4),
        event("newEvent", json!({"note": "x"})),
    ];
    let (codec, found, error) = run(&DIALECT, MESSAGES, &[&whole(events.clone())]);
    assert_eq!(error, None);
    let texts: Vec<_> = found.iter().map(|event| (texts_of(event).join(" | "), event.last)).collect();
    let expected = [
        ("", false),
        ("0 reasoning 0 hm", false),
        ("", false),
        ("", false),
        ("", false),
        ("0 content 0 pro", false),
        ("0 other 0 d | 0 other 1 c", false),
        ("0 content 0 j", false),
        ("", false),
        // The text of all blocks is one, and where they meet without a space it is lines, too.
        ("0 content 0 ect | 0 content 1 !\nproj\nect", false),
        ("", false),
        ("0 name 0 !get", true),
        ("0 tool_arguments 0 {\"q\":\"\\u00", true),
        ("0 tool_arguments 0 41\"} | 0 tool_arguments 1 !{\"q\":\"A\"}", true),
        ("", true),
        ("", false),
        // Two of one event are judged joined and as lines.
        ("0 content 2 re | 0 content 2 su | 0 content 3 !\nre\nsu", false),
        ("0 content 2 lt | 0 content 4 !k | 0 content 5 v | 0 content 3 !lt", false),
        ("", false),
        ("0 word 0 !newEvent | 0 other 2 !note | 0 other 3 x", false),
        ("", true),
        ("", true),
        // The stream has no mark at its end.
        ("", true),
    ];
    assert_eq!(texts, expected.map(|(text, last)| (text.to_owned(), last)));
    let out: Vec<u8> = found.iter().flat_map(|event| write(&*codec, event)).collect();
    let before = [begin()].into_iter().chain(events).chain(end()).map(plain);
    assert_eq!(events_of(&out), before.collect::<Vec<_>>());
}

#[test]
fn a_stream_ends_once_and_only_when_complete() {
    let ends = |bytes: &[u8]| {
        let (_, events, error) = run(&DIALECT, MESSAGES, &[bytes]);
        (events.len(), error)
    };
    let sound = whole([says(0, "a"), stop(0)]);
    assert_eq!(ends(&sound), (6, None));
    assert_eq!(ends(&sound[..sound.len() - 1]), (4, Some(WireError::Truncated)));
    let open = stream(&[begin(), says(0, "a"), stop(0)]);
    assert_eq!(ends(&open), (3, Some(WireError::Truncated)));
    assert_eq!(ends(b""), (0, Some(WireError::Truncated)));
    // An exception is the last that the SDKs read.
    for failure in [
        json!({":exception-type": "throttlingException", "message": "m"}),
        json!({":error-code": "x", ":error-message": "m"}),
    ] {
        let bytes = [open.clone(), stream(std::slice::from_ref(&failure)), b"rubbish".to_vec()].concat();
        let (codec, events, error) = run(&DIALECT, MESSAGES, &[&bytes]);
        assert!(error.is_none() && events.len() == 4 && events[3].last, "{failure}");
        assert_eq!(events_of(&write(&*codec, &events[3])), [failure]);
        assert!(texts_of(&events[3]).contains(&"0 other 0 m".to_owned()));
    }
    let call = json!({"toolUse": {"toolUseId": "tooluse_1", "name": "f"}});
    for events in [
        // Readers would part or join these in more than one way.
        vec![begin()],
        vec![says(1, "a"), says(0, "b")],
        vec![says(0, "a"), stop(0), says(0, "b")],
        vec![says(0, "a"), stop(0), stop(0)],
        vec![start(0, call.clone()), start(0, call.clone())],
        vec![start(0, call.clone()), says(1, "a"), delta(0, json!({"toolUse": {"input": "{}"}}))],
        vec![event("contentBlockDelta", json!({"delta": {"text": "a"}}))],
        vec![event("contentBlockDelta", json!({"delta": {"text": "a"}, "contentBlockIndex": "0"}))],
        vec![event("contentBlockStop", json!({}))],
        vec![says(4096, "a")],
        // What nobody can judge.
        vec![start(0, json!({"image": {"format": "png"}}))],
        vec![delta(0, json!({"image": {"source": {"bytes": "aGk="}}}))],
        vec![event("chunk", json!({"bytes": "eyJ0ZXh0IjoiYSJ9"}))],
    ] {
        let (count, error) = ends(&whole(events.clone()));
        assert!(count == events.len() && error.is_some(), "{events:?}");
    }
}

#[test]
fn sizes_are_bounded() {
    let (_, events, error) = run(&DIALECT, MESSAGES, &[&whole([says(0, &"a".repeat(MAX))])]);
    assert_eq!((events.len(), error), (1, Some(WireError::TooLarge { limit: MAX })));
    let mut codec = DIALECT.answer(MESSAGES, MAX);
    let bytes = stream(&[begin()]);
    codec.push(&bytes).unwrap();
    codec.push(&bytes[..20]).unwrap();
    assert_eq!(codec.buffered(), codec.next().map_or(0, |event| event.size) + 20);
}

#[test]
fn a_cut_stream_ends_as_the_sdk_expects() {
    let call = json!({"toolUse": {"toolUseId": "tooluse_1", "name": "f"}});
    let sent = [says(0, "a"), stop(0), start(1, call), delta(1, json!({"toolUse": {"input": "{}"}})), stop(1)];
    // Before the end has come.
    let bytes = stream(&[begin()].into_iter().chain(sent.clone()).collect::<Vec<_>>());
    let (codec, events, _) = run(&DIALECT, MESSAGES, &[&bytes]);
    let stopped = json!({":event-type": "messageStop", "stopReason": "guardrail_intervened"});
    let ends = |codec: &dyn AnswerCodec| events_of(&codec.cut(Cut::Blocked));
    // Nothing has been written, and so the message must begin.
    assert_eq!(ends(&*codec), [json!({":event-type": "messageStart", "role": "assistant"}), stopped.clone()]);
    for (event, open) in events.iter().zip([None, Some(0), None, Some(1), Some(1), None]) {
        write(&*codec, event);
        let closed = open.map(|index| json!({":event-type": "contentBlockStop", "contentBlockIndex": index}));
        assert_eq!(ends(&*codec), closed.into_iter().chain([stopped.clone()]).collect::<Vec<_>>());
    }
    // The final verdict comes behind the numbers of tokens.
    let (codec, events, _) = run(&DIALECT, MESSAGES, &[&whole(sent)]);
    write(&*codec, &events[0]);
    let usage = json!({"inputTokens": 5, "outputTokens": 7, "totalTokens": 12});
    let metadata = json!({":event-type": "metadata", "usage": usage, "metrics": {"latencyMs": 0}});
    assert_eq!(ends(&*codec), [stopped, metadata]);
    for (status, exception) in [
        (502, "modelStreamErrorException"),
        (503, "serviceUnavailableException"),
        (429, "throttlingException"),
        (400, "validationException"),
        (500, "internalServerException"),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        let refusal = Refusal { status, code: "a_code", message: "why".into(), param: None };
        let failed = json!({":exception-type": exception, "message": "why", "reason": "a_code"});
        assert_eq!(events_of(&codec.cut(Cut::Failed(&refusal))), [failed]);
    }
    assert!(codec.heartbeat().is_empty());
}
