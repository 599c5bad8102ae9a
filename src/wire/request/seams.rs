//! Seams: the end of what the user has said and the start of what the user says next, where somebody else speaks in between.
//! So, too, the end and the start of messages on end that somebody else says.
//!
//! Readers see such turns apart, and a model reads them as one: a phrase may be split over them. To judge all that the user has
//! said as one more text would judge every word twice, and once more in each request that goes on from there. A seam is bounded
//! instead. A phrase of up to [`REACH`] bytes, as a reader sees them, is judged whole whatever turns it is split over: it
//! stands in the seam of the last border that it crosses, which reaches back over as many turns as it takes, and ahead to the
//! end of one. So a seam depends on nothing that comes later, and its verdict is one for the cache.

use std::ops::Range;
use std::rc::Rc;

use crate::text::{view, window};
use crate::wire::WireError;
use crate::wire::shape::{Leaf, unexpected};

/// Bytes of a phrase, as a reader sees them, at most.
const REACH: usize = 256;

/// So much further a seam reaches for the whole of a word: the rest of it may read as something else.
const WORD: usize = 64;

/// Bytes that are looked at on each side of a border. Where they show less than [`REACH`], nothing can be said of the text.
const MOST: usize = 64 * REACH;

/// Part of a text of the user.
#[derive(Clone)]
pub struct Cut<'d> {
    pub turn: u32,
    pub leaf: Rc<Leaf<'d>>,
    pub span: Range<usize>,
    /// Turns on end have one number: these are judged as one text anyway.
    run: u32,
    /// So many times the assistant had spoken before.
    answers: u32,
}

/// On each side of a border so many bytes are what people write.
const PLAIN: usize = 2 * (REACH + WORD);

/// Bytes beyond that in all seams of a request, and what each turn adds: to look at them costs time, and many borders could
/// share them.
const BUDGET: usize = 64 << 10;
const BUDGET_OF_TURN: usize = REACH;

/// Parts in all seams of a request: turns of a letter each would be some hundred to a seam.
const PARTS: usize = 512 << 10;

/// Listens to the user, and finds the seams.
pub struct Seams<'d> {
    /// What the user said before this turn: all that a phrase can reach back over, and mostly more.
    before: Vec<Cut<'d>>,
    /// Its bytes.
    held: usize,
    /// So little of what is left of it is seen that a phrase could reach back further: to this run.
    beyond: Option<u32>,
    now: Vec<Cut<'d>>,
    run: u32,
    answers: u32,
    budget: usize,
    parts: usize,
}

/// The texts that a seam joins, in order.
type Seam<'d> = Vec<Cut<'d>>;

impl Cut<'_> {
    fn text(&self) -> &str {
        &self.leaf.text[self.span.clone()]
    }
}

impl Default for Seams<'_> {
    fn default() -> Self {
        let (before, now) = (Vec::new(), Vec::new());
        Seams { before, held: 0, beyond: None, now, run: 0, answers: 0, budget: BUDGET, parts: 0 }
    }
}

impl<'d> Seams<'d> {
    /// The user says something in a turn. Gives the seams of the turn before.
    pub fn say(&mut self, turn: u32, leaf: &Rc<Leaf<'d>>) -> Result<Vec<Seam<'d>>, WireError> {
        let is_new = self.now.last().is_some_and(|last| last.turn != turn);
        let seams = if is_new { self.end_of_turn()? } else { Vec::new() };
        let (leaf, span) = (leaf.clone(), 0..leaf.text.len());
        self.now.push(Cut { turn, leaf, span, run: self.run, answers: self.answers });
        Ok(seams)
    }

    /// Somebody else speaks. Gives the seams of the last turn.
    pub fn end_of_run(&mut self, by_assistant: bool) -> Result<Vec<Seam<'d>>, WireError> {
        let seams = self.end_of_turn()?;
        self.run += 1;
        self.answers += u32::from(by_assistant);
        Ok(seams)
    }

