//! Requests: what could hide in numbers, words, parts and messages on end.

use serde_json::{Value as Json, json};

use super::{edited, listed, messages, parse};
use crate::text::Kind;
use crate::wire::WireError;

#[test]
fn refuses_what_makes_text_of_its_own() {
    for member in ["chat_template", "template"] {
        let error = parse(json!({"messages": [], member: "{{ 'blue' ~ 'bird' }}"}).to_string()).err().unwrap();
        let expected = "this route judges messages, and a template of the request's own could say anything beside them";
        assert_eq!(error.to_string(), format!("{member}: unsupported; {expected}"));
    }
    for member in [
        "grammar",
        "guided_grammar",
        "guided_regex",
        "guided_json",
        "guided_choice",
        "structured_outputs",
        "ebnf",
        "regex",
    ] {
        let error = parse(json!({"messages": [], member: {"a": "root ::= b"}}).to_string()).err().unwrap();
        let expected = "this route judges no grammars; a schema may stand in `response_format`";
        assert_eq!(error.to_string(), format!("{member}: unsupported; {expected}"));
    }
    // Of a custom tool's grammar the text is judged: what it lets the model write is.
    let tool = |format: Json| json!({"messages": [], "tools": [{"type": "custom", "custom": {"name": "f", "format": format}}]});
    for format in [
        json!({"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: \"a\""}}),
        json!({"type": "grammar", "syntax": "regex", "definition": "start: \"a\""}),
    ] {
        assert_eq!(listed(tool(format).to_string()), ["- none tool_definition !f\nstart: \"a\""]);
    }
    // What stays text is judged as such.
    let body = json!({"messages": [], "chat_template_kwargs": {"note": "x", "thinking": true}, "prompt": ["p"], "stop_token_ids": [5]});
    assert_eq!(
        listed(body.to_string()),
        ["- none other chat_template_kwargs\nnote\nx\nthinking", "- none other prompt\np"]
    );
}

#[test]
fn words_that_are_not_the_apis_own_are_judged() {
    for (member, expected) in [
        (json!({"model": "gpt-4o"}), &["- none word !gpt-4o"][..]),
        (
            json!({"stream_options": {"include_usage": true, "bob@example.com": "project-bluebird"}}),
            &["- none other bob@example.com\nproject-bluebird"],
        ),
        (json!({"reasoning_effort": "low", "service_tier": "auto", "verbosity": "high"}), &[]),
        (json!({"reasoning_effort": "sk-1"}), &["- none word !sk-1"]),
        (json!({"service_tier": "sk-1"}), &["- none word !sk-1"]),
        (json!({"tool_choice": "auto"}), &[]),
        (json!({"tool_choice": "sk-1"}), &["- none word !sk-1"]),
        (json!({"logit_bias": {"50256": -100, "4111111111111111": 1}}), &["- none other !4111111111111111\n1"]),
    ] {
        let mut body = member.clone();
        body["messages"] = json!([]);
        assert_eq!(listed(body.to_string()), expected, "{member}");
    }
    let message = json!({"role": "assistant", "content": null, "cache_control": {"type": "ephemeral", "a": ["sk-1"]},
        "tool_calls": [{"id": "call_1", "type": "sk-2", "function": {"name": "f"}}]});
    let expected =
        ["0 assistant other a\nsk-1", "0 assistant other !call_1", "0 assistant word !sk-2", "0 assistant name !f"];
    assert_eq!(listed(messages(json!([message]))), expected);
}

