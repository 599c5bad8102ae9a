//! Answers: texts and channels, what is written, what is left out.

use http::StatusCode;
use serde_json::{Value as Json, json};

use super::{CHAT, GENERATE, done, lines, said};
use crate::wire::testing::{encoded, listed, run, texts_of, unary};
use crate::wire::{Cut, Dialect, Framing, Refusal, WireError};

fn refusal() -> Refusal {
    Refusal { status: StatusCode::BAD_REQUEST, code: "a_code", message: "what \"and\" why".into(), param: None }
}

fn parsed(bytes: &[u8]) -> Json {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn finds_the_texts_of_an_answer() {
    let chat = json!({"model": "llama3.2", "created_at": "2023-12-12T14:13:43.416799Z", "done": true, "done_reason": "stop",
        "message": {"role": "assistant", "content": "c", "thinking": "t", "tool_calls": [
            {"id": "call_1", "function": {"index": 0, "name": "get", "arguments": {"city": "Oslo", "days": 3}}},
            {"function": {"index": 1, "name": "put", "arguments": {"city": "Rome"}}}]},
        "total_duration": 5191566416u64, "eval_count": 298});
    let (_, event) = unary(&CHAT, &chat);
    let mut found = texts_of(&event);
    found.sort();
    let mut expected = [
        "0 word 0 !llama3.2",
        "0 content 0 c",
        "0 reasoning 0 t",
        "0 name 0 !get",
        "0 name 1 !put",
        "0 tool_arguments 0 !city",
        "0 tool_arguments 1 Oslo",
        "0 tool_arguments 2 !days",
        "0 tool_arguments 3 !3",
        "0 tool_arguments 4 !city",
        "0 tool_arguments 5 Rome",
    ];
    expected.sort_unstable();
    assert_eq!(found, expected);
    let generate = json!({"response": "r", "thinking": "t", "done": true});
    assert_eq!(texts_of(&unary(&GENERATE, &generate).1), ["0 content 0 r", "0 reasoning 0 t"]);
    let error = json!({"error": "model 'bluebird' not found"});
    assert_eq!(texts_of(&unary(&CHAT, &error).1), ["0 other 0 model 'bluebird' not found"]);
    let nested = json!({"error": {"message": "m"}, "StatusCode": 401});
    let expected = ["0 other 0 !message", "0 other 1 m", "0 other 2 !StatusCode", "0 other 3 !401"];
    assert_eq!(texts_of(&unary(&CHAT, &nested).1), expected);
}

#[test]
fn pictures_are_refused() {
    for body in [json!({"image": "aGk="}), json!({"message": {"images": ["aGk="]}})] {
        let (_, events, error) = run(&GENERATE, Framing::Json, &[body.to_string().as_bytes()]);
        assert!(events.is_empty() && matches!(error, Some(WireError::Unsupported { .. })), "{body}");
    }
    assert!(texts_of(&unary(&CHAT, &json!({"message": {"images": []}})).1).is_empty());
}

#[test]
fn the_context_never_leaves() {
    let (codec, event) = unary(&GENERATE, &json!({"context": [1, 2, 3], "response": "yo"}));
    assert_eq!(encoded(&*codec, &event, &[]).unwrap(), r#"{"response":"yo"}"#);
}

#[test]
fn durations_leave_while_they_are_such() {
    for (duration, kept) in [
        (json!(0), true),
        (json!(104883583668u64), true),
        (json!(9999999999999u64), true),
        (json!(41111111111111u64), false),
        (json!(-5), false),
        (json!(1.5), false),
        (json!("5s"), false),
        (json!([5]), false),
    ] {
        let (codec, event) = unary(&CHAT, &json!({"eval_duration": duration, "done": true}));
        assert!(event.texts.is_empty());
        assert_eq!(encoded(&*codec, &event, &[]).unwrap().contains("eval_duration"), kept, "{duration}");
    }
}

#[test]
fn logprobs_leave_while_they_spell_the_text() {
    let entry = json!({"token": "yo", "logprob": -0.5, "bytes": [121, 111], "top_logprobs": [{"token": "bluebird", "logprob": -1}]});
    for (line, kept) in [
        (json!({"message": {"content": "yo"}, "logprobs": [entry]}), true),
        (json!({"message": {"content": "", "thinking": "yo"}, "logprobs": [entry]}), true),
        (json!({"response": "yo", "logprobs": [entry]}), true),
        (json!({"response": "yo", "logprobs": []}), true),
        (json!({"response": "ya", "logprobs": [entry]}), false),
        (json!({"response": "", "logprobs": [entry]}), false),
        (json!({"response": "yo", "logprobs": "yo"}), false),
        (json!({"response": "yo", "logprobs": [{"token": "yo", "note": "bluebird"}]}), false),
    ] {
        let (codec, event) = unary(&CHAT, &line);
        let out = encoded(&*codec, &event, &[]).unwrap();
        assert_eq!(out.contains("logprobs\":["), kept, "{out}");
        assert!(!out.contains("bluebird"), "{out}");
        if let Some(at) = event.texts.iter().position(|text| text.text == "yo") {
            let mut edits = vec![None; event.texts.len()];
            edits[at] = Some("#");
            let out = encoded(&*codec, &event, &edits).unwrap();
            assert!(!out.contains("yo") && !out.contains("logprobs"), "{out}");
        }
    }
}

#[test]
fn writes_changed_texts() {
    let call = json!({"message": {"tool_calls": [{"function": {"name": "f", "arguments": {"to": "bob", "n": 5}}}]}, "done": true});
    let (codec, event) = unary(&CHAT, &call);
    let at = event.texts.iter().position(|text| text.text == "bob").unwrap();
    let mut edits = vec![None; event.texts.len()];
    edits[at] = Some("#\"\n");
    let out = parsed(encoded(&*codec, &event, &edits).unwrap().as_bytes());
    assert_eq!(out["message"]["tool_calls"][0]["function"]["arguments"], json!({"to": "#\"\n", "n": 5}));
    for (text, edit) in event.texts.iter().zip(0..) {
        let mut edits = vec![None; event.texts.len()];
        edits[edit] = Some("#");
        assert_eq!(encoded(&*codec, &event, &edits).is_ok(), text.can_be_edited(), "{}", text.text);
    }
}

#[test]
fn refuses_and_answers_in_the_dialects_words() {
    assert_eq!(CHAT.refuse(&refusal()), r#"{"error":"what \"and\" why"}"#);
    for dialect in [CHAT, GENERATE] {
        let request = |stream: bool| {
            dialect.parse_request(json!({"model": "m", "stream": stream}).to_string().into(), "").unwrap()
        };
        let (framing, body) = dialect.answer_with(&*request(false), "I \"can't\".");
        assert_eq!(framing, Framing::Json);
        let answer = parsed(&body);
        let text = if dialect.name() == "ollama_chat" { &answer["message"]["content"] } else { &answer["response"] };
        assert_eq!(text, "I \"can't\".");
        assert_eq!(
            (&answer["model"], &answer["done"], &answer["done_reason"]),
            (&json!("m"), &json!(true), &json!("stop"))
        );
        let (_, event) = unary(&dialect, &answer);
        assert_eq!(event.texts.len(), 2, "its time is one");
        let (framing, body) = dialect.answer_with(&*request(true), "I \"can't\".");
        assert_eq!(framing, Framing::Ndjson);
        let (_, events, error) = run(&dialect, framing, &[&body]);
        assert_eq!(error, None);
        let last: Vec<_> = events.iter().map(|event| event.last).collect();
        assert_eq!(last, [false, true]);
        let mut texts = texts_of(&events[0]);
        texts.sort();
        assert_eq!(texts, ["0 content 0 I \"can't\".", "0 word 0 !m"]);
    }
    assert_eq!((CHAT.name(), GENERATE.name()), ("ollama_chat", "ollama_generate"));
    assert_eq!(listed(&CHAT, &json!({})), Vec::<String>::new());
}

#[test]
fn a_cut_stream_ends_as_the_clients_expect() {
    let stream = lines(&[said(json!({"role": "assistant", "content": "a"})), done()]);
    for (dialect, text) in [(CHAT, "/message/content"), (GENERATE, "/response")] {
        let (codec, events, _) = run(&dialect, Framing::Ndjson, &[stream.as_bytes()]);
        // The model's name is a text, and nothing to repeat before it was judged.
        assert_eq!(parsed(&codec.cut(Cut::Blocked))["model"], "");
        encoded(&*codec, &events[0], &[]).unwrap();
        let blocked = codec.cut(Cut::Blocked);
        assert_eq!(blocked.iter().position(|&b| b == b'\n'), Some(blocked.len() - 1));
        let blocked = parsed(&blocked);
        assert_eq!((&blocked["model"], blocked.pointer(text)), (&json!("llama3.2"), Some(&json!(""))));
        assert_eq!((&blocked["done"], &blocked["done_reason"]), (&json!(true), &json!("content_filter")));
        let (_, again, error) = run(&dialect, Framing::Ndjson, &[blocked.to_string().as_bytes()]);
        assert_eq!((again.len(), error), (1, None));
        assert_eq!(codec.cut(Cut::Failed(&refusal())), "{\"error\":\"what \\\"and\\\" why\"}\n");
        // A blank line would be no JSON to the clients.
        assert!(codec.heartbeat().is_empty());
    }
    let (codec, events, _) = run(&CHAT, Framing::Ndjson, &[b"{\"model\":\"a text\"}\n"]);
    encoded(&*codec, &events[0], &[]).unwrap();
    assert_eq!(parsed(&codec.cut(Cut::Blocked))["model"], "");
    let (codec, _) = unary(&CHAT, &json!({}));
    assert!(codec.cut(Cut::Blocked).is_empty());
}
