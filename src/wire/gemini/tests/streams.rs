//! Streams: order, channels, end and cut.

use http::StatusCode;
use serde_json::{Value as Json, json};

use super::{MAX, codec, encoded, finish, run, said, stream, text, texts_of, written};
use crate::wire::{AnswerCodec, Body, Cut, Event, Framing, Refusal, WireError};

fn judged(events: &[Json]) -> Vec<(String, bool)> {
    let (_, events, error) = run(Framing::Sse, &[stream(events).as_bytes()]);
    assert_eq!(error, None);
    events.iter().map(|event| (texts_of(event).join(" | "), event.last)).collect()
}

#[test]
fn a_stream_is_events_in_order_with_channels() {
    let call = |name: &str, to: &str| said(json!([{"functionCall": {"args": {"to": to}, "name": name}}]));
    let events = [
        json!({"candidates": [{"content": {"parts": [{"text": "hm", "thought": true}]}}], "modelVersion": "g", "usageMetadata": {"promptTokenCount": 5}}),
        json!({"candidates": [{"content": {"parts": [{"text": "m", "thought": true}, {"text": "pro"}]}, "index": 0}], "modelVersion": "g"}),
        json!({"model_version": "g", "candidates": [{"content": {"parts": {"text": "ject blue"}}}]}),
        said(json!([{"text": "bi"}, {"text": "rd"}])),
        call("get", "foo"),
        call("get", "bar"),
        finish(),
        json!({"usageMetadata": {"totalTokenCount": 9}}),
    ];
    let expected = [
        ("0 reasoning 0 hm | 0 word 0 !g", false),
        ("0 reasoning 0 m | 0 content 0 pro | 0 word 0 !", false),
        ("0 word 0 ! | 0 content 0 ject blue", false),
        // Two of one event are judged joined and as lines.
        ("0 content 0 bi | 0 content 0 rd | 0 content 1 !\nproject bluebi\nrd", false),
        // What is said whole is joined to nothing.
        ("0 tool_arguments 0 !to | 0 tool_arguments 1 foo | 0 name 0 !get", true),
        ("0 tool_arguments 0 ! | 0 tool_arguments 1 \nbar | 0 name 0 !", true),
        ("", true),
        ("", true),
        ("", true),
    ];
    assert_eq!(judged(&events), expected.map(|(text, last)| (text.to_owned(), last)));
    let (codec, events, _) = run(Framing::Sse, &[stream(&events).as_bytes()]);
    assert!(matches!(events.last().unwrap().body, Body::End));
    assert_eq!(written(&*codec, events.last().unwrap()), "", "the stream has no mark at its end");
    assert_eq!(
        written(&*codec, &events[3]),
        "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"bi\"},{\"text\":\"rd\"}],\"role\":\"model\"},\"index\":0}]}\n\n"
    );
    let out = encoded(&*codec, &events[3], &[Some("["), Some("]"), None]).unwrap();
    assert!(out.contains("[{\"text\":\"[\"},{\"text\":\"]\"}]"), "{out}");
}

#[test]
fn a_stream_ends_only_when_every_candidate_has() {
    let ends = |stream: &str| {
        let (_, events, error) = run(Framing::Sse, &[stream.as_bytes()]);
        (events.len(), matches!(events.last(), Some(Event { body: Body::End, .. })), error)
    };
    let two = json!({"candidates": [{"content": {"parts": [{"text": "a"}]}}, {"finishReason": "STOP", "index": 1}]});
    assert_eq!(ends(&stream(&[text("a"), finish()])), (3, true, None));
    assert_eq!(ends(stream(&[text("a"), finish()]).trim_end()), (3, true, None));
    assert_eq!(ends(&stream(&[text("a"), json!({"error": {"code": 503, "message": "m"}})])), (3, true, None));
    assert_eq!(ends(&stream(&[json!({"promptFeedback": {"blockReason": "SAFETY"}})])), (2, true, None));
    assert_eq!(ends(&stream(&[two.clone(), finish()])), (3, true, None));
    for open in [
        stream(&[]),
        stream(&[text("a")]),
        stream(std::slice::from_ref(&two)),
        stream(&[json!({"promptFeedback": {}})]),
        stream(&[text("a")]) + "data: {\"candidates\":[",
    ] {
        let (_, ended, error) = ends(&open);
        assert!(!ended && error == Some(WireError::Truncated), "{open}");
    }
    // An error that is told without `data: `, as Google may, is none that a reader of events sees.
    assert_eq!(ends(&(stream(&[text("a")]) + "{\"error\":{\"code\":500}}\n")).2, Some(WireError::Truncated));
    for data in [
        "[DONE]",
        "\"a\"",
        "[]",
        "{\"a\":1} {}",
        "{\"candidates\":[{\"index\":8}]}",
        "{\"candidates\":[{\"index\":\"1\"}]}",
        "{\"candidates\":[{\"index\":1},{}]}",
        "{\"candidates\":[{\"content\":{\"parts\":[{\"inlineData\":{}}]}}]}",
        "{\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"partialArgs\":[{\"stringValue\":\"a\"}]}}]}}]}",
    ] {
        let (events, ended, error) = ends(&format!("data: {}\n\ndata: {data}\n\n", text("a")));
        assert!(events == 1 && !ended && error.is_some(), "{data}");
    }
    let long = text(&"a".repeat(MAX)).to_string();
    assert_eq!(ends(&format!("data: {long}\n\n")).2, Some(WireError::TooLarge { limit: MAX }));
}

