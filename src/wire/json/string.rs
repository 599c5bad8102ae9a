//! JSON strings: finding their end, undoing their escapes, writing them.

use std::fmt::Write;

use crate::text::Edits;

/// `text` as a JSON string, with its quotes. Also escaped: what some line readers take for a line's end.
pub fn json_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    escape_into(text, &mut out);
    out.push('"');
    out
}

/// A JSON string, `raw` with its quotes, with edits of its text made. What no edit replaces stays as it was written.
pub(super) fn edit(raw: &str, edits: &Edits) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut place = Place { raw, at: 1, text: 0 };
    let mut copied = 0;
    for edit in edits.iter() {
        out.push_str(&raw[copied..place.advance(edit.span.start)]);
        escape_into(&edit.with, &mut out);
        copied = place.advance(edit.span.end);
    }
    out.push_str(&raw[copied..]);
    out
}

/// The same place in a string as it is written, and in its text.
struct Place<'r> {
    raw: &'r str,
    at: usize,
    text: usize,
}

impl Place<'_> {
    /// Goes on to a place in the text, and says where that is written.
    fn advance(&mut self, to: usize) -> usize {
        while self.text < to && self.at < self.raw.len() {
            let rest = &self.raw[self.at..];
            // Nothing is written shorter than it reads, so an escape before the place starts within its distance.
            let near = &rest.as_bytes()[..(to - self.text).min(rest.len())];
            let (read, written) = match memchr::memchr(b'\\', near) {
                Some(0) => escape(rest).map_or((1, 1), |(character, written)| (character.len_utf8(), written)),
                plain => (plain.unwrap_or(near.len()), plain.unwrap_or(near.len())),
            };
            self.text += read;
            self.at += written;
        }
        self.at
    }
}

fn escape_into(text: &str, out: &mut String) {
    let mut copied = 0;
    for (at, character) in text.char_indices() {
        let short = match character {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            '\0'..='\x1f' | '\x7f' | '\u{85}' | '\u{2028}' | '\u{2029}' => "",
            _ => continue,
        };
        out.push_str(&text[copied..at]);
        copied = at + character.len_utf8();
        if short.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(out, "\\u{:04x}", u32::from(character));
        } else {
            out.push_str(short);
        }
    }
    out.push_str(&text[copied..]);
}

/// The text of a string's inside. What is no escape of JSON stays as it is, so that a loose reader's view of broken JSON can be
/// had too.
pub fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        let (character, length) = escape(&rest[at..]).unwrap_or(('\\', 1));
        out.push(character);
        rest = &rest[at + length..];
    }
    out.push_str(rest);
    out
}

/// The character that the escape at the start of `text` stands for, and the length of the escape.
pub fn escape(text: &str) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let digits =
            text.get(at..at + 6)?.strip_prefix("\\u").filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))?;
        u32::from_str_radix(digits, 16).ok()
    };
    Some(match text.as_bytes().get(1)? {
        b'b' => ('\x08', 2),
        b'f' => ('\x0c', 2),
        b'n' => ('\n', 2),
        b'r' => ('\r', 2),
        b't' => ('\t', 2),
        &same @ (b'"' | b'\\' | b'/') => (char::from(same), 2),
        b'u' => match unit(0)? {
            high @ 0xd800..=0xdbff => {
                let low = unit(6).filter(|low| (0xdc00..=0xdfff).contains(low))?;
                (char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))?, 12)
            }
            code => (char::from_u32(code)?, 6),
        },
        _ => return None,
    })
}

/// The first place at or after `at` that holds a quote, a backslash or a control character, else the end; eight bytes a step.
pub(super) fn plain_run(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let stops = stops(u64::from_le_bytes(*chunk));
        if stops != 0 {
            return at + (stops.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|&b| b == b'"' || b == b'\\' || b < 0x20).unwrap_or(rest.len())
}

/// The high bit of each byte that ends a plain run. Bits above the lowest one may be wrong: a borrow runs upwards.
fn stops(word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let below = |word: u64, bound: u64| word.wrapping_sub(ONES * bound) & !word & HIGH;
    let equals = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    equals(b'"') | equals(b'\\') | below(word, 0x20)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_loose_reading_keeps_what_is_no_escape() {
        for (raw, text) in [
            ("a\\u0062c\\n", "abc\n"),
            ("\\ud83d\\ude00\\/", "😀/"),
            ("\\ud83d \\u12 \\u+123 \\x \\é \\", "\\ud83d \\u12 \\u+123 \\x \\é \\"),
        ] {
            assert_eq!(unescape(raw), text);
        }
    }

    proptest! {
        #[test]
        fn a_plain_run_ends_where_a_byte_by_byte_search_says(bytes in proptest::collection::vec(
            prop_oneof![6 => any::<u8>(), 20 => 0x20u8..0x7f, 1 => Just(b'"'), 1 => Just(b'\\'), 4 => 0x80u8..], 0..60
        ), from in 0usize..60) {
            let from = from.min(bytes.len());
            let naive = from + bytes[from..].iter().position(|&b| b == b'"' || b == b'\\' || b < 0x20).unwrap_or(bytes.len() - from);
            prop_assert_eq!(plain_run(&bytes, from), naive);
        }

        #[test]
        fn an_edited_string_reads_as_its_edited_text(
            parts in proptest::collection::vec(prop_oneof!["[a-c\\\\/é世😀]{0,4}", Just("\"\n'".to_owned()), Just("\u{2028}".to_owned())], 0..12),
            styles in proptest::collection::vec(0usize..3, 12),
            spans in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..5),
        ) {
            let write = |(part, style): (&String, &usize)| match style {
                0 => json_text(part)[1..].strip_suffix('"').unwrap().to_owned(),
                1 => json_text(part)[1..].strip_suffix('"').unwrap().replace('/', "\\/"),
                _ => part.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect(),
            };
            let raw = format!("\"{}\"", parts.iter().zip(&styles).map(write).collect::<String>());
            let text = parts.concat();
            let borders: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let edits: Edits = spans.iter().map(|(one, other)| {
                let (one, other) = (*one.get(&borders), *other.get(&borders));
                crate::text::Edit { span: one.min(other)..one.max(other), with: "<\"\n>".into() }
            }).collect();
            let after = edit(&raw, &edits);
            prop_assert_eq!(serde_json::from_str::<String>(&after).unwrap(), edits.apply(&text), "{}", raw);
            if edits.is_empty() {
                prop_assert_eq!(after, raw);
            }
        }

        #[test]
        fn a_text_written_is_the_text_read(text in any::<String>()) {
            let json = json_text(&text);
            prop_assert_eq!(&serde_json::from_str::<String>(&json).unwrap(), &text);
            prop_assert_eq!(unescape(&json[1..json.len() - 1]), text);
            let separators = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}', '\x0b', '\x0c'];
            prop_assert!(!json.contains(separators));
        }
    }
}
