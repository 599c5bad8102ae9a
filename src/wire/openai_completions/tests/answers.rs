//! Answers: texts and channels, order and end of a stream, what is written.

use http::StatusCode;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::DIALECT;
use crate::wire::testing::{an_edit_is_what_is_read, chunks_make_no_difference, encoded, ends, run, texts_of, unary};
use crate::wire::{Cut, Dialect, Framing, Refusal, WireError};

fn chunk(index: u32, text: &str) -> Json {
    json!({"id": "cmpl-1", "object": "text_completion", "created": 5, "model": "m",
        "choices": [{"index": index, "text": text, "logprobs": null, "finish_reason": null}]})
}

fn finish(index: u32) -> Json {
    json!({"id": "cmpl-1", "choices": [{"index": index, "text": "", "finish_reason": "stop"}]})
}

fn stream(chunks: &[Json]) -> String {
    chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).chain(["data: [DONE]\n\n".to_owned()]).collect()
}

#[test]
fn finds_the_texts_of_an_answer() {
    let body = json!({"id": "cmpl-uqkvlQyYK7bGYrRHQ0eXlWi7", "object": "text_completion", "created": 1589478378, "model": "m",
        "system_fingerprint": "fp_44709d6fcb", "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12},
        "choices": [{"text": "a", "index": 0, "finish_reason": "length"}, {"text": "b", "index": 1, "reasoning": "r", "stop_reason": "END"}]});
    let (_, event) = unary(&DIALECT, &body);
    let expected = ["0 word 0 !m", "0 content 0 a", "1 content 0 b", "1 reasoning 0 r", "1 word 0 !END"];
    assert_eq!(texts_of(&event), expected);
    let error = json!({"error": {"message": "m m", "type": "t", "param": null, "code": "c"}});
    assert_eq!(texts_of(&unary(&DIALECT, &error).1), ["0 other 0 m m", "0 word 0 !t", "0 word 1 !c"]);
}

#[test]
fn a_stream_is_events_in_order_with_a_channel_for_each_choice() {
    let usage = json!({"choices": [], "usage": {"total_tokens": 3}});
    let chunks = [chunk(0, "Hel"), chunk(1, "other"), chunk(0, "lo"), finish(0), finish(1), usage];
    let (_, events, error) = run(&DIALECT, Framing::Sse, &[stream(&chunks).as_bytes()]);
    assert_eq!(error, None);
    let texts = |event| texts_of(event).into_iter().filter(|text| !text.contains("word")).collect::<Vec<_>>().concat();
    let shown: Vec<_> = events.iter().map(|event| (texts(event), event.last)).collect();
    let expected = [
        ("0 content 0 Hel", false),
        ("1 content 0 other", false),
        ("0 content 0 lo", false),
        ("", true),
        ("", true),
        ("", true),
        ("", true),
    ];
    assert_eq!(shown, expected.map(|(text, last)| (text.to_owned(), last)));
}

#[test]
fn a_stream_ends_once_and_only_when_complete() {
    let text = chunk(0, "a");
    let ends = |stream: &str| ends(&DIALECT, Framing::Sse, stream);
    let mut unfinished = text.clone();
    unfinished["choices"][0]["finish_reason"] = json!("");
    assert_eq!(ends(&format!("data: {unfinished}\n\n")), (1, false, Some(WireError::Truncated)));
    assert_eq!(ends(&stream(&[text.clone(), finish(0)])), (3, true, None));
    assert_eq!(ends(&format!("data: {text}\n\ndata: {}\n\n", finish(0))), (3, true, None));
    assert_eq!(ends(&format!("data: {text}\n\ndata: {{\"error\":{{\"message\":\"m\"}}}}\n\n")), (3, true, None));
    assert_eq!(ends(&format!("data: {text}\n\ndata: [DONE]\n\ndata: {text}\n\n")), (2, true, None));
    assert_eq!(ends(&format!("data: {text}\n\n")), (1, false, Some(WireError::Truncated)));
    assert_eq!(ends(""), (0, false, Some(WireError::Truncated)));
    for data in [
        "[done]",
        "[]",
        "{\"choices\":[{\"text\":\"b\"}]}",
        "{\"choices\":[{\"index\":2048}]}",
        "{\"choices\":[{\"index\":0},{\"index\":0}]}",
    ] {
        let (events, ended, error) = ends(&format!("data: {text}\n\ndata: {data}\n\ndata: {text}\n\n"));
        assert!(events == 1 && !ended && error.is_some(), "{data}");
    }
    let lines = format!("{text}\n{}\n", finish(0));
    let (_, events, error) = run(&DIALECT, Framing::Ndjson, &[lines.as_bytes()]);
    assert!(events.is_empty() && matches!(error, Some(WireError::Shape { .. })));
}

#[test]
fn logprobs_leave_while_they_spell_the_text() {
    let sound = json!({"tokens": ["blue", "bird"], "token_logprobs": [null, -0.5], "top_logprobs": [{"secret": -1}], "text_offset": [16, 20]});
    let with = |name: &str, value: Json| {
        let mut logprobs = sound.clone();
        logprobs[name] = value;
        logprobs
    };
    for (logprobs, kept) in [
        (sound.clone(), true),
        (with("top_logprobs", json!(null)), true),
        (with("token_logprobs", json!(null)), true),
        (with("tokens", json!(["blue", "bird", ""])), false),
        (with("tokens", json!(["blue", "secret"])), false),
        (with("tokens", json!(["bluebird"])), false),
        (with("tokens", json!(null)), false),
        (with("tokens", json!("bluebird")), false),
        (with("token_logprobs", json!([-0.5, 4111111111111111u64])), false),
        (with("token_logprobs", json!(["secret", -0.5])), false),
        (with("token_logprobs", json!([-0.5])), false),
        (with("text_offset", json!([16, 21])), false),
        (with("text_offset", json!([16])), false),
        (with("text_offset", json!(["secret", 20])), false),
        (with("top_logprobs", json!("secret")), false),
        (with("note", json!("secret")), false),
        (json!("secret"), false),
    ] {
        let body = json!({"choices": [{"index": 0, "text": "bluebird", "logprobs": logprobs}]});
        let (codec, event) = unary(&DIALECT, &body);
        let out = encoded(&*codec, &event, &[]).unwrap();
        assert_eq!(out.contains("logprobs\":{"), kept, "{body}");
        assert!(!out.contains("secret"), "{out}");
        let out = encoded(&*codec, &event, &[Some("#")]).unwrap();
        assert!(!out.contains("logprobs\":{") && !out.contains("blue"), "{out}");
    }
}

