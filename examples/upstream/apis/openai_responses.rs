//! OpenAI's responses.

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::answer::{Answer, Choice, Content, shards, words};
use crate::apis::openai::{self, CREATED};
use crate::apis::{Api, Request, Stream};
use crate::ask::{Ask, Tool, Turn, text_of};

pub struct Responses;

impl Api for Responses {
    fn ask(&self, body: &Value) -> Result<Ask, &'static str> {
        let turns = match &body["input"] {
            Value::String(text) => vec![(Turn::User, text.clone())],
            Value::Array(items) if !items.is_empty() => items.iter().map(turn).collect(),
            _ => return Err("input: expected a string or a non-empty array"),
        };
        let format = &body["text"]["format"];
        let form = openai::form(format, &format["schema"]);
        let mut ask = Ask { form, limit: body["max_output_tokens"].as_u64(), ..Ask::of(&turns) };
        let tools = body["tools"].as_array().into_iter().flatten().filter(|tool| tool["type"] == "function");
        let choice = openai::tool_choice(&body["tool_choice"], |choice| &choice["name"]);
        ask.offer(tools.map(|tool| Tool::new(tool, "parameters")), choice);
        Ok(ask)
    }

    fn whole(&self, request: &Request, answer: &Answer) -> Value {
        ended(request, answer)
    }

    fn stream(&self, request: &Request, answer: &Answer) -> Stream {
        let mut events = Events { request, list: Vec::new() };
        let begun = response(request, "in_progress");
        events.add("response.created", json!({ "response": begun }));
        events.add("response.in_progress", json!({ "response": begun }));
        items(request, answer.only()).into_iter().enumerate().for_each(|(index, item)| events.item(index, item));
        let ended = ended(request, answer);
        let name = format!("response.{}", ended["status"].as_str().unwrap_or_default());
        events.add(&name, json!({ "response": ended }));
        Stream::named(events.list)
    }

    fn error(&self, status: StatusCode, message: &str) -> Value {
        openai::error(status, message)
    }
}

fn turn(item: &Value) -> (Turn, String) {
    match item["type"].as_str() {
        Some("function_call_output") => (Turn::Result, text_of(&item["output"])),
        _ => (openai::turn(&item["role"]), text_of(&item["content"])),
    }
}

/// A response that has nothing yet, with what it repeats of the request.
fn response(request: &Request, status: &str) -> Value {
    let said = |name: &str, default: Value| request.body.get(name).cloned().unwrap_or(default);
    let mut text = said("text", json!({}));
    if text["format"].is_null() {
        text["format"] = json!({ "type": "text" });
    }
    text["verbosity"] = json!("medium");
    json!({
        "id": format!("resp_{}", request.id),
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "background": false,
        "completed_at": null,
        "error": null,
        "incomplete_details": null,
        "instructions": said("instructions", Value::Null),
        "max_output_tokens": said("max_output_tokens", Value::Null),
        "max_tool_calls": null,
        "model": request.model,
        "output": [],
        "parallel_tool_calls": said("parallel_tool_calls", json!(true)),
        "previous_response_id": null,
        "prompt_cache_key": null,
        "reasoning": { "effort": said("reasoning", Value::Null)["effort"], "summary": null },
        "safety_identifier": null,
        "service_tier": "default",
        "store": said("store", json!(true)),
        "temperature": said("temperature", json!(1.0)),
        "text": text,
        "tool_choice": said("tool_choice", json!("auto")),
        "tools": said("tools", json!([])),
        "top_logprobs": said("top_logprobs", json!(0)),
        "top_p": said("top_p", json!(1.0)),
        "truncation": "disabled",
        "usage": null,
        "user": said("user", Value::Null),
        "metadata": said("metadata", json!({})),
    })
}

fn ended(request: &Request, answer: &Answer) -> Value {
    let choice = answer.only();
    let mut response = response(request, status(choice));
    response["output"] = items(request, choice).into();
    if choice.cut {
        response["incomplete_details"] = json!({ "reason": "max_output_tokens" });
    } else {
        response["completed_at"] = json!(CREATED + 1);
    }
    response["usage"] = json!({
        "input_tokens": answer.prompt_tokens,
        "input_tokens_details": { "cached_tokens": 0 },
        "output_tokens": choice.tokens(),
        "output_tokens_details": { "reasoning_tokens": choice.reasoning_tokens() },
        "total_tokens": answer.prompt_tokens + choice.tokens(),
    });
    response
}

fn status(choice: &Choice) -> &'static str {
    if choice.cut { "incomplete" } else { "completed" }
}

/// The items of the output, as they are when they are done.
fn items(request: &Request, choice: &Choice) -> Vec<Value> {
    let id = &request.id;
    let mut items = Vec::new();
    if let Some(reasoning) = &choice.reasoning {
        let summary = json!([{ "type": "summary_text", "text": reasoning }]);
        items.push(json!({ "id": format!("rs_{id}"), "type": "reasoning", "summary": summary }));
    }
    let part = match &choice.content {
        Content::Text(text) => output_text(request, text, Some(text)),
        Content::Refusal(text) => json!({ "type": "refusal", "refusal": text }),
        Content::Calls(calls) => {
            items.extend(calls.iter().enumerate().map(|(index, call)| {
                json!({
                    "id": format!("fc_{id}_{index}"),
                    "type": "function_call",
                    "status": "completed",
                    "arguments": openai::arguments(call),
                    "call_id": openai::call_id(request, index),
                    "name": call.name,
                })
            }));
            return items;
        }
    };
    items.push(json!({
        "id": format!("msg_{id}"),
        "type": "message",
        "status": status(choice),
        "content": [part],
        "role": "assistant",
    }));
    items
}

