//! What this dialect says in its own words: an ordinary answer, the end of a stream that is cut.

use bytes::{Bytes, BytesMut};

use crate::wire::json::json_text;
use crate::wire::openai::reply::{Header, done};
use crate::wire::sse;

/// What ids begin with.
pub const FAMILY: &str = "cmpl";

/// A whole answer. The numbers of tokens are zero: no model was asked.
pub fn completion(model: &str, text: &str) -> String {
    let usage = r#","usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}"#;
    body(&Header::new(FAMILY, model), 0, text, r#""stop""#, usage)
}

/// The same answer as a stream.
pub fn stream(model: &str, text: &str) -> Bytes {
    let header = Header::new(FAMILY, model);
    let chunk = |text, finish_reason| sse::frame(None, body(&header, 0, text, finish_reason, "").as_bytes());
    [chunk(text, "null"), chunk("", r#""stop""#), done()].concat().into()
}

/// The end of a stream that the content filter cuts: each choice finishes so.
pub fn filtered(header: &Header, choices: impl Iterator<Item = u32>) -> Bytes {
    let mut out = BytesMut::new();
    for choice in choices {
        out.extend_from_slice(&sse::frame(None, body(header, choice, "", r#""content_filter""#, "").as_bytes()));
    }
    out.extend_from_slice(&done());
    out.freeze()
}

/// Whole answers and chunks have one form.
fn body(header: &Header, choice: u32, text: &str, finish_reason: &str, usage: &str) -> String {
    let Header { id, created, model } = header;
    let text = json_text(text);
    format!(
        r#"{{"id":{id},"object":"text_completion","created":{created},"model":{model},"choices":[{{"index":{choice},"text":{text},"logprobs":null,"finish_reason":{finish_reason}}}]{usage}}}"#
    )
}
