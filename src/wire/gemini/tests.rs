//! The dialect from outside: which texts it finds, what it refuses, what it writes.

mod answers;
mod census;
mod properties;
mod requests;
mod streams;

use serde_json::{Value as Json, json};

use crate::wire::gemini::Gemini;
use crate::wire::testing::{MAX, drain, edits, encoded, lines_of, texts_of};
use crate::wire::{AnswerCodec, Dialect, Event, Framing, Prompt, WireError};

const PATH: &str = "/v1beta/models/gemini-x:generateContent";

fn codec(framing: Framing) -> Box<dyn AnswerCodec> {
    Gemini::new(1000).answer(framing, MAX)
}

/// What a codec makes of chunks: the events up to an error, and the error.
fn run(framing: Framing, chunks: &[&[u8]]) -> (Box<dyn AnswerCodec>, Vec<Event>, Option<WireError>) {
    drain(codec(framing), chunks)
}

fn unary(body: &Json) -> (Box<dyn AnswerCodec>, Event) {
    let (codec, mut events, error) = run(Framing::Json, &[body.to_string().as_bytes()]);
    assert_eq!(error, None, "{body}");
    assert!(events.len() == 1 && events[0].last);
    (codec, events.remove(0))
}

fn stream(events: &[Json]) -> String {
    events.iter().map(|event| format!("data: {event}\r\n\r\n")).collect()
}

/// An event in which the first candidate says these parts.
fn said(parts: Json) -> Json {
    json!({"candidates": [{"content": {"parts": parts, "role": "model"}, "index": 0}]})
}

fn text(text: &str) -> Json {
    said(json!([{"text": text}]))
}

fn finish() -> Json {
    json!({"candidates": [{"finishReason": "STOP", "index": 0}], "usageMetadata": {"totalTokenCount": 5}})
}

/// An event as it leaves, unchanged.
fn written(codec: &dyn AnswerCodec, event: &Event) -> String {
    encoded(codec, event, &vec![None; event.texts.len()]).unwrap()
}

fn parse(body: impl Into<String>) -> Result<Box<dyn Prompt>, WireError> {
    Gemini::new(1000).parse_request(body.into().into(), PATH)
}

/// `turn role kind text`, with `!` before texts that can't be edited.
fn listed(body: &Json) -> Vec<String> {
    lines_of(&*parse(body.to_string()).unwrap())
}

/// A request of the user's, with these members besides.
fn with(members: &Json) -> Json {
    let mut body = json!({"contents": [{"role": "user", "parts": [{"text": "a"}]}]});
    if let (Json::Object(body), Json::Object(members)) = (&mut body, members) {
        body.extend(members.clone());
    }
    body
}
