//! Undoes encodings that a model reads through: base64, hexadecimal, percent escapes, HTML's character references. What is
//! decoded stands in the place of what it was decoded from; a run of base64 or hexadecimal is one whole.

mod letter;
mod readable;
mod run;

use super::map::{Builder, Map};
use crate::text::Span;
use readable::Readable;
use run::Run;

/// So many single characters in a row, each with an escape of its own, are an encoded text and no punctuation of a URL.
const ROW: usize = 8;

/// So many words of prose before a run are told from it though they are of its pieces' length.
const WORDS: usize = 4;

/// A text with its encodings undone, once; at most twice as long as what it was made from.
pub(super) struct Decoded {
    pub text: String,
    pub map: Map,
    /// In order and apart.
    pub parts: Vec<Part>,
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

impl Layer {
    /// In the order in which they are undone.
    pub const ALL: [Layer; 2] = [Layer::Letters, Layer::Runs];
}

/// The text with one layer undone; `None` where nothing in it is encoded so. Linear in the text.
pub(super) fn decoded(text: &str, layer: Layer) -> Option<Decoded> {
    let mut found = Finds::new(text, layer);
    let first = found.next()?;
    let mut to = Writer { to: Builder::for_source(text), text, copied: 0, parts: Vec::new() };
    to.write(first);
    found.for_each(|find| to.write(find));
    Some(to.finish())
}

/// Whether anything in the text is encoded.
pub(super) fn any(text: &str) -> bool {
    Layer::ALL.into_iter().any(|layer| Finds::new(text, layer).next().is_some())
}

/// One thing that is encoded.
enum Find {
    /// A character at this place, and the bytes of its escape.
    Letter(usize, char, usize),
    Run(Span, Readable),
}

/// What is encoded in a text, in order.
struct Finds<'t> {
    text: &'t str,
    layer: Layer,
    at: usize,
    /// Up to here pieces say nothing together: only those are joined that are hexadecimal.
    apart: usize,
}

impl<'t> Finds<'t> {
    fn new(text: &'t str, layer: Layer) -> Self {
        Finds { text, layer, at: 0, apart: 0 }
    }
}

impl Finds<'_> {
    fn next_letter(&mut self) -> Option<Find> {
        loop {
            let start = self.at + memchr::memchr3(b'%', b'&', b'\\', &self.text.as_bytes()[self.at..])?;
            match letter::letter(&self.text[start..]) {
                Some((ch, len)) => {
                    self.at = start + len;
                    return Some(Find::Letter(start, ch, len));
                }
                None => self.at = start + 1,
            }
        }
    }

    fn next_run(&mut self) -> Option<Find> {
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            self.at += rest.iter().position(|byte| run::is_letter(*byte))?;
            if let Some(find) = self.run(self.at) {
                return Some(find);
            }
        }
    }

    /// What the run at `start` says, or a part of it; goes on behind what it has looked at.
    fn run(&mut self, start: usize) -> Option<Find> {
        let bytes = self.text.as_bytes();
        if start >= self.apart {
            let run = Run::at(bytes, start);
            let mut best = run.decoded(bytes).map(|(read, end)| (start, read, end));
            let is_clean =
                |best: &Option<(usize, Readable, usize)>| best.as_ref().is_some_and(|best| best.1.is_clean());
            // Words of prose before it can have its pieces' length.
            for from in run.pieces(bytes).skip(1).take(WORDS) {
                if is_clean(&best) {
                    break;
                }
                let read = Run::at(bytes, from).decoded(bytes);
                if let Some((read, end)) = read.filter(|(read, _)| best.is_none() || read.is_clean()) {
                    best = Some((from, read, end));
                }
            }
            if let Some((from, read, end)) = best {
                self.at = end;
                return Some(Find::Run(from..end, read));
            }
            self.apart = run.end();
        }
        let run = Run::hex_at(bytes, start, self.apart);
        let read = run.decoded(bytes);
        self.at = read.as_ref().map_or(run.end(), |(_, end)| *end);
        read.map(|(read, end)| Find::Run(start..end, read))
    }
}

impl Iterator for Finds<'_> {
    type Item = Find;

    fn next(&mut self) -> Option<Find> {
        match self.layer {
            Layer::Letters => self.next_letter(),
            Layer::Runs => self.next_run(),
        }
    }
}

struct Writer<'t> {
    to: Builder,
    text: &'t str,
    /// So much of the text has been written.
    copied: usize,
    parts: Vec<Part>,
}

impl Writer<'_> {
    fn write(&mut self, find: Find) {
        match find {
            Find::Letter(at, ch, len) => {
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
            Find::Run(span, readable) => {
                self.copy(span.start);
                let before = self.to.len();
                let mut source = span.start;
                for (text, next) in &readable.pieces {
                    self.to.replace(text, source.min(span.end - 1));
                    source = *next;
                }
                let decoded = before..self.to.len();
                self.copied = span.end;
                self.parts.push(Part { source: span, decoded, solid: true, plain: readable.is_plain() });
            }
        }
    }

    fn copy(&mut self, to: usize) {
        self.to.copy_all(&self.text[self.copied..to], self.copied);
    }

    fn finish(mut self) -> Decoded {
        self.copy(self.text.len());
        self.parts.retain(|part| part.solid || part.decoded.len() >= ROW);
        let (text, map) = self.to.finish(self.text.len());
        Decoded { text, map, parts: self.parts }
    }
}

#[cfg(test)]
mod tests;
