//! What Ollama says of its answers: whole ones, lines of a stream, errors.

use bytes::Bytes;

use crate::wire::answer::{Answers, Moment};
use crate::wire::json::{Patch, Value};
use crate::wire::ollama::fields::ANSWER;
use crate::wire::ollama::{Api, copies, reply};
use crate::wire::shape::{Rule, is_word, unexpected};
use crate::wire::{Cut, Framing, WireError};

/// One answer. It has one choice, whose number nobody writes.
pub struct OllamaAnswers {
    api: Api,
    framing: Framing,
    /// From the first line that has one.
    model: Option<String>,
}

impl OllamaAnswers {
    pub fn new(api: Api, framing: Framing) -> Self {
        OllamaAnswers { api, framing, model: None }
    }
}

impl Answers for OllamaAnswers {
    fn body(&self) -> Rule<'_> {
        Rule::Object(&ANSWER)
    }

    fn choice(&self, _: Value<'_>, position: u32) -> Result<u32, WireError> {
        Ok(position)
    }

    /// A line that is done is the last; so is an error.
    fn note(&mut self, line: Value<'_>) -> Result<Moment, WireError> {
        if self.framing != Framing::Ndjson {
            return Err(unexpected(line, "a stream of JSON lines"));
        }
        if self.model.is_none() {
            let model = line.get("model").and_then(Value::text).filter(|model| is_word(model));
            self.model = model.map(Into::into);
        }
        let done = line.get("done").and_then(Value::bool).unwrap_or(false);
        let failed = line.get("error").is_some_and(|error| !error.is_null() && !error.is(""));
        Ok(match done || failed {
            true => Moment::End,
            false if calls(line) => Moment::Last,
            false => Moment::Passing,
        })
    }

    /// Only a line that says so ends a stream.
    fn may_end(&self) -> bool {
        false
    }

    fn strip(&self, root: Value<'_>, changed: bool, patch: &mut Patch) {
        copies::strip(root, changed, patch);
    }

    fn cut(&self, cut: Cut<'_>, written: bool) -> Bytes {
        match cut {
            Cut::Failed(refusal) => reply::failed(refusal),
            Cut::Blocked => reply::filtered(self.api, self.model.as_deref().filter(|_| written).unwrap_or_default()),
        }
    }
}

/// Whether a line calls a tool.
fn calls(line: Value<'_>) -> bool {
    let calls = [Some(line), line.get("message")].into_iter().flatten().filter_map(|said| said.get("tool_calls"));
    calls.into_iter().any(|calls| !calls.is_null() && calls.raw() != "[]")
}
