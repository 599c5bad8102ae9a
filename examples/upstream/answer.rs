//! What the rules come to, before an API writes it in its form.

use hyper::StatusCode;

/// What a request leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Answer(Answer),
    Fail(StatusCode, &'static str),
    /// Unary: nothing ever comes. Streamed: its beginning, then nothing.
    Stall(Answer),
}

/// One answer, all its choices.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub choices: Vec<Choice>,
    /// Multiplies the pause between words.
    pub slowness: u32,
    pub prompt_tokens: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    pub reasoning: Option<String>,
    pub content: Content,
    /// A limit has cut the text.
    pub cut: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    Text(String),
    Refusal(String),
    Calls(Vec<Call>),
}

/// A call of a tool that the request has offered.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub name: String,
    /// A JSON object.
    pub arguments: serde_json::Value,
}

impl Answer {
    /// Of APIs that know no more than one choice.
    pub fn only(&self) -> &Choice {
        &self.choices[0]
    }

    /// Of all choices.
    pub fn tokens(&self) -> usize {
        self.choices.iter().map(Choice::tokens).sum()
    }
}

impl Choice {
    pub fn text(text: String) -> Self {
        Choice { reasoning: None, content: Content::Text(text), cut: false }
    }

    /// What it says, where the API has no refusals of its own.
    pub fn said(&self) -> &str {
        match &self.content {
            Content::Text(text) | Content::Refusal(text) => text,
            Content::Calls(_) => "",
        }
    }

    pub fn calls(&self) -> &[Call] {
        match &self.content {
            Content::Calls(calls) => calls,
            _ => &[],
        }
    }

    /// A word is a token here.
    pub fn tokens(&self) -> usize {
        let calls: usize = self.calls().iter().map(|call| words(&call.arguments.to_string()).count()).sum();
        words(self.said()).count() + calls + self.reasoning_tokens()
    }

    pub fn reasoning_tokens(&self) -> usize {
        words(self.reasoning.as_deref().unwrap_or_default()).count()
    }
}

/// The text in the pieces in which it is streamed: words with the space after them.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(' ')
}

/// Arguments are streamed in pieces that respect no boundary but that of a character.
pub fn shards(text: &str) -> impl Iterator<Item = &str> {
    words(text).flat_map(|word| {
        let middle = (word.len() / 2..word.len()).find(|&at| word.is_char_boundary(at)).unwrap_or(0);
        let (left, right) = word.split_at(middle);
        [left, right].into_iter().filter(|half| !half.is_empty())
    })
}
