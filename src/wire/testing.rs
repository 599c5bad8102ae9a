//! What the tests of dialects share: bodies read and written from outside, and a canary in each string, key and number.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use bytes::Bytes;
use serde_json::{Value as Json, json};

use crate::text::{Edit, Edits, Segment, SegmentId};
use crate::wire::{AnswerCodec, Body, Dialect, Event, Framing, Prompt, WireError, eventstream};

/// Bytes of an event, at most.
pub const MAX: usize = 20_000;

/// What a codec makes of chunks: the events up to an error, and the error.
pub fn run(
    dialect: &dyn Dialect,
    framing: Framing,
    chunks: &[&[u8]],
) -> (Box<dyn AnswerCodec>, Vec<Event>, Option<WireError>) {
    drain(dialect.answer(framing, MAX), chunks)
}

/// The same of a codec that has read nothing yet.
pub fn drain(
    mut codec: Box<dyn AnswerCodec>,
    chunks: &[&[u8]],
) -> (Box<dyn AnswerCodec>, Vec<Event>, Option<WireError>) {
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

/// A whole answer, which must be sound.
pub fn unary(dialect: &dyn Dialect, body: &Json) -> (Box<dyn AnswerCodec>, Event) {
    let (codec, mut events, error) = run(dialect, Framing::Json, &[body.to_string().as_bytes()]);
    assert_eq!(error, None, "{body}");
    assert!(events.len() == 1 && events[0].last);
    (codec, events.remove(0))
}

/// `choice kind part text` of each text of an event, with `!` before what can't be edited.
pub fn texts_of(event: &Event) -> Vec<String> {
    let mark = |editable| if editable { "" } else { "!" };
    let line = |text: &crate::wire::EventText| {
        let channel = text.channel;
        format!(
            "{} {} {} {}{}",
            channel.choice,
            channel.kind.as_str(),
            channel.part,
            mark(text.can_be_edited()),
            text.text
        )
    };
    event.texts.iter().map(line).collect()
}

/// An event as it is written with these texts; `None` leaves one.
pub fn encoded(codec: &dyn AnswerCodec, event: &Event, texts: &[Option<&str>]) -> Result<String, WireError> {
    written(codec, event, texts).map(|bytes| String::from_utf8(bytes.into()).unwrap())
}

/// The same in a framing that is no text.
pub fn written(codec: &dyn AnswerCodec, event: &Event, texts: &[Option<&str>]) -> Result<Bytes, WireError> {
    let mut texts: Vec<_> = texts.iter().map(|text| text.map(str::to_owned)).collect();
    texts.resize(event.texts.len(), None);
    codec.encode(event, &texts)
}

/// `turn role kind text` of each segment of a request, with `!` before what can't be edited.
pub fn listed(dialect: &dyn Dialect, body: &Json) -> Vec<String> {
    let prompt = dialect.parse_request(body.to_string().into(), "").unwrap_or_else(|error| panic!("{error}: {body}"));
    lines_of(&*prompt)
}

/// The same of one that was read. Its ids must count from 0.
pub fn lines_of(prompt: &dyn Prompt) -> Vec<String> {
    let line = |segment: &Segment| {
        let place = segment.place;
        let turn = place.turn.map_or("-".into(), |turn| turn.to_string());
        let mark = if place.editable { "" } else { "!" };
        format!("{turn} {} {} {mark}{}", place.role.as_str(), place.kind.as_str(), segment.text)
    };
    assert!(prompt.segments().iter().enumerate().all(|(index, segment)| segment.id == SegmentId(index as u32)));
    prompt.segments().iter().map(line).collect()
}

/// Why a request is refused.
pub fn refused(dialect: &dyn Dialect, body: &str) -> String {
    match dialect.parse_request(body.to_owned().into(), "") {
        Ok(_) => panic!("must be refused: {body}"),
        Err(error) => error.to_string(),
    }
}

/// A request with spans of its segments replaced.
pub fn edited(dialect: &dyn Dialect, body: &str, list: &[(u32, Range<usize>, &str)]) -> Result<String, WireError> {
    let prompt = dialect.parse_request(body.to_owned().into(), "").unwrap();
    prompt.edited(&edits(list)).map(|bytes| String::from_utf8(bytes.into()).unwrap())
}

/// Spans of segments, and what takes their place.
pub fn edits(list: &[(u32, Range<usize>, &str)]) -> BTreeMap<SegmentId, Edits> {
    let mut edits: BTreeMap<SegmentId, Edits> = BTreeMap::new();
    for (segment, span, with) in list {
        edits.entry(SegmentId(*segment)).or_default().insert(Edit { span: span.clone(), with: (*with).into() });
    }
    edits
}

/// What the numbers that are canaries begin with.
const NUMBER: &str = "8800000";

/// `json` with `~` in each string and key, and each number `0` after a space, replaced by a number of its own, so that no two
/// are equal.
pub fn with_canaries(json: &str) -> String {
    let mut out = String::new();
    let mut number = 100..;
    for (at, character) in json.char_indices() {
        let is_value = || !json[at + 1..].starts_with(|next: char| next.is_ascii_digit()) && json[..at].ends_with(' ');
        let next = |number: &mut std::ops::RangeFrom<i32>| number.next().unwrap_or_default();
        match character {
            '~' => out += &format!(" canary {}", next(&mut number)),
            '0' if is_value() => out += &format!("{NUMBER}{}", next(&mut number)),
            other => out.push(other),
        }
    }
    out
}

/// The canaries in some strings.
pub fn canaries<'a>(texts: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for text in texts {
        for mark in [" canary ", NUMBER] {
            found.extend(text.match_indices(mark).map(|(at, mark)| text[at + mark.len()..][..3].to_owned()));
        }
    }
    found
}

