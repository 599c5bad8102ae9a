//! The dialect from outside: which texts it finds, what it refuses, what it writes.

mod answers;
mod census;
mod envelope;
mod positions;
mod properties;
mod requests;

use serde_json::{Value as Json, json};

use crate::wire::openai_chat::OpenAiChat;
use crate::wire::testing::{MAX, drain, edits, lines_of, texts_of};
use crate::wire::{AnswerCodec, Dialect, Event, Framing, Prompt, WireError};

fn codec(framing: Framing) -> Box<dyn AnswerCodec> {
    OpenAiChat::new(1000).answer(framing, MAX)
}

/// What a codec makes of chunks: the events up to an error, and the error.
fn run(framing: Framing, chunks: &[&[u8]]) -> (Box<dyn AnswerCodec>, Vec<Event>, Option<WireError>) {
    drain(codec(framing), chunks)
}

fn stream(chunks: &[Json]) -> String {
    chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).chain(["data: [DONE]\n\n".to_owned()]).collect()
}

fn finish(index: u32) -> Json {
    json!({"choices": [{"delta": {}, "finish_reason": "stop", "index": index}], "id": "chatcmpl-1"})
}

fn parse(body: impl Into<String>) -> Result<Box<dyn Prompt>, WireError> {
    OpenAiChat::new(1000).parse_request(body.into().into(), "")
}

/// `turn role kind text`, with `!` before texts that can't be edited.
fn listed(body: impl Into<String>) -> Vec<String> {
    lines_of(&*parse(body).unwrap())
}

fn messages(messages: Json) -> String {
    json!({ "messages": messages }).to_string()
}

fn edited(body: &str, list: &[(u32, std::ops::Range<usize>, &str)]) -> Result<String, WireError> {
    parse(body).unwrap().edited(&edits(list)).map(|bytes| String::from_utf8(bytes.into()).unwrap())
}
