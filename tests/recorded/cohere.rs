//! Cohere's chat, of a dialect that a file describes.

use serde_json::{Value as Json, json};

use super::said::Said;

/// A message has one choice: further contents are further parts. What is quoted is said again.
pub fn events(said: &Said) -> Vec<Json> {
    let event = |kind: &str, message: Json| json!({"type": kind, "delta": {"message": message}});
    let mut start = event(
        "message-start",
        json!({"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}),
    );
    start["id"] = json!("c14c80c3-18eb-4519-9460-6c92edd8cfb4");
    let mut events = vec![start];
    let mut at = |index: usize, mut event: Json| {
        event["index"] = json!(index);
        events.push(event);
    };
    let texts = said.content.iter().chain([&said.refusal]).map(|content| ("text", content));
    let parts = [("thinking", &said.thought)].into_iter().chain(texts).filter(|(_, pieces)| !pieces.is_empty());
    for (index, (kind, pieces)) in parts.enumerate() {
        at(index, event("content-start", json!({"content": {"type": kind, kind: ""}})));
        for piece in pieces {
            at(index, event("content-delta", json!({"content": {kind: piece}})));
        }
        if said.by_turns && kind == "text" {
            let text = pieces.concat();
            let sources = json!([{"type": "document", "id": "doc:0", "document": {"id": "doc:0", "snippet": text}}]);
            let quote = json!({"start": 0, "end": 5, "text": text, "type": "TEXT_CONTENT", "sources": sources});
            at(index, event("citation-start", json!({"citations": quote})));
            at(index, json!({"type": "citation-end"}));
        }
        at(index, json!({"type": "content-end"}));
    }
    for (index, call) in said.calls.iter().enumerate() {
        let head =
            json!({"id": format!("get_{index}"), "type": "function", "function": {"name": "get", "arguments": ""}});
        at(index, event("tool-call-start", json!({"tool_calls": head})));
        for piece in call {
            at(index, event("tool-call-delta", json!({"tool_calls": {"function": {"arguments": piece}}})));
        }
        at(index, json!({"type": "tool-call-end"}));
    }
    let reason = if said.calls.is_empty() { "COMPLETE" } else { "TOOL_CALL" };
    let usage = json!({"billed_units": {"input_tokens": 3, "output_tokens": 9}, "tokens": {"input_tokens": 66, "output_tokens": 9}});
    events.push(json!({"type": "message-end", "delta": {"finish_reason": reason, "usage": usage}}));
    events
}