    /// A guardrail may judge only what was said since the assistant last spoke: what of a seam was said since then is a seam of
    /// its own, if it is one.
    fn end_of_turn(&mut self) -> Result<Vec<Seam<'d>>, WireError> {
        let now = std::mem::take(&mut self.now);
        let Some(first) = now.first() else { return Ok(Vec::new()) };
        let (run, answers) = (first.run, first.answers);
        let value = first.leaf.value;
        let unseen = || unexpected(value, "texts of which so much is seen that they can be judged");
        let is_seam = |before: &[Cut<'_>]| before.first().is_some_and(|first| first.run != run);
        self.budget += BUDGET_OF_TURN;
        let may_be_seam = self.beyond.is_some_and(|beyond| beyond != run) || is_seam(&self.before);
        if (may_be_seam || self.held > 2 * MOST) && !self.trim() {
            return Err(unseen());
        }
        let mut seams = Vec::new();
        if self.beyond.is_some_and(|beyond| beyond != run) {
            return Err(unseen());
        }
        if is_seam(&self.before) {
            let start = start(&now).filter(|start| self.affords(start)).ok_or_else(unseen)?;
            let since = self.before.partition_point(|cut| cut.answers != answers);
            let starts = [0, since].into_iter().take(if since > 0 { 2 } else { 1 });
            for before in starts.map(|at| &self.before[at..]).filter(|before| is_seam(before)) {
                self.parts += before.len() + start.len();
                if self.parts > PARTS {
                    return Err(unexpected(value, "fewer turns of the user that say so little"));
                }
                seams.push([before, &start[..]].concat());
            }
        }
        self.held += length(&now);
        self.before.extend(now);
        Ok(seams)
    }

    /// Forgets what no phrase can reach back over; whether that can be afforded.
    fn trim(&mut self) -> bool {
        let Some(first) = self.before.first().map(|cut| cut.run) else { return true };
        let is_seen = keep_end(&mut self.before);
        self.beyond = (!is_seen).then(|| self.beyond.unwrap_or(first));
        let before = std::mem::take(&mut self.before);
        self.held = length(&before);
        let affords = self.affords(&before);
        self.before = before;
        affords
    }

    /// Whether one side of a border may be so large.
    fn affords(&mut self, side: &[Cut<'_>]) -> bool {
        let left = self.budget.checked_sub(length(side).saturating_sub(PLAIN));
        self.budget = left.unwrap_or(0);
        left.is_some()
    }
}

/// The start of some texts, as far as a phrase can reach into them. Most show so much at once.
fn start<'d>(texts: &[Cut<'d>]) -> Option<Seam<'d>> {
    let whole = length(texts);
    let mut left = [2 * PLAIN, MOST].into_iter().find_map(|most| {
        let mut text = String::new();
        for cut in texts {
            let said = cut.text();
            text.push_str(&said[..window::floor(said, most - text.len())]);
            if most - text.len() < 4 {
                break;
            }
        }
        let end = view::ahead(&text, REACH).filter(|end| *end < text.len() || text.len() == whole)?;
        let word = text[end..].bytes().take(WORD).take_while(|b| !b.is_ascii_whitespace()).count();
        Some(window::ceil(&text, end + word))
    })?;
    let mut seam = Vec::new();
    for cut in texts {
        if left == 0 {
            break;
        }
        let len = left.min(cut.span.len());
        left -= len;
        seam.push(Cut { span: cut.span.start..cut.span.start + len, ..cut.clone() });
    }
    Some(seam)
}

/// Leaves of some texts as much of the end as a phrase can reach back over; whether so much of it is seen.
fn keep_end(texts: &mut Vec<Cut<'_>>) -> bool {
    let whole = length(texts);
    let found = [2 * PLAIN, MOST].into_iter().find_map(|most| {
        let text = end(texts, most);
        // What is cut off could have to be looked at, too.
        let at = view::back(&text, text.len(), REACH).filter(|at| *at > 0 || text.len() == whole)?;
        let word = text[..at].bytes().rev().take(WORD).take_while(|b| !b.is_ascii_whitespace()).count();
        Some(text.len() - window::floor(&text, at - word))
    });
    let mut left = found.unwrap_or(MOST);
    let mut kept = 0;
    for cut in texts.iter_mut().rev() {
        if left == 0 {
            break;
        }
        let said = cut.text();
        let end = said.len() - window::floor(said, said.len().saturating_sub(left));
        cut.span.start = cut.span.end - end;
        left = left.saturating_sub(end);
        kept += 1;
    }
    texts.drain(..texts.len() - kept);
    found.is_some()
}

