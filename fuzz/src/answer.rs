//! Answers: any chunks give the same, what leaves has been seen and reads the same, and what is masked is nowhere.

use std::collections::{BTreeMap, BTreeSet};

use portcullis::text::Kind;
use portcullis::wire::{AnswerCodec, Channel, Cut, Dialect, Event, EventText, Framing, Refusal, WireError};
use portcullis::wire::{eventstream, sse};

use super::random::Random;
use super::request::{letters, strings};

/// Bytes of an event, at most.
const MAX: usize = 1 << 14;

/// What a codec makes of some bytes: the events up to an error, and the error.
struct Reading {
    codec: Box<dyn AnswerCodec>,
    events: Vec<Event>,
    error: Option<WireError>,
}

pub fn check(dialect: &dyn Dialect, framing: Framing, body: &[u8], random: &mut Random) {
    let messages = (framing == Framing::EventStream).then(|| messages(body));
    let body = messages.as_deref().unwrap_or(body);
    let read = |chunks: &[&[u8]]| read(dialect, framing, chunks);
    let whole = read(&[body]);
    let shown = whole.shown();
    assert_eq!(read(&random.pieces(body, 8)).shown(), shown);
    assert_eq!(read(&body.chunks(1).collect::<Vec<_>>()).shown(), shown);

    let fresh = read(&[body]);
    let written = fresh.written(|_| None);
    let seen: BTreeSet<char> = whole.texts().flat_map(|text| letters(&text.text)).collect();
    let unseen = |bytes: &[u8]| -> Vec<char> {
        data(framing, bytes)
            .iter()
            .flat_map(|text| letters(text).collect::<Vec<_>>())
            .filter(|c| !seen.contains(c))
            .collect()
    };
    assert_eq!(unseen(&written), [], "not judged");
    assert_eq!(read(&[&written]).channels(), whole.channels(), "it reads as another answer");

    masked(dialect, framing, body);
    if framing != Framing::Json {
        cut(dialect, framing, body, random);
    }
}

/// Each line as a binary message: no mutation finds its checksums. What can't be one stands there as it is.
fn messages(lines: &[u8]) -> Vec<u8> {
    let message = |line: &[u8]| match eventstream::frame(line) {
        message if message.is_empty() => line.to_vec(),
        message => message.into(),
    };
    lines.split(|&byte| byte == b'\n').flat_map(message).collect()
}

/// What is not ASCII is masked wherever it can be: then nothing of it is left but where it can't.
fn masked(dialect: &dyn Dialect, framing: Framing, body: &[u8]) {
    let reading = read(dialect, framing, &[body]);
    let mask = |text: &str| -> Option<String> {
        let masked: String = text.chars().map(|letter| if letter.is_ascii() { letter } else { '#' }).collect();
        (masked != text).then_some(masked)
    };
    let fixed = |editable: bool| reading.texts().filter(move |text| text.editable == editable);
    let kept: BTreeSet<char> = fixed(false).flat_map(|text| letters(&text.text)).collect();
    let fixed: BTreeSet<(u32, Kind)> = fixed(false).map(|text| (text.channel.choice, text.channel.kind)).collect();
    let (out, all) = reading.encoded(|text| text.editable.then(|| mask(&text.text)).flatten());
    let left =
        data(framing, &out).iter().flat_map(|text| letters(text).collect::<Vec<_>>()).find(|c| !kept.contains(c));
    assert_eq!(left, None, "a copy is left");
    if all {
        let mut again = by_kind(read(dialect, framing, &[&out]).channels());
        for (kind, texts) in by_kind(reading.channels()).into_iter().filter(|(kind, _)| !fixed.contains(kind)) {
            let expected: BTreeSet<String> = texts.into_iter().map(|text| mask(&text).unwrap_or(text)).collect();
            let again = again.remove(&kind).unwrap_or_default();
            // Of what is no answer's own words, copies are left out whole.
            let same = if kind.1 == Kind::Other { again.is_subset(&expected) } else { again == expected };
            assert!(same, "{kind:?}: {again:?} {expected:?}");
        }
    }
}

fn by_kind(channels: BTreeMap<Channel, String>) -> BTreeMap<(u32, Kind), BTreeSet<String>> {
    let mut kinds: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for (channel, text) in channels {
        kinds.entry((channel.choice, channel.kind)).or_default().insert(text);
    }
    kinds
}

