//! What this dialect says in its own words: errors, an ordinary answer, the end of a stream that is cut.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use uuid::Uuid;

use crate::wire::json::json_text;
use crate::wire::openai_chat::answers::Header;
use crate::wire::{Refusal, sse};

/// The data of the event that ends every stream.
pub const DONE: &str = "[DONE]";

/// An error, as the SDKs read it: `{"error": {message, type, param, code}}`.
pub fn error(refusal: &Refusal) -> String {
    let kind = if refusal.status.is_server_error() { "server_error" } else { "invalid_request_error" };
    let param = refusal.param.as_deref().map_or("null".into(), json_text);
    let (message, code) = (json_text(&refusal.message), json_text(refusal.code));
    format!(r#"{{"error":{{"message":{message},"type":"{kind}","param":{param},"code":{code}}}}}"#)
}

/// A whole answer. The numbers of tokens are zero: no model was asked.
pub fn completion(model: &str, text: &str) -> String {
    let Header { id, created, model } = header(model);
    let text = json_text(text);
    format!(
        r#"{{"id":{id},"object":"chat.completion","created":{created},"model":{model},"choices":[{{"index":0,"message":{{"role":"assistant","content":{text},"refusal":null}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}}}"#
    )
}

/// The same answer as a stream.
pub fn stream(model: &str, text: &str) -> Bytes {
    let header = header(model);
    let mut out = BytesMut::new();
    for (delta, finish_reason) in [
        (r#"{"role":"assistant","content":""}"#, "null"),
        (&format!(r#"{{"content":{}}}"#, json_text(text)), "null"),
        ("{}", r#""stop""#),
    ] {
        out.extend_from_slice(&chunk(&header, 0, delta, finish_reason));
    }
    out.extend_from_slice(&done());
    out.freeze()
}

/// The end of a stream that the content filter cuts: each choice finishes so.
pub fn filtered(header: &Header, choices: impl Iterator<Item = u32>) -> Bytes {
    let mut out = BytesMut::new();
    choices.for_each(|choice| out.extend_from_slice(&chunk(header, choice, "{}", r#""content_filter""#)));
    out.extend_from_slice(&done());
    out.freeze()
}

/// The end of a stream on which something failed. The SDKs raise it as an error of the API.
pub fn failed(refusal: &Refusal) -> Bytes {
    [sse::frame(None, error(refusal).as_bytes()), done()].concat().into()
}

/// The frame that ends a stream.
pub fn done() -> Bytes {
    sse::frame(None, DONE.as_bytes())
}

/// A header of our own.
pub fn header(model: &str) -> Header {
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let id = format!("chatcmpl-portcullis-{}", Uuid::now_v7().simple());
    Header { id: json_text(&id), created: created.to_string(), model: json_text(model) }
}

fn chunk(header: &Header, choice: u32, delta: &str, finish_reason: &str) -> Bytes {
    let Header { id, created, model } = header;
    let chunk = format!(
        r#"{{"id":{id},"object":"chat.completion.chunk","created":{created},"model":{model},"choices":[{{"index":{choice},"delta":{delta},"logprobs":null,"finish_reason":{finish_reason}}}]}}"#
    );
    sse::frame(None, chunk.as_bytes())
}
