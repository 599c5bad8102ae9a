//! What responses say of their answers: whole ones, events of a stream, errors.

use std::cell::RefCell;

use bytes::Bytes;

use crate::wire::answer::{Answers, Moment};
use crate::wire::json::{Patch, Type, Value};
use crate::wire::openai_responses::fields::{ANSWER, EVENT, event_name};
use crate::wire::openai_responses::left::Left;
use crate::wire::openai_responses::{copies, reply};
use crate::wire::request::Known;
use crate::wire::shape::Rule;
use crate::wire::{Cut, Framing, WireError};

/// One answer.
pub struct ResponsesAnswers {
    framing: Framing,
    /// What the request said.
    known: Known,
    /// What has left of a stream.
    left: RefCell<Left>,
    /// The stream has reported an error: it may end without more ado.
    failed: bool,
}

impl ResponsesAnswers {
    pub fn new(framing: Framing, known: Known) -> Self {
        ResponsesAnswers { framing, known, left: RefCell::default(), failed: false }
    }

    fn is_whole(&self) -> bool {
        self.framing == Framing::Json
    }
}

impl Answers for ResponsesAnswers {
    fn body(&self) -> Rule<'_> {
        if self.is_whole() { Rule::Object(&ANSWER) } else { EVENT }
    }

    fn choice(&self, _: Value<'_>, _: u32) -> Result<u32, WireError> {
        Ok(0)
    }

    fn note(&mut self, event: Value<'_>) -> Result<Moment, WireError> {
        let kind = event.get("type").and_then(Value::text).unwrap_or_default();
        let failed = kind == "error" || event.get("error").is_some_and(|error| !error.is_null());
        self.failed |= failed;
        Ok(match &*kind {
            "response.completed" | "response.incomplete" | "response.failed" => Moment::End,
            _ if failed || tells_of_a_call(event, &kind) => Moment::Last,
            _ => Moment::Passing,
        })
    }

    fn may_end(&self) -> bool {
        self.failed
    }

    fn name(&self, event: Value<'_>) -> Option<&'static str> {
        event_name(&event.get("type")?.text()?)
    }

    fn strip(&self, root: Value<'_>, changed: bool, patch: &mut Patch) {
        copies::strip(root, changed, patch);
    }

    fn wrote(&self, data: &[u8]) {
        if !self.is_whole() {
            self.left.borrow_mut().take(data);
        }
    }

    fn cut(&self, cut: Cut<'_>, _: bool) -> Bytes {
        let left = self.left.borrow();
        match cut {
            Cut::Blocked => reply::filtered(&left),
            Cut::Failed(refusal) => reply::failed(&left, refusal),
        }
    }

    fn knows(&self, text: &str) -> bool {
        self.known.has(text)
    }

    fn says_again(&self) -> bool {
        !self.is_whole()
    }
}

/// What begins the types of events that tell of a message, of reasoning, or of the response.
const SPOKEN: &[&str] = &[
    "response.queued",
    "response.created",
    "response.in_progress",
    "response.output_item.",
    "response.content_part.",
    "response.output_text.",
    "response.refusal.",
    "response.reasoning_",
    "response.audio.transcript.",
    "response.compaction.",
];

/// Whether an event is of an item that is neither message nor reasoning: a tool may run by what it says.
fn tells_of_a_call(event: Value<'_>, kind: &str) -> bool {
    let known = event_name(kind).is_some();
    let spoken = SPOKEN.iter().any(|start| kind.starts_with(start));
    let is_call = |item: Value<'_>| {
        item.kind() == Type::Object
            && !["message", "reasoning"].iter().any(|kind| item.get("type").is_some_and(|own| own.is(kind)))
    };
    let output = event.get("response").and_then(|response| response.get("output"));
    (known && !spoken) || event.get("item").into_iter().chain(output.into_iter().flat_map(Value::elements)).any(is_call)
}
