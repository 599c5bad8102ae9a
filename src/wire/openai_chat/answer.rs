//! Decoding and writing a chat answer: a whole completion, or a stream of chunks.

use std::cell::Cell;
use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use crate::wire::json::{Document, Limits, Patch, Type, Value};
use crate::wire::openai_chat::channels::{Channels, found, index_of};
use crate::wire::openai_chat::{copies, reply};
use crate::wire::shape::{Form, is_word, unexpected};
use crate::wire::{AnswerCodec, Body, Cut, Event, EventText, Framing, WireError, sse};

/// The codec of one answer.
pub struct ChatCodec {
    framing: Framing,
    max_event: usize,
    frames: sse::Decoder,
    /// A whole body, as far as it has come.
    body: Vec<u8>,
    events: VecDeque<Event>,
    channels: Channels,
    /// From the first chunk.
    header: Option<Header>,
    /// An event has been written, and so the header has been judged.
    written: Cell<bool>,
    seen: BTreeSet<u32>,
    finished: BTreeSet<u32>,
    /// The stream has reported an error: it may end without more ado.
    failed: bool,
    /// The end mark has been given out; what follows is dropped.
    ended: bool,
    /// Every push after an error gives it again.
    error: Option<WireError>,
}

/// What every chunk of a stream repeats; each as JSON.
#[derive(Debug, Clone)]
pub struct Header {
    pub id: String,
    pub created: String,
    pub model: String,
}

impl ChatCodec {
    pub fn new(framing: Framing, max_event: usize, max_channels: usize) -> Self {
        ChatCodec {
            framing,
            max_event,
            frames: sse::Decoder::new(max_event),
            body: Vec::new(),
            events: VecDeque::new(),
            channels: Channels::new(max_channels),
            header: None,
            written: Cell::new(false),
            seen: BTreeSet::new(),
            finished: BTreeSet::new(),
            failed: false,
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
        if data == reply::DONE {
            self.end();
            return Ok(());
        }
        let document = Document::parse(data, &Limits::default())?;
        let root = document.root();
        if root.kind() != Type::Object {
            return Err(unexpected(root, "an object"));
        }
        if self.header.is_none() {
            self.header = Some(header_of(root));
        }
        let failed = root.get("error").is_some_and(|error| !error.is_null())
            || root.get("object").is_some_and(|name| name.is("error"));
        self.failed |= failed;
        let last = failed || self.read_choices(root)?;
        let event = self.event(document, last)?;
        self.events.push_back(event);
        Ok(())
    }

    /// Notes which choices a chunk speaks of; whether it must wait for the final verdict. Running usage does not make it: some
    /// upstreams put it on every chunk.
    fn read_choices(&mut self, root: Value<'_>) -> Result<bool, WireError> {
        let mut last = false;
        let mut none = true;
        for choice in root.get("choices").into_iter().flat_map(Value::elements) {
            none = false;
            let index = index_of(choice)?;
            self.seen.insert(index);
            if choice.get("finish_reason").is_some_and(|reason| !reason.is_null()) {
                self.finished.insert(index);
                last = true;
            }
            let said = ["delta", "message"].into_iter().filter_map(|name| choice.get(name));
            let calls = |said: Value<'_>| {
                said.get("function_call").is_some_and(|call| !call.is_null())
                    || said.get("tool_calls").is_some_and(|calls| !calls.is_null() && calls.raw() != "[]")
            };
            last |= said.into_iter().any(calls);
        }
        Ok(last || (none && root.get("usage").is_some_and(|usage| !usage.is_null())))
    }

    fn event(&mut self, document: Document, last: bool) -> Result<Event, WireError> {
        let texts = self.channels.event(&document)?;
        let held: usize = texts.iter().map(|text| text.text.len() + size_of::<EventText>()).sum();
        Ok(Event { size: document.cost() + held, texts, last, body: Body::Json(document) })
    }

    fn end(&mut self) {
        self.ended = true;
        self.events.push_back(Event { texts: Vec::new(), last: true, size: 0, body: Body::End });
    }
}

impl AnswerCodec for ChatCodec {
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
                let complete = codec.failed || (!codec.seen.is_empty() && codec.seen == codec.finished);
                match (codec.ended, complete) {
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
        let Body::Json(document) = &event.body else { return Ok(reply::done()) };
        let mut patch = Patch::default();
        let changed = texts.iter().any(Option::is_some);
        if changed {
            let found = found(document)?;
            if texts.iter().skip(found.len()).any(Option::is_some) {
                return Err(WireError::NotEditable { at: "tool call arguments".into() });
            }
            for (found, text) in found.into_iter().zip(texts) {
                let Some(text) = text else { continue };
                // The pieces of a stream need not be JSON each; a whole call's must stay what it was.
                let breaks = || {
                    found.form == Form::Arguments
                        && self.framing == Framing::Json
                        && is_json(&found.text)
                        && !is_json(text)
                };
                if !found.form.is_editable() || breaks() {
                    return Err(WireError::NotEditable { at: document.path(found.node) });
                }
                patch.set_text(found.node, text);
            }
        }
        copies::strip(document.root(), changed, &mut patch);
        self.written.set(true);
        Ok(match self.framing {
            Framing::Json => document.render(&patch).into(),
            Framing::Sse => sse::frame(None, &document.render_line(&patch)),
        })
    }

    /// Blocked: to the client every choice is still open, since none finishes before the final verdict.
    fn cut(&self, cut: Cut<'_>) -> Bytes {
        match (self.framing, cut) {
            (Framing::Json, _) => Bytes::new(),
            (Framing::Sse, Cut::Failed(refusal)) => reply::failed(refusal),
            (Framing::Sse, Cut::Blocked) => {
                let header = self.header.clone().filter(|_| self.written.get()).unwrap_or_else(|| reply::header(""));
                let first = self.seen.is_empty().then_some(0);
                reply::filtered(&header, self.seen.iter().copied().chain(first))
            }
        }
    }

    fn heartbeat(&self) -> Bytes {
        match self.framing {
            Framing::Json => Bytes::new(),
            Framing::Sse => Bytes::from_static(sse::HEARTBEAT),
        }
    }
}

/// Id, time and model of a stream, as far as they can be nothing but that.
fn header_of(root: Value<'_>) -> Header {
    let own = reply::header("");
    let word = |name| {
        root.get(name)
            .filter(|value| value.text().is_some_and(|text| is_word(&text)))
            .map(|value| value.raw().to_owned())
    };
    let created = root.get("created").and_then(Value::u32).map(|seconds| seconds.to_string());
    Header {
        id: word("id").unwrap_or(own.id),
        created: created.unwrap_or(own.created),
        model: word("model").unwrap_or(own.model),
    }
}

fn is_json(text: &str) -> bool {
    Document::parse(text.as_bytes().to_vec(), &Limits::default()).is_ok()
}