#[test]
fn numbers_are_judged_wherever_they_are_not_the_apis_own() {
    let card = 4111111111111111u64;
    let call = json!({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"card": card, "of": [1.50, "x"]}}}]});
    assert_eq!(
        listed(messages(json!([call]))),
        ["0 assistant name !f", "0 assistant tool_arguments card\n4111111111111111\nof\n1.5\nx"]
    );
    let body = json!({"messages": [], "x": 1e3, "metadata": {"n": card}, "seed": card,
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {"default": card, "maxLength": 5}}}}}]});
    assert_eq!(
        listed(body.to_string()),
        [
            "- none other !x\n1000.0",
            "- none other !n\n4111111111111111",
            "- none tool_definition !f\na\n4111111111111111\n5"
        ]
    );
    let edit = edited(r#"{"messages":[],"metadata":{"n":411}}"#, &[(0, 2..5, "#")]);
    assert_eq!(edit, Err(WireError::NotEditable { at: "metadata.n".into() }));
}

#[test]
fn what_readers_may_join_is_judged_joined() {
    let part = |text: &str| json!({"type": "text", "text": text});
    // An odd word between two parts does not part them.
    let parted = json!([{"type": "text", "text": "blue", "cache_control": {"type": "x"}}, part("bird")]);
    assert_eq!(
        listed(messages(json!([{"role": "user", "content": parted}]))),
        ["0 user word !x", "0 user content blue\nbird", "0 user content bluebird"]
    );
    let mixed = json!([part("blue"), {"type": "refusal", "refusal": "no"}, part("bird")]);
    assert_eq!(
        listed(messages(json!([{"role": "assistant", "content": mixed}]))),
        [
            "0 assistant content blue\nno\nbird",
            "0 assistant content bluenobird",
            "0 assistant content bluebird",
            "0 assistant refusal no"
        ]
    );
    let refused_first = json!([{"type": "refusal", "refusal": "no"}, part("bird")]);
    let prompt = parse(messages(json!([{"role": "assistant", "content": refused_first}]))).unwrap();
    assert_eq!(prompt.segments()[0].place.kind, Kind::Content);
}

#[test]
fn what_the_user_says_in_messages_on_end_is_judged_joined() {
    let user = |text: &str| json!({"role": "user", "content": text});
    let nothing = json!({"role": "assistant", "content": ""});
    let parts = json!({"role": "user", "name": "bob", "content": [{"type": "text", "text": "bi"}, {"type": "text", "text": "rd"}]});
    let body =
        messages(json!([user("a"), {"role": "assistant", "content": "b"}, user("blue"), nothing, parts, user("c")]));
    assert_eq!(
        listed(&*body),
        [
            "0 user content a",
            "1 assistant content b",
            "2 user content blue",
            "4 user name bob",
            "0 user content a\nblue",
            "0 user seam ablue",
            "4 user content bi\nrd",
            "4 user content bird",
            "0 user content a\nblue\nbi\nrd",
            "0 user seam abluebird",
            "0 user seam a\nblue\nbird",
            "5 user content c",
            "0 user content a\nblue\nbi\nrd\nc",
            "0 user seam abluebirdc",
            "0 user seam a\nblue\nbird\nc",
            "5 user content blue\nbi\nrd\nc",
            "5 user content bluebirdc",
            "5 user seam blue\nbird\nc",
        ]
    );
    // A finding over several messages is written where it starts.
    let out: Json = serde_json::from_str(&edited(&body, &[(16, 2..8, "#")]).unwrap()).unwrap();
    assert_eq!(out["messages"][2]["content"], "bl#");
    assert_eq!(out["messages"][4]["content"][0]["text"], "");
    assert_eq!(out["messages"][4]["content"][1]["text"], "");
    // The run ends where somebody else speaks, or the messages do.
    let body = json!({"messages": [user("a"), {"role": "system", "content": "b"}, user("c"), user("d")], "user": "u"});
    let expected = [
        "0 user content a",
        "1 system content b",
        "2 user content c",
        "0 user content a\nc",
        "0 user seam ac",
        "3 user content d",
        "0 user content a\nc\nd",
        "0 user seam acd",
        "3 user content c\nd",
        "3 user content cd",
        "- none other u",
    ];
    assert_eq!(listed(body.to_string()), expected);
}
