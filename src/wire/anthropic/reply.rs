//! What this dialect says in its own words: errors, an ordinary answer, the end of a stream that is cut.

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use uuid::Uuid;

use crate::wire::json::json_text;
use crate::wire::{Refusal, sse};

/// An error, as the SDKs read it: `{"type": "error", "error": {type, message}}`.
pub fn error(refusal: &Refusal) -> String {
    let (kind, message) = (kind_of(refusal.status), json_text(&refusal.message));
    format!(r#"{{"type":"error","error":{{"type":"{kind}","message":{message}}}}}"#)
}

/// The type of error that goes with a status.
fn kind_of(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        504 => "timeout_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

/// A whole answer. The numbers of tokens are zero: no model was asked.
pub fn message(model: &str, text: &str) -> String {
    let content = format!(r#"{{"type":"text","text":{}}}"#, json_text(text));
    message_of(model, &content, r#""end_turn""#)
}

/// The same answer as a stream.
pub fn stream(model: &str, text: &str) -> Bytes {
    let delta = format!(r#""index":0,"delta":{{"type":"text_delta","text":{}}}"#, json_text(text));
    [
        start(model),
        event("content_block_start", r#""index":0,"content_block":{"type":"text","text":""}"#),
        event("content_block_delta", &delta),
        end(std::iter::once(0), "end_turn", 0),
    ]
    .concat()
    .into()
}

/// The end of a stream that a verdict cuts: what is open is closed, and the message ends as one that the model refused.
/// `begun`: the client knows of the message.
pub fn refused(begun: bool, open: impl Iterator<Item = u32>, output_tokens: u32) -> Bytes {
    let start = if begun { Bytes::new() } else { start("") };
    [start, end(open, "refusal", output_tokens)].concat().into()
}

/// The end of a stream on which something failed. The SDKs raise it as an error of the API.
pub fn failed(refusal: &Refusal) -> Bytes {
    sse::frame(Some("error"), error(refusal).as_bytes())
}

/// The event that ends every stream.
pub fn stop() -> Bytes {
    sse::frame(Some("message_stop"), br#"{"type":"message_stop"}"#)
}

fn start(model: &str) -> Bytes {
    event("message_start", &format!(r#""message":{}"#, message_of(model, "", "null")))
}

fn end(open: impl Iterator<Item = u32>, reason: &str, output_tokens: u32) -> Bytes {
    let mut out = BytesMut::new();
    open.for_each(|index| out.extend_from_slice(&event("content_block_stop", &format!(r#""index":{index}"#))));
    let delta = format!(
        r#""delta":{{"stop_reason":"{reason}","stop_sequence":null}},"usage":{{"output_tokens":{output_tokens}}}"#
    );
    out.extend_from_slice(&event("message_delta", &delta));
    out.extend_from_slice(&stop());
    out.freeze()
}

/// A message of our own; `content` is its only block, or empty, and `reason` JSON.
fn message_of(model: &str, content: &str, reason: &str) -> String {
    let (id, model) = (Uuid::now_v7().simple(), json_text(model));
    format!(
        r#"{{"id":"msg_portcullis_{id}","type":"message","role":"assistant","model":{model},"content":[{content}],"stop_reason":{reason},"stop_sequence":null,"usage":{{"input_tokens":0,"output_tokens":0}}}}"#
    )
}

/// An event of a stream with these members.
fn event(name: &str, members: &str) -> Bytes {
    sse::frame(Some(name), format!(r#"{{"type":"{name}",{members}}}"#).as_bytes())
}
