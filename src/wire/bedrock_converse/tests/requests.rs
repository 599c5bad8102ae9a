//! Requests: every text and its place, what is refused, edits.

use serde_json::{Value as Json, json};

use super::{BLOB, DIALECT, PATH};
use crate::wire::Dialect;
use crate::wire::bedrock_converse::BedrockConverse;
use crate::wire::testing::{edited, listed, refused};

/// A request of one message with these blocks.
fn blocks(blocks: Json) -> Json {
    json!({"messages": [{"role": "user", "content": blocks}]})
}

/// A request with these members.
fn with(members: Json) -> Json {
    let mut body = json!({"messages": []});
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    body
}

#[test]
fn finds_every_text_and_its_place() {
    let body = json!({
        "messages": [
            {"role": "user", "content": [{"text": "see "}, {"cachePoint": {"type": "default", "ttl": "5m"}}, {"text": "this"}]},
            {"role": "assistant", "content": [
                {"reasoningContent": {"reasoningText": {"text": "hm", "signature": BLOB}}},
                {"text": "looks"},
                {"toolUse": {"toolUseId": "tooluse_1", "name": "get", "input": {"city": "Oslo", "n": 5}}}]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "tooluse_1", "status": "success",
                "content": [{"text": "cold"}, {"json": {"degrees": -5}}]}}]},
            {"role": "assistant", "content": [{"citationsContent": {"content": [{"text": "said"}], "citations": [
                {"title": "t", "source": "s", "sourceContent": [{"text": "q"}], "location": {"web": {"url": "u", "domain": "d"}}}]}}]}],
        "system": [{"text": "be "}, {"guardContent": {"text": {"text": "kind", "qualifiers": ["query"]}}}],
        "inferenceConfig": {"maxTokens": 512, "temperature": 0.5, "topP": 1, "stopSequences": ["END"]},
        "toolConfig": {"tools": [
            {"toolSpec": {"name": "get", "description": "gets", "strict": true, "inputSchema": {"json": {"type": "object", "properties": {"city": {"type": "string"}}}}}},
            {"cachePoint": {"type": "default"}}], "toolChoice": {"tool": {"name": "get"}}},
        "guardrailConfig": {"guardrailIdentifier": "gr1", "guardrailVersion": "1", "trace": "enabled", "streamProcessingMode": "sync"},
        "additionalModelRequestFields": {"top_k": 200, "thinking": {"type": "enabled"}},
        "additionalModelResponseFieldPaths": ["/stop_sequence"], "requestMetadata": {"team": "a"},
        "performanceConfig": {"latency": "optimized"}, "serviceTier": {"type": "flex"},
        "outputConfig": {"effort": "low", "textFormat": {"type": "json_schema", "structure": {"jsonSchema":
            {"name": "form", "description": "fill in", "schema": "{\"title\":\"b\\u006cue\"}"}}}},
    });
    let expected = [
        "0 user content see \nthis",
        "0 user content see this",
        "0 user content see \nthis\ncold",
        "0 user seam see thiscold",
        "0 user seam see this\ncold",
        "1 assistant reasoning hm",
        "1 assistant name !get",
        "1 assistant tool_arguments city\nOslo\nn\n5",
        "1 assistant other !tooluse_1",
        "1 assistant content looks",
        "2 user other !tooluse_1",
        "2 user content !degrees\n-5",
        "2 user content cold",
        "3 assistant other t\ns\nq\nu\nd",
        "3 assistant content said",
        "- system content be \nkind",
        "- system content be kind",
        "- none other END",
        "- none tool_definition get\ngets\ncity",
        "- none tool_definition !get",
        "- none other !gr1",
        "- none other !1",
        "- none other !top_k\n200",
        "- none other thinking\ntype\nenabled",
        "- none other /stop_sequence",
        "- none other team\na",
        "- none tool_arguments {\"title\":\"blue\"}",
        "- none other !form",
        "- none other fill in",
    ];
    let mut found = listed(&DIALECT, &body);
    let mut expected = expected.map(str::to_owned);
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let prompt = DIALECT.parse_request(body.to_string().into(), "").unwrap();
    assert_eq!((prompt.model(), prompt.streams(), prompt.path()), ("amazon.nova-lite-v1:0", false, PATH));
    let streamed = BedrockConverse::new(10).parse_request("{}".into(), "/model/m/converse-stream").unwrap();
    assert!(streamed.streams() && streamed.segments().is_empty());
    assert!(BedrockConverse::new(10).parse_request("{}".into(), "/model/m/invoke").is_err());
}

