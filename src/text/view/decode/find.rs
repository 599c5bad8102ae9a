//! Runs of base64 and hexadecimal that have a text in them, and what they read as.

use super::code::Code;
use super::glance::stretches;
use super::readable::{self, Placed};
use super::stretch::Stretch;
use crate::text::Span;

/// Where a text may begin or end between two pieces, so much of it is read once more from there.
const AGAIN: usize = 128;

/// So many places of those at the beginning of a text.
const BEGINNINGS: usize = 4;

/// How many times as long as a run all that it may read as can be, and what of that is read once more.
const OTHERS: usize = 2;
const EDGES: usize = 4;

/// A run, or some that stand in one another.
pub(super) struct Find {
    pub span: Span,
    /// What it reads as, each piece with the place in the source where it ends.
    pub pieces: Vec<(String, usize)>,
    /// What else it may read as, each on a line; at most six times as long as the run.
    pub others: String,
    /// Whether most of it can be read.
    pub plain: bool,
}

/// Whether a text has any.
pub(super) fn any(text: &str) -> bool {
    let mut found = Vec::new();
    Code::ALL.into_iter().any(|code| {
        stretches(text.as_bytes(), code, true, &mut found);
        !found.is_empty()
    })
}

/// All runs of a text, in order and apart.
pub(super) fn finds(text: &str) -> Vec<Find> {
    let bytes = text.as_bytes();
    let mut hexadecimal = Vec::new();
    stretches(bytes, Code::Hexadecimal, false, &mut hexadecimal);
    hexadecimal.sort_by_key(|stretch| stretch.from);
    let mut found = Vec::new();
    stretches(bytes, Code::Base64, false, &mut found);
    found.retain(|stretch| !is_part(stretch, &hexadecimal));
    found.append(&mut hexadecimal);
    found.sort_by_key(|stretch| (stretch.piece, stretch.from));
    let mut finds = Vec::new();
    let mut rest = &found[..];
    while let Some(first) = rest.first() {
        let mut end = ends(bytes, first);
        let mut count = 1;
        while let Some(next) = rest.get(count).filter(|next| next.piece < end) {
            if next.end > end {
                end = ends(bytes, next);
            }
            count += 1;
        }
        let (together, others) = rest.split_at(count);
        finds.push(find(bytes, first.piece..end, together));
        rest = others;
    }
    finds
}

/// Whether all letters of a stretch of base64 are of one of hexadecimal: that says nothing else. Where it has others too, the
/// hexadecimal may be what came about by chance.
fn is_part(stretch: &Stretch, hexadecimal: &[Stretch]) -> bool {
    let after = hexadecimal.partition_point(|other| other.piece <= stretch.from);
    hexadecimal[..after].iter().rev().take(2).any(|other| stretch.end <= other.end)
}

/// Where the piece ends that a stretch ends in, and its padding.
fn ends(bytes: &[u8], stretch: &Stretch) -> usize {
    let end = stretch.code.end(bytes, stretch.end);
    let is_padded = stretch.code == Code::Base64;
    end + bytes[end..].iter().take(2).take_while(|byte| is_padded && **byte == b'=').count()
}

fn find(bytes: &[u8], span: Span, stretches: &[Stretch]) -> Find {
    let mut ways: Vec<Way> = Vec::new();
    for stretch in stretches {
        match ways.iter_mut().find(|way| (way.code, way.lane) == (stretch.code, stretch.lane)) {
            Some(way) => way.stretches.push(*stretch),
            None => ways.push(Way { code: stretch.code, lane: stretch.lane, stretches: vec![*stretch] }),
        }
    }
    ways.sort_by_key(|way| std::cmp::Reverse((way.sum(|stretch| stretch.whole), way.sum(|stretch| stretch.seen))));
    let mut pieces = Vec::new();
    let widest = stretches.iter().filter_map(|stretch| stretch.wider).map(|(from, _, end)| end - from);
    let len = widest.fold(span.len(), usize::max);
    let mut others = Lines { text: String::new(), most: OTHERS * len };
    let mut edges = Lines { text: String::new(), most: EDGES * len };
    let (mut covered, mut last) = (0, None);
    for (nth, way) in ways.iter().enumerate() {
        for stretch in &way.stretches {
            let placed = Letters::read(bytes, stretch.code, stretch.from, stretch.skip, stretch.end);
            if nth > 0 {
                others.add(&text(&placed.bytes));
            } else {
                covered += stretch.end - stretch.from;
                if last.is_some_and(|last| last < stretch.from) {
                    pieces.push(("?".into(), stretch.from));
                }
                pieces.extend(readable::read(&placed.bytes));
                last = Some(stretch.end);
            }
            if let Some((from, skip, end)) = stretch.wider {
                others.add(&text(&Letters::read(bytes, stretch.code, from, skip, end).bytes));
            }
            readable::read_wide(&placed.bytes).iter().for_each(|wide| others.add(wide));
            placed.edges().iter().for_each(|edge| edges.add(edge));
        }
    }
    let plain = covered >= span.len() / 4 * 3;
    Find { span, pieces, others: others.text + &edges.text, plain }
}

