//! Decoding and writing an answer by its dialect's table: a whole body, or a stream of events.

mod channels;
mod frames;
mod seams;
mod unescape;
mod views;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use crate::text::{Kind, MediaCount};
use crate::wire::answer::channels::{Channels, Found, found, remainder};
use crate::wire::answer::frames::Frames;
use crate::wire::answer::views::Views;
use crate::wire::json::{Document, Limits, Patch, Type, Value};
use crate::wire::shape::{Bounds, Form, Rule, unexpected};
use crate::wire::{AnswerCodec, Body, Cut, Event, EventText, Framing, WireError, sse};

/// What a dialect says of its answers. One for each answer: it remembers of a stream what its end needs.
pub trait Answers: Send {
    /// What a whole body, an event of a stream and an error are made of.
    fn body(&self) -> Rule<'_>;

    /// The number of an element of [`Rule::Turns`].
    fn choice(&self, element: Value<'_>, position: u32) -> Result<u32, WireError>;

    /// The part of the answer that an event of a stream speaks of, where texts of several parts have one place.
    fn part(&self, _event: Value<'_>) -> Option<u64> {
        None
    }

    /// Takes note of an event.
    fn note(&mut self, event: Value<'_>) -> Result<Moment, WireError>;

    /// Whether the data of an event is no JSON but the mark that ends the stream.
    fn is_end(&self, _data: &[u8]) -> bool {
        false
    }

    /// Whether a stream may end here though no mark has come.
    fn may_end(&self) -> bool;

    /// The name of an event, where the dialect's streams have them.
    fn name(&self, _event: Value<'_>) -> Option<&str> {
        None
    }

    /// Takes out of a body or event what repeats its text and must not leave. `changed`: some text of it was replaced.
    fn strip(&self, root: Value<'_>, changed: bool, patch: &mut Patch);

    /// The ids under which the upstream keeps the answer and its parts, where this is the body, or the event, that ends it.
    fn kept(&self, _root: Value<'_>) -> Vec<String> {
        Vec::new()
    }

    /// Takes note of what is written of a body or event: the only texts of the answer that its end may repeat.
    fn wrote(&self, _data: &[u8]) {}

    /// The end of a stream. `written`: of what [`Self::note`] has seen, something has left.
    fn cut(&self, cut: Cut<'_>, written: bool) -> Bytes;

    /// Whether its streams say whole what they have said in pieces: see [`Rule::Again`].
    fn says_again(&self) -> bool {
        false
    }

    /// Whether the request had this string: see [`Rule::Echo`].
    fn knows(&self, _text: &str) -> bool {
        false
    }

    /// Whether a whole body may be an array of events: a stream in another form.
    fn has_arrays(&self) -> bool {
        false
    }

    /// What means nothing to the readers of an event stream, between two events.
    fn heartbeat(&self) -> &'static [u8] {
        sse::HEARTBEAT
    }

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

/// What a place has had so far.
#[derive(Default)]
struct Said {
    /// As it came.
    raw: String,
    /// As it was written, where that is something else.
    written: Option<String>,
}

/// The codec of one answer.
pub struct Codec<A> {
    answers: A,
    frames: Frames,
    events: VecDeque<Event>,
    channels: Channels,
    /// An event has been written, and so what the first ones say of the answer has been judged.
    written: Cell<bool>,
    /// What has been written, where the dialect says it again.
    said: RefCell<HashMap<(Kind, u64), Said>>,
    bounds: Bounds,
    /// See [`AnswerCodec::media`].
    media: Cell<MediaCount>,
    views: RefCell<Views>,
    /// A text was changed.
    changed: Cell<bool>,
    /// See [`AnswerCodec::kept`].
    kept: RefCell<Vec<String>>,
    /// The end has been given out; what follows is dropped.
    ended: bool,
    /// Every push after an error gives it again.
    error: Option<WireError>,
}

impl<A: Answers> Codec<A> {
    pub fn new(answers: A, framing: Framing, max_event: usize, bounds: impl Into<Bounds>) -> Self {
        let bounds = bounds.into();
        Codec {
            answers,
            frames: Frames::new(framing, max_event),
            events: VecDeque::new(),
            channels: Channels::new(bounds),
            written: Cell::new(false),
            said: RefCell::default(),
            bounds,
            media: Cell::default(),
            views: RefCell::default(),
            changed: Cell::new(false),
            kept: RefCell::default(),
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

    fn frame(&mut self, data: Bytes) -> Result<(), WireError> {
        if self.answers.is_end(&data) {
            self.end();
            return Ok(());
        }
        let document = Document::parse(data, &Limits::default())?;
        if self.frames.is_whole() {
            let event = self.event(document, true)?;
            self.events.push_back(event);
            self.ended = true;
            return Ok(());
        }
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
        let (texts, media) = self.channels.event(&document, &self.answers, self.frames.is_whole())?;
        let held: usize = texts.iter().map(|text| text.text.len() + size_of::<EventText>()).sum();
        let source = document.source().clone();
        Ok(Event { size: source.len() + held, texts, media, last, body: Body::Json(source) })
    }

    fn end(&mut self) {
        self.ended = true;
        self.events.push_back(Event {
            texts: Vec::new(),
            media: MediaCount::default(),
            last: true,
            size: 0,
            body: Body::End,
        });
    }

    /// The document's texts replaced by those that are given, and what says them again by what was written; whether any was.
    fn patch(
        &self,
        document: &Document,
        event: &Event,
        texts: &[Option<String>],
        patch: &mut Patch,
    ) -> Result<bool, WireError> {
        let (found, _) = found(document, &self.answers, self.bounds)?;
        let says_again = self.answers.says_again();
        let texts = self.views.borrow_mut().settle(&found, event, texts, says_again);
        let texts = texts.map_err(|index| WireError::NotEditable { at: document.path(found[index].node) })?;
        let mut changed = false;
        for (found, text) in found.into_iter().zip(texts) {
            let not_editable = || WireError::NotEditable { at: document.path(found.node) };
            if text.is_some() && !found.form.is_editable() {
                return Err(not_editable());
            }
            let again = says_again && found.form != Form::Whole && !found.is_own(says_again);
            let text = if again { self.write(&found, text.as_deref()) } else { text };
            let Some(text) = text else { continue };
            // The pieces of a stream need not be JSON each; a whole call's must stay what it was.
            let whole = self.frames.is_whole() || found.again;
            if found.form == Form::Arguments && whole && is_json(&found.text) && !is_json(&text) {
                return Err(not_editable());
            }
            patch.set_text(found.node, &text);
            changed = true;
        }
        Ok(changed)
    }

    /// Takes note of a text that is written now, as `with` where that is given; what has to stand there in its place.
    fn write(&self, found: &Found, with: Option<&str>) -> Option<String> {
        let mut said = self.said.borrow_mut();
        let Said { raw, written } = said.entry((found.kind, found.place)).or_default();
        let mut piece = found.text.clone();
        if found.again && !remainder(raw, &mut piece) {
            return with.map(Into::into);
        }
        let before = if found.again { written.as_deref().unwrap_or(raw).to_owned() } else { String::new() };
        if with.is_some() {
            written.get_or_insert_with(|| raw.clone());
        }
        raw.push_str(&piece);
        if let Some(written) = written {
            written.push_str(with.unwrap_or(&piece));
        }
        let text = before + with.unwrap_or(&piece);
        (text != found.text).then_some(text)
    }
}

impl<A: Answers> AnswerCodec for Codec<A> {
    fn push(&mut self, mut bytes: &[u8]) -> Result<(), WireError> {
        self.guarded(|codec| {
            while !codec.ended
                && let Some(data) = codec.frames.next(&mut bytes)?
            {
                codec.frame(data)?;
            }
            Ok(())
        })
    }

    fn finish(&mut self) -> Result<(), WireError> {
        self.guarded(|codec| {
            if codec.ended {
                return Ok(());
            }
            if let Some(data) = codec.frames.finish()? {
                let whole = codec.frames.is_whole();
                codec.frame(data).map_err(|error| match error {
                    WireError::Json(_) if !whole => WireError::Truncated,
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
        })
    }

    fn next(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn buffered(&self) -> usize {
        self.frames.buffered() + self.events.iter().map(|event| event.size).sum::<usize>()
    }

    fn encode(&self, event: &Event, texts: &[Option<String>]) -> Result<Bytes, WireError> {
        let Body::Json(source) = &event.body else { return Ok(self.answers.end()) };
        let document = &Document::parse(source.clone(), &Limits::default())?;
        let mut patch = Patch::default();
        let mut changed = texts.iter().any(Option::is_some);
        let calls = || event.texts.iter().any(|text| text.channel.kind == Kind::ToolArguments);
        if changed || self.answers.says_again() || calls() || !self.views.borrow().are_idle() {
            changed |= self.patch(document, event, texts, &mut patch)?;
        }
        self.answers.strip(document.root(), changed, &mut patch);
        self.written.set(true);
        self.changed.set(self.changed.get() || changed);
        self.media.update(|media| media.with(event.media));
        if !self.changed.get() {
            self.kept.borrow_mut().extend(self.answers.kept(document.root()));
        }
        let data = self.frames.data(document, &patch);
        self.answers.wrote(&data);
        Ok(self.frames.frame(self.answers.name(document.root()), data))
    }

    fn cut(&self, cut: Cut<'_>) -> Bytes {
        if self.frames.is_whole() { Bytes::new() } else { self.answers.cut(cut, self.written.get()) }
    }

    fn heartbeat(&self) -> Bytes {
        self.frames.heartbeat(self.answers.heartbeat())
    }

    fn media(&self) -> MediaCount {
        self.media.get()
    }

    fn kept(&self) -> Vec<String> {
        self.kept.borrow().clone()
    }
}

fn is_json(text: &str) -> bool {
    Document::parse(text.as_bytes().to_vec(), &Limits::default()).is_ok()
}
