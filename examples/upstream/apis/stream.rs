//! The forms in which streams come over the wire.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::Value;

/// The pieces of a streamed answer, in order.
pub struct Stream {
    pub content_type: &'static str,
    pub pieces: Vec<Bytes>,
}

const EVENTS: &str = "text/event-stream; charset=utf-8";

impl Stream {
    /// Server-sent events.
    pub fn events(events: impl IntoIterator<Item = Value>) -> Self {
        Self::of(EVENTS, events.into_iter().map(|event| format!("data: {event}\n\n")))
    }

    /// The same with OpenAI's end.
    pub fn until_done(events: impl IntoIterator<Item = Value>) -> Self {
        let mut stream = Self::events(events);
        stream.pieces.push(Bytes::from_static(b"data: [DONE]\n\n"));
        stream
    }

    /// Server-sent events that bear the names of their types.
    pub fn named(events: impl IntoIterator<Item = Value>) -> Self {
        let named = |event: Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default());
        Self::of(EVENTS, events.into_iter().map(named))
    }

    /// A line for each.
    pub fn lines(values: impl IntoIterator<Item = Value>) -> Self {
        Self::of("application/x-ndjson", values.into_iter().map(|value| format!("{value}\n")))
    }

    /// One JSON array, element by element.
    pub fn array(values: impl IntoIterator<Item = Value>) -> Self {
        let element = |(index, value): (usize, Value)| match index {
            0 => format!("[{value:#}\n"),
            _ => format!(",\r\n{value:#}\n"),
        };
        let mut stream = Self::of("application/json; charset=UTF-8", values.into_iter().enumerate().map(element));
        stream.pieces.push(Bytes::from_static(b"]"));
        stream
    }

    /// Amazon's binary messages, each with the type of its event.
    pub fn messages(events: impl IntoIterator<Item = (&'static str, Value)>) -> Self {
        let message = |(name, event): (&str, Value)| message(name, event.to_string().as_bytes());
        let pieces = events.into_iter().map(message).collect();
        Stream { content_type: "application/vnd.amazon.eventstream", pieces }
    }

    /// As Google and Go write JSON: what some readers take for the end of a line is escaped.
    pub fn escaped(mut self) -> Self {
        for piece in &mut self.pieces {
            *piece =
                String::from_utf8_lossy(piece).replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029").into();
        }
        self
    }

    fn of(content_type: &'static str, pieces: impl Iterator<Item = String>) -> Self {
        Stream { content_type, pieces: pieces.map(Bytes::from).collect() }
    }
}

/// Lengths and their checksum, headers, the payload, and the checksum of all that.
fn message(name: &str, payload: &[u8]) -> Bytes {
    let headers = [(":event-type", name), (":content-type", "application/json"), (":message-type", "event")];
    let mut head = Vec::new();
    for (name, value) in headers {
        head.put_u8(name.len() as u8);
        head.put_slice(name.as_bytes());
        // A string follows.
        head.put_u8(7);
        head.put_u16(value.len() as u16);
        head.put_slice(value.as_bytes());
    }
    let mut message = BytesMut::new();
    message.put_u32((16 + head.len() + payload.len()) as u32);
    message.put_u32(head.len() as u32);
    message.put_u32(crc32fast::hash(&message));
    message.put_slice(&head);
    message.put_slice(payload);
    message.put_u32(crc32fast::hash(&message));
    message.freeze()
}
