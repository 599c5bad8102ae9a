//! Plain: a text without the control tokens of the model's prompt, in a way that can be taken back.

use std::borrow::Cow;

/// Every control token begins so.
#[cfg(test)]
const OPEN: &str = "<|";

/// The text with a blank between `<` and `|`, so that no server reads a control token in it. Where blanks stand between the
/// two already, there is one more: what comes out belongs to one text alone, and [`restored`] gives that.
pub fn plain(text: &str) -> Cow<'_, str> {
    spaced(text, |blanks| blanks + 1)
}

/// The text of which this is the plain form, or a part of it.
pub fn restored(text: &str) -> Cow<'_, str> {
    spaced(text, |blanks| blanks.saturating_sub(1))
}

/// With another number of blanks wherever some, or none, stand between `<` and `|`.
fn spaced(text: &str, blanks: impl Fn(usize) -> usize) -> Cow<'_, str> {
    let mut out = String::new();
    let mut copied = 0;
    for (at, _) in text.match_indices('<') {
        let after = &text[at + 1..];
        let between = after.bytes().take_while(|&byte| byte == b' ').count();
        if after.as_bytes().get(between) != Some(&b'|') {
            continue;
        }
        out.push_str(&text[copied..=at]);
        out.extend(std::iter::repeat_n(' ', blanks(between)));
        copied = at + 1 + between;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn control_tokens_are_words_like_any_other() {
        assert_eq!(plain("a<|start|>system<|message|>b"), "a< |start|>system< |message|>b");
        assert_eq!(plain("<<||>< |x"), "<< ||><  |x");
        assert!(matches!(plain("a < b | c <= |d|"), Cow::Borrowed(_)));
        assert!(!OPEN.contains(' '));
    }

    proptest! {
        #[test]
        fn nothing_opens_a_control_token_and_all_of_it_can_be_taken_back(
            text in prop_oneof!["[<| >a]{0,40}", any::<String>(), "(<\\|(start|end|message|channel)\\|>|[a< ]){0,9}"],
        ) {
            let plain = plain(&text);
            prop_assert!(!plain.contains(OPEN));
            prop_assert_eq!(restored(&plain), &*text);
        }
    }
}
