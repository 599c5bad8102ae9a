//! Runs of base64 and hexadecimal: in one piece, or in pieces of one length with blanks or punctuation between them.

use std::ops::Range;

use super::readable::Readable;

/// Letters of base64 that a run has at least; padding counts.
const LEAST: usize = 8;

/// From so many letters on, less than half of a run may be text.
const MIXED: usize = 64;

/// Bytes between two pieces of a run, at most.
const GAP: usize = 8;

/// Pieces of so many letters can be parts of a run.
const PIECE: usize = 4;

/// Letters of either alphabet of base64, with its padding aside.
const LETTERS: [bool; 256] = {
    let mut letters = [false; 256];
    let mut byte = 0;
    while byte < letters.len() {
        letters[byte] = matches!(byte as u8, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' | b'-' | b'_');
        byte += 1;
    }
    letters
};

pub(super) fn is_letter(byte: u8) -> bool {
    LETTERS[usize::from(byte)]
}

/// What could be a run.
pub(super) struct Run {
    start: usize,
    end: usize,
    /// Where the first piece ends.
    first: usize,
    /// Where the pieces end that are hexadecimal.
    hex: usize,
    /// Where a shorter last piece begins at the latest: it may be a word of prose.
    tail: usize,
}

impl Run {
    /// The run of the letter at `start`, all its pieces.
    pub fn at(bytes: &[u8], start: usize) -> Self {
        let mut run = Run::unpadded(bytes, start);
        let (first, len) = (run.first, run.first - start);
        if len < PIECE && !(len == 2 && run.hex == first) {
            return run.padded(bytes);
        }
        let mut pieces = 1;
        while bytes.get(run.end) != Some(&b'=')
            && let Some(next) = after_gap(bytes, run.end)
        {
            let end = piece(bytes, next);
            let alike = has_mark(&bytes[next..end]) == has_mark(&bytes[start..first]);
            let more = end - next == len && alike && (len >= PIECE || is_hex(&bytes[next..end]));
            let last = !more && len >= PIECE && end - next < len && !begins_hex(bytes, next..end);
            let is_line = bytes[run.end..next].contains(&b'\n');
            let is_padded = bytes.get(end) == Some(&b'=');
            if more || last && (pieces > 1 || is_line || is_padded) {
                run.tail = if more || is_padded { end } else { run.end };
                if run.hex == run.end && is_hex(&bytes[next..end]) {
                    run.hex = end;
                }
                (run.end, pieces) = (end, pieces + 1);
            }
            if !more {
                break;
            }
        }
        run.padded(bytes)
    }

    fn unpadded(bytes: &[u8], start: usize) -> Self {
        let first = piece(bytes, start);
        let hex = if is_hex(&bytes[start..first]) { first } else { start };
        Run { start, end: first, first, hex, tail: first }
    }

    pub fn end(&self) -> usize {
        self.end
    }

    /// Where its pieces begin.
    pub fn pieces<'b>(&self, bytes: &'b [u8]) -> impl Iterator<Item = usize> + use<'b> {
        let end = self.end;
        std::iter::successors(Some(self.start), move |at| {
            after_gap(bytes, piece(bytes, *at)).filter(|next| *next < end)
        })
    }

    /// The pieces at `start` that are hexadecimal, up to `end`.
    pub fn hex_at(bytes: &[u8], start: usize, end: usize) -> Self {
        let mut run = Run::unpadded(bytes, start);
        while run.hex == run.end
            && let Some(next) = after_gap(bytes, run.end).filter(|next| *next < end)
            && is_hex(&bytes[next..piece(bytes, next)])
        {
            run.end = piece(bytes, next);
            (run.hex, run.tail) = (run.end, run.end);
        }
        run.padded(bytes)
    }

    /// What can be read of it, and where that ends.
    pub fn decoded(&self, bytes: &[u8]) -> Option<(Readable, usize)> {
        if self.end - self.start < LEAST {
            return None;
        }
        let hexadecimal = self.hexadecimal(bytes).map(|read| (read, self.hex));
        hexadecimal.or_else(|| Some((self.base64(bytes)?, self.end)))
    }

    fn padded(mut self, bytes: &[u8]) -> Self {
        self.end += bytes[self.end..].iter().take(2).take_while(|&&byte| byte == b'=').count();
        self
    }

    fn hexadecimal(&self, bytes: &[u8]) -> Option<Readable> {
        let mut digits = Vec::new();
        let mut at = self.start;
        while at < self.hex {
            let end = piece(bytes, at);
            if end == at {
                at += 1;
                continue;
            }
            digits.extend(hex_digits(&bytes[at..end]).map(|(offset, value)| (value, at + offset + 1)));
            at = end;
        }
        let spelled = bytes[self.start..self.hex].iter().any(u8::is_ascii_alphabetic) || self.hex > self.first;
        let least = if spelled { 4 } else { 6 };
        let read = |digits: &[(u8, usize)]| {
            let bytes: Vec<_> = digits.chunks_exact(2).map(|pair| (pair[0].0 * 16 + pair[1].0, pair[1].1)).collect();
            Readable::of(&bytes, least)
        };
        read(&digits).or_else(|| read(digits.get(1..)?))
    }

    /// Letters that stand before the run and look like its own shift it: each way to read it is tried, the one that shows the
    /// most comes first, and others behind it as far as there is room.
    fn base64(&self, bytes: &[u8]) -> Option<Readable> {
        let run = &bytes[self.start..self.end];
        let padded = run.ends_with(b"=");
        let sextets = run.iter().enumerate().filter_map(|(at, byte)| Some((sextet(*byte)?, self.start + at + 1)));
        let sextets: Vec<(u8, usize)> = sextets.collect();
        let least = if padded { 4 } else { 6 };
        let shifted = (0..4).map_while(|shift| sextets.get(shift..).filter(|rest| shift == 0 || rest.len() >= LEAST));
        let mut read: Vec<Readable> = shifted.filter_map(|rest| Readable::of(&octets(rest), least)).collect();
        let before_tail = sextets.partition_point(|(_, end)| *end <= self.tail);
        if before_tail < sextets.len() {
            read.extend(Readable::of(&octets(&sextets[..before_tail]), least));
        }
        read.sort_by_key(|read| std::cmp::Reverse(read.seen()));
        let mut read = read.into_iter();
        // A word of prose has a few letters by chance; in more of them a text may stand among bytes that are none.
        let mut best = read.next().filter(|best| best.is_half() || self.end == self.first && run.len() >= MIXED)?;
        let mut len = best.len();
        for other in read {
            len += other.len() + 1;
            if len <= 2 * run.len() {
                best.append(&other, self.end);
            }
        }
        Some(best)
    }
}

