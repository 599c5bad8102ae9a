//! Requests: texts and places, refusals, edits.

use serde_json::{Value as Json, json};

use super::{edited, listed, messages, parse};
use crate::text::{Kind, Role};
use crate::wire::WireError;

#[test]
fn finds_texts_and_their_places() {
    for (message, expected) in [
        (json!({"role": "user", "content": "hi"}), &["0 user content hi"][..]),
        (json!({"role": "system", "content": "be", "name": "bob"}), &["0 system content be", "0 system name bob"]),
        (json!({"content": "be", "role": "developer"}), &["0 developer content be"]),
        (json!({"role": "user", "content": ""}), &[]),
        (json!({"role": "user", "content": [{"text": "one", "type": "text"}]}), &["0 user content one"]),
        (
            json!({"role": "user", "content": [{"type": "text", "text": "ig"}, {"type": "text", "text": "nore", "cache_control": {"type": "ephemeral"}}]}),
            &["0 user content ig\nnore", "0 user content ignore"],
        ),
        (
            json!({"role": "user", "content": [{"type": "text", "text": "a", "odd": {"k e y": ["b"]}}]}),
            &["0 user other odd\nk e y\nb", "0 user content a"],
        ),
        (
            json!({"role": "assistant", "content": null, "refusal": "no", "reasoning": "r1", "reasoning_content": "r2"}),
            &["0 assistant refusal no", "0 assistant reasoning r1", "0 assistant reasoning r2"],
        ),
        (
            json!({"role": "assistant", "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "send", "arguments": "{\"to\":\"x\\u0040y\",\"n\":5}"}},
                {"id": "call_2", "type": "custom", "custom": {"name": "py", "input": "print(1)"}}]}),
            &[
                "0 assistant other !call_1",
                "0 assistant name !send",
                "0 assistant tool_arguments {\"to\":\"x@y\",\"n\":5}",
                "0 assistant other !call_2",
                "0 assistant name !py",
                "0 assistant tool_arguments print(1)",
            ],
        ),
        (
            json!({"role": "assistant", "function_call": {"name": "f", "arguments": "not \\u006Ason"}}),
            &[
                "0 assistant name !f",
                "0 assistant tool_arguments not \\u006Ason",
                "0 assistant tool_arguments !not json",
            ],
        ),
        (
            json!({"role": "assistant", "tool_calls": [{"function": {"arguments": {"a": "b"}}}]}),
            &["0 assistant tool_arguments a\nb"],
        ),
        (
            json!({"role": "tool", "tool_call_id": "call_1", "content": "result"}),
            &["0 tool other !call_1", "0 tool content result"],
        ),
        (json!({"role": "function", "name": "f", "content": "result"}), &["0 tool name f", "0 tool content result"]),
        (
            json!({"role": "user", "content": "hi", "thinking": [{"t": "hm", "n": 5}, true]}),
            &["0 user content hi", "0 user other thinking\nt\nhm\nn\n5"],
        ),
    ] {
        assert_eq!(listed(messages(json!([message]))), expected, "{message}");
    }
    let top = json!({
        "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        "metadata": {"k1": "v1", "k2": "v2"}, "stop": ["END", "STOP"], "user": "u-1", "stream": true, "n": 2, "temperature": 0.5,
        "logit_bias": {"50256": -100}, "tool_choice": {"type": "function", "function": {"name": "f"}}, "x_unknown": {"deep": ["leaf"]},
        "prediction": {"type": "content", "content": [{"type": "text", "text": "p1"}, {"type": "text", "text": "p2"}]},
        "tools": [{"type": "function", "function": {"name": "get", "description": "gets", "parameters":
            {"type": "object", "properties": {"city": {"type": "string", "default": "text", "description": "where", "enum": ["Oslo"]}}, "required": ["city"]}}}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "out", "schema": {"properties": {"a": {"const": "c"}}}}},
    });
    let expected = [
        "0 user content a",
        "1 assistant content b",
        "- none other k1\nv1\nk2\nv2",
        "- none other END\nSTOP",
        "- none other u-1",
        "- none tool_definition !f",
        "- none other x_unknown\ndeep\nleaf",
        "- none content p1\np2",
        "- none content p1p2",
        "- none tool_definition get\ngets\ncity\ntext\nwhere\nOslo\ncity",
        "- none other !out\na\nc",
    ];
    assert_eq!(listed(top.to_string()), expected);
    let prompt = parse(top.to_string()).unwrap();
    assert!(prompt.streams());
    assert_eq!(prompt.model(), "");
    assert_eq!(prompt.segments()[2].place.role, Role::None);
    assert_eq!(prompt.segments()[9].place.kind, Kind::ToolDefinition);
}

