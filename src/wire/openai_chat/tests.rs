//! The dialect from outside: which texts it finds, what it refuses, what it writes.

mod answers;
mod census;
mod envelope;
mod positions;
mod properties;
mod requests;

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::text::{Edit, Edits, Segment, SegmentId};
use crate::wire::openai_chat::OpenAiChat;
use crate::wire::{AnswerCodec, Dialect, Event, Framing, Prompt, WireError};

const MAX: usize = 20_000;

fn codec(framing: Framing) -> Box<dyn AnswerCodec> {
    OpenAiChat::new(1000).answer(framing, MAX)
}

/// What a codec makes of chunks: the events up to an error, and the error.
fn run(framing: Framing, chunks: &[&[u8]]) -> (Box<dyn AnswerCodec>, Vec<Event>, Option<WireError>) {
    let mut codec = codec(framing);
    let mut events = Vec::new();
    let mut error = None;
    for chunk in chunks {
        error = error.or(codec.push(chunk).err());
        events.extend(std::iter::from_fn(|| codec.next()));
    }
    error = error.or(codec.finish().err());
    events.extend(std::iter::from_fn(|| codec.next()));
    (codec, events, error)
}

fn stream(chunks: &[Json]) -> String {
    chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).chain(["data: [DONE]\n\n".to_owned()]).collect()
}

fn finish(index: u32) -> Json {
    json!({"choices": [{"delta": {}, "finish_reason": "stop", "index": index}], "id": "chatcmpl-1"})
}

/// `choice kind part text`, with `!` before what can't be edited.
fn texts_of(event: &Event) -> Vec<String> {
    let mark = |editable| if editable { "" } else { "!" };
    let line = |text: &crate::wire::EventText| {
        let channel = text.channel;
        format!("{} {} {} {}{}", channel.choice, channel.kind.as_str(), channel.part, mark(text.editable), text.text)
    };
    event.texts.iter().map(line).collect()
}

fn parse(body: impl Into<String>) -> Result<Box<dyn Prompt>, WireError> {
    OpenAiChat::new(1000).parse_request(body.into().into(), "")
}

fn edits(list: &[(u32, std::ops::Range<usize>, &str)]) -> BTreeMap<SegmentId, Edits> {
    let mut edits: BTreeMap<SegmentId, Edits> = BTreeMap::new();
    for (segment, span, with) in list {
        edits.entry(SegmentId(*segment)).or_default().insert(Edit { span: span.clone(), with: (*with).into() });
    }
    edits
}

/// `turn role kind text`, with `!` before texts that can't be edited.
fn listed(body: impl Into<String>) -> Vec<String> {
    let prompt = parse(body).unwrap();
    let line = |segment: &Segment| {
        let place = segment.place;
        let turn = place.turn.map_or("-".into(), |turn| turn.to_string());
        let mark = if place.editable { "" } else { "!" };
        format!("{turn} {} {} {mark}{}", place.role.as_str(), place.kind.as_str(), segment.text)
    };
    assert!(prompt.segments().iter().enumerate().all(|(index, segment)| segment.id == SegmentId(index as u32)));
    prompt.segments().iter().map(line).collect()
}

fn messages(messages: Json) -> String {
    json!({ "messages": messages }).to_string()
}

fn edited(body: &str, list: &[(u32, std::ops::Range<usize>, &str)]) -> Result<String, WireError> {
    parse(body).unwrap().edited(&edits(list)).map(|bytes| String::from_utf8(bytes.into()).unwrap())
}