/// Every string, key and number below, as serde reads it.
pub fn strings(json: &Json, out: &mut BTreeSet<String>) {
    match json {
        Json::String(text) => drop(out.insert(text.clone())),
        Json::Array(items) => items.iter().for_each(|item| strings(item, out)),
        Json::Object(members) => members.iter().for_each(|(key, value)| {
            out.insert(key.clone());
            strings(value, out);
        }),
        Json::Number(number) => drop(out.insert(number.to_string())),
        _ => {}
    }
}

/// What is said by turns in each string and number of a body.
fn secrets() -> [Json; 5] {
    let card = 4111111111111111u64;
    [
        json!("an odd \u{1}text"),
        json!("project-bluebird"),
        json!("sk-proj-abcdef"),
        json!(card.to_string()),
        json!(card),
    ]
}

/// Every canary of a request stands in a segment, and any other text in the place of a string or a number is seen or refused.
/// `numbers`: pointers to what is a number of the API's own, of any size.
pub fn request_is_seen(dialect: &dyn Dialect, body: &str, numbers: &[&str]) {
    let body = with_canaries(body);
    let prompt = dialect.parse_request(body.clone().into(), "").unwrap_or_else(|error| panic!("{error}"));
    let hidden = canaries([body.as_str()]);
    assert!(!hidden.is_empty());
    assert_eq!(canaries(prompt.segments().iter().map(|segment| &*segment.text)), hidden);
    let body: Json = serde_json::from_str(&body).unwrap();
    for pointer in pointers(&body) {
        for secret in secrets() {
            let mut body = body.clone();
            *body.pointer_mut(&pointer).unwrap() = secret.clone();
            let Ok(prompt) = dialect.parse_request(body.to_string().into(), "") else { continue };
            let own = secret.is_number() && numbers.contains(&&*pointer);
            let secret = secret.as_str().map_or(secret.to_string(), str::to_owned);
            let judged = prompt.segments().iter().any(|segment| segment.text.contains(&secret));
            assert!(judged || own, "{pointer} is not judged: {secret}");
        }
    }
}

