//! Takes marks out of words: emphasis (`bl**ueb**ird`), tags (`blue<b>bird</b>`) and comments (`blue<!-- -->bird`) that a
//! reader does not see.

use super::map::{Builder, Map};

/// Marks in a row, at most.
const ROW: usize = 3;

/// Letters of a tag's name, at most.
const NAME: usize = 8;

/// Bytes of a tag's attributes or of a comment, at most.
const INSIDE: usize = 256;

/// The text without marks that stand between two letters, and tags that stand next to one; `None` where there are none.
pub(super) fn unmarked(text: &str) -> Option<(String, Map)> {
    let bytes = text.as_bytes();
    let is_letter = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphabetic() || *byte > 0x7f);
    let mut to = Builder::default();
    let (mut at, mut done) = (0, 0);
    while let Some(start) = next(bytes, at) {
        let end = end(bytes, start);
        at = end.max(start + 1);
        let (after, before) = (is_letter(bytes[..start].last()), is_letter(bytes.get(end)));
        if end > start && (after && before || bytes[start] == b'<' && (after || before)) {
            to.copy_all(&text[done..start], done);
            done = end;
        }
    }
    (done > 0).then(|| {
        to.copy_all(&text[done..], done);
        to.finish(text.len())
    })
}

/// Where the next mark may stand.
fn next(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    let one = memchr::memchr3(b'*', b'_', b'<', rest);
    let other = memchr::memchr2(b'~', b'`', &rest[..one.unwrap_or(rest.len())]);
    other.or(one).map(|next| at + next)
}

/// Where the marks end that begin at `start`; there, where none do.
fn end(bytes: &[u8], start: usize) -> usize {
    if bytes[start] != b'<' {
        let row = bytes[start..].iter().take(ROW + 1).take_while(|byte| **byte == bytes[start]).count();
        return if row > ROW { start } else { start + row };
    }
    let name = bytes[start + 1..].iter().take(NAME).take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'/');
    let end = start + 1 + name.count();
    match bytes.get(end) {
        Some(b'>') if end > start + 1 => end + 1,
        Some(b' ' | b'\t' | b'\n' | b'\r') if end > start + 1 => end_of_attributes(bytes, end).unwrap_or(start),
        Some(b'!') if end == start + 1 => end_of_comment(bytes, end).unwrap_or(start),
        _ => start,
    }
}

/// Behind the `>` of a tag that has a value in it, or closes itself.
fn end_of_attributes(bytes: &[u8], at: usize) -> Option<usize> {
    let inside = &bytes[at..bytes.len().min(at + INSIDE)];
    let end = memchr::memchr2(b'<', b'>', inside).filter(|end| inside[*end] == b'>')?;
    (inside[..end].contains(&b'=') || inside[..end].ends_with(b"/")).then_some(at + end + 1)
}

/// Behind the `-->` of a comment whose `!` stands at `at`.
fn end_of_comment(bytes: &[u8], at: usize) -> Option<usize> {
    let inside = &bytes[at + 1..bytes.len().min(at + INSIDE)];
    let end = memchr::memmem::find(inside, b"-->").filter(|_| inside.starts_with(b"--"))?;
    Some(at + 1 + end + 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_in_words_are_taken_out() {
        for (text, expected) in [
            ("blue**bird**", Some("bluebird**")),
            ("b_l_u`e`", Some("blue`")),
            ("blue<b>bird</b> s", Some("bluebird s")),
            ("~~bl~~ue", Some("~~blue")),
            ("blue<!-- > -->bird<!-->", Some("bluebird")),
            ("blue<b class=\"x\">bird</b >", Some("bluebird</b >")),
            ("blue<br />bird<br\n/>", Some("bluebird")),
            ("a<b and c>d a<b = <c d=> a<!- x ->b a<! -->b a< b=>c", None),
            ("2*3, a * b, x****y, a<1 b> <i> ", None),
            ("caf\u{e9}**s", Some("caf\u{e9}s")),
            ("", None),
        ] {
            assert_eq!(unmarked(text).map(|(text, _)| text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn what_was_marked_is_covered_with_its_marks() {
        let (text, map) = unmarked("a bl**ue**bird b").unwrap();
        let at = text.find("bluebird").unwrap();
        assert_eq!(map.source_span(at..at + 8), 2..14);
        assert_eq!(map.source_span(at..at + 2), 2..6);
    }
}
