//! Streams beside the decoders of the real SDKs: what they read of what leaves is what was judged, and nothing that they would
//! show of what the upstream wrote is unjudged, unless it does not leave.

mod readers;
mod recorded;

use std::collections::BTreeMap;

use portcullis::guardrail::Action;
use portcullis::wire::bedrock_converse::BedrockConverse;
use portcullis::wire::ollama::{Api, Ollama};
use portcullis::wire::openai_chat::OpenAiChat;
use portcullis::wire::{Dialect, Framing};
use readers::{Reader, hex, node, python, times};
use recorded::random::Random;
use recorded::{Judge, Recorded, Trace, data, odd, pass, settings, streams};
use serde_json::{Value as Json, json};

/// What a decoder reads: the data of each event.
type Told = BTreeMap<String, Vec<String>>;

/// What each SDK reads of each stream, in chunks of its own.
fn read(streams: &[(&Recorded, &[u8])], random: &mut Random) -> Vec<Told> {
    let lines: Vec<String> = streams.iter().map(|(recorded, bytes)| case(recorded, bytes, random)).collect();
    let mut told: Vec<Told> = vec![Told::new(); lines.len()];
    let all = [Reader::new("python", python(), &["read_events.py"]), Reader::new("node", node(), &["read_events.mjs"])];
    for reader in all.iter().filter(|reader| reader.is_here()) {
        for (told, line) in told.iter_mut().zip(reader.read(&lines)) {
            told.extend(serde_json::from_str::<Told>(&line).expect("lists by name"));
        }
    }
    told
}

fn case(recorded: &Recorded, bytes: &[u8], random: &mut Random) -> String {
    let kind = match (recorded.framing, recorded.dialect.name()) {
        (Framing::Ndjson, _) => "lines",
        (Framing::EventStream, _) => "messages",
        (_, "gemini") => "gemini",
        _ => "sse",
    };
    let mut ends: Vec<usize> = (0..random.below(12)).map(|_| random.below(bytes.len() + 1)).collect();
    ends.sort_unstable();
    json!({"kind": kind, "stream": hex(bytes), "ends": ends}).to_string()
}

/// Everything that a stream says to a client, however its JSON is made.
fn said(data: &[String]) -> Vec<String> {
    fn collect(json: &Json, out: &mut Vec<String>) {
        match json {
            Json::String(text) => out.push(text.clone()),
            Json::Array(all) => all.iter().for_each(|json| collect(json, out)),
            Json::Object(all) => all.values().for_each(|json| collect(json, out)),
            _ => {}
        }
    }
    let mut all = Vec::new();
    data.iter().filter_map(|data| serde_json::from_str(data).ok()).for_each(|json: Json| collect(&json, &mut all));
    all
}

fn judged(trace: &Trace) -> Vec<&str> {
    trace.verdicts.iter().flat_map(|(asked, _)| asked).map(|(_, text, _)| text.as_str()).collect()
}

