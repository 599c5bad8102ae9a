//! What a request asks, whatever its API.

use serde_json::Value;

use crate::answer::words;

/// A request, read.
#[derive(Debug, Default)]
pub struct Ask {
    /// What the user said last.
    pub words: String,
    /// What tools answered to it, in order.
    pub results: Vec<String>,
    /// Those that may be called.
    pub tools: Vec<Tool>,
    /// One of them has to be.
    pub must_call: bool,
    pub form: Form,
    /// Answers to give; none is one.
    pub choices: Option<u64>,
    /// Words of an answer, at most.
    pub limit: Option<u64>,
    /// A word is a token here.
    pub prompt_tokens: usize,
}

#[derive(Debug)]
pub struct Tool {
    pub name: String,
    /// The schema of its arguments.
    pub parameters: Value,
}

/// What the answer's text has to be.
#[derive(Debug, Default)]
pub enum Form {
    #[default]
    Text,
    Object,
    Schema(Value),
}

impl Ask {
    /// Of a conversation: what each turn is, and what it says.
    pub fn of(turns: &[(Turn, String)]) -> Self {
        let last = turns.iter().rfind(|(turn, _)| *turn == Turn::User);
        let behind = turns.iter().rev().take_while(|(turn, _)| *turn == Turn::Result).count();
        Ask {
            words: last.map_or(String::new(), |(_, said)| said.clone()),
            results: turns[turns.len() - behind..].iter().map(|(_, said)| said.clone()).collect(),
            prompt_tokens: turns.iter().map(|(_, said)| words(said).count()).sum(),
            ..Ask::default()
        }
    }

    /// Offers tools, of which the client may want a certain one.
    pub fn offer(&mut self, tools: impl Iterator<Item = Tool>, choice: Choice) {
        self.tools = match &choice {
            Choice::None => Vec::new(),
            Choice::Tool(name) => tools.filter(|tool| tool.name == *name).collect(),
            Choice::Any | Choice::Auto => tools.collect(),
        };
        self.must_call = matches!(choice, Choice::Any | Choice::Tool(_));
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    User,
    /// What a tool says.
    Result,
    Other,
}

/// Which tools the client wants called.
pub enum Choice {
    Auto,
    None,
    Any,
    Tool(String),
}

impl Tool {
    /// A tool as most APIs write it; the name of its schema differs.
    pub fn new(tool: &Value, schema: &str) -> Self {
        Tool { name: tool["name"].as_str().unwrap_or_default().to_owned(), parameters: tool[schema].clone() }
    }
}

/// A content's words: a string, or parts of which the text ones count.
pub fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    }
}