/// Where the piece that begins at `start` ends.
fn piece(bytes: &[u8], start: usize) -> usize {
    start + bytes[start..].iter().take_while(|byte| is_letter(**byte)).count()
}

/// Where the next piece begins, if one does after a few blanks or marks.
fn after_gap(bytes: &[u8], at: usize) -> Option<usize> {
    let between = |byte: &u8| byte.is_ascii_whitespace() || b",:;.'\"|".contains(byte);
    let gap = bytes[at..].iter().take(GAP + 1).take_while(|byte| between(byte)).count();
    (1..=GAP).contains(&gap).then_some(at + gap).filter(|next| bytes.get(*next).is_some_and(|byte| is_letter(*byte)))
}

/// Whether a piece is of hexadecimal digits: after `0x`, or in pairs with marks between.
fn is_hex(piece: &[u8]) -> bool {
    let digits = digits_of(piece);
    let mark = |at: usize, byte: &u8| matches!(byte, b'-' | b'_') && at % 3 == 2;
    digits.iter().enumerate().all(|(at, byte)| byte.is_ascii_hexdigit() || mark(at, byte))
}

/// Whether hexadecimal in pieces of one length begins with this one: it is no rest of what stands before.
fn begins_hex(bytes: &[u8], first: Range<usize>) -> bool {
    let second = after_gap(bytes, first.end).map(|next| &bytes[next..piece(bytes, next)]);
    let first = &bytes[first];
    is_hex(first) && second.is_some_and(|second| second.len() == first.len() && is_hex(second))
}

/// The digits of a piece and their places.
fn hex_digits(piece: &[u8]) -> impl Iterator<Item = (usize, u8)> {
    let skipped = piece.len() - digits_of(piece).len();
    let digit = move |(at, byte): (usize, &u8)| Some((skipped + at, char::from(*byte).to_digit(16)? as u8));
    digits_of(piece).iter().enumerate().filter_map(digit)
}

fn digits_of(piece: &[u8]) -> &[u8] {
    if has_mark(piece) { &piece[2..] } else { piece }
}

/// Whether a piece begins as hexadecimal does in programs.
fn has_mark(piece: &[u8]) -> bool {
    piece.len() > 2 && (piece.starts_with(b"0x") || piece.starts_with(b"0X"))
}

/// Bytes of base64, each with the place where its last letter ends.
fn octets(sextets: &[(u8, usize)]) -> Vec<(u8, usize)> {
    let mut out = Vec::with_capacity(sextets.len() / 4 * 3 + 3);
    for four in sextets.chunks(4) {
        for (nth, pair) in four.windows(2).enumerate() {
            let (high, low) = (u16::from(pair[0].0), u16::from(pair[1].0));
            let [_, octet] = ((high << 6 | low) >> (4 - 2 * nth)).to_be_bytes();
            out.push((octet, pair[1].1));
        }
    }
    out
}

/// The value of a letter, of either alphabet.
fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}