/// Of these, `@L` is a long one over several lines, and `@O` has what some take for a line's end.
const PIECES: [(&str, &str); 5] = [
    ("@A", r#"{"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"alpha "}}]}"#),
    ("@B", r#"{"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"beta"}}]}"#),
    ("@E", r#"{"id":"c","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#),
    ("@L", "{\"id\":\"c\",\"choices\":\ndata: [{\"index\":0,\"delta\":\ndata: {\"content\":\"gamma\"}}]}"),
    ("@O", "{\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\u{2028}y\u{2029}z\u{85}w\"}}]}"),
];

/// Odd framings: `@A`, `@B`, `@L` and `@O` are the pieces, `@E` the last.
const FRAMINGS: [&[u8]; 62] = [
    b"data: @A\n\ndata: @B\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"data:@A\n\ndata:@B\n\ndata:@E\n\ndata:[DONE]\n\n",
    b"data: @A\r\n\r\ndata: @B\r\n\r\ndata: @E\r\n\r\ndata: [DONE]\r\n\r\n",
    b"data: @A\r\rdata: @B\r\rdata: @E\r\rdata: [DONE]\r\r",
    b"data: @A\n\r\ndata: @B\r\n\rdata: @E\n\rdata: [DONE]\n\n",
    b"data: @A\r\n\ndata: @B\r\r\ndata: @E\n\n\ndata: [DONE]\n\n",
    b"\xef\xbb\xbfdata: @A\n\ndata: @B\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"\xef\xbb\xbf\xef\xbb\xbfdata: @A\n\ndata: @B\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"data: @A\n\n\xef\xbb\xbfdata: @B\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"data: @A\n\ndata: @B\n\ndata: @E\n\ndata: [DONE]",
    b"data: @A\n\ndata: @B\n\ndata: @E\n\ndata: [DONE]\n",
    b"data: @A\n\ndata: @B\n\ndata: @E\n\n",
    b"data: @A\n\ndata: @B\n\ndata: @E\n",
    b"data: @A\n\ndata: @B\n\ndata: @E",
    b"data: @A\n\ndata: @B\n\n",
    b"data: @A\n\ndata: @B",
    b"data: @A\ndata: @B\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"data: @L\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"data: @L\r\n\r\ndata: @E\r\n\r\ndata: [DONE]\r\n\r\n",
    b"data: @O\n\ndata: @E\n\ndata: [DONE]\n\n",
    b": comment\n\ndata: @A\n\n:\n\n: data: @B\n\ndata: @E\n\ndata: [DONE]\n\n",
    b":data: @A\ndata: @B\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"id: 1\ndata: @A\n\nid: 2\ndata: @B\n\nid\ndata: @E\n\ndata: [DONE]\n\n",
    b"id: 1\n\ndata: @A\n\nid:\n\ndata: @B\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"id: a\0b\ndata: @A\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"retry: 10\n\ndata: @A\n\nretry: x\ndata: @B\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"retry: 10\ndata: @A\nretry: 20\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"event: message\ndata: @A\n\nevent: x\ndata: @B\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"event: a\nevent: b\ndata: @A\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"event: x\n\ndata: @A\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"event: thread.message\ndata: @A\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"event: error\ndata: @A\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"event: ping\ndata: @A\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"data: @A\n\ndata\n\ndata: @B\n\ndata:\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"data\ndata: @A\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"data: @A\ndata\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"data:  @A\n\ndata:\t@B\n\ndata: @E\n\ndata: [DONE]\n\n",
    b" data: @A\n\ndata: @B\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"data : @A\n\ndata: @B\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"DATA: @A\n\nData: @B\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"date: @A\n\ndataa: @B\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"@A\n\ndata: @B\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"{\"data\":\"x\"}\n\ndata: @B\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"\n\n\ndata: @A\n\n\n\n\ndata: @B\n\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"data: @A \n\ndata: @B\t\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"data: @A\n\ndata: [DONE]\n\ndata: @B\n\n",
    b"data: @A\n\ndata: @E\n\ndata: [DONE]\n\ndata: @B\n\n",
    b"data: @A\n\ndata: @E\n\ndata: [DONE] \n\ndata: @B\n\n",
    b"data: @A\n\ndata: @E\n\ndata:  [DONE]\n\ndata: @B\n\n",
    b"data: @A\n\ndata: @E\n\ndata: [DONE]x\n\ndata: @B\n\n",
    b"data: @A\n\ndata: @E\n\ndata: [done]\n\ndata: @B\n\n",
    b"data: @A\n\ndata: @E\n\ndata: [DONE]\ndata: @B\n\n",
    b"data: @A\n\ndata: @E\n\nevent: done\ndata: [DONE]\n\ndata: @B\n\n",
    b"data: @A\n\ndata: @\0B\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"data: @A\0\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"data: @A\n\n\0data: @B\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"data: @A\n\nx: \xff\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"data: @A\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\xff\xfe\"}}]}\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"data: @A\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\xed\xa0\x80\"}}]}\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"data: @A\x0b\n\ndata: @B\x0c\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"x: y\xe2\x80\xa8data: @A\n\nx: y\xc2\x85data: @B\n\ndata: @E\n\ndata: [DONE]\n\n",
    b"x: y\x0bdata: @A\n\nx: y\x1edata: @B\x1c\n\ndata: @E\n\ndata: [DONE]\n\n",
];

/// The same of lines.
const LINES: [&[u8]; 14] = [
    b"@A\n@B\n@E\n",
    b"@A\r\n@B\r\n@E\r\n",
    b"@A\n\n \t\n@B\n@E",
    b"@A @B\n@E\n",
    b"@A\r@B\r@E\r",
    b"@L\n@E\n",
    b"@O\n@E\n",
    b"\xef\xbb\xbf@A\n@E\n",
    b"@A\n\xef\xbb\xbf@B\n@E\n",
    b"@A\x0b@B\n@E\n",
    b"@A\xe2\x80\xa8@B\n@E\n",
    b"@A\n\0@B\n@E\n",
    b"@A\n{\"message\":{\"content\":\"\xff\"}}\n@E\n",
    b"@A\n@E\n@B\n",
];

const LINE_PIECES: [(&str, &str); 5] = [
    ("@A", r#"{"model":"m","message":{"role":"assistant","content":"alpha "},"done":false}"#),
    ("@B", r#"{"model":"m","message":{"role":"assistant","content":"beta"},"done":false}"#),
    ("@E", r#"{"model":"m","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop"}"#),
    ("@L", "{\"message\":\n{\"content\":\"gamma \"},\n\"done\":false}"),
    ("@O", "{\"message\":{\"content\":\"x\u{2028}y z\u{85}w\"},\"done\":false}"),
];

/// The framings with their pieces put in.
fn framed() -> Vec<Recorded> {
    let dialects = |lines: bool| -> (Box<dyn Dialect>, Framing) {
        match lines {
            true => (Box::new(Ollama::new(Api::Chat, 100)), Framing::Ndjson),
            false => (Box::new(OpenAiChat::new(100)), Framing::Sse),
        }
    };
    let events = FRAMINGS.iter().map(|bytes| (false, *bytes, &PIECES));
    let lines = LINES.iter().map(|bytes| (true, *bytes, &LINE_PIECES));
    let all = events.chain(lines).map(|(lines, bytes, pieces)| {
        let (dialect, framing) = dialects(lines);
        Recorded { name: format!("{framing:?}: {}", bytes.escape_ascii()), dialect, framing, bytes: put(bytes, pieces) }
    });
    all.collect()
}

fn put(bytes: &[u8], pieces: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        match pieces.iter().find(|(mark, _)| rest.starts_with(mark.as_bytes())) {
            Some((mark, piece)) => {
                out.extend_from_slice(piece.as_bytes());
                rest = &rest[mark.len()..];
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

/// Reads what the upstream wrote and what leaves with every SDK, `times` in other chunks each. Gives how many streams were
/// refused, and the names of the SDKs.
fn compare(all: &[Recorded], random: &mut Random, times: usize) -> (usize, Vec<String>) {
    let allow = Judge::new(Action::Allow);
    let traces: Vec<Trace> =
        all.iter().map(|recorded| pass(recorded, &settings(1 << 20), &[&recorded.bytes], &allow)).collect();
    let left = all.iter().zip(&traces).map(|(recorded, trace)| (recorded, &trace.released[..]));
    let came = all.iter().map(|recorded| (recorded, &recorded.bytes[..]));
    let streams: Vec<_> = std::iter::repeat_n(left.chain(came), times).flatten().collect();
    let told = read(&streams, random);
    let mut names: Vec<String> = told.iter().flat_map(|told| told.keys().cloned()).collect();
    for told in told.chunks(2 * all.len()) {
        let (left, came) = told.split_at(all.len());
        for (((recorded, trace), left), came) in all.iter().zip(&traces).zip(left).zip(came) {
            let released = data(recorded.framing, &trace.released);
            for (sdk, told) in left {
                assert!(same(told, &released), "{sdk} reads {told:?}\nof {released:?}\n{}", recorded.name);
            }
            let (judged, leaves) = (judged(trace), said(&released));
            for (sdk, told) in came {
                // Words and ids of the API are not judged.
                let shown = said(told).into_iter().filter(|text| text.chars().any(|ch| !ch.is_ascii() || ch == ' '));
                for text in shown.filter(|text| !judged.iter().any(|judged| judged.contains(text))) {
                    assert!(
                        !leaves.contains(&text),
                        "{sdk} shows {text:?}, which nobody has judged: {}",
                        recorded.name
                    );
                }
            }
        }
    }
    names.sort();
    names.dedup();
    (traces.iter().filter(|trace| trace.cut.is_some()).count(), names)
}

/// Whether an SDK reads what is there. One that parses by itself writes JSON in its own way.
fn same(told: &[String], released: &[String]) -> bool {
    let json = |data: &String| serde_json::from_str::<Json>(data).ok();
    told.len() == released.len()
        && told.iter().zip(released).all(|(told, data)| told == data || json(told) == json(data))
}

#[test]
fn what_the_sdks_show_of_odd_framings_was_judged() {
    let (refused, sdks) = compare(&framed(), &mut Random::new(1), times(3, 200));
    println!("{} framings, {refused} refused, read by {sdks:?}", FRAMINGS.len() + LINES.len());
    assert!(sdks.contains(&"openai-python".to_owned()), "{sdks:?}");
    assert!((5..50).contains(&refused), "{refused} refused");
}

#[test]
fn what_the_sdks_show_of_odd_messages_was_judged() {
    let dialect = || -> Box<dyn Dialect> { Box::new(BedrockConverse::new(100)) };
    let recorded = |(name, bytes)| Recorded { name, dialect: dialect(), framing: Framing::EventStream, bytes };
    let all: Vec<Recorded> = odd::streams().into_iter().map(recorded).collect();
    let (refused, sdks) = compare(&all, &mut Random::new(3), times(3, 200));
    println!("{} streams, {refused} refused, read by {sdks:?}", all.len());
    assert!(sdks.contains(&"botocore-python".to_owned()), "{sdks:?}");
    assert!((30..70).contains(&refused), "{refused} refused");
}

#[test]
fn what_the_sdks_show_of_recorded_streams_was_judged() {
    let (refused, sdks) = compare(&streams(), &mut Random::new(2), times(2, 10));
    println!("read by {sdks:?}");
    assert_eq!(refused, 0);
}