#[test]
fn documents_and_what_was_found_are_texts_where_they_are_texts() {
    let body = blocks(json!([
        {"text": "pro"},
        {"document": {"name": "n", "format": "txt", "context": "c", "citations": {"enabled": true}, "source": {"text": "ject "}}},
        {"document": {"name": "m", "source": {"content": [{"text": "bl"}, {"text": "ue"}]}}},
        {"searchResult": {"source": "s", "title": "t", "content": [{"text": "bi"}], "citations": {"enabled": false}}},
        {"toolResult": {"toolUseId": "a b", "content": [{"document": {"name": "o", "source": {"text": "rd"}}}]}},
    ]));
    let texts = listed(&DIALECT, &body);
    let joined = ["0 user content pro\nject \nbl\nue\nbi\nrd", "0 user content project bluebird"];
    assert_eq!(texts[texts.len() - 2..], joined);
    for aside in ["n", "c", "m", "s", "t", "o"] {
        assert!(texts.contains(&format!("0 user other {aside}")), "{texts:?}");
    }
    assert!(texts.contains(&"0 user other !a b".to_owned()));
}

#[test]
fn what_can_not_be_judged_is_refused() {
    let picture = json!({"format": "png", "source": {"bytes": "aGk="}});
    for (block, why) in [
        (json!({"image": picture}), "this route judges text: `text`, `reasoningContent`"),
        (
            json!({"video": {"format": "mp4", "source": {"s3Location": {"uri": "s3://a/b"}}}}),
            "this route judges text: ",
        ),
        (json!({"audio": {}}), "this route judges text: "),
        (json!({"toolAddition": {"tool": {"name": "f"}}}), "this route judges text: "),
        (json!({"toolRemoval": {"tool": {"name": "f"}}}), "this route judges text: "),
        (json!({"newBlock": {"text": "a"}}), "this route judges text: "),
        (json!({"Text": "a"}), "this route judges text: "),
        (json!({"document": {"name": "n", "format": "txt", "source": {"bytes": "aGk="}}}), "documents of text only"),
        (json!({"document": {"name": "n", "source": {"s3Location": {"uri": "s3://a/b"}}}}), "documents of text only"),
        (json!({"guardContent": {"image": picture}}), "this route judges text only"),
        (json!({"reasoningContent": {"redactedContent": "aGk="}}), "this is encrypted"),
        (
            json!({"toolResult": {"toolUseId": "t", "content": [{"image": picture}]}}),
            "this route judges results of text",
        ),
        (json!({"toolResult": {"toolUseId": "t", "content": [{"video": {}}]}}), "this route judges results of text"),
        (json!({"toolResult": {"toolUseId": "t", "content": "a"}}), "expected an array"),
        // One of several: which, readers differ on.
        (json!({"text": "a", "toolUse": {"name": "f"}}), "expected an object with one member"),
        (json!({"text": "a", "image": null}), "expected an object with one member"),
        (json!({}), "expected an object with one member"),
        (json!("a"), "expected an object"),
        (json!({"toolResult": {"toolUseId": "t", "content": [{"text": "a", "json": 1}]}}), "an object with one member"),
    ] {
        let error = refused(&DIALECT, &blocks(json!([block])).to_string());
        assert!(error.contains(why), "{block}: {error}");
    }
    let additional = |member: &str, value: Json| with(json!({"additionalModelRequestFields": {member: value}}));
    for (body, why) in [
        (with(json!({"promptVariables": {"a": {"text": "b"}}})), "names a context that does not"),
        (with(json!({"system": [{"image": picture}]})), "a system prompt is `text` or `guardContent`"),
        (with(json!({"system": "a"})), "expected an array"),
        (with(json!({"toolConfig": {"tools": [{"systemTool": {"name": "nova_grounding"}}]}})), "`toolSpec`"),
        (with(json!({"toolConfig": {"tools": [{"toolSpec": {"inputSchema": {"json": {}}}}]}})), "is missing"),
        (with(json!({"toolConfig": {"toolChoice": {"none": {}}}})), "`auto`, `any` and `tool`"),
        (with(json!({"toolConfig": {"toolChoice": {"auto": {}, "any": {}}}})), "an object with one member"),
        (with(json!({"outputConfig": {"textFormat": {"structure": {"grammar": "a"}}}})), "`json` or `jsonSchema`"),
        (with(json!({"additionalModelRequestFields": ["a"]})), "expected an object"),
        (additional("messages", json!([])), "in `messages` and `system`"),
        (additional("prompt", json!("a")), "in `messages` and `system`"),
        (additional("mcp_servers", json!([{"url": "u"}])), "names a context"),
        (additional("images", json!(["aGk="])), "no text can't be read"),
        (additional("raw_prompting", json!(true)), "a template of the request's own"),
        (additional("guided_regex", json!("a")), "this route judges no grammars"),
        (additional("tokens", json!([1, 2])), "may be token ids"),
        (additional("tools", json!([{"type": "web_search_20250305", "name": "w"}])), "has the upstream bring more"),
        (additional("tools", json!([{"type": "nova_grounding", "name": "w"}])), "not seen"),
        (additional("tools", json!([{"type": "computer_20250124"}, {"type": ["web_search"]}])), "not seen"),
        (additional("tools", json!({"type": "custom"})), "expected an array"),
        (with(json!({"prompt_token_ids": [1, 2]})), "may be token ids"),
        (json!({"messages": [{"role": "tool", "content": []}]}), "a role: user, assistant or system"),
        (json!({"messages": [{"content": []}]}), "a role: user, assistant or system"),
        (json!({"messages": [{"role": "user", "content": "a"}]}), "expected an array"),
        (json!({"Messages": []}), "`messages`, spelled so"),
    ] {
        let error = refused(&DIALECT, &body.to_string());
        assert!(error.contains(why), "{body}: {error}");
    }
    // What the client runs is only text, whatever the model.
    let tools = json!([{"type": "computer_20250124", "name": "computer"}, {"name": "a"}]);
    assert_eq!(listed(&DIALECT, &additional("tools", tools)).len(), 1);
}