/// Every canary of an answer that is written has been seen, all but `dropped` are written, and any other text in the place of a
/// string or a number is seen or not written.
pub fn answer_is_seen(dialect: &dyn Dialect, framing: Framing, body: &str, dropped: usize) {
    let body = with_canaries(body);
    let read = |body: &str| {
        let (codec, events, error) = run(dialect, framing, &[&framed(framing, body)]);
        let event = events.into_iter().next().ok_or(error)?;
        let seen: Vec<String> = event.texts.iter().map(|text| text.text.clone()).collect();
        let out = written(&*codec, &event, &[]).unwrap();
        Ok::<_, Option<WireError>>((seen, String::from_utf8_lossy(&out).into_owned()))
    };
    let (seen, out) = read(&body).unwrap_or_else(|error| panic!("{error:?}"));
    let seen = canaries(seen.iter().map(String::as_str));
    assert_eq!(canaries([&*out]), seen);
    assert_eq!(canaries([&*body]).difference(&seen).count(), dropped, "{framing:?}");
    let body: Json = serde_json::from_str(&body).unwrap();
    for pointer in pointers(&body) {
        for secret in secrets() {
            let mut body = body.clone();
            *body.pointer_mut(&pointer).unwrap() = secret.clone();
            let Ok((seen, out)) = read(&body.to_string()) else { continue };
            let raw = secret.to_string();
            let raw = raw.trim_matches('"');
            let judged = secret.as_str().unwrap_or(raw);
            assert!(seen.iter().any(|text| text.contains(judged)) || !out.contains(raw), "{pointer}: {secret}");
        }
    }
}

/// A body or an event as it comes.
pub fn framed(framing: Framing, json: &str) -> Vec<u8> {
    let line = json.replace('\n', "");
    match framing {
        Framing::Json => json.into(),
        Framing::Sse => format!("data: {line}\n\n").into(),
        Framing::Ndjson => (line + "\n").into(),
        Framing::EventStream => eventstream::frame(line.as_bytes()).into(),
    }
}

/// Any chunks give the same events, written alike.
pub fn chunks_make_no_difference(dialect: &dyn Dialect, framing: Framing, bytes: &[u8], cuts: &[usize]) {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
    let shown = |chunks: &[&[u8]]| {
        let (codec, events, error) = run(dialect, framing, chunks);
        let shown: Vec<_> = events
            .iter()
            .map(|event| (texts_of(event), event.last, event.size, written(&*codec, event, &[])))
            .collect();
        (shown, error)
    };
    let whole = shown(&[bytes]);
    assert_eq!(shown(&pieces), whole);
    assert_eq!(shown(&bytes.chunks(1).collect::<Vec<_>>()), whole);
}

/// An event of which one text is replaced reads so again, if that text can be replaced.
pub fn an_edit_is_what_is_read(dialect: &dyn Dialect, framing: Framing, json: &str, pick: usize, with: &str) {
    let (codec, events, error) = run(dialect, framing, &[&framed(framing, json)]);
    let Some(event) = events.first().filter(|event| !event.texts.is_empty()) else {
        panic!("no text in {json}: {error:?}")
    };
    let at = pick % event.texts.len();
    let mut edits = vec![None; event.texts.len()];
    edits[at] = Some(with);
    match written(&*codec, event, &edits) {
        Ok(frame) => {
            // By chance it says what stands there: then nothing is edited.
            assert!(event.texts[at].can_be_edited() || event.texts[at].text == with);
            let (_, again, _) = run(dialect, framing, &[&frame]);
            assert_eq!(again[0].texts[at].text, with);
        }
        Err(_) => assert!(!event.texts[at].can_be_edited(), "{json}"),
    }
}

/// What ends a stream: how many events there are, whether the last is the end mark, and the error.
pub fn ends(dialect: &dyn Dialect, framing: Framing, stream: &str) -> (usize, bool, Option<WireError>) {
    let (_, events, error) = run(dialect, framing, &[stream.as_bytes()]);
    (events.len(), matches!(events.last(), Some(Event { body: Body::End, .. })), error)
}

fn pointers(json: &Json) -> Vec<String> {
    let escape = |key: &str| key.replace('~', "~0").replace('/', "~1");
    let under = |step: String, value: &Json| {
        pointers(value).into_iter().map(move |rest| format!("/{step}{rest}")).collect::<Vec<_>>()
    };
    match json {
        Json::String(_) | Json::Number(_) => vec![String::new()],
        Json::Array(items) => {
            items.iter().enumerate().flat_map(|(index, item)| under(index.to_string(), item)).collect()
        }
        Json::Object(members) => members.iter().flat_map(|(key, value)| under(escape(key), value)).collect(),
        _ => Vec::new(),
    }
}
