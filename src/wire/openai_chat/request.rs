//! Reading a chat request: every text and its place, and the body with texts replaced.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;

use crate::text::{Edit, Edits, Kind, Place, Role, Segment, SegmentId};
use crate::wire::json::{self, Document, NodeId, Patch, Type, Value};
use crate::wire::openai_chat::fields::REQUEST;
use crate::wire::shape::{Leaf, Rule, Sink, Style, unexpected, walk};
use crate::wire::{Prompt, WireError};

/// Choices that a request may ask for, as OpenAI bounds it.
pub const MAX_CHOICES: u32 = 128;

/// A chat request, parsed.
pub struct ChatPrompt {
    document: Document,
    segments: Vec<Segment>,
    /// What each segment is made of, in the order of its text.
    pieces: Vec<Vec<Piece>>,
    /// Tool arguments that are JSON themselves, by the string they stand in.
    inner: BTreeMap<NodeId, Document>,
    streams: bool,
    model: String,
}

/// A part of a segment's text. What no piece covers (a separator) stands in no string of the body.
struct Piece {
    span: Range<usize>,
    /// The string or key of the body that it comes from.
    string: NodeId,
    edit: Access,
}

/// Where an edit of a piece goes.
#[derive(Clone, Copy)]
enum Access {
    Fixed,
    String,
    /// A string of the JSON in the string.
    Inner(NodeId),
}

/// A string of the body, or a string of the JSON in it.
type Target = (NodeId, Option<NodeId>);

impl ChatPrompt {
    pub fn parse(body: Bytes, max_segments: usize) -> Result<Self, WireError> {
        let document = Document::parse(body, &json::Limits::default())?;
        let root = document.root();
        let mut texts = Texts::new(max_segments);
        walk(root, Rule::Object(&REQUEST), Style::Strict, &mut texts)?;
        let streams = match root.get("stream").filter(|value| !value.is_null()) {
            Some(value) => value.bool().ok_or_else(|| unexpected(value, "a boolean"))?,
            None => false,
        };
        if let Some(n) = root.get("n").filter(|value| !value.is_null())
            && !n.u32().is_some_and(|n| (1..=MAX_CHOICES).contains(&n))
        {
            return Err(unexpected(n, "a whole number from 1 to 128"));
        }
        if let Some(modality) =
            root.get("modalities").and_then(|all| all.elements().find(|modality| !modality.is("text")))
        {
            let at = document.path(modality.id());
            return Err(WireError::Unsupported { at, supported: "this route judges text only: `text`" });
        }
        let model = root.get("model").and_then(Value::text).map(Cow::into_owned).unwrap_or_default();
        let Texts { segments, pieces, inner, .. } = texts;
        Ok(ChatPrompt { segments, pieces, inner, streams, model, document })
    }

    /// Puts the edits of one segment to the strings that they fall into.
    fn distribute(&self, id: SegmentId, edits: &Edits, to: &mut BTreeMap<Target, Edits>) -> Result<(), WireError> {
        let pieces = self.pieces.get(id.0 as usize).map_or(&[][..], Vec::as_slice);
        for edit in edits.iter() {
            let first = pieces.partition_point(|piece| piece.span.end <= edit.span.start);
            // A replacement over several strings is written once, where it starts.
            let mut with = edit.with.clone();
            for piece in pieces[first..].iter().take_while(|piece| piece.span.start < edit.span.end) {
                let target = match piece.edit {
                    Access::Fixed => return Err(WireError::NotEditable { at: self.document.path(piece.string) }),
                    Access::String => (piece.string, None),
                    Access::Inner(inner) => (piece.string, Some(inner)),
                };
                let start = edit.span.start.max(piece.span.start) - piece.span.start;
                let end = edit.span.end.min(piece.span.end) - piece.span.start;
                to.entry(target)
                    .or_default()
                    .insert(Edit { span: start..end, with: std::mem::replace(&mut with, "".into()) });
            }
        }
        Ok(())
    }
}

impl Prompt for ChatPrompt {
    fn segments(&self) -> &[Segment] {
        &self.segments
    }

    fn streams(&self) -> bool {
        self.streams
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn edited(&self, edits: &BTreeMap<SegmentId, Edits>) -> Result<Bytes, WireError> {
        let mut by_target = BTreeMap::new();
        for (&id, edits) in edits {
            self.distribute(id, edits, &mut by_target)?;
        }
        if by_target.is_empty() {
            return Ok(self.document.source().clone());
        }
        let mut patch = Patch::default();
        let mut inner_patches: BTreeMap<NodeId, Patch> = BTreeMap::new();
        for ((string, inner), edits) in by_target {
            let (document, id, patch) = match inner.zip(self.inner.get(&string)) {
                Some((id, document)) => (document, id, inner_patches.entry(string).or_default()),
                None => (&self.document, string, &mut patch),
            };
            patch.set_text(id, &edits.apply(&document.value(id).text().unwrap_or_default()));
        }
        for (string, document) in &self.inner {
            if let Some(inner) = inner_patches.get(string) {
                // UTF-8 with texts put in is UTF-8.
                patch.set_text(*string, &String::from_utf8_lossy(&document.render(inner)));
            }
        }
        Ok(self.document.render(&patch).into())
    }
}

/// Makes segments of what the walk finds.
struct Texts<'d> {
    max: usize,
    segments: Vec<Segment>,
    pieces: Vec<Vec<Piece>>,
    inner: BTreeMap<NodeId, Document>,
    turn: Option<(u32, Role)>,
    /// Groups within one another; the outermost decides.
    depth: usize,
    group: Vec<Leaf<'d>>,
    group_kind: Kind,
    joined: Option<Vec<Leaf<'d>>>,
}

