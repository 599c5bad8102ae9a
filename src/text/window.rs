//! Where a text may be cut: at character boundaries, at sentence ends, into overlapping windows.

use crate::text::Span;

/// The last character boundary at or before `at`.
pub fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The first character boundary at or after `at`; the text's end where `at` lies beyond it.
pub fn ceil(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at += 1;
    }
    at
}

/// The end of the last sentence that ends in `text[from..]`, as an offset into `text`, greater than `from`. `from` is
/// taken up to a character boundary. A full stop counts only where white space follows: what stands at the end of a
/// growing text may be the middle of a number.
pub fn sentence_end(text: &str, from: usize) -> Option<usize> {
    let from = ceil(text, from);
    let mut end = None;
    let mut before = Before::Other;
    for (at, c) in text[from..].char_indices() {
        let (at, after) = (from + at, from + at + c.len_utf8());
        before = match c {
            '\n' | '。' | '！' | '？' | '｡' | '।' | '؟' | '۔' => {
                end = Some(after);
                Before::Ended
            }
            '.' | '!' | '?' | '…' => Before::Stop,
            '"' | '\'' | ')' | ']' | '”' | '’' | '»' | '」' | '』' | '）' => {
                if before == Before::Ended {
                    end = Some(after);
                }
                before
            }
            c if c.is_whitespace() => {
                if before == Before::Stop {
                    end = Some(at);
                }
                Before::Other
            }
            _ => Before::Other,
        };
    }
    end
}

/// What stands before a character, closing quotes and brackets aside.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// A mark that ends a sentence by itself.
    Ended,
    /// A mark that ends one if white space follows.
    Stop,
    Other,
}

/// Windows of at most `size` bytes, in order, that cover the text and overlap so that every substring of at most
/// `overlap` bytes lies in one of them whole. An empty text has none. A `size` below twice the overlap, and a little for
/// the characters' own width, is raised to that, so that the work stays in proportion to the text.
pub fn windows(text: &str, size: usize, overlap: usize) -> impl Iterator<Item = Span> + '_ {
    let size = size.max(overlap.saturating_mul(2).saturating_add(8));
    let window = move |start: usize| start..floor(text, start.saturating_add(size));
    let first = (!text.is_empty()).then(|| window(0));
    // A window has at least `size - 3` bytes and the next starts at most `overlap + 3` before its end: always further on.
    std::iter::successors(first, move |last| {
        (last.end < text.len()).then(|| window(floor(text, last.end.saturating_sub(overlap))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn boundaries_are_those_of_characters() {
        let text = "aé水";
        assert_eq!((0..9).map(|at| floor(text, at)).collect::<Vec<_>>(), [0, 1, 1, 3, 3, 3, 6, 6, 6]);
        assert_eq!((0..9).map(|at| ceil(text, at)).collect::<Vec<_>>(), [0, 1, 3, 3, 6, 6, 6, 6, 6]);
    }

    #[test]
    fn sentences_end_where_readers_see_it() {
        for (text, from, expected) in [
            ("One. Two. Thr", 0, Some("One. Two.")),
            ("One. Two. Thr", 6, Some("One. Two.")),
            ("One. Two. Thr", 9, None),
            ("It is 3.", 0, None),
            ("It is 3.14 now", 0, None),
            ("He said \"no.\" Then", 0, Some("He said \"no.\"")),
            ("Really?! Yes", 0, Some("Really?!")),
            ("a line\nanother", 0, Some("a line\n")),
            ("今日は。明日", 0, Some("今日は。")),
            ("「今日は。」明日", 0, Some("「今日は。」")),
            ("नमस्ते। फिर", 0, Some("नमस्ते।")),
            ("no end here", 0, None),
            ("", 0, None),
        ] {
            assert_eq!(sentence_end(text, from).map(|end| &text[..end]), expected, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn every_short_substring_lies_in_one_window(
            text in "[ab é水🙂]{0,120}", size in 0usize..60, overlap in 0usize..30,
        ) {
            let windows: Vec<Span> = windows(&text, size, overlap).collect();
            let size = size.max(2 * overlap + 8);
            prop_assert_eq!(windows.is_empty(), text.is_empty());
            for window in &windows {
                prop_assert!(text.is_char_boundary(window.start) && text.is_char_boundary(window.end));
                prop_assert!(window.len() <= size && !window.is_empty());
            }
            prop_assert!(windows.windows(2).all(|pair| pair[0].start < pair[1].start && pair[0].end < pair[1].end));
            for start in 0..text.len() {
                let end = (start + overlap.max(1)).min(text.len());
                let covered = windows.iter().any(|w| w.start <= start && end <= w.end);
                // With no overlap asked for, it is bytes that are covered, wherever they fall.
                prop_assert!(covered, "{start}..{end} of {windows:?}");
            }
        }

        #[test]
        fn a_sentence_end_lies_after_from(text in "[ab .!\"\n。」é]{0,60}", from in 0usize..70) {
            if let Some(end) = sentence_end(&text, from) {
                prop_assert!(end > from && end <= text.len() && text.is_char_boundary(end));
            }
        }
    }
}
