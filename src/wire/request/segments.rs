//! The texts of a request as segments: single ones, groups that are one text, and what other readers may join.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use crate::text::{Kind, Media, MediaCount, Place, Role, Segment, SegmentId};
use crate::wire::WireError;
use crate::wire::json::{self, Document, NodeId, Type, Value};
use crate::wire::request::Reads;
use crate::wire::request::seams::{Cut, Seams};
use crate::wire::shape::{Bounds, Form, Leaf, Sink, Style, unsupported, walk};

const WHO_REFUSES: &str = "this route judges a `refusal` from the assistant, who alone refuses";

/// The segments of a request, and where each comes from.
#[derive(Default)]
pub struct Segments {
    /// In document order; those that join several texts behind the last of these, but for seams that come behind their turn.
    pub list: Vec<Segment>,
    /// Tool arguments that are JSON themselves, by the string they stand in.
    pub inner: BTreeMap<NodeId, Document>,
    pub media: MediaCount,
    /// Ids of what the upstream keeps.
    pub kept: Vec<NodeId>,
    /// What each segment is made of, in the order of its text.
    pieces: Vec<Vec<Piece>>,
}

/// A part of a segment's text. What no piece covers (a separator) stands in no string of the body.
pub struct Piece {
    pub span: Range<usize>,
    /// The string, key or number of the body that it comes from.
    pub string: NodeId,
    /// Where in the text of that it begins.
    pub from: usize,
    pub edit: Access,
}

/// Where an edit of a piece goes.
#[derive(Clone, Copy)]
pub enum Access {
    Fixed,
    String,
    /// A string of the JSON in the string.
    Inner(NodeId),
}

impl Segments {
    /// Finds every text of a request.
    pub fn find(body: Value<'_>, requests: &impl Reads, bounds: Bounds) -> Result<Self, WireError> {
        let mut texts = Texts {
            max: bounds.max_segments,
            role: &|turn| requests.role(turn),
            found: Segments::default(),
            turn: None,
            by: None,
            depth: 0,
            group: Vec::new(),
            group_kind: Kind::Other,
            joined: None,
            said: Vec::new(),
            seams: Seams::default(),
            others: None,
            count: 0,
        };
        walk(body, requests.body(), Style::Strict, bounds, &mut texts)?;
        texts.end_of_run(false)?;
        texts.end_of_others()?;
        Ok(texts.found)
    }

    pub fn pieces(&self, id: SegmentId) -> &[Piece] {
        self.pieces.get(id.0 as usize).map_or(&[], Vec::as_slice)
    }
}

