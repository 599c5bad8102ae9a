//! Binary messages that two readers could take differently.

use super::framing::{header, message, text};

const JSON: &str = "application/json";

/// What a stream says before the odd message, and behind it.
fn around(odd: &[u8]) -> Vec<u8> {
    let said = |name: &str, payload: &str| event(name, payload.as_bytes());
    [
        said("messageStart", r#"{"role":"assistant"}"#),
        said("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"alpha one "}}"#),
        odd.to_vec(),
        said("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"omega two"}}"#),
        said("contentBlockStop", r#"{"contentBlockIndex":0}"#),
        said("messageStop", r#"{"stopReason":"end_turn"}"#),
    ]
    .concat()
}

fn event(name: &str, payload: &[u8]) -> Vec<u8> {
    of(&[text(":event-type", name), text(":content-type", JSON), text(":message-type", "event")], payload)
}

fn of(headers: &[Vec<u8>], payload: &[u8]) -> Vec<u8> {
    message(&headers.concat(), payload)
}

/// Streams with one of them each, by name.
pub fn streams() -> Vec<(String, Vec<u8>)> {
    let all = payloads().into_iter().chain(headers()).chain(frames());
    let streams = all.map(|(name, odd)| (name, around(&odd)));
    // Where the odd one is the last.
    let behind = frames().into_iter().map(|(name, odd)| (format!("{name}, at the end"), [around(b""), odd].concat()));
    streams.chain(behind).collect()
}

type Odd = (String, Vec<u8>);

fn payloads() -> Vec<Odd> {
    let payloads: [&[u8]; 19] = [
        br#"{"contentBlockIndex":0,"delta":{"text":"beta three"}}"#,
        b" \r\n{ \"contentBlockIndex\" : 0 , \"delta\" : {\"text\":\"beta three\"} }\t",
        b"{\"contentBlockIndex\":0,\"delta\":{\"text\":\"beta \\u2028\xe2\x80\xa8\\u0000\"}}",
        b"\xef\xbb\xbf{\"contentBlockIndex\":0,\"delta\":{\"text\":\"beta three\"}}",
        b"{\"contentBlockIndex\":0,\"delta\":{\"text\":\"beta \xff three\"}}",
        b"{\"contentBlockIndex\":0,\"delta\":{\"text\":\"beta \\ud800 three\"}}",
        b"{\"contentBlockIndex\":0,\"delta\":{\"text\":\"beta three\"}}\0",
        br#"{"contentBlockIndex":0,"delta":{"text":"beta"},"delta":{"text":"beta three"}}"#,
        br#"{"contentBlockIndex":0,"delta":{"text":"beta"}}{"delta":{"text":"beta three"}}"#,
        br#"{"contentBlockIndex":0,"delta":{"text":"beta three"},":event-type":"messageStop"}"#,
        br#"{"contentBlockIndex":0,"delta":{"text":"beta three"},"p":"of letters"}"#,
        br#"{"contentBlockIndex":0,"delta":{"text":"beta three"},}"#,
        br#"{"contentBlockIndex":NaN,"delta":{"text":"beta three"}}"#,
        br#"[{"contentBlockIndex":0,"delta":{"text":"beta three"}}]"#,
        br#""beta three""#,
        b"null",
        b"{}",
        b" ",
        b"",
    ];
    payloads.iter().map(|body| (format!("payload {}", body.escape_ascii()), event("contentBlockDelta", body))).collect()
}

fn headers() -> Vec<Odd> {
    let (kind, of_json, name) =
        (text(":message-type", "event"), text(":content-type", JSON), text(":event-type", "contentBlockDelta"));
    let payload = br#"{"contentBlockIndex":0,"delta":{"text":"beta three"}}"#;
    let long = "x".repeat(200);
    let cases: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("in another order", vec![kind.clone(), name.clone(), of_json.clone()]),
        ("no type of content", vec![name.clone(), kind.clone()]),
        ("no type of message", vec![name.clone(), of_json.clone()]),
        ("no type of event", vec![kind.clone(), of_json.clone()]),
        ("none", vec![]),
        ("the same name twice", vec![name.clone(), name.clone(), kind.clone()]),
        ("two names", vec![text(":event-type", "messageStop"), name.clone(), kind.clone()]),
        ("two types of message", vec![text(":message-type", "exception"), name.clone(), kind.clone()]),
        ("another type of content", vec![name.clone(), kind.clone(), text(":content-type", "text/plain")]),
        (
            "a set of letters",
            vec![name.clone(), kind.clone(), text(":content-type", "application/json; charset=utf-16")],
        ),
        ("CBOR", vec![name.clone(), kind.clone(), text(":content-type", "application/cbor")]),
        ("an event that nobody knows", vec![text(":event-type", "odd"), kind.clone()]),
        ("an event with blanks", vec![text(":event-type", "beta three"), kind.clone()]),
        ("an event without a name", vec![text(":event-type", ""), kind.clone()]),
        ("an event by bytes", vec![header(":event-type", 6, b"\0\x11contentBlockDelta"), kind.clone()]),
        ("an event by a boolean", vec![header(":event-type", 0, b""), kind.clone()]),
        ("a message by bytes", vec![name.clone(), header(":message-type", 6, b"\0\x05event")]),
        ("another message", vec![name.clone(), text(":message-type", "beta three")]),
        ("capitals", vec![name.clone(), text(":Message-Type", "event")]),
        ("an exception with an event's name", vec![name.clone(), text(":message-type", "exception")]),
        ("an exception", vec![text(":exception-type", "throttlingException"), text(":message-type", "exception")]),
        (
            "an exception that nobody knows",
            vec![text(":exception-type", "oddException"), text(":message-type", "exception")],
        ),
        (
            "an event with an exception's name",
            vec![name.clone(), text(":exception-type", "throttlingException"), kind.clone()],
        ),
        (
            "an error",
            vec![text(":error-code", "Odd"), text(":error-message", "beta four"), text(":message-type", "error")],
        ),
        ("an error without words", vec![text(":error-code", "Odd"), text(":message-type", "error")]),
        ("an error without a code", vec![text(":error-message", "beta four"), text(":message-type", "error")]),
        (
            "more of every type",
            vec![
                name.clone(),
                kind.clone(),
                header("a", 0, b""),
                header("b", 1, b""),
                header("c", 2, b"a"),
                header("d", 3, b"ab"),
                header("e", 4, b"abcd"),
                header("f", 5, b"abcdefgh"),
                header("g", 6, b"\0\x02\xff\xfe"),
                text("h", "beta four"),
                header("i", 8, b"abcdefgh"),
                header("j", 9, b"abcdefghijklmnop"),
            ],
        ),
        ("of a type that nobody knows", vec![name.clone(), kind.clone(), header("a", 10, b"")]),
        ("without a name", vec![name.clone(), kind.clone(), text("", "a")]),
        ("with a long name", vec![name.clone(), kind.clone(), text(&long, "a")]),
        ("no UTF-8", vec![name.clone(), kind.clone(), header("a", 7, b"\0\x01\xff")]),
        ("half of one", vec![name.clone(), kind.clone(), header("a", 7, b"\0\x05ab")]),
        ("half of a name", vec![name, kind, vec![9, b'a']]),
    ];
    cases.into_iter().map(|(name, headers)| (format!("headers: {name}"), of(&headers, payload))).collect()
}

fn frames() -> Vec<Odd> {
    let sound = event("contentBlockDelta", br#"{"contentBlockIndex":0,"delta":{"text":"beta three"}}"#);
    let lengths = |total: u32, headers: u32| {
        let mut out = [total.to_be_bytes(), headers.to_be_bytes()].concat();
        out.extend(crc32fast::hash(&out).to_be_bytes());
        out.extend(&sound[12..sound.len() - 4]);
        out.extend(crc32fast::hash(&out).to_be_bytes());
        out
    };
    let total = sound.len() as u32;
    let flipped = |at: usize| {
        let mut out = sound.clone();
        out[at] ^= 1;
        out
    };
    let cases: [(&str, Vec<u8>); 13] = [
        ("half a message", sound[..sound.len() / 2].to_vec()),
        ("half a prelude", sound[..7].to_vec()),
        ("all but a byte", sound[..sound.len() - 1].to_vec()),
        ("the checksum of the lengths", flipped(8)),
        ("the checksum", flipped(sound.len() - 1)),
        ("a letter", flipped(sound.len() - 9)),
        ("a length", flipped(3)),
        ("too short", lengths(total - 5, 0)),
        ("too long", lengths(total + 5, 0)),
        ("headers beyond the end", lengths(total, total - 15)),
        ("the least", message(b"", b"")),
        ("no length", lengths(0, 0)),
        ("text", b"data: {\"text\":\"beta three\"}\n\n".to_vec()),
    ];
    cases.into_iter().map(|(name, odd)| (name.to_owned(), odd)).collect()
}
