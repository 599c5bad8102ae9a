//! What OpenAI's APIs say in their own words: errors, and the end of a stream.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use uuid::Uuid;

use crate::wire::json::json_text;
use crate::wire::{Refusal, sse};

/// The data of the event that ends every stream.
pub const DONE: &str = "[DONE]";

/// What every chunk of a stream repeats; each as JSON.
#[derive(Debug, Clone)]
pub struct Header {
    pub id: String,
    pub created: String,
    pub model: String,
}

impl Header {
    /// One of our own. `family` is what its id begins with.
    pub fn new(family: &str, model: &str) -> Self {
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let id = format!("{family}-portcullis-{}", Uuid::now_v7().simple());
        Header { id: json_text(&id), created: created.to_string(), model: json_text(model) }
    }
}

/// An error, as the SDKs read it: `{"error": {message, type, param, code}}`.
pub fn error(refusal: &Refusal) -> String {
    let kind = if refusal.status.is_server_error() { "server_error" } else { "invalid_request_error" };
    let param = refusal.param.as_deref().map_or("null".into(), json_text);
    let (message, code) = (json_text(&refusal.message), json_text(refusal.code));
    format!(r#"{{"error":{{"message":{message},"type":"{kind}","param":{param},"code":{code}}}}}"#)
}

/// An error that says `text`, for APIs whose answers have no place for words.
pub fn unspoken(text: &str) -> String {
    let message = json_text(text);
    format!(
        r#"{{"error":{{"message":{message},"type":"invalid_request_error","param":null,"code":"content_policy_violation"}}}}"#
    )
}

/// The end of a stream on which something failed. The SDKs raise it as an error of the API.
pub fn failed(refusal: &Refusal) -> Bytes {
    [sse::frame(None, error(refusal).as_bytes()), done()].concat().into()
}

/// The frame that ends a stream.
pub fn done() -> Bytes {
    sse::frame(None, DONE.as_bytes())
}
