//! Stretches of text among the bytes that letters come to, told from what comes about by chance.

use super::code::{Code, Piece};

/// Readable bytes that a stretch of one piece has at least: fewer come about by chance.
pub(super) const STRETCH: usize = 6;

/// So many letters in a row stand for themselves, whatever stands around them and whatever the pieces.
const WORDS: usize = 8;

/// So do so many bytes, with a word among them and without.
const LONG: usize = 12;
const LONGEST: usize = 16;
const WORD: usize = 4;

/// And so many where they are whole pieces, with a word.
const WHOLE: usize = 9;

/// Readable bytes at least of what is closed by padding or written as programs write bytes.
pub(super) const LEAST: usize = 4;

/// So few bytes before it in a run may be the end of a word.
const NEAR: usize = 8;

/// In a piece of so many letters a text may stand among bytes that are none.
const MIXED: usize = 64;

/// A part of a run that reads as text, in one of the ways in which letters come together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub code: Code,
    pub lane: usize,
    /// The place of its first letter, and the bits of that which belong to what comes before.
    pub from: usize,
    pub skip: u32,
    /// Where its last letter ends.
    pub end: usize,
    /// Where the piece begins in which it does.
    pub piece: usize,
    /// What stands before and after it may be part of it: as `from`, `skip` and `end`.
    pub wider: Option<(usize, u32, usize)>,
    /// Readable bytes; and those that stand in whole pieces.
    pub seen: usize,
    pub whole: usize,
}

/// A place in a stretch where a piece begins or ends and so does a byte, and what was readable before it.
#[derive(Debug, Clone, Copy)]
struct Edge {
    at: usize,
    /// Where the piece begins; what stands before its letters is of it.
    piece: usize,
    seen: usize,
}

/// Where a piece stands.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Here {
    /// The first letter of the run.
    pub run: usize,
    pub start: usize,
    pub letters: usize,
    pub end: usize,
}

/// One way in which letters come together to bytes, and the stretch that it is in.
pub(super) struct Lane {
    code: Code,
    nth: usize,
    /// Bits of the first letter to leave out.
    late: u32,
    bits: u32,
    have: u32,
    /// Where the byte begins that is not yet complete.
    from: usize,
    from_skip: u32,
    /// Whether the last byte can be of no text.
    pub ends: bool,
    /// Whether it is in a stretch; what follows is of that.
    pub live: bool,
    start: usize,
    skip: u32,
    piece: usize,
    /// Where it begins in the piece that is read, unless a byte reaches into that; and whether a piece before would have done
    /// alone.
    own: Option<Edge>,
    alone: bool,
    /// Pieces in a row that are pairs of letters, and the most of them.
    row: usize,
    pairs: usize,
    /// Whether the run begins with it, or nearly so.
    first: bool,
    end: usize,
    seen: usize,
    /// Letters and blanks in a row, and the most of them.
    word: usize,
    words: usize,
    last: Class,
    /// Hexadecimal digits that no decimal number has.
    spelled: bool,
    /// Bytes that a character still wants.
    want: u8,
    got: u8,
    /// Its first byte, and that of the last of two bytes.
    lead: u8,
    script: u8,
    clean: Option<Edge>,
    edge: Option<Edge>,
}

/// What a byte is to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Lower,
    Upper,
    Blank,
    Other,
    /// A control: nobody sees it.
    Unseen,
    /// Begins a character of so many bytes more, or is a letter of Latin-1.
    Lead(u8),
    Bad,
}

/// Only a letter of Latin-1.
pub(super) const LATIN: u8 = 9;

pub(super) const CLASSES: [Class; 256] = {
    let mut classes = [Class::Bad; 256];
    let mut byte = 0;
    while byte < classes.len() {
        classes[byte] = match byte as u8 {
            b'a'..=b'z' => Class::Lower,
            b'A'..=b'Z' => Class::Upper,
            b' ' | b'\n' | b'\r' | b'\t' => Class::Blank,
            b'!'..=b'~' => Class::Other,
            0..=0x7f => Class::Unseen,
            0x80..=0xbf => Class::Bad,
            0xc2..=0xdf => Class::Lead(1),
            0xe0..=0xef => Class::Lead(2),
            0xf0 => Class::Lead(3),
            _ => Class::Lead(LATIN),
        };
        byte += 1;
    }
    classes
};

