//! Gemini's events.

use serde_json::{Value as Json, json};

use super::said::Said;

/// An index is a place in the array, so that a candidate brings all before it along. Calls come whole.
pub fn events(said: &Said) -> Vec<Json> {
    let event = |choice: usize, part: Json| {
        let others = (0..choice).map(|index| json!({"index": index}));
        let own = json!({"content": {"role": "model", "parts": [part]}, "index": choice});
        json!({"candidates": others.chain([own]).collect::<Vec<_>>(), "modelVersion": "g-1", "responseId": "r1", "usageMetadata": {"totalTokenCount": 5}})
    };
    let mut events: Vec<Json> =
        said.thought.iter().map(|piece| event(0, json!({"text": piece, "thought": true}))).collect();
    events.extend(said.contents().into_iter().map(|(choice, piece)| event(choice, json!({"text": piece}))));
    for call in &said.calls {
        let arguments: Json = serde_json::from_str(&call.concat()).unwrap_or_default();
        events.push(event(0, json!({"functionCall": {"name": "get", "args": arguments}})));
    }
    let ends: Vec<Json> =
        (0..said.content.len()).map(|index| json!({"index": index, "finishReason": "STOP"})).collect();
    events.push(json!({"candidates": ends, "modelVersion": "g-1"}));
    events
}
