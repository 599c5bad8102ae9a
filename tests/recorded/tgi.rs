//! Tokens of text-generation-inference, of a dialect that a file describes.

use serde_json::{Value as Json, json};

use super::said::Said;

/// Each token, some with others that were not chosen; the last says the text whole.
pub fn events(said: &Said) -> Vec<Json> {
    let text = said.content[0].concat();
    let token = |index: usize, piece: &str, special: bool| {
        let token = json!({"id": 5, "text": piece, "logprob": -0.5, "special": special});
        json!({"index": index + 1, "token": token, "generated_text": null, "details": null})
    };
    let mut events: Vec<Json> =
        said.content[0].iter().enumerate().map(|(index, piece)| token(index, piece, false)).collect();
    for event in events.iter_mut().step_by(3) {
        event["top_tokens"] =
            json!([event["token"], {"id": 6, "text": "project bluebird", "logprob": -1, "special": false}]);
    }
    // One that was told to stop early has no token of its own at the end.
    let reason = if said.by_turns { "eos_token" } else { "length" };
    if said.by_turns {
        events.push(token(events.len(), "</s>", true));
    }
    let generated_tokens = events.len();
    if let Some(last) = events.last_mut() {
        last["generated_text"] = json!(text);
        last["details"] =
            json!({"finish_reason": reason, "generated_tokens": generated_tokens, "input_length": 5, "seed": null});
    }
    events
}
