//! Amazon's event stream: binary messages of headers and a payload, under two checksums, for any chunks.
//!
//! A message is read as one JSON object, and written from one: its first member is the header that says what it is
//! (`:event-type`, `:exception-type`, `:error-code`), the others are those of its payload.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};

use crate::wire::WireError;
use crate::wire::json::{Document, Limits, json_text};
use crate::wire::shape::is_word;

/// The lengths of the message and of its headers, and their checksum.
const PRELUDE: usize = 12;
const CHECKSUM: usize = 4;
/// The type of a header whose value is a string.
const STRING: u8 = 7;

const MESSAGE_TYPE: &str = ":message-type";
const CONTENT_TYPE: &str = ":content-type";
const EVENT: &str = ":event-type";
const EXCEPTION: &str = ":exception-type";
const ERROR: &str = ":error-code";
const ERROR_MESSAGE: &str = ":error-message";

/// Splits a stream into messages.
#[derive(Debug)]
pub struct Decoder {
    /// Bytes of one message, at most.
    max_message: usize,
    /// The start of a message whose end has not come.
    message: Vec<u8>,
}

impl Decoder {
    pub fn new(max_message: usize) -> Self {
        Decoder { max_message, message: Vec::new() }
    }

    /// Takes bytes off the front of `input` up to the end of the next message; `None` when they are used up.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Bytes>, WireError> {
        loop {
            let wanted = self.message.get(..PRELUDE).map_or(Ok(PRELUDE), |prelude| self.length(prelude))?;
            let missing = wanted - self.message.len();
            let (part, rest) = input.split_at(missing.min(input.len()));
            self.message.extend_from_slice(part);
            *input = rest;
            if part.len() < missing {
                return Ok(None);
            }
            if wanted > PRELUDE {
                return read(&std::mem::take(&mut self.message)).map(Some);
            }
        }
    }

    /// Bytes taken and not yet given out.
    pub fn buffered(&self) -> usize {
        self.message.len()
    }

    /// The length of a message, by its prelude: more than that.
    fn length(&self, prelude: &[u8]) -> Result<usize, WireError> {
        let (lengths, checksum) = prelude.split_at(PRELUDE - CHECKSUM);
        check(lengths, checksum)?;
        let (total, headers) = (number(lengths), number(&lengths[4..]));
        if total > self.max_message {
            return Err(WireError::TooLarge { limit: self.max_message });
        }
        if total < PRELUDE + CHECKSUM || headers > total - PRELUDE - CHECKSUM {
            return Err(odd("lengths that fit each other"));
        }
        Ok(total)
    }
}

/// The only form in which a message leaves. `json` is what [`Decoder::next`] gives, with other members; of anything else
/// nothing leaves.
pub fn frame(json: &[u8]) -> Bytes {
    let Some((name, word, members)) = first_member(json) else { return Bytes::new() };
    if name == ERROR {
        let message = Document::parse(json.to_vec(), &Limits::default()).ok();
        let message = message.and_then(|json| Some(json.root().get(ERROR_MESSAGE)?.text()?.into_owned()));
        let headers = [(ERROR, word), (ERROR_MESSAGE, &message.unwrap_or_default()), (MESSAGE_TYPE, "error")];
        return message_of(&headers, b"");
    }
    let kind = if name == EVENT { "event" } else { "exception" };
    let payload = members.strip_prefix(',').map_or("{}".into(), |members| format!("{{{members}"));
    message_of(&[(name, word), (CONTENT_TYPE, "application/json"), (MESSAGE_TYPE, kind)], payload.as_bytes())
}