#[test]
fn an_event_may_bring_one_candidate_of_several() {
    let of = |index: u32, text: &str, more: Json| {
        let mut candidate = json!({"content": {"parts": [{"text": text}]}, "index": index});
        candidate.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"candidates": [candidate]})
    };
    let events = [
        of(1, "blue", json!({})),
        of(0, "no", json!({})),
        of(1, "bird", json!({"finishReason": "STOP"})),
        of(0, " more", json!({"finishReason": "STOP"})),
    ];
    let expected = ["1 content 0 blue", "0 content 0 no", "1 content 0 bird", "0 content 0  more"];
    let (codec, read, error) = run(Framing::Sse, &[stream(&events).as_bytes()]);
    assert_eq!(error, None);
    assert_eq!(read.iter().flat_map(texts_of).collect::<Vec<_>>(), expected);
    // Of two that began, both have to end.
    assert!(matches!(run(Framing::Sse, &[stream(&events[..3]).as_bytes()]).2, Some(WireError::Truncated)));
    let cut = String::from_utf8(codec.cut(Cut::Blocked).into()).unwrap();
    assert!(cut.contains(r#"[{"finishReason":"SAFETY","index":0},{"finishReason":"SAFETY","index":1}]"#), "{cut}");
    let (codec, _, _) = run(Framing::Sse, &[stream(&events[..1]).as_bytes()]);
    assert_eq!(String::from_utf8(codec.cut(Cut::Blocked).into()).unwrap(), cut);
    // The same in one array.
    let (_, read, error) = run(Framing::Json, &[json!(events).to_string().as_bytes()]);
    assert_eq!(
        (read.iter().flat_map(texts_of).collect::<Vec<_>>(), error),
        (expected.map(String::from).to_vec(), None)
    );
}

#[test]
fn a_cut_stream_ends_as_the_sdk_expects() {
    let first = json!({"candidates": [{"content": {"parts": [{"text": "a"}]}}, {"index": 1}], "modelVersion": "g-1", "responseId": "r_1"});
    let (codec, events, _) = run(Framing::Sse, &[stream(&[first, finish()]).as_bytes()]);
    let cut = |codec: &dyn AnswerCodec, cut| String::from_utf8(codec.cut(cut).into()).unwrap();
    // The model's name is a text, and nothing to repeat before it was judged.
    let candidates = r#"{"candidates":[{"finishReason":"SAFETY","index":0},{"finishReason":"SAFETY","index":1}]"#;
    assert_eq!(cut(&*codec, Cut::Blocked), format!("data: {candidates}}}\n\n"));
    written(&*codec, &events[0]);
    let blocked = format!("data: {candidates},\"modelVersion\":\"g-1\",\"responseId\":\"r_1\"}}\n\n");
    assert_eq!(cut(&*codec, Cut::Blocked), blocked);
    let (_, again, error) = run(Framing::Sse, &[blocked.as_bytes()]);
    assert_eq!((again.len(), error), (2, None), "it is an end");

    let refusal = Refusal { status: StatusCode::BAD_GATEWAY, code: "a_code", message: "why".into(), param: None };
    let failed = cut(&*codec, Cut::Failed(&refusal));
    // The SDK knows an error by how it begins.
    assert!(
        failed.starts_with("data: {\"error\":{\"code\":502,\"message\":\"why\",\"status\":\"UNAVAILABLE\"")
            && failed.ends_with("}\n\n"),
        "{failed}"
    );
    assert_eq!(run(Framing::Sse, &[failed.as_bytes()]).2, None);

    // A name that could be a text is not repeated.
    let (codec, events, _) =
        run(Framing::Sse, &[stream(&[json!({"modelVersion": "a text", "responseId": 5})]).as_bytes()]);
    written(&*codec, &events[0]);
    assert_eq!(cut(&*codec, Cut::Blocked), "data: {\"candidates\":[{\"finishReason\":\"SAFETY\",\"index\":0}]}\n\n");
    assert!(codec_is_silent(Framing::Json));
}

fn codec_is_silent(framing: Framing) -> bool {
    let codec = codec(framing);
    codec.cut(Cut::Blocked).is_empty() && codec.heartbeat().is_empty()
}

#[test]
fn a_heartbeat_is_nothing_to_any_reader() {
    let heartbeat = codec(Framing::Sse).heartbeat();
    assert_eq!(heartbeat, "\n");
    let beaten: String = [text("a"), finish()].iter().map(|event| format!("data: {event}\n\n\n")).collect();
    assert_eq!(run(Framing::Sse, &[beaten.as_bytes()]).1.len(), 3);
}

#[test]
fn a_stream_of_lines_is_none_of_this_api() {
    let (_, events, error) = run(Framing::Ndjson, &[format!("{}\n", said(json!([{"text": "a"}]))).as_bytes()]);
    assert!(events.is_empty() && matches!(error, Some(WireError::Shape { .. })), "{error:?}");
}
