//! A job for the model: a prompt, and the steps that follow it. Token ids only.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

use crate::model::Grammar;

/// One sequence to be made.
#[derive(Debug, Clone)]
pub struct Job {
    pub prompt: Vec<u32>,
    /// So many tokens at the beginning come back in other jobs, before other contents; what was computed of them is kept.
    pub shared: usize,
    /// So many tokens at the beginning may come back in a later job and go on there: a stream's text grows. At least
    /// `shared`.
    pub grows: usize,
    pub steps: Vec<Step>,
    /// Goes before those that are not.
    pub urgent: bool,
    /// Then the job ends, with what it has chosen by then.
    pub deadline: Option<Instant>,
    /// Where the engine tells how the job goes on. What finds no room there is not told: the engine waits for nobody.
    pub listener: Option<mpsc::Sender<Told>>,
}

/// What an engine tells of a job under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The first step with it begins. Of the `tokens` to be read then, `kept` have been before.
    Begun { at: Instant, tokens: usize, kept: usize },
    /// What was to be read has been: the first question has its answer.
    Read { at: Instant },
    /// A [`Step::Decode`] has appended this.
    Token(u32),
}

/// What follows the prompt, in order.
#[derive(Debug, Clone)]
pub enum Step {
    /// Appends these, unasked.
    Force(Arc<[u32]>),
    /// Appends the likeliest token again and again, until it is one of `stops` (which is not appended) or there are
    /// `budget` of them.
    Decode { stops: Arc<[u32]>, budget: usize },
    /// Appends the likeliest of these.
    Choose(Arc<Choices>),
    /// Appends the likeliest token that the grammar allows, and what it forces, until the text is finished or there are
    /// `budget` of them. The grammar's end, which is then the stop, is not appended. What follows starts the grammar anew.
    Constrain { grammar: Arc<Grammar>, budget: usize },
}

/// What came of a step that had a question in it.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// `stop` is what ended it; `None` if the budget did, or if it broke off.
    Decoded { tokens: Vec<u32>, stop: Option<u32> },
    /// `scores` has one entry for each choice: the logarithm of its share among them. `index` is the highest.
    Chosen { index: usize, scores: Vec<f32> },
}

/// Continuations to choose from; none is the beginning of another, so that every one can be told from the rest. Of those
/// that are equally likely the first is chosen: what must not be chosen by chance comes last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choices(Vec<Choice>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub tokens: Vec<u32>,
    /// Leaves out the steps that would follow.
    pub last: bool,
}

/// Why continuations are not choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChoicesError {
    #[error("there is nothing to choose from")]
    None,
    #[error("choice {shorter} is the beginning of choice {longer}")]
    Prefix { shorter: usize, longer: usize },
}

impl Choices {
    pub fn new(choices: Vec<Choice>) -> Result<Self, ChoicesError> {
        if choices.is_empty() {
            return Err(ChoicesError::None);
        }
        for (shorter, short) in choices.iter().enumerate() {
            let begins = |(longer, long): (usize, &Choice)| longer != shorter && long.tokens.starts_with(&short.tokens);
            if let Some(longer) = choices.iter().enumerate().position(begins) {
                return Err(ChoicesError::Prefix { shorter, longer });
            }
        }
        Ok(Choices(choices))
    }

    pub fn as_slice(&self) -> &[Choice] {
        &self.0
    }
}

impl Job {
    /// Tokens that the sequence can come to, at most.
    pub fn longest(&self) -> usize {
        self.prompt.len() + self.steps.iter().map(Step::longest).sum::<usize>()
    }

    /// Every token that the job itself brings.
    pub fn tokens(&self) -> impl Iterator<Item = u32> {
        let of_steps = self.steps.iter().flat_map(|step| match step {
            Step::Force(tokens) => vec![&**tokens],
            Step::Decode { .. } | Step::Constrain { .. } => Vec::new(),
            Step::Choose(choices) => choices.0.iter().map(|choice| &*choice.tokens).collect(),
        });
        std::iter::once(&*self.prompt).chain(of_steps).flatten().copied()
    }
}

impl Step {
    /// Tokens that the step can append, at most.
    pub fn longest(&self) -> usize {
        match self {
            Step::Force(tokens) => tokens.len(),
            Step::Decode { budget, .. } | Step::Constrain { budget, .. } => *budget,
            Step::Choose(choices) => choices.0.iter().map(|choice| choice.tokens.len()).max().unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_choice_begins_another() {
        let choices = |lists: &[&[u32]]| {
            Choices::new(lists.iter().map(|tokens| Choice { tokens: tokens.to_vec(), last: false }).collect())
        };
        assert!(choices(&[&[1], &[2, 3], &[2, 4]]).is_ok());
        assert_eq!(choices(&[]), Err(ChoicesError::None));
        assert_eq!(choices(&[&[1, 2], &[3], &[1]]), Err(ChoicesError::Prefix { shorter: 2, longer: 0 }));
        assert_eq!(choices(&[&[1], &[1]]), Err(ChoicesError::Prefix { shorter: 0, longer: 1 }));
        assert_eq!(choices(&[&[], &[1]]), Err(ChoicesError::Prefix { shorter: 0, longer: 1 }));
    }
}
