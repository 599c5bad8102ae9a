//! A sequence being made: a state machine over a job's steps. It says which tokens are known and what is to be asked after
//! the last of them; it computes nothing.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::model::{Choices, Constraint, Grammar, GrammarError, Mask, Outcome, Step};

/// One job under way.
pub struct Sequence {
    /// All that are known: the prompt, and what has been appended.
    tokens: Vec<u32>,
    steps: VecDeque<Step>,
    state: State,
    outcomes: Vec<Outcome>,
}

/// What is asked of the model after the last token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// The token likeliest to come next; among these, where there is a set of them.
    Likeliest(Option<Arc<Mask>>),
    /// How likely each of these is, among themselves.
    Shares(Arc<[u32]>),
}

/// What the model says.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Likeliest(u32),
    /// In the order of the question; logarithms of numbers that add up to 1.
    Shares(Vec<f32>),
}

enum State {
    /// Every step has been done.
    Done,
    /// Appending up to a stop or a budget, from `start` on.
    Decoding {
        start: usize,
        stops: Arc<[u32]>,
        budget: usize,
    },
    Choosing(Choosing),
    Constrained(Box<Constrained>),
}

/// A text under a grammar, from `start` on.
struct Constrained {
    grammar: Arc<Grammar>,
    text: Constraint,
    /// What may come next.
    allowed: Arc<Mask>,
    start: usize,
    budget: usize,
}

/// A walk through the tree that choices make: they are told apart where they part, and nowhere else. Every choice gets its
/// score, for the best may hide behind a first token that is not.
#[derive(Debug)]
struct Choosing {
    choices: Arc<Choices>,
    /// Length of the sequence before any of them.
    start: usize,
    /// Logarithms; of those that have been told apart.
    scores: Vec<f32>,
    /// Where choices part, and what is known of each such place: still to be asked. The last is asked now.
    forks: Vec<Fork>,
}

#[derive(Debug)]
struct Fork {
    /// Those that are the same up to here.
    choices: Vec<usize>,
    /// Tokens of them that are the same.
    depth: usize,
    /// Logarithm of the share that they have together.
    score: f32,
    /// The tokens that come next in them, each once.
    next: Arc<[u32]>,
}

impl Sequence {
    /// A prompt of at least one token, and what is to follow it. Errors if a grammar can't be begun.
    pub fn new(prompt: Vec<u32>, steps: Vec<Step>) -> Result<Self, GrammarError> {
        let (steps, state) = (steps.into(), State::Done);
        let mut sequence = Sequence { tokens: prompt, steps, state, outcomes: Vec::new() };
        sequence.next_step()?;
        Ok(sequence)
    }

    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// What is to be asked after the last token; nothing where the job is done.
    pub fn question(&self) -> Option<Question> {
        match &self.state {
            State::Done => None,
            State::Decoding { .. } => Some(Question::Likeliest(None)),
            State::Constrained(constrained) => Some(Question::Likeliest(Some(constrained.allowed.clone()))),
            State::Choosing(choosing) => choosing.forks.last().map(|fork| Question::Shares(fork.next.clone())),
        }
    }

    /// Tokens that the step under way may still append, at most; of choices those of one question.
    pub fn left(&self) -> usize {
        let left = |start: usize, budget: usize| (start + budget).saturating_sub(self.tokens.len());
        match &self.state {
            State::Done => 0,
            State::Choosing(_) => 1,
            State::Decoding { start, budget, .. } => left(*start, *budget),
            State::Constrained(constrained) => left(constrained.start, constrained.budget),
        }
    }

    /// Leaves a text under a grammar as it is, without its end, and goes on to the steps that follow.
    pub fn leave(&mut self) -> Result<(), GrammarError> {
        if let State::Constrained(constrained) = &self.state {
            let tokens = self.tokens[constrained.start..].to_vec();
            self.outcomes.push(Outcome::Decoded { tokens, stop: None });
            self.next_step()?;
        }
        Ok(())
    }

