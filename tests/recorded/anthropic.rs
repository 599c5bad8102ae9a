//! Anthropic's messages.

use serde_json::{Value as Json, json};

use super::said::Said;

/// A message has one choice: further contents are further blocks.
pub fn events(said: &Said) -> Vec<Json> {
    let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-1", "content": [], "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 1, "output_tokens": 1}});
    let mut events = vec![json!({"type": "message_start", "message": message}), json!({"type": "ping"})];
    let mut index = 0;
    let mut block = |start: Json, kind: &str, name: &str, pieces: &[String]| {
        events.push(json!({"type": "content_block_start", "index": index, "content_block": start}));
        for piece in pieces {
            events.push(json!({"type": "content_block_delta", "index": index, "delta": {"type": kind, name: piece}}));
        }
        events.push(json!({"type": "content_block_stop", "index": index}));
        index += 1;
    };
    if !said.thought.is_empty() {
        block(
            json!({"type": "thinking", "thinking": "", "signature": ""}),
            "thinking_delta",
            "thinking",
            &said.thought,
        );
    }
    for content in said.content.iter().chain([&said.refusal]).filter(|content| !content.is_empty()) {
        block(json!({"type": "text", "text": ""}), "text_delta", "text", content);
    }
    for (at, call) in said.calls.iter().enumerate() {
        let start = json!({"type": "tool_use", "id": format!("toolu_{at}"), "name": "get", "input": {}});
        block(start, "input_json_delta", "partial_json", call);
    }
    let reason = if said.calls.is_empty() { "end_turn" } else { "tool_use" };
    events.push(json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null}, "usage": {"output_tokens": 5}}));
    events.push(json!({"type": "message_stop"}));
    events
}
