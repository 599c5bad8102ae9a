//! Finds groups of digits and what joins them: the ground that card, phone, SSN and IPv4 stand on.

use std::ops::Range;

/// A run of digit groups, each joined to the next by one to three of ` -./()`.
pub(super) struct Numbers<'t> {
    pub text: &'t str,
    groups: Vec<Range<usize>>,
}

const MAX_JOIN: usize = 3;

/// Calls `see` with every run in `text`, in order.
pub(super) fn each_run(text: &str, mut see: impl FnMut(&Numbers<'_>)) {
    let bytes = text.as_bytes();
    let mut run = Numbers { text, groups: Vec::new() };
    let mut at = 0;
    while let Some(start) = bytes.get(at..).and_then(|rest| rest.iter().position(u8::is_ascii_digit)).map(|p| at + p) {
        let end = start + bytes[start..].iter().take_while(|b| b.is_ascii_digit()).count();
        let joined = run.groups.last().is_some_and(|last| {
            start - last.end <= MAX_JOIN && bytes[last.end..start].iter().all(|b| b" -./()".contains(b))
        });
        if !joined && !run.groups.is_empty() {
            see(&run);
            run.groups.clear();
        }
        run.groups.push(start..end);
        at = end;
    }
    if !run.groups.is_empty() {
        see(&run);
    }
}

impl<'t> Numbers<'t> {
    /// Whether it holds too little to be anything: two groups that are no phone number, or less.
    pub fn is_small(&self) -> bool {
        self.groups.len() < 3 && self.groups.iter().map(Range::len).sum::<usize>() < 8
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Digits in group `at`; 0 where there is none.
    pub fn size(&self, at: usize) -> usize {
        self.groups.get(at).map_or(0, Range::len)
    }

    /// The digits of group `at`; empty where there is none.
    pub fn group(&self, at: usize) -> &'t str {
        self.groups.get(at).map_or("", |group| &self.text[group.clone()])
    }

    /// What stands between group `at` and the next; empty after the last.
    pub fn join(&self, at: usize) -> &'t str {
        match (self.groups.get(at), self.groups.get(at + 1)) {
            (Some(one), Some(next)) => &self.text[one.end..next.start],
            _ => "",
        }
    }

    /// The joins inside `groups`.
    pub fn joins(&self, groups: Range<usize>) -> impl Iterator<Item = &'t str> {
        (groups.start..groups.end.saturating_sub(1)).map(|at| self.join(at))
    }

    /// All digits of `groups`, as values.
    pub fn digits(&self, groups: Range<usize>) -> impl Iterator<Item = u8> + Clone {
        groups.flat_map(|at| self.group(at).bytes()).map(|byte| byte - b'0')
    }

    /// From the first digit of `groups` to the last.
    pub fn span(&self, groups: Range<usize>) -> Range<usize> {
        let start = self.groups.get(groups.start).map_or(0, |group| group.start);
        let end = groups.end.checked_sub(1).and_then(|last| self.groups.get(last)).map_or(start, |group| group.end);
        start..end
    }

    /// Whether neither end of `groups` touches an ASCII letter: a part of an identifier or of a hex digest.
    pub fn stands_alone(&self, groups: Range<usize>) -> bool {
        let span = self.span(groups);
        !before(self.text, span.start, 1).is_ascii_letter() && !after(self.text, span.end, 1).is_ascii_letter()
    }

    /// Whether `groups` are joined to another group without a space: a part of something longer.
    pub fn is_part(&self, groups: Range<usize>) -> bool {
        let tight = |join: &str| !join.is_empty() && !join.contains([' ', '(', ')']);
        groups.start.checked_sub(1).is_some_and(|at| tight(self.join(at))) || tight(self.join(groups.end - 1))
    }
}

/// A byte next to a span, or none at the end of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Neighbour(Option<u8>);

/// The `nth` byte before `at`, counted from 1.
pub(super) fn before(text: &str, at: usize, nth: usize) -> Neighbour {
    Neighbour(at.checked_sub(nth).and_then(|at| text.as_bytes().get(at)).copied())
}

/// The `nth` byte from `at` on, counted from 1.
pub(super) fn after(text: &str, at: usize, nth: usize) -> Neighbour {
    Neighbour(text.as_bytes().get(at + nth - 1).copied())
}

impl Neighbour {
    pub fn is(self, byte: u8) -> bool {
        self.0 == Some(byte)
    }

    pub fn is_in(self, set: &[u8]) -> bool {
        self.0.is_some_and(|byte| set.contains(&byte))
    }

    pub fn is_ascii_letter(self) -> bool {
        self.0.is_some_and(|byte| byte.is_ascii_alphabetic())
    }

    pub fn is_ascii_digit(self) -> bool {
        self.0.is_some_and(|byte| byte.is_ascii_digit())
    }

    pub fn is_ascii_alphanumeric(self) -> bool {
        self.0.is_some_and(|byte| byte.is_ascii_alphanumeric())
    }
}

/// Whether one of `words` (lower case) stands as a word within `reach` bytes before `at`.
pub(super) fn follows_word(text: &str, at: usize, reach: usize, words: &[&str]) -> bool {
    let start = (at.saturating_sub(reach)..=at).find(|&start| text.is_char_boundary(start)).unwrap_or(at);
    text[start..at]
        .split(|ch: char| !ch.is_ascii_alphabetic())
        .any(|word| words.iter().any(|known| known.eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(text: &str) -> Vec<Vec<String>> {
        let mut all = Vec::new();
        each_run(text, |run| all.push((0..run.len()).map(|at| run.group(at).to_owned()).collect()));
        all
    }

    #[test]
    fn groups_are_joined_by_a_few_separators() {
        assert_eq!(runs("a 1-2 (3) 4, 5\n6"), [vec!["1", "2", "3", "4"], vec!["5"], vec!["6"]]);
        assert_eq!(runs("1    2"), [["1"], ["2"]]);
        assert!(runs("none").is_empty());
    }

    #[test]
    fn words_before_are_whole_words() {
        assert!(follows_word("Tel.: 5", 6, 24, &["tel"]));
        assert!(!follows_word("hotel: 5", 7, 24, &["tel"]));
        assert!(!follows_word("é", 2, 1, &["tel"]));
    }
}