    /// Takes the answer to [`Self::question`]. Gives how many of the tokens known before are still the same; the rest, if
    /// any, were those of another choice. Errors if a grammar breaks off; then the sequence can't go on.
    pub fn answer(&mut self, answer: Answer) -> Result<usize, GrammarError> {
        let length = self.tokens.len();
        match (&mut self.state, answer) {
            (State::Decoding { start, stops, budget }, Answer::Likeliest(token)) => {
                let stop = stops.contains(&token).then_some(token);
                if stop.is_none() {
                    self.tokens.push(token);
                }
                if stop.is_some() || self.tokens.len() - *start >= *budget {
                    let tokens = self.tokens[*start..].to_vec();
                    self.outcomes.push(Outcome::Decoded { tokens, stop });
                    self.next_step()?;
                }
                Ok(length)
            }
            (State::Constrained(constrained), Answer::Likeliest(token)) => {
                constrained.text.accept(token)?;
                if token != constrained.grammar.end() {
                    self.tokens.push(token);
                }
                self.go_on()?;
                Ok(length)
            }
            (State::Choosing(choosing), Answer::Shares(shares)) => {
                choosing.part(&shares);
                let (path, best) = choosing.path();
                let same = choosing.start + common(&self.tokens[choosing.start..], path);
                self.tokens.truncate(choosing.start);
                self.tokens.extend_from_slice(path);
                if let Some(index) = best {
                    let scores = std::mem::take(&mut choosing.scores);
                    let last = choosing.choices.as_slice()[index].last;
                    self.outcomes.push(Outcome::Chosen { index, scores });
                    if last {
                        self.steps.clear();
                    }
                    self.next_step()?;
                }
                Ok(same)
            }
            // An answer to another question changes nothing.
            _ => Ok(length),
        }
    }

    /// The token that this answer would append to a text that nothing holds to a form; no stop.
    pub fn decodes(&self, answer: &Answer) -> Option<u32> {
        match (&self.state, answer) {
            (State::Decoding { stops, .. }, Answer::Likeliest(token)) => (!stops.contains(token)).then_some(*token),
            _ => None,
        }
    }

    /// What came of the steps so far, of a job that has ended so. Where it could not go on, a choice that it had made stands,
    /// whatever was to follow; a text under a grammar is as it was left, without its end.
    pub fn ended<E>(mut self, end: Result<(), E>) -> Result<Vec<Outcome>, E> {
        let chosen = self.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Chosen { .. }));
        match end {
            Err(error) if !chosen => return Err(error),
            Err(_) => {
                if let State::Constrained(constrained) = &self.state {
                    let tokens = self.tokens.get(constrained.start..).unwrap_or_default().to_vec();
                    self.outcomes.push(Outcome::Decoded { tokens, stop: None });
                }
            }
            Ok(()) => {}
        }
        Ok(self.outcomes)
    }

    /// Goes on to the next step that has a question in it.
    fn next_step(&mut self) -> Result<(), GrammarError> {
        self.state = State::Done;
        while let Some(step) = self.steps.pop_front() {
            match step {
                Step::Force(tokens) => self.tokens.extend_from_slice(&tokens),
                Step::Decode { budget: 0, .. } => {
                    self.outcomes.push(Outcome::Decoded { tokens: Vec::new(), stop: None });
                }
                Step::Decode { stops, budget } => {
                    self.state = State::Decoding { start: self.tokens.len(), stops, budget };
                    return Ok(());
                }
                Step::Constrain { grammar, budget } => {
                    let (text, start, allowed) = (grammar.start(), self.tokens.len(), Arc::default());
                    self.state = State::Constrained(Box::new(Constrained { grammar, text, allowed, start, budget }));
                    // Which goes on to the steps that follow, if there is nothing to ask.
                    return self.go_on();
                }
                Step::Choose(choices) => {
                    let choosing = Choosing::new(choices, self.tokens.len());
                    let (path, best) = choosing.path();
                    self.tokens.extend_from_slice(path);
                    let Some(index) = best else {
                        self.state = State::Choosing(choosing);
                        return Ok(());
                    };
                    // There is but one.
                    if choosing.choices.as_slice()[index].last {
                        self.steps.clear();
                    }
                    self.outcomes.push(Outcome::Chosen { index, scores: choosing.scores });
                }
            }
        }
        Ok(())
    }

    /// Appends what a grammar forces, up to its next question or its end.
    fn go_on(&mut self) -> Result<(), GrammarError> {
        let State::Constrained(constrained) = &mut self.state else { return Ok(()) };
        let Constrained { grammar, text, allowed, start, budget } = &mut **constrained;
        loop {
            let (finished, length) = (text.finished(), self.tokens.len() - *start);
            if finished || length >= *budget {
                // What is forced may go beyond the budget: then the text is not whole.
                self.tokens.truncate(*start + *budget);
                let stop = (finished && length <= *budget).then(|| grammar.end());
                self.outcomes.push(Outcome::Decoded { tokens: self.tokens[*start..].to_vec(), stop });
                return self.next_step();
            }
            let forced = text.forced()?;
            if forced.is_empty() {
                *allowed = Arc::new(text.allowed()?);
                return Ok(());
            }
            self.tokens.extend(forced);
        }
    }
}

