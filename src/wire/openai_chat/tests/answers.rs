//! Answers: texts and channels, order and end of a stream, what is written.

use http::StatusCode;
use serde_json::{Value as Json, json};

use super::{MAX, codec, finish, run, stream, texts_of};
use crate::wire::openai_chat::OpenAiChat;
use crate::wire::{AnswerCodec, Body, Cut, Dialect, Event, Framing, Refusal, WireError};

fn unary(body: &Json) -> (Box<dyn AnswerCodec>, Event) {
    let (codec, mut events, error) = run(Framing::Json, &[body.to_string().as_bytes()]);
    assert_eq!(error, None, "{body}");
    assert!(events.len() == 1 && events[0].last);
    (codec, events.remove(0))
}

fn delta(delta: Json) -> Json {
    json!({"choices": [{"delta": delta, "index": 0}], "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 5})
}

fn encoded(codec: &dyn AnswerCodec, event: &Event, texts: &[Option<&str>]) -> Result<String, WireError> {
    let texts: Vec<_> = texts.iter().map(|text| text.map(str::to_owned)).collect();
    codec.encode(event, &texts).map(|bytes| String::from_utf8(bytes.into()).unwrap())
}

fn refusal(status: StatusCode) -> Refusal {
    Refusal { status, code: "a_code", message: "what \"and\" why".into(), param: None }
}

#[test]
fn finds_the_texts_of_a_completion() {
    let body = json!({
        "choices": [
            {"finish_reason": "stop", "index": 0, "message": {"content": "c0", "reasoning_content": "r0", "refusal": null, "role": "assistant"}},
            {"finish_reason": "stop", "index": 1, "message": {"content": [{"text": "p0", "type": "text"}, {"text": "p1", "type": "text"}], "refusal": "no"}},
            {"index": 2, "message": {"annotations": [{"type": "url_citation", "url_citation": {"title": "t", "url": "u"}}], "audio": {"transcript": "said"},
                "content": null, "function_call": {"arguments": "{}", "name": "f"},
                "tool_calls": [{"function": {"arguments": "{\"a\":1}", "name": "g"}, "id": "x", "type": "function"},
                               {"custom": {"input": "i", "name": "h"}, "id": "an odd id"}]},
                "stop_reason": "END"}],
        "created": 1, "id": "chatcmpl-1", "model": "m", "object": "chat.completion", "provider": "a b", "usage": {"total_tokens": 5}, "x": {"odd key": 1},
    });
    let (_, event) = unary(&body);
    let expected = [
        "0 content 0 c0",
        "0 reasoning 0 r0",
        "1 content 0 p0",
        "1 content 0 p1",
        "1 refusal 0 no",
        "2 other 0 t",
        "2 other 1 u",
        "2 content 0 said",
        "2 tool_arguments 0 {}",
        "2 name 0 !f",
        "2 tool_arguments 1 {\"a\":1}",
        "2 name 1 !g",
        "2 word 0 !x",
        "2 tool_arguments 2 i",
        "2 name 2 !h",
        "2 other 2 !an odd id",
        "2 word 1 !END",
        "0 word 0 !m",
        "0 other 0 !a b",
        "0 other 1 !x",
        "0 other 2 !odd key",
        "0 other 3 !1",
        "1 content 1 !\np0\np1",
    ];
    assert_eq!(texts_of(&event), expected);
}

#[test]
fn errors_are_judged_whatever_their_shape() {
    for (body, expected) in [
        (
            json!({"error": {"code": "c", "message": "the prompt said x", "param": null, "type": "t"}}),
            &["0 word 0 !c", "0 other 0 the prompt said x", "0 word 1 !t"][..],
        ),
        (json!({"error": "plain"}), &["0 other 0 plain"]),
        (
            json!({"detail": [{"loc": ["body"], "msg": "field required"}]}),
            &["0 other 0 !detail", "0 other 1 !loc", "0 other 2 body", "0 other 3 !msg", "0 other 4 field required"],
        ),
        (
            json!({"code": 400, "message": "m", "object": "error"}),
            &["0 other 0 !code", "0 other 1 !400", "0 other 2 !message", "0 other 3 m"],
        ),
        (json!("Not found"), &["0 other 0 Not found"]),
        (json!(["a", 1]), &["0 other 0 a", "0 other 1 !1"]),
    ] {
        let (_, event) = unary(&body);
        assert_eq!(texts_of(&event), expected, "{body}");
    }
}

#[test]
fn a_stream_is_events_in_order_with_channels() {
    let chunks = [
        delta(json!({"content": "", "role": "assistant"})),
        delta(json!({"content": "Hel"})),
        delta(json!({"content": "lo", "reasoning": "hm"})),
        delta(json!({"tool_calls": [{"function": {"arguments": "", "name": "f"}, "id": "call_x", "index": 0}]})),
        delta(
            json!({"tool_calls": [{"function": {"arguments": "{\"q\":"}, "index": 1}, {"function": {"arguments": "{"}, "index": 0}]}),
        ),
        delta(json!({"tool_calls": [{"function": {"arguments": "1}"}, "index": 1}]})),
        json!({"choices": [{"delta": {"content": "other"}, "index": 3}], "usage": {"total_tokens": 3}}),
        finish(0),
        json!({"choices": [], "usage": {"total_tokens": 5}}),
    ];
    let (_, events, error) = run(Framing::Sse, &[stream(&chunks).as_bytes()]);
    assert_eq!(error, None);
    let texts: Vec<_> = events.iter().map(|event| (texts_of(event).join(" | "), event.last)).collect();
    let expected = [
        ("", false),
        ("0 content 0 Hel", false),
        ("0 content 0 lo | 0 reasoning 0 hm", false),
        ("0 name 0 !f", true),
        ("0 tool_arguments 0 {\"q\": | 0 tool_arguments 1 {", true),
        ("0 tool_arguments 0 1}", true),
        ("3 content 0 other", false),
        ("", true),
        ("", true),
        ("", true),
    ];
    assert_eq!(texts, expected.map(|(text, last)| (text.to_owned(), last)));
    assert!(matches!(events.last().unwrap().body, Body::End));
    assert_eq!(events.iter().filter(|event| matches!(event.body, Body::End)).count(), 1);
}

#[test]
fn a_message_beside_a_piece_is_left_out_of_a_stream_only() {
    let said = |message: Json| json!({"choices": [{"index": 0, "delta": {"content": "b"}, "message": message}]});
    let both = said(json!({"content": "ab", "token_ids": [7], "x": "y"}));
    let only = json!({"choices": [{"index": 0, "delta": null, "message": {"content": "ab"}}]});
    let (codec, events, error) = run(Framing::Sse, &[stream(&[both.clone(), only.clone()]).as_bytes()]);
    assert_eq!(error, None);
    let texts: Vec<_> = events.iter().map(texts_of).collect();
    assert_eq!(texts[..2], [["0 content 0 b"], ["0 content 1 ab"]]);
    let out = |event: usize| encoded(&*codec, &events[event], &[None]).unwrap();
    let first: Json = serde_json::from_str(out(0).strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(first, json!({"choices": [{"index": 0, "delta": {"content": "b"}}]}));
    assert_eq!(out(1), format!("data: {only}\n\n"));
    // Of a whole answer it is what is read.
    let (codec, event) = unary(&both);
    assert_eq!(texts_of(&event), ["0 content 0 b", "0 content 1 ab", "0 other 0 !x", "0 other 1 y"]);
    assert!(encoded(&*codec, &event, &[None; 4]).unwrap().contains("\"content\":\"ab\""));
}

#[test]
fn an_empty_finish_reason_is_none() {
    let chunk = |reason: Json| json!({"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": reason}]});
    for (reason, last) in [(json!(null), false), (json!(""), false), (json!("stop"), true)] {
        let (_, events, _) = run(Framing::Sse, &[stream(&[chunk(reason.clone())]).as_bytes()]);
        assert_eq!(events[0].last, last, "{reason}");
        let cut = format!("data: {}\n\n", chunk(reason.clone()));
        let (_, _, error) = run(Framing::Sse, &[cut.as_bytes()]);
        assert_eq!(error, (!last).then_some(WireError::Truncated), "{reason}");
    }
}

#[test]
fn escapes_in_tool_arguments_hide_nothing() {
    let piece = |arguments: &str| delta(json!({"tool_calls": [{"function": {"arguments": arguments}, "index": 0}]}));
    let chunks = ["{\"q\":\"ig", "n\\u00", "6fre", "\"}"].map(piece);
    let (codec, events, _) = run(Framing::Sse, &[stream(&chunks).as_bytes()]);
    let texts: Vec<_> = events[..4].iter().flat_map(texts_of).collect();
    let expected = [
        "0 tool_arguments 0 {\"q\":\"ig",
        "0 tool_arguments 0 n\\u00",
        "0 tool_arguments 0 6fre",
        "0 tool_arguments 1 !{\"q\":\"ignore",
        "0 tool_arguments 0 \"}",
        "0 tool_arguments 1 !\"}",
    ];
    assert_eq!(texts, expected);
    assert!(encoded(&*codec, &events[2], &[Some("x"), None]).is_ok());
    assert!(matches!(encoded(&*codec, &events[2], &[None, Some("x")]), Err(WireError::NotEditable { .. })));
}

/// What is found in both views of the arguments is masked in both, and the client reads one.
#[test]
fn arguments_are_redacted_though_they_have_escapes() {
    let raw = r#"{"body":"Hi,\nbob@x.y","to":"bob@x.y"}"#;
    let mask = |text: &str| text.contains("bob@x.y").then(|| text.replace("bob@x.y", "[E]"));
    let body = json!({"choices": [{"index": 0, "message": {"tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": raw}}]}, "finish_reason": "tool_calls"}]});
    let (codec, event) = unary(&body);
    let texts: Vec<_> = event.texts.iter().map(|text| mask(&text.text)).collect();
    let out: Json = serde_json::from_slice(&codec.encode(&event, &texts).unwrap()).unwrap();
    assert_eq!(out["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"], mask(raw).unwrap());

    let pieces = [r#"{"to":"bob@x.y","a":"bob"#, "@", r#"x.y","b":"\"#, r#"nbob@x.y, "#, r#"\u0062ob@x.y"}"#];
    let chunks = pieces.map(|piece| delta(json!({"tool_calls": [{"function": {"arguments": piece}, "index": 0}]})));
    let (codec, events, _) = run(Framing::Sse, &[stream(&chunks).as_bytes()]);
    let decided = [
        vec![Some(r#"{"to":"[E]","a":"[E]"#)],
        vec![Some("")],
        vec![Some(r#"","b":"\"#)],
        vec![Some("n[E], "), Some("{\"to\":\"[E]\",\"a\":\"[E]\",\"b\":\"\n[E], ")],
    ];
    for (event, texts) in events.iter().zip(&decided) {
        assert!(encoded(&*codec, event, texts).is_ok(), "{texts:?}");
    }
    // Only the second view shows what this says.
    assert_eq!(texts_of(&events[4]).len(), 2);
    assert!(matches!(encoded(&*codec, &events[4], &[None, Some("[E]\"}")]), Err(WireError::NotEditable { .. })));
}

#[test]
fn a_stream_ends_once_and_only_when_complete() {
    let text = delta(json!({"content": "a"}));
    let ends = |stream: &str| {
        let (_, events, error) = run(Framing::Sse, &[stream.as_bytes()]);
        (events.len(), matches!(events.last(), Some(Event { body: Body::End, .. })), error)
    };
    assert_eq!(ends(&stream(&[text.clone(), finish(0)])), (3, true, None));
    assert_eq!(ends(&format!("data: {text}\n\ndata: {}\n\n", finish(0))), (3, true, None));
    assert_eq!(ends(&format!("data: {text}\n\ndata: {}\n", finish(0))), (3, true, None));
    assert_eq!(ends(&format!("data: {text}\n\ndata: {{\"error\":{{\"message\":\"m\"}}}}\n\n")), (3, true, None));
    // Behind the end nothing is read, not even rubbish.
    assert_eq!(ends(&format!("data: {text}\n\ndata: [DONE]\n\ndata: \0 {text}\n\ndata: [DONE]\n\n")), (2, true, None));
    assert_eq!(ends(&format!("data: {text}\n\n")), (1, false, Some(WireError::Truncated)));
    assert_eq!(ends(&format!("data: {text}\n\ndata: {{\"choices\":[")), (1, false, Some(WireError::Truncated)));
    assert_eq!(ends(""), (0, false, Some(WireError::Truncated)));
    for data in [
        "[DONE] x",
        "[done]",
        "{\"a\":1} {}",
        "{\"a\":1,\"a\":2}",
        "\"a\"",
        "[]",
        "{\"choices\":[{\"delta\":{}}]}",
        "{\"choices\":[{\"index\":\"0\"}]}",
        "{\"choices\":[{\"index\":128}]}",
        "{\"choices\":[{\"index\":-1}]}",
        "{\"choices\":[5]}",
        "{\"choices\":[{\"index\":0},{\"index\":0}]}",
        "{\"choices\":[{\"index\":0,\"delta\":{\"audio\":{\"data\":\"UklGR\"}}}]}",
    ] {
        let (events, ended, error) = ends(&format!("data: {text}\n\ndata: {data}\n\ndata: {text}\n\n"));
        assert!(events == 1 && !ended && error.is_some(), "{data}");
    }
}

#[test]
fn sizes_are_bounded() {
    let long = delta(json!({"content": "a".repeat(MAX)})).to_string();
    for (framing, body) in [(Framing::Sse, format!("data: {long}\n\n")), (Framing::Json, long)] {
        let (_, events, error) = run(framing, &[body.as_bytes()]);
        assert!(events.is_empty());
        assert_eq!(error, Some(WireError::TooLarge { limit: MAX }));
    }
    let leaves: serde_json::Map<_, _> = (0..501).map(|number| (format!("k{number}"), "x".into())).collect();
    let (_, _, error) = run(Framing::Json, &[json!({"detail": leaves}).to_string().as_bytes()]);
    assert_eq!(error.unwrap().to_string(), "the answer: expected at most 1000 texts");
    let mut codec = codec(Framing::Sse);
    codec.push(format!("data: {}\n\ndata: {{", finish(0)).as_bytes()).unwrap();
    assert_eq!(codec.buffered(), codec.next().map_or(0, |event| event.size) + "data: {".len());
}

#[test]
fn writes_changed_texts_and_nothing_that_repeats_them() {
    let body = json!({"choices": [{"index": 0, "logprobs": {"content": [{"bytes": [104, 105], "logprob": -0.5, "token": "hi", "top_logprobs": [{"logprob": -1, "token": "ho"}]}]},
        "message": {"content": "hi", "token_ids": [7], "tokens": [7]}, "token_ids": [7], "completion_probabilities": [{"content": "hi"}]}],
        "tokens": ["hi"], "prompt_logprobs": [{"1": {"decoded_token": "secret"}}], "prompt_token_ids": [1]});
    let (codec, event) = unary(&body);
    assert_eq!(texts_of(&event), ["0 content 0 hi"]);
    // Copies of the text that are not judged stay away, changed or not, and so do the tokens that were not chosen.
    let expected = r#"{"choices":[{"index":0,"logprobs":{"content":[{"bytes":[104,105],"logprob":-0.5,"token":"hi","top_logprobs":[]}]},"message":{"content":"hi"}}]}"#;
    assert_eq!(encoded(&*codec, &event, &[None]).unwrap(), expected);
    let out = encoded(&*codec, &event, &[Some("#\n")]).unwrap();
    assert_eq!(out, r##"{"choices":[{"index":0,"message":{"content":"#\n"}}]}"##);
}

#[test]
fn logprobs_that_say_something_else_are_dropped() {
    let sound = json!({"content": [{"bytes": [104], "logprob": -0.5, "token": "h", "top_logprobs": []}, {"bytes": null, "logprob": -0.5, "token": "i"}], "refusal": null});
    for (logprobs, kept) in [
        (sound, true),
        (json!({"content": null}), true),
        (json!({"content": []}), true),
        (json!({"content": [{"token": "ho"}]}), false),
        (json!({"content": [{"token": "hi", "bytes": [104, 111]}]}), false),
        (json!({"content": [{"token": "hi", "note": "ho"}]}), false),
        (json!({"content": [{"token": "hi", "top_logprobs": [{"token": "bluebird", "odd": "bluebird"}]}]}), true),
        (json!({"content": [{"token": "hi", "top_logprobs": {"token": "bluebird"}}]}), false),
        (json!({"content": [{"token": "", "top_logprobs": [{"token": "bluebird"}]}, {"token": "hi"}]}), false),
        (json!({"content": [{"token": "hi", "logprob": -9999.0}]}), true),
        (json!({"content": [{"token": "hi", "logprob": 4111111111111111u64}]}), false),
        (json!({"refusal": [{"token": "hi"}]}), false),
        (json!({"tokens": ["hi"]}), false),
        (json!("hi"), false),
        (json!(["hi"]), false),
    ] {
        let chunk = json!({"choices": [{"delta": {"content": "hi"}, "index": 0, "logprobs": logprobs}]});
        let (codec, events, _) = run(Framing::Sse, &[stream(std::slice::from_ref(&chunk)).as_bytes()]);
        let out = encoded(&*codec, &events[0], &[None]).unwrap();
        assert_eq!(out.contains("logprobs\":"), kept, "{chunk}");
        assert!(!out.contains("bluebird"), "{out}");
    }
}

#[test]
fn arguments_of_a_whole_call_stay_json() {
    let body = json!({"choices": [{"index": 0, "message": {"tool_calls": [{"function": {"arguments": "{\"a\":\"b\"}", "name": "f"}}]}}]});
    let (codec, event) = unary(&body);
    assert!(encoded(&*codec, &event, &[Some("{\"a\":\"#\"}"), None]).is_ok());
    let at = "choices[0].message.tool_calls[0].function.arguments".to_owned();
    assert_eq!(encoded(&*codec, &event, &[Some("{#}"), None]), Err(WireError::NotEditable { at }));
    assert!(matches!(encoded(&*codec, &event, &[None, Some("g")]), Err(WireError::NotEditable { .. })));

    // What was no JSON before need not become it.
    let body = json!({"choices": [{"index": 0, "message": {"tool_calls": [{"custom": {"input": "{a", "name": "f"}, "function": {"arguments": "{a"}}]}}]});
    let (codec, event) = unary(&body);
    let at = texts_of(&event).iter().rposition(|text| text.ends_with("{a")).unwrap();
    let mut edits = vec![None; event.texts.len()];
    edits[at] = Some("{#");
    assert!(encoded(&*codec, &event, &edits).is_ok());
}

#[test]
fn a_cut_stream_ends_as_the_sdk_expects() {
    let first =
        json!({"choices": [{"delta": {"content": "a"}, "index": 0}], "id": "chatcmpl-1", "created": 5, "model": "m"});
    let (codec, events, _) = run(
        Framing::Sse,
        &[stream(&[first, json!({"choices": [{"delta": {"content": "b"}, "index": 2}]}), finish(0)]).as_bytes()],
    );
    // The model's name is a text, and nothing to repeat before it was judged.
    let unwritten = String::from_utf8(codec.cut(Cut::Blocked).into()).unwrap();
    assert!(unwritten.contains("\"model\":\"\"") && unwritten.contains("\"chatcmpl-portcullis-"), "{unwritten}");
    encoded(&*codec, &events[0], &[None, None]).unwrap();
    let blocked = String::from_utf8(codec.cut(Cut::Blocked).into()).unwrap();
    let chunk = |index| {
        format!(
            "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":5,\"model\":\"m\",\"choices\":[{{\"index\":{index},\"delta\":{{}},\"logprobs\":null,\"finish_reason\":\"content_filter\"}}]}}\n\n"
        )
    };
    assert_eq!(blocked, chunk(0) + &chunk(2) + "data: [DONE]\n\n");
    let failed = String::from_utf8(codec.cut(Cut::Failed(&refusal(StatusCode::BAD_GATEWAY))).into()).unwrap();
    assert_eq!(
        failed,
        "data: {\"error\":{\"message\":\"what \\\"and\\\" why\",\"type\":\"server_error\",\"param\":null,\"code\":\"a_code\"}}\n\ndata: [DONE]\n\n"
    );
    assert_eq!(codec.heartbeat(), ": \n\n");

    // An id that could be a text is not repeated.
    let (codec, events, _) =
        run(Framing::Sse, &[stream(&[json!({"id": "a text", "model": "b text", "created": "c text"})]).as_bytes()]);
    encoded(&*codec, &events[0], &[None, None, None]).unwrap();
    let blocked = String::from_utf8(codec.cut(Cut::Blocked).into()).unwrap();
    assert!(
        blocked.contains("\"index\":0") && blocked.contains("\"chatcmpl-portcullis-") && !blocked.contains("text"),
        "{blocked}"
    );

    let (codec, _) = unary(&json!({}));
    assert!(codec.cut(Cut::Blocked).is_empty() && codec.heartbeat().is_empty());
}

#[test]
fn refuses_and_answers_in_the_dialects_words() {
    let dialect = OpenAiChat::default();
    let refused = Refusal { param: Some("messages[0]".into()), ..refusal(StatusCode::BAD_REQUEST) };
    let error: Json = serde_json::from_slice(&dialect.refuse(&refused)).unwrap();
    assert_eq!(
        error,
        json!({"error": {"message": "what \"and\" why", "type": "invalid_request_error", "param": "messages[0]", "code": "a_code"}})
    );

    let request = |stream: bool| {
        dialect
            .parse_request(json!({"messages": [], "model": "gpt-x", "stream": stream}).to_string().into(), "")
            .unwrap()
    };
    let (framing, body) = dialect.answer_with(&*request(false), "I \"can't\".");
    assert_eq!(framing, Framing::Json);
    let answer: Json = serde_json::from_slice(&body).unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], "I \"can't\".");
    assert_eq!(
        (&answer["object"], &answer["model"], &answer["choices"][0]["finish_reason"]),
        (&json!("chat.completion"), &json!("gpt-x"), &json!("stop"))
    );
    assert!(answer["id"].as_str().unwrap().starts_with("chatcmpl-portcullis-"));

    let (framing, body) = dialect.answer_with(&*request(true), "I \"can't\".");
    assert_eq!(framing, Framing::Sse);
    let (_, events, error) = run(framing, &[&body]);
    assert_eq!((events.len(), error), (4, None));
    assert_eq!(
        events.iter().flat_map(texts_of).collect::<Vec<_>>(),
        ["0 word 0 !gpt-x", "0 word 0 !", "0 content 0 I \"can't\".", "0 word 0 !"]
    );
}
