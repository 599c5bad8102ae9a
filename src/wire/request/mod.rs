//! Reading a request by its dialect's table: every text and its place, and the body with texts replaced.

mod known;
mod named;
mod seams;
mod segments;

pub use known::Known;
pub use named::named;

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;

use crate::text::{Edit, Edits, MediaCount, Role, Segment, SegmentId};
use crate::wire::json::{self, Document, NodeId, Patch, Type, Value};
use crate::wire::request::segments::{Access, Segments};
use crate::wire::shape::{Bounds, Rule, check_model, is_word, unexpected};
use crate::wire::{Prompt, WireError};

/// What a reader of requests asks a dialect.
pub trait Reads {
    fn body(&self) -> Rule<'_>;

    /// Who speaks in an element of [`Rule::Turns`].
    fn role(&self, turn: Value<'_>) -> Result<Role, WireError>;

    /// What the proxy has to know of a body; refuses what no table can.
    fn head(&self, body: Value<'_>) -> Result<Head, WireError>;
}

/// What a dialect that is built in says of its requests: see [`Reads`].
pub struct Requests {
    pub body: Rule<'static>,
    pub role: fn(Value<'_>) -> Result<Role, WireError>,
    pub head: fn(Value<'_>) -> Result<Head, WireError>,
}

impl Reads for Requests {
    fn body(&self) -> Rule<'_> {
        self.body
    }

    fn role(&self, turn: Value<'_>) -> Result<Role, WireError> {
        (self.role)(turn)
    }

    fn head(&self, body: Value<'_>) -> Result<Head, WireError> {
        (self.head)(body)
    }
}

/// What the proxy has to know of a request.
pub struct Head {
    /// See [`Prompt::streams`].
    pub streams: bool,
    /// See [`Prompt::model`].
    pub model: String,
}

/// A request, read by a table.
pub struct Request {
    document: Document,
    found: Segments,
    head: Head,
    path: String,
}

/// A string of the body, or a string of the JSON in it.
type Target = (NodeId, Option<NodeId>);

impl Request {
    pub fn parse(body: Bytes, requests: &impl Reads, bounds: impl Into<Bounds>) -> Result<Self, WireError> {
        let document = Document::parse(body, &json::Limits::default())?;
        let root = document.root();
        if root.is_null() {
            return Err(unexpected(root, "an object"));
        }
        let found = Segments::find(root, requests, bounds.into())?;
        let head = requests.head(root)?;
        Ok(Request { found, head, document, path: String::new() })
    }

    /// The same of an API whose path says what others say in the body.
    pub fn at(self, path: &str, head: Head) -> Self {
        Request { head, path: path.to_owned(), ..self }
    }

    /// Puts the edits of one segment to the strings that they fall into.
    fn distribute(&self, id: SegmentId, edits: &Edits, to: &mut BTreeMap<Target, Edits>) -> Result<(), WireError> {
        let pieces = self.found.pieces(id);
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
                let start = edit.span.start.max(piece.span.start) - piece.span.start + piece.from;
                let end = edit.span.end.min(piece.span.end) - piece.span.start + piece.from;
                to.entry(target)
                    .or_default()
                    .insert(Edit { span: start..end, with: std::mem::replace(&mut with, "".into()) });
            }
        }
        Ok(())
    }
}

impl Prompt for Request {
    fn segments(&self) -> &[Segment] {
        &self.found.list
    }

    fn streams(&self) -> bool {
        self.head.streams
    }

    fn media(&self) -> MediaCount {
        self.found.media
    }

    fn strange_id(&self, is_known: &dyn Fn(&str) -> bool) -> Option<String> {
        let text = |id| self.document.value(id).text().unwrap_or_default();
        let strange = self.found.kept.iter().copied().find(|id| !is_known(&text(*id)));
        strange.map(|id| self.document.path(id))
    }

    fn model(&self) -> &str {
        &self.head.model
    }

    fn known(&self) -> Known {
        Known::of(self.document.root())
    }

    fn path(&self) -> &str {
        &self.path
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
            let (document, id, patch) = match inner.zip(self.found.inner.get(&string)) {
                Some((id, document)) => (document, id, inner_patches.entry(string).or_default()),
                None => (&self.document, string, &mut patch),
            };
            patch.edit(document.value(id), &edits);
        }
        for (string, document) in &self.found.inner {
            if let Some(inner) = inner_patches.get(string) {
                // UTF-8 with texts put in is UTF-8.
                patch.set_text(*string, &String::from_utf8_lossy(&document.render(inner)));
            }
        }
        Ok(self.document.render(&patch).into())
    }
}

/// Who speaks in a message whose `role` is one of three.
pub fn role(message: Value<'_>) -> Result<Role, WireError> {
    let role = message.get("role").filter(|role| role.kind() == Type::String);
    match role.and_then(Value::text).as_deref() {
        Some("user") => Ok(Role::User),
        Some("assistant") => Ok(Role::Assistant),
        Some("system") => Ok(Role::System),
        _ => Err(unexpected(role.unwrap_or(message), "a role: user, assistant or system")),
    }
}

/// A boolean member that may be missing or null.
pub fn flag(root: Value<'_>, name: &str) -> Result<bool, WireError> {
    match root.get(name).filter(|value| !value.is_null()) {
        Some(value) => value.bool().ok_or_else(|| unexpected(value, "a boolean")),
        None => Ok(false),
    }
}

/// The name of a model, for logs and answers.
pub fn model_of(root: Value<'_>) -> Result<String, WireError> {
    let model = root.get("model");
    model.map_or(Ok(()), check_model)?;
    model_at(model)
}

/// The same of the value that names it.
pub fn model_at(value: Option<Value<'_>>) -> Result<String, WireError> {
    let Some(value) = value else { return Ok(String::new()) };
    match value.text().map(Cow::into_owned) {
        Some(model) if !is_word(&model) => {
            Err(unexpected(value, "a plain word: up to 128 letters, digits and `-_./:@+`"))
        }
        model => Ok(model.unwrap_or_default()),
    }
}
