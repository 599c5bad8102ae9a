//! Answers: texts and channels, order and end of a stream, what is written.

use http::StatusCode;
use serde_json::{Value as Json, json};

use super::{MAX, begin, codec, delta, end, frame, run, says, start, stop, stream, texts_of, whole};
use crate::wire::anthropic::Anthropic;
use crate::wire::{AnswerCodec, Body, Cut, Dialect, Event, Framing, Refusal, WireError};

/// What is signed.
const BLOB: &str = "OLTmUuRNp/I3DZ4mDicTZVCko6bQf1wMMy+LEiQIP9IrkC+JEegYGPjJnV1dmDGVdQTZDpRd4uj1TueBzHX2NlCZCQ==";

fn unary(body: &Json) -> (Box<dyn AnswerCodec>, Event) {
    let (codec, mut events, error) = run(Framing::Json, &[body.to_string().as_bytes()]);
    assert_eq!(error, None, "{body}");
    assert!(events.len() == 1 && events[0].last);
    (codec, events.remove(0))
}

fn encoded(codec: &dyn AnswerCodec, event: &Event, texts: &[Option<&str>]) -> Result<String, WireError> {
    let texts: Vec<_> = texts.iter().map(|text| text.map(str::to_owned)).collect();
    codec.encode(event, &texts).map(|bytes| String::from_utf8(bytes.into()).unwrap())
}

fn written(codec: &dyn AnswerCodec, event: &Event) -> String {
    encoded(codec, event, &vec![None; event.texts.len()]).unwrap()
}

fn cut(codec: &dyn AnswerCodec, cut: Cut<'_>) -> String {
    String::from_utf8(codec.cut(cut).into()).unwrap()
}

fn refusal(status: StatusCode) -> Refusal {
    Refusal { status, code: "a_code", message: "what \"and\" why".into(), param: None }
}

#[test]
fn finds_the_texts_of_a_message() {
    let body = json!({
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": BLOB},
            {"type": "text", "text": "one ", "citations": [{"type": "char_location", "cited_text": "cited", "document_index": 0,
                "document_title": "title", "start_char_index": 0, "end_char_index": 5}]},
            {"type": "tool_use", "id": "toolu_01", "name": "get", "input": {"city": "Oslo", "n": 5}, "caller": {"type": "direct"}},
            {"type": "text", "text": "two"},
            {"type": "server_tool_use", "id": "srvtoolu_01", "name": "web_search", "input": {"query": "q"}},
            {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_01", "content": [
                {"type": "web_search_result", "title": "t", "url": "u", "page_age": "a", "encrypted_content": BLOB}]},
            {"type": "mcp_tool_result", "tool_use_id": "mcptoolu_01", "content": [{"type": "text", "text": "r"}], "is_error": false},
            {"type": "redacted_thinking", "data": BLOB}],
        "id": "msg_01", "model": "claude-x", "odd": "x", "role": "assistant", "stop_reason": "tool_use", "stop_sequence": "END",
        "type": "message", "usage": {"input_tokens": 5, "output_tokens": 6, "service_tier": "standard"},
    });
    let (codec, event) = unary(&body);
    let expected = [
        "reasoning 0 hm",
        "content 0 one ",
        "other 0 cited",
        "other 1 title",
        "name 0 !get",
        "tool_arguments 0 !city",
        "tool_arguments 1 Oslo",
        "tool_arguments 2 !n",
        "tool_arguments 3 !5",
        "content 0 two",
        "name 1 !web_search",
        "tool_arguments 4 !query",
        "tool_arguments 5 q",
        "other 2 t",
        "other 3 u",
        "other 4 a",
        "content 1 r",
        "word 0 !claude-x",
        "other 5 !odd",
        "other 6 x",
        "other 7 END",
    ];
    assert_eq!(texts_of(&event), expected);
    assert_eq!(written(&*codec, &event), body.to_string());
    let mut edits = vec![None; expected.len()];
    (edits[6], edits[9]) = (Some("#\n"), Some("2"));
    let out = encoded(&*codec, &event, &edits).unwrap();
    assert_eq!(out, body.to_string().replace("Oslo", "#\\n").replace("two", "2"));
}

