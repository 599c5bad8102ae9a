//! Edits: replacements of spans of one text, kept sorted and disjoint.

use std::ops::Range;
use std::sync::Arc;

/// A byte range in a segment's text, on character boundaries.
pub type Span = Range<usize>;

/// One replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    pub span: Span,
    pub with: Arc<str>,
}

/// Replacements of one text, sorted by start, disjoint and not empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edits(Vec<Edit>);

impl Edits {
    /// Adds a replacement. Where it overlaps others they become one over the union of their spans; the mask is that
    /// of the one that starts first. Touching spans with the same mask become one, so that a redaction made window
    /// by window leaves one mask.
    pub fn insert(&mut self, edit: Edit) {
        if edit.span.is_empty() {
            return;
        }
        // Sorted and disjoint, so only a run of neighbours can join; ascending inserts cost no search and no move.
        let first = self.0.partition_point(|other| other.span.end < edit.span.start);
        let mut merged = edit;
        let (mut from, mut to) = (first, first);
        while let Some(other) = self.0.get(to).filter(|other| other.span.start <= merged.span.end) {
            let overlap = other.span.start < merged.span.end && merged.span.start < other.span.end;
            if overlap || other.with == merged.with {
                if other.span.start <= merged.span.start {
                    merged.with = other.with.clone();
                }
                merged.span = other.span.start.min(merged.span.start)..other.span.end.max(merged.span.end);
            } else if other.span.end <= merged.span.start {
                // Touches from the left with another mask: stays.
                from = to + 1;
            } else {
                break;
            }
            to += 1;
        }
        self.0.splice(from..to, [merged]);
    }

    /// Keeps those that `keep` says yes to.
    pub fn retain(&mut self, keep: impl FnMut(&Edit) -> bool) {
        self.0.retain(keep);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Edit> {
        self.0.iter()
    }

    /// The whole text with every replacement made.
    pub fn apply(&self, text: &str) -> String {
        self.apply_to_part(text, 0)
    }

    /// `part` stands at byte offset `at` of the text that the spans speak of. A replacement that reaches over several
    /// parts is written once, in the part where its span starts; the rest of the span is dropped from the others.
    pub fn apply_to_part(&self, part: &str, at: usize) -> String {
        let end = at + part.len();
        let mut out = String::with_capacity(part.len());
        let mut copied = at;
        let first = self.0.partition_point(|edit| edit.span.end <= at);
        for edit in self.0.iter().skip(first).take_while(|edit| edit.span.start < end) {
            if edit.span.start > copied {
                out.push_str(&part[copied - at..edit.span.start - at]);
            }
            if edit.span.start >= at {
                out.push_str(&edit.with);
            }
            copied = edit.span.end.min(end);
        }
        out.push_str(&part[copied - at..]);
        out
    }

    /// Whether any replacement touches `span`.
    pub fn touches(&self, span: &Span) -> bool {
        let first = self.0.partition_point(|edit| edit.span.end <= span.start);
        self.0.get(first).is_some_and(|edit| edit.span.start < span.end && span.start < edit.span.end)
    }
}

impl FromIterator<Edit> for Edits {
    fn from_iter<I: IntoIterator<Item = Edit>>(edits: I) -> Self {
        let mut out = Edits::default();
        edits.into_iter().for_each(|edit| out.insert(edit));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn edits(list: &[(Span, &str)]) -> Edits {
        list.iter().map(|(span, with)| Edit { span: span.clone(), with: (*with).into() }).collect()
    }

    #[test]
    fn replaces_spans_and_keeps_the_rest() {
        assert_eq!(edits(&[(6..11, "[X]"), (0..5, "[Y]")]).apply("hello world!"), "[Y] [X]!");
    }

    #[test]
    fn overlapping_spans_become_one_with_the_first_mask() {
        assert_eq!(edits(&[(2..6, "b"), (0..3, "a"), (5..8, "c")]).apply("0123456789"), "a89");
    }

    #[test]
    fn touching_spans_with_the_same_mask_become_one() {
        assert_eq!(edits(&[(0..2, "x"), (2..4, "x"), (4..6, "y")]).apply("0123456789"), "xy6789");
    }

    proptest! {
        /// Every byte that an edit names goes, no other does, and the order of the edits says only which mask is left.
        #[test]
        fn stays_sorted_disjoint_and_true_to_what_was_named(
            spans in proptest::collection::vec((0usize..40, 1usize..10, 0usize..3), 0..12),
        ) {
            let list: Vec<(Span, &str)> = spans.iter().map(|&(start, len, mask)| (start..start + len, ["a", "b", "c"][mask])).collect();
            let edits = edits(&list);
            let all: Vec<&Edit> = edits.iter().collect();
            for pair in all.windows(2) {
                prop_assert!(pair[0].span.end <= pair[1].span.start, "{all:?}");
                prop_assert!(pair[0].span.end < pair[1].span.start || pair[0].with != pair[1].with, "{all:?}");
            }
            for byte in 0..60 {
                let named = list.iter().any(|(span, _)| span.contains(&byte));
                prop_assert_eq!(edits.touches(&(byte..byte + 1)), named);
            }
        }

        #[test]
        fn parts_joined_equal_the_whole(
            text in "[a-z]{1,60}",
            spans in proptest::collection::vec((0usize..60, 1usize..20), 0..6),
            cuts in proptest::collection::vec(0usize..60, 0..8),
        ) {
            let edits: Edits = spans.iter()
                .map(|&(start, len)| Edit { span: start.min(text.len())..(start + len).min(text.len()), with: "#".into() })
                .collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let parts: String = cuts.windows(2).map(|w| edits.apply_to_part(&text[w[0]..w[1]], w[0])).collect();
            prop_assert_eq!(parts, edits.apply(&text));
        }
    }
}
