//! A sequence being made: appended tokens are computed when the next question needs them, together.

use tch::Tensor;

use crate::model::{Choices, Grammar, GrammarError, KvCache, Outcome, Transformer};

/// Tokens computed at once, at most: bounds memory, and how long a cancelled job goes on.
const CHUNK: usize = 512;

/// A sequence of tokens and what the model knows of it.
pub struct Sequence<'m> {
    model: &'m Transformer,
    tokens: Vec<u32>,
    /// Of the tokens' beginning.
    cache: KvCache,
    /// What the head reads at the cache's last position, if that was just computed.
    hidden: Option<Tensor>,
    cancelled: &'m dyn Fn() -> bool,
}

/// Why a sequence was not finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfinished {
    /// What is to be made breaks off.
    Grammar(GrammarError),
    /// Nobody waits for it any more.
    Cancelled,
    /// The model's scores are not numbers: its weights are broken.
    NotANumber,
}

impl From<GrammarError> for Unfinished {
    fn from(error: GrammarError) -> Self {
        Unfinished::Grammar(error)
    }
}

impl<'m> Sequence<'m> {
    /// Goes on from `tokens`, of whose beginning `cache` holds what was computed.
    pub fn new(model: &'m Transformer, tokens: Vec<u32>, cache: KvCache, cancelled: &'m dyn Fn() -> bool) -> Self {
        Sequence { model, tokens, cache, hidden: None, cancelled }
    }

    pub fn extend(&mut self, tokens: &[u32]) {
        self.tokens.extend_from_slice(tokens);
    }

    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    pub fn cache(&self) -> &KvCache {
        &self.cache
    }

    /// Computes all that has been appended.
    pub fn settle(&mut self) -> Result<(), Unfinished> {
        while self.cache.len() < self.tokens.len() {
            if (self.cancelled)() {
                return Err(Unfinished::Cancelled);
            }
            let done = self.cache.len();
            let chunk = &self.tokens[done..self.tokens.len().min(done + CHUNK)];
            let hidden = self.model.forward(chunk, &mut self.cache);
            self.hidden = Some(hidden.narrow(0, hidden.size()[0] - 1, 1));
        }
        Ok(())
    }

    /// The likeliest token to come next. The sequence has at least one token.
    pub fn likeliest(&mut self) -> Result<u32, Unfinished> {
        let logits = self.model.logits(&self.next_hidden()?);
        let (score, token) = logits.max_dim(-1, false);
        if !score.double_value(&[0]).is_finite() {
            return Err(Unfinished::NotANumber);
        }
        u32::try_from(token.int64_value(&[0])).map_err(|_| Unfinished::NotANumber)
    }

    /// Appends the likeliest tokens up to a stop or a budget.
    pub fn decode(&mut self, stops: &[u32], budget: usize) -> Result<Outcome, Unfinished> {
        let start = self.tokens.len();
        let mut stop = None;
        while stop.is_none() && self.tokens.len() - start < budget {
            match self.likeliest()? {
                token if stops.contains(&token) => stop = Some(token),
                token => self.tokens.push(token),
            }
        }
        Ok(Outcome::Decoded { tokens: self.tokens[start..].to_vec(), stop })
    }

    /// Appends the likeliest tokens that a grammar allows, up to its end or a budget.
    pub fn constrain(&mut self, grammar: &Grammar, budget: usize) -> Result<Outcome, Unfinished> {
        let start = self.tokens.len();
        let mut text = grammar.start();
        while !text.finished() && self.tokens.len() - start < budget {
            let forced = text.forced()?;
            if !forced.is_empty() {
                self.extend(&forced);
                continue;
            }
            let allowed = text.allowed()?;
            let logits = Vec::<f32>::try_from(self.model.logits(&self.next_hidden()?).flatten(0, -1));
            let logits = logits.map_err(|_| Unfinished::NotANumber)?;
            let scored = allowed.iter().filter_map(|token| Some((token, *logits.get(token as usize)?)));
            let (token, score) =
                scored.reduce(|best, next| if next.1 > best.1 { next } else { best }).ok_or(Unfinished::NotANumber)?;
            if !score.is_finite() {
                return Err(Unfinished::NotANumber);
            }
            text.accept(token)?;
            if token == grammar.end() {
                break;
            }
            self.extend(&[token]);
        }
        let mut tokens = self.tokens[start..].to_vec();
        // What is forced is not counted before it is there.
        let whole = text.finished() && tokens.len() <= budget;
        tokens.truncate(budget);
        Ok(Outcome::Decoded { tokens, stop: whole.then_some(grammar.end()) })
    }

    /// Scores the choices, and appends the best. A choice's score is the product of the shares that its tokens have among
    /// those that any choice allows there: only where choices part is the model asked.
    pub fn choose(&mut self, choices: &Choices) -> Result<Outcome, Unfinished> {
        let mut scores = vec![0.0; choices.as_slice().len()];
        let open: Vec<(usize, &[u32])> =
            choices.as_slice().iter().enumerate().map(|(index, choice)| (index, choice.tokens.as_slice())).collect();
        self.share(&open, 1.0, &mut scores)?;
        let index = (1..scores.len()).fold(0, |best, index| if scores[index] > scores[best] { index } else { best });
        self.extend(&choices.as_slice()[index].tokens);
        Ok(Outcome::Chosen { index, scores })
    }

    /// Shares `mass` out among choices that are the same up to here; each comes with what is left of it.
    fn share(&mut self, open: &[(usize, &[u32])], mass: f32, scores: &mut [f32]) -> Result<(), Unfinished> {
        if let [(index, _)] = open {
            scores[*index] = mass;
            return Ok(());
        }
        // No choice begins another, so where two are open each has a token left.
        let mut firsts: Vec<u32> = open.iter().filter_map(|(_, rest)| rest.first().copied()).collect();
        firsts.sort_unstable();
        firsts.dedup();
        let shares = if let [_] = firsts[..] { vec![1.0] } else { self.shares(&firsts)? };
        let length = self.tokens.len();
        for (first, share) in firsts.into_iter().zip(shares) {
            let under: Vec<(usize, &[u32])> = open
                .iter()
                .filter_map(|(index, rest)| {
                    rest.split_first().filter(|(token, _)| **token == first).map(|(_, rest)| (*index, rest))
                })
                .collect();
            self.extend(&[first]);
            self.share(&under, mass * share, scores)?;
            self.rewind(length);
        }
        Ok(())
    }

    /// How likely each of these is to come next, among themselves.
    fn shares(&mut self, tokens: &[u32]) -> Result<Vec<f32>, Unfinished> {
        let hidden = self.next_hidden()?;
        let logits = self.model.logits_of(&hidden, tokens);
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f32> = logits.iter().map(|logit| (logit - highest).exp()).collect();
        let sum: f32 = powers.iter().sum();
        if !sum.is_finite() {
            return Err(Unfinished::NotANumber);
        }
        Ok(powers.into_iter().map(|power| power / sum).collect())
    }

    fn next_hidden(&mut self) -> Result<Tensor, Unfinished> {
        if self.hidden.is_none() {
            // The last position was computed, and what came of it forgotten: it is computed again.
            self.cache.truncate(self.tokens.len().saturating_sub(1));
        }
        self.settle()?;
        Ok(self.hidden.as_ref().expect("settling a sequence of at least one token leaves one").shallow_clone())
    }

    fn rewind(&mut self, length: usize) {
        self.tokens.truncate(length);
        if self.cache.len() > length {
            self.cache.truncate(length);
            self.hidden = None;
        }
    }
}
