//! Ollama's chat and generate.

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::answer::{Answer, Call, Choice, words};
use crate::apis::{Api, Request, Stream, openai};
use crate::ask::{self, Ask, Form, Tool, Turn, text_of};

pub enum Ollama {
    Chat,
    Generate,
}

const CREATED_AT: &str = "2025-01-01T00:00:00.987650321Z";

impl Api for Ollama {
    fn ask(&self, body: &Value) -> Result<Ask, &'static str> {
        let form = match &body["format"] {
            Value::String(format) if format == "json" => Form::Object,
            Value::Object(_) => Form::Schema(body["format"].clone()),
            _ => Form::Text,
        };
        let turns: Vec<_> = match self {
            Ollama::Chat => {
                let messages = body["messages"].as_array().into_iter().flatten();
                messages.map(|m| (openai::turn(&m["role"]), text_of(&m["content"]))).collect()
            }
            Ollama::Generate => vec![(Turn::User, text_of(&body["prompt"]))],
        };
        let mut ask = Ask { form, limit: body["options"]["num_predict"].as_u64(), ..Ask::of(&turns) };
        let tools = body["tools"].as_array().into_iter().flatten();
        ask.offer(tools.map(|tool| Tool::new(&tool["function"], "parameters")), ask::Choice::Auto);
        Ok(ask)
    }

    /// Unless the client says otherwise.
    fn streams(&self, body: &Value) -> bool {
        body["stream"] != false
    }

    fn whole(&self, request: &Request, answer: &Answer) -> Value {
        let choice = answer.only();
        let mut said = piece(choice.said(), choice.reasoning.as_deref());
        if !choice.calls().is_empty() {
            said["tool_calls"] = calls(request, choice.calls());
        }
        self.end(request, answer, said)
    }

    fn stream(&self, request: &Request, answer: &Answer) -> Stream {
        let choice = answer.only();
        let thoughts = words(choice.reasoning.as_deref().unwrap_or_default()).map(|word| piece("", Some(word)));
        let mut said: Vec<Value> = thoughts.chain(words(choice.said()).map(|word| piece(word, None))).collect();
        if !choice.calls().is_empty() {
            let mut called = piece("", None);
            called["tool_calls"] = calls(request, choice.calls());
            said.push(called);
        }
        let mut lines: Vec<Value> = said.into_iter().map(|said| self.line(request, said, false)).collect();
        lines.push(self.end(request, answer, piece("", None)));
        Stream::lines(lines).escaped()
    }

    fn error(&self, _: StatusCode, message: &str) -> Value {
        json!({ "error": message })
    }

    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }
}

impl Ollama {
    fn line(&self, request: &Request, mut said: Value, done: bool) -> Value {
        let mut line = json!({ "model": request.model, "created_at": CREATED_AT });
        let text = text_of(&said["content"]);
        match self {
            Ollama::Chat => {
                line["message"] = json!({ "role": "assistant" });
                line["message"]
                    .as_object_mut()
                    .into_iter()
                    .for_each(|m| m.extend(said.as_object().cloned().unwrap_or_default()));
            }
            Ollama::Generate => {
                line["response"] = said["content"].take();
                for name in ["thinking", "tool_calls"] {
                    if let Some(value) = said.get(name) {
                        line[name] = value.clone();
                    }
                }
            }
        }
        if request.body["logprobs"] == true && !text.is_empty() {
            line["logprobs"] = openai::logprobs(words(&text));
        }
        line["done"] = json!(done);
        line
    }

    fn end(&self, request: &Request, answer: &Answer, said: Value) -> Value {
        let mut line = self.line(request, said, true);
        let Choice { cut, .. } = answer.only();
        let more = json!({
            "done_reason": if *cut { "length" } else { "stop" },
            "total_duration": 5_191_566_416_u64,
            "load_duration": 2_154_458_u64,
            "prompt_eval_count": answer.prompt_tokens,
            "prompt_eval_duration": 383_809_000_u64,
            "eval_count": answer.tokens(),
            "eval_duration": 4_799_921_000_u64,
        });
        line.as_object_mut().into_iter().for_each(|line| line.extend(more.as_object().cloned().unwrap_or_default()));
        if matches!(self, Ollama::Generate) {
            // Token ids, to go on from.
            line["context"] = json!([128_006, 882, 128_007]);
        }
        line
    }
}

pub fn tags() -> Value {
    json!({ "models": [{
        "name": "stand-in:latest",
        "model": "stand-in:latest",
        "modified_at": CREATED_AT,
        "size": 1_000_000,
        "digest": "0123456789abcdef".repeat(4),
        "details": { "format": "gguf", "family": "stand-in", "parameter_size": "1B", "quantization_level": "Q4_0" },
    }] })
}

/// What a line says, by the names of a chat's message.
fn piece(content: &str, thinking: Option<&str>) -> Value {
    let mut said = json!({ "content": content });
    if let Some(thinking) = thinking {
        said["thinking"] = json!(thinking);
    }
    said
}

fn calls(request: &Request, calls: &[Call]) -> Value {
    let call = |(index, call): (usize, &Call)| {
        let function = json!({ "index": index, "name": call.name, "arguments": call.arguments });
        json!({ "id": openai::call_id(request, index), "function": function })
    };
    calls.iter().enumerate().map(call).collect()
}