/// A message whose length and prelude are sound.
fn read(message: &[u8]) -> Result<Bytes, WireError> {
    let (message, checksum) = message.split_at(message.len() - CHECKSUM);
    check(message, checksum)?;
    let (headers, payload) = message[PRELUDE..].split_at(number(&message[4..]));
    let headers = Headers::read(headers)?;
    match headers.text(MESSAGE_TYPE)? {
        Some("event") => joined(EVENT, headers.word(EVENT)?, headers.json(payload)?),
        Some("exception") => joined(EXCEPTION, headers.word(EXCEPTION)?, headers.json(payload)?),
        Some("error") => {
            let (code, message) = (headers.word(ERROR)?, headers.text(ERROR_MESSAGE)?.unwrap_or_default());
            Ok(format!(r#"{{"{ERROR}":"{code}","{ERROR_MESSAGE}":{}}}"#, json_text(message)).into())
        }
        _ => Err(odd("messages of the type `event`, `exception` or `error`")),
    }
}

/// The headers of a message: those that are strings, and the names of the others.
struct Headers<'m>(BTreeMap<&'m str, Option<&'m str>>);

impl<'m> Headers<'m> {
    fn read(mut bytes: &'m [u8]) -> Result<Self, WireError> {
        let mut headers = BTreeMap::new();
        while !bytes.is_empty() {
            let (name, value) = header(&mut bytes).ok_or_else(|| odd("headers of the known types"))?;
            if headers.insert(name, value).is_some() {
                return Err(odd("each header once"));
            }
        }
        Ok(Headers(headers))
    }

    fn text(&self, name: &str) -> Result<Option<&'m str>, WireError> {
        match self.0.get(name) {
            Some(None) => Err(odd("strings in the headers that say what a message is")),
            value => Ok(value.copied().flatten()),
        }
    }

    /// The name of what a message is.
    fn word(&self, name: &str) -> Result<&'m str, WireError> {
        self.text(name)?.filter(|word| is_word(word)).ok_or_else(|| odd("a plain word that says what a message is"))
    }

    /// The payload, as far as the headers call it JSON or say nothing of it.
    fn json<'p>(&self, payload: &'p [u8]) -> Result<&'p [u8], WireError> {
        match self.text(CONTENT_TYPE)? {
            None | Some("application/json") => Ok(payload),
            Some(_) => Err(odd("payloads of `application/json`")),
        }
    }
}

/// Takes a header off the front: its name and, if that is a string, its value.
fn header<'m>(bytes: &mut &'m [u8]) -> Option<(&'m str, Option<&'m str>)> {
    let mut take = |length: usize| -> Option<&'m [u8]> {
        let (taken, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        Some(taken)
    };
    let length = usize::from(take(1)?[0]);
    let name = std::str::from_utf8(take(length)?).ok().filter(|name| !name.is_empty())?;
    let kind = take(1)?[0];
    let length = match kind {
        // True and false, an integer of each size, a time, a UUID.
        0 | 1 => 0,
        2 => 1,
        3 => 2,
        4 => 4,
        5 | 8 => 8,
        9 => 16,
        // Bytes and strings.
        6 | STRING => number(take(2)?),
        _ => return None,
    };
    let value = take(length)?;
    Some((name, if kind == STRING { Some(std::str::from_utf8(value).ok()?) } else { None }))
}

