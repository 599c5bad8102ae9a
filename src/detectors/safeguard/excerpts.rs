//! Excerpts: where in a text the words stand that a model has quoted from it.

use aho_corasick::AhoCorasick;

use crate::text::Span;
use crate::text::view::Views;

/// Places of one text's excerpts, at most. A text with more is meant as a whole.
const PLACES: usize = 1024;

/// Where the excerpts stand in `text`, in order and apart; every place of each, whatever disguise the text wears there
/// and the model has read through. Nothing, for the text as a whole, where one of the `lists` has no excerpt that occurs,
/// or where there are too many places. Time is linear in the text.
pub fn spans(text: &str, lists: &[Vec<String>]) -> Vec<Span> {
    let all = || lists.iter().enumerate().flat_map(|(at, list)| list.iter().map(move |excerpt| (at, excerpt.trim())));
    let (owners, words): (Vec<usize>, Vec<&str>) = all().filter(|(_, excerpt)| !excerpt.is_empty()).unzip();
    // Only a pattern set beyond all bounds is an error.
    let Ok(finder) = AhoCorasick::new(&words) else { return Vec::new() };
    let mut placed = vec![false; lists.len()];
    let mut spans: Vec<Span> = Vec::new();
    for view in Views::of(text).iter() {
        for found in finder.find_overlapping_iter(&*view.text) {
            if spans.len() == PLACES {
                return Vec::new();
            }
            placed[owners[found.pattern().as_usize()]] = true;
            spans.push(view.raw_span(found.span().range()));
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

    fn found<'t>(text: &'t str, lists: &[&[&str]]) -> Vec<&'t str> {
        let lists: Vec<Vec<String>> = lists.iter().map(|list| list.iter().map(|&e| e.into()).collect()).collect();
        spans(text, &lists).into_iter().map(|span| &text[span]).collect()
    }

    #[test]
    fn every_place_is_found_and_what_does_not_occur_is_passed_over() {
        assert_eq!(found("a bad b bad c", &[&["bad", "never said"]]), ["bad", "bad"]);
        assert_eq!(found("abcdef", &[&[" bcd ", "cde"]]), ["bcde"]);
        assert!(found("abc", &[&["never said"]]).is_empty());
        assert!(found("abc", &[&["", " "]]).is_empty());
        assert!(found("abc", &[&[]]).is_empty());
        assert!(found("abc", &[]).is_empty());
    }

    #[test]
    fn a_window_that_names_no_place_means_the_whole() {
        assert_eq!(found("a bad b", &[&["bad"], &["b"]]), ["bad", "b"]);
        assert!(found("a bad b", &[&["bad"], &[]]).is_empty());
        assert!(found("a bad b", &[&["bad"], &["never said"]]).is_empty());
    }

    #[test]
    fn a_disguise_that_the_model_has_read_through_hides_no_place() {
        assert_eq!(found("say ｂａｄ w\u{200b}ord", &[&["bad word"]]), ["ｂａｄ w\u{200b}ord"]);
        assert_eq!(found(r"say b\u0061d", &[&["bad"]]), [r"b\u0061d"]);
    }

    #[test]
    fn more_places_than_can_be_named_are_the_whole_text() {
        assert_eq!(found(&"a ".repeat(PLACES), &[&["a"]]).len(), PLACES);
        assert!(found(&"a ".repeat(PLACES + 1), &[&["a"]]).is_empty());
        assert!(found(&"a".repeat(1 << 20), &[&["aa", &"a".repeat(100)]]).is_empty());
    }

    proptest! {
        #[test]
        fn spans_are_ordered_apart_and_on_boundaries(text in "[abé🦀\u{200b}ａ]{0,40}", excerpts in prop::collection::vec("[abéa]{0,4}", 0..4)) {
            let found = spans(&text, std::slice::from_ref(&excerpts));
            prop_assert!(found.windows(2).all(|pair| pair[0].end < pair[1].start));
            prop_assert!(found.iter().all(|span| span.start < span.end && text.get(span.clone()).is_some()));
            let occurs = excerpts.iter().any(|excerpt| !excerpt.is_empty() && text.contains(excerpt.as_str()));
            prop_assert!(!occurs || !found.is_empty());
        }
    }
}
