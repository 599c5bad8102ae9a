//! The dialect from outside: which texts it finds, what it refuses, what it writes.

mod answers;
mod census;
mod envelope;
mod positions;
mod properties;
mod requests;

use serde_json::{Value as Json, json};

use crate::wire::anthropic::Anthropic;
use crate::wire::testing::{self, MAX, drain, edits, lines_of};
use crate::wire::{AnswerCodec, Dialect, Event, Framing, Prompt, WireError};

fn codec(framing: Framing) -> Box<dyn AnswerCodec> {
    Anthropic::new(1000).answer(framing, MAX)
}

/// What a codec makes of chunks: the events up to an error, and the error.
fn run(framing: Framing, chunks: &[&[u8]]) -> (Box<dyn AnswerCodec>, Vec<Event>, Option<WireError>) {
    drain(codec(framing), chunks)
}

/// An event as the API frames it.
fn frame(event: &Json) -> String {
    let name = event["type"].as_str().map(|name| format!("event: {name}\n")).unwrap_or_default();
    format!("{name}data: {event}\n\n")
}

fn stream(events: &[Json]) -> String {
    events.iter().map(frame).collect()
}

fn begin() -> Json {
    json!({"type": "message_start", "message": {"id": "msg_01", "type": "message", "role": "assistant", "content": [],
        "model": "claude-x", "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 25, "output_tokens": 1}}})
}

fn start(index: u32, block: Json) -> Json {
    json!({"type": "content_block_start", "index": index, "content_block": block})
}

fn delta(index: u32, delta: Json) -> Json {
    json!({"type": "content_block_delta", "index": index, "delta": delta})
}

fn stop(index: u32) -> Json {
    json!({"type": "content_block_stop", "index": index})
}

/// The events with which a message ends.
fn end() -> [Json; 2] {
    let usage = json!({"output_tokens": 15});
    let delta = json!({"stop_reason": "end_turn", "stop_sequence": null});
    [json!({"type": "message_delta", "delta": delta, "usage": usage}), json!({"type": "message_stop"})]
}

/// A block of text as events.
fn says(index: u32, text: &str) -> [Json; 3] {
    [
        start(index, json!({"type": "text", "text": ""})),
        delta(index, json!({"type": "text_delta", "text": text})),
        stop(index),
    ]
}

/// A stream of these events, begun and ended.
fn whole(events: impl IntoIterator<Item = Json>) -> String {
    stream(&[begin()].into_iter().chain(events).chain(end()).collect::<Vec<_>>())
}

/// `kind part text`, with `!` before what can't be edited. A message is the only choice.
fn texts_of(event: &Event) -> Vec<String> {
    let lines = testing::texts_of(event).into_iter();
    lines.map(|line| line.strip_prefix("0 ").expect("the only choice").to_owned()).collect()
}

fn parse(body: impl Into<String>) -> Result<Box<dyn Prompt>, WireError> {
    Anthropic::new(1000).parse_request(body.into().into(), "")
}

/// `turn role kind text`, with `!` before texts that can't be edited.
fn listed(body: impl Into<String>) -> Vec<String> {
    lines_of(&*parse(body).unwrap())
}

fn messages(messages: Json) -> String {
    json!({ "messages": messages }).to_string()
}

/// A message of the user with these blocks.
fn blocks(blocks: Json) -> String {
    messages(json!([{"role": "user", "content": blocks}]))
}

fn edited(body: &str, list: &[(u32, std::ops::Range<usize>, &str)]) -> Result<String, WireError> {
    parse(body).unwrap().edited(&edits(list)).map(|bytes| String::from_utf8(bytes.into()).unwrap())
}
