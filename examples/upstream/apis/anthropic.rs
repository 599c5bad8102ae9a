//! Anthropic's Messages.

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::answer::{Answer, Choice, Content, shards, words};
use crate::apis::{Api, Request, Stream};
use crate::ask::{self, Ask, Form, Tool, Turn, text_of};

pub struct Messages;
pub struct CountTokens;

/// What a model's thinking is signed with. Nobody checks it here.
const SIGNATURE: &str =
    "EqQBCkYIBxgCKkD8lX0Tz5mYw3VJH2pQdR9bKeN7uGfAo1sWv4ChZxE6yLtIiMSjBnUPqOaXcTgFk8Dr5JzHwY0vQ2m1R3d7Ew==";

const REQUEST_ID: &str = "req_011CSHoEeqs5C35K2UUqR7Fy";

const HEADERS: &[(&str, &str)] = &[
    ("request-id", REQUEST_ID),
    ("anthropic-organization-id", "6b3d0f8e-1c5a-4e79-9d42-0a7f5c3b8e16"),
    ("anthropic-ratelimit-requests-remaining", "999"),
];

impl Api for Messages {
    fn ask(&self, body: &Value) -> Result<Ask, &'static str> {
        let messages = body["messages"].as_array().ok_or("messages: Input should be a valid list")?;
        let turns: Vec<_> = messages.iter().flat_map(turns).collect();
        let format = &body["output_config"]["format"];
        let form = if format["type"] == "json_schema" { Form::Schema(format["schema"].clone()) } else { Form::Text };
        let mut ask = Ask { form, limit: body["max_tokens"].as_u64(), ..Ask::of(&turns) };
        let choice = &body["tool_choice"];
        let choice = match choice["type"].as_str() {
            Some("none") => ask::Choice::None,
            Some("any") => ask::Choice::Any,
            Some("tool") => ask::Choice::Tool(choice["name"].as_str().unwrap_or_default().to_owned()),
            _ => ask::Choice::Auto,
        };
        ask.offer(body["tools"].as_array().into_iter().flatten().map(|tool| Tool::new(tool, "input_schema")), choice);
        Ok(ask)
    }

    fn whole(&self, request: &Request, answer: &Answer) -> Value {
        let choice = answer.only();
        let mut message = message(request, answer, choice.tokens());
        message["content"] = blocks(request, choice).into();
        message["stop_reason"] = json!(stop_reason(choice));
        message
    }

    fn stream(&self, request: &Request, answer: &Answer) -> Stream {
        let choice = answer.only();
        let mut events = vec![json!({ "type": "message_start", "message": message(request, answer, 1) })];
        for (index, block) in blocks(request, choice).into_iter().enumerate() {
            let (open, deltas) = taken_apart(block);
            events.push(json!({ "type": "content_block_start", "index": index, "content_block": open }));
            if index == 0 {
                events.push(json!({ "type": "ping" }));
            }
            let delta = |delta| json!({ "type": "content_block_delta", "index": index, "delta": delta });
            events.extend(deltas.into_iter().map(delta));
            events.push(json!({ "type": "content_block_stop", "index": index }));
        }
        let delta = json!({ "stop_reason": stop_reason(choice), "stop_sequence": null });
        events.push(json!({ "type": "message_delta", "delta": delta, "usage": { "output_tokens": choice.tokens() } }));
        events.push(json!({ "type": "message_stop" }));
        Stream::named(events)
    }

    fn error(&self, status: StatusCode, message: &str) -> Value {
        let kind = match status.as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            429 => "rate_limit_error",
            529 => "overloaded_error",
            500.. => "api_error",
            _ => "invalid_request_error",
        };
        let error = json!({ "type": kind, "message": message });
        json!({ "type": "error", "error": error, "request_id": REQUEST_ID })
    }

    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        HEADERS
    }
}

impl Api for CountTokens {
    fn ask(&self, body: &Value) -> Result<Ask, &'static str> {
        Messages.ask(body)
    }

    fn streams(&self, _: &Value) -> bool {
        false
    }

    fn whole(&self, _: &Request, answer: &Answer) -> Value {
        json!({ "input_tokens": answer.prompt_tokens })
    }

    fn stream(&self, request: &Request, answer: &Answer) -> Stream {
        Stream::named([self.whole(request, answer)])
    }

    fn error(&self, status: StatusCode, message: &str) -> Value {
        Messages.error(status, message)
    }

    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        HEADERS
    }
}

/// A message of the conversation: the results of tools stand in those of the user.
fn turns(message: &Value) -> Vec<(Turn, String)> {
    let blocks = message["content"].as_array().into_iter().flatten();
    let results = blocks.filter(|block| block["type"] == "tool_result");
    let mut turns: Vec<_> = results.map(|block| (Turn::Result, text_of(&block["content"]))).collect();
    let said = text_of(&message["content"]);
    if turns.is_empty() || !said.is_empty() {
        turns.push((if message["role"] == "user" { Turn::User } else { Turn::Other }, said));
    }
    turns
}

/// A message that has said nothing yet.
fn message(request: &Request, answer: &Answer, output_tokens: usize) -> Value {
    json!({
        "id": format!("msg_01{}", request.id),
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
        "usage": {
            "input_tokens": answer.prompt_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "cache_creation": { "ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0 },
            "output_tokens": output_tokens,
            "service_tier": "standard",
        },
    })
}

fn blocks(request: &Request, choice: &Choice) -> Vec<Value> {
    let mut blocks = Vec::new();
    if let Some(reasoning) = &choice.reasoning {
        blocks.push(json!({ "type": "thinking", "thinking": reasoning, "signature": SIGNATURE }));
    }
    if !choice.said().is_empty() {
        blocks.push(json!({ "type": "text", "text": choice.said() }));
    }
    blocks.extend(choice.calls().iter().enumerate().map(|(index, call)| {
        let id = format!("toolu_01{}_{index}", request.id);
        json!({ "type": "tool_use", "id": id, "name": call.name, "input": call.arguments })
    }));
    blocks
}

/// A block as a stream begins it, and what it adds.
fn taken_apart(mut block: Value) -> (Value, Vec<Value>) {
    let whole = |block: &mut Value, name: &str, empty: Value| std::mem::replace(&mut block[name], empty);
    let deltas = match block["type"].as_str() {
        Some("thinking") => {
            let thought = whole(&mut block, "thinking", json!(""));
            let signed = json!({ "type": "signature_delta", "signature": whole(&mut block, "signature", json!("")) });
            let thoughts = words(thought.as_str().unwrap_or_default());
            thoughts.map(|word| json!({ "type": "thinking_delta", "thinking": word })).chain([signed]).collect()
        }
        Some("tool_use") => {
            let input = whole(&mut block, "input", json!({})).to_string();
            let shards = std::iter::once("").chain(shards(&input));
            shards.map(|part| json!({ "type": "input_json_delta", "partial_json": part })).collect()
        }
        _ => {
            let text = whole(&mut block, "text", json!(""));
            let words = words(text.as_str().unwrap_or_default());
            words.map(|word| json!({ "type": "text_delta", "text": word })).collect()
        }
    };
    (block, deltas)
}

fn stop_reason(choice: &Choice) -> &'static str {
    match choice.content {
        Content::Calls(_) => "tool_use",
        Content::Refusal(_) => "refusal",
        Content::Text(_) if choice.cut => "max_tokens",
        Content::Text(_) => "end_turn",
    }
}