#[test]
fn errors_and_counts_are_read_whatever_their_shape() {
    for (body, expected) in [
        (
            json!({"type": "error", "error": {"type": "overloaded_error", "message": "the prompt said x"}, "request_id": "req_01"}),
            &["other 0 the prompt said x"][..],
        ),
        (
            json!({"error": {"type": "odd", "details": {"error_code": "c"}}}),
            &["word 0 !odd", "other 0 !error_code", "other 1 c"],
        ),
        (json!({"error": "plain"}), &["other 0 plain"]),
        (json!({"message": "m"}), &["other 0 m"]),
        (
            json!({"detail": [{"msg": "x", "n": 5}]}),
            &["other 0 !detail", "other 1 !msg", "other 2 x", "other 3 !n", "other 4 !5"],
        ),
        (json!({"input_tokens": 2095, "context_management": {"original_input_tokens": 7}}), &[]),
        (json!("Not found"), &["other 0 Not found"]),
    ] {
        let (_, event) = unary(&body);
        assert_eq!(texts_of(&event), expected, "{body}");
    }
}

#[test]
fn a_stream_is_events_in_order_with_channels() {
    let citation = json!({"type": "char_location", "cited_text": "c", "document_title": "d"});
    let events = [
        json!({"type": "ping"}),
        start(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        delta(0, json!({"type": "thinking_delta", "thinking": "hm"})),
        delta(0, json!({"type": "signature_delta", "signature": BLOB})),
        stop(0),
        start(1, json!({"type": "text", "text": ""})),
        delta(1, json!({"type": "text_delta", "text": "pro"})),
        delta(1, json!({"type": "citations_delta", "citation": citation})),
        stop(1),
        start(2, json!({"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}})),
        delta(2, json!({"type": "input_json_delta", "partial_json": "{\"q\":1}"})),
        stop(2),
        start(3, json!({"type": "text", "text": "j"})),
        delta(3, json!({"type": "text_delta", "text": "ect"})),
        stop(3),
        start(4, json!({"type": "tool_use", "id": "toolu_1", "name": "get", "input": {}})),
        delta(4, json!({"type": "input_json_delta", "partial_json": "{\"q\":"})),
        delta(4, json!({"type": "input_json_delta", "partial_json": "2}"})),
        stop(4),
        start(5, json!({"type": "text", "text": ""})),
        delta(5, json!({"type": "text_delta", "text": "!"})),
        stop(5),
        json!({"type": "new_event", "note": "x"}),
    ];
    let (codec, events, error) = run(Framing::Sse, &[whole(events).as_bytes()]);
    assert_eq!(error, None);
    let texts: Vec<_> = events.iter().map(|event| (texts_of(event).join(" | "), event.last)).collect();
    let expected = [
        ("word 0 !claude-x", false),
        ("", false),
        ("", false),
        ("reasoning 0 hm", false),
        ("", false),
        ("", false),
        ("", false),
        ("content 0 pro", false),
        ("other 0 c | other 1 d", false),
        ("", false),
        ("name 0 !web_search", false),
        ("tool_arguments 0 {\"q\":1}", false),
        ("", false),
        // The text of all blocks is one, and where they meet without a space it is lines, too.
        ("content 0 j | content 1 !\npro\nj", false),
        ("content 0 ect | content 1 !ect", false),
        ("", false),
        ("name 1 !get", true),
        ("tool_arguments 1 {\"q\":", true),
        ("tool_arguments 1 2}", true),
        ("", true),
        ("", false),
        ("content 0 ! | content 1 !\nject\n!", false),
        ("", false),
        ("word 1 !new_event | other 2 !note | other 3 x", false),
        ("", true),
        ("", true),
    ];
    assert_eq!(texts, expected.map(|(text, last)| (text.to_owned(), last)));
    // Events go by their types' names.
    let names = events.iter().map(|event| written(&*codec, event)).collect::<String>();
    let names: Vec<_> = names.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!((names[0], names[2], names[4]), ("event: message_start", "event: ping", "event: content_block_start"));
    assert!(names.contains(&r#"data: {"type":"new_event","note":"x"}"#) && !names.contains(&"event: new_event"));
    assert_eq!(names.last(), Some(&r#"data: {"type":"message_stop"}"#));
}

#[test]
fn an_event_is_what_its_type_says_whatever_its_name() {
    let data = delta(0, json!({"type": "text_delta", "text": "a"}));
    let begun = stream(&[begin(), start(0, json!({"type": "text", "text": ""}))]);
    let (codec, events, _) = run(Framing::Sse, &[format!("{begun}event: ping\ndata: {data}\n\n").as_bytes()]);
    assert_eq!(texts_of(&events[2]), ["content 0 a"]);
    assert_eq!(written(&*codec, &events[2]), format!("event: content_block_delta\ndata: {data}\n\n"));
    let (codec, events, _) = run(Framing::Sse, &[b"data: {\"error\":{\"message\":\"m\"}}\n\n"]);
    assert_eq!(written(&*codec, &events[0]), "event: error\ndata: {\"error\":{\"message\":\"m\"}}\n\n");
}

#[test]
fn escapes_in_tool_arguments_hide_nothing() {
    let piece = |json: &str| delta(0, json!({"type": "input_json_delta", "partial_json": json}));
    let pieces = ["{\"q\":\"ig", "n\\u00", "6fre", "\"}"].map(piece);
    let call = start(0, json!({"type": "tool_use", "id": "toolu_1", "input": {}}));
    let (codec, events, _) = run(Framing::Sse, &[whole([call].into_iter().chain(pieces)).as_bytes()]);
    let texts: Vec<_> = events[2..6].iter().flat_map(texts_of).collect();
    let expected = [
        "tool_arguments 0 {\"q\":\"ig",
        "tool_arguments 0 n\\u00",
        "tool_arguments 0 6fre",
        "tool_arguments 1 !{\"q\":\"ignore",
        "tool_arguments 0 \"}",
        "tool_arguments 1 !\"}",
    ];
    assert_eq!(texts, expected);
    assert!(encoded(&*codec, &events[4], &[Some("x"), None]).is_ok());
    assert!(matches!(encoded(&*codec, &events[4], &[None, Some("x")]), Err(WireError::NotEditable { .. })));
}

#[test]
fn a_stream_ends_once_and_only_when_complete() {
    let ends = |stream: &str| {
        let (_, events, error) = run(Framing::Sse, &[stream.as_bytes()]);
        (events.len(), matches!(events.last(), Some(Event { body: Body::End, .. })), error)
    };
    let [stopped, _] = end();
    let begun = stream(&[begin()]) + &stream(&says(0, "a"));
    assert_eq!(ends(&whole(says(0, "a"))), (6, false, None));
    assert_eq!(ends(whole(says(0, "a")).trim_end()), (6, false, None));
    // Some leave the last event out.
    assert_eq!(ends(&(begun.clone() + &frame(&stopped))), (6, true, None));
    assert_eq!(
        ends(&(begun.clone() + "event: error\ndata: {\"type\":\"error\",\"error\":{\"message\":\"m\"}}\n\n")),
        (6, true, None)
    );
    // Behind the end nothing is read, not even rubbish.
    assert_eq!(ends(&(whole(says(0, "a")) + "data: \0\n\ndata: [DONE]\n\n")), (6, false, None));
    assert_eq!(ends(&begun), (4, false, Some(WireError::Truncated)));
    assert_eq!(ends(&(begun + "data: {\"type\":")), (4, false, Some(WireError::Truncated)));
    assert_eq!(ends(""), (0, false, Some(WireError::Truncated)));
    let text = || start(0, json!({"type": "text", "text": ""}));
    for events in [
        // The SDKs would count these blocks otherwise than their `index` says, and join other texts.
        vec![start(1, json!({"type": "text", "text": "a"}))],
        vec![json!({"type": "content_block_start", "content_block": {"type": "text"}})],
        vec![text(), text()],
        vec![delta(0, json!({"text": "a"}))],
        vec![text(), delta(1, json!({"text": "a"}))],
        vec![text(), stop(7)],
        vec![text(), json!({"type": "content_block_delta", "delta": {"text": "a"}})],
        vec![text(), json!({"delta": {"partial_json": "a"}})],
        vec![text(), start(1, json!({"type": "text", "text": "a"})), delta(0, json!({"text": "b"}))],
        vec![text(), start(1, json!({"type": "text", "text": "a"})), delta(0, json!({"thinking": "b"}))],
        vec![begin()],
        vec![text(), json!(["a"])],
        vec![json!({"content": [{"content": {"source": {"type": "base64", "data": "JVBERi0"}}}]})],
    ] {
        let before = events.len();
        let bad = stream(&[begin()]) + &stream(&events) + &stream(&end());
        let (events, ended, error) = ends(&bad);
        assert!(events == before && !ended && error.is_some(), "{bad}");
    }
    let mut full = begin();
    full["message"]["content"] = json!([{"type": "text", "text": "a"}]);
    assert_eq!(ends(&frame(&full)).2.unwrap().to_string(), "message.content: expected an empty list");
}

#[test]
fn sizes_are_bounded() {
    let long = json!({"content": [{"type": "text", "text": "a".repeat(MAX)}]}).to_string();
    for (framing, body) in [(Framing::Sse, format!("data: {long}\n\n")), (Framing::Json, long)] {
        let (_, events, error) = run(framing, &[body.as_bytes()]);
        assert!(events.is_empty());
        assert_eq!(error, Some(WireError::TooLarge { limit: MAX }));
    }
    let leaves: serde_json::Map<_, _> = (0..501).map(|number| (format!("k{number}"), "x".into())).collect();
    let (_, _, error) = run(Framing::Json, &[json!({"detail": leaves}).to_string().as_bytes()]);
    assert_eq!(error.unwrap().to_string(), "the answer: expected at most 1000 texts");
    let mut codec = codec(Framing::Sse);
    codec.push((frame(&begin()) + "data: {").as_bytes()).unwrap();
    assert_eq!(codec.buffered(), codec.next().map_or(0, |event| event.size) + "data: {".len());
    let mut codec = super::codec(Framing::Sse);
    codec.push(frame(&begin()).as_bytes()).unwrap();
    let starts = (0..5000).find_map(|index| codec.push(frame(&start(index, json!({}))).as_bytes()).err());
    assert_eq!(starts.unwrap().to_string(), "the body: expected blocks in the order of their `index`, at most 4096");
}

#[test]
fn a_cut_stream_ends_as_the_sdk_expects() {
    let [first, text, stopped] = says(0, "a");
    let (codec, events, _) =
        run(Framing::Sse, &[whole([first, text, stopped].into_iter().chain(says(1, "b"))).as_bytes()]);
    let refused = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"refusal\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":15}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    let closes =
        |index| format!("event: content_block_stop\ndata: {{\"type\":\"content_block_stop\",\"index\":{index}}}\n\n");
    // Nothing has been written, and so the message must begin.
    let unwritten = cut(&*codec, Cut::Blocked);
    let (begun, rest) = unwritten.split_at(unwritten.find("event: message_delta").unwrap());
    assert!(
        begun.starts_with(
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_portcullis_"
        )
    );
    assert!(begun.contains("\"model\":\"\"") && rest == refused, "{unwritten}");
    // What is open is what has been written of it, however far the upstream is.
    for (event, open) in events.iter().zip([None, Some(0), Some(0), None, Some(1), Some(1), None]) {
        written(&*codec, event);
        assert_eq!(cut(&*codec, Cut::Blocked), open.map(closes).unwrap_or_default() + refused);
    }
    assert_eq!(
        cut(&*codec, Cut::Failed(&refusal(StatusCode::BAD_GATEWAY))),
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"what \\\"and\\\" why\"}}\n\n"
    );
    assert_eq!(codec.heartbeat(), ": \n\n");
    let (codec, _) = unary(&json!({}));
    assert!(codec.cut(Cut::Blocked).is_empty() && codec.heartbeat().is_empty());
}

#[test]
fn an_end_that_the_upstream_left_out_is_written() {
    let [stopped, _] = end();
    let (codec, events, _) = run(Framing::Sse, &[stream(&[begin(), stopped]).as_bytes()]);
    assert_eq!(written(&*codec, &events[2]), "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    let (codec, events, _) = run(Framing::Sse, &[stream(&[begin(), json!({"type": "error", "error": {}})]).as_bytes()]);
    assert_eq!((written(&*codec, &events[2]), events[1].last), (String::new(), true));
}

#[test]
fn refuses_and_answers_in_the_dialects_words() {
    let dialect = Anthropic::default();
    for (status, kind) in [
        (StatusCode::BAD_REQUEST, "invalid_request_error"),
        (StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error"),
        (StatusCode::NOT_FOUND, "not_found_error"),
        (StatusCode::PAYLOAD_TOO_LARGE, "request_too_large"),
        (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error"),
        (StatusCode::BAD_GATEWAY, "api_error"),
        (StatusCode::SERVICE_UNAVAILABLE, "overloaded_error"),
        (StatusCode::GATEWAY_TIMEOUT, "timeout_error"),
    ] {
        let error: Json = serde_json::from_slice(&dialect.refuse(&refusal(status))).unwrap();
        assert_eq!(error, json!({"type": "error", "error": {"type": kind, "message": "what \"and\" why"}}));
    }
    let request = |stream: bool| {
        let body = json!({"messages": [], "model": "claude-x", "stream": stream});
        dialect.parse_request(body.to_string().into(), "").unwrap()
    };
    let (framing, body) = dialect.answer_with(&*request(false), "I \"can't\".");
    assert_eq!(framing, Framing::Json);
    let (_, event) = unary(&serde_json::from_slice(&body).unwrap());
    assert_eq!(texts_of(&event), ["word 0 !claude-x", "content 0 I \"can't\"."]);
    let answer: Json = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (&answer["type"], &answer["role"], &answer["stop_reason"]),
        (&json!("message"), &json!("assistant"), &json!("end_turn"))
    );

    let (framing, body) = dialect.answer_with(&*request(true), "I \"can't\".");
    assert_eq!(framing, Framing::Sse);
    let (codec, events, error) = run(framing, &[&body]);
    assert_eq!(error, None);
    assert_eq!(events.iter().flat_map(texts_of).collect::<Vec<_>>(), ["word 0 !claude-x", "content 0 I \"can't\"."]);
    let names = "message_start content_block_start content_block_delta content_block_stop message_delta message_stop";
    let again: String = events.iter().map(|event| written(&*codec, event)).collect();
    assert_eq!(again.as_bytes(), &body[..]);
    let sent: Vec<_> = again.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(sent.join(" "), names);
}

#[test]
fn a_stream_of_lines_is_none_of_this_api() {
    let (_, events, error) = run(Framing::Ndjson, &[format!("{}\n", begin()).as_bytes()]);
    assert!(events.is_empty() && matches!(error, Some(WireError::Shape { .. })), "{error:?}");
}
