//! What an answer says, in the pieces in which it is told.

use super::judge::SECRETS;
use super::random::Random;

/// The texts of an answer, each in pieces.
pub struct Said {
    pub thought: Vec<String>,
    /// Of each choice.
    pub content: Vec<Vec<String>>,
    pub refusal: Vec<String>,
    /// The arguments of calls, as JSON.
    pub calls: Vec<Vec<String>>,
    /// Choices are told by turns.
    pub by_turns: bool,
}

/// What people write, and what has to be escaped.
const WORDS: [&str; 20] = [
    "So",
    "far",
    "all",
    "is",
    "fine.",
    "It",
    "costs",
    "3.14",
    "dollars.",
    "naïve",
    "中文",
    "😀",
    "\"quoted\"",
    "a\\b",
    "line\nbreak",
    "\u{2028}",
    "tab\t",
    "</script>",
    "no-one",
    "end.",
];

impl Said {
    /// `secrets`: whether there may be something to find.
    pub fn new(random: &mut Random, secrets: bool) -> Self {
        let choices = if random.below(4) == 0 { 2 + random.below(2) } else { 1 };
        let mut some = |share: usize| random.below(share) == 0;
        let (thinks, refuses, calls) = (some(3), some(6), if some(3) { 1 + usize::from(some(2)) } else { 0 });
        let thought = if thinks { text(random, secrets) } else { String::new() };
        let refusal = if refuses { text(random, secrets) } else { String::new() };
        Said {
            thought: piece(random, &thought),
            content: (0..choices)
                .map(|_| {
                    let text = text(random, secrets);
                    piece(random, &text)
                })
                .collect(),
            refusal: piece(random, &refusal),
            calls: (0..calls)
                .map(|_| {
                    let (query, inner) = (text(random, secrets), text(random, secrets));
                    piece(random, &serde_json::json!({"query": query, "list": [inner, 5]}).to_string())
                })
                .collect(),
            by_turns: random.below(2) == 0,
        }
    }

    /// The contents of all choices, in the order in which they are told: the choice and the piece.
    pub fn contents(&self) -> Vec<(usize, &str)> {
        let mut told: Vec<(usize, usize, &str)> = Vec::new();
        for (choice, pieces) in self.content.iter().enumerate() {
            told.extend(pieces.iter().enumerate().map(|(at, piece)| (at, choice, piece.as_str())));
        }
        if self.by_turns {
            told.sort_by_key(|(at, choice, _)| (*at, *choice));
        }
        told.into_iter().map(|(_, choice, piece)| (choice, piece)).collect()
    }
}

fn text(random: &mut Random, secrets: bool) -> String {
    let mut words: Vec<&str> = (0..3 + random.below(30)).map(|_| *random.pick(&WORDS)).collect();
    if secrets && random.below(5) > 0 {
        for _ in 0..1 + random.below(2) {
            let at = random.below(words.len() + 1);
            words.insert(at, *random.pick(&SECRETS));
        }
    }
    words.join(" ")
}

/// A text in pieces of a few characters, now and then an empty one.
pub fn piece(random: &mut Random, text: &str) -> Vec<String> {
    let longest = 1 + random.below(24);
    let (mut pieces, mut left) = (Vec::new(), 0);
    for character in text.chars() {
        if left == 0 {
            left = 1 + random.below(longest);
            if random.below(20) == 0 {
                pieces.push(String::new());
            }
            pieces.push(String::new());
        }
        left -= 1;
        if let Some(last) = pieces.last_mut() {
            last.push(character);
        }
    }
    pieces
}
