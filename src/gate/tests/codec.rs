//! A codec as small as can be, for the gate's tests. An event is a line: an optional mark, then texts separated by `|`.
//!
//! Marks: `!` leaves last, `~` can't be edited, `=` is alone, `?` breaks the stream. A text is the choice as a character
//! from `0` on, a letter for its kind (`c`ontent, `r`easoning, `o`ther) and the words. `[DONE]` is the end-of-stream mark.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::text::{Kind, MediaCount};
use crate::wire::{AnswerCodec, Body, Channel, Cut, Event, EventText, WireError};

#[derive(Default)]
pub struct Lines {
    buffer: Vec<u8>,
    events: VecDeque<Event>,
    decoded: usize,
}

impl Lines {
    fn line(&mut self, line: &[u8]) -> Result<(), WireError> {
        let line = std::str::from_utf8(line).unwrap();
        self.decoded += line.len() + 1;
        let (mark, rest) = match line.as_bytes().first() {
            Some(b'?') => return Err(WireError::Truncated),
            Some(mark @ (b'!' | b'~' | b'=')) => (*mark, &line[1..]),
            _ => (b' ', line),
        };
        let texts = match rest {
            "" | "[DONE]" => Vec::new(),
            rest => rest
                .split('|')
                .map(|text| {
                    let (channel, words) = split(text);
                    EventText {
                        channel,
                        text: words.into(),
                        editable: mark != b'~',
                        alone: mark == b'=',
                        view_of: None,
                    }
                })
                .collect(),
        };
        let last = mark == b'!' || rest == "[DONE]";
        self.events.push_back(Event {
            texts,
            last,
            media: MediaCount::default(),
            size: line.len() + 1,
            body: Body::End,
        });
        Ok(())
    }
}

/// The channel of a text, and its words.
pub fn split(text: &str) -> (Channel, &str) {
    let mut chars = text.chars();
    let choice = chars.next().map_or(0, |c| u32::from(c) - u32::from('0'));
    let kind = match chars.next() {
        Some('c') => Kind::Content,
        Some('r') => Kind::Reasoning,
        _ => Kind::Other,
    };
    (Channel { choice, kind, part: 0 }, chars.as_str())
}

impl AnswerCodec for Lines {
    fn push(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        for &byte in bytes {
            if byte != b'\n' {
                self.buffer.push(byte);
                continue;
            }
            let line = std::mem::take(&mut self.buffer);
            self.line(&line)?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), WireError> {
        if self.buffer.is_empty() { Ok(()) } else { Err(WireError::Truncated) }
    }

    fn next(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        self.decoded -= event.size;
        Some(event)
    }

    fn buffered(&self) -> usize {
        self.buffer.len() + self.decoded
    }

    fn encode(&self, event: &Event, texts: &[Option<String>]) -> Result<Bytes, WireError> {
        assert_eq!(event.texts.len(), texts.len());
        let mut out = String::new();
        for (was, now) in event.texts.iter().zip(texts) {
            if now.is_some() && !was.editable {
                return Err(WireError::NotEditable { at: "here".into() });
            }
            let kind = match was.channel.kind {
                Kind::Content => 'c',
                Kind::Reasoning => 'r',
                _ => 'o',
            };
            let bar = if out.is_empty() { "" } else { "|" };
            let choice = char::from_u32(was.channel.choice + u32::from('0')).unwrap();
            out += &format!("{bar}{choice}{kind}{}", now.as_ref().unwrap_or(&was.text));
        }
        let mark = if !event.texts.is_empty() && event.last { "!" } else { "" };
        let done = if event.texts.is_empty() && event.last { "[DONE]" } else { "" };
        Ok(format!("{mark}{out}{done}\n").into())
    }

    fn cut(&self, cut: Cut<'_>) -> Bytes {
        match cut {
            Cut::Blocked => "CUT blocked\n".into(),
            Cut::Failed(refusal) => format!("CUT {}\n", refusal.code).into(),
        }
    }

    fn heartbeat(&self) -> Bytes {
        "#\n".into()
    }
}
