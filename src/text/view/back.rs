//! How far a text has to be looked at to see so much of it, back or ahead: invisible characters and escapes stretch what a
//! reader takes in over any number of bytes.

use super::{View, Views, decode, fold};
use crate::text::window;

/// Bytes of raw text for one that is seen, at most. Heaps of marks and characters of emoji, all escaped, come to a few.
const STRETCH: usize = 32;

/// So many bytes are looked at in any case.
const LEAST: usize = 4096;

/// Bytes that one character can be spelled with: a surrogate pair of escapes, all of it escaped once more.
const SPELLED: usize = 72;

/// Where to begin so that every view of the text from there up to `at` has `seen` bytes, or the text's start. That is at
/// `at - seen` in plain text. `None` where `STRETCH` times as many bytes show less: then whatever stands before may belong
/// to what follows. Takes time linear in what it goes back over.
pub fn back(text: &str, at: usize, seen: usize) -> Option<usize> {
    let text = &text[..window::floor(text, at)];
    let plain = text.len().saturating_sub(seen);
    let near = &text[window::floor(text, plain.saturating_sub(SPELLED))..];
    // A run that says nothing as a whole may say something cut.
    if super::is_plain(near.as_bytes()) && !decode::any(near) && !decode::any(&text[plain..]) {
        return Some(plain);
    }
    let furthest = window::floor(text, text.len().saturating_sub(seen.saturating_mul(STRETCH).max(LEAST)));
    let (mut start, mut left) = (text.len(), seen);
    for (before, ch) in text.char_indices().rev() {
        if left == 0 {
            break;
        } else if before < furthest {
            return None;
        } else if ch == '\\' {
            return back_over_codes(text, seen, furthest);
        }
        start = before;
        left = left.saturating_sub(fold::seen(ch, text[..before].chars().next_back()));
    }
    let near = &text[window::floor(text, start.saturating_sub(SPELLED))..];
    let in_escape = near.as_bytes()[..near.len() - (text.len() - start)].contains(&b'\\');
    // What is folded may read as encoded where the raw text does not.
    if in_escape || decode::any(near) || !shows(&text[start..], seen) {
        back_over_codes(text, seen, furthest)
    } else {
        Some(start)
    }
}

/// Where to end so that every view of the text up to there has `seen` bytes, or the text's end. That is at `seen` in plain
/// text, and some further than it has to be in any other. `None` as of [`back`].
pub fn ahead(text: &str, seen: usize) -> Option<usize> {
    let furthest = window::floor(text, seen.saturating_mul(STRETCH).max(LEAST));
    let mut end = window::ceil(text, seen);
    let near = &text[..window::ceil(text, end + SPELLED)];
    if super::is_plain(near.as_bytes()) && !decode::any(near) {
        return Some(end);
    }
    // What is read last may be half an escape, which shows itself where the whole shows nothing. A little more than it takes
    // where little is folded.
    end = window::ceil(text, seen.saturating_add(seen / 4).saturating_add(SPELLED)).min(furthest);
    while end < text.len() && !shows(&text[..end], seen + SPELLED) {
        if end >= furthest {
            return None;
        }
        end = window::ceil(text, end.saturating_mul(2).max(1)).min(furthest);
    }
    Some(end)
}

/// Escapes and encodings can only be read forwards: tries more and more of the text's end.
fn back_over_codes(text: &str, seen: usize, furthest: usize) -> Option<usize> {
    // A little more than it takes where escapes are few.
    let mut len = seen.saturating_add(seen / 4).saturating_add(SPELLED);
    loop {
        let start = window::floor(text, text.len().saturating_sub(len)).max(furthest);
        let starts = Views::of(&text[start..]).filter(|view| !view.hidden).map(|view| start_of_last(&view, seen));
        // `None` comes first: of a view that is too short. What is read first may be the rest of an escape.
        let first = starts.min().flatten().filter(|&first| start == 0 || first >= SPELLED);
        match first.map(|first| start + first).filter(|&at| shows(&text[at..], seen)) {
            Some(at) => return Some(at),
            None if start == furthest => return (furthest == 0).then_some(0),
            None => len = len.saturating_mul(2),
        }
    }
}

/// Whether every view of the text has `seen` bytes: what was cut may read otherwise than before.
fn shows(text: &str, seen: usize) -> bool {
    // Where there is nothing to undo there are two views: most texts of any script.
    if !text.contains('\\') {
        let folded = fold::folded(text).map(|(folded, _)| folded);
        let plainest = folded.as_deref().unwrap_or(text);
        if !decode::any(plainest) {
            return text.len().min(plainest.len()) >= seen;
        }
    }
    Views::of(text).all(|view| view.hidden || view.text.len() >= seen)
}