/// The stretches that come together in one way.
struct Way {
    code: Code,
    lane: usize,
    stretches: Vec<Stretch>,
}

impl Way {
    fn sum(&self, of: impl Fn(&Stretch) -> usize) -> usize {
        self.stretches.iter().map(of).sum()
    }
}

/// Lines, as long as they may be together.
struct Lines {
    text: String,
    most: usize,
}

impl Lines {
    fn add(&mut self, line: &str) {
        if self.text.len() + line.len() < self.most {
            self.text.push_str(line);
            self.text.push('\n');
        }
    }
}

/// The bytes that some letters come to.
struct Letters {
    bytes: Vec<Placed>,
    /// How many bytes there are where a text may begin, and where one may end.
    beginnings: Vec<usize>,
    last: Option<usize>,
}

impl Letters {
    /// From the letter at `from`, less its first bits, to `end`.
    fn read(source: &[u8], code: Code, from: usize, skip: u32, end: usize) -> Self {
        let mut to = Letters { bytes: Vec::new(), beginnings: Vec::new(), last: None };
        let (mut bits, mut have) = (0u32, 0);
        let mut at = from;
        loop {
            let piece_end = code.end(&source[..end], at);
            for (place, &letter) in (at..).zip(&source[at..piece_end]) {
                if is_sign(code, letter) {
                    to.last = Some(to.bytes.len());
                }
                bits = bits << code.bits() | u32::from(code.value(letter));
                have += if place == from { code.bits() - skip } else { code.bits() };
                if have >= 8 {
                    have -= 8;
                    to.bytes.push(((bits >> have) as u8, place + 1));
                }
                if have == 0 && is_sign(code, letter) {
                    to.begin();
                }
            }
            if piece_end >= end {
                return to;
            }
            to.last = Some(to.bytes.len());
            if have == 0 {
                to.begin();
            }
            match code.next(source, piece_end) {
                Ok(next) if next.letters < end => at = next.letters,
                _ => return to,
            }
        }
    }

    fn begin(&mut self) {
        if self.beginnings.len() < BEGINNINGS {
            self.beginnings.push(self.bytes.len());
        }
    }

    /// What it reads as from each place where it may begin, and up to the last where it may end.
    fn edges(&self) -> Vec<String> {
        let in_word = |at: usize| {
            let joins = |byte: Option<&Placed>| byte.is_some_and(|(byte, _)| *byte > b' ');
            at > 0 && joins(self.bytes.get(at - 1)) && joins(self.bytes.get(at))
        };
        let begins = self.beginnings.iter().filter(|at| in_word(**at));
        let begins = begins.map(|&at| text(&self.bytes[at..self.bytes.len().min(at + AGAIN)]));
        let ends = self.last.filter(|at| in_word(*at)).map(|at| text(&self.bytes[at.saturating_sub(AGAIN)..at]));
        begins.chain(ends).collect()
    }
}

/// Whether it stands between words in paths and names.
fn is_sign(code: Code, byte: u8) -> bool {
    code == Code::Base64 && !byte.is_ascii_alphanumeric()
}

fn text(bytes: &[Placed]) -> String {
    readable::read(bytes).into_iter().map(|(text, _)| text).collect()
}