impl Lane {
    /// Of what begins in a letter whose first `skip` bits belong to what comes before.
    pub fn new(code: Code, nth: usize, skip: u32) -> Self {
        Lane {
            code,
            nth,
            late: skip,
            bits: 0,
            have: 0,
            from: 0,
            from_skip: skip,
            ends: false,
            live: false,
            start: 0,
            skip: 0,
            piece: 0,
            own: None,
            alone: false,
            row: 0,
            pairs: 0,
            first: false,
            end: 0,
            seen: 0,
            word: 0,
            words: 0,
            last: Class::Bad,
            spelled: false,
            want: 0,
            got: 0,
            lead: 0,
            script: 0,
            clean: None,
            edge: None,
        }
    }

    /// Takes a letter at `at`; its stretch, if that ends here.
    pub fn push(&mut self, value: u8, at: usize, here: &Here) -> Option<Stretch> {
        let width = self.code.bits();
        if self.have == 0 {
            (self.from, self.from_skip) = (at, self.late);
        }
        self.bits = self.bits << width | u32::from(value);
        self.have += width - std::mem::take(&mut self.late);
        if self.have < 8 {
            return None;
        }
        self.have -= 8;
        let byte = (self.bits >> self.have) as u8;
        let (from, skip) = (self.from, self.from_skip);
        (self.from, self.from_skip) = (at, width - self.have);
        let class = CLASSES[usize::from(byte)];
        let is_bad = matches!(class, Class::Bad | Class::Lead(LATIN));
        self.ends = class == Class::Bad;
        if !self.live {
            if is_bad {
                return None;
            }
            self.begin(from, skip, here);
        }
        let ended = self.take(byte, class, at + 1, here);
        if !self.live && !is_bad {
            // It ended at what came before this byte.
            self.begin(from, skip, here);
            self.take(byte, class, at + 1, here);
        }
        self.spelled |= self.code == Code::Hexadecimal && (value > 9 || byte >> 4 > 9);
        ended
    }

    fn begin(&mut self, from: usize, skip: u32, here: &Here) {
        (self.live, self.start, self.skip, self.piece) = (true, from, skip, here.start);
        (self.end, self.seen, self.word, self.words, self.last) = (from, 0, 0, 0, Class::Bad);
        (self.spelled, self.want, self.script) = (false, 0, 0);
        (self.row, self.pairs, self.alone, self.first) = (0, 0, false, from <= here.run + NEAR);
        let own = Edge { at: from, piece: here.start, seen: 0 };
        (self.own, self.edge) = (Some(own), None);
        self.clean = (from == here.letters && skip == 0).then_some(own);
    }

    fn take(&mut self, byte: u8, class: Class, end: usize, here: &Here) -> Option<Stretch> {
        if self.want > 0 {
            if byte & 0xc0 == 0x80 && self.want != LATIN {
                (self.want, self.got) = (self.want - 1, self.got + 1);
                if self.want == 0 {
                    // By chance two letters of two bytes each are of different scripts.
                    let alike = self.got != 2 || self.lead.abs_diff(self.script) < 2;
                    self.script = self.lead;
                    self.see(if alike { usize::from(self.got) } else { 1 }, Class::Lower, end);
                }
                return None;
            }
            if byte == 0 && self.got == 1 {
                return None;
            }
            self.want = 0;
            let between = matches!(self.last, Class::Lower | Class::Upper);
            if self.got > 1 || !between || !matches!(class, Class::Lower | Class::Upper | Class::Blank) {
                return self.stop(here.end);
            }
            self.see(1, Class::Lower, end);
        }
        match class {
            Class::Bad => return self.stop(here.end),
            Class::Unseen => self.end = end,
            Class::Lead(LATIN) if !matches!(self.last, Class::Lower | Class::Upper) => return self.stop(here.end),
            Class::Lead(want) => (self.want, self.got, self.lead) = (want, 1, byte),
            class => self.see(1, class, end),
        }
        None
    }

    /// A character of so many bytes.
    fn see(&mut self, bytes: usize, class: Class, end: usize) {
        self.seen += bytes;
        self.end = end;
        self.word = match (class, self.last) {
            (Class::Upper, Class::Lower) => 1,
            (Class::Blank, _) if self.word == 0 => 0,
            (Class::Lower | Class::Upper | Class::Blank, _) => self.word + 1,
            _ => 0,
        };
        self.words = self.words.max(self.word);
        self.last = class;
    }

    /// A piece ends at `end` and the run goes on at `next`.
    pub fn cross(&mut self, here: &Here, next: &Piece) {
        let end = here.end;
        if !self.live {
            return;
        }
        self.alone |= self.stands_alone(end);
        self.row = if end - here.letters == 2 { self.row + 1 } else { 0 };
        self.pairs = self.pairs.max(self.row);
        if self.end == end {
            self.edge = Some(Edge { at: end, piece: here.start, seen: self.seen });
        }
        self.own = (self.have == 0).then_some(Edge { at: next.letters, piece: next.start, seen: self.seen });
        self.clean = self.clean.or(self.own);
    }

