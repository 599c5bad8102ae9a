//! The dialect from outside: which texts it finds, what it refuses, what it writes.

mod answers;
mod census;
mod ends;
mod properties;
mod requests;
mod rich;
mod told;

use serde_json::{Value as Json, json};

use crate::wire::openai_responses::OpenAiResponses;
use crate::wire::testing::{self, drain};
use crate::wire::{AnswerCodec, Dialect, Event, Framing, Prompt, WireError};

const MAX: usize = 100_000;

fn codec(framing: Framing) -> Box<dyn AnswerCodec> {
    OpenAiResponses::new(1000).answer(framing, MAX)
}

/// What a codec makes of chunks: the events up to an error, and the error.
fn run(framing: Framing, chunks: &[&[u8]]) -> (Box<dyn AnswerCodec>, Vec<Event>, Option<WireError>) {
    drain(codec(framing), chunks)
}

/// A stream of these events, numbered.
fn stream(events: &[Json]) -> String {
    let numbered = events.iter().zip(0..).map(|(event, number)| {
        let mut event = event.clone();
        event["sequence_number"] = json!(number);
        format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or("x"))
    });
    numbered.collect()
}

/// The data of each frame.
fn data(frames: &[u8]) -> Vec<Json> {
    let frames = std::str::from_utf8(frames).unwrap();
    frames
        .split_terminator("\n\n")
        .map(|frame| {
            let (name, data) = frame.split_once('\n').map_or(("", frame), |(name, data)| (name, data));
            let data: Json = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            assert!(
                name.is_empty() || Some(name) == data["type"].as_str().map(|kind| format!("event: {kind}")).as_deref()
            );
            data
        })
        .collect()
}

/// `kind part text`, with `!` before what can't be edited.
fn texts_of(event: &Event) -> Vec<String> {
    let lines = testing::texts_of(event).into_iter();
    lines.map(|line| line.strip_prefix("0 ").expect("the only choice").to_owned()).collect()
}

/// The event as written with its texts as they came.
fn as_it_came(codec: &dyn AnswerCodec, event: &Event) -> Vec<u8> {
    codec.encode(event, &vec![None; event.texts.len()]).unwrap().into()
}

fn parse(body: impl Into<String>) -> Result<Box<dyn Prompt>, WireError> {
    OpenAiResponses::new(1000).parse_request(body.into().into(), "")
}
