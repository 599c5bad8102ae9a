//! The dialect from outside: which texts it finds, what it refuses, what it writes.

mod answers;
mod census;
mod properties;
mod requests;
mod streams;

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::text::{Edit, Edits, Segment, SegmentId};
use crate::wire::gemini::Gemini;
use crate::wire::{AnswerCodec, Dialect, Event, Framing, Prompt, WireError};

const MAX: usize = 20_000;
const PATH: &str = "/v1beta/models/gemini-x:generateContent";

fn codec(framing: Framing) -> Box<dyn AnswerCodec> {
    Gemini::new(1000).answer(framing, MAX)
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

/// `choice kind part text`, with `!` before what can't be edited.
fn texts_of(event: &Event) -> Vec<String> {
    let mark = |editable| if editable { "" } else { "!" };
    let line = |text: &crate::wire::EventText| {
        let channel = text.channel;
        format!("{} {} {} {}{}", channel.choice, channel.kind.as_str(), channel.part, mark(text.editable), text.text)
    };
    event.texts.iter().map(line).collect()
}

fn encoded(codec: &dyn AnswerCodec, event: &Event, texts: &[Option<&str>]) -> Result<String, WireError> {
    let texts: Vec<_> = texts.iter().map(|text| text.map(str::to_owned)).collect();
    codec.encode(event, &texts).map(|bytes| String::from_utf8(bytes.into()).unwrap())
}

/// An event as it leaves, unchanged.
fn written(codec: &dyn AnswerCodec, event: &Event) -> String {
    encoded(codec, event, &vec![None; event.texts.len()]).unwrap()
}

fn parse(body: impl Into<String>) -> Result<Box<dyn Prompt>, WireError> {
    Gemini::new(1000).parse_request(body.into().into(), PATH)
}

fn edits(list: &[(u32, std::ops::Range<usize>, &str)]) -> BTreeMap<SegmentId, Edits> {
    let mut edits: BTreeMap<SegmentId, Edits> = BTreeMap::new();
    for (segment, span, with) in list {
        edits.entry(SegmentId(*segment)).or_default().insert(Edit { span: span.clone(), with: (*with).into() });
    }
    edits
}

/// `turn role kind text`, with `!` before texts that can't be edited.
fn listed(body: &Json) -> Vec<String> {
    let prompt = parse(body.to_string()).unwrap();
    let line = |segment: &Segment| {
        let place = segment.place;
        let turn = place.turn.map_or("-".into(), |turn| turn.to_string());
        let mark = if place.editable { "" } else { "!" };
        format!("{turn} {} {} {mark}{}", place.role.as_str(), place.kind.as_str(), segment.text)
    };
    assert!(prompt.segments().iter().enumerate().all(|(index, segment)| segment.id == SegmentId(index as u32)));
    prompt.segments().iter().map(line).collect()
}

/// A request of the user's, with these members besides.
fn with(members: &Json) -> Json {
    let mut body = json!({"contents": [{"role": "user", "parts": [{"text": "a"}]}]});
    if let (Json::Object(body), Json::Object(members)) = (&mut body, members) {
        body.extend(members.clone());
    }
    body
}
