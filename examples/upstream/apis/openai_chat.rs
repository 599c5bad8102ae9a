//! OpenAI's chat completions.

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::answer::{Answer, Call, Choice, Content, shards, words};
use crate::apis::openai::{self, CREATED};
use crate::apis::{Api, Request, Stream};
use crate::ask::{Ask, Tool, text_of};

pub struct Chat;

impl Api for Chat {
    fn ask(&self, body: &Value) -> Result<Ask, &'static str> {
        let messages =
            body["messages"].as_array().filter(|m| !m.is_empty()).ok_or("messages: expected a non-empty array")?;
        let turns: Vec<_> = messages.iter().map(|m| (openai::turn(&m["role"]), text_of(&m["content"]))).collect();
        let format = &body["response_format"];
        let mut ask = Ask {
            form: openai::form(format, &format["json_schema"]["schema"]),
            choices: body["n"].as_u64(),
            limit: body["max_completion_tokens"].as_u64().or(body["max_tokens"].as_u64()),
            ..Ask::of(&turns)
        };
        let tools = body["tools"].as_array().into_iter().flatten();
        let choice = openai::tool_choice(&body["tool_choice"], |choice| &choice["function"]["name"]);
        ask.offer(tools.map(|tool| Tool::new(&tool["function"], "parameters")), choice);
        Ok(ask)
    }

    fn whole(&self, request: &Request, answer: &Answer) -> Value {
        let choices = answer.choices.iter().enumerate().map(|(index, choice)| whole(request, index, choice)).collect();
        let mut body = object(request, "chat.completion", choices);
        body["usage"] = openai::usage(answer);
        body
    }

    fn stream(&self, request: &Request, answer: &Answer) -> Stream {
        Stream::until_done(chunks(request, answer))
    }

    fn error(&self, status: StatusCode, message: &str) -> Value {
        openai::error(status, message)
    }
}

/// The chunks of a streamed answer, in order. The choices take turns.
pub fn chunks(request: &Request, answer: &Answer) -> Vec<Value> {
    let usage = request.body["stream_options"]["include_usage"] == true;
    let chunk = |choices: Vec<Value>| {
        let mut chunk = object(request, "chat.completion.chunk", choices);
        if usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    };
    let per_choice: Vec<Vec<Value>> =
        answer.choices.iter().enumerate().map(|(index, choice)| pieces(request, index, choice)).collect();
    let longest = per_choice.iter().map(Vec::len).max().unwrap_or(0);
    let turns = (0..longest).flat_map(|turn| per_choice.iter().filter_map(move |pieces| pieces.get(turn)));
    let mut chunks: Vec<Value> = turns.map(|piece| chunk(vec![piece.clone()])).collect();
    if usage {
        let mut last = chunk(Vec::new());
        last["usage"] = openai::usage(answer);
        chunks.push(last);
    }
    chunks
}

fn whole(request: &Request, index: usize, choice: &Choice) -> Value {
    let mut message = json!({ "role": "assistant", "content": null, "refusal": null });
    if let Some(reasoning) = &choice.reasoning {
        message["reasoning_content"] = json!(reasoning);
    }
    match &choice.content {
        Content::Text(text) => message["content"] = json!(text),
        Content::Refusal(text) => message["refusal"] = json!(text),
        Content::Calls(calls) => {
            let calls = calls.iter().enumerate();
            message["tool_calls"] =
                calls.map(|(i, call)| whole_call(request, i, call, &openai::arguments(call))).collect();
        }
    }
    let logprobs = match &choice.content {
        Content::Text(text) => logprobs(request, words(text)),
        _ => Value::Null,
    };
    json!({ "index": index, "message": message, "logprobs": logprobs, "finish_reason": finish_reason(choice) })
}

/// The `choices` entries of one choice, chunk by chunk.
fn pieces(request: &Request, index: usize, choice: &Choice) -> Vec<Value> {
    let entry = |delta: Value, logprobs: Value, finish: Option<&str>| json!({ "index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish });
    let delta = |delta: Value| entry(delta, Value::Null, None);
    let mut pieces = vec![delta(json!({ "role": "assistant", "content": "" }))];
    let reasoning = choice.reasoning.as_deref().unwrap_or_default();
    pieces.extend(words(reasoning).map(|word| delta(json!({ "reasoning_content": word }))));
    match &choice.content {
        Content::Text(text) => {
            pieces.extend(words(text).map(|w| entry(json!({ "content": w }), logprobs(request, [w]), None)));
        }
        Content::Refusal(text) => pieces.extend(words(text).map(|word| delta(json!({ "refusal": word })))),
        Content::Calls(calls) => {
            for (i, call) in calls.iter().enumerate() {
                let mut opening = whole_call(request, i, call, "");
                opening["index"] = json!(i);
                pieces.push(delta(json!({ "tool_calls": [opening] })));
                let arguments = |part| json!({ "tool_calls": [{ "index": i, "function": { "arguments": part } }] });
                pieces.extend(shards(&openai::arguments(call)).map(|part| delta(arguments(part))));
            }
        }
    }
    pieces.push(entry(json!({}), Value::Null, Some(finish_reason(choice))));
    pieces
}

fn object(request: &Request, kind: &str, choices: Vec<Value>) -> Value {
    json!({
        "id": format!("chatcmpl-{}", request.id),
        "object": kind,
        "created": CREATED,
        "model": request.model,
        "service_tier": "default",
        "system_fingerprint": "fp_stand_in",
        "choices": choices,
    })
}

fn finish_reason(choice: &Choice) -> &'static str {
    match choice.content {
        Content::Calls(_) => "tool_calls",
        _ if choice.cut => "length",
        _ => "stop",
    }
}

fn whole_call(request: &Request, index: usize, call: &Call, arguments: &str) -> Value {
    let function = json!({ "name": call.name, "arguments": arguments });
    json!({ "id": openai::call_id(request, index), "type": "function", "function": function })
}

/// Null where the client has not asked for them.
fn logprobs<'a>(request: &Request, words: impl IntoIterator<Item = &'a str>) -> Value {
    match request.body["logprobs"] == true {
        true => json!({ "content": openai::logprobs(words), "refusal": null }),
        false => Value::Null,
    }
}
