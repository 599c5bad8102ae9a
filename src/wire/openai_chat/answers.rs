//! What chat completions say of their answers: whole ones, chunks of a stream, errors.

use bytes::Bytes;

use crate::wire::answer::{Answers, Moment};
use crate::wire::json::{Patch, Value};
use crate::wire::openai::choices::Choices;
use crate::wire::openai::reply::{DONE, done, failed};
use crate::wire::openai_chat::fields::{ANSWER, CHUNK};
use crate::wire::openai_chat::request::MAX_CHOICES;
use crate::wire::openai_chat::{copies, reply};
use crate::wire::shape::Rule;
use crate::wire::{Cut, Framing, WireError};

/// One answer.
pub struct ChatAnswers {
    choices: Choices,
}

impl ChatAnswers {
    pub fn new(framing: Framing) -> Self {
        ChatAnswers { choices: Choices::new(framing, reply::FAMILY, MAX_CHOICES) }
    }
}

impl Answers for ChatAnswers {
    fn body(&self) -> Rule<'_> {
        Rule::Object(if self.choices.is_stream() { &CHUNK } else { &ANSWER })
    }

    fn choice(&self, element: Value<'_>, _: u32) -> Result<u32, WireError> {
        self.choices.index(element)
    }

    fn note(&mut self, chunk: Value<'_>) -> Result<Moment, WireError> {
        self.choices.note(chunk, calls)
    }

    fn is_end(&self, data: &[u8]) -> bool {
        data == DONE.as_bytes()
    }

    fn may_end(&self) -> bool {
        self.choices.may_end()
    }

    fn strip(&self, root: Value<'_>, changed: bool, patch: &mut Patch) {
        copies::strip(root, changed, self.choices.is_stream(), patch);
    }

    fn cut(&self, cut: Cut<'_>, written: bool) -> Bytes {
        match cut {
            Cut::Failed(refusal) => failed(refusal),
            Cut::Blocked => reply::filtered(&self.choices.header(written), self.choices.open()),
        }
    }

    fn end(&self) -> Bytes {
        done()
    }
}

/// Whether a choice calls a tool.
fn calls(choice: Value<'_>) -> bool {
    ["delta", "message"].into_iter().filter_map(|name| choice.get(name)).any(|said| {
        said.get("function_call").is_some_and(|call| !call.is_null())
            || said.get("tool_calls").is_some_and(|calls| !calls.is_null() && calls.raw() != "[]")
    })
}
