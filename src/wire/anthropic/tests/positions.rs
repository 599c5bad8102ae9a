//! Requests: what could hide in words, in programs, in parts and messages on end.

use serde_json::{Value as Json, json};

use super::{blocks, edited, listed, messages, parse};

#[test]
fn refuses_what_makes_text_of_its_own() {
    let template = "this route judges messages, and a template of the request's own could say anything beside them";
    let grammar = "this route judges no grammars; a schema may stand in `output_config`";
    let text = "this route judges text only: prompts that are no text can't be read";
    for (member, why) in [
        ("chat_template", template),
        ("template", template),
        ("grammar", grammar),
        ("guided_json", grammar),
        ("structured_outputs", grammar),
        ("regex", grammar),
        ("prompt_embeds", text),
        ("input_ids", text),
        ("multi_modal_data", text),
    ] {
        let error = parse(json!({"messages": [], member: "{{ 'blue' ~ 'bird' }}"}).to_string()).err().unwrap();
        assert_eq!(error.to_string(), format!("{member}: unsupported; {why}"));
    }
    // What stays text is judged as such.
    let body = json!({"messages": [], "chat_template_kwargs": {"note": "x"}, "prompt": ["p"]});
    assert_eq!(listed(body.to_string()), ["- none other chat_template_kwargs\nnote\nx", "- none other prompt\np"]);
}

#[test]
fn words_that_are_not_the_apis_own_are_judged() {
    for (member, expected) in [
        (json!({"service_tier": "standard_only", "speed": "fast", "inference_geo": "us"}), &[][..]),
        (json!({"service_tier": "sk-1"}), &["- none word !sk-1"]),
        (json!({"inference_geo": "a b"}), &["- none other !a b"]),
        (json!({"thinking": {"type": "adaptive", "display": "omitted"}}), &[]),
        (json!({"thinking": {"type": "sk-1", "k": "v"}}), &["- none word !sk-1", "- none other k\nv"]),
        (json!({"tool_choice": {"type": "auto", "disable_parallel_tool_use": true}}), &[]),
        (json!({"tool_choice": {"type": "sk-1"}}), &["- none word !sk-1"]),
        (json!({"anthropic_version": "bedrock-2023-05-31"}), &["- none word !bedrock-2023-05-31"]),
        (json!({"betas": ["b-1", "a b"]}), &["- none word !b-1", "- none other !a b"]),
        (json!({"cache_control": {"type": "ephemeral", "ttl": "sk-1"}}), &["- none word !sk-1"]),
        (json!({"diagnostics": {"previous_message_id": "msg_1"}}), &["- none other !msg_1"]),
        (
            json!({"context_management": {"edits": [{"type": "compact_20260112", "instructions": "say"}]}}),
            &["- none other edits\ntype\ncompact_20260112\ninstructions\nsay"],
        ),
        (json!({"tools": [{"name": "f", "type": "custom", "strict": true}]}), &["- none tool_definition !f"]),
        (
            json!({"tools": [{"name": "f", "allowed_callers": ["direct", "sk-1"], "input_examples": [{"a": 5}]}]}),
            &["- none tool_definition !f\nsk-1\na\n5"],
        ),
    ] {
        let mut body = member.clone();
        body["messages"] = json!([]);
        assert_eq!(listed(body.to_string()), expected, "{member}");
    }
}

#[test]
fn numbers_are_judged_wherever_they_are_not_the_apis_own() {
    let card = 4111111111111111u64;
    let call = json!({"type": "tool_use", "id": "t", "name": "f", "input": {"card": card, "of": [1.50, "x"]}});
    assert_eq!(
        listed(blocks(json!([call]))),
        ["0 user other !t", "0 user name !f", "0 user tool_arguments card\n4111111111111111\nof\n1.5\nx"]
    );
    let body = json!({"messages": [], "x": 1e3, "metadata": {"n": card}});
    assert_eq!(listed(body.to_string()), ["- none other !x\n1000.0", "- none other !n\n4111111111111111"]);
}

#[test]
fn what_readers_may_join_is_judged_joined() {
    // What stands between two texts does not part them.
    let parted = json!([
        {"type": "text", "text": "pro", "cache_control": {"type": "x"}},
        {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "ject "}]},
        {"type": "thinking", "thinking": "hm"},
        {"type": "document", "title": "d", "source": {"type": "text", "data": "blue"}},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": "b"}},
        {"type": "text", "text": "bird"},
    ]);
    let texts = listed(blocks(parted));
    assert_eq!(texts[texts.len() - 2..], ["0 user content pro\nject \nblue\nbird", "0 user content project bluebird"]);
    assert_eq!(texts.len(), 9);
}

#[test]
fn what_the_user_says_in_messages_on_end_is_judged_joined() {
    let user = |text: &str| json!({"role": "user", "content": text});
    let parts = json!({"role": "user", "content": [{"type": "text", "text": "bi"}, {"type": "text", "text": "rd"}]});
    let body = messages(json!([{"role": "assistant", "content": "b"}, user("blue"), parts]));
    let expected = [
        "0 assistant content b",
        "1 user content blue",
        "2 user content bi\nrd",
        "2 user content bird",
        "2 user content blue\nbi\nrd",
        "2 user content bluebird",
        "2 user seam blue\nbird",
    ];
    assert_eq!(listed(&*body), expected);
    let out: Json = serde_json::from_str(&edited(&body, &[(5, 2..8, "#")]).unwrap()).unwrap();
    assert_eq!(out["messages"][1]["content"], "bl#");
    assert_eq!(out["messages"][2]["content"][0]["text"], "");
}
