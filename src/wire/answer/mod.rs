//! Decoding and writing an answer by its dialect's table: a whole body, or a stream of events.

mod channels;
mod unescape;

use std::cell::Cell;
use std::collections::VecDeque;

use bytes::Bytes;

use crate::wire::answer::channels::{Channels, found};
use crate::wire::json::{Document, Limits, Patch, Type, Value};
use crate::wire::shape::{Form, Rule, unexpected};
use crate::wire::{AnswerCodec, Body, Cut, Event, EventText, Framing, WireError, sse};

/// What a dialect says of its answers. One for each answer: it remembers of a stream what its end needs.
pub trait Answers: Send {
    /// What a whole body, an event of a stream and an error are made of.
    fn body(&self) -> Rule;

    /// The number of an element of [`Rule::Turns`].
    fn choice(&self, element: Value<'_>, position: u32) -> Result<u32, WireError>;

    /// Takes note of an event.
    fn note(&mut self, event: Value<'_>) -> Result<Moment, WireError>;

    /// Whether the data of an event is no JSON but the mark that ends the stream.
    fn is_end(&self, _data: &str) -> bool {
        false
    }

    /// Whether a stream may end here though no mark has come.
    fn may_end(&self) -> bool;

    /// The name of an event, where the dialect's streams have them.
    fn name(&self, _event: Value<'_>) -> Option<&'static str> {
        None
    }

    /// Takes out of a body or event what repeats its text and must not leave. `changed`: some text of it was replaced.
    fn strip(&self, root: Value<'_>, changed: bool, patch: &mut Patch);

    /// The end of a stream. `written`: of what [`Self::note`] has seen, something has left.
    fn cut(&self, cut: Cut<'_>, written: bool) -> Bytes;

    /// The mark that ends a stream, framed; empty where the dialect has none.
    fn end(&self) -> Bytes {
        Bytes::new()
    }
}

/// Where in a stream an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Passing,
    /// See [`Event::last`].
    Last,
    /// The same, and nothing comes after it.
    End,
}

/// The codec of one answer.
pub struct Codec<A> {
    answers: A,
    framing: Framing,
    max_event: usize,
    frames: sse::Decoder,
    /// A whole body, as far as it has come.
    body: Vec<u8>,
    events: VecDeque<Event>,
    channels: Channels,
    /// An event has been written, and so what the first ones say of the answer has been judged.
    written: Cell<bool>,
    /// The end has been given out; what follows is dropped.
    ended: bool,
    /// Every push after an error gives it again.
    error: Option<WireError>,
}

impl<A: Answers> Codec<A> {
    pub fn new(answers: A, framing: Framing, max_event: usize, max_channels: usize) -> Self {
        Codec {
            answers,
            framing,
            max_event,
            frames: sse::Decoder::new(max_event),
            body: Vec::new(),
            events: VecDeque::new(),
            channels: Channels::new(max_channels),
            written: Cell::new(false),
            ended: false,
            error: None,
        }
    }

    /// Runs `step` unless an error came before, and remembers the one it gives.
    fn guarded(&mut self, step: impl FnOnce(&mut Self) -> Result<(), WireError>) -> Result<(), WireError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        step(self).inspect_err(|error| self.error = Some(error.clone()))
    }

    fn frame(&mut self, data: String) -> Result<(), WireError> {
        if self.answers.is_end(&data) {
            self.end();
            return Ok(());
        }
        let document = Document::parse(data, &Limits::default())?;
        let root = document.root();
        if root.kind() != Type::Object {
            return Err(unexpected(root, "an object"));
        }
        let moment = self.answers.note(root)?;
        let event = self.event(document, moment != Moment::Passing)?;
        self.events.push_back(event);
        self.ended = moment == Moment::End;
        Ok(())
    }

    fn event(&mut self, document: Document, last: bool) -> Result<Event, WireError> {
        let texts = self.channels.event(&document, &self.answers)?;
        let held: usize = texts.iter().map(|text| text.text.len() + size_of::<EventText>()).sum();
        Ok(Event { size: document.cost() + held, texts, last, body: Body::Json(document) })
    }

    fn end(&mut self) {
        self.ended = true;
        self.events.push_back(Event { texts: Vec::new(), last: true, size: 0, body: Body::End });
    }

    /// The document's texts replaced by those that are given.
    fn patch(&self, document: &Document, texts: &[Option<String>], patch: &mut Patch) -> Result<(), WireError> {
        let found = found(document, &self.answers)?;
        if texts.iter().skip(found.len()).any(Option::is_some) {
            return Err(WireError::NotEditable { at: "tool call arguments".into() });
        }
        for (found, text) in found.into_iter().zip(texts) {
            let Some(text) = text else { continue };
            // The pieces of a stream need not be JSON each; a whole call's must stay what it was.
            let breaks = || {
                found.form == Form::Arguments && self.framing == Framing::Json && is_json(&found.text) && !is_json(text)
            };
            if !found.form.is_editable() || breaks() {
                return Err(WireError::NotEditable { at: document.path(found.node) });
            }
            patch.set_text(found.node, text);
        }
        Ok(())
    }
}

impl<A: Answers> AnswerCodec for Codec<A> {
    fn push(&mut self, mut bytes: &[u8]) -> Result<(), WireError> {
        self.guarded(|codec| match codec.framing {
            Framing::Json if codec.body.len() + bytes.len() > codec.max_event => {
                Err(WireError::TooLarge { limit: codec.max_event })
            }
            Framing::Json => {
                codec.body.extend_from_slice(bytes);
                Ok(())
            }
            Framing::Sse => {
                while !codec.ended
                    && let Some(frame) = codec.frames.next(&mut bytes)?
                {
                    codec.frame(frame.data)?;
                }
                Ok(())
            }
        })
    }

    fn finish(&mut self) -> Result<(), WireError> {
        self.guarded(|codec| match codec.framing {
            Framing::Json => {
                let document = Document::parse(std::mem::take(&mut codec.body), &Limits::default())?;
                let event = codec.event(document, true)?;
                codec.events.push_back(event);
                Ok(())
            }
            Framing::Sse if codec.ended => Ok(()),
            Framing::Sse => {
                if let Some(frame) = codec.frames.finish()? {
                    codec.frame(frame.data).map_err(|error| match error {
                        WireError::Json(_) => WireError::Truncated,
                        other => other,
                    })?;
                }
                // Some upstreams leave the end mark out. An answer without an end is another matter.
                match (codec.ended, codec.answers.may_end()) {
                    (true, _) => {}
                    (false, true) => codec.end(),
                    (false, false) => return Err(WireError::Truncated),
                }
                Ok(())
            }
        })
    }

    fn next(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn buffered(&self) -> usize {
        self.body.len() + self.frames.buffered() + self.events.iter().map(|event| event.size).sum::<usize>()
    }

    fn encode(&self, event: &Event, texts: &[Option<String>]) -> Result<Bytes, WireError> {
        let Body::Json(document) = &event.body else { return Ok(self.answers.end()) };
        let mut patch = Patch::default();
        let changed = texts.iter().any(Option::is_some);
        if changed {
            self.patch(document, texts, &mut patch)?;
        }
        self.answers.strip(document.root(), changed, &mut patch);
        self.written.set(true);
        Ok(match self.framing {
            Framing::Json => document.render(&patch).into(),
            Framing::Sse => sse::frame(self.answers.name(document.root()), &document.render_line(&patch)),
        })
    }

    fn cut(&self, cut: Cut<'_>) -> Bytes {
        match self.framing {
            Framing::Json => Bytes::new(),
            Framing::Sse => self.answers.cut(cut, self.written.get()),
        }
    }

    fn heartbeat(&self) -> Bytes {
        match self.framing {
            Framing::Json => Bytes::new(),
            Framing::Sse => Bytes::from_static(sse::HEARTBEAT),
        }
    }
}

fn is_json(text: &str) -> bool {
    Document::parse(text.as_bytes().to_vec(), &Limits::default()).is_ok()
}
