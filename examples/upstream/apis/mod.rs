//! The APIs. Each reads what a request asks, and says an answer in its own form: whole, or in the pieces of a stream.

mod anthropic;
mod azure;
mod bedrock;
mod gemini;
mod ollama;
mod openai;
mod openai_chat;
mod openai_completions;
mod openai_embeddings;
mod openai_images;
mod openai_moderations;
mod openai_responses;
mod stream;

use hyper::StatusCode;
use serde_json::Value;

use crate::answer::Answer;
use crate::ask::Ask;
pub use stream::Stream;

pub trait Api: Sync {
    fn ask(&self, body: &Value) -> Result<Ask, &'static str>;

    /// Whether the answer to this body comes in pieces.
    fn streams(&self, body: &Value) -> bool {
        body["stream"] == true
    }

    fn whole(&self, request: &Request, answer: &Answer) -> Value;

    fn stream(&self, request: &Request, answer: &Answer) -> Stream;

    fn error(&self, status: StatusCode, message: &str) -> Value;

    /// Beside those of HTTP.
    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        openai::HEADERS
    }
}

/// What an answer repeats of its request.
pub struct Request {
    /// Made from the body, so that equal requests get equal answers.
    pub id: String,
    pub model: String,
    pub body: Value,
}

/// The API behind a path that takes POST, and the model that the path names.
pub fn find<'p>(path: &'p str, query: &str) -> Option<(&'static dyn Api, Option<&'p str>)> {
    let api: &'static dyn Api = match path {
        "/v1/chat/completions" => &openai_chat::Chat,
        "/v1/completions" => &openai_completions::Completions,
        "/v1/responses" | "/openai/v1/responses" => &openai_responses::Responses,
        "/v1/embeddings" | "/openai/v1/embeddings" => &openai_embeddings::Embeddings,
        "/v1/moderations" => &openai_moderations::Moderations,
        "/v1/images/generations" => &openai_images::Images,
        "/openai/v1/chat/completions" => &azure::Azure,
        "/v1/messages" => &anthropic::Messages,
        "/v1/messages/count_tokens" => &anthropic::CountTokens,
        "/api/chat" => &ollama::Ollama::Chat,
        "/api/generate" => &ollama::Ollama::Generate,
        _ => return named_in(path, query),
    };
    Some((api, None))
}

/// What is asked with GET: the models there are.
pub fn models(path: &str) -> Option<Value> {
    match path {
        "/v1/models" | "/openai/v1/models" => Some(openai::models()),
        "/v1/models/stand-in" => Some(openai::model()),
        "/v1beta/models" => Some(gemini::models()),
        "/api/tags" => Some(ollama::tags()),
        _ => None,
    }
}

/// An error where no API is to blame.
pub fn error(status: StatusCode, message: &str) -> Value {
    openai::error(status, message)
}

fn named_in<'p>(path: &'p str, query: &str) -> Option<(&'static dyn Api, Option<&'p str>)> {
    if let Some(rest) = path.strip_prefix("/openai/deployments/") {
        let (deployment, method) = rest.split_once('/')?;
        let api: &'static dyn Api = match method {
            "chat/completions" => &azure::Azure,
            "embeddings" => &openai_embeddings::Embeddings,
            _ => return None,
        };
        return Some((api, Some(deployment)));
    }
    if let Some(rest) = path.strip_prefix("/model/") {
        let (model, operation) = rest.split_once('/')?;
        let api: &'static dyn Api = match operation {
            "converse" => &bedrock::Bedrock::Whole,
            "converse-stream" => &bedrock::Bedrock::Events,
            _ => return None,
        };
        return Some((api, Some(model)));
    }
    let (model, method) = path.strip_prefix("/v1beta/models/")?.split_once(':')?;
    let events = query.split('&').any(|parameter| parameter == "alt=sse");
    let api: &'static dyn Api = match method {
        "generateContent" => &gemini::Gemini::Whole,
        "streamGenerateContent" if events => &gemini::Gemini::Events,
        "streamGenerateContent" => &gemini::Gemini::Array,
        _ => return None,
    };
    Some((api, Some(model)))
}
