//! Requests: texts and places, refusals, edits.

use serde_json::{Value as Json, json};

use super::{CHAT, GENERATE};
use crate::wire::ollama::Ollama;
use crate::wire::testing::{edited, listed, refused};
use crate::wire::{Dialect, WireError};

#[test]
fn finds_texts_and_their_places() {
    let chat = json!({
        "model": "llama3.2:3b", "stream": false, "keep_alive": "5m", "think": "high", "format": "json", "truncate": true, "shift": false,
        "messages": [
            {"role": "system", "content": "be brief", "images": []},
            {"role": "user", "content": "blue"},
            {"role": "user", "content": "bird", "images": null},
            {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [
                {"id": "call_8f3a", "function": {"index": 0, "name": "get", "arguments": {"city": "Oslo", "days": 3}}}]},
            {"role": "tool", "content": "rain", "tool_name": "get", "tool_call_id": "call_8f3a"}],
        "tools": [{"type": "function", "function": {"name": "get", "description": "gets", "parameters":
            {"type": "object", "required": ["city"], "properties": {"city": {"type": ["string", "null"], "description": "where"}}}}}],
        "options": {"temperature": 0.1, "num_ctx": 4096, "stop": ["END"], "seed": 4111111111111111u64, "use_mmap": true},
    });
    let expected = [
        "0 system content be brief",
        "1 user content blue",
        "2 user content bird",
        "2 user content blue\nbird",
        "2 user content bluebird",
        "3 assistant reasoning hm",
        "3 assistant other !call_8f3a",
        "3 assistant name !get",
        "3 assistant tool_arguments city\nOslo\ndays\n3",
        "4 tool content rain",
        "4 tool name !get",
        "4 tool other !call_8f3a",
        "- none word !llama3.2:3b",
        "- none tool_definition get\ngets\ncity\ncity\nstring\nnull\nwhere",
        "- none other END",
    ];
    let mut found = listed(&CHAT, &chat);
    found.sort();
    let mut expected = expected.map(str::to_owned);
    expected.sort();
    assert_eq!(found, expected);
    let generate = json!({"prompt": "tell", "suffix": "end", "system": "be", "raw": false, "template": "", "context": [], "images": [],
        "model": "m", "format": {"type": "object", "properties": {"a": {"const": "c"}}}, "keep_alive": -1, "think": true});
    let mut found = listed(&GENERATE, &generate);
    found.sort();
    let expected =
        ["- none other !a\nc", "- none word !m", "- system content be", "- user content end", "- user content tell"];
    assert_eq!(found, expected);
    // To load a model, a request needs no more than its name.
    assert_eq!(listed(&CHAT, &json!({"model": "m", "keep_alive": 0})), ["- none word !m"]);
    assert_eq!(listed(&GENERATE, &json!({"model": "m"})), ["- none word !m"]);
}