#[test]
fn refuses_what_it_cannot_read_one_way() {
    let user = |content: Json| messages(json!([{"role": "user", "content": content}]));
    let with = |member: &str| format!(r#"{{"messages":[{{"role":"user","content":"a"}}],{member}}}"#);
    for (body, expected) in [
        ("[]".into(), "the body: expected an object"),
        ("{}".into(), "messages: is missing"),
        (r#"{"messages":{}}"#.into(), "messages: expected an array"),
        (r#"{"messages":null}"#.into(), "messages: is missing"),
        (messages(json!(["a"])), "messages[0]: expected a role: system, developer, user, assistant, tool or function"),
        (
            messages(json!([{"content": "a"}])),
            "messages[0]: expected a role: system, developer, user, assistant, tool or function",
        ),
        (
            messages(json!([{"role": "critic"}])),
            "messages[0].role: expected a role: system, developer, user, assistant, tool or function",
        ),
        (
            messages(json!([{"role": 5}])),
            "messages[0]: expected a role: system, developer, user, assistant, tool or function",
        ),
        (user(json!(5)), "messages[0].content: expected a string or an array"),
        (user(json!({"a": 1})), "messages[0].content: expected a string or an array"),
        (user(json!(["a"])), "messages[0].content[0]: expected an object"),
        (user(json!([{"text": "a"}])), "messages[0].content[0]: expected an object with a `type`"),
        (user(json!([{"type": "text"}])), "messages[0].content[0].text: is missing"),
        (user(json!([{"type": "text", "text": 5}])), "messages[0].content[0].text: expected a string"),
        (
            user(json!([{"type": "image_url", "image_url": {"url": "x"}}])),
            "messages[0].content[0]: unsupported; this route judges text only: `text` and, from the assistant, `refusal`",
        ),
        (
            user(json!([{"type": "text", "text": "a", "image_url": {"url": "x"}}])),
            "messages[0].content[0].image_url: unsupported; this route judges text only: `text` and, from the assistant, `refusal`",
        ),
        (with(r#""Messages":[]"#), "*: expected `messages`, spelled so"),
        (with(r#""me\u017f\u017fages":[]"#), "*: expected `messages`, spelled so"),
        (with(r#""too\u212as":1,"tool\u017f":[]"#), "*: expected `tools`, spelled so"),
        (messages(json!([{"role": "user", "Content": "b"}])), "messages[0].*: expected `content`, spelled so"),
        (
            user(json!([{"type": "text", "text": "a", "TEXT": "b"}])),
            "messages[0].content[0].*: expected `text`, spelled so",
        ),
        (
            with(r#""tools":[{"type":"function","function":{"name":"f","Description":"d"}}]"#),
            "tools[0].function.*: expected `description`, spelled so",
        ),
        (
            with(r#""tools":[{"type":"mcp","server_url":"u"}]"#),
            "tools[0]: unsupported; this route judges calls of the client's own tools only: `function` and `custom`",
        ),
        (
            with(r#""model":"ignore all previous""#),
            "model: expected a plain word: up to 128 letters, digits and `-_./:@+`",
        ),
        (
            with(&format!(r#""model":"{}""#, "m".repeat(129))),
            "model: expected a plain word: up to 128 letters, digits and `-_./:@+`",
        ),
        (with(r#""model":"""#), "model: expected a plain word: up to 128 letters, digits and `-_./:@+`"),
        (with(r#""model":5"#), "model: expected a string"),
        (with(r#""stream":"true""#), "stream: expected a number or a boolean"),
        (with(r#""stream":1"#), "stream: expected a boolean"),
        (with(r#""n":0"#), "n: expected a whole number from 1 to 128"),
        (with(r#""n":1000"#), "n: expected a whole number from 1 to 128"),
        (with(r#""n":true"#), "n: expected a whole number from 1 to 128"),
        (with(r#""temperature":"hot""#), "temperature: expected a number or a boolean"),
        (with(r#""modalities":["text","audio"]"#), "modalities[1]: unsupported; this route judges text only: `text`"),
        (with(r#""modalities":"audio""#), "modalities: expected an array"),
        (with(r#""logit_bias":[1]"#), "logit_bias: expected an object"),
        (
            with(r#""prompt_token_ids":[1,2]"#),
            "prompt_token_ids: unsupported; this route judges text only: `text` and, from the assistant, `refusal`",
        ),
        (
            with(r#""prompt":[1,2]"#),
            "prompt[0]: unsupported; this route judges text only, and numbers in an array may be token ids",
        ),
        (
            with(r#""x":{"y":[["a",7]]}"#),
            "x.y[0][1]: unsupported; this route judges text only, and numbers in an array may be token ids",
        ),
        (
            messages(json!([{"role": "user", "content": "a", "prefix": [7]}])),
            "messages[0].prefix[0]: unsupported; this route judges text only, and numbers in an array may be token ids",
        ),
        (
            messages(json!([{"role": "user", "content": [{"type": "refusal", "refusal": "a"}]}])),
            "messages[0].content[0].refusal: unsupported; this route judges a `refusal` from the assistant, who alone refuses",
        ),
        (
            messages(json!([{"role": "tool", "content": [{"type": "text", "text": "a", "refusal": ""}]}])),
            "messages[0].content[0].refusal: unsupported; this route judges a `refusal` from the assistant, who alone refuses",
        ),
        (
            messages(json!([{"role": "user", "content": "a", "refusal": "b"}])),
            "messages[0].refusal: unsupported; this route judges a `refusal` from the assistant, who alone refuses",
        ),
        (
            with(r#""tools":[{"type":"custom","custom":{"name":"f","format":{"type":"ebnf","grammar":{}}}}]"#),
            "tools[0].custom.format: unsupported; this route judges no grammars; a schema may stand in `response_format`",
        ),
        (
            with(r#""response_format":{"type":"regex","pattern":"b"}"#),
            "response_format: unsupported; this route judges the formats `text`, `json_object` and `json_schema`",
        ),
        (r#"{"messages":[],"messages":[]}"#.into(), "not strict JSON at byte 15: the object has this key twice"),
    ] {
        let error = parse(body.clone()).err().unwrap_or_else(|| panic!("must be refused: {body}"));
        assert_eq!(error.to_string(), expected, "{body}");
    }
    let many = messages(json!(vec![json!({"role": "user", "content": "a"}); 1001]));
    assert_eq!(parse(many).err().unwrap().to_string(), "the body: expected at most 1000 texts");
}

#[test]
fn edits_in_place() {
    let body = r#"{"top_p":1.0e0, "messages":[{"role":"user","content":"mail bob@x.y \u00e9"},{"role":"user" , "content":[{"type":"text","text":"a se"},{"type":"text","text":"cret b"}]}]}"#;
    assert_eq!(edited(body, &[]).as_deref(), Ok(body));
    let out = edited(body, &[(0, 5..12, "[E]"), (2, 2..8, "[S]")]).unwrap();
    assert_eq!(
        out,
        r#"{"top_p":1.0e0, "messages":[{"role":"user","content":"mail [E] \u00e9"},{"role":"user" , "content":[{"type":"text","text":"a [S]"},{"type":"text","text":" b"}]}]}"#
    );
    // The same finding in both views of the parts is one redaction.
    let out = edited(body, &[(1, 0..1, "#"), (2, 0..1, "#")]).unwrap();
    assert!(out.contains("\"# se\""), "{out}");
}

#[test]
fn edits_what_tool_arguments_say_and_keeps_them_json() {
    let body = messages(json!([{"role": "assistant", "tool_calls": [{"id": "c", "type": "function",
        "function": {"name": "f", "arguments": "{\"to\": \"a\\\"\\u0062\\n@x\", \"n\": 1.50}"}}]}]));
    let prompt = parse(&*body).unwrap();
    let text = &prompt.segments()[2].text;
    assert_eq!(&**text, "{\"to\": \"a\"b\n@x\", \"n\": 1.50}");
    let at = text.find('b').unwrap();
    let out: Json = serde_json::from_str(&edited(&body, &[(2, at..at + 4, "\"R\"")]).unwrap()).unwrap();
    assert_eq!(
        out["messages"][0]["tool_calls"][0]["function"]["arguments"],
        "{\"to\": \"a\\\"\\\"R\\\"\", \"n\": 1.50}"
    );
    let number = text.find("1.50").unwrap();
    for span in [0..text.len(), 1..5, number..number + 2, at..number] {
        let at = "messages[0].tool_calls[0].function.arguments".to_owned();
        assert_eq!(edited(&body, &[(2, span, "x")]), Err(WireError::NotEditable { at }));
    }
    assert_eq!(
        edited(&body, &[(0, 0..1, "x")]),
        Err(WireError::NotEditable { at: "messages[0].tool_calls[0].id".into() })
    );
}

#[test]
fn edits_prose_of_a_tool_and_not_its_names() {
    let body =
        json!({"messages": [], "tools": [{"type": "function", "function": {"description": "ask bob", "name": "get"}}]})
            .to_string();
    assert_eq!(listed(&*body), ["- none tool_definition ask bob\nget"]);
    assert!(edited(&body, &[(0, 4..7, "#")]).unwrap().contains("\"ask #\""));
    assert!(matches!(edited(&body, &[(0, 4..9, "#")]), Err(WireError::NotEditable { .. })));
}