impl Texts<'_> {
    fn new(max: usize) -> Self {
        Texts {
            max,
            segments: Vec::new(),
            pieces: Vec::new(),
            inner: BTreeMap::new(),
            turn: None,
            depth: 0,
            group: Vec::new(),
            group_kind: Kind::Other,
            joined: None,
        }
    }

    fn add(&mut self, kind: Kind, text: &str, pieces: Vec<Piece>) -> Result<(), WireError> {
        if text.is_empty() {
            return Ok(());
        }
        if self.segments.len() >= self.max {
            return Err(WireError::Shape {
                at: "the body".into(),
                expected: format!("expected at most {} texts", self.max),
            });
        }
        let (turn, role) = self.turn.map_or((None, Role::None), |(turn, role)| (Some(turn), role));
        let editable = pieces.iter().any(|piece| !matches!(piece.edit, Access::Fixed));
        let place = Place { role, kind, turn, editable };
        // The limit on nodes keeps this far below 2^32.
        let id = SegmentId(self.segments.len() as u32);
        self.segments.push(Segment { id, place, text: text.into(), fresh: 0 });
        self.pieces.push(pieces);
        Ok(())
    }

    /// One text of several leaves.
    fn add_all(&mut self, kind: Kind, leaves: &[Leaf<'_>], between: &str) -> Result<(), WireError> {
        let mut text = String::new();
        let mut pieces = Vec::with_capacity(leaves.len());
        for leaf in leaves.iter().filter(|leaf| !leaf.text.is_empty()) {
            if !text.is_empty() {
                text.push_str(between);
            }
            let start = text.len();
            text.push_str(&leaf.text);
            let edit = if leaf.editable { Access::String } else { Access::Fixed };
            pieces.push(Piece { span: start..text.len(), string: leaf.value.id(), edit });
        }
        self.add(kind, &text, pieces)
    }

    /// Tool arguments that are JSON are judged with the escapes of their own strings undone: what the tool reads. Each of these
    /// strings can be edited; keys, numbers and structure can't, so that what was JSON stays JSON.
    fn add_arguments(&mut self, leaf: &Leaf<'_>) -> Result<(), WireError> {
        let string = leaf.value.id();
        let fixed = |span| Piece { span, string, edit: Access::Fixed };
        let Ok(document) = Document::parse(leaf.text.as_bytes().to_vec(), &json::Limits::default()) else {
            self.add_all(leaf.kind, std::slice::from_ref(leaf), "")?;
            // A looser reader may still make JSON of it.
            let loose = json::unescape(&leaf.text);
            return if loose == leaf.text { Ok(()) } else { self.add(leaf.kind, &loose, vec![fixed(0..loose.len())]) };
        };
        let (mut text, mut pieces, mut copied) = (String::new(), Vec::new(), 0);
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
            pieces.push(Piece { span: start..text.len(), string, edit });
            copied = end - 1;
        }
        let before = text.len();
        text.push_str(&leaf.text[copied..]);
        pieces.push(fixed(before..text.len()));
        pieces.retain(|piece| !piece.span.is_empty());
        self.add(leaf.kind, &text, pieces)?;
        self.inner.insert(string, document);
        Ok(())
    }
}

impl<'d> Sink<'d> for Texts<'d> {
    fn leaf(&mut self, leaf: Leaf<'d>) -> Result<(), WireError> {
        if self.depth > 0 {
            self.group.push(leaf);
            return Ok(());
        }
        match &mut self.joined {
            Some(joined) => {
                joined.push(leaf);
                Ok(())
            }
            None if leaf.arguments => self.add_arguments(&leaf),
            None => self.add_all(leaf.kind, &[leaf], ""),
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
        self.add_all(self.group_kind, &leaves, "\n")
    }

    fn open_joined(&mut self) {
        self.joined = Some(Vec::new());
    }

    /// Parts of a message are judged as lines, and, since some upstreams put nothing between them, as one seamless text.
    fn close_joined(&mut self) -> Result<(), WireError> {
        let leaves = self.joined.take().unwrap_or_default();
        let kind = leaves.first().map_or(Kind::Content, |leaf| leaf.kind);
        self.add_all(kind, &leaves, "\n")?;
        if leaves.iter().filter(|leaf| !leaf.text.is_empty()).count() > 1 {
            self.add_all(kind, &leaves, "")
        } else {
            Ok(())
        }
    }

    fn turn(&mut self, position: u32, message: Value<'d>) -> Result<u32, WireError> {
        let role = message.get("role").filter(|role| role.kind() == Type::String);
        let known = match role.and_then(Value::text).as_deref() {
            Some("system") => Role::System,
            Some("developer") => Role::Developer,
            Some("user") => Role::User,
            Some("assistant") => Role::Assistant,
            Some("tool" | "function") => Role::Tool,
            _ => {
                return Err(unexpected(
                    role.unwrap_or(message),
                    "a role: system, developer, user, assistant, tool or function",
                ));
            }
        };
        self.turn = Some((position, known));
        Ok(position)
    }

    fn end_turn(&mut self) {
        self.turn = None;
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
