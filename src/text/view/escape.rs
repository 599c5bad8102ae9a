//! Undoes JSON's backslash escapes in a text: tool arguments are JSON in a string, and `\u0040` hides an `@`.

use super::map::{Builder, Map};

/// The text with every escape undone; `None` where it has none. What only looks like an escape stays as it is.
pub(super) fn unescaped(text: &str) -> Option<(String, Map)> {
    let bytes = text.as_bytes();
    let mut to = Builder::default();
    // So much has been written.
    let mut done = 0;
    let mut at = 0;
    while let Some(start) = memchr::memchr(b'\\', &bytes[at..]).map(|next| at + next) {
        match escape(&text[start..]) {
            Some((ch, len)) => {
                to.copy_all(&text[done..start], done);
                to.replace(ch.encode_utf8(&mut [0; 4]), start);
                (at, done) = (start + len, start + len);
            }
            None => at = start + 1,
        }
    }
    (done > 0).then(|| {
        to.copy_all(&text[done..], done);
        to.finish(text.len())
    })
}

/// The character that an escape at the start of `text` stands for, and the escape's length in bytes.
pub(super) fn escape(text: &str) -> Option<(char, usize)> {
    let mut bytes = text.bytes();
    if bytes.next() != Some(b'\\') {
        return None;
    }
    let ch = match bytes.next()? {
        b'u' => return unicode_escape(text),
        b'n' => '\n',
        b't' => '\t',
        b'r' => '\r',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        other @ (b'"' | b'\\' | b'/') => char::from(other),
        _ => return None,
    };
    Some((ch, 2))
}

/// `\uXXXX`, or the two of a surrogate pair.
fn unicode_escape(text: &str) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        // `from_str_radix` alone would take a sign.
        digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
    };
    let first = unit(0)?;
    if let Some(ch) = char::from_u32(first.into()) {
        return Some((ch, 6));
    }
    char::decode_utf16([first, unit(6)?]).next()?.ok().map(|ch| (ch, 12))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(escaped: &str) -> Option<String> {
        unescaped(escaped).map(|(text, _)| text)
    }

    #[test]
    fn undoes_the_escapes_of_json() {
        assert_eq!(text(r#"a\u0040b\n\"\\\/\ud83d\ude00"#).as_deref(), Some("a@b\n\"\\/\u{1f600}"));
    }

    #[test]
    fn leaves_what_is_no_escape() {
        for odd in ["", "plain", r"C:\Windows", r"\u12", r"\u+123", r"\ud83d", r"\ud83dxx", "\\", "\\é"] {
            assert_eq!(text(odd), None, "{odd}");
        }
        assert_eq!(text(r"\ud83d\n").as_deref(), Some("\\ud83d\n"));
        assert_eq!(text(r"\ud83d\u0041").as_deref(), Some("\\ud83dA"));
    }

    #[test]
    fn spans_cover_whole_escapes() {
        let (text, map) = unescaped(r"x\u0040y").unwrap();
        assert_eq!(text, "x@y");
        assert_eq!(map.source_span(1..2), 1..7);
        assert_eq!(map.source_span(0..3), 0..8);
        assert_eq!(map.widen(3..8), 1..8);
    }
}
