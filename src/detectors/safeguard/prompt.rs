//! The prompt in harmony, as token ids: system (effort), developer (policy), user (content).

use std::sync::Arc;

use crate::model::{Control, EncodeError, Tokenizer};
use crate::policy::Effort;

/// A prompt but for its content.
#[derive(Debug, Clone)]
pub struct Prompt {
    before: Arc<[u32]>,
    after: Arc<[u32]>,
}

/// The openings of the model's channels, to follow a prompt. A model that is left to open them itself may not.
#[derive(Debug, Clone)]
pub struct Openers {
    /// Straight to the answer.
    pub answer: Arc<[u32]>,
    /// To the reasoning.
    pub reasoning: Arc<[u32]>,
    /// From the reasoning, which it ends, to the answer. Whole: after its end alone the model may reason on.
    pub conclude: Arc<[u32]>,
}

impl Prompt {
    /// `date` is `YYYY-MM-DD`; without one the prompt is the same tomorrow, and what was computed of it can be kept.
    pub fn new(tokenizer: &Tokenizer, policy: &str, effort: Effort, date: Option<&str>) -> Result<Self, EncodeError> {
        let Control { start, end, message, .. } = *tokenizer.control();
        let text = |text: &str| tokenizer.encode(text);
        let block =
            |role: &str, body: &str| Ok([vec![start], text(role)?, vec![message], text(body)?, vec![end]].concat());
        let system = block("system", &system(effort, date))?;
        let developer = block("developer", &format!("# Instructions\n\n{policy}"))?;
        let user = [vec![start], text("user")?, vec![message]].concat();
        Ok(Prompt {
            before: [system, developer, user].concat().into(),
            after: [vec![end, start], text("assistant")?].concat().into(),
        })
    }

    /// The prompt of a content; it starts with [`Self::beginning`].
    pub fn render(&self, content: &[u32]) -> Vec<u32> {
        [&self.before, content, &self.after].concat()
    }

    /// The prompt up to its content: the same for every content.
    pub fn beginning(&self) -> &Arc<[u32]> {
        &self.before
    }

    /// Tokens beside the content.
    pub fn overhead(&self) -> usize {
        self.before.len() + self.after.len()
    }
}

impl Openers {
    pub fn new(tokenizer: &Tokenizer) -> Result<Self, EncodeError> {
        let Control { start, end, message, channel, .. } = *tokenizer.control();
        let open = |name: &str| Ok([vec![channel], tokenizer.encode(name)?, vec![message]].concat());
        let (reasoning, answer) = (open("analysis")?, open("final")?);
        let conclude = [vec![end, start], tokenizer.encode("assistant")?, answer.clone()].concat();
        Ok(Openers { answer: answer.into(), reasoning: reasoning.into(), conclude: conclude.into() })
    }
}

fn system(effort: Effort, date: Option<&str>) -> String {
    let date = date.map(|date| format!("Current date: {date}\n")).unwrap_or_default();
    // The model knows no effort below low; where it is not to reason, its reasoning is passed over.
    let effort = match effort {
        Effort::None | Effort::Low | Effort::Adaptive => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
    };
    format!(
        "You are ChatGPT, a large language model trained by OpenAI.\nKnowledge cutoff: 2024-06\n{date}\n\
         Reasoning: {effort}\n\n\
         # Valid channels: analysis, commentary, final. Channel must be included for every message."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openers_have_their_known_ids() {
        let openers = Openers::new(&Tokenizer::o200k()).unwrap();
        assert_eq!(*openers.answer, [200005, 17196, 200008]);
        assert_eq!(*openers.reasoning, [200005, 35644, 200008]);
        assert_eq!(*openers.conclude, [200007, 200006, 173781, 200005, 17196, 200008]);
    }

    #[test]
    fn the_shared_part_ends_where_the_content_begins() {
        let tokenizer = Tokenizer::o200k();
        let prompt = Prompt::new(&tokenizer, "policy", Effort::None, None).unwrap();
        let (one, other) = (prompt.render(&[1, 2]), prompt.render(&[3]));
        let shared = prompt.beginning().len();
        assert_eq!((&one[..shared], &other[..shared]), (&**prompt.beginning(), &**prompt.beginning()));
        assert_eq!(one[shared..][..2], [1, 2]);
        assert_eq!(one.len(), prompt.overhead() + 2);
    }

    #[test]
    fn an_adaptive_effort_asks_twice_with_the_same_prompt() {
        let tokenizer = Tokenizer::o200k();
        let prompt = |effort| Prompt::new(&tokenizer, "policy", effort, None).unwrap().render(&[1]);
        assert_eq!(prompt(Effort::Adaptive), prompt(Effort::None));
        assert_eq!(prompt(Effort::Adaptive), prompt(Effort::Low));
        assert_ne!(prompt(Effort::Adaptive), prompt(Effort::Medium));
    }
}
