//! Told: how the labels compare, by what a server tells of its answer's tokens.

use crate::guardrail::Scores;
use crate::policy::PolicyLabel;
use crate::remote::Token;

/// The scores of the labels where `said`, one of their replies, was the answer: shares of what all labels have together, at
/// the token with which the reply begins. Nothing where the tokens don't tell: the reply is not in them, or what could have
/// stood in that place begins several replies. A label that is not among the likeliest is given what the last of these has,
/// which is more than its own.
pub fn scores(labels: &[PolicyLabel], said: &str, tokens: &[Token]) -> Option<Scores> {
    let first = first(said, tokens)?;
    let mut shares: Vec<Option<f32>> = vec![None; labels.len()];
    for (text, logprob) in first.likeliest.iter().filter(|(text, _)| !text.trim().is_empty()) {
        let mut begun = labels.iter().enumerate().filter(|(_, label)| label.reply.starts_with(text.trim()));
        match (begun.next(), begun.next()) {
            (None, _) => {}
            (Some((at, _)), None) => shares[at] = Some(shares[at].map_or(*logprob, |share| sum([share, *logprob]))),
            (Some(_), Some(_)) => return None,
        }
    }
    let at = labels.iter().position(|label| *label.reply == *said)?;
    shares[at]?;
    let least = first.likeliest.iter().map(|(_, logprob)| *logprob).reduce(f32::min)?;
    let shares: Vec<f32> = shares.into_iter().map(|share| share.unwrap_or(least)).collect();
    let all = sum(shares.iter().copied());
    Scores::new(labels.iter().map(|label| label.label.clone()).zip(shares.into_iter().map(|share| share - all)))
}

/// The token with which the answer's last words begin. Some servers tell the reasoning's tokens and control tokens, too.
fn first<'t>(said: &str, tokens: &'t [Token]) -> Option<&'t Token> {
    let mut tail = String::new();
    for token in tokens.iter().rev() {
        if tail.trim().is_empty() && token.text.starts_with("<|") {
            continue;
        }
        tail.insert_str(0, &token.text);
        match tail.trim() {
            found if found == said => return Some(token),
            found if !said.ends_with(found) => return None,
            _ => {}
        }
    }
    None
}

/// The logarithm of the sum of what these are the logarithms of.
fn sum(logs: impl IntoIterator<Item = f32>) -> f32 {
    logs.into_iter().map(f32::exp).sum::<f32>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::safeguard::testing::policy;
    use crate::policy::Form;

    const WORDS: &[(&str, &str, bool)] = &[("BAD", "INVALID", false), ("OK", "VALID", true)];

    fn token(text: &str, likeliest: &[(&str, f32)]) -> Token {
        let likeliest = likeliest.iter().map(|(text, share)| ((*text).into(), share.ln())).collect();
        Token { text: text.into(), likeliest }
    }

    fn shares(labels: &[(&str, &str, bool)], said: &str, tokens: &[Token]) -> Option<Vec<(String, u32)>> {
        let scores = scores(&policy(Form::Label, labels).labels, said, tokens)?;
        let percent = |score: f32| (100.0 * score.exp()).round() as u32;
        Some(scores.iter().map(|(label, score)| (label.as_str().to_owned(), percent(score))).collect())
    }

    #[test]
    fn labels_are_compared_where_the_reply_begins() {
        let likeliest = [("IN", 0.6), ("VALID", 0.2), (" VALID", 0.1), ("The", 0.1)];
        let expected = Some(vec![("BAD".to_owned(), 67), ("OK".to_owned(), 33)]);
        for (before, after) in [(&[][..], &[][..]), (&["<|channel|>", "final", "<|message|>"], &["<|return|>"])] {
            let mut tokens: Vec<Token> = before.iter().map(|text| token(text, &[])).collect();
            tokens.extend([token("IN", &likeliest), token("VALID", &[("VALID", 1.0)])]);
            tokens.extend(after.iter().map(|text| token(text, &[])));
            assert_eq!(shares(WORDS, "INVALID", &tokens), expected);
        }
    }

    #[test]
    fn a_label_out_of_sight_has_no_more_than_the_last_in_sight() {
        let tokens = [token("1", &[("1", 0.9), ("2", 0.06), ("3", 0.04)])];
        let binary = [("BAD", "1", false), ("OK", "0", true)];
        assert_eq!(shares(&binary, "1", &tokens), Some(vec![("BAD".to_owned(), 96), ("OK".to_owned(), 4)]));
    }

    #[test]
    fn what_does_not_tell_is_no_score() {
        let tokens = [token("1", &[("1", 1.0)])];
        let binary = [("BAD", "1", false), ("OK", "0", true)];
        assert_eq!(shares(&binary, "0", &tokens), None, "another reply");
        assert_eq!(shares(&binary, "1", &[]), None);
        assert_eq!(shares(&binary, "1", &[token("1", &[])]), None);
        let alike = [("A", "SP1", false), ("B", "SP2", false), ("C", "OK", true)];
        let tokens = [token("SP", &[("SP", 0.9), ("OK", 0.1)]), token("1", &[("1", 0.6), ("2", 0.4)])];
        assert_eq!(shares(&alike, "SP1", &tokens), None, "it begins two");
    }
}
