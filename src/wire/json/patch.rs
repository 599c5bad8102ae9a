//! Changes to a document, and writing it with them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::text::Edits;
use crate::wire::json::string::edit;
use crate::wire::json::{Document, NodeId, Value, json_text};

/// Changes to one document: strings replaced, arrays emptied, object members removed.
#[derive(Debug, Clone, Default)]
pub struct Patch {
    /// The new JSON of a value.
    values: BTreeMap<NodeId, Cow<'static, str>>,
    /// Keys of removed members, by object.
    removed: BTreeMap<NodeId, BTreeSet<NodeId>>,
}

impl Patch {
    /// Gives a string (or key) a new text.
    pub fn set_text(&mut self, string: NodeId, text: &str) {
        self.values.insert(string, json_text(text).into());
    }

    /// Edits the text of a string.
    pub fn edit(&mut self, string: Value<'_>, edits: &Edits) {
        self.values.insert(string.id(), edit(string.raw(), edits).into());
    }

    /// Makes a value an array without elements.
    pub fn empty(&mut self, value: Value<'_>) {
        self.values.insert(value.id(), "[]".into());
    }

    /// Takes the member that has this key out of the object, if there is one.
    pub fn remove(&mut self, object: Value<'_>, key: &str) {
        if let Some((name, _)) = object.members().find(|(name, _)| name.is(key)) {
            self.removed.entry(object.id()).or_default().insert(name.id());
        }
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty() && self.removed.is_empty()
    }
}

impl Document {
    /// The document with the changes made; every other byte as it came.
    pub fn render(&self, patch: &Patch) -> Vec<u8> {
        let mut splices: Vec<(Range<usize>, &str)> = self.cuts(patch).into_iter().map(|cut| (cut, "")).collect();
        let kept = splices.len();
        for (&id, json) in &patch.values {
            let span = self.span(id);
            let inside = splices[..kept].partition_point(|(cut, _)| cut.start <= span.start);
            if inside == 0 || splices[inside - 1].0.end <= span.start {
                splices.push((span, json));
            }
        }
        splices.sort_unstable_by_key(|(span, _)| span.start);
        let mut out = Vec::with_capacity(self.source.len());
        let mut copied = 0;
        for (span, json) in splices {
            // What stands in an emptied array goes with it.
            if span.start < copied {
                continue;
            }
            out.extend_from_slice(&self.source[copied..span.start]);
            out.extend_from_slice(json.as_bytes());
            copied = span.end;
        }
        out.extend_from_slice(&self.source[copied..]);
        out
    }

    /// The same on one line: white space between tokens dropped, line separators in strings escaped.
    pub fn render_line(&self, patch: &Patch) -> Vec<u8> {
        if patch.is_empty() { one_line(&self.source) } else { one_line(&self.render(patch)) }
    }

    /// The spans that removed members leave out, sorted and disjoint.
    fn cuts(&self, patch: &Patch) -> Vec<Range<usize>> {
        let mut cuts = Vec::new();
        for (&object, keys) in &patch.removed {
            // Where the last member that stays ends; a removed one at the object's end takes the comma before it along.
            let mut kept_end = self.span(object).start + 1;
            let mut members = self.value(object).members().peekable();
            while let Some((key, value)) = members.next() {
                if !keys.contains(&key.id()) {
                    kept_end = self.span(value.id()).end;
                    continue;
                }
                cuts.push(match members.peek() {
                    Some((next, _)) => self.span(key.id()).start..self.span(next.id()).start,
                    None => kept_end..self.span(value.id()).end,
                });
            }
        }
        cuts.sort_unstable_by_key(|cut| (cut.start, cut.end));
        let mut merged: Vec<Range<usize>> = Vec::with_capacity(cuts.len());
        for cut in cuts {
            match merged.last_mut() {
                Some(last) if cut.start <= last.end => last.end = last.end.max(cut.end),
                _ => merged.push(cut),
            }
        }
        merged
    }

    fn span(&self, id: NodeId) -> Range<usize> {
        self.value(id).span()
    }
}

/// Sound JSON on one line, for readers that split at any of Unicode's line separators: white space between tokens is dropped;
/// U+0085, U+2028 and U+2029 are escaped (the others cannot stand unescaped in a JSON string). Numbers stay as they came.
pub fn one_line(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    // What lies between white space goes over in one piece: most JSON has none.
    let (mut at, mut copied) = (0, 0);
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => at += string_end(&json[at..]),
            b' ' | b'\t' | b'\n' | b'\r' => {
                escape_separators(&json[copied..at], &mut out);
                at += 1;
                copied = at;
            }
            _ => at += 1,
        }
    }
    escape_separators(&json[copied..], &mut out);
    out
}

/// Where the string at the start of `json` ends.
fn string_end(json: &[u8]) -> usize {
    let mut at = 1;
    while let Some(found) = json.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if json[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    json.len()
}

/// Sound JSON has them in strings only.
fn escape_separators(json: &[u8], out: &mut Vec<u8>) {
    let mut copied = 0;
    // Lead bytes of U+0085 and of U+2028/2029; in UTF-8 they are never part of another character.
    for at in memchr::memchr2_iter(0xc2, 0xe2, json) {
        let (escape, length): (&[u8], usize) = match &json[at..] {
            [0xc2, 0x85, ..] => (b"\\u0085", 2),
            [0xe2, 0x80, 0xa8, ..] => (b"\\u2028", 3),
            [0xe2, 0x80, 0xa9, ..] => (b"\\u2029", 3),
            _ => continue,
        };
        out.extend_from_slice(&json[copied..at]);
        out.extend_from_slice(escape);
        copied = at + length;
    }
    out.extend_from_slice(&json[copied..]);
}
