//! OpenAI's chat completions and completions.

use serde_json::{Value as Json, json};

use super::said::Said;

pub fn chat(said: &Said) -> Vec<Json> {
    let mut events = vec![chunk(0, json!({"role": "assistant", "content": ""}), Json::Null)];
    let mut tell = |index: usize, delta: Json| events.push(chunk(index, delta, Json::Null));
    said.thought.iter().for_each(|piece| tell(0, json!({"reasoning_content": piece})));
    said.contents().into_iter().for_each(|(choice, piece)| tell(choice, json!({"content": piece})));
    said.refusal.iter().for_each(|piece| tell(0, json!({"refusal": piece})));
    for (at, arguments) in said.calls.iter().enumerate() {
        let head = json!({"index": at, "id": format!("call_{at}"), "type": "function", "function": {"name": "get", "arguments": ""}});
        tell(0, json!({"tool_calls": [head]}));
        arguments
            .iter()
            .for_each(|piece| tell(0, json!({"tool_calls": [{"index": at, "function": {"arguments": piece}}]})));
    }
    let reason = if said.calls.is_empty() { "stop" } else { "tool_calls" };
    events.extend((0..said.content.len()).map(|index| chunk(index, json!({}), json!(reason))));
    if said.by_turns {
        let usage = json!({"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3});
        events.push(json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m-1", "choices": [], "usage": usage}));
    }
    with_probabilities(&mut events);
    events
}

/// Every third event of content brings its tokens, with others that were not chosen.
fn with_probabilities(events: &mut [Json]) {
    for event in events.iter_mut().step_by(3) {
        let Some(text) = event["choices"][0]["delta"]["content"].as_str().filter(|text| !text.is_empty()) else {
            continue;
        };
        let token = |text: &str| json!({"token": text, "logprob": -0.5, "bytes": text.as_bytes(), "top_logprobs": []});
        let mut spelled = token(text);
        spelled["top_logprobs"] = json!([token(text), token("project bluebird")]);
        event["choices"][0]["logprobs"] = json!({"content": [spelled], "refusal": null});
    }
}

fn chunk(index: usize, delta: Json, finish: Json) -> Json {
    let choice = json!({"index": index, "delta": delta, "logprobs": null, "finish_reason": finish});
    json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m-1", "choices": [choice]})
}

pub fn completions(said: &Said) -> Vec<Json> {
    let chunk = |index: usize, text: &str, finish: Json, logprobs: Json| {
        let choice = json!({"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish});
        json!({"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m-1", "choices": [choice]})
    };
    let pieces = said.contents().into_iter().enumerate().map(|(at, (choice, piece))| {
        let spelled = json!({"tokens": [piece], "token_logprobs": [-0.5], "top_logprobs": [{"project bluebird": -1}], "text_offset": [0]});
        chunk(choice, piece, Json::Null, if at % 3 == 0 && !piece.is_empty() { spelled } else { Json::Null })
    });
    let ends = (0..said.content.len()).map(|choice| chunk(choice, "", json!("stop"), Json::Null));
    pieces.chain(ends).collect()
}
