//! Ollama's lines.

use serde_json::{Value as Json, json};

use super::said::Said;

pub fn chat(said: &Said) -> Vec<Json> {
    let message = |message: Json| line(json!({"message": message}));
    let thought =
        said.thought.iter().map(|piece| message(json!({"role": "assistant", "content": "", "thinking": piece})));
    let content = said.content[0].iter().map(|piece| message(json!({"role": "assistant", "content": piece})));
    let calls = said.calls.iter().map(|call| {
        let arguments: Json = serde_json::from_str(&call.concat()).unwrap_or_default();
        let call = json!({"function": {"name": "get", "arguments": arguments}});
        message(json!({"role": "assistant", "content": "", "tool_calls": [call]}))
    });
    let mut lines: Vec<Json> = thought.chain(content).chain(calls).collect();
    lines.push(end(json!({"message": {"role": "assistant", "content": ""}})));
    lines
}

pub fn generate(said: &Said) -> Vec<Json> {
    let thought = said.thought.iter().map(|piece| line(json!({"response": "", "thinking": piece})));
    let content = said.content[0].iter().map(|piece| line(json!({"response": piece})));
    let mut lines: Vec<Json> = thought.chain(content).collect();
    lines.push(end(json!({"response": ""})));
    lines
}

fn line(mut said: Json) -> Json {
    said["model"] = json!("m-1");
    said["created_at"] = json!("2023-08-04T08:52:19.385406455-07:00");
    said["done"] = json!(false);
    said
}

fn end(said: Json) -> Json {
    let mut line = line(said);
    line["done"] = json!(true);
    line["done_reason"] = json!("stop");
    line["context"] = json!([1, 2, 3]);
    line["eval_count"] = json!(5);
    line["total_duration"] = json!(5_043_500_667_u64);
    line
}
