//! Bedrock's Converse and ConverseStream.

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::answer::{Answer, Choice, Content, shards, words};
use crate::apis::{Api, Request, Stream};
use crate::ask::{self, Ask, Form, Tool, Turn, text_of};

/// By the form of the answer.
pub enum Bedrock {
    Whole,
    Events,
}

/// What a model's reasoning is signed with. Nobody checks it here.
const SIGNATURE: &str =
    "EqQBCkYIBxgCKkBsV2u7JrTn0qkXhQ9pLwEaYd3CzM8fGvB5oRi1SjTxUe6NmKyA4PcZlHgDt7bWqOI2FvXs0J9nR5uC3kLe8w==";

/// So long are the letters, at most, that hide how long a piece is.
const PADDING: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

impl Api for Bedrock {
    fn ask(&self, body: &Value) -> Result<Ask, &'static str> {
        let messages = body["messages"].as_array().filter(|messages| !messages.is_empty());
        let messages = messages.ok_or("A conversation must start with a user message. Try again with messages.")?;
        let turns: Vec<_> = messages.iter().flat_map(turns).collect();
        let schema = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"].as_str();
        let schema = schema.and_then(|schema| serde_json::from_str(schema).ok());
        let limit = body["inferenceConfig"]["maxTokens"].as_u64();
        let mut ask = Ask { form: schema.map_or(Form::Text, Form::Schema), limit, ..Ask::of(&turns) };
        let choice = &body["toolConfig"]["toolChoice"];
        let choice = match choice["tool"]["name"].as_str() {
            Some(name) => ask::Choice::Tool(name.to_owned()),
            None if choice["any"].is_object() => ask::Choice::Any,
            None => ask::Choice::Auto,
        };
        let tools = body["toolConfig"]["tools"].as_array().into_iter().flatten();
        let tool = |spec: &Value| Tool { parameters: spec["inputSchema"]["json"].clone(), ..Tool::new(spec, "") };
        ask.offer(tools.map(|tool| &tool["toolSpec"]).filter(|spec| spec.is_object()).map(tool), choice);
        Ok(ask)
    }

    fn streams(&self, _: &Value) -> bool {
        matches!(self, Bedrock::Events)
    }

    fn whole(&self, request: &Request, answer: &Answer) -> Value {
        let choice = answer.only();
        let mut body = numbers(answer);
        body["output"] = json!({ "message": { "role": "assistant", "content": blocks(request, choice) } });
        body["stopReason"] = json!(stop_reason(choice));
        body
    }

    /// Only the block of a call is told how it begins.
    fn stream(&self, request: &Request, answer: &Answer) -> Stream {
        let choice = answer.only();
        let mut events = vec![("messageStart", json!({ "role": "assistant" }))];
        for (index, block) in blocks(request, choice).into_iter().enumerate() {
            let (start, deltas) = taken_apart(&block);
            let start = start.map(|start| ("contentBlockStart", json!({ "start": start })));
            let deltas = deltas.into_iter().map(|delta| ("contentBlockDelta", json!({ "delta": delta })));
            for (name, mut event) in start.into_iter().chain(deltas).chain([("contentBlockStop", json!({}))]) {
                event["contentBlockIndex"] = json!(index);
                events.push((name, event));
            }
        }
        events.push(("messageStop", json!({ "stopReason": stop_reason(choice) })));
        events.push(("metadata", numbers(answer)));
        for (at, (_, event)) in events.iter_mut().enumerate() {
            event["p"] = json!(PADDING[..at * 7 % PADDING.len()]);
        }
        Stream::messages(events)
    }

    fn error(&self, status: StatusCode, message: &str) -> Value {
        let kind = match status.as_u16() {
            401 | 403 => "AccessDeniedException",
            404 => "ResourceNotFoundException",
            408 => "ModelTimeoutException",
            424 => "ModelErrorException",
            429 => "ThrottlingException",
            503 => "ServiceUnavailableException",
            500.. => "InternalServerException",
            _ => "ValidationException",
        };
        json!({ "__type": kind, "message": message })
    }

    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[("x-amzn-requestid", "7f3c1a52-94d0-4be1-8c6e-2f05b9d7a318")]
    }
}

/// A message of the conversation: the results of tools stand in those of the user.
fn turns(message: &Value) -> Vec<(Turn, String)> {
    let blocks = message["content"].as_array().into_iter().flatten();
    let results = blocks.filter(|block| block["toolResult"].is_object());
    let mut turns: Vec<_> = results.map(|block| (Turn::Result, result(&block["toolResult"]["content"]))).collect();
    let said = text_of(&message["content"]);
    if turns.is_empty() || !said.is_empty() {
        turns.push((if message["role"] == "user" { Turn::User } else { Turn::Other }, said));
    }
    turns
}

/// Texts, and JSON as it stands.
fn result(content: &Value) -> String {
    let parts = content.as_array().into_iter().flatten();
    let part = |part: &Value| part["text"].as_str().map_or_else(|| part["json"].to_string(), str::to_owned);
    parts.map(part).collect::<Vec<_>>().join("\n")
}

fn numbers(answer: &Answer) -> Value {
    let (input, output) = (answer.prompt_tokens, answer.tokens());
    let usage = json!({ "inputTokens": input, "outputTokens": output, "totalTokens": input + output });
    json!({ "usage": usage, "metrics": { "latencyMs": 12 } })
}

fn blocks(request: &Request, choice: &Choice) -> Vec<Value> {
    let mut blocks = Vec::new();
    if let Some(reasoning) = &choice.reasoning {
        blocks.push(json!({ "reasoningContent": { "reasoningText": { "text": reasoning, "signature": SIGNATURE } } }));
    }
    if !choice.said().is_empty() {
        blocks.push(json!({ "text": choice.said() }));
    }
    blocks.extend(choice.calls().iter().enumerate().map(|(index, call)| {
        let id = format!("tooluse_{}_{index}", request.id);
        json!({ "toolUse": { "toolUseId": id, "name": call.name, "input": call.arguments } })
    }));
    blocks
}

/// How a stream begins a block, where it says so, and what it adds.
fn taken_apart(block: &Value) -> (Option<Value>, Vec<Value>) {
    let of = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (thought, call) = (&block["reasoningContent"]["reasoningText"], &block["toolUse"]);
    if thought.is_object() {
        let signed = json!({ "reasoningContent": { "signature": thought["signature"] } });
        let text = of(&thought["text"]);
        let thoughts = words(&text).map(|word| json!({ "reasoningContent": { "text": word } }));
        return (None, thoughts.chain([signed]).collect());
    }
    if call.is_object() {
        let start = json!({ "toolUse": { "toolUseId": call["toolUseId"], "name": call["name"] } });
        let input = call["input"].to_string();
        let shards = std::iter::once("").chain(shards(&input));
        return (Some(start), shards.map(|part| json!({ "toolUse": { "input": part } })).collect());
    }
    (None, words(&of(&block["text"])).map(|word| json!({ "text": word })).collect())
}

fn stop_reason(choice: &Choice) -> &'static str {
    match choice.content {
        Content::Calls(_) => "tool_use",
        Content::Refusal(_) => "content_filtered",
        Content::Text(_) if choice.cut => "max_tokens",
        Content::Text(_) => "end_turn",
    }
}
