//! The two codes that runs are written in, base64 and hexadecimal: their letters, and what may stand between two pieces.

/// Bytes between two pieces of a run, at most: the end of a line with quotes, an indent, a mark of a list or a tag.
const GAP: usize = 32;

/// Letters of a tag that may stand between two pieces: `<br>`, `</span>`.
const TAG: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    Base64,
    Hexadecimal,
}

/// Where a piece begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub start: usize,
    /// Its first letter; behind `0x`, where that stands first.
    pub letters: usize,
}

const NONE: u8 = 0xff;

const BASE64: [u8; 256] = values(Code::Base64);
const HEXADECIMAL: [u8; 256] = values(Code::Hexadecimal);

/// The value of each letter; of base64 those of either alphabet.
const fn values(code: Code) -> [u8; 256] {
    let mut values = [NONE; 256];
    let mut at = 0;
    while at < values.len() {
        let byte = at as u8;
        values[at] = match (code, byte) {
            (Code::Base64, b'A'..=b'Z') => byte - b'A',
            (Code::Base64, b'a'..=b'z') => byte - b'a' + 26,
            (Code::Base64, b'0'..=b'9') => byte - b'0' + 52,
            (Code::Base64, b'+' | b'-') => 62,
            (Code::Base64, b'/' | b'_') => 63,
            (Code::Hexadecimal, b'0'..=b'9') => byte - b'0',
            (Code::Hexadecimal, b'a'..=b'f') => byte - b'a' + 10,
            (Code::Hexadecimal, b'A'..=b'F') => byte - b'A' + 10,
            _ => NONE,
        };
        at += 1;
    }
    values
}

impl Code {
    pub const ALL: [Code; 2] = [Code::Base64, Code::Hexadecimal];

    /// Bits of a letter.
    pub const fn bits(self) -> u32 {
        match self {
            Code::Base64 => 6,
            Code::Hexadecimal => 4,
        }
    }

    /// What a letter is worth; more than any letter where it is none.
    #[inline(always)]
    pub const fn value(self, byte: u8) -> u8 {
        match self {
            Code::Base64 => BASE64[byte as usize],
            Code::Hexadecimal => HEXADECIMAL[byte as usize],
        }
    }

    #[inline(always)]
    pub const fn is_letter(self, byte: u8) -> bool {
        self.value(byte) != NONE
    }

    /// The first piece from `at` on.
    pub fn first(self, bytes: &[u8], at: usize) -> Option<Piece> {
        let start = at + bytes[at..].iter().position(|byte| self.is_letter(*byte))?;
        Some(self.piece(bytes, start))
    }

    /// The piece that begins at `start`.
    fn piece(self, bytes: &[u8], start: usize) -> Piece {
        let marked = self == Code::Hexadecimal && is_mark(bytes, start);
        Piece { start, letters: start + if marked { 2 } else { 0 } }
    }

    /// Where the piece whose letters begin at `at` ends.
    #[inline]
    pub fn end(self, bytes: &[u8], at: usize) -> usize {
        let mut end = at;
        while end < bytes.len() && self.is_letter(bytes[end]) {
            if self == Code::Hexadecimal && end > at && is_mark(bytes, end) {
                break;
            }
            end += 1;
        }
        end
    }

    /// The next piece of the run behind the one that ends at `end`, or where to look for another run.
    pub fn next(self, bytes: &[u8], end: usize) -> Result<Piece, usize> {
        let mut at = end;
        let furthest = (end + GAP).min(bytes.len());
        while at < furthest {
            at += match self {
                Code::Base64 => match base64_gap(bytes, at, furthest) {
                    0 => return Ok(self.piece(bytes, at)),
                    gap => gap,
                },
                Code::Hexadecimal if self.is_letter(bytes[at]) => return Ok(self.piece(bytes, at)),
                Code::Hexadecimal => hexadecimal_gap(bytes, at, end).ok_or(at)?,
            };
        }
        Err(at)
    }
}

/// Whether hexadecimal begins here as it does in programs.
fn is_mark(bytes: &[u8], at: usize) -> bool {
    bytes[at] == b'0'
        && matches!(bytes.get(at + 1), Some(b'x' | b'X'))
        && bytes.get(at + 2).is_some_and(|byte| Code::Hexadecimal.is_letter(*byte))
}

/// Bytes that stand between two pieces; none where a piece begins.
fn base64_gap(bytes: &[u8], at: usize, furthest: usize) -> usize {
    let byte = bytes[at];
    if byte == b'<' {
        let name = bytes[at + 1..].iter().take(TAG).take_while(|byte| byte.is_ascii_alphabetic() || **byte == b'/');
        let end = at + 1 + name.count();
        return if bytes.get(end) == Some(&b'>') { end + 1 - at } else { 1 };
    }
    if !Code::Base64.is_letter(byte) {
        return 1;
    }
    // A sign by itself is no letter: `"b3Bl" + "cmF0"`, `// b3Bl`.
    let signs = bytes[at..furthest].iter().take_while(|byte| b"+-/_".contains(byte)).count();
    if bytes.get(at + signs).is_none_or(|byte| !Code::Base64.is_letter(*byte)) { signs } else { 0 }
}

/// Bytes that stand between two pieces, the first of which ends at `end`; `None` where something else begins.
fn hexadecimal_gap(bytes: &[u8], at: usize, end: usize) -> Option<usize> {
    let next = bytes.get(at + 1);
    match bytes[at] {
        b'\\' if matches!(next, Some(b'x' | b'X' | b'u')) => Some(2),
        b'U' | b'u' if next == Some(&b'+') => Some(2),
        b'h' | b'H' if at == end && next.is_none_or(|byte| !byte.is_ascii_alphanumeric()) => Some(1),
        // What follows is a letter of its own.
        b'%' => None,
        byte => (byte.is_ascii() && !byte.is_ascii_alphanumeric()).then_some(1),
    }
}