fn length(texts: &[Cut<'_>]) -> usize {
    texts.iter().map(|cut| cut.span.len()).sum()
}

/// The last bytes of some texts, so many at most.
fn end(texts: &[Cut<'_>], most: usize) -> String {
    let mut ends = Vec::new();
    let mut left = most;
    for said in texts.iter().rev().map(Cut::text) {
        let end = &said[window::ceil(said, said.len().saturating_sub(left))..];
        ends.push(end);
        left -= end.len();
        if left < 4 {
            break;
        }
    }
    ends.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::REACH;
    use crate::text::{Kind, Role, Segment};
    use crate::wire::openai_chat::OpenAiChat;
    use crate::wire::testing::{edited, refused};
    use crate::wire::{Dialect, Prompt};

    const ROLES: [&str; 4] = ["user", "user", "assistant", "system"];

    fn body(turns: &[(usize, Vec<String>)]) -> Json {
        let part = |text: &String| json!({"type": "text", "text": text});
        let turn = |(role, parts): &(usize, Vec<String>)| json!({"role": ROLES[*role], "content": parts.iter().map(part).collect::<Vec<_>>()});
        json!({"model": "m", "messages": turns.iter().map(turn).collect::<Vec<_>>()})
    }

    fn read(body: &Json) -> Box<dyn Prompt> {
        OpenAiChat::default().parse_request(body.to_string().into(), "").unwrap()
    }

    fn text_of(turn: &Json) -> String {
        turn["content"].as_array().unwrap().iter().map(|part| part["text"].as_str().unwrap()).collect()
    }

    /// The user's texts from a message on.
    fn said(body: &Json, from: usize) -> String {
        body["messages"].as_array().unwrap()[from..].iter().filter(|turn| turn["role"] == "user").map(text_of).collect()
    }

    /// What one speaker says in messages on end, for all that say something.
    fn runs(body: &Json) -> Vec<String> {
        let turns: Vec<_> =
            body["messages"].as_array().unwrap().iter().filter(|turn| !text_of(turn).is_empty()).collect();
        turns
            .chunk_by(|one, next| one["role"] == next["role"])
            .map(|run| run.iter().copied().map(text_of).collect())
            .collect()
    }

    /// About as much of a text from there, on the boundaries of characters.
    fn phrase<'t>(text: &'t str, start: &prop::sample::Index, length: usize) -> &'t str {
        let mut start = start.index(text.len() + 1);
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        let end = (start..=text.len().min(start + length)).rev().find(|&end| text.is_char_boundary(end)).unwrap();
        &text[start..end]
    }

    /// Turns whose texts together repeat nothing for a while.
    fn any_turns() -> impl Strategy<Value = Vec<(usize, Vec<String>)>> {
        let length = prop_oneof![3 => 0usize..9, 1 => 0usize..700];
        vec((0usize..4, vec(length, 0..3)), 0..9).prop_map(|turns| {
            let mut letters = (0u32..).flat_map(|number| format!("{number:x}水 ").chars().collect::<Vec<_>>());
            let mut text = |length: usize| letters.by_ref().take(length).collect::<String>();
            turns.into_iter().map(|(role, parts)| (role, parts.into_iter().map(&mut text).collect())).collect()
        })
    }

    proptest! {
        /// In the whole conversation, and in what follows the assistant's last words.
        #[test]
        fn a_phrase_is_judged_whatever_turns_it_is_split_over(
            turns in any_turns(), start in any::<prop::sample::Index>(), length in 1usize..=REACH,
        ) {
            let body = body(&turns);
            let prompt = read(&body);
            let speaks = |turn: &(usize, Vec<String>)| turn.0 == 2 && turn.1.iter().any(|text| !text.is_empty());
            let answered = turns.iter().rposition(speaks);
            for from in [0, answered.map_or(0, |at| at + 1)] {
                let said = said(&body, from);
                let phrase = phrase(&said, &start, length);
                let asked = |segment: &&Segment| segment.place.role == Role::User && segment.place.turn >= Some(from as u32);
                let seen = prompt.segments().iter().filter(asked).any(|segment| segment.text.contains(phrase));
                prop_assert!(seen || phrase.is_empty(), "{phrase:?} of {body}");
            }
        }

        #[test]
        fn a_phrase_is_judged_over_messages_on_end_whoever_speaks(
            turns in any_turns(), start in any::<prop::sample::Index>(), length in 1usize..=REACH,
        ) {
            let body = body(&turns);
            let prompt = read(&body);
            for run in runs(&body) {
                let phrase = phrase(&run, &start, length);
                prop_assert!(prompt.segments().iter().any(|segment| segment.text.contains(phrase)) || phrase.is_empty(), "{phrase:?} of {body}");
            }
        }

        #[test]
        fn what_is_masked_in_a_seam_is_masked_where_it_stands(turns in any_turns(), at in any::<prop::sample::Index>(), pick in any::<prop::sample::Index>()) {
            let body = body(&turns);
            let prompt = read(&body);
            let seams: Vec<_> = prompt.segments().iter().filter(|segment| segment.place.kind == Kind::Seam).collect();
            prop_assume!(!seams.is_empty());
            let seam = pick.get(&seams);
            let ends: Vec<usize> = seam.text.char_indices().map(|(at, _)| at).chain([seam.text.len()]).collect();
            let from = at.index(ends.len() - 1);
            let span = ends[from]..ends[(from + 9).min(ends.len() - 1)];
            let masked = edited(&OpenAiChat::default(), &body.to_string(), &[(seam.id.0, span.clone(), "#")]).unwrap();
            let all = |body: &Json| match seam.place.role {
                Role::User => said(body, 0),
                _ => body["messages"].as_array().unwrap().iter().map(text_of).collect(),
            };
            let (masked, found) = (all(&serde_json::from_str(&masked).unwrap()), all(&body));
            let gone = seam.text[span].replace('\n', "");
            let places = found.match_indices(&gone).map(|(at, gone)| [&found[..at], "#", &found[at + gone.len()..]].concat());
            prop_assert!(gone.is_empty() || places.into_iter().any(|place| place == masked), "{gone:?}: {masked} of {body}");
        }
    }

    #[test]
    fn a_seam_is_bounded_and_cuts_no_word() {
        let words = "one is a word. ".repeat(700);
        let turns = [(0, vec![words.clone()]), (2, vec!["no".into()]), (0, vec![words])];
        let prompt = read(&body(&turns));
        let seam = prompt.segments().iter().find(|segment| segment.place.kind == Kind::Seam).unwrap();
        assert!((2 * REACH..2 * REACH + 8).contains(&seam.text.len()), "{}", seam.text.len());
        assert!(
            seam.text.lines().flat_map(str::split_whitespace).all(|word| "one is a word.".contains(word)),
            "{}",
            seam.text
        );
    }

    #[test]
    fn what_parts_nothing_for_a_reader_parts_nothing_here() {
        let hidden = |count: usize| "\u{200b}".repeat(count);
        let turns = |count: usize| {
            let (before, after) = (format!("to blue{}", hidden(count)), format!("{}bird now", hidden(count)));
            body(&[(0, vec![before]), (2, vec!["no".into()]), (0, vec![after])])
        };
        let prompt = read(&turns(1000));
        let seamless = prompt.segments().iter().filter(|segment| segment.place.kind == Kind::Seam);
        assert!(seamless.map(|segment| segment.text.replace('\u{200b}', "")).any(|text| text == "to bluebird now"));
        // Nobody writes so: it is not judged in part.
        let unseen = "expected texts of which so much is seen that they can be judged";
        let long = format!("{}{}", "x ".repeat(REACH), hidden(9000));
        let between = (2, vec!["no".to_owned()]);
        for turns in [
            [
                (0, vec!["blue".to_owned()]),
                between.clone(),
                (0, vec![hidden(9000) + &"x".repeat(999)]),
                (0, vec!["b".into()]),
            ],
            [(0, vec![long.clone()]), between.clone(), (0, vec!["bird".into()]), (0, vec!["b".into()])],
            // Behind what is said on end, too.
            [(0, vec!["blue".to_owned()]), between, (0, vec![long]), (0, vec!["bird".into()])],
        ] {
            let refused = refused(&OpenAiChat::default(), &body(&turns).to_string());
            assert!(refused.ends_with(unseen), "{refused}");
        }
        read(&body(&[(0, vec![hidden(9000)])]));
    }

    #[test]
    fn many_turns_are_no_burden() {
        let turns = |count: usize, text: &str| -> Vec<_> {
            (0..count).flat_map(|_| [(0, vec![text.to_owned()]), (2, vec!["y".to_owned()])]).collect()
        };
        let prompt = read(&body(&turns(2000, "a few words")));
        let seams: usize = prompt
            .segments()
            .iter()
            .filter(|segment| segment.place.turn.is_some())
            .map(|segment| segment.text.len())
            .sum();
        assert!(seams < 2000 * 2 * (2 * REACH), "{seams}");
        // References with so many zeros that each turn could be shown with all of those before it.
        let spelled = format!("&#{}98;", "0".repeat(4));
        let refused = refused(&OpenAiChat::default(), &body(&turns(2000, &spelled)).to_string());
        assert!(refused.contains("expected texts of which so much is seen"), "{refused}");
    }

    #[test]
    fn turns_of_a_letter_are_some_and_not_many() {
        let turns = |count: usize| -> Vec<_> {
            (0..count).flat_map(|_| [(0, vec!["y ".to_owned()]), (2, vec!["n".to_owned()])]).collect()
        };
        read(&body(&turns(1000)));
        let refused = refused(&OpenAiChat::new(100_000), &body(&turns(10_000)).to_string());
        assert!(refused.ends_with("expected fewer turns of the user that say so little"), "{refused}");
    }
}