/// A payload's object with a member before all others. A payload of nothing has no members.
fn joined(name: &str, word: &str, payload: &[u8]) -> Result<Bytes, WireError> {
    let mut json = format!(r#"{{"{name}":"{word}""#).into_bytes();
    let payload = trimmed(payload);
    let members = match payload {
        b"" => b"}",
        payload => trimmed(payload.strip_prefix(b"{").ok_or_else(|| odd("JSON objects"))?),
    };
    if members.first() != Some(&b'}') {
        json.push(b',');
    }
    json.extend_from_slice(members);
    Ok(json.into())
}

/// Less the white space before it.
fn trimmed(json: &[u8]) -> &[u8] {
    let start = json.iter().position(|b| !b" \t\n\r".contains(b));
    &json[start.unwrap_or(json.len())..]
}

/// What [`joined`] has put before the others, and these.
fn first_member(json: &[u8]) -> Option<(&str, &str, &str)> {
    let json = std::str::from_utf8(json).ok()?;
    let (name, rest) = json.strip_prefix("{\"")?.split_once("\":\"")?;
    let (word, members) = rest.split_once('"')?;
    [EVENT, EXCEPTION, ERROR].contains(&name).then_some((name, word, members))
}

fn message_of(headers: &[(&str, &str)], payload: &[u8]) -> Bytes {
    let mut head = Vec::new();
    for (name, value) in headers {
        // Only the message of an error can be longer.
        let longest = (0..=value.len().min(u16::MAX.into())).rev().find(|at| value.is_char_boundary(*at));
        let value = &value[..longest.unwrap_or_default()];
        head.put_u8(name.len() as u8);
        head.put_slice(name.as_bytes());
        head.put_u8(STRING);
        head.put_u16(value.len() as u16);
        head.put_slice(value.as_bytes());
    }
    // An event is bounded far below 4 GiB.
    let total = PRELUDE + head.len() + payload.len() + CHECKSUM;
    let mut out = BytesMut::with_capacity(total);
    out.put_u32(total as u32);
    out.put_u32(head.len() as u32);
    out.put_u32(crc32fast::hash(&out));
    out.put_slice(&head);
    out.put_slice(payload);
    out.put_u32(crc32fast::hash(&out));
    out.freeze()
}

fn check(bytes: &[u8], checksum: &[u8]) -> Result<(), WireError> {
    let same = crc32fast::hash(bytes).to_be_bytes() == checksum;
    if same { Ok(()) } else { Err(odd("sound checksums")) }
}

/// A whole number from the first bytes, four at most.
fn number(bytes: &[u8]) -> usize {
    bytes.iter().take(4).fold(0, |number, byte| number << 8 | usize::from(*byte))
}

fn odd(expected: &str) -> WireError {
    WireError::Shape { at: "stream".into(), expected: format!("expected {expected}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a decoder makes of chunks, and what is left over.
    fn decode(chunks: &[&[u8]], max: usize) -> (Vec<String>, usize, Option<WireError>) {
        let (mut decoder, mut found) = (Decoder::new(max), Vec::new());
        for chunk in chunks {
            let mut input = *chunk;
            loop {
                match decoder.next(&mut input) {
                    Ok(Some(json)) => found.push(String::from_utf8(json.into()).unwrap()),
                    Ok(None) => break,
                    Err(error) => return (found, decoder.buffered(), Some(error)),
                }
            }
        }
        (found, decoder.buffered(), None)
    }

    fn one(message: &[u8]) -> Result<String, String> {
        let (mut found, _, error) = decode(&[message], 1000);
        error.map_or_else(|| Ok(found.remove(0)), |error| Err(error.to_string()))
    }

    /// A message with these headers, each as it stands on the wire behind its name.
    fn message(headers: &[(&str, &[u8])], payload: &[u8]) -> Vec<u8> {
        let named = |(name, value): &(&str, &[u8])| [&[name.len() as u8], name.as_bytes(), value].concat();
        let head: Vec<u8> = headers.iter().flat_map(named).collect();
        let total = (PRELUDE + head.len() + payload.len() + CHECKSUM) as u32;
        let mut out = [total.to_be_bytes(), (head.len() as u32).to_be_bytes()].concat();
        out.extend(crc32fast::hash(&out).to_be_bytes());
        out.extend([&head[..], payload].concat());
        out.extend(crc32fast::hash(&out).to_be_bytes());
        out
    }

    fn text(value: &str) -> Vec<u8> {
        [&[STRING][..], &(value.len() as u16).to_be_bytes(), value.as_bytes()].concat()
    }

    fn event(payload: &str) -> Vec<u8> {
        let (word, kind) = (text("messageStop"), text("event"));
        message(&[(EVENT, &word), (MESSAGE_TYPE, &kind)], payload.as_bytes())
    }

    #[test]
    fn a_message_is_what_its_headers_say_and_its_payload() {
        for (payload, json) in [
            (r#"{"a":"b"}"#, r#"{":event-type":"messageStop","a":"b"}"#),
            (" { \"a\" : 1 } \n", "{\":event-type\":\"messageStop\",\"a\" : 1 } \n"),
            ("{}", r#"{":event-type":"messageStop"}"#),
            ("{ }", r#"{":event-type":"messageStop"}"#),
            ("", r#"{":event-type":"messageStop"}"#),
        ] {
            assert_eq!(one(&event(payload)).as_deref(), Ok(json), "{payload}");
        }
        // What is no object, or no JSON, does not become it.
        for payload in ["[]", "\"a\"", "1", "\u{feff}{}", "\x0c{}", "}", "a"] {
            assert_eq!(one(&event(payload)).unwrap_err(), "stream: expected JSON objects", "{payload}");
        }
        for payload in ["{", "{,", "{}}", "{} {}", "{\"a\":1}x", "{\":event-type\":\"x\"}", "{\":event\\u002dtype\":1}"]
        {
            let json = one(&event(payload)).unwrap();
            assert!(Document::parse(json.clone().into_bytes(), &Limits::default()).is_err(), "{json}");
        }
        let (word, kind, json) = (text("throttlingException"), text("exception"), text("application/json"));
        let exception =
            message(&[(MESSAGE_TYPE, &kind), (CONTENT_TYPE, &json), (EXCEPTION, &word)], b"{\"message\":\"m\"}");
        assert_eq!(one(&exception).unwrap(), r#"{":exception-type":"throttlingException","message":"m"}"#);
        let (code, said, kind) = (text("Odd"), text("say \"m\""), text("error"));
        let error = message(&[(ERROR, &code), (ERROR_MESSAGE, &said), (MESSAGE_TYPE, &kind)], b"unread");
        assert_eq!(one(&error).unwrap(), r#"{":error-code":"Odd",":error-message":"say \"m\""}"#);
    }

    #[test]
    fn reads_headers_of_every_type_and_no_others() {
        let (word, kind) = (text("x"), text("event"));
        for (value, sound) in [
            (&[0][..], true),
            (&[1], true),
            (&[2, 0], true),
            (&[3, 0, 0], true),
            (&[4, 0, 0, 0, 0], true),
            (&[5, 0, 0, 0, 0, 0, 0, 0, 0], true),
            (&[6, 0, 1, 0xff], true),
            (&[7, 0, 1, b'a'], true),
            (&[7, 0, 1, 0xff], false),
            (&[8, 0, 0, 0, 0, 0, 0, 0, 0], true),
            (&[9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], true),
            (&[10], false),
            (&[255], false),
            (&[7, 0, 2, b'a'], false),
            (&[5, 0], false),
            (&[], false),
        ] {
            let read = one(&message(&[(EVENT, &word), (MESSAGE_TYPE, &kind), ("other", value)], b"{}"));
            assert_eq!(read.is_ok(), sound, "{value:?}");
        }
        let (odd, of, long) = (text("a b"), text("text/plain"), text(&"a".repeat(129)));
        for headers in [
            &[][..],
            &[(EVENT, &*word)],
            &[(MESSAGE_TYPE, &*kind)],
            &[(EXCEPTION, &*word), (MESSAGE_TYPE, &*kind)],
            &[(EVENT, &*word), (MESSAGE_TYPE, &*word)],
            &[(EVENT, &*odd), (MESSAGE_TYPE, &*kind)],
            &[(EVENT, &*long), (MESSAGE_TYPE, &*kind)],
            &[(EVENT, &[0]), (MESSAGE_TYPE, &*kind)],
            &[(EVENT, &*word), (MESSAGE_TYPE, &[1])],
            &[(EVENT, &*word), (MESSAGE_TYPE, &*kind), (CONTENT_TYPE, &*of)],
            &[(EVENT, &*word), (MESSAGE_TYPE, &*kind), (CONTENT_TYPE, &[0])],
            &[(EVENT, &*word), (MESSAGE_TYPE, &*kind), (EVENT, &*word)],
            &[(EVENT, &*word), (MESSAGE_TYPE, &*kind), ("", &[0])],
        ] {
            assert!(one(&message(headers, b"{}")).is_err(), "{headers:?}");
        }
    }

    #[test]
    fn lengths_and_checksums_hold() {
        let sound = event(r#"{"a":"b"}"#);
        for at in 0..sound.len() {
            let mut bad = sound.clone();
            bad[at] ^= 1;
            assert!(one(&bad).is_err(), "byte {at}");
        }
        let prelude = |total: u32, headers: u32| {
            let lengths = [total.to_be_bytes(), headers.to_be_bytes()].concat();
            [&lengths[..], &crc32fast::hash(&lengths).to_be_bytes()].concat()
        };
        for (total, headers) in [(15, 0), (0, 0), (12, 0), (16, 1), (100, 85), (100, u32::MAX)] {
            assert_eq!(one(&prelude(total, headers)).unwrap_err(), "stream: expected lengths that fit each other");
        }
        for total in [1001, u32::MAX] {
            assert_eq!(one(&prelude(total, 0)).unwrap_err(), "an event is larger than 1000 bytes");
        }
        // Nothing is kept for what has not come.
        assert_eq!(decode(&[&prelude(1000, 0)], 1000), (vec![], PRELUDE, None));
        assert_eq!(decode(&[&sound, &sound[..5]], 1000).1, 5);
    }

    #[test]
    fn writes_one_form() {
        let json = br#"{":event-type":"messageStop","stopReason":"end_turn"}"#;
        let (word, kind, of) = (text("messageStop"), text("event"), text("application/json"));
        let headers = [(EVENT, &*word), (CONTENT_TYPE, &*of), (MESSAGE_TYPE, &*kind)];
        assert_eq!(frame(json), message(&headers, br#"{"stopReason":"end_turn"}"#));
        let long = format!("{{\":error-code\":\"x\",\":error-message\":\"{}\"}}", "é".repeat(40_000));
        let (found, _, error) = decode(&[&frame(long.as_bytes())], 100_000);
        assert_eq!((found[0].matches('é').count(), error), (32_767, None));
        for none in ["", "{}", "[]", r#"{"a":"b"}"#, r#"{":event-type":1}"#, "\u{1}"] {
            assert!(frame(none.as_bytes()).is_empty(), "{none}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            texts in proptest::collection::vec(("[a-zA-Z.-]{1,9}", "[^\0]{0,20}", 0..3u8), 0..6), size in 1usize..40,
        ) {
            let jsons: Vec<String> = texts
                .iter()
                .map(|(word, text, kind)| match kind {
                    0 => format!(r#"{{":event-type":"{word}","text":{}}}"#, json_text(text)),
                    1 => format!(r#"{{":exception-type":"{word}"}}"#),
                    _ => format!(r#"{{":error-code":"{word}",":error-message":{}}}"#, json_text(text)),
                })
                .collect();
            let stream: Vec<u8> = jsons.iter().flat_map(|json| frame(json.as_bytes())).collect();
            prop_assert_eq!(decode(&[&stream], 1000), (jsons.clone(), 0, None));
            prop_assert_eq!(decode(&stream.chunks(size).collect::<Vec<_>>(), 1000), (jsons, 0, None));
        }

        /// Sound messages, and what is wrong with one byte or behind them: whatever the chunks, and without a panic.
        #[test]
        fn any_chunks_give_the_same(
            payloads in proptest::collection::vec("[{}\":a ]{0,8}", 0..4),
            tail in proptest::collection::vec(any::<u8>(), 0..40),
            wrong in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
            size in 1usize..30,
        ) {
            let mut stream: Vec<u8> = payloads.iter().flat_map(|payload| event(payload)).chain(tail).collect();
            if let Some((at, byte)) = wrong.filter(|_| !stream.is_empty()) {
                let at = at.index(stream.len());
                stream[at] = byte;
            }
            let (found, _, error) = decode(&[&stream], 200);
            let (others, _, other) = decode(&stream.chunks(size).collect::<Vec<_>>(), 200);
            prop_assert_eq!((found, error), (others, other));
        }

        /// Any headers and payload under sound checksums.
        #[test]
        fn any_message_is_read_without_panic(
            head in proptest::collection::vec(any::<u8>(), 0..60), payload in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let mut bytes = message(&[], &[&head[..], &payload].concat());
            bytes[4..8].copy_from_slice(&(head.len() as u32).to_be_bytes());
            let checksum = crc32fast::hash(&bytes[..8]).to_be_bytes();
            bytes[8..12].copy_from_slice(&checksum);
            let end = bytes.len() - CHECKSUM;
            let checksum = crc32fast::hash(&bytes[..end]).to_be_bytes();
            bytes[end..].copy_from_slice(&checksum);
            let _ = one(&bytes);
        }
    }
}