#[test]
fn what_is_echoed_is_judged_where_it_is_said_again() {
    let body = json!({"choices": [{"index": 0, "text": "tell me: a bluebird", "token_ids": [1, 2], "prompt_logprobs": [{"1": {"decoded_token": "tell"}}]}],
        "prompt_token_ids": [7]});
    let (codec, event) = unary(&DIALECT, &body);
    assert_eq!(texts_of(&event), ["0 content 0 tell me: a bluebird"]);
    let out = encoded(&*codec, &event, &[Some("#: a #")]).unwrap();
    assert_eq!(out, r##"{"choices":[{"index":0,"text":"#: a #"}]}"##);
}

#[test]
fn a_cut_stream_ends_as_the_sdk_expects() {
    let chunks = [chunk(0, "a"), chunk(2, "b"), finish(0)];
    let (codec, events, _) = run(&DIALECT, Framing::Sse, &[stream(&chunks).as_bytes()]);
    let unwritten = String::from_utf8(codec.cut(Cut::Blocked).into()).unwrap();
    assert!(unwritten.contains("\"model\":\"\"") && unwritten.contains("\"cmpl-portcullis-"), "{unwritten}");
    encoded(&*codec, &events[0], &[]).unwrap();
    let end = |index| {
        format!(
            "data: {{\"id\":\"cmpl-1\",\"object\":\"text_completion\",\"created\":5,\"model\":\"m\",\"choices\":[{{\"index\":{index},\"text\":\"\",\"logprobs\":null,\"finish_reason\":\"content_filter\"}}]}}\n\n"
        )
    };
    assert_eq!(codec.cut(Cut::Blocked), end(0) + &end(2) + "data: [DONE]\n\n");
    let refusal = Refusal { status: StatusCode::BAD_GATEWAY, code: "c", message: "m".into(), param: None };
    let failed = "data: {\"error\":{\"message\":\"m\",\"type\":\"server_error\",\"param\":null,\"code\":\"c\"}}\n\ndata: [DONE]\n\n";
    assert_eq!(codec.cut(Cut::Failed(&refusal)), failed);
}

#[test]
fn refuses_and_answers_in_the_dialects_words() {
    let refusal =
        Refusal { status: StatusCode::BAD_REQUEST, code: "c", message: "m".into(), param: Some("prompt".into()) };
    let expected = r#"{"error":{"message":"m","type":"invalid_request_error","param":"prompt","code":"c"}}"#;
    assert_eq!(DIALECT.refuse(&refusal), expected);
    let request =
        |stream: bool| DIALECT.parse_request(json!({"model": "m", "stream": stream}).to_string().into(), "").unwrap();
    let (framing, body) = DIALECT.answer_with(&*request(false), "I \"can't\".");
    let answer: Json = serde_json::from_slice(&body).unwrap();
    assert_eq!((framing, &answer["choices"][0]["text"]), (Framing::Json, &json!("I \"can't\".")));
    assert_eq!(
        (&answer["model"], &answer["object"], &answer["usage"]["total_tokens"]),
        (&json!("m"), &json!("text_completion"), &json!(0))
    );
    let (framing, body) = DIALECT.answer_with(&*request(true), "I \"can't\".");
    let (_, events, error) = run(&DIALECT, framing, &[&body]);
    assert_eq!((framing, events.len(), error), (Framing::Sse, 3, None));
    assert_eq!(texts_of(&events[0])[1], "0 content 0 I \"can't\".");
    assert_eq!(DIALECT.name(), "openai_completions");
}

fn any_chunk() -> impl Strategy<Value = Json> {
    prop_oneof![
        6 => (0u32..3, "[a-z é\u{2028}\"\\\\]{1,6}").prop_map(|(index, text)| chunk(index, &text)),
        1 => (0u32..3).prop_map(finish),
        1 => Just(json!({"choices": [{"index": 9000}]})),
        1 => Just(json!({"error": {"message": "m m"}})),
    ]
}

proptest! {
    #[test]
    fn any_chunks_give_the_same_events(chunks in proptest::collection::vec(any_chunk(), 0..8), cuts in proptest::collection::vec(any::<usize>(), 0..10)) {
        chunks_make_no_difference(&DIALECT, Framing::Sse, stream(&chunks).as_bytes(), &cuts);
    }

    #[test]
    fn an_edit_is_what_the_client_reads(text in "[a-z é\u{2028}\"\\\\]{1,6}", pick in any::<usize>(), with in "[a-z\n\"é]{1,6}") {
        an_edit_is_what_is_read(&DIALECT, Framing::Sse, &chunk(0, &text).to_string(), pick, &with);
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for framing in [Framing::Json, Framing::Ndjson, Framing::Sse] {
            run(&DIALECT, framing, &[&bytes]);
        }
    }
}
