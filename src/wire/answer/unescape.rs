//! Undoing the escapes of JSON that comes in pieces.

use crate::wire::json::{escape, unescape};

/// Reads the pieces of one JSON text and gives it with its escapes undone, from the first escape on; before that the raw text
/// says the same.
#[derive(Debug, Default)]
pub struct Unescaper {
    /// A backslash with what may still become its escape.
    open: String,
    /// All that came before the first escape.
    quiet: String,
    awake: bool,
}

impl Unescaper {
    /// What can be told after one more piece. At the first escape, all from the start.
    pub fn push(&mut self, piece: &str) -> Option<String> {
        let mut raw = std::mem::take(&mut self.open);
        raw.push_str(piece);
        self.open = raw.split_off(open_escape(&raw));
        self.awake |= raw.contains('\\');
        if !self.awake {
            self.quiet.push_str(&raw);
            return None;
        }
        Some(std::mem::take(&mut self.quiet) + &unescape(&raw)).filter(|text| !text.is_empty())
    }

    /// Bytes that it keeps.
    pub fn kept(&self) -> usize {
        self.quiet.len()
    }
}

/// The arguments of one tool call as they are written, beside what was decided of the view that has their escapes undone.
#[derive(Debug, Default)]
pub struct Twice {
    written: String,
    view: String,
    /// There was too much to keep.
    lost: bool,
}

/// Bytes of one call that are kept, at most.
const MAX_WRITTEN: usize = 1 << 20;

impl Twice {
    /// Takes a piece as it is written.
    pub fn write(&mut self, piece: &str) {
        self.written.push_str(piece);
        self.bound();
    }

    /// Takes a piece of the view as it was decided.
    pub fn decide(&mut self, view: &str) {
        self.view.push_str(view);
        self.bound();
    }

    /// Whether what is written reads as was decided, as far as it has come. What has been looked at is forgotten.
    pub fn agrees(&mut self) -> bool {
        let end = open_escape(&self.written);
        let agrees = !self.lost && unescape(&self.written[..end]) == self.view;
        if agrees {
            self.written.drain(..end);
            self.view.clear();
        }
        agrees
    }

    fn bound(&mut self) {
        if self.written.len() + self.view.len() > MAX_WRITTEN {
            *self = Twice { lost: true, ..Twice::default() };
        }
    }
}

/// Where an escape at the end of `raw` starts that more text could complete; else the end.
fn open_escape(raw: &str) -> usize {
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &raw.as_bytes()[at..]) {
        at += found;
        match escape(&raw[at..]) {
            Some((_, length)) => at += length,
            // The longest escape is a surrogate pair.
            None if raw.len() - at < 12 => return at,
            None => at += 1,
        }
    }
    raw.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn says_nothing_before_the_first_escape_and_everything_from_then_on() {
        let mut unescaper = Unescaper::default();
        let given: Vec<_> = ["{\"q\":\"ig", "no\\", "u00", "72e", "", "\\ud83d", "\\ude00\"}"]
            .iter()
            .map(|piece| unescaper.push(piece))
            .collect();
        let given: Vec<_> = given.iter().map(Option::as_deref).collect();
        assert_eq!(given, [None, None, None, Some("{\"q\":\"ignore"), None, None, Some("😀\"}")]);
    }

    proptest! {
        #[test]
        fn pieces_read_as_the_whole(
            parts in proptest::collection::vec(prop::sample::select(vec![
                "a", "é", "\\", "\\n", "\\u0041", "\\ud83d", "\\ude00", "\\u", "00", "\\\\", "\\\"", "u0042", "😀"]), 0..16),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let raw = parts.concat() + "end of it, no escape";
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(raw.len() + 1)).filter(|&at| raw.is_char_boundary(at)).collect();
            at.extend([0, raw.len()]);
            at.sort_unstable();
            let mut unescaper = Unescaper::default();
            let read: String = at.windows(2).filter_map(|pair| unescaper.push(&raw[pair[0]..pair[1]])).collect();
            let whole = unescape(&raw);
            prop_assert_eq!(read, if raw.contains('\\') { whole } else { String::new() });
        }
    }
}