impl Choosing {
    fn new(choices: Arc<Choices>, start: usize) -> Self {
        let count = choices.as_slice().len();
        let mut choosing = Choosing { choices, start, scores: vec![f32::NEG_INFINITY; count], forks: Vec::new() };
        choosing.follow((0..count).collect(), 0, 0.0);
        choosing
    }

    /// Follows choices that are the same up to `depth` to where they part.
    fn follow(&mut self, choices: Vec<usize>, mut depth: usize, score: f32) {
        if let [only] = choices[..] {
            self.scores[only] = score;
            return;
        }
        // No choice begins another, so where two are the same each has a token left.
        let next = loop {
            let mut next: Vec<u32> = choices.iter().filter_map(|&choice| self.token(choice, depth)).collect();
            next.sort_unstable();
            next.dedup();
            if next.len() != 1 {
                break next;
            }
            depth += 1;
        };
        self.forks.push(Fork { choices, depth, score, next: next.into() });
    }

    /// Parts the choices of the last fork by the shares of their next tokens.
    fn part(&mut self, shares: &[f32]) {
        let Some(fork) = self.forks.pop() else { return };
        for (&token, share) in fork.next.iter().zip(shares) {
            let under = |&choice: &usize| self.token(choice, fork.depth) == Some(token);
            let under = fork.choices.iter().copied().filter(under).collect();
            self.follow(under, fork.depth + 1, fork.score + share);
        }
    }

    /// The tokens up to the next question; of the best choice, which is named, where there is none.
    fn path(&self) -> (&[u32], Option<usize>) {
        let choices = self.choices.as_slice();
        match self.forks.last() {
            Some(fork) => (&choices[fork.choices[0]].tokens[..fork.depth], None),
            None => {
                let scores = &self.scores;
                let best =
                    (1..scores.len()).fold(0, |best, index| if scores[index] > scores[best] { index } else { best });
                (&choices[best].tokens, Some(best))
            }
        }
    }

    fn token(&self, choice: usize, depth: usize) -> Option<u32> {
        self.choices.as_slice()[choice].tokens.get(depth).copied()
    }
}

fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Choice, Tokenizer};
    use proptest::prelude::*;
    use std::path::Path;
    use std::sync::LazyLock;

    static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(|| {
        Tokenizer::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models/random-tiny"), 512).unwrap()
    });

    /// Of some twenty tokens; `true` and `false` are forced as soon as they are told apart, and so are brackets.
    static GRAMMAR: LazyLock<Arc<Grammar>> = LazyLock::new(|| {
        let lark = "start: \"[\" (WORD | \"true\" | \"false\") (\", \" WORD){0,2} \"]\"\nWORD: /\"[a-z]{0,3}\"/";
        Arc::new(Grammar::new(&TOKENIZER, lark).unwrap())
    });

    /// A model of its own: what it says follows from the tokens before.
    fn hash(tokens: &[u32]) -> u64 {
        tokens.iter().fold(7, |hash, &token| (hash ^ u64::from(token)).wrapping_mul(0x0100_0000_01b3).rotate_left(17))
    }

    fn likeliest(tokens: &[u32], among: Option<&Mask>) -> u32 {
        let allowed: Vec<u32> = among.map_or((0..6).collect(), |mask| mask.iter().collect());
        allowed[hash(tokens) as usize % allowed.len()]
    }

    /// Logarithms of shares, in no way normal: the sequence only adds them up.
    fn share(tokens: &[u32], next: u32) -> f32 {
        -((hash(&[tokens, &[next, 99]].concat()) % 1000) as f32 + 1.0) / 100.0
    }

    fn answer(question: Question, tokens: &[u32]) -> Answer {
        match question {
            Question::Likeliest(mask) => Answer::Likeliest(likeliest(tokens, mask.as_deref())),
            Question::Shares(of) => Answer::Shares(of.iter().map(|&token| share(tokens, token)).collect()),
        }
    }

    /// Runs a sequence to its end. What is computed is a beginning of its tokens at all times.
    fn run(prompt: &[u32], steps: &[Step]) -> (Vec<u32>, Vec<Outcome>) {
        let mut sequence = Sequence::new(prompt.to_vec(), steps.to_vec()).unwrap();
        let mut computed: Vec<u32> = Vec::new();
        for _ in 0..10_000 {
            let Some(question) = sequence.question() else {
                return (sequence.tokens().to_vec(), sequence.outcomes);
            };
            assert!(sequence.left() > 0, "who is asked may append");
            computed.truncate(computed.len().min(sequence.tokens().len()));
            assert_eq!(sequence.tokens()[..computed.len()], computed);
            computed = sequence.tokens().to_vec();
            let same = sequence.answer(answer(question, &computed)).unwrap();
            assert!(same <= computed.len() && same <= sequence.tokens().len());
            computed.truncate(same);
        }
        panic!("the sequence does not end")
    }

    /// The same, step by step as the job says it.
    fn expected(prompt: &[u32], steps: &[Step]) -> (Vec<u32>, Vec<Outcome>) {
        let (mut tokens, mut outcomes) = (prompt.to_vec(), Vec::new());
        for step in steps {
            match step {
                Step::Force(forced) => tokens.extend_from_slice(forced),
                Step::Decode { stops, budget } => {
                    let (start, mut stop) = (tokens.len(), None);
                    while stop.is_none() && tokens.len() - start < *budget {
                        let token = likeliest(&tokens, None);
                        if stops.contains(&token) { stop = Some(token) } else { tokens.push(token) }
                    }
                    outcomes.push(Outcome::Decoded { tokens: tokens[start..].to_vec(), stop });
                }
                Step::Choose(choices) => {
                    let choices = choices.as_slice();
                    let score = |choice: &Choice| -> f32 {
                        let parts = (0..choice.tokens.len()).filter(|&depth| {
                            let begins = |other: &&Choice| other.tokens.starts_with(&choice.tokens[..depth]);
                            let next: Vec<u32> =
                                choices.iter().filter(begins).map(|other| other.tokens[depth]).collect();
                            next.iter().any(|&token| token != next[0])
                        });
                        parts
                            .map(|depth| share(&[&tokens, &choice.tokens[..depth]].concat(), choice.tokens[depth]))
                            .sum()
                    };
                    let scores: Vec<f32> = choices.iter().map(score).collect();
                    let index = (1..scores.len()).fold(0, |best, i| if scores[i] > scores[best] { i } else { best });
                    tokens.extend_from_slice(&choices[index].tokens);
                    outcomes.push(Outcome::Chosen { index, scores });
                    if choices[index].last {
                        break;
                    }
                }
                Step::Constrain { grammar, budget } => {
                    let (start, mut text, mut stop) = (tokens.len(), grammar.start(), None);
                    while stop.is_none() && tokens.len() - start < *budget {
                        let mut next = text.forced().unwrap();
                        if next.is_empty() && !text.finished() {
                            next.push(likeliest(&tokens, Some(&text.allowed().unwrap())));
                            text.accept(next[0]).unwrap();
                        }
                        tokens.extend(next.into_iter().filter(|&token| token != grammar.end()));
                        stop = text.finished().then(|| grammar.end());
                    }
                    if tokens.len() - start > *budget {
                        tokens.truncate(start + budget);
                        stop = None;
                    }
                    outcomes.push(Outcome::Decoded { tokens: tokens[start..].to_vec(), stop });
                }
            }
        }
        (tokens, outcomes)
    }

    fn step() -> impl Strategy<Value = Step> {
        let choices = prop::collection::btree_set(prop::collection::vec(0u32..3, 1..5), 1..6);
        let choose = (choices, any::<u8>()).prop_filter_map("one begins another", |(lists, last)| {
            let choice = |(at, tokens)| Choice { tokens, last: last >> at & 1 == 1 };
            let choices = Choices::new(lists.into_iter().enumerate().map(choice).collect()).ok()?;
            Some(Step::Choose(Arc::new(choices)))
        });
        prop_oneof![
            prop::collection::vec(0u32..9, 0..4).prop_map(|tokens| Step::Force(tokens.into())),
            (prop::collection::vec(0u32..6, 0..3), 0usize..6)
                .prop_map(|(stops, budget)| Step::Decode { stops: stops.into(), budget }),
            (0usize..30).prop_map(|budget| Step::Constrain { grammar: GRAMMAR.clone(), budget }),
            choose,
        ]
    }

    proptest! {
        #[test]
        fn any_steps_come_to_what_they_say(
            prompt in prop::collection::vec(0u32..9, 1..5),
            steps in prop::collection::vec(step(), 0..5),
        ) {
            let (found, expected) = (run(&prompt, &steps), expected(&prompt, &steps));
            prop_assert_eq!(found.1.len(), expected.1.len());
            for (found, expected) in found.1.iter().zip(&expected.1) {
                match (found, expected) {
                    (Outcome::Chosen { index: a, scores: x }, Outcome::Chosen { index: b, scores: y }) => {
                        prop_assert_eq!(a, b);
                        prop_assert!(x.iter().zip(y).all(|(x, y)| (x - y).abs() < 1e-3), "{:?} for {:?}", x, y);
                    }
                    (found, expected) => prop_assert_eq!(found, expected),
                }
            }
            // What comes after the last question is never computed, so it need not be there.
            prop_assert_eq!(found.0, expected.0);
        }
    }

    proptest! {
        /// Whole, or as long as it may be.
        #[test]
        fn a_text_under_a_grammar_has_its_form(prompt in prop::collection::vec(0u32..9, 1..5), budget in 0usize..40) {
            let (_, outcomes) = run(&prompt, &[Step::Constrain { grammar: GRAMMAR.clone(), budget }]);
            let [Outcome::Decoded { tokens, stop }] = &outcomes[..] else { panic!() };
            let text = TOKENIZER.decode(tokens);
            let read = text.as_ref().and_then(|text| serde_json::from_str::<Vec<serde_json::Value>>(text).ok());
            prop_assert!(tokens.len() <= budget);
            match stop {
                Some(stop) => prop_assert!(*stop == GRAMMAR.end() && read.is_some_and(|list| !list.is_empty()), "{:?}", text),
                None => prop_assert!(tokens.len() == budget, "{:?}", text),
            }
        }
    }

    proptest! {
        /// With what came before it, and with as much of a text under a grammar as there is; without a choice there is nothing.
        #[test]
        fn a_choice_stands_wherever_the_rest_breaks_off(
            prompt in prop::collection::vec(0u32..9, 1..5),
            steps in prop::collection::vec(step(), 0..5),
            answers in 0usize..20,
        ) {
            let (_, whole) = run(&prompt, &steps);
            let mut sequence = Sequence::new(prompt, steps).unwrap();
            for _ in 0..answers {
                let Some(question) = sequence.question() else { break };
                let answer = answer(question, sequence.tokens());
                sequence.answer(answer).unwrap();
            }
            let done = sequence.outcomes.clone();
            let chosen = done.iter().any(|outcome| matches!(outcome, Outcome::Chosen { .. }));
            let found = sequence.ended(Err("it broke off"));
            prop_assert_eq!(found.is_ok(), chosen);
            let found = found.unwrap_or_else(|_| done.clone());
            prop_assert_eq!(&found[..done.len()], &whole[..done.len()]);
            match (&found[done.len()..], whole.get(done.len())) {
                ([], _) => {}
                ([Outcome::Decoded { tokens, stop: None }], Some(Outcome::Decoded { tokens: whole, .. })) => {
                    prop_assert!(whole.starts_with(tokens));
                }
                (rest, _) => panic!("{rest:?}"),
            }
        }
    }

    #[test]
    fn a_text_that_is_left_is_not_whole_and_what_follows_it_goes_on() {
        let steps = [
            Step::Constrain { grammar: GRAMMAR.clone(), budget: 30 },
            Step::Force([7].into()),
            Step::Decode { stops: [].into(), budget: 2 },
        ];
        let mut sequence = Sequence::new(vec![1], steps.to_vec()).unwrap();
        let Some(Question::Likeliest(Some(fits))) = sequence.question() else { panic!() };
        sequence.answer(Answer::Likeliest(fits.iter().next().unwrap())).unwrap();
        let begun = sequence.tokens()[1..].to_vec();
        assert_eq!(sequence.left(), 30 - begun.len());
        sequence.leave().unwrap();
        assert_eq!(sequence.tokens(), [&[1][..], &begun, &[7]].concat());
        assert_eq!((sequence.question(), sequence.left()), (Some(Question::Likeliest(None)), 2));
        // No other step can be left.
        sequence.leave().unwrap();
        assert_eq!(sequence.question(), Some(Question::Likeliest(None)));
        assert_eq!(sequence.outcomes, [Outcome::Decoded { tokens: begun, stop: None }]);
    }

    #[test]
    fn an_answer_to_another_question_changes_nothing() {
        let mut sequence = Sequence::new(vec![1], vec![Step::Decode { stops: [].into(), budget: 2 }]).unwrap();
        assert_eq!(sequence.answer(Answer::Shares(vec![0.0])), Ok(1));
        assert_eq!((sequence.tokens(), sequence.question()), (&[1][..], Some(Question::Likeliest(None))));
    }
}
