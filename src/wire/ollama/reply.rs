//! What this dialect says in its own words: errors, an ordinary answer, the end of a stream that is cut.

use std::time::SystemTime;

use bytes::Bytes;

use crate::wire::json::json_text;
use crate::wire::ollama::Api;
use crate::wire::{Refusal, ndjson};

/// An error, as the clients read it: `{"error": "..."}`.
pub fn error(refusal: &Refusal) -> String {
    format!(r#"{{"error":{}}}"#, json_text(&refusal.message))
}

/// A whole answer, or the end of one. It has no counts and no durations: Ollama leaves out those that are zero.
pub fn whole(api: Api, model: &str, text: &str) -> String {
    body(api, model, text, r#"true,"done_reason":"stop""#)
}

/// The same answer as a stream.
pub fn stream(api: Api, model: &str, text: &str) -> Bytes {
    let piece = body(api, model, text, "false");
    [ndjson::line(piece.as_bytes()), ndjson::line(whole(api, model, "").as_bytes())].concat().into()
}

/// The end of a stream that the content filter cuts. Clients take any reason.
pub fn filtered(api: Api, model: &str) -> Bytes {
    ndjson::line(body(api, model, "", r#"true,"done_reason":"content_filter""#).as_bytes())
}

/// The end of a stream on which something failed. The clients raise it.
pub fn failed(refusal: &Refusal) -> Bytes {
    ndjson::line(error(refusal).as_bytes())
}

fn body(api: Api, model: &str, text: &str, done: &str) -> String {
    let (model, text) = (json_text(model), json_text(text));
    let created_at = humantime::format_rfc3339_millis(SystemTime::now());
    let said = match api {
        Api::Chat => format!(r#""message":{{"role":"assistant","content":{text}}}"#),
        Api::Generate => format!(r#""response":{text}"#),
    };
    format!(r#"{{"model":{model},"created_at":"{created_at}",{said},"done":{done}}}"#)
}
