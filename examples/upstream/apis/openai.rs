//! What OpenAI's APIs have in common.

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::answer::{Answer, Call, Choice};
use crate::apis::Request;
use crate::ask::{self, Form, Turn};

/// A fixed time of creation: equal requests get equal answers.
pub const CREATED: u64 = 1_735_689_600;

pub const HEADERS: &[(&str, &str)] = &[
    ("x-request-id", "req_8a1f3c5e7b9d4f60"),
    ("openai-processing-ms", "12"),
    ("openai-version", "2020-10-01"),
    ("x-ratelimit-remaining-requests", "9999"),
];

pub fn error(status: StatusCode, message: &str) -> Value {
    let (kind, code) = match status {
        StatusCode::TOO_MANY_REQUESTS => ("requests", Some("rate_limit_exceeded")),
        status if status.is_server_error() => ("server_error", None),
        _ => ("invalid_request_error", None),
    };
    json!({ "error": { "message": message, "type": kind, "param": null, "code": code } })
}

pub fn models() -> Value {
    json!({ "object": "list", "data": [model()] })
}

pub fn model() -> Value {
    json!({ "id": "stand-in", "object": "model", "created": CREATED, "owned_by": "portcullis-examples" })
}

/// What a turn is, by its role.
pub fn turn(role: &Value) -> Turn {
    match role.as_str() {
        Some("user") => Turn::User,
        Some("tool") => Turn::Result,
        _ => Turn::Other,
    }
}

/// What `tool_choice` asks for; `name` gives the tool that an object names.
pub fn tool_choice<'v>(choice: &'v Value, name: impl Fn(&'v Value) -> &'v Value) -> ask::Choice {
    match choice.as_str() {
        Some("none") => ask::Choice::None,
        Some("required") => ask::Choice::Any,
        _ => name(choice).as_str().map_or(ask::Choice::Auto, |name| ask::Choice::Tool(name.to_owned())),
    }
}

/// The form that a format asks for; `schema` is what it has of a schema.
pub fn form(format: &Value, schema: &Value) -> Form {
    match format["type"].as_str() {
        Some("json_object") => Form::Object,
        Some("json_schema") => Form::Schema(schema.clone()),
        _ => Form::Text,
    }
}

pub fn call_id(request: &Request, index: usize) -> String {
    format!("call_{}_{index}", request.id)
}

/// JSON in a string, as models write it.
pub fn arguments(call: &Call) -> String {
    call.arguments.to_string()
}

pub fn usage(answer: &Answer) -> Value {
    let completion = answer.tokens();
    let reasoning: usize = answer.choices.iter().map(Choice::reasoning_tokens).sum();
    json!({
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": completion,
        "total_tokens": answer.prompt_tokens + completion,
        "prompt_tokens_details": { "cached_tokens": 0, "audio_tokens": 0 },
        "completion_tokens_details": {
            "reasoning_tokens": reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    })
}

/// Made-up numbers in the right shape: each word is the only candidate.
pub fn logprobs<'a>(words: impl IntoIterator<Item = &'a str>) -> Value {
    let token = |word: &str| json!({ "token": word, "logprob": -0.125, "bytes": word.as_bytes() });
    let with_top = |word| {
        let mut with_top = token(word);
        with_top["top_logprobs"] = json!([token(word)]);
        with_top
    };
    words.into_iter().map(with_top).collect()
}
