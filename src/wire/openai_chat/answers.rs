//! What chat completions say of their answers: whole ones, chunks of a stream, errors.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::wire::answer::{Answers, Moment};
use crate::wire::json::{Patch, Value};
use crate::wire::openai_chat::fields::ANSWER;
use crate::wire::openai_chat::request::MAX_CHOICES;
use crate::wire::openai_chat::{copies, reply};
use crate::wire::shape::{Rule, is_word, unexpected};
use crate::wire::{Cut, WireError};

/// One answer.
#[derive(Default)]
pub struct ChatAnswers {
    /// From the first chunk.
    header: Option<Header>,
    seen: BTreeSet<u32>,
    finished: BTreeSet<u32>,
    /// The stream has reported an error: it may end without more ado.
    failed: bool,
}

/// What every chunk of a stream repeats; each as JSON.
#[derive(Debug, Clone)]
pub struct Header {
    pub id: String,
    pub created: String,
    pub model: String,
}

impl ChatAnswers {
    /// Notes which choices a chunk speaks of; whether it must wait for the final verdict. Running usage does not make it: some
    /// upstreams put it on every chunk.
    fn read_choices(&mut self, root: Value<'_>) -> Result<bool, WireError> {
        let mut last = false;
        let mut none = true;
        for choice in root.get("choices").into_iter().flat_map(Value::elements) {
            none = false;
            let index = index_of(choice)?;
            self.seen.insert(index);
            if choice.get("finish_reason").is_some_and(|reason| !reason.is_null()) {
                self.finished.insert(index);
                last = true;
            }
            let said = ["delta", "message"].into_iter().filter_map(|name| choice.get(name));
            let calls = |said: Value<'_>| {
                said.get("function_call").is_some_and(|call| !call.is_null())
                    || said.get("tool_calls").is_some_and(|calls| !calls.is_null() && calls.raw() != "[]")
            };
            last |= said.into_iter().any(calls);
        }
        Ok(last || (none && root.get("usage").is_some_and(|usage| !usage.is_null())))
    }
}

impl Answers for ChatAnswers {
    fn body(&self) -> Rule {
        Rule::Object(&ANSWER)
    }

    fn choice(&self, element: Value<'_>, _: u32) -> Result<u32, WireError> {
        index_of(element)
    }

    fn note(&mut self, chunk: Value<'_>) -> Result<Moment, WireError> {
        if self.header.is_none() {
            self.header = Some(header_of(chunk));
        }
        let failed = chunk.get("error").is_some_and(|error| !error.is_null())
            || chunk.get("object").is_some_and(|name| name.is("error"));
        self.failed |= failed;
        Ok(if failed || self.read_choices(chunk)? { Moment::Last } else { Moment::Passing })
    }

    fn is_end(&self, data: &[u8]) -> bool {
        data == reply::DONE.as_bytes()
    }

    fn may_end(&self) -> bool {
        self.failed || (!self.seen.is_empty() && self.seen == self.finished)
    }

    fn strip(&self, root: Value<'_>, changed: bool, patch: &mut Patch) {
        copies::strip(root, changed, patch);
    }

    /// Blocked: to the client every choice is still open, since none finishes before the final verdict.
    fn cut(&self, cut: Cut<'_>, written: bool) -> Bytes {
        match cut {
            Cut::Failed(refusal) => reply::failed(refusal),
            Cut::Blocked => {
                let header = self.header.clone().filter(|_| written).unwrap_or_else(|| reply::header(""));
                let first = self.seen.is_empty().then_some(0);
                reply::filtered(&header, self.seen.iter().copied().chain(first))
            }
        }
    }

    fn end(&self) -> Bytes {
        reply::done()
    }
}

/// The index of a choice.
fn index_of(choice: Value<'_>) -> Result<u32, WireError> {
    let index = choice.get("index").and_then(Value::u32).filter(|index| *index < MAX_CHOICES);
    index.ok_or_else(|| unexpected(choice, "a choice with an `index` below 128"))
}

/// Id, time and model of a stream, as far as they can be nothing but that.
fn header_of(root: Value<'_>) -> Header {
    let own = reply::header("");
    let word = |name| {
        root.get(name)
            .filter(|value| value.text().is_some_and(|text| is_word(&text)))
            .map(|value| value.raw().to_owned())
    };
    let created = root.get("created").and_then(Value::u32).map(|seconds| seconds.to_string());
    Header {
        id: word("id").unwrap_or(own.id),
        created: created.unwrap_or(own.created),
        model: word("model").unwrap_or(own.model),
    }
}