/// Where in the raw text the last `len` bytes of the view begin.
fn start_of_last(view: &View, len: usize) -> Option<usize> {
    let at = view.text.len().checked_sub(len)?;
    Some(view.raw_start(window::floor(&view.text, at)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What stands from there on.
    fn last(text: &str, seen: usize) -> Option<&str> {
        back(text, text.len(), seen).map(|start| &text[start..])
    }

    #[test]
    fn counts_what_is_seen() {
        for (text, expected) in [
            ("some words", "ords"),
            ("abc", "abc"),
            ("", ""),
            ("a\u{200b}b\u{200b}\u{200b}cde", "b\u{200b}\u{200b}cde"),
            ("\u{1}a\u{1}bcd\u{1}\u{1}", "a\u{1}bcd\u{1}\u{1}"),
            ("ab\u{e0041}cde\u{336}", "b\u{e0041}cde\u{336}"),
            ("xｂｌｕｅ", "ｂｌｕｅ"),
            ("水水水", "水水"),
            (r"ab\u0063d\u200be", r"b\u0063d\u200be"),
            (r"ab\\u0063d\\u200be", r"b\\u0063d\\u200be"),
            (r"a\nbcd", r"\nbcd"),
            ("xbo%62%40a", "o%62%40a"),
            ("a YmJiYmJiYmJiYmJiYmJi", "YmJiYmJiYmJiYmJiYmJi"),
        ] {
            assert_eq!(last(text, 4), Some(expected), "{text}");
        }
        assert_eq!(back("f0x626c756562697264\0a", 21, 9), Some(0), "encoded once it is folded");
        assert_eq!(back("ab水", 4, 1), Some(1), "on a boundary, whatever it is asked");
        assert_eq!(back("ab水", 99, 0), Some(5));
    }

    #[test]
    fn gives_up_where_too_little_is_seen() {
        for invisible in ["\u{200b}", "\u{1}", r"\u200b", r"\\u200b"] {
            let run = |bytes: usize| format!("{}abcd", invisible.repeat(bytes / invisible.len()));
            assert_eq!(last(&run(LEAST / 2), 8), Some(&*run(LEAST / 2)), "the text's start is far enough");
            assert_eq!(last(&run(2 * LEAST), 8), None, "{invisible}");
            assert_eq!(last(&run(2 * LEAST), 4), Some("abcd"), "{invisible}");
            let long = run(64 << 10);
            assert_eq!(last(&long, 4096), Some(&*long));
            assert_eq!(last(&long, 1024), None);
        }
    }

    #[test]
    fn looks_ahead_as_far_as_it_has_to() {
        let spelled = "\\u200b".repeat(2);
        for (text, expected) in [
            ("some words", Some(4)),
            ("abc", Some(3)),
            ("", Some(0)),
            ("水水水", Some(9)),
            (&*"水".repeat(99), Some(78)),
            ("a\u{200b}\u{200b}bcdefgh", Some(14)),
            (&*format!("{spelled}abcdefghijkl"), Some(24)),
            (&*"\u{200b}".repeat(LEAST), None),
            (&*"\u{200b}".repeat(9), Some(27)),
        ] {
            assert_eq!(ahead(text, 4), expected, "{text}");
        }
        assert_eq!(ahead("abc", 0), Some(0));
    }

    /// Texts of words and disguises.
    fn texts() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            3 => "[a-z ]{1,6}",
            2 => any::<char>().prop_map(String::from),
            2 => prop::sample::select(vec![
                "\u{200b}", "\u{336}", "\\n", "\\u0040", "\\\\u200b", "\\u200b", "\\ud83d\\ude00", "\\", "ﬃ", "㌀",
                "か\u{3099}", "\u{1112}\u{1161}\u{11ab}", "\u{fdfa}", "\u{0}", "\u{e0041}",
                "%40", "&#98;", "Ymx1ZWJpcmQgZmxpZXM=", "62 6c 75 65 ", "0x626c756562697264",
            ]).prop_map(String::from),
        ];
        prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn every_view_of_it_has_so_much(text in texts(), seen in 0usize..80, at in 0usize..400) {
            let at = window::floor(&text, at);
            let start = back(&text, at, seen).unwrap();
            prop_assert!(start <= at && text.is_char_boundary(start));
            let part = &text[start..at];
            for view in Views::of(part).filter(|view| !view.hidden && start > 0) {
                prop_assert!(view.text.len() >= seen, "{part:?} reads as {:?}", view.text);
            }
        }

        #[test]
        fn what_needs_no_views_has_what_they_have(text in texts(), seen in 0usize..200) {
            let least = Views::of(&text).filter(|view| !view.hidden).map(|view| view.text.len()).min();
            prop_assert_eq!(shows(&text, seen), least >= Some(seen), "{:?}", text);
        }
    }
}
