//! Hearing: what the engine tells of one window becomes times and whole pieces of text for the ask's listener.

use std::time::Instant;

use tokio::sync::mpsc;

use crate::detectors::safeguard::{Generator, Ungenerated};
use crate::guardrail::{Heard, Listener};
use crate::model::{Job, Outcome, Step, Tokenizer, Told};

/// Generates, and tells `listener` how it goes on. Dropping the future cancels the job.
pub async fn generate(
    engine: &dyn Generator,
    job: Job,
    listener: &Listener,
    window: usize,
) -> Result<Vec<Outcome>, Ungenerated> {
    let decodes = |step: &Step| if let Step::Decode { budget, .. } = step { *budget } else { 0 };
    let budget: usize = job.steps.iter().map(decodes).sum();
    // There is room for all that can be told of a job, and so for all of its reasoning.
    let (tells, mut told) = mpsc::channel(budget + 2);
    let mut hearing = Hearing {
        listener,
        tokenizer: engine.tokenizer(),
        window,
        asked: Instant::now(),
        begun: None,
        heard: 0,
        partial: Vec::new(),
    };
    let mut outcomes = engine.generate(Job { listener: Some(tells), ..job });
    let outcomes = loop {
        tokio::select! {
            biased;
            Some(told) = told.recv() => hearing.hear(told),
            outcomes = &mut outcomes => break outcomes,
        }
    };
    while let Ok(told) = told.try_recv() {
        hearing.hear(told);
    }
    // An engine need not tell anything before it is done.
    if let (Ok([Outcome::Decoded { tokens, .. }, ..]), 1..) = (outcomes.as_deref(), budget) {
        let left = tokens.get(hearing.heard..).unwrap_or_default();
        left.iter().for_each(|&token| hearing.hear(Told::Token(token)));
    }
    hearing.end();
    outcomes
}

struct Hearing<'a> {
    listener: &'a Listener,
    tokenizer: &'a Tokenizer,
    window: usize,
    asked: Instant,
    /// When the engine began, how many tokens there were to be read, and how many of them it had read before.
    begun: Option<(Instant, usize, usize)>,
    /// Tokens of reasoning.
    heard: usize,
    /// The beginning of a character whose end is to come.
    partial: Vec<u8>,
}

impl Hearing<'_> {
    fn hear(&mut self, told: Told) {
        let window = self.window;
        match told {
            Told::Begun { at, tokens, kept } => {
                self.begun = Some((at, tokens, kept));
                self.listener.tell(Heard::Begun { window, queued: at.saturating_duration_since(self.asked) });
            }
            Told::Read { at } => {
                if let Some((begun, tokens, kept)) = self.begun {
                    let took = at.saturating_duration_since(begun);
                    self.listener.tell(Heard::Read { window, tokens, kept, took });
                }
            }
            Told::Token(token) => {
                self.heard += 1;
                self.partial.extend(self.tokenizer.bytes(token).unwrap_or_default());
                let text = whole(&mut self.partial);
                self.tell(&text);
            }
        }
    }

    fn end(self) {
        self.tell(&String::from_utf8_lossy(&self.partial));
    }

    fn tell(&self, text: &str) {
        if !text.is_empty() {
            self.listener.tell(Heard::Reasoning { window: self.window, text });
        }
    }
}

/// Takes the whole characters off the beginning of `bytes`, with a replacement for what is none. What is left could still
/// become one: three bytes at most.
fn whole(bytes: &mut Vec<u8>) -> String {
    let open = match bytes.utf8_chunks().last() {
        Some(last) => match std::str::from_utf8(last.invalid()) {
            Err(error) if error.error_len().is_none() => last.invalid().len(),
            _ => 0,
        },
        None => 0,
    };
    let rest = bytes.split_off(bytes.len() - open);
    String::from_utf8_lossy(&std::mem::replace(bytes, rest)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_are_whole_and_add_up(
            text in prop_oneof![any::<String>().prop_map(String::into_bytes), any::<Vec<u8>>()],
            cuts in prop::collection::vec(1usize..5, 0..64),
        ) {
            let (mut said, mut partial, mut rest) = (String::new(), Vec::new(), &text[..]);
            for cut in cuts.into_iter().chain(std::iter::repeat(1)) {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                partial.extend_from_slice(piece);
                said += &whole(&mut partial);
                prop_assert!(partial.len() < 4, "{partial:?}");
                rest = after;
            }
            said += &String::from_utf8_lossy(&partial);
            prop_assert_eq!(said, String::from_utf8_lossy(&text));
        }
    }
}
