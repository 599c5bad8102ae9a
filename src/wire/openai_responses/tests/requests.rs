//! Requests: texts and places, refusals, edits.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::parse;
use crate::text::{Edit, Edits, Segment, SegmentId};
use crate::wire::WireError;

/// `turn role kind text`, with `!` before texts that can't be edited.
fn listed(body: &Json) -> Vec<String> {
    let prompt = parse(body.to_string()).unwrap_or_else(|error| panic!("{body}: {error}"));
    let line = |segment: &Segment| {
        let place = segment.place;
        let turn = place.turn.map_or("-".into(), |turn| turn.to_string());
        let mark = if place.editable { "" } else { "!" };
        format!("{turn} {} {} {mark}{}", place.role.as_str(), place.kind.as_str(), segment.text)
    };
    prompt.segments().iter().map(line).collect()
}

fn refused(body: &Json) -> String {
    parse(body.to_string()).err().unwrap_or_else(|| panic!("must be refused: {body}")).to_string()
}

#[test]
fn finds_the_texts_of_each_item() {
    let text = |kind: &str, text: &str| json!({"type": kind, "text": text});
    for (item, expected) in [
        (json!({"role": "user", "content": "hi"}), &["0 user content hi"][..]),
        (json!({"role": "user", "content": "hi", "type": "message"}), &["0 user content hi"]),
        (json!({"role": "system", "content": "be"}), &["0 system content be"]),
        (json!({"role": "developer", "content": [text("input_text", "be")]}), &["0 developer content be"]),
        (
            json!({"role": "user", "content": [text("input_text", "ig"), text("input_text", "nore")]}),
            &["0 user content ig\nnore", "0 user content ignore"],
        ),
        (
            json!({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "phase": "final_answer",
                "content": [{"type": "output_text", "text": "said", "logprobs": [], "annotations": [
                    {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}]}]}),
            &["0 assistant other !msg_1", "0 assistant other u\nt", "0 assistant content said"],
        ),
        (json!({"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}), &["0 assistant refusal no"]),
        (
            json!({"type": "function_call", "call_id": "call_1", "name": "send", "arguments": "{\"to\":\"x\\u0040y\"}"}),
            &["0 assistant other !call_1", "0 assistant name !send", "0 assistant tool_arguments {\"to\":\"x@y\"}"],
        ),
        (
            json!({"type": "function_call_output", "call_id": "call_1", "output": "result"}),
            &["0 tool other !call_1", "0 tool content result"],
        ),
        (
            json!({"type": "function_call_output", "call_id": "c", "output": [text("input_text", "a"), text("input_text", "b")]}),
            &["0 tool other !c", "0 tool content a\nb", "0 tool content ab"],
        ),
        (
            json!({"type": "custom_tool_call", "call_id": "c", "name": "py", "input": "print(1)"}),
            &["0 assistant other !c", "0 assistant name !py", "0 assistant tool_arguments print(1)"],
        ),
        (json!({"type": "custom_tool_call_output", "output": "1"}), &["0 tool content 1"]),
        (
            json!({"type": "local_shell_call", "call_id": "c", "action": {"type": "exec", "command": ["ls", "-l"], "env": {"A": "b"}, "working_directory": "/x"}}),
            &["0 assistant other !c", "0 assistant tool_arguments ls\n-l\nA\nb\n/x"],
        ),
        (json!({"type": "local_shell_call_output", "output": "o"}), &["0 tool content o"]),
        (
            json!({"type": "shell_call", "action": {"commands": ["ls"], "timeout_ms": 5}, "environment": {"type": "local"}}),
            &["0 assistant tool_arguments ls"],
        ),
        (
            json!({"type": "shell_call_output", "output": [{"stdout": "o", "stderr": "e", "outcome": {"type": "exit", "exit_code": 0}}]}),
            &["0 tool content o\ne", "0 tool content oe"],
        ),
        (
            json!({"type": "apply_patch_call", "operation": {"type": "update_file", "path": "p", "diff": "d"}}),
            &["0 assistant tool_arguments p\nd"],
        ),
        (json!({"type": "apply_patch_call_output", "output": "o", "status": "failed"}), &["0 tool content o"]),
        (
            json!({"type": "tool_search_call", "execution": "client", "arguments": {"q": "x"}}),
            &["0 assistant tool_arguments q\nx"],
        ),
        (
            json!({"type": "tool_search_output", "execution": "client", "tools": [{"type": "function", "name": "f", "description": "d"}]}),
            &["0 tool tool_definition f\nd"],
        ),
        (
            json!({"type": "additional_tools", "role": "developer", "tools": [{"type": "custom", "name": "f"}]}),
            &["0 developer tool_definition !f"],
        ),
        (
            json!({"type": "configuration_update", "reasoning": {"effort": "low"}, "text": {"format": {"type": "json_schema", "name": "n"}}}),
            &["0 developer other !n"],
        ),
        (
            json!({"type": "reasoning", "id": "rs_1", "summary": [text("summary_text", "hm")], "content": [text("reasoning_text", "so")]}),
            &["0 assistant other !rs_1", "0 assistant reasoning hm", "0 assistant reasoning so"],
        ),
        (
            json!({"role": "user", "content": "hi", "thinking": [{"t": "hm"}, true]}),
            &["0 user content hi", "0 user other thinking\nt\nhm"],
        ),
    ] {
        assert_eq!(listed(&json!({"input": [item]})), expected, "{item}");
    }
}

#[test]
fn finds_the_texts_around_the_items() {
    let body: Json = serde_json::from_str(
        r#"{
        "input": "hi", "instructions": "be kind", "model": "gpt-x", "stream": true, "store": false, "background": false,
        "include": ["reasoning.encrypted_content"], "metadata": {"k": "v"}, "user": "u", "safety_identifier": "s",
        "prompt_cache_key": "p", "prompt_cache_retention": "24h", "truncation": "auto", "service_tier": "flex",
        "previous_response_id": null, "reasoning": {"effort": "high", "summary": "auto"}, "tool_choice": {"type": "function", "name": "get"},
        "text": {"verbosity": "low", "format": {"type": "json_schema", "name": "n", "strict": true, "schema": {"properties": {"a": {"const": "c"}}}}},
        "tools": [
            {"type": "function", "name": "get", "description": "gets", "strict": true, "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
            {"type": "custom", "name": "py", "format": {"type": "text"}},
            {"type": "custom", "name": "patch", "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"}},
            {"type": "namespace", "name": "ns", "description": "d", "tools": [{"type": "function", "name": "f"}]},
            {"type": "shell", "environment": {"type": "local", "skills": [{"name": "s", "description": "d", "path": "/p"}]}},
            {"type": "tool_search", "execution": "client", "description": "finds"},
            {"type": "local_shell"}, {"type": "apply_patch"}],
        "x_unknown": {"deep": ["leaf"]}}"#,
    )
    .unwrap();
    let expected = [
        "0 user content hi",
        "- system content be kind",
        "- none word !gpt-x",
        "- none other k\nv",
        "- none other u",
        "- none other s",
        "- none other p",
        "- none tool_definition !get",
        "- none other !n\na\nc",
        "- none tool_definition get\ngets\ncity",
        "- none tool_definition !py",
        "- none tool_definition !patch\nstart: x",
        "- none tool_definition ns\nd\nf",
        "- none tool_definition s\nd\n/p",
        "- none tool_definition finds",
        "- none other x_unknown\ndeep\nleaf",
    ];
    assert_eq!(listed(&body), expected);
    let prompt = parse(body.to_string()).unwrap();
    assert!(prompt.streams());
    assert_eq!(prompt.model(), "gpt-x");
}

#[test]
fn what_the_user_says_in_items_on_end_is_judged_joined() {
    let user = |text: &str| json!({"role": "user", "content": text});
    let call = json!({"type": "function_call_output", "call_id": "", "output": "x"});
    let body = json!({"input": [user("blue"), user("bird"), call, user("c")]});
    assert_eq!(
        listed(&body),
        [
            "0 user content blue",
            "1 user content bird",
            "1 user content blue\nbird",
            "1 user content bluebird",
            "2 tool content x",
            "3 user content c",
            "0 user content blue\nbird\nc",
            "0 user seam bluebirdc"
        ]
    );
}

#[test]
fn refuses_what_it_cannot_judge() {
    let state = "unsupported; this route judges what stands in the request, and this stands for what the upstream keeps and never passes here";
    let items = "input[0]: unsupported; this route judges messages, reasoning, tools, and calls and outputs of the client's own tools";
    let text = "unsupported; this route judges text only";
    let parts = "unsupported; this route judges text only: `input_text`, `output_text`, `text` and, from the assistant, `refusal`";
    for member in ["previous_response_id", "conversation", "prompt", "context_management", "previous_input_messages"] {
        for value in [json!("resp_1"), json!({"id": "x"}), json!([{"type": "compaction"}])] {
            assert_eq!(refused(&json!({"input": "a", member: value})), format!("{member}: {state}"));
        }
    }
    for kind in [
        "compaction",
        "compaction_trigger",
        "image_generation_call",
        "code_interpreter_call",
        "computer_call",
        "computer_call_output",
        "file_search_call",
        "web_search_call",
        "mcp_call",
        "mcp_list_tools",
        "mcp_approval_request",
        "mcp_approval_response",
        "program",
        "program_output",
        "new_item",
        "",
    ] {
        assert_eq!(refused(&json!({"input": [{"type": kind, "id": "x"}]})), items, "{kind}");
    }
    for member in ["prompt_token_ids", "input_ids", "prompt_embeds"] {
        assert_eq!(refused(&json!({"input": "a", member: [1]})), format!("{member}: {text}"));
    }
    for part in [
        json!({"type": "input_image", "image_url": "u"}),
        json!({"type": "input_file", "file_id": "f"}),
        json!({"type": "input_audio"}),
        json!({"type": "output_image"}),
    ] {
        for item in
            [json!({"role": "user", "content": [part]}), json!({"type": "function_call_output", "output": [part]})]
        {
            let member = if item["role"].is_null() { "output" } else { "content" };
            assert_eq!(refused(&json!({"input": [item]})), format!("input[0].{member}[0]: {parts}"));
        }
    }
    for member in ["image_url", "file_id", "file_data", "file_url", "input_audio"] {
        let part = json!({"type": "input_text", "text": "a", member: "x"});
        let body = json!({"input": [{"role": "user", "content": [part]}]});
        assert_eq!(refused(&body), format!("input[0].content[0].{member}: {parts}"));
    }
    let reference = json!({"type": "item_reference", "id": "x"});
    assert_eq!(refused(&json!({"input": [reference]})), format!("input[0].id: {state}"));
    let encrypted = json!({"type": "reasoning", "summary": [], "encrypted_content": "gAAAA"});
    assert_eq!(refused(&json!({"input": [encrypted]})), format!("input[0].encrypted_content: {state}"));
}

#[test]
fn refuses_tools_that_the_upstream_runs() {
    let tools = "unsupported; this route judges the client's own tools only: `function`, `custom`, `namespace`, `local_shell`, `apply_patch`, a local `shell` and a `tool_search` by the client; others bring text that never passes here";
    for tool in [
        json!({"type": "mcp", "server_url": "u"}),
        json!({"type": "web_search"}),
        json!({"type": "web_search_preview_2025_03_11"}),
        json!({"type": "file_search", "vector_store_ids": ["v"]}),
        json!({"type": "code_interpreter", "container": "c"}),
        json!({"type": "computer_use_preview"}),
        json!({"type": "image_generation"}),
        json!({"type": "programmatic_tool_calling"}),
        json!({"type": "Function", "name": "f"}),
    ] {
        assert_eq!(refused(&json!({"input": "a", "tools": [tool]})), format!("tools[0]: {tools}"));
        let item = json!({"type": "additional_tools", "tools": [tool]});
        assert_eq!(refused(&json!({"input": [item]})), format!("input[0].tools[0]: {tools}"));
    }
    for (tool, expected) in [
        (json!({"type": "shell"}), "tools[0].environment: is missing".to_owned()),
        (json!({"type": "shell", "environment": {"type": "container_auto"}}), format!("tools[0].environment: {tools}")),
        (json!({"type": "tool_search"}), "tools[0].execution: is missing".to_owned()),
        (json!({"type": "tool_search", "execution": "server"}), format!("tools[0].execution: {tools}")),
        (
            json!({"type": "custom", "name": "f", "format": {"type": "ebnf", "definition": "d"}}),
            "tools[0].format: unsupported; this route judges no grammars; a schema may stand in `text.format`"
                .to_owned(),
        ),
        (json!({"type": "namespace", "name": "n", "tools": [{"type": "mcp"}]}), format!("tools[0].tools[0]: {tools}")),
        (json!({"name": "f"}), "tools[0]: expected an object with a `type`".to_owned()),
    ] {
        assert_eq!(refused(&json!({"input": "a", "tools": [tool]})), expected);
    }
}

#[test]
fn refuses_what_it_cannot_read_one_way() {
    let role = "expected a role: system, developer, user or assistant";
    let with = |member: &str| format!(r#"{{"input":"a",{member}}}"#);
    for (body, expected) in [
        ("[]".to_owned(), "the body: expected an object".to_owned()),
        ("{}".to_owned(), "input: is missing".to_owned()),
        (r#"{"input":5}"#.to_owned(), "input: expected a string or an array".to_owned()),
        (r#"{"input":["a"]}"#.to_owned(), "input[0]: expected an object".to_owned()),
        (r#"{"input":[{"content":"a"}]}"#.to_owned(), format!("input[0]: {role}")),
        (r#"{"input":[{"role":"tool","content":"a"}]}"#.to_owned(), format!("input[0].role: {role}")),
        (r#"{"input":[{"role":"user","content":5}]}"#.to_owned(), "input[0].content: expected a string or an array".to_owned()),
        (r#"{"input":[{"role":"user","type":5}]}"#.to_owned(), "input[0].type: expected a string".to_owned()),
        (
            r#"{"input":[{"type":"message","Type":"input_image","role":"user"}]}"#.to_owned(),
            "input[0].*: expected `type`, spelled so".to_owned(),
        ),
        (r#"{"input":[{"role":"user","Content":"b"}]}"#.to_owned(), "input[0].*: expected `content`, spelled so".to_owned()),
        (with(r#""stream":1"#), "stream: expected a boolean".to_owned()),
        (with(r#""Input":"b""#), "*: expected `input`, spelled so".to_owned()),
        (
            with(r#""background":true"#),
            "background: unsupported; this route judges answers on their way, and this one would be fetched later".to_owned(),
        ),
        (
            with(r#""include":["web_search_call.results"]"#),
            "include[0]: unsupported; this route judges answers without server-side tools: `reasoning.encrypted_content` and `message.output_text.logprobs`".to_owned(),
        ),
        (
            with(r#""text":{"format":{"type":"grammar"}}"#),
            "text.format: unsupported; this route judges the formats `text`, `json_object` and `json_schema`".to_owned(),
        ),
        (with(r#""x":[1]"#), "x[0]: unsupported; this route judges text only, and numbers in an array may be token ids".to_owned()),
        (r#"{"input":"a","input":"b"}"#.to_owned(), "not strict JSON at byte 13: the object has this key twice".to_owned()),
    ] {
        assert_eq!(parse(body.clone()).err().unwrap().to_string(), expected, "{body}");
    }
    let refusal = json!({"input": [{"role": "user", "content": [{"type": "refusal", "refusal": "a"}]}]});
    assert!(refused(&refusal).starts_with("input[0].content[0].refusal: unsupported; this route judges a `refusal`"));
}

#[test]
fn edits_in_place() {
    let body = r#"{"top_p":1.0e0, "input":[{"role":"user","content":"mail bob@x.y"},{"type":"function_call","arguments":"{\"to\": \"bob\"}"}], "instructions":"ask bob"}"#;
    let edit = |list: &[(u32, std::ops::Range<usize>)]| {
        let mut edits: BTreeMap<SegmentId, Edits> = BTreeMap::new();
        for (segment, span) in list {
            edits.entry(SegmentId(*segment)).or_default().insert(Edit { span: span.clone(), with: "#".into() });
        }
        parse(body).unwrap().edited(&edits).map(|bytes| String::from_utf8(bytes.into()).unwrap())
    };
    assert_eq!(edit(&[]).as_deref(), Ok(body));
    assert_eq!(
        edit(&[(0, 5..12), (1, 8..11), (2, 4..7)]).unwrap(),
        body.replace("bob@x.y", "#").replace("\\\"bob\\\"", "\\\"#\\\"").replace("ask bob", "ask #")
    );
    assert!(matches!(edit(&[(1, 0..3)]), Err(WireError::NotEditable { .. })));
    let input = r#"{"input": "mail bob"}"#;
    let mut edits = BTreeMap::new();
    edits.entry(SegmentId(0)).or_insert_with(Edits::default).insert(Edit { span: 5..8, with: "#".into() });
    assert_eq!(parse(input).unwrap().edited(&edits).unwrap(), r##"{"input": "mail #"}"##);
}