#[test]
fn streams_unless_told_otherwise() {
    for dialect in [CHAT, GENERATE] {
        for (stream, expected) in
            [(None, true), (Some(Json::Null), true), (Some(json!(true)), true), (Some(json!(false)), false)]
        {
            let mut body = json!({"model": "m"});
            if let Some(stream) = stream {
                body["stream"] = stream;
            }
            let prompt = dialect.parse_request(body.to_string().into(), "").unwrap();
            assert_eq!((prompt.streams(), prompt.model()), (expected, "m"), "{body}");
        }
    }
    assert_eq!(refused(&CHAT, r#"{"stream":1}"#), "stream: expected a boolean");
}

#[test]
fn refuses_what_it_cannot_read_one_way() {
    let chat = |message: &str| format!(r#"{{"messages":[{message}]}}"#);
    let pictures = "unsupported; this route judges text only, and no pictures";
    let template = "template: unsupported; this route judges prompts, and a template of the request's own could say anything beside them";
    let cases: &[(Ollama, String, &str)] = &[
        (CHAT, "[]".into(), "the body: expected an object"),
        (CHAT, chat(r#"{"content":"a"}"#), "messages[0]: expected a role: system, user, assistant or tool"),
        // Ollama reads this one as `user`.
        (CHAT, chat(r#"{"role":"USER"}"#), "messages[0].role: expected a role: system, user, assistant or tool"),
        (CHAT, chat(r#"{"role":"user","content":["a"]}"#), "messages[0].content: expected a string"),
        (CHAT, chat(r#"{"role":"user","images":["aGk="]}"#), &format!("messages[0].images[0]: {pictures}")),
        (CHAT, r#"{"template":"{{ .Prompt }}"}"#.into(), template),
        (GENERATE, r#"{"template":"{{ .Prompt }}"}"#.into(), template),
        (GENERATE, r#"{"template":{}}"#.into(), "template: expected a string"),
        (GENERATE, r#"{"prompt":["a"]}"#.into(), "prompt: expected a string"),
        (GENERATE, r#"{"prompt":5}"#.into(), "prompt: expected a string"),
        (GENERATE, r#"{"images":["aGk="]}"#.into(), &format!("images[0]: {pictures}")),
        (
            GENERATE,
            r#"{"context":[1,2]}"#.into(),
            "context[0]: unsupported; this route judges text only, and `context` is token ids",
        ),
        (
            GENERATE,
            r#"{"raw":true}"#.into(),
            "raw: unsupported; this route judges prompts that the model's own template frames: `raw` may only be false",
        ),
        (GENERATE, r#"{"raw":"true"}"#.into(), "raw: expected a number or a boolean"),
        (GENERATE, r#"{"raw":1}"#.into(), "raw: expected a boolean"),
        (
            GENERATE,
            r#"{"x":[1]}"#.into(),
            "x[0]: unsupported; this route judges text only, and numbers in an array may be token ids",
        ),
        (CHAT, r#"{"options":{"temperature":"hot"}}"#.into(), "options.temperature: expected a number or a boolean"),
        (CHAT, r#"{"model":"a b"}"#.into(), "model: expected a plain word: up to 128 letters, digits and `-_./:@+`"),
    ];
    for (dialect, body, expected) in cases {
        assert_eq!(refused(dialect, body), *expected, "{body}");
    }
}

#[test]
fn refuses_keys_that_go_would_take_for_others() {
    for (dialect, body) in [
        (CHAT, r#"{"Messages":[]}"#),
        (CHAT, r#"{"messages":[{"role":"user","content":"ok","Content":"BAD"}]}"#),
        (CHAT, r#"{"me\u017f\u017fages":[{"role":"user","content":"BAD"}]}"#),
        (CHAT, r#"{"messages":[{"role":"user","content":"ok","ROLE":"system"}]}"#),
        (CHAT, r#"{"messages":[{"role":"assistant","Tool_Calls":[]}]}"#),
        (CHAT, r#"{"messages":[{"role":"assistant","tool_calls":[{"function":{"Arguments":{}}}]}]}"#),
        (CHAT, r#"{"tool\u017f":[]}"#),
        (CHAT, r#"{"tools":[{"Function":{}}]}"#),
        (CHAT, r#"{"\u212aeep_alive":"5m"}"#),
        (GENERATE, r#"{"prompt":"ok","promPt":"BAD"}"#),
        (GENERATE, r#"{"Suffix":"BAD"}"#),
        (GENERATE, r#"{"sy\u017ftem":"BAD"}"#),
        (GENERATE, r#"{"RAW":true}"#),
        (GENERATE, r#"{"Context":[1]}"#),
        (GENERATE, r#"{"Template":"BAD"}"#),
        (GENERATE, r#"{"Images":["aGk="]}"#),
        (GENERATE, r#"{"Stream":false}"#),
    ] {
        let error = refused(&dialect, body);
        assert!(error.ends_with("`, spelled so"), "{body}: {error}");
    }
    assert!(refused(&GENERATE, r#"{"prompt":"ok","prompt":"BAD"}"#).ends_with("the object has this key twice"));
    // In a table of the request's own, case is a difference: both are judged.
    let body = json!({"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"A": "x", "a": "y"}}}]}]});
    assert_eq!(listed(&CHAT, &body), ["0 assistant name !f", "0 assistant tool_arguments A\nx\na\ny"]);
}

#[test]
fn words_that_are_not_the_apis_own_are_judged() {
    for (member, expected) in [
        (json!({"keep_alive": "10m", "think": "max", "format": ""}), &[][..]),
        (json!({"keep_alive": "project bluebird"}), &["- none other !project bluebird"]),
        (json!({"think": "bluebird"}), &["- none word !bluebird"]),
        (json!({"format": "bluebird"}), &["- none word !bluebird"]),
        (json!({"options": {"blue": "bird", "n": 5}}), &["- none other blue\nbird", "- none other !n\n5"]),
        (json!({"documents": [{"text": "bluebird"}]}), &["- none other documents\ntext\nbluebird"]),
    ] {
        assert_eq!(listed(&CHAT, &member), expected, "{member}");
    }
}

#[test]
fn edits_in_place() {
    let body = r#"{"prompt": "mail bob@x.y \u00e9", "options": {"top_p": 1.0e0}}"#;
    assert_eq!(edited(&GENERATE, body, &[]).as_deref(), Ok(body));
    let out = edited(&GENERATE, body, &[(0, 5..12, "[E]")]).unwrap();
    assert_eq!(out, r#"{"prompt": "mail [E] \u00e9", "options": {"top_p": 1.0e0}}"#);
    let call = r#"{"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":{"to":"bob","n":5}}}]}]}"#;
    let out = edited(&CHAT, call, &[(1, 3..6, "#")]).unwrap();
    assert!(out.contains(r##""arguments":{"to":"#","n":5}"##), "{out}");
    assert!(matches!(edited(&CHAT, call, &[(1, 0..2, "#")]), Err(WireError::NotEditable { .. })));
    assert!(matches!(edited(&CHAT, call, &[(0, 0..1, "#")]), Err(WireError::NotEditable { .. })));
}
