//! Reading a chat request: every text and its place, and the body with texts replaced.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;

use crate::text::{Edit, Edits, Segment, SegmentId};
use crate::wire::json::{self, Document, NodeId, Patch, Value};
use crate::wire::openai_chat::segments::{Access, Segments};
use crate::wire::shape::{is_word, unexpected, unsupported};
use crate::wire::{Prompt, WireError};

/// Choices that a request may ask for, as OpenAI bounds it.
pub const MAX_CHOICES: u32 = 128;

/// A chat request, parsed.
pub struct ChatPrompt {
    document: Document,
    found: Segments,
    streams: bool,
    model: String,
}

/// A string of the body, or a string of the JSON in it.
type Target = (NodeId, Option<NodeId>);

impl ChatPrompt {
    pub fn parse(body: Bytes, max_segments: usize) -> Result<Self, WireError> {
        let document = Document::parse(body, &json::Limits::default())?;
        let root = document.root();
        let found = Segments::find(root, max_segments)?;
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
            return Err(unsupported(modality, "this route judges text only: `text`"));
        }
        let model = root.get("model").and_then(Value::text).map(Cow::into_owned);
        if let Some(value) = root.get("model").filter(|_| model.as_deref().is_some_and(|model| !is_word(model))) {
            return Err(unexpected(value, "a plain word: up to 128 letters, digits and `-_./:@+`"));
        }
        Ok(ChatPrompt { found, streams, model: model.unwrap_or_default(), document })
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
        &self.found.list
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
            let (document, id, patch) = match inner.zip(self.found.inner.get(&string)) {
                Some((id, document)) => (document, id, inner_patches.entry(string).or_default()),
                None => (&self.document, string, &mut patch),
            };
            patch.set_text(id, &edits.apply(&document.value(id).text().unwrap_or_default()));
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
