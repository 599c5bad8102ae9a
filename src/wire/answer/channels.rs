//! The texts of an answer, and the channel that each is a piece of.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use crate::text::{Kind, Media, MediaCount};
use crate::wire::answer::Answers;
use crate::wire::answer::seams::Seams;
use crate::wire::answer::unescape::Unescaper;
use crate::wire::json::{Document, NodeId, Type, Value};
use crate::wire::shape::{Bounds, Form, Joint, Leaf, Rule, Sink, Style, unexpected, walk};
use crate::wire::{Channel, EventText, WireError};

/// A whole value (see [`Form::Whole`]) up to this many bytes is remembered, to be judged once and not in every event.
const REMEMBERED: usize = 128;

/// A text of its own up to this many bytes is joined to others only once there are others.
const AWAITED: usize = 4096;

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
    /// See [`Leaf::part`].
    pub part: Option<u64>,
    /// See [`Rule::Joint`].
    pub joint: Option<Joint>,
    /// See [`Leaf::loose`].
    pub loose: bool,
}

impl Found {
    /// Whether it is a text of its own, and no piece of what its place has had. So is all that is no answer's own words: a
    /// reader shows each error, each title by itself.
    pub fn is_own(&self, says_again: bool) -> bool {
        let repeats = says_again && (self.again || !(self.loose || self.apart));
        let said = self.kind.is_said() && !self.loose && !self.apart;
        !matches!(self.form, Form::Whole | Form::Arguments) && !repeats && !said
    }
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
    let mut texts = Texts { answers, bounds, choice: 0, found, media, seen };
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

/// How far a text has come that some reader joins: see [`Rule::Joint`].
struct Joined {
    /// Of the piece that came last.
    order: u64,
    /// The text of that place was told again in other words.
    retold: bool,
}

/// The channels of an answer: a number for each place of one choice and kind, in the order of their first texts. What some
/// reader joins has one place.
pub struct Channels {
    bounds: Bounds,
    parts: HashMap<(u32, Kind, u64), u32>,
    next: HashMap<(u32, Kind), u32>,
    arguments: HashMap<(u32, u64), Unescaper>,
    seams: HashMap<Channel, Seams>,
    /// What each channel of whole values had last.
    whole: HashMap<Channel, String>,
    /// What each place had so far, where the dialect says it again.
    said: HashMap<(u32, Kind, u64), String>,
    joined: HashMap<Channel, Joined>,
    /// Which texts of their own a channel had, by a hash: each is judged once.
    told: HashMap<Channel, HashSet<u64>>,
    hasher: RandomState,
    /// The first text of its own of a place, until there is a second.
    first: HashMap<(u32, Kind, u64), String>,
    /// The same of an event's texts that no reader joins to those of another.
    first_apart: HashMap<(u32, Kind, u64), String>,
    /// Where the last text of a channel stood in this event: see [`Leaf::part`].
    stood: HashMap<Channel, u64>,
    /// The places of media.
    media: HashSet<MediaAt>,
    /// Bytes of all that.
    kept: usize,
}

impl Channels {
    pub fn new(bounds: Bounds) -> Self {
        let (parts, next, media) = (HashMap::new(), HashMap::new(), HashSet::new());
        let (arguments, seams, whole) = (HashMap::new(), HashMap::new(), HashMap::new());
        let (said, joined, told) = (HashMap::new(), HashMap::new(), HashMap::new());
        let (first, first_apart, stood) = (HashMap::new(), HashMap::new(), HashMap::new());
        Channels {
            bounds,
            parts,
            next,
            arguments,
            seams,
            whole,
            said,
            joined,
            told,
            hasher: RandomState::new(),
            first,
            first_apart,
            stood,
            media,
            kept: 0,
        }
    }

