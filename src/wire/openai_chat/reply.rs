//! What this dialect says in its own words: an ordinary answer, the end of a stream that is cut.

use bytes::{Bytes, BytesMut};

use crate::wire::json::json_text;
use crate::wire::openai::reply::{Header, done};
use crate::wire::sse;

/// What ids begin with.
pub const FAMILY: &str = "chatcmpl";

/// A whole answer. The numbers of tokens are zero: no model was asked.
pub fn completion(model: &str, text: &str) -> String {
    let Header { id, created, model } = Header::new(FAMILY, model);
    let text = json_text(text);
    format!(
        r#"{{"id":{id},"object":"chat.completion","created":{created},"model":{model},"choices":[{{"index":0,"message":{{"role":"assistant","content":{text},"refusal":null}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}}}"#
    )
}

/// The same answer as a stream.
pub fn stream(model: &str, text: &str) -> Bytes {
    let header = Header::new(FAMILY, model);
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

fn chunk(header: &Header, choice: u32, delta: &str, finish_reason: &str) -> Bytes {
    let Header { id, created, model } = header;
    let chunk = format!(
        r#"{{"id":{id},"object":"chat.completion.chunk","created":{created},"model":{model},"choices":[{{"index":{choice},"delta":{delta},"logprobs":null,"finish_reason":{finish_reason}}}]}}"#
    );
    sse::frame(None, chunk.as_bytes())
}
