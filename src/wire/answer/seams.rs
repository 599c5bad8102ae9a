//! Where one part of a text ends and the next begins.

use crate::text::window::{ceil, floor};

/// Bytes on either side of a seam that are looked at, at most.
const NEAR: usize = 64;

/// Follows a text that is told in parts. Readers that join the parts read it as it comes. Others show each for itself: near a
/// seam without a space the text is told once more, in lines.
#[derive(Debug, Default)]
pub struct Seams {
    /// The part that came last.
    part: Option<u64>,
    /// How it ended.
    end: String,
    /// Bytes that are still near the last seam.
    near: usize,
}

impl Seams {
    /// The part that came last.
    pub fn part(&self) -> u64 {
        self.part.unwrap_or_default()
    }

    /// Takes a piece of a part, which is not empty; what is to be told of it once more.
    pub fn push(&mut self, part: u64, piece: &str) -> Option<String> {
        let mut told = String::new();
        if self.part.replace(part).is_some_and(|last| last != part) {
            let joined = !self.end.ends_with(char::is_whitespace) && !piece.starts_with(char::is_whitespace);
            if joined {
                // What was told of the last seam is another line.
                told = format!("\n{}\n", self.end);
            }
            self.near = if joined { NEAR } else { 0 };
            self.end.clear();
        }
        let near = floor(piece, self.near);
        told.push_str(&piece[..near]);
        self.near = if near < piece.len() { 0 } else { self.near - near };
        if piece.len() > NEAR {
            self.end.clear();
        }
        self.end.push_str(last(piece));
        self.end.drain(..self.end.len() - last(&self.end).len());
        (!told.is_empty()).then_some(told)
    }
}

/// What is near the end of a text.
fn last(text: &str) -> &str {
    &text[ceil(text, text.len().saturating_sub(NEAR))..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(pieces: &[(u64, &str)]) -> String {
        let mut seams = Seams::default();
        pieces.iter().filter_map(|(part, piece)| seams.push(*part, piece)).collect()
    }

    #[test]
    fn tells_both_sides_of_a_seam_as_lines() {
        assert_eq!(told(&[(0, "a sword"), (0, "fish"), (1, "I s"), (1, "ee")]), "\na swordfish\nI see");
        assert_eq!(told(&[(0, "a"), (2, "b"), (2, "c"), (5, "d")]), "\na\nbc\nbc\nd");
        // A space tells readers of both kinds the same.
        for apart in [[(0, "a "), (1, "b")], [(0, "a"), (1, "\nb")], [(0, "a"), (0, "b")]] {
            assert_eq!(told(&apart), "");
        }
        assert_eq!(told(&[(0, "a"), (1, "\nb"), (2, "c")]), "\n\nb\nc");
    }

    #[test]
    fn what_is_far_from_a_seam_is_not_told_again() {
        let long = "é".repeat(NEAR);
        let pieces = [(0, &*long), (1, "b"), (1, &*long), (1, "c"), (2, "d"), (2, &*long)];
        let (side, rest) = ("é".repeat(NEAR / 2), "é".repeat(NEAR / 2 - 1));
        assert_eq!(told(&pieces), format!("\n{side}\nb{rest}\n{rest}c\nd{rest}"));
    }

    proptest! {
        /// However the parts are cut into pieces.
        #[test]
        fn pieces_make_no_difference(
            parts in proptest::collection::vec("[a é\n]{1,200}", 1..5), cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..9),
        ) {
            let whole: Vec<_> = (0..).zip(parts.iter().map(String::as_str)).collect();
            let mut pieces = Vec::new();
            for (part, text) in &whole {
                let mut at: Vec<usize> = cuts.iter().map(|cut| floor(text, cut.index(text.len()))).collect();
                at.extend([0, text.len()]);
                at.sort_unstable();
                at.dedup();
                pieces.extend(at.windows(2).map(|pair| (*part, &text[pair[0]..pair[1]])));
            }
            prop_assert_eq!(told(&pieces), told(&whole));
        }
    }
}
