//! OpenAI's completions, the API before chat. Several prompts are read as one.

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::answer::{Answer, Choice, words};
use crate::apis::openai::{self, CREATED};
use crate::apis::{Api, Request, Stream};
use crate::ask::{Ask, Turn};

pub struct Completions;

impl Api for Completions {
    fn ask(&self, body: &Value) -> Result<Ask, &'static str> {
        let prompt = match &body["prompt"] {
            Value::String(text) => text.clone(),
            Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"),
            _ => return Err("prompt: expected a string or an array of strings"),
        };
        let (choices, limit) = (body["n"].as_u64(), body["max_tokens"].as_u64());
        Ok(Ask { choices, limit, ..Ask::of(&[(Turn::User, prompt)]) })
    }

    fn whole(&self, request: &Request, answer: &Answer) -> Value {
        let choices = answer.choices.iter().enumerate();
        let choices = choices.map(|(index, c)| entry(request, index, c.said(), 0, Some(finish_reason(c)))).collect();
        let mut body = object(request, choices);
        body["usage"] = openai::usage(answer);
        body
    }

    fn stream(&self, request: &Request, answer: &Answer) -> Stream {
        let mut chunks = Vec::new();
        for (index, choice) in answer.choices.iter().enumerate() {
            let mut offset = 0;
            for word in words(choice.said()) {
                chunks.push(object(request, vec![entry(request, index, word, offset, None)]));
                offset += word.chars().count();
            }
            chunks.push(object(request, vec![entry(request, index, "", offset, Some(finish_reason(choice)))]));
        }
        if request.body["stream_options"]["include_usage"] == true {
            let mut last = object(request, Vec::new());
            last["usage"] = openai::usage(answer);
            chunks.push(last);
        }
        Stream::until_done(chunks)
    }

    fn error(&self, status: StatusCode, message: &str) -> Value {
        openai::error(status, message)
    }
}

fn object(request: &Request, choices: Vec<Value>) -> Value {
    json!({
        "id": format!("cmpl-{}", request.id),
        "object": "text_completion",
        "created": CREATED,
        "model": request.model,
        "choices": choices,
    })
}

/// `offset`: characters of the choice before this text.
fn entry(request: &Request, index: usize, text: &str, offset: usize, finish: Option<&str>) -> Value {
    let logprobs = match request.body["logprobs"].is_u64() && !text.is_empty() {
        true => logprobs(text, offset),
        false => Value::Null,
    };
    json!({ "text": text, "index": index, "logprobs": logprobs, "finish_reason": finish })
}

fn logprobs(text: &str, offset: usize) -> Value {
    let starts = words(text).scan(offset, |at, word| {
        let start = *at;
        *at += word.chars().count();
        Some(start)
    });
    json!({
        "tokens": words(text).collect::<Vec<_>>(),
        "token_logprobs": words(text).map(|_| -0.125).collect::<Vec<_>>(),
        "top_logprobs": words(text).map(|word| json!({ word: -0.125 })).collect::<Vec<_>>(),
        "text_offset": starts.collect::<Vec<_>>(),
    })
}

fn finish_reason(choice: &Choice) -> &'static str {
    if choice.cut { "length" } else { "stop" }
}
