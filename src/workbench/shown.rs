//! Texts as they are shown to people: nothing of a hostile text acts on a terminal or a page, or hides on it.

use std::fmt::Write;

use crate::text::view::is_left_out;

/// The text with every character that would not be seen, or would move what is around it, as its number: controls, marks of
/// direction, characters without a width. Line ends and tabs stay.
pub fn visible(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if acts(c) {
            // Writing to a string does not fail.
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
        out
    })
}

/// The same on one line of at most `most` characters; a cut is marked.
pub fn brief(text: &str, most: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    cut(&visible(&line), most)
}

/// The beginning of a digest, which is enough to tell it from others. A name, such as a remote model's, stays whole.
pub fn short(digest: &str) -> &str {
    let is_digest = digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    digest.get(..8).filter(|_| is_digest).unwrap_or(digest)
}

/// At most `most` characters; a cut is marked.
pub fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn acts(c: char) -> bool {
    // The last says that an emoji is one.
    let stays = matches!(c, '\n' | '\t' | '\u{fe0f}');
    let is_blank =
        matches!(c, '\u{115f}'..='\u{1160}' | '\u{2028}'..='\u{2029}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}');
    (is_left_out(c) || is_blank) && !stays
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_acts_or_hides_is_shown() {
        assert_eq!(visible("a\u{1b}[2Jb\n\tc\r"), "a\\u{1b}[2Jb\n\tc\\u{d}");
        assert_eq!(
            visible("x\u{202e}y\u{200b}z\u{e0041}é漢🦀\u{fe0f}"),
            "x\\u{202e}y\\u{200b}z\\u{e0041}é漢🦀\u{fe0f}"
        );
        // Marks of music and shorthand, what stands for an object, and blanks that are no white space.
        assert_eq!(
            visible("\u{1d173}\u{1bca0}\u{fffc}\u{2800}\u{3164}"),
            "\\u{1d173}\\u{1bca0}\\u{fffc}\\u{2800}\\u{3164}"
        );
        assert_eq!(visible("e\u{301}\u{a0}\u{3000}|"), "e\u{301}\u{a0}\u{3000}|");
        assert_eq!(brief(" a\n\n b\u{7}c ", 5), "a b\\u…");
        assert_eq!(brief("short", 5), "short");
    }

    #[test]
    fn a_digest_is_cut_and_a_name_is_not() {
        assert_eq!(short(&"0123456789abcdef".repeat(4)), "01234567");
        for name in ["openai/gpt-oss-safeguard-20b@feeb2c7618579e7d", "m"] {
            assert_eq!(short(name), name);
        }
    }

    proptest! {
        #[test]
        fn no_control_is_left(text in any::<String>()) {
            prop_assert!(!visible(&text).chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
            prop_assert!(brief(&text, 40).chars().count() <= 41 && !brief(&text, 40).contains(['\n', '\t']));
        }
    }
}