/// Makes segments of what the walk finds.
struct Texts<'r, 'd> {
    max: usize,
    role: &'r dyn Fn(Value<'_>) -> Result<Role, WireError>,
    found: Segments,
    turn: Option<Turn>,
    /// Who speaks where there is no turn.
    by: Option<Role>,
    /// Groups within one another; the outermost decides.
    depth: usize,
    group: Vec<Leaf<'d>>,
    group_kind: Kind,
    joined: Option<Vec<Leaf<'d>>>,
    /// The contents of adjacent messages of the user.
    said: Vec<(Turn, Rc<Leaf<'d>>)>,
    seams: Seams<'d>,
    /// What somebody else says in adjacent messages: the last of them, and the seams between.
    others: Option<(Turn, Seams<'d>)>,
    /// Texts so far. Seams are none.
    count: usize,
}

/// A message: its number and who speaks.
type Turn = (u32, Role);

impl<'d> Texts<'_, 'd> {
    fn add(&mut self, turn: Option<Turn>, kind: Kind, text: &str, pieces: Vec<Piece>) -> Result<(), WireError> {
        if text.is_empty() {
            return Ok(());
        }
        if self.count >= self.max {
            return Err(WireError::Shape {
                at: "the body".into(),
                expected: format!("expected at most {} texts", self.max),
            });
        }
        let (turn, role) = turn.map_or((None, self.by.unwrap_or(Role::None)), |(turn, role)| (Some(turn), role));
        let editable = pieces.iter().any(|piece| !matches!(piece.edit, Access::Fixed));
        let place = Place { role, kind, turn, editable };
        self.count += 1;
        // The limit on nodes keeps this far below 2^32.
        let id = SegmentId(self.found.list.len() as u32);
        self.found.list.push(Segment { id, place, text: text.into(), fresh: 0, masked: Vec::new() });
        self.found.pieces.push(pieces);
        Ok(())
    }

    /// One text of several leaves.
    fn add_all<'l>(
        &mut self,
        turn: Option<Turn>,
        kind: Kind,
        leaves: impl IntoIterator<Item = &'l Leaf<'d>>,
        between: &str,
    ) -> Result<(), WireError>
    where
        'd: 'l,
    {
        self.add_parts(turn, kind, leaves.into_iter().map(|leaf| (leaf, 0..leaf.text.len(), between)))
    }

    /// One text of parts of several leaves, each with what stands before it where it is not the first.
    fn add_parts<'l>(
        &mut self,
        turn: Option<Turn>,
        kind: Kind,
        parts: impl IntoIterator<Item = (&'l Leaf<'d>, Range<usize>, &'l str)>,
    ) -> Result<(), WireError>
    where
        'd: 'l,
    {
        // Most segments are one leaf, which need not be copied here.
        let mut text = Cow::Borrowed("");
        let mut pieces = Vec::new();
        for (leaf, part, before) in parts.into_iter().filter(|(_, part, _)| !part.is_empty()) {
            if !text.is_empty() {
                text += before;
            }
            let (start, from) = (text.len(), part.start);
            text += &leaf.text[part];
            let edit = if leaf.form.is_editable() { Access::String } else { Access::Fixed };
            pieces.push(Piece { span: start..text.len(), string: leaf.value.id(), from, edit });
        }
        self.add(turn, kind, &text, pieces)
    }

    /// What the user has said in several messages on end is judged as one text, too. It counts to the last of them.
    fn end_of_run(&mut self, by_assistant: bool) -> Result<(), WireError> {
        let seams = self.seams.end_of_run(by_assistant)?;
        self.add_seams(seams, Role::User)?;
        let said = std::mem::take(&mut self.said);
        let (Some((first, _)), Some((last, _))) = (said.first(), said.last()) else { return Ok(()) };
        if first.0 == last.0 {
            return Ok(());
        }
        let parts: Vec<_> = said.iter().map(|(turn, leaf)| (turn.0, &**leaf, 0..leaf.text.len())).collect();
        self.add_turns(*last, [Kind::Content, Kind::Content], &parts)
    }

    /// Upstreams join the messages of one speaker on end. Of others than the user, who has results of tools by the dozen, a
    /// phrase over two is looked for where one ends and the next begins.
    fn say_on(&mut self, turn: Turn, leaf: Leaf<'d>) -> Result<(), WireError> {
        match &mut self.others {
            Some((last, _)) if last.1 != turn.1 => self.end_of_others()?,
            Some((last, seams)) if last.0 != turn.0 => {
                *last = turn;
                let found = seams.end_of_run(false)?;
                self.add_seams(found, turn.1)?;
            }
            _ => {}
        }
        let (_, seams) = self.others.get_or_insert_with(|| (turn, Seams::default()));
        let found = seams.say(turn.0, &Rc::new(leaf))?;
        self.add_seams(found, turn.1)
    }

    fn end_of_others(&mut self) -> Result<(), WireError> {
        let Some((last, mut seams)) = self.others.take() else { return Ok(()) };
        self.add_seams(seams.end_of_run(false)?, last.1)
    }

    /// Seams count to the first of their turns: who judges from a turn on has not asked for what stands before. A policy reads
    /// those of the user, too.
    fn add_seams(&mut self, seams: Vec<Vec<Cut<'d>>>, role: Role) -> Result<(), WireError> {
        let lines = if role == Role::User { Kind::Content } else { Kind::Seam };
        for seam in seams {
            let Some(first) = seam.first() else { continue };
            let parts: Vec<_> = seam.iter().map(|cut| (cut.turn, &*cut.leaf, cut.span.clone())).collect();
            let count = std::mem::take(&mut self.count);
            self.add_turns((first.turn, role), [lines, Kind::Seam], &parts)?;
            self.count = count;
        }
        Ok(())
    }

    /// Parts of several turns as lines and seamless, as these kinds. Where a turn has several, also its own seamless alone.
    fn add_turns(
        &mut self,
        turn: Turn,
        [lines, seamless]: [Kind; 2],
        parts: &[(u32, &Leaf<'d>, Range<usize>)],
    ) -> Result<(), WireError> {
        let several = parts.windows(2).any(|pair| pair[0].0 == pair[1].0);
        let forms = [(lines, "\n", "\n"), (seamless, "", ""), (Kind::Seam, "\n", "")];
        for (kind, between_turns, between_parts) in forms.into_iter().take(if several { 3 } else { 2 }) {
            let mut before = None;
            let parts = parts.iter().map(|(turn, leaf, part)| {
                let same = before.replace(*turn) == Some(*turn);
                (*leaf, part.clone(), if same { between_parts } else { between_turns })
            });
            self.add_parts(Some(turn), kind, parts)?;
        }
        Ok(())
    }

    /// Tool arguments that are JSON are judged with the escapes of their own strings undone: what the tool reads. Each of these
    /// strings can be edited; keys, numbers and structure can't, so that what was JSON stays JSON.
    fn add_arguments(&mut self, leaf: &Leaf<'d>) -> Result<(), WireError> {
        let string = leaf.value.id();
        let fixed = |span| Piece { span, string, from: 0, edit: Access::Fixed };
        let Ok(document) = Document::parse(leaf.text.as_bytes().to_vec(), &json::Limits::default()) else {
            self.add_all(self.turn, leaf.kind, [leaf], "")?;
            // A looser reader may still make JSON of it.
            let loose = json::unescape(&leaf.text);
            return if loose == leaf.text {
                Ok(())
            } else {
                self.add(self.turn, leaf.kind, &loose, vec![fixed(0..loose.len())])
            };
        };
        let (mut text, mut pieces, mut copied) = (String::with_capacity(leaf.text.len()), Vec::new(), 0);
        let mut strings = Vec::new();
        collect_strings(document.root(), &mut strings);
        for (value, is_key) in strings {
            // The quotes go with what stands around the string.
            let Range { start, end } = value.span();
            let before = text.len();
            text.push_str(&leaf.text[copied..start + 1]);
            pieces.push(fixed(before..text.len()));
            let start = text.len();
            text.push_str(&value.text().unwrap_or_default());
            let edit = if is_key { Access::Fixed } else { Access::Inner(value.id()) };
            pieces.push(Piece { span: start..text.len(), string, from: 0, edit });
            copied = end - 1;
        }
        let before = text.len();
        text.push_str(&leaf.text[copied..]);
        pieces.push(fixed(before..text.len()));
        pieces.retain(|piece| !piece.span.is_empty());
        self.add(self.turn, leaf.kind, &text, pieces)?;
        self.found.inner.insert(string, document);
        Ok(())
    }
}

impl<'d> Sink<'d> for Texts<'_, 'd> {
    fn leaf(&mut self, leaf: Leaf<'d>) -> Result<(), WireError> {
        let by_user = self.turn.is_some_and(|(_, role)| role == Role::User);
        if leaf.kind == Kind::Refusal && self.turn.is_some_and(|(_, role)| role != Role::Assistant) {
            return Err(unsupported(leaf.value, WHO_REFUSES));
        }
        if !by_user && !leaf.text.is_empty() {
            self.end_of_run(self.turn.is_some_and(|(_, role)| role == Role::Assistant))?;
        }
        if self.depth > 0 {
            self.group.push(leaf);
            return Ok(());
        }
        let is_said = leaf.kind == Kind::Content && !leaf.text.is_empty();
        match self.turn.filter(|_| is_said) {
            Some(turn) if by_user => {
                self.end_of_others()?;
                let leaf = Rc::new(leaf.clone());
                let seams = self.seams.say(turn.0, &leaf)?;
                self.add_seams(seams, Role::User)?;
                self.said.push((turn, leaf));
            }
            Some(turn) => self.say_on(turn, leaf.clone())?,
            None => {}
        }
        match &mut self.joined {
            // No reader joins what is JSON by itself.
            _ if leaf.form == Form::Arguments => self.add_arguments(&leaf),
            Some(joined) => {
                joined.push(leaf);
                Ok(())
            }
            None => self.add_all(self.turn, leaf.kind, [&leaf], ""),
        }
    }

    fn open(&mut self, kind: Kind) {
        if self.depth == 0 {
            self.group_kind = kind;
        }
        self.depth += 1;
    }

    fn close(&mut self) -> Result<(), WireError> {
        self.depth -= 1;
        if self.depth > 0 {
            return Ok(());
        }
        let leaves = std::mem::take(&mut self.group);
        self.add_all(self.turn, self.group_kind, &leaves, "\n")
    }

    fn open_joined(&mut self) {
        self.joined = Some(Vec::new());
    }

    /// Parts of a message are judged as lines, and, since some upstreams put nothing between them, as one seamless text. Where
    /// they are of two kinds, each also alone: some upstreams leave the other out.
    fn close_joined(&mut self) -> Result<(), WireError> {
        let mut leaves = self.joined.take().unwrap_or_default();
        leaves.retain(|leaf| !leaf.text.is_empty());
        let Some(kind) = leaves.first().map(|leaf| leaf.kind) else { return Ok(()) };
        let mixed = leaves.iter().any(|leaf| leaf.kind != kind);
        let together = if mixed { Kind::Content } else { kind };
        self.add_all(self.turn, together, &leaves, "\n")?;
        if leaves.len() > 1 {
            self.add_all(self.turn, together, &leaves, "")?;
        }
        for kind in [Kind::Content, Kind::Reasoning, Kind::Refusal].into_iter().filter(|_| mixed) {
            self.add_all(self.turn, kind, leaves.iter().filter(|leaf| leaf.kind == kind), "")?;
        }
        Ok(())
    }

    fn turn(&mut self, position: u32, message: Value<'d>) -> Result<u32, WireError> {
        self.turn = Some((position, (self.role)(message)?));
        Ok(position)
    }

    fn end_turn(&mut self) {
        self.turn = None;
    }

    fn by(&mut self, role: Option<Role>) {
        self.by = role;
    }

    fn media(&mut self, kind: Media, _: u64) {
        self.found.media.add(kind);
    }

    fn kept(&mut self, id: Value<'d>) {
        self.found.kept.push(id.id());
    }
}

/// Every string of a document and whether it is a key, in document order.
fn collect_strings<'d>(value: Value<'d>, out: &mut Vec<(Value<'d>, bool)>) {
    match value.kind() {
        Type::String => out.push((value, false)),
        Type::Object => value.members().for_each(|(key, member)| {
            out.push((key, true));
            collect_strings(member, out);
        }),
        _ => value.elements().for_each(|element| collect_strings(element, out)),
    }
}
