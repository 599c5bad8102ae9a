//! A request of which the path or the query says something, too: the name of a model, of a deployment, a version.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::text::{Edits, Kind, MediaCount, Place, Role, Segment, SegmentId};
use crate::wire::{Known, Prompt, WireError};

/// A request with words from outside of its body behind its texts. They stay as they are: one that has to change can't.
pub fn named<'w>(prompt: Box<dyn Prompt>, words: impl Iterator<Item = &'w str>) -> Box<dyn Prompt> {
    let place = Place { role: Role::None, kind: Kind::Word, turn: None, editable: false };
    let mut segments: Vec<Segment> = Vec::new();
    for (id, word) in (prompt.segments().len() as u32..).zip(words) {
        segments.push(Segment { id: SegmentId(id), place, text: word.into(), fresh: 0, masked: Vec::new() });
    }
    if segments.is_empty() {
        return prompt;
    }
    segments.splice(0..0, prompt.segments().iter().cloned());
    Box::new(Named { prompt, segments })
}

struct Named {
    prompt: Box<dyn Prompt>,
    segments: Vec<Segment>,
}

impl Prompt for Named {
    fn segments(&self) -> &[Segment] {
        &self.segments
    }

    fn streams(&self) -> bool {
        self.prompt.streams()
    }

    fn media(&self) -> MediaCount {
        self.prompt.media()
    }

    fn strange_id(&self, is_known: &dyn Fn(&str) -> bool) -> Option<String> {
        self.prompt.strange_id(is_known)
    }

    fn model(&self) -> &str {
        self.prompt.model()
    }

    fn known(&self) -> Known {
        self.prompt.known()
    }

    fn path(&self) -> &str {
        self.prompt.path()
    }

    fn edited(&self, edits: &BTreeMap<SegmentId, Edits>) -> Result<Bytes, WireError> {
        let own = SegmentId(self.prompt.segments().len() as u32);
        match edits.range(own..).next() {
            Some(_) => Err(WireError::NotEditable { at: "the path or the query".into() }),
            None => self.prompt.edited(edits),
        }
    }
}