/// `logged`: the text of the log-probabilities.
fn output_text(request: &Request, text: &str, logged: Option<&str>) -> Value {
    json!({ "type": "output_text", "annotations": [], "logprobs": logprobs(request, logged), "text": text })
}

fn logprobs(request: &Request, text: Option<&str>) -> Value {
    let included = request.body["include"].as_array().into_iter().flatten();
    match text.filter(|_| included.into_iter().any(|what| what == "message.output_text.logprobs")) {
        Some(text) => openai::logprobs(words(text)),
        None => json!([]),
    }
}

/// The events of a stream, in order and numbered.
struct Events<'r> {
    request: &'r Request,
    list: Vec<Value>,
}

impl Events<'_> {
    fn add(&mut self, kind: &str, members: Value) {
        let mut event = json!({ "type": kind, "sequence_number": self.list.len() });
        for (name, value) in members.as_object().into_iter().flatten() {
            event[name] = value.clone();
        }
        self.list.push(event);
    }

    /// All of an item, from its first sign to its last.
    fn item(&mut self, index: usize, done: Value) {
        let mut open = done.clone();
        match done["type"].as_str() {
            Some("reasoning") => open["summary"] = json!([]),
            Some("function_call") => (open["arguments"], open["status"]) = (json!(""), json!("in_progress")),
            _ => (open["content"], open["status"]) = (json!([]), json!("in_progress")),
        }
        self.add("response.output_item.added", json!({ "output_index": index, "item": open }));
        let of_item = json!({ "item_id": done["id"], "output_index": index });
        match done["type"].as_str() {
            Some("reasoning") => self.summary(&of_item, &done["summary"][0]),
            Some("function_call") => self.arguments(&of_item, &done),
            _ => self.part(&of_item, &done["content"][0]),
        }
        self.add("response.output_item.done", json!({ "output_index": index, "item": done }));
    }

    fn summary(&mut self, of_item: &Value, done: &Value) {
        let at = with(of_item, json!({ "summary_index": 0 }));
        let text = done["text"].as_str().unwrap_or_default();
        let open = json!({ "type": "summary_text", "text": "" });
        self.add("response.reasoning_summary_part.added", with(&at, json!({ "part": open })));
        for word in words(text) {
            self.delta("response.reasoning_summary_text.delta", &at, word);
        }
        self.add("response.reasoning_summary_text.done", with(&at, json!({ "text": text })));
        self.add("response.reasoning_summary_part.done", with(&at, json!({ "part": done })));
    }

    fn arguments(&mut self, of_item: &Value, done: &Value) {
        for shard in shards(done["arguments"].as_str().unwrap_or_default()) {
            self.delta("response.function_call_arguments.delta", of_item, shard);
        }
        self.add("response.function_call_arguments.done", with(of_item, json!({ "arguments": done["arguments"] })));
    }

    fn part(&mut self, of_item: &Value, done: &Value) {
        let at = with(of_item, json!({ "content_index": 0 }));
        let Some(text) = done["text"].as_str() else { return self.refusal(&at, done) };
        let open = output_text(self.request, "", None);
        self.add("response.content_part.added", with(&at, json!({ "part": open })));
        for word in words(text) {
            let at = with(&at, json!({ "logprobs": logprobs(self.request, Some(word)) }));
            self.delta("response.output_text.delta", &at, word);
        }
        self.add("response.output_text.done", with(&at, json!({ "text": text, "logprobs": done["logprobs"] })));
        self.add("response.content_part.done", with(&at, json!({ "part": done })));
    }

    fn refusal(&mut self, at: &Value, done: &Value) {
        let open = json!({ "type": "refusal", "refusal": "" });
        self.add("response.content_part.added", with(at, json!({ "part": open })));
        for word in words(done["refusal"].as_str().unwrap_or_default()) {
            self.delta("response.refusal.delta", at, word);
        }
        self.add("response.refusal.done", with(at, json!({ "refusal": done["refusal"] })));
        self.add("response.content_part.done", with(at, json!({ "part": done })));
    }

    /// A piece of text, with letters that hide its length from who watches the wire.
    fn delta(&mut self, kind: &str, at: &Value, text: &str) {
        let mut members = with(at, json!({ "delta": text }));
        if self.request.body["stream_options"]["include_obfuscation"] != false {
            members["obfuscation"] = json!(&"xKq3ZvT0uYh7MdPa"[text.len() % 16..]);
        }
        self.add(kind, members);
    }
}

/// An object with further members.
fn with(object: &Value, more: Value) -> Value {
    let mut object = object.clone();
    for (name, value) in more.as_object().into_iter().flatten() {
        object[name] = value.clone();
    }
    object
}
