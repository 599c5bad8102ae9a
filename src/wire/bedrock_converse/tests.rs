//! The dialect from outside: which texts it finds, what it refuses, what it writes.

mod answers;
mod census;
mod properties;
mod requests;
mod streams;

use bytes::Bytes;
use serde_json::{Value as Json, json};

use crate::wire::bedrock_converse::BedrockConverse;
use crate::wire::testing::framed;
use crate::wire::{AnswerCodec, Dialect, Framing, Prompt, Refusal, WireError};

/// The dialect where its requests are sent.
struct Here(BedrockConverse);

const DIALECT: Here = Here(BedrockConverse { max_segments: 1000 });

const PATH: &str = "/model/amazon.nova-lite-v1:0/converse";

/// What is signed.
const BLOB: &str = "OLTmUuRNp/I3DZ4mDicTZVCko6bQf1wMMy+LEiQIP9IrkC+JEegYGPjJnV1dmDGVdQTZDpRd4uj1TueBzHX2NlCZCQ==";

impl Dialect for Here {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn parse_request(&self, body: Bytes, _: &str) -> Result<Box<dyn Prompt>, WireError> {
        self.0.parse_request(body, PATH)
    }

    fn answer(&self, framing: Framing, max_event: usize) -> Box<dyn AnswerCodec> {
        self.0.answer(framing, max_event)
    }

    fn refuse(&self, refusal: &Refusal) -> Bytes {
        self.0.refuse(refusal)
    }

    fn answer_with(&self, prompt: &dyn Prompt, text: &str) -> (Framing, Bytes) {
        self.0.answer_with(prompt, text)
    }
}

/// An event as the codec reads it: its type, and the members of its payload.
fn event(name: &str, payload: Json) -> Json {
    let mut event = json!({":event-type": name});
    event.as_object_mut().unwrap().extend(payload.as_object().unwrap().clone());
    event
}

fn begin() -> Json {
    event("messageStart", json!({"role": "assistant", "p": "abcdefgh"}))
}

fn start(index: u32, start: Json) -> Json {
    event("contentBlockStart", json!({"contentBlockIndex": index, "start": start, "p": "abc"}))
}

fn delta(index: u32, delta: Json) -> Json {
    event("contentBlockDelta", json!({"contentBlockIndex": index, "delta": delta, "p": "abcdefghijk"}))
}

fn stop(index: u32) -> Json {
    event("contentBlockStop", json!({"contentBlockIndex": index, "p": "abcdef"}))
}

/// The events with which an answer ends.
fn end() -> [Json; 2] {
    let usage = json!({"inputTokens": 5, "outputTokens": 7, "totalTokens": 12});
    [
        event("messageStop", json!({"stopReason": "end_turn", "p": "abcd"})),
        event("metadata", json!({"usage": usage, "metrics": {"latencyMs": 551}, "p": "ab"})),
    ]
}

/// Text of a block.
fn says(index: u32, text: &str) -> Json {
    delta(index, json!({"text": text}))
}

fn stream(events: &[Json]) -> Vec<u8> {
    events.iter().flat_map(|event| framed(Framing::EventStream, &event.to_string())).collect()
}

/// A stream of these events, begun and ended.
fn whole(events: impl IntoIterator<Item = Json>) -> Vec<u8> {
    stream(&[begin()].into_iter().chain(events).chain(end()).collect::<Vec<_>>())
}

/// The events of a stream, as the codec reads them.
fn events_of(stream: &[u8]) -> Vec<Json> {
    let mut decoder = crate::wire::eventstream::Decoder::new(1 << 20);
    let mut input = stream;
    let next = || decoder.next(&mut input).unwrap().map(|json| serde_json::from_slice(&json).unwrap());
    let events = std::iter::from_fn(next).collect();
    assert_eq!(decoder.buffered(), 0);
    events
}
