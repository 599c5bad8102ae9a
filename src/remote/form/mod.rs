//! Forms: a question as a server's API wants it, and its answer read. Sans I/O; one file for each API. Those in token ids have
//! questions of their own.

mod chat;
mod lm_studio;
mod ollama;
mod responses;
#[cfg(test)]
mod tests;
pub mod tokens;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::config::{Api, EffortIn, PolicyIn, Preset, Remote};
use crate::policy::Effort;
use crate::remote::RemoteError;

/// What a model is asked: to judge a text by a policy.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub policy: &'a str,
    /// Without control tokens: see [`crate::remote::plain`].
    pub text: &'a str,
    pub effort: Effort,
    /// Of the answer, reasoning and all.
    pub max_tokens: usize,
    /// What the server is to hold the answer's JSON to.
    pub schema: Option<&'a Value>,
    /// Whether the server is to tell the log-probabilities of the answer's tokens.
    pub logprobs: bool,
    /// Whether it holds traffic up: where all endpoints are full it goes before those that do not.
    pub urgent: bool,
}

/// What a model answered.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// Not empty.
    pub content: String,
    /// Empty where the server tells none.
    pub reasoning: String,
    pub usage: Usage,
    /// Of the answer, and with some servers of the reasoning before it; empty where the server tells none.
    pub tokens: Vec<Token>,
}

/// One token of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    pub text: String,
    /// The likeliest in its place, with their log-probabilities in nats.
    pub likeliest: Vec<(String, f32)>,
}

/// Tokens, as the server counts them; 0 where it does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    pub prompt: usize,
    /// Of the prompt, those that it had computed before.
    pub cached: usize,
    pub answer: usize,
}

/// A request, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub path: &'static str,
    pub body: Bytes,
    /// Such requests take about the same time, so that a slow one shows.
    pub even: bool,
}

/// The request that puts the question to these servers. Every setting that bears on the answer is sent, so that no default
/// of a server's makes another judge of it.
pub fn ask(settings: &Remote, question: &Question<'_>) -> Asked {
    let (path, mut body) = match settings.api {
        // An engine in token ids is asked nothing in words.
        Api::Chat | Api::Tokens => chat::ask(settings, question),
        Api::Responses => responses::ask(settings, question),
        Api::LmStudio => lm_studio::ask(question),
        Api::Ollama => ollama::ask(settings, question),
    };
    body.insert("model".to_owned(), json!(&*settings.model));
    body.insert("stream".to_owned(), json!(false));
    Asked { path, body: Value::Object(body).to_string().into(), even: true }
}

/// Reads the body of a successful answer. `max_tokens` is what the question allowed.
pub fn read(settings: &Remote, body: &[u8], max_tokens: usize) -> Result<Answer, RemoteError> {
    let body = parse(body)?;
    let answer = match settings.api {
        Api::Chat | Api::Tokens => chat::read(settings, &body),
        Api::Responses => responses::read(&body),
        Api::LmStudio => lm_studio::read(&body),
        Api::Ollama => ollama::read(&body),
    }?;
    // Not every server says that it has cut an answer off: one that took all that it might is taken for cut.
    if answer.usage.answer >= max_tokens {
        return Err(RemoteError::Truncated { tokens: answer.usage.answer });
    }
    match (answer.content.trim(), answer.reasoning.trim()) {
        ("", "") => Err(RemoteError::Empty),
        ("", _) => Err(RemoteError::ReasoningOnly),
        _ => Ok(answer),
    }
}

/// A path that costs a server nothing, to see whether it is there.
pub fn alive(settings: &Remote) -> &'static str {
    match settings.api {
        Api::Tokens if settings.preset == Preset::LlamaCpp => "/health",
        Api::Chat | Api::Responses | Api::Tokens => "/models",
        Api::LmStudio => "/api/v1/models",
        Api::Ollama => "/api/version",
    }
}

/// A schema of an answer that nobody would give without it.
pub fn unasked() -> Value {
    json!({
        "type": "object",
        "properties": { "portcullis": { "enum": ["seen"] } },
        "required": ["portcullis"],
        "additionalProperties": false,
    })
}

/// Whether an answer is of that schema.
pub fn is_unasked(content: &str) -> bool {
    serde_json::from_str::<Value>(content).is_ok_and(|answer| answer == json!({ "portcullis": "seen" }))
}

/// The word for the effort. The model knows none below low.
fn effort(effort: Effort) -> &'static str {
    match effort {
        Effort::None | Effort::Low | Effort::Adaptive => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
    }
}

/// The policy, with the line that sets the effort where that is its place.
fn policy(settings: &Remote, question: &Question<'_>) -> String {
    match settings.effort_in {
        EffortIn::Policy => format!("Reasoning: {}\n\n{}", effort(question.effort), question.policy),
        EffortIn::Field | EffortIn::ReasoningEffort | EffortIn::ChatTemplateKwargs => question.policy.to_owned(),
    }
}

/// The policy and the text as messages: one of each, or both as the user's.
fn messages(settings: &Remote, question: &Question<'_>) -> Value {
    let policy = policy(settings, question);
    let text = question.text;
    match settings.policy_in {
        PolicyIn::System => json!([{ "role": "system", "content": policy }, { "role": "user", "content": text }]),
        PolicyIn::Developer => {
            json!([{ "role": "developer", "content": policy }, { "role": "user", "content": text }])
        }
        PolicyIn::User => json!([{ "role": "user", "content": format!("{policy}\n\nContent:\n{text}") }]),
    }
}

/// Sampling of the llama.cpp family, whose own defaults would change even the likeliest token.
fn llama_sampling(preset: Preset) -> Option<Value> {
    match preset {
        Preset::LmStudio | Preset::DockerModelRunner | Preset::LlamaCpp | Preset::Ollama => {
            Some(json!({ "top_k": 1, "min_p": 0, "repeat_penalty": 1 }))
        }
        // Of these a hosted one refuses members that it does not know.
        Preset::Vllm | Preset::Sglang | Preset::Groq | Preset::HfRouter | Preset::OpenAiCompatible => None,
    }
}

/// The object that an answer is.
fn parse(body: &[u8]) -> Result<Map<String, Value>, RemoteError> {
    let body: Value = serde_json::from_slice(body).map_err(|_| RemoteError::Garbage("it is not JSON"))?;
    let Value::Object(body) = body else { return Err(RemoteError::Garbage("it is no JSON object")) };
    // Some servers answer 200 and say in the body what went wrong.
    match body.get("error") {
        None | Some(Value::Null) => Ok(body),
        Some(_) => Err(RemoteError::ErrorBody),
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// A count that a server tells.
fn count(value: &Value, pointer: &str) -> usize {
    value.pointer(pointer).and_then(Value::as_u64).and_then(|count| count.try_into().ok()).unwrap_or(0)
}
