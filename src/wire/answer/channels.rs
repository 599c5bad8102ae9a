//! The texts of an answer, and the channel that each is a piece of.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::text::{Kind, Media, MediaCount};
use crate::wire::answer::Answers;
use crate::wire::answer::seams::Seams;
use crate::wire::answer::unescape::Unescaper;
use crate::wire::json::{Document, NodeId, Type, Value};
use crate::wire::shape::{Bounds, Form, Leaf, Rule, Sink, Style, unexpected, walk};
use crate::wire::{Channel, EventText, WireError};

/// A whole value (see [`Form::Whole`]) up to this many bytes is remembered, to be judged once and not in every event.
const REMEMBERED: usize = 128;

/// Bytes of an answer that says again what it has said, at most.
const MAX_SAID: usize = 8 << 20;

/// A text of an answer, and where it stands.
pub struct Found {
    pub node: NodeId,
    pub choice: u32,
    pub kind: Kind,
    pub text: String,
    pub form: Form,
    /// See [`Rule::Again`].
    pub again: bool,
    /// See [`Rule::Apart`].
    pub apart: bool,
    pub place: u64,
}

/// Media, and the place where it stands.
type MediaAt = (Media, u64);

/// Every text of an answer, in document order, and the place of each of its media; the same each time it is asked.
pub fn found(
    document: &Document,
    answers: &impl Answers,
    bounds: Bounds,
) -> Result<(Vec<Found>, Vec<MediaAt>), WireError> {
    let (found, media, seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    let mut texts = Texts { answers, bounds, choice: 0, element: 0, found, media, seen };
    let root = document.root();
    if root.kind() == Type::Array && answers.has_arrays() {
        root.elements().try_for_each(|event| texts.read(event))?;
    } else {
        texts.read(root)?;
    }
    Ok((texts.found, texts.media))
}

/// Takes `said` off the front of `text`; whether it stood there.
pub fn remainder(said: &str, text: &mut String) -> bool {
    let follows = text.starts_with(said);
    if follows {
        text.drain(..said.len());
    }
    follows
}

fn place_of_its_own(place: u64, event: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (place, event).hash(&mut hasher);
    hasher.finish()
}

/// The channels of an answer: a number for each place of one choice and kind, in the order of their first texts.
pub struct Channels {
    bounds: Bounds,
    /// Events so far.
    events: u64,
    parts: HashMap<(u32, Kind, u64), u32>,
    next: HashMap<(u32, Kind), u32>,
    arguments: HashMap<(u32, u64), Unescaper>,
    seams: HashMap<Channel, Seams>,
    /// What each channel of whole values had last.
    whole: HashMap<Channel, String>,
    /// What each channel had so far, where the dialect says it again.
    said: HashMap<Channel, String>,
    /// The places of media.
    media: HashSet<MediaAt>,
    /// Bytes of all that.
    kept: usize,
}

impl Channels {
    pub fn new(bounds: Bounds) -> Self {
        let (parts, next, media) = (HashMap::new(), HashMap::new(), HashSet::new());
        let (arguments, seams, whole, said) = (HashMap::new(), HashMap::new(), HashMap::new(), HashMap::new());
        Channels { bounds, events: 0, parts, next, arguments, seams, whole, said, media, kept: 0 }
    }

    /// The texts of one event, or of a `whole` body, and the media that no event before had. Behind one for each of [`found`]
    /// come further views of them, which can't be edited.
    pub fn event(
        &mut self,
        document: &Document,
        answers: &impl Answers,
        whole: bool,
    ) -> Result<(Vec<EventText>, MediaCount), WireError> {
        let mut texts = Vec::new();
        let mut views = Vec::new();
        self.events += 1;
        let (found, media) = found(document, answers, self.bounds)?;
        let media = self.new_media(media)?;
        let event = document.root();
        for (mut found, position) in found.into_iter().zip(0..) {
            if found.apart {
                found.place = place_of_its_own(found.place, self.events);
            }
            let channel = self.channel(found.choice, found.kind, found.place)?;
            let mut editable = found.form.is_editable();
            if found.form == Form::Whole {
                found.text = self.news(channel, found.text);
            } else if answers.says_again() && !found.apart {
                editable &= self.piece(channel, &mut found)?;
            }
            if found.form == Form::Arguments {
                views.extend(self.unescape(&found)?);
            }
            // In a body each text is a part; the elements of an array are events.
            let part =
                if whole && event.kind() == Type::Object { Some(position) } else { answers.part(event).map(u64::from) };
            if let Some(part) = part.filter(|_| found.form == Form::Free && !found.again) {
                views.extend(self.seam(channel, part, &found)?);
            }
            texts.push(EventText { channel, text: found.text, editable });
        }
        texts.extend(views);
        Ok((texts, media))
    }

    /// What comes in pieces, or again, has one place.
    fn new_media(&mut self, media: Vec<MediaAt>) -> Result<MediaCount, WireError> {
        let mut new = MediaCount::default();
        for (kind, place) in media {
            if self.media.insert((kind, place)) {
                new.add(kind);
            }
        }
        if self.media.len() > self.bounds.max_segments { Err(self.too_many()) } else { Ok(new) }
    }

    fn too_many(&self) -> WireError {
        let expected = format!("expected at most {} texts", self.bounds.max_segments);
        WireError::Shape { at: "the answer".into(), expected }
    }

    fn channel(&mut self, choice: u32, kind: Kind, place: u64) -> Result<Channel, WireError> {
        if let Some(&part) = self.parts.get(&(choice, kind, place)) {
            return Ok(Channel { choice, kind, part });
        }
        if self.parts.len() >= self.bounds.max_segments {
            return Err(self.too_many());
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

    /// Leaves of a text that is said again what its channel has not had; whether that is a piece like any other. Where it says
    /// something else, it is all new, and a line.
    fn piece(&mut self, channel: Channel, found: &mut Found) -> Result<bool, WireError> {
        let said = self.said.entry(channel).or_default();
        let before = said.len();
        let follows = !found.again || remainder(said, &mut found.text);
        if follows {
            said.push_str(&found.text);
        } else {
            found.text.insert(0, '\n');
        }
        self.kept += said.len() - before;
        if self.kept > MAX_SAID { Err(WireError::TooLarge { limit: MAX_SAID }) } else { Ok(follows) }
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

    /// A second view of a text in parts, for readers that do not join them. It can't be edited either.
    fn seam(&mut self, channel: Channel, part: u64, found: &Found) -> Result<Option<EventText>, WireError> {
        let Some(text) = self.seams.entry(channel).or_default().push(part, &found.text) else { return Ok(None) };
        let channel = self.channel(found.choice, found.kind, !found.place)?;
        Ok(Some(EventText { channel, text, editable: false }))
    }
}

struct Texts<'a, A> {
    answers: &'a A,
    bounds: Bounds,
    choice: u32,
    /// Of an array of events, how many have been read.
    element: u64,
    found: Vec<Found>,
    media: Vec<MediaAt>,
    seen: BTreeSet<u32>,
}

impl<A: Answers> Texts<'_, A> {
    /// Reads one event, or a whole body.
    fn read(&mut self, root: Value<'_>) -> Result<(), WireError> {
        let rule = if root.kind() == Type::Object { self.answers.body() } else { Rule::Any(Kind::Other) };
        walk(root, rule, Style::Lenient, self.bounds, self)?;
        self.seen.clear();
        self.element += 1;
        Ok(())
    }
}

impl<'d, A: Answers> Sink<'d> for Texts<'_, A> {
    fn leaf(&mut self, leaf: Leaf<'d>) -> Result<(), WireError> {
        let Leaf { value, text, kind, form, again, apart, echo, place } = leaf;
        let said_before = echo && self.answers.knows(&text);
        if !text.is_empty() && !said_before {
            let (node, text) = (value.id(), text.into_owned());
            let place = if apart && self.element > 0 { place_of_its_own(place, self.element) } else { place };
            self.found.push(Found { node, choice: self.choice, kind, text, form, again, apart, place });
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

    fn media(&mut self, kind: Media, place: u64) {
        self.media.push((kind, place));
    }
}
