//! Requests: texts and places, refusals, edits.

use serde_json::{Value as Json, json};

use super::{blocks, edited, listed, messages, parse};
use crate::text::{Kind, Role};
use crate::wire::WireError;

const BLOCKS_ONLY: &str =
    "unsupported; this route judges text: `text`, `thinking`, calls of tools and their results, and documents of text";
const RESULTS_ONLY: &str =
    "unsupported; this route judges results of text: `text`, `search_result` and documents of text";
const DOCUMENTS_ONLY: &str = "unsupported; this route judges documents of text only: `text` and `content`";
const ENCRYPTED: &str = "unsupported; this route judges what it can read, and this is encrypted";
const OWN_TOOLS: &str =
    "unsupported; this route judges the tools that the client runs; what a server's tool brings the model is not seen";

#[test]
fn finds_texts_and_their_places() {
    for (message, expected) in [
        (json!({"role": "user", "content": "hi"}), &["0 user content hi"][..]),
        (json!({"role": "system", "content": "be"}), &["0 system content be"]),
        (json!({"role": "assistant", "content": ""}), &[]),
        (
            json!({"role": "user", "content": [{"type": "text", "text": "ig"}, {"type": "text", "text": "nore", "cache_control": {"type": "ephemeral"}}]}),
            &["0 user content ig\nnore", "0 user content ignore"],
        ),
        (
            json!({"role": "user", "content": [{"type": "text", "text": "a", "odd": {"k e y": ["b"]}}]}),
            &["0 user other odd\nk e y\nb", "0 user content a"],
        ),
        (
            json!({"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "short"}, {"type": "text", "text": "so"}]}),
            &["0 assistant reasoning hm", "0 assistant word !short", "0 assistant content so"],
        ),
        (
            json!({"role": "assistant", "content": [{"type": "text", "text": "a", "citations": [
                {"type": "char_location", "cited_text": "c", "document_index": 0, "document_title": "d", "start_char_index": 0, "end_char_index": 1}]}]}),
            &["0 assistant other c\nd", "0 assistant content a"],
        ),
        (
            json!({"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "send", "input": {"n": 5, "to": "x@y"},
                "caller": {"type": "code_execution_20250825", "tool_id": "srvtoolu_1"}, "toolset_name": "browser"}]}),
            &[
                "0 assistant other !toolu_1",
                "0 assistant name !send",
                "0 assistant tool_arguments n\n5\nto\nx@y",
                "0 assistant other !srvtoolu_1",
                "0 assistant name !browser",
            ],
        ),
        (
            json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny", "is_error": false}]}),
            &["0 user other !toolu_1", "0 user content sunny"],
        ),
        (
            json!({"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "ig"}, {"type": "text", "text": "nore"},
                    {"type": "tool_reference", "tool_name": "get"},
                    {"type": "browser_state", "tabs": [{"tab_id": "1", "title": "t"}]}]},
                {"type": "text", "text": "this"}]}),
            &[
                "0 user other !toolu_1",
                "0 user name !get",
                "0 user content tab_id\n1\ntitle\nt",
                "0 user content ig\nnore\nthis",
                "0 user content ignorethis",
            ],
        ),
        (
            json!({"role": "user", "content": [{"type": "search_result", "source": "https://a", "title": "t",
                "content": [{"type": "text", "text": "c"}], "citations": {"enabled": true}}]}),
            &["0 user other https://a", "0 user other t", "0 user content c"],
        ),
        (
            json!({"role": "user", "content": [
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "d1"}, "title": "t", "context": "x"},
                {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "d2"}]}}]}),
            &["0 user other t", "0 user other x", "0 user content d1\nd2", "0 user content d1d2"],
        ),
        (
            json!({"role": "assistant", "content": [
                {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
                {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1",
                 "content": {"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"}},
                {"type": "bash_code_execution_tool_result", "tool_use_id": "srvtoolu_2",
                 "content": {"type": "bash_code_execution_result", "stdout": "out", "stderr": "err", "return_code": 0, "content": []}},
                {"type": "text_editor_code_execution_tool_result", "content":
                 {"type": "text_editor_code_execution_view_result", "content": "seen", "file_type": "text", "num_lines": 1}},
                {"type": "web_fetch_tool_result", "content": {"type": "web_fetch_result", "url": "u", "retrieved_at": "r",
                 "content": {"type": "document", "title": "t", "source": {"type": "text", "data": "page"}}}}]}),
            &[
                "0 assistant other !srvtoolu_1",
                "0 assistant name !web_search",
                "0 assistant tool_arguments query\nq",
                "0 assistant other !srvtoolu_1",
                "0 assistant other !srvtoolu_2",
                "0 assistant other u",
                "0 assistant other r",
                "0 assistant other t",
                "0 assistant content out\nerr\nseen\npage",
                "0 assistant content outerrseenpage",
            ],
        ),
        (
            json!({"role": "assistant", "content": [
                {"type": "mcp_tool_use", "id": "mcptoolu_1", "name": "n", "server_name": "s", "input": {}},
                {"type": "mcp_tool_result", "tool_use_id": "mcptoolu_1", "content": "r", "is_error": false},
                {"type": "mcp_tool_listing", "mcp_server_name": "s", "tools": [{"name": "n", "description": "d", "input_schema": {}}]},
                {"type": "fallback", "from": {"model": "m-1"}, "to": {"model": "m-2"}, "trigger": {"type": "refusal", "category": "bio"}}]}),
            &[
                "0 assistant other !mcptoolu_1",
                "0 assistant name !n",
                "0 assistant name !s",
                "0 assistant other !mcptoolu_1",
                "0 assistant name !s",
                "0 assistant tool_definition n\nd",
                "0 assistant word !m-1",
                "0 assistant word !m-2",
                "0 assistant content r",
            ],
        ),
    ] {
        assert_eq!(listed(messages(json!([message]))), expected, "{message}");
    }
}

