//! Views of a text: every place leads back to the raw text, and an encoded phrase is found whatever stands around it.

use portcullis::text::view::{Views, unpacked};

/// What is planted, and what it says. A run ends where so many blanks stand.
const PHRASE: &str = "bluebird flies";
const ENCODED: [&str; 3] = ["Ymx1ZWJpcmQgZmxpZXM=", "626c756562697264 20666c696573", "%62lue%62ird%20%66lies"];
const BLANKS: &str = "                                        ";

/// So many places of each view are led back, at most.
const PLACES: usize = 32;

/// A text.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    assert!(Views::of(text).next().is_some_and(|view| view.text == text), "the raw text comes first");
    for view in Views::of(text) {
        let ends: Vec<usize> = view.text.char_indices().map(|(at, _)| at).chain([view.text.len()]).collect();
        for nth in (0..ends.len()).step_by(ends.len() / PLACES + 1) {
            for last in [nth, (nth + 5).min(ends.len() - 1), ends.len() - 1] {
                let span = view.raw_span(ends[nth]..ends[last]);
                assert!(text.get(span.clone()).is_some(), "{span:?} of {:?}", view.text);
            }
        }
    }
    let middle = (0..=text.len() / 2).rev().find(|&at| text.is_char_boundary(at)).unwrap_or_default();
    let (before, after) = text.split_at(middle);
    for encoded in ENCODED {
        let text = format!("{before}{BLANKS}{encoded}{BLANKS}{after}");
        let found = Views::of(&text).any(|view| {
            let mut places = view.text.match_indices(PHRASE);
            places.any(|(at, phrase)| text[view.raw_span(at..at + phrase.len())].contains(encoded))
        });
        assert!(found, "{encoded} is not found, or cut");
        // Single letters are read where they stand.
        assert!(encoded.contains('%') || unpacked(&text, 0).is_some(), "{encoded} is not told");
    }
}
