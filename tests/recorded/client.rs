//! What the client reads of what leaves: every string of it, and every text that it is told in pieces.

use std::collections::BTreeMap;

use portcullis::wire::json::{Document, Limits, Type, Value};
use portcullis::wire::{Channel, Framing, eventstream, ndjson, sse};

use super::Recorded;

/// The data of each event; the end mark is none.
pub fn data(framing: Framing, bytes: &[u8]) -> Vec<String> {
    let mut input = bytes;
    let mut all = Vec::new();
    match framing {
        Framing::Json => all.push(String::from_utf8(bytes.to_vec()).expect("UTF-8")),
        Framing::Sse => {
            let mut decoder = sse::Decoder::new(1 << 20);
            while let Some(frame) = decoder.next(&mut input).expect("a sound stream") {
                all.push(frame.data);
            }
            assert_eq!(decoder.buffered(), 0, "half an event");
        }
        Framing::Ndjson => {
            let mut decoder = ndjson::Decoder::new(1 << 20);
            while let Some(line) = decoder.next(&mut input).expect("sound lines") {
                all.push(String::from_utf8(line.to_vec()).expect("UTF-8"));
            }
            assert_eq!(decoder.buffered(), 0, "half a line");
        }
        Framing::EventStream => {
            let mut decoder = eventstream::Decoder::new(1 << 20);
            while let Some(json) = decoder.next(&mut input).expect("sound messages") {
                all.push(String::from_utf8(json.to_vec()).expect("UTF-8"));
            }
            assert_eq!(decoder.buffered(), 0, "half a message");
        }
    }
    all.retain(|data| data != "[DONE]");
    all
}

/// Every string and key, and those of the JSON in them.
pub fn strings(framing: Framing, bytes: &[u8]) -> Vec<String> {
    let mut all = Vec::new();
    for data in data(framing, bytes) {
        collect(parse(&data).expect("strict JSON").root(), &mut all);
    }
    all
}

/// What each channel has been told, as it is and as JSON with its escapes undone.
pub fn channels(recorded: &Recorded, bytes: &[u8]) -> Vec<String> {
    let mut codec = recorded.dialect.answer(recorded.framing, 1 << 16);
    codec.push(bytes).expect("what leaves is of the dialect");
    let mut texts: BTreeMap<Channel, String> = BTreeMap::new();
    while let Some(event) = codec.next() {
        event.texts.iter().for_each(|text| *texts.entry(text.channel).or_default() += &text.text);
    }
    let mut all = Vec::new();
    for text in texts.into_values() {
        if let Some(document) = parse(&text) {
            collect(document.root(), &mut all);
        }
        all.push(text);
    }
    all
}

fn parse(json: &str) -> Option<Document> {
    Document::parse(json.as_bytes().to_vec(), &Limits::default()).ok()
}

fn collect(value: Value<'_>, out: &mut Vec<String>) {
    match value.kind() {
        Type::String => {
            let text = value.text().unwrap_or_default();
            if let Some(document) = parse(&text).filter(|document| document.root().kind() != Type::String) {
                collect(document.root(), out);
            }
            out.push(text.into_owned());
        }
        _ => {
            value.elements().for_each(|element| collect(element, out));
            for (key, member) in value.members() {
                collect(key, out);
                collect(member, out);
            }
        }
    }
}
