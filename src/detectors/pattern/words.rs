//! Word lists: whole words and phrases, whatever their case and the blanks or marks between their parts.

use std::collections::BTreeMap;
use std::ops::Range;

use aho_corasick::{AhoCorasick, BuildError};

use crate::text::view;

/// Between the parts of a phrase, at most this many separators: blanks in a row are one.
const MAX_GAP: usize = 6;

/// All words of a pattern set, for one pass over a view.
pub(super) struct Words {
    /// The first part of each phrase, each once.
    heads: AhoCorasick,
    /// By head: what follows it in each of its phrases, and the label's index.
    tails: Vec<Vec<(Vec<String>, usize)>>,
}

impl Words {
    /// `words` are (label's index, word or phrase). `None` where there are none.
    pub fn new<'w>(words: impl Iterator<Item = (usize, &'w str)>) -> Result<Option<Self>, BuildError> {
        let mut by_head: BTreeMap<String, Vec<(Vec<String>, usize)>> = BTreeMap::new();
        for (label, word) in words {
            // Views are folded and searched without regard to ASCII case. Letters whose two cases fold to different
            // ASCII letters (Greek eta: `n` and `H`) need a variant for each.
            for variant in [word.to_owned(), word.to_lowercase(), word.to_uppercase()] {
                let variant = view::folded(&variant).to_ascii_lowercase();
                let mut parts = variant.split_whitespace().map(str::to_owned);
                let Some(head) = parts.next() else { continue };
                let phrase = (parts.collect(), label);
                let phrases = by_head.entry(head).or_default();
                if !phrases.contains(&phrase) {
                    phrases.push(phrase);
                }
            }
        }
        if by_head.is_empty() {
            return Ok(None);
        }
        let heads = AhoCorasick::builder().ascii_case_insensitive(true).build(by_head.keys())?;
        Ok(Some(Words { heads, tails: by_head.into_values().collect() }))
    }

    /// Calls `found` with the label's index and the place of every word in the text.
    pub fn find(&self, text: &str, mut found: impl FnMut(usize, Range<usize>)) {
        for hit in self.heads.find_overlapping_iter(text) {
            // Heads are whole strings and UTF-8 is self-synchronising, so a hit lies on character boundaries.
            if !is_boundary(text, hit.start()) {
                continue;
            }
            let tails = self.tails.get(hit.pattern().as_usize()).into_iter().flatten();
            for (parts, label) in tails {
                if let Some(end) = parts.iter().try_fold(hit.end(), |at, part| after_part(text, at, part))
                    && is_boundary(text, end)
                {
                    found(*label, hit.start()..end);
                }
            }
        }
    }
}

/// Where `part` ends, if it follows `at`, after separators or right away.
fn after_part(text: &str, at: usize, part: &str) -> Option<usize> {
    let start = at + gap(&text[at..])?;
    let end = start + part.len();
    text.get(start..end).filter(|there| there.eq_ignore_ascii_case(part)).map(|_| end)
}

/// Bytes of separators that the text begins with; `None` where they are too many.
fn gap(text: &str) -> Option<usize> {
    let (mut count, mut in_blanks) = (0, false);
    for (at, ch) in text.char_indices() {
        let is_blank = ch.is_whitespace();
        if !is_blank && !is_mark(ch) {
            return Some(at);
        }
        count += usize::from(!(is_blank && in_blanks));
        in_blanks = is_blank;
        if count > MAX_GAP {
            return None;
        }
    }
    None
}

fn is_mark(ch: char) -> bool {
    "-_./,:\u{b7}*>#+\"'()[]|~`".contains(ch)
}

/// Whether a word can begin or end at `at`: not between two letters or digits of a script that puts spaces between words.
fn is_boundary(text: &str, at: usize) -> bool {
    let (before, after) = (text[..at].chars().next_back(), text[at..].chars().next());
    !(before.is_some_and(joins_words) && after.is_some_and(joins_words))
}

fn joins_words(ch: char) -> bool {
    match ch {
        // Thai, Lao, Burmese, Khmer.
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' => false,
        // Kana, Han and Hangul (whose particles join on to the word).
        '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7ff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}' => {
            false
        }
        _ => ch.is_alphanumeric(),
    }
}