    /// The texts of one event, or of a `whole` body, and the media that no event before had. Behind one for each of [`found`]
    /// come further views of them.
    pub fn event(
        &mut self,
        document: &Document,
        answers: &impl Answers,
        whole: bool,
    ) -> Result<(Vec<EventText>, MediaCount), WireError> {
        let mut texts = Vec::new();
        let mut views = Vec::new();
        self.first_apart.clear();
        self.stood.clear();
        let (found, media) = found(document, answers, self.bounds)?;
        let media = self.new_media(media)?;
        let event = document.root();
        for (mut found, position) in found.into_iter().zip(0..) {
            let own = found.is_own(answers.says_again());
            let joint = found.joint.filter(|_| found.form != Form::Whole && !own);
            let channel = self.channel(found.choice, found.kind, joint.map_or(found.place, |joint| joint.place))?;
            let mut follows = true;
            if found.form == Form::Whole {
                found.text = self.news(channel, found.text);
            } else if own {
                let told = self.told.entry(channel).or_default();
                let (is_first, is_new) = (told.is_empty(), told.insert(self.hasher.hash_one(&found.text)));
                // Nobody joins what is long and always the same: chunks say again what they have said.
                if (found.loose || !found.apart) && (is_new || found.text.len() <= REMEMBERED) {
                    views.extend(self.joined_to_others(&found, texts.len())?);
                }
                if !is_new {
                    found.text.clear();
                } else if !is_first {
                    found.text.insert(0, '\n');
                }
                self.keep(size_of::<(Channel, u64)>())?;
            } else if answers.says_again() {
                follows = self.piece(&mut found)?;
            }
            if let Some(Joint { order, .. }) = joint.filter(|_| !found.text.is_empty())
                && !self.comes_next(channel, order, !follows)
            {
                return Err(unexpected(document.value(found.node), "texts in their order: some readers join them"));
            }
            let editable = follows && found.form.is_editable();
            if found.form == Form::Arguments {
                views.extend(self.unescape(&found, texts.len())?);
            }
            // In a body each text is a part; the elements of an array are events.
            let in_body = whole && event.kind() == Type::Object;
            let part = joint.map(|joint| joint.order).or(if in_body { Some(position) } else { answers.part(event) });
            let part = found.part.filter(|_| !in_body).map(|place| self.part_in_event(channel, place)).or(part);
            if let Some(part) = part.filter(|_| found.form == Form::Free && !found.again && !own) {
                views.extend(self.seam(channel, part, &found, texts.len())?);
            }
            let alone = found.form == Form::Whole || own;
            texts.push(EventText { channel, text: found.text, editable, alone, view_of: None });
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
    fn piece(&mut self, found: &mut Found) -> Result<bool, WireError> {
        let said = self.said.entry((found.choice, found.kind, found.place)).or_default();
        let before = said.len();
        let follows = !found.again || remainder(said, &mut found.text);
        if follows {
            said.push_str(&found.text);
        } else {
            found.text.insert(0, '\n');
        }
        let more = said.len() - before;
        self.keep(more)?;
        Ok(follows)
    }

    /// Takes note of a piece of a channel that some reader joins; whether the channel reads as that reader does. It goes on
    /// with the last text or with one behind it, and with the latter only where the last is what it was judged as.
    fn comes_next(&mut self, channel: Channel, order: u64, retold: bool) -> bool {
        let joined = self.joined.entry(channel).or_insert(Joined { order, retold: false });
        let next = order >= joined.order && !(order > joined.order && joined.retold);
        *joined = Joined { order, retold: joined.retold || retold };
        next
    }

    /// Takes note of so many more bytes that are kept.
    fn keep(&mut self, bytes: usize) -> Result<(), WireError> {
        self.kept += bytes;
        if self.kept > MAX_SAID { Err(WireError::TooLarge { limit: MAX_SAID }) } else { Ok(()) }
    }

    /// A second view of texts of their own at one place: joined, as a reader would read them to whom they are pieces of one. From
    /// the second on, which brings the first along.
    fn joined_to_others(&mut self, found: &Found, index: usize) -> Result<Option<EventText>, WireError> {
        let key = (found.choice, found.kind, found.place);
        let firsts = if found.apart { &mut self.first_apart } else { &mut self.first };
        let text = match firsts.get_mut(&key) {
            Some(first) => std::mem::take(first) + &found.text,
            None if found.text.len() > AWAITED => {
                firsts.insert(key, String::new());
                found.text.clone()
            }
            None => {
                firsts.insert(key, found.text.clone());
                return Ok(None);
            }
        };
        let channel = self.channel(found.choice, found.kind, !found.place)?;
        Ok(Some(EventText { channel, text, editable: found.form.is_editable(), alone: false, view_of: Some(index) }))
    }

    /// A second view of tool arguments, with the escapes of their own strings undone: what the tool reads. Only once it differs
    /// from the raw text. A redaction that it asks for blocks, unless those of the raw text make it, too.
    fn unescape(&mut self, found: &Found, index: usize) -> Result<Option<EventText>, WireError> {
        let arguments = self.arguments.entry((found.choice, found.place)).or_default();
        let before = arguments.kept();
        let text = arguments.push(&found.text);
        self.kept = self.kept + arguments.kept() - before;
        self.keep(0)?;
        let Some(text) = text else { return Ok(None) };
        // Any other place than that of the raw text.
        let channel = self.channel(found.choice, found.kind, !found.place)?;
        Ok(Some(EventText { channel, text, editable: true, alone: false, view_of: Some(index) }))
    }

    /// The part that a text is of among those of one event. The first goes on with what the event before has ended with.
    fn part_in_event(&mut self, channel: Channel, place: u64) -> u64 {
        let is_next = self.stood.insert(channel, place).is_some_and(|last| last != place);
        self.seams.get(&channel).map_or(0, Seams::part) + u64::from(is_next)
    }

    /// A second view of a text in parts, for readers that do not join them. It can't be edited: a redaction that it asks for
    /// blocks.
    fn seam(
        &mut self,
        channel: Channel,
        part: u64,
        found: &Found,
        index: usize,
    ) -> Result<Option<EventText>, WireError> {
        let Some(text) = self.seams.entry(channel).or_default().push(part, &found.text) else { return Ok(None) };
        let place = found.joint.map_or(found.place, |joint| joint.place);
        let channel = self.channel(found.choice, found.kind, !place)?;
        Ok(Some(EventText { channel, text, editable: false, alone: false, view_of: Some(index) }))
    }
}

struct Texts<'a, A> {
    answers: &'a A,
    bounds: Bounds,
    choice: u32,
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
        Ok(())
    }
}

impl<'d, A: Answers> Sink<'d> for Texts<'_, A> {
    fn leaf(&mut self, leaf: Leaf<'d>) -> Result<(), WireError> {
        let Leaf { value, text, kind, form, again, apart, echo, place, part, joint, loose } = leaf;
        let said_before = echo && self.answers.knows(&text);
        if !text.is_empty() && !said_before {
            let (node, text) = (value.id(), text.into_owned());
            let choice = self.choice;
            self.found.push(Found { node, choice, kind, text, form, again, apart, place, part, joint, loose });
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
