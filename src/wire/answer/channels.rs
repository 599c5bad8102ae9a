//! The texts of an answer, and the channel that each is a piece of.

use std::collections::{BTreeSet, HashMap};

use crate::text::Kind;
use crate::wire::answer::Answers;
use crate::wire::answer::unescape::Unescaper;
use crate::wire::json::{Document, NodeId, Type, Value};
use crate::wire::shape::{Form, Leaf, Rule, Sink, Style, unexpected, walk};
use crate::wire::{Channel, EventText, WireError};

/// A whole value (see [`Form::Whole`]) up to this many bytes is remembered, to be judged once and not in every event.
const REMEMBERED: usize = 128;

/// A text of an answer, and where it stands.
pub struct Found {
    pub node: NodeId,
    pub choice: u32,
    pub kind: Kind,
    pub text: String,
    pub form: Form,
    place: u64,
}

/// Every text of an answer, in document order; the same each time it is asked.
pub fn found(document: &Document, answers: &impl Answers) -> Result<Vec<Found>, WireError> {
    let mut texts = Texts { answers, choice: 0, found: Vec::new(), seen: BTreeSet::new() };
    let rule = if document.root().kind() == Type::Object { answers.body() } else { Rule::Any(Kind::Other) };
    walk(document.root(), rule, Style::Lenient, &mut texts)?;
    Ok(texts.found)
}

/// The channels of an answer: a number for each place of one choice and kind, in the order of their first texts.
pub struct Channels {
    max: usize,
    parts: HashMap<(u32, Kind, u64), u32>,
    next: HashMap<(u32, Kind), u32>,
    arguments: HashMap<(u32, u64), Unescaper>,
    /// What each channel of whole values had last.
    whole: HashMap<Channel, String>,
}

impl Channels {
    pub fn new(max: usize) -> Self {
        let (parts, next) = (HashMap::new(), HashMap::new());
        Channels { max, parts, next, arguments: HashMap::new(), whole: HashMap::new() }
    }

    /// The texts of one event. Behind one for each of [`found`] come further views of them, which can't be edited.
    pub fn event(&mut self, document: &Document, answers: &impl Answers) -> Result<Vec<EventText>, WireError> {
        let mut texts = Vec::new();
        let mut views = Vec::new();
        for found in found(document, answers)? {
            if found.form == Form::Arguments {
                views.extend(self.unescape(&found)?);
            }
            let channel = self.channel(found.choice, found.kind, found.place)?;
            let editable = found.form.is_editable();
            let text = if found.form == Form::Whole { self.news(channel, found.text) } else { found.text };
            texts.push(EventText { channel, text, editable });
        }
        texts.extend(views);
        Ok(texts)
    }

    fn channel(&mut self, choice: u32, kind: Kind, place: u64) -> Result<Channel, WireError> {
        if let Some(&part) = self.parts.get(&(choice, kind, place)) {
            return Ok(Channel { choice, kind, part });
        }
        if self.parts.len() >= self.max {
            return Err(WireError::Shape {
                at: "the answer".into(),
                expected: format!("expected at most {} texts", self.max),
            });
        }
        let next = self.next.entry((choice, kind)).or_default();
        let part = *next;
        *next += 1;
        self.parts.insert((choice, kind, place), part);
        Ok(Channel { choice, kind, part })
    }

    /// What a whole value adds to its channel: nothing where the event before had the same, else a line. Chunks repeat their
    /// model's name, and two numbers are not one.
    fn news(&mut self, channel: Channel, value: String) -> String {
        if self.whole.get(&channel) == Some(&value) {
            return String::new();
        }
        let remembered = if value.len() <= REMEMBERED { value.clone() } else { String::new() };
        match self.whole.insert(channel, remembered) {
            Some(_) => format!("\n{value}"),
            None => value,
        }
    }

    /// A second view of tool arguments, with the escapes of their own strings undone: what the tool reads. Only once it differs
    /// from the raw text. It can't be edited: a redaction that it asks for blocks.
    fn unescape(&mut self, found: &Found) -> Result<Option<EventText>, WireError> {
        let Some(text) = self.arguments.entry((found.choice, found.place)).or_default().push(&found.text) else {
            return Ok(None);
        };
        // Any other place than that of the raw text.
        let channel = self.channel(found.choice, found.kind, !found.place)?;
        Ok(Some(EventText { channel, text, editable: false }))
    }
}

struct Texts<'a, A> {
    answers: &'a A,
    choice: u32,
    found: Vec<Found>,
    seen: BTreeSet<u32>,
}

impl<'d, A: Answers> Sink<'d> for Texts<'_, A> {
    fn leaf(&mut self, leaf: Leaf<'d>) -> Result<(), WireError> {
        let Leaf { value, text, kind, form, place } = leaf;
        if !text.is_empty() {
            let (node, text) = (value.id(), text.into_owned());
            self.found.push(Found { node, choice: self.choice, kind, text, form, place });
        }
        Ok(())
    }

    fn turn(&mut self, position: u32, choice: Value<'d>) -> Result<u32, WireError> {
        self.choice = self.answers.choice(choice, position)?;
        if self.seen.insert(self.choice) { Ok(self.choice) } else { Err(unexpected(choice, "an index of its own")) }
    }

    fn end_turn(&mut self) {
        self.choice = 0;
    }
}
