//! Which parts of a text are looked at: what is new in a stream and a little before it, in blocks of bounded size. Sizes are
//! those of the views, but for the blocks themselves: invisible characters must not push apart what belongs together.

use super::secrets::BEGIN;
use crate::text::view::{Views, back};
use crate::text::window::floor;
use crate::text::{Segment, Span};

/// Before what is fresh, at least this much is looked at again: a match can have begun there.
const BACK: usize = 512;
/// And this much more where no blank comes before: a token must not be cut in two.
const BACK_TOKEN: usize = 4096;
/// An open private key is looked for this far back, in raw bytes; one in disguise as far as a token. Keys are up to about
/// 12 KiB long, most of them less than 4.
const BACK_KEY: usize = 16 << 10;
/// A text is judged in blocks, so that views of a long one take bounded memory and the thread is given up in between. Raw
/// bytes; more where they show too little.
const BLOCK: usize = 64 << 10;
/// Blocks overlap, so that a match of up to this size is whole in one of them.
const OVERLAP: usize = BACK_KEY;

/// What is looked at as it is costs no memory, so its blocks can be larger.
const RAW_BLOCK: usize = 256 << 10;

/// A part of a text.
pub(super) enum Block {
    Look(Span),
    /// Stretched so far, by characters that are not seen, that nothing can be said of it.
    Opaque(Span),
}

/// The parts of the segment's text to look at, in order; they cover everything from `fresh` on.
pub(super) fn blocks(segment: &Segment, keys: bool) -> impl Iterator<Item = Block> + '_ {
    let text: &str = &segment.text;
    let mut next = Some(start(text, segment.fresh, keys));
    std::iter::from_fn(move || {
        let (block, after) = block(text, next?);
        next = after;
        Some(block)
    })
}

/// The parts of the segment's text to look at as they are, in order.
pub(super) fn raw_blocks(segment: &Segment, keys: bool) -> impl Iterator<Item = Span> + '_ {
    let text: &str = &segment.text;
    let mut next = Some(start(text, segment.fresh, keys));
    std::iter::from_fn(move || {
        let start = next?;
        if text.len() - start <= RAW_BLOCK {
            next = None;
            return Some(start..text.len());
        }
        let end = token_start(text, floor(text, start + RAW_BLOCK));
        next = Some(token_start(text, floor(text, end - OVERLAP)));
        Some(start..end)
    })
}

/// The block that begins at `start`, and where the next one does.
fn block(text: &str, start: usize) -> (Block, Option<usize>) {
    let mut size = BLOCK;
    while text.len() - start > size {
        let end = token_start(text, floor(text, start + size));
        match back(text, end, OVERLAP) {
            Some(next) if next >= start + size / 2 => return (Block::Look(start..end), Some(token_start(text, next))),
            // Mostly overlap: a larger one gets on faster. `back` gives up before this has no end.
            Some(_) => size *= 2,
            None => return (Block::Opaque(start..text.len()), None),
        }
    }
    (Block::Look(start..text.len()), None)
}

fn start(text: &str, fresh: usize, keys: bool) -> usize {
    let fresh = floor(text, fresh);
    let reach = |at: usize, seen: usize| back(text, at, seen).unwrap_or(0);
    let near = reach(fresh, BACK);
    let start = match token_start(text, near) {
        // No blank so near: the token may be stretched, too.
        token if token > 0 && near - token >= BACK_TOKEN - 3 => run_start(text, near, reach(near, BACK_TOKEN)),
        token => token,
    };
    if !keys || start == 0 {
        return start;
    }
    let plain = floor(text, fresh.saturating_sub(BACK_KEY));
    let disguised = reach(fresh, BACK_TOKEN);
    let plain_key = open_key(&text[plain..fresh]).map(|at| plain + at);
    let disguised_key = Views::of(&text[disguised..fresh])
        .filter_map(|view| open_key(&view.text).map(|at| disguised + view.raw_span(at..at + BEGIN.len()).start))
        .min();
    [plain_key, disguised_key].into_iter().flatten().fold(start, usize::min)
}

/// Where a private key may begin.
fn open_key(text: &str) -> Option<usize> {
    text.to_ascii_uppercase().find(BEGIN)
}

/// The start of the run without blanks that `at` stands in, or as far back as is looked.
fn token_start(text: &str, at: usize) -> usize {
    run_start(text, at, floor(text, at.saturating_sub(BACK_TOKEN)))
}

fn run_start(text: &str, at: usize, reach: usize) -> usize {
    let run = text.as_bytes()[reach..at].iter().rev().take_while(|b| !b.is_ascii_whitespace()).count();
    at - run
}