    /// The run ends, with padding or without.
    pub fn finish(&mut self, end: usize, padding: usize) -> Option<Stretch> {
        if !self.live {
            return None;
        }
        // A quad that lacks a letter has two bits to spare, one that lacks two has four.
        let padded = padding > 0 && self.have as usize == 2 * padding.min(2);
        // No base64 ends in one letter more.
        let is_odd = self.code == Code::Base64 && self.end + 1 == end && self.have == 6;
        self.end_stretch(if is_odd { self.end } else { end }, padded)
    }

    fn stop(&mut self, piece_end: usize) -> Option<Stretch> {
        (self.live, self.want) = (false, 0);
        if self.seen < LEAST { None } else { self.end_stretch(piece_end, false) }
    }

    fn end_stretch(&mut self, piece_end: usize, padded: bool) -> Option<Stretch> {
        (self.live, self.want) = (false, 0);
        let at_end = self.end == piece_end;
        let edge = if at_end { Some(Edge { at: self.end, piece: self.piece, seen: self.seen }) } else { self.edge };
        let edge = edge.filter(|edge| self.clean.is_none_or(|clean| clean.at < edge.at));
        let whole = self.clean.zip(edge).map_or(0, |(clean, edge)| edge.seen - clean.seen);
        if !self.is_text(whole, padded && at_end, piece_end) {
            return None;
        }
        let mut stretch = Stretch {
            code: self.code,
            lane: self.nth,
            from: self.start,
            skip: self.skip,
            end: self.end,
            piece: self.piece,
            wider: None,
            seen: self.seen,
            whole,
        };
        // A few bytes before the first piece, or after the last, may be the letters of a word of prose.
        let before = self.clean.filter(|clean| clean.at > self.start && clean.seen < STRETCH);
        let after = edge.filter(|edge| !at_end && self.seen - edge.seen < STRETCH);
        let kept = after.map_or(self.seen, |edge| edge.seen) - before.map_or(0, |clean| clean.seen).min(self.seen);
        if kept >= LEAST && (before.is_some() || after.is_some()) {
            stretch.wider = Some((self.start, self.skip, self.end));
            stretch.seen = kept;
            if let Some(clean) = before {
                (stretch.from, stretch.skip, stretch.piece) = (clean.at, 0, clean.piece);
            }
            if let Some(edge) = after {
                stretch.end = edge.at;
            }
        }
        Some(stretch)
    }

    /// Whether it is a text rather than letters that come about by chance. `whole` is how much of it stands in whole pieces.
    fn is_text(&self, whole: usize, padded: bool, ends: usize) -> bool {
        let whole_words = whole >= STRETCH && self.words >= STRETCH;
        let alone = self.alone || self.stands_alone(ends);
        let long = self.seen >= LONGEST || self.seen >= LONG && self.words >= WORD;
        let whole_text = whole >= LONG || whole >= WHOLE && self.words >= WORD || whole_words;
        // The last has nothing behind it.
        let pairs = self.pairs + 1 >= STRETCH;
        match self.code {
            Code::Base64 => whole >= LEAST && padded || self.words >= WORDS || long || whole_text || alone,
            // Numbers are hexadecimal too.
            Code::Hexadecimal if !self.spelled => {
                self.words >= WORDS || alone || pairs && whole_words || whole >= WHOLE && self.pairs + 1 >= WHOLE
            }
            Code::Hexadecimal => {
                let is_all = self.first && self.end == ends && whole >= LEAST;
                is_all || self.words >= STRETCH || long || whole_text || alone || pairs && whole >= STRETCH
            }
        }
    }

    /// Whether what is of it in the piece that ends at `end` would do for a text: half of that, or words in it, or the piece is
    /// long.
    fn stands_alone(&self, end: usize) -> bool {
        let Some(own) = self.own else { return false };
        let seen = self.seen - own.seen;
        if self.code == Code::Hexadecimal && !self.spelled {
            let is_whole = self.clean.is_some() && self.end == end;
            return is_whole && (seen >= WHOLE || seen.min(self.words) >= STRETCH);
        }
        let letters = end.saturating_sub(own.piece);
        let is_half = seen * 16 >= letters * self.code.bits() as usize;
        seen >= STRETCH && (is_half || letters >= MIXED || self.words >= STRETCH)
    }
}
