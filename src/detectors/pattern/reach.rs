//! Which parts of a text are looked at: what is new in a stream and a little before it, in blocks of bounded size.

use super::secrets::BEGIN;
use crate::text::{Segment, Span};

/// Before what is fresh, at least this much is looked at again: a match can have begun there.
const BACK: usize = 512;
/// And this much more where no blank comes before: a token must not be cut in two.
const BACK_TOKEN: usize = 4096;
/// An open private key is looked for this far back. Keys are up to about 12 KiB long.
const BACK_KEY: usize = 16 << 10;
/// A text is judged in blocks, so that views of a long one take bounded memory and the thread is given up in between.
const BLOCK: usize = 64 << 10;
/// Blocks overlap, so that a match of up to this size is whole in one of them.
const OVERLAP: usize = BACK_KEY;

/// The spans of the segment's text to look at, in order; they cover everything from `fresh` on.
pub(super) fn blocks(segment: &Segment, keys: bool) -> impl Iterator<Item = Span> + '_ {
    let text: &str = &segment.text;
    let mut next = Some(start(text, segment.fresh, keys));
    std::iter::from_fn(move || {
        let start = next?;
        let end = if text.len() - start <= BLOCK { text.len() } else { token_start(text, floor(text, start + BLOCK)) };
        next = (end < text.len()).then(|| token_start(text, floor(text, end - OVERLAP)));
        Some(start..end)
    })
}

fn start(text: &str, fresh: usize, keys: bool) -> usize {
    let fresh = fresh.min(text.len());
    let start = token_start(text, floor(text, fresh.saturating_sub(BACK)));
    let reach = floor(text, fresh.saturating_sub(BACK_KEY));
    match text[reach..fresh].find(BEGIN).filter(|_| keys && fresh > 0) {
        Some(at) => start.min(reach + at),
        None => start,
    }
}

/// The start of the run without blanks that `at` stands in, or as far back as is looked.
fn token_start(text: &str, at: usize) -> usize {
    let reach = at.saturating_sub(BACK_TOKEN);
    let run = text.as_bytes()[reach..at].iter().rev().take_while(|b| !b.is_ascii_whitespace()).count();
    floor(text, at - run)
}

fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}
