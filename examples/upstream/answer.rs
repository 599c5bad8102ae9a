//! What the rules come to, before it is written as JSON.

use hyper::StatusCode;

/// What a request leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Answer(Answer),
    /// An error in OpenAI's shape.
    Fail(StatusCode, &'static str),
    /// Unary: nothing ever comes. Streamed: one word, then nothing.
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
    /// `max_tokens` has cut the text.
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
    /// JSON, as models write it: in a string.
    pub arguments: String,
}

impl Choice {
    pub fn text(text: String) -> Self {
        Choice { reasoning: None, content: Content::Text(text), cut: false }
    }

    pub fn finish_reason(&self) -> &'static str {
        match self.content {
            Content::Calls(_) => "tool_calls",
            _ if self.cut => "length",
            _ => "stop",
        }
    }

    /// A word is a token here.
    pub fn tokens(&self) -> usize {
        let content = match &self.content {
            Content::Text(text) | Content::Refusal(text) => words(text).count(),
            Content::Calls(calls) => calls.iter().map(|call| words(&call.arguments).count()).sum(),
        };
        content + self.reasoning.as_deref().map_or(0, |text| words(text).count())
    }
}

/// The text in the pieces in which it is streamed: words with the space after them.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(' ')
}