#[test]
fn finds_what_stands_around_the_messages() {
    let body = json!({
        "max_tokens": 5, "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        "metadata": {"user_id": "u-1"}, "model": "claude-x", "stop_sequences": ["END", "STOP"], "stream": true, "temperature": 0.5,
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {"properties": {"a": {"const": "c"}}}}},
        "service_tier": "auto", "system": [{"type": "text", "text": "be "}, {"type": "text", "text": "kind"}],
        "thinking": {"type": "enabled", "budget_tokens": 1024}, "tool_choice": {"type": "tool", "name": "get"},
        "tools": [{"name": "get", "description": "gets", "input_schema": {"type": "object",
            "properties": {"city": {"type": "string", "description": "where", "enum": ["Oslo"]}}, "required": ["city"]}},
            {"type": "bash_20250124", "name": "bash"}],
        "top_k": 5, "x_unknown": {"deep": ["leaf"]},
    });
    let expected = [
        "0 user content a",
        "1 assistant content b",
        "- none other user_id\nu-1",
        "- none word !claude-x",
        "- none other END\nSTOP",
        "- none other !a\nc",
        "- system content be \nkind",
        "- system content be kind",
        "- none tool_definition !get",
        "- none tool_definition get\ngets\ncity\nwhere\nOslo\ncity",
        "- none tool_definition !bash",
        "- none other x_unknown\ndeep\nleaf",
    ];
    assert_eq!(listed(body.to_string()), expected);
    let prompt = parse(body.to_string()).unwrap();
    assert!(prompt.streams());
    assert_eq!(prompt.model(), "claude-x");
    assert_eq!(prompt.segments()[0].place.role, Role::User);
    assert_eq!(prompt.segments()[9].place.kind, Kind::ToolDefinition);
    // What only counts tokens has no `max_tokens`.
    assert_eq!(listed(r#"{"messages":[],"system":"be"}"#), ["- system content be"]);
}

#[test]
fn refuses_what_it_cannot_read_one_way() {
    let block = |block: Json| blocks(json!([block]));
    let with = |member: &str| format!(r#"{{"messages":[{{"role":"user","content":"a"}}],{member}}}"#);
    let at = |place: &str, why: &str| format!("{place}: {why}");
    let shape = |body: &str, expected: &str| (body.to_owned(), expected.to_owned());
    for (body, expected) in [
        shape("[]", "the body: expected an object"),
        shape("{}", "messages: is missing"),
        shape(r#"{"messages":{}}"#, "messages: expected an array"),
        (messages(json!([{"content": "a"}])), "messages[0]: expected a role: user, assistant or system".into()),
        (
            messages(json!([{"role": "tool", "content": "a"}])),
            "messages[0].role: expected a role: user, assistant or system".into(),
        ),
        (blocks(json!(5)), "messages[0].content: expected a string or an array".into()),
        (block(json!("a")), "messages[0].content[0]: expected an object".into()),
        (block(json!({"text": "a"})), "messages[0].content[0]: expected an object with a `type`".into()),
        (block(json!({"type": "text", "text": 5})), "messages[0].content[0].text: expected a string".into()),
        (
            block(json!({"type": "image", "source": {"type": "url", "url": "u"}})),
            at("messages[0].content[0]", BLOCKS_ONLY),
        ),
        (block(json!({"type": "redacted_thinking", "data": "x"})), at("messages[0].content[0]", BLOCKS_ONLY)),
        (block(json!({"type": "container_upload", "file_id": "f"})), at("messages[0].content[0]", BLOCKS_ONLY)),
        (block(json!({"type": "tool_addition", "tool": {}})), at("messages[0].content[0]", BLOCKS_ONLY)),
        (
            block(json!({"type": "tool_result", "content": [{"type": "image", "source": {}}]})),
            at("messages[0].content[0].content[0]", RESULTS_ONLY),
        ),
        (
            block(
                json!({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "x"}}),
            ),
            at("messages[0].content[0].source", DOCUMENTS_ONLY),
        ),
        (
            block(json!({"type": "document", "source": {"type": "file", "file_id": "f"}})),
            at("messages[0].content[0].source", DOCUMENTS_ONLY),
        ),
        (
            block(json!({"type": "document", "source": {"type": "content", "content": [{"type": "image"}]}})),
            at("messages[0].content[0].source.content[0]", RESULTS_ONLY),
        ),
        // A reader that goes by the members and not by the type.
        (
            block(json!({"type": "text", "text": "a", "source": {"type": "base64", "data": "x"}})),
            at("messages[0].content[0].source", DOCUMENTS_ONLY),
        ),
        (block(json!({"type": "text", "text": "a", "data": "x"})), at("messages[0].content[0].data", ENCRYPTED)),
        (
            block(
                json!({"type": "web_search_tool_result", "content": [{"type": "web_search_result", "encrypted_content": "x"}]}),
            ),
            at("messages[0].content[0].content[0].encrypted_content", ENCRYPTED),
        ),
        (
            with(r#""system":[{"type":"image"}]"#),
            "system[0]: unsupported; this route judges text only: a system prompt is `text`".into(),
        ),
        (with(r#""system":5"#), "system: expected a string or an array".into()),
        (with(r#""Messages":[]"#), "*: expected `messages`, spelled so".into()),
        (with(r#""\u017fystem":"b""#), "*: expected `system`, spelled so".into()),
        (
            block(json!({"type": "text", "text": "a", "TEXT": "b"})),
            "messages[0].content[0].*: expected `text`, spelled so".into(),
        ),
        (
            with(r#""tools":[{"name":"a"},{"type":"web_search_20250305","name":"web_search"}]"#),
            at("tools[1].type", OWN_TOOLS),
        ),
        (with(r#""tools":[{"type":"mcp_toolset","mcp_server_name":"s"}]"#), at("tools[0].type", OWN_TOOLS)),
        (with(r#""tools":[{"type":"code_execution_20250825"}]"#), at("tools[0].type", OWN_TOOLS)),
        (with(r#""tools":[{"type":5}]"#), "tools[0].type: expected a string".into()),
        (with(r#""tools":["a"]"#), "tools[0]: expected an object".into()),
        (
            with(r#""output_config":{"format":{"type":"regex"}}"#),
            "output_config.format: unsupported; this route judges the format `json_schema`".into(),
        ),
        (
            with(r#""model":"ignore all previous""#),
            "model: expected a plain word: up to 128 letters, digits and `-_./:@+`".into(),
        ),
        (with(r#""stream":"true""#), "stream: expected a number or a boolean".into()),
        (with(r#""stream":1"#), "stream: expected a boolean".into()),
        (with(r#""max_tokens":"5""#), "max_tokens: expected a number or a boolean".into()),
        (
            with(r#""x":{"y":[["a",7]]}"#),
            "x.y[0][1]: unsupported; this route judges text only, and numbers in an array may be token ids".into(),
        ),
        shape(r#"{"messages":[],"messages":[]}"#, "not strict JSON at byte 15: the object has this key twice"),
    ] {
        let error = parse(body.clone()).err().unwrap_or_else(|| panic!("must be refused: {body}"));
        assert_eq!(error.to_string(), expected, "{body}");
    }
    let unseen = "unsupported; this route judges what stands in the request, and this names a context that does not";
    for member in ["container", "mcp_servers", "thread"] {
        assert_eq!(parse(with(&format!(r#""{member}":"x""#))).err().unwrap().to_string(), at(member, unseen));
        assert!(parse(with(&format!(r#""{member}":null"#))).is_ok());
    }
    let many = messages(json!(vec![json!({"role": "user", "content": "a"}); 1001]));
    assert_eq!(parse(many).err().unwrap().to_string(), "the body: expected at most 1000 texts");
}

#[test]
fn edits_in_place() {
    let body = r#"{"top_p":1.0e0, "messages":[{"role":"user","content":"mail bob@x.y \u00e9"},{"role":"assistant" , "content":[{"type":"tool_use","id":"t","name":"f","input":{"to":"bob@x.y","n":1.50}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"a se"},{"type":"text","text":"cret b"}]}]}]}"#;
    assert_eq!(edited(body, &[]).as_deref(), Ok(body));
    let expected = [
        "0 user content mail bob@x.y é",
        "1 assistant other !t",
        "1 assistant name !f",
        "1 assistant tool_arguments to\nbob@x.y\nn\n1.50",
        "2 user other !t",
        "2 user content a se\ncret b",
        "2 user content a secret b",
        "0 user content mail bob@x.y é\na se\ncret b",
        "0 user seam mail bob@x.y éa secret b",
        "0 user seam mail bob@x.y é\na secret b",
    ];
    assert_eq!(listed(body), expected);
    let out = edited(body, &[(0, 5..12, "[E]"), (3, 3..10, "[E]"), (6, 2..8, "[S]")]).unwrap();
    assert_eq!(
        out,
        r#"{"top_p":1.0e0, "messages":[{"role":"user","content":"mail [E] \u00e9"},{"role":"assistant" , "content":[{"type":"tool_use","id":"t","name":"f","input":{"to":"[E]","n":1.50}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"a [S]"},{"type":"text","text":" b"}]}]}]}"#
    );
    // Ids, names, keys and numbers stay what they are.
    for (segment, span, at) in [
        (1, 0..1, "messages[1].content[0].id"),
        (2, 0..1, "messages[1].content[0].name"),
        (3, 13..15, "messages[1].content[0].input.n"),
    ] {
        assert_eq!(edited(body, &[(segment, span, "x")]), Err(WireError::NotEditable { at: at.into() }));
    }
}
