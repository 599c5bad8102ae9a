//! Bedrock's Converse.

use serde_json::{Value as Json, json};

use super::said::Said;

/// A message has one choice: further contents are further blocks. Only the block of a call says how it starts.
pub fn events(said: &Said) -> Vec<Json> {
    let mut events = vec![json!({":event-type": "messageStart", "role": "assistant"})];
    let mut index = 0;
    let mut block = |start: Option<Json>, pieces: Vec<Json>| {
        let start = start.map(|start| json!({":event-type": "contentBlockStart", "start": start}));
        let deltas = pieces.into_iter().map(|delta| json!({":event-type": "contentBlockDelta", "delta": delta}));
        for mut event in start.into_iter().chain(deltas).chain([json!({":event-type": "contentBlockStop"})]) {
            event["contentBlockIndex"] = json!(index);
            events.push(event);
        }
        index += 1;
    };
    if !said.thought.is_empty() {
        let signed = json!({"reasoningContent": {"signature": "EqQBCkYICxgCKkDVh5zXm2Q1"}});
        let told = said.thought.iter().map(|piece| json!({"reasoningContent": {"text": piece}}));
        block(None, told.chain([signed]).collect());
    }
    for (at, content) in said.content.iter().chain([&said.refusal]).filter(|content| !content.is_empty()).enumerate() {
        let mut told: Vec<Json> = content.iter().map(|piece| json!({"text": piece})).collect();
        if at == 1 {
            let quote = json!({"title": "a page", "sourceContent": [{"text": content.concat()}], "location": {"documentPage": {"documentIndex": 0, "start": 1, "end": 2}}});
            told.push(json!({"citation": quote}));
        }
        block(None, told);
    }
    for (at, call) in said.calls.iter().enumerate() {
        let start = json!({"toolUse": {"toolUseId": format!("tooluse_{at}"), "name": "get"}});
        block(Some(start), call.iter().map(|piece| json!({"toolUse": {"input": piece}})).collect());
    }
    let reason = if said.calls.is_empty() { "end_turn" } else { "tool_use" };
    events.push(json!({":event-type": "messageStop", "stopReason": reason}));
    let usage = json!({"inputTokens": 5, "outputTokens": 7, "totalTokens": 12});
    events.push(json!({":event-type": "metadata", "usage": usage, "metrics": {"latencyMs": 9}}));
    events
}
