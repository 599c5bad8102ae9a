//! Excerpts: where in a text the words stand that a model has quoted from it.

use aho_corasick::AhoCorasick;

use crate::text::Span;
use crate::text::view::{self, Views};

/// Places of one text's excerpts in all its views, at most. A text with more is meant as a whole.
const PLACES: usize = 1024;

/// Where the excerpts stand in `text`, in order and apart; every place of each, whatever disguise the text wears there
/// and the model has read through, and whatever the case. Nothing, for the text as a whole, where there is no excerpt or
/// one that does not occur: what it means stands somewhere all the same. So do too many places. Time is linear in the text.
pub fn spans(text: &str, excerpts: &[String]) -> Vec<Span> {
    // As it is quoted, and as the folded views of the text have it.
    let both = |(at, excerpt): (usize, &String)| {
        let trimmed = excerpt.trim();
        [(at, trimmed.to_owned()), (at, view::folded(trimmed))]
    };
    let words = excerpts.iter().enumerate().flat_map(both).filter(|(_, word)| !word.trim().is_empty());
    let (owners, words): (Vec<usize>, Vec<String>) = words.unzip();
    // Only a pattern set beyond all bounds is an error.
    let Ok(finder) = AhoCorasick::builder().ascii_case_insensitive(true).build(&words) else { return Vec::new() };
    let mut placed = vec![false; excerpts.len()];
    let mut spans: Vec<Span> = Vec::new();
    for view in Views::of(text) {
        for found in finder.find_overlapping_iter(&*view.text) {
            placed[owners[found.pattern().as_usize()]] = true;
            let span = view.raw_span(found.span().range());
            // Both forms of an excerpt mostly stand at one place.
            if spans.last() != Some(&span) {
                spans.push(span);
            }
            if spans.len() > PLACES {
                return Vec::new();
            }
        }
    }
    if !placed.iter().all(|&placed| placed) {
        return Vec::new();
    }
    spans.sort_by_key(|span| (span.start, span.end));
    spans.dedup_by(|next, kept| {
        let touches = next.start <= kept.end;
        if touches {
            kept.end = kept.end.max(next.end);
        }
        touches
    });
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found<'t>(text: &'t str, excerpts: &[&str]) -> Vec<&'t str> {
        let excerpts: Vec<String> = excerpts.iter().map(|&excerpt| excerpt.into()).collect();
        spans(text, &excerpts).into_iter().map(|span| &text[span]).collect()
    }

    #[test]
    fn every_place_of_every_excerpt_is_found() {
        assert_eq!(found("a bad b Bad c", &["bad"]), ["bad", "Bad"]);
        assert_eq!(found("abcdef", &[" bcd ", "cde"]), ["bcde"]);
        assert_eq!(found("a bad b", &["bad", "b"]), ["bad", "b"]);
    }

    #[test]
    fn an_excerpt_without_a_place_means_the_whole() {
        for excerpts in [&[][..], &["never said"], &["bad", "never said"], &["bad", ""], &[" "]] {
            assert!(found("a bad b bad c", excerpts).is_empty(), "{excerpts:?}");
        }
    }

    #[test]
    fn a_disguise_that_the_model_has_read_through_hides_no_place() {
        assert_eq!(found("say ｂａｄ w\u{200b}ord", &["bad word"]), ["ｂａｄ w\u{200b}ord"]);
        assert_eq!(found(r"say b\u0061d", &["bad"]), [r"b\u0061d"]);
        assert_eq!(found("so “b\u{200b}ad” it is", &["“bad”"]), ["“b\u{200b}ad”"]);
    }

    #[test]
    fn more_places_than_can_be_named_are_the_whole_text() {
        assert_eq!(found(&"a ".repeat(PLACES), &["a"]).len(), PLACES);
        assert!(found(&"a ".repeat(PLACES + 1), &["a"]).is_empty());
        assert!(found(&"a".repeat(1 << 20), &["aa", &"a".repeat(100)]).is_empty());
    }

    proptest! {
        #[test]
        fn spans_are_ordered_apart_and_on_boundaries(text in "[abé🦀\u{200b}ａ]{0,40}", excerpts in prop::collection::vec("[abéa]{0,4}", 0..4)) {
            let found = spans(&text, &excerpts);
            prop_assert!(found.windows(2).all(|pair| pair[0].end < pair[1].start));
            prop_assert!(found.iter().all(|span| span.start < span.end && text.get(span.clone()).is_some()));
            let occur = excerpts.iter().all(|excerpt| !excerpt.is_empty() && text.contains(excerpt.as_str()));
            prop_assert!(!occur || excerpts.is_empty() || !found.is_empty());
            // Whatever is quoted to the letter is covered, or everything is.
            for (at, excerpt) in excerpts.iter().flat_map(|excerpt| text.match_indices(excerpt.as_str())) {
                let covered = |span: &Span| span.start <= at && at + excerpt.len() <= span.end;
                prop_assert!(found.is_empty() || found.iter().any(covered));
            }
        }
    }
}
