//! What this dialect says in its own words: errors, an ordinary answer, the end of a stream that is cut.

use bytes::Bytes;
use http::StatusCode;

use crate::wire::gemini::answers::Header;
use crate::wire::json::json_text;
use crate::wire::{Refusal, sse};

/// An error, as the SDKs read it: `{"error": {code, message, status, details}}`. Our own code is the `reason` of the details,
/// as Google has it.
pub fn error(refusal: &Refusal) -> String {
    let status = json_text(status(refusal.status));
    let (code, message) = (refusal.status.as_u16(), json_text(&refusal.message));
    let param = refusal.param.as_deref().map_or(String::new(), |param| format!(r#""param":{}"#, json_text(param)));
    let reason = json_text(refusal.code);
    format!(
        r#"{{"error":{{"code":{code},"message":{message},"status":{status},"details":[{{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":{reason},"domain":"portcullis","metadata":{{{param}}}}}]}}}}"#
    )
}

/// A whole answer, or the one event of a stream. The numbers of tokens are zero: no model was asked.
pub fn answer(model: &str, text: &str) -> String {
    let (text, model) = (json_text(text), json_text(model));
    format!(
        r#"{{"candidates":[{{"content":{{"parts":[{{"text":{text}}}],"role":"model"}},"finishReason":"STOP","index":0}}],"usageMetadata":{{"promptTokenCount":0,"candidatesTokenCount":0,"totalTokenCount":0}},"modelVersion":{model}}}"#
    )
}

/// The last event of a stream that the content filter cuts: each candidate finishes so.
pub fn filtered(header: &Header, candidates: u32) -> String {
    let candidates: Vec<String> =
        (0..candidates).map(|index| format!(r#"{{"finishReason":"SAFETY","index":{index}}}"#)).collect();
    let member = |name: &str, value: &Option<String>| {
        value.as_deref().map_or(String::new(), |value| format!(r#","{name}":{value}"#))
    };
    let (model, id) = (member("modelVersion", &header.model), member("responseId", &header.id));
    format!(r#"{{"candidates":[{}]{model}{id}}}"#, candidates.join(","))
}

/// An event of a stream.
pub fn event(json: &str) -> Bytes {
    sse::frame(None, json.as_bytes())
}

/// The word that Google has for a status.
fn status(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        500 => "INTERNAL",
        501 => "UNIMPLEMENTED",
        408 | 504 => "DEADLINE_EXCEEDED",
        400..500 => "INVALID_ARGUMENT",
        _ => "UNAVAILABLE",
    }
}
