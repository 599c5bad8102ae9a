//! Windows over a long content: overlapping, so that what straddles two is whole in one. Nothing is left out.

use std::ops::Range;

/// Cuts `0..length` into ranges of at most `size`, each beginning `overlap` before the one before it ends. `overlap` is
/// less than `size`.
pub fn windows(length: usize, size: usize, overlap: usize) -> impl Iterator<Item = Range<usize>> {
    let step = size.saturating_sub(overlap).max(1);
    let mut next = Some(0);
    std::iter::from_fn(move || {
        let start = next?;
        let end = length.min(start + size);
        next = (end < length).then_some(start + step);
        Some(start..end)
    })
}

/// The same over a text, in bytes. An end that falls into a character is moved to its end, a beginning to its beginning.
pub fn of_text(text: &str, size: usize, overlap: usize) -> impl Iterator<Item = Range<usize>> {
    let boundary = |&at: &usize| text.is_char_boundary(at);
    // The text's own ends are boundaries.
    let floor = move |at: usize| (0..=at).rev().find(boundary).unwrap_or(0);
    let ceil = move |at: usize| (at..=text.len()).find(boundary).unwrap_or(text.len());
    windows(text.len(), size, overlap).map(move |window| floor(window.start)..ceil(window.end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn windows_of_a_text_are_whole_characters(text in "[aé漢🦀]{0,60}", size in 4usize..20, overlap in 0usize..10) {
            let overlap = overlap.min(size - 1);
            let all: Vec<_> = of_text(&text, size, overlap).collect();
            prop_assert!(all.iter().all(|window| text.get(window.clone()).is_some()));
            prop_assert_eq!((all[0].start, all[all.len() - 1].end), (0, text.len()));
            prop_assert!(all.windows(2).all(|two| two[1].start <= two[0].end - overlap));
        }

        #[test]
        fn every_run_no_longer_than_the_overlap_is_whole_in_one(length in 0usize..400, size in 2usize..60, overlap in 0usize..59) {
            let overlap = overlap.min(size - 1);
            let all: Vec<_> = windows(length, size, overlap).collect();
            prop_assert!(!all.is_empty() && all.iter().all(|window| window.len() <= size));
            prop_assert!(length == 0 || all.iter().all(|window| !window.is_empty()));
            for start in 0..length {
                let end = (start + overlap.max(1)).min(length);
                prop_assert!(all.iter().any(|window| window.start <= start && end <= window.end), "{start}..{end} in {all:?}");
            }
        }
    }
}