/// Wherever a stream is cut before its end, what the client has is a sound stream.
fn cut(dialect: &dyn Dialect, framing: Framing, body: &[u8], random: &mut Random) {
    let reading = read(dialect, framing, &[body]);
    let first_last = reading.events.iter().position(|event| event.last).unwrap_or(reading.events.len());
    // A cut before anything has left is not sent.
    if first_last == 0 {
        return;
    }
    let count = 1 + random.below(first_last);
    let mut out: Vec<u8> = Vec::new();
    for event in &reading.events[..count] {
        out.extend_from_slice(&reading.encode(event, &|_| None).expect("as it came"));
    }
    let refusal = Refusal { status: 502.try_into().expect("a status"), code: "c", message: "m".into(), param: None };
    let blocked = random.below(2) == 0;
    let end = reading.codec.cut(if blocked { Cut::Blocked } else { Cut::Failed(&refusal) });
    if end.is_empty() {
        return;
    }
    out.extend_from_slice(&end);
    let again = read(dialect, framing, &[&out]);
    assert_eq!(again.error, None, "a cut leaves half a stream: {}", String::from_utf8_lossy(&out));
    assert!(again.events.len() > count);
}

fn read(dialect: &dyn Dialect, framing: Framing, chunks: &[&[u8]]) -> Reading {
    let mut codec = dialect.answer(framing, MAX);
    let (mut events, mut error) = (Vec::new(), None);
    for chunk in chunks {
        error = error.or(codec.push(chunk).err());
        events.extend(std::iter::from_fn(|| codec.next()));
    }
    error = error.or(codec.finish().err());
    events.extend(std::iter::from_fn(|| codec.next()));
    Reading { codec, events, error }
}

/// Every string that leaves; of the end mark of a stream none.
fn data(framing: Framing, bytes: &[u8]) -> Vec<String> {
    match framing {
        Framing::Json if bytes.is_empty() => Vec::new(),
        Framing::Json => strings(bytes),
        Framing::EventStream => {
            let (mut decoder, mut input, mut all) = (eventstream::Decoder::new(1 << 20), bytes, Vec::new());
            while let Some(json) = decoder.next(&mut input).expect("a sound stream") {
                all.extend(strings(&json));
            }
            assert_eq!(decoder.buffered(), 0, "half a message");
            all
        }
        Framing::Ndjson => {
            bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).flat_map(strings).collect()
        }
        Framing::Sse => {
            let (mut decoder, mut input, mut all) = (sse::Decoder::new(1 << 20), bytes, Vec::new());
            while let Some(frame) = decoder.next(&mut input).expect("a sound stream") {
                all.extend(frame.event);
                if frame.data != "[DONE]" {
                    all.extend(strings(frame.data.as_bytes()));
                }
            }
            assert_eq!(decoder.buffered(), 0, "half an event");
            all
        }
    }
}

/// Of an event: its texts, whether it is the last, its size and its bytes.
type Shown = (String, bool, usize, Vec<u8>);

impl Reading {
    fn texts(&self) -> impl Iterator<Item = &EventText> {
        self.events.iter().flat_map(|event| &event.texts)
    }

    /// What each channel has had.
    fn channels(&self) -> BTreeMap<Channel, String> {
        let mut channels: BTreeMap<Channel, String> = BTreeMap::new();
        for text in self.texts().filter(|text| !text.text.is_empty()) {
            *channels.entry(text.channel).or_default() += &text.text;
        }
        channels
    }

    /// An event with the texts that `with` gives for those that are not empty: the gate edits no others.
    fn encode(&self, event: &Event, with: &impl Fn(&EventText) -> Option<String>) -> Result<Vec<u8>, WireError> {
        let texts: Vec<_> =
            event.texts.iter().map(|text| if text.text.is_empty() { None } else { with(text) }).collect();
        self.codec.encode(event, &texts).map(|bytes| bytes.to_vec())
    }

    /// Everything up to an event that can't be written so, and whether that is all.
    fn encoded(&self, with: impl Fn(&EventText) -> Option<String>) -> (Vec<u8>, bool) {
        let mut out = Vec::new();
        for event in &self.events {
            match self.encode(event, &with) {
                Ok(bytes) => out.extend_from_slice(&bytes),
                Err(error) => {
                    assert!(matches!(error, WireError::NotEditable { .. }), "{error}");
                    return (out, false);
                }
            }
        }
        (out, true)
    }

    fn written(&self, with: impl Fn(&EventText) -> Option<String>) -> Vec<u8> {
        let (out, all) = self.encoded(with);
        assert!(all, "what is not edited can be written");
        out
    }

    /// Everything comparable.
    fn shown(&self) -> (Vec<Shown>, Option<WireError>) {
        let line = |text: &EventText| format!("{:?} {} {}\n", text.channel, text.editable, text.text);
        let shown = self.events.iter().map(|event| {
            let bytes = self.encode(event, &|_| None).expect("as it came");
            (event.texts.iter().map(line).collect(), event.last, event.size, bytes)
        });
        (shown.collect(), self.error.clone())
    }
}
