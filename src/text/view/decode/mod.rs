//! Undoes encodings that a model reads through: base64, hexadecimal, percent escapes, HTML's character references. What is
//! decoded stands in the place of what it was decoded from; a run of base64 or hexadecimal is one whole.

mod code;
mod dump;
mod find;
mod glance;
mod letter;
mod readable;
mod stretch;

use super::map::{Builder, Map};
use crate::text::Span;
use crate::text::window::floor;
use dump::Dump;
use find::Find;

/// So many single characters in a row, each with an escape of its own, are an encoded text and no punctuation of a URL.
const ROW: usize = 8;

/// So many bytes next to a part may go with it.
const NEXT: usize = 8;

/// A text with its encodings undone, once; at most twice as long as what it was made from, or six times where it has not
/// all of that.
pub(super) struct Decoded {
    pub text: String,
    pub map: Map,
    /// In order and apart.
    pub parts: Vec<Part>,
    /// Whether it has all of the text: else only what parts of it may read as too.
    pub all: bool,
}

impl Decoded {
    /// Whether anything may be encoded once more: a letter, or a part with what stands next to it.
    pub fn has_more(&self) -> bool {
        any_letter(&self.text)
            || self.parts.iter().any(|part| {
                let start = floor(&self.text, part.decoded.start.saturating_sub(NEXT));
                let end = floor(&self.text, part.decoded.end.saturating_add(NEXT));
                any(&self.text[start..end])
            })
    }
}

/// A part that was encoded as a whole.
#[derive(Debug)]
pub(super) struct Part {
    /// In what the decoded text was made from.
    pub source: Span,
    /// In the decoded text.
    pub decoded: Span,
    /// Whether it stands and falls as a whole: of base64 no half means anything.
    pub solid: bool,
    /// Whether most of it can be read.
    pub plain: bool,
}

/// What is undone at once: letter by letter, then run by run. A run may be spelled in escaped letters, in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    Letters,
    Runs,
}

/// The text with one layer undone, and what parts of it may read as too; nothing where nothing in it is encoded so. Linear in
/// the text.
pub(super) fn decoded(text: &str, layer: Layer) -> Vec<Decoded> {
    let mut to = Writer::new(text, true);
    let mut others = [Writer::new(text, false), Writer::new(text, false)];
    match layer {
        Layer::Letters => letters(text).for_each(|(at, ch, len)| to.write_letter(at, ch, len)),
        Layer::Runs => {
            let [lines, dumps] = &mut others;
            for find in find::finds(text) {
                lines.write_other(&find.span, &find.others);
                to.write_run(find);
            }
            for Dump { span, bytes } in dump::dumps(text.as_bytes()) {
                let text: String = readable::read(&bytes).into_iter().map(|(text, _)| text).collect();
                dumps.write_other(&span, &(text + "\n"));
            }
        }
    }
    std::iter::once(to).chain(others).filter(|writer| writer.copied > 0).map(Writer::finish).collect()
}

/// Whether anything in the text is encoded.
pub(super) fn any(text: &str) -> bool {
    letters(text).next().is_some() || find::any(text)
}

/// Whether the text has single characters that are escaped.
pub(super) fn any_letter(text: &str) -> bool {
    letters(text).next().is_some()
}

/// Single characters that are escaped: where, as what, and in how many bytes.
fn letters(text: &str) -> impl Iterator<Item = (usize, char, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at + memchr::memchr3(b'%', b'&', b'\\', &text.as_bytes()[at..])?;
            match letter::letter(&text[start..]) {
                Some((ch, len)) => {
                    at = start + len;
                    return Some((start, ch, len));
                }
                None => at = start + 1,
            }
        }
    })
}

struct Writer<'t> {
    to: Builder,
    text: &'t str,
    /// So much of the text has been written.
    copied: usize,
    parts: Vec<Part>,
    all: bool,
}

impl<'t> Writer<'t> {
    fn new(text: &'t str, all: bool) -> Self {
        Writer { to: Builder::default(), text, copied: 0, parts: Vec::new(), all }
    }

    fn write_letter(&mut self, at: usize, ch: char, len: usize) {
        self.copy(at);
        let before = self.to.len();
        self.to.replace(ch.encode_utf8(&mut [0; 4]), at);
        let decoded = before..self.to.len();
        match self.parts.last_mut().filter(|last| !last.solid && last.source.end == at) {
            Some(row) => (row.source.end, row.decoded.end) = (at + len, decoded.end),
            None => self.parts.push(Part { source: at..at + len, decoded, solid: false, plain: true }),
        }
        self.copied = at + len;
    }

    fn write_run(&mut self, find: Find) {
        let Find { span, mut pieces, plain, .. } = find;
        self.copy(span.start);
        // What stands in the middle of a word is told from the rest of it.
        let joins = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = self.text.as_bytes();
        let (before, after) = (joins(bytes[..span.start].last()), joins(bytes.get(span.end)));
        if let Some((first, _)) = pieces.first_mut().filter(|_| before) {
            first.insert(0, '\n');
        }
        if let Some((last, _)) = pieces.last_mut().filter(|_| after) {
            last.push('\n');
        }
        let start = self.to.len();
        let mut source = span.start;
        for (text, next) in &pieces {
            self.to.replace(text, source.min(span.end - 1));
            source = *next;
        }
        let decoded = start + usize::from(before)..self.to.len() - usize::from(after);
        self.copied = span.end;
        self.parts.push(Part { source: span, decoded, solid: true, plain });
    }

    fn write_other(&mut self, span: &Span, says: &str) {
        if says.is_empty() {
            return;
        }
        let start = self.to.len();
        self.to.replace(says, span.start);
        self.to.replace("", span.end);
        self.copied = span.end;
        self.parts.push(Part { source: span.clone(), decoded: start..self.to.len(), solid: true, plain: false });
    }

    fn copy(&mut self, to: usize) {
        self.to.copy_all(&self.text[self.copied..to], self.copied);
    }

    fn finish(mut self) -> Decoded {
        if self.all {
            self.copy(self.text.len());
        }
        self.parts.retain(|part| part.solid || part.decoded.len() >= ROW);
        let (text, map) = self.to.finish(self.text.len());
        Decoded { text, map, parts: self.parts, all: self.all }
    }
}

#[cfg(test)]
mod tests;