#[test]
fn words_that_are_not_the_apis_own_are_judged() {
    for (members, expected) in [
        (json!({"serviceTier": {"type": "sk-1"}}), &["- none word !sk-1"][..]),
        (json!({"performanceConfig": {"latency": "a b"}}), &["- none other !a b"]),
        (json!({"guardrailConfig": {"trace": "sk-1"}}), &["- none word !sk-1"]),
        (json!({"outputConfig": {"effort": "sk-1"}}), &["- none word !sk-1"]),
        (json!({"system": [{"cachePoint": {"type": "default", "ttl": "sk-1"}}]}), &["- system word !sk-1"]),
        (json!({"modelId": "m", "note": {"a": "b"}}), &["- none other modelId\nm", "- none other note\na\nb"]),
    ] {
        assert_eq!(listed(&DIALECT, &with(members.clone())), expected, "{members}");
    }
}

#[test]
fn an_edit_changes_what_was_judged_and_nothing_else() {
    let body = blocks(json!([{"text": "project "}, {"text": "bluebird"}])).to_string();
    assert_eq!(listed(&DIALECT, &serde_json::from_str(&body).unwrap()).len(), 2);
    assert_eq!(
        edited(&DIALECT, &body, &[(1, 3..16, "#")]).unwrap(),
        body.replace("ject ", "#").replace("bluebird", "")
    );
    let call = blocks(json!([{"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": "bluebird"}}}])).to_string();
    let at = listed(&DIALECT, &serde_json::from_str(&call).unwrap()).iter().position(|text| text.contains("bluebird"));
    let at = at.unwrap() as u32;
    assert_eq!(edited(&DIALECT, &call, &[(at, 2..10, "#")]).unwrap(), call.replace("bluebird", "#"));
    assert!(edited(&DIALECT, &call, &[(at, 0..1, "#")]).is_err());
}
