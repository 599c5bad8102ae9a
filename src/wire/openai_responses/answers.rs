//! What responses say of their answers: whole ones, events of a stream, errors.

use std::cell::RefCell;

use bytes::Bytes;

use crate::wire::answer::{Answers, Moment};
use crate::wire::json::{Patch, Type, Value};
use crate::wire::openai_responses::fields::{ANSWER, EVENT, event_name};
use crate::wire::openai_responses::left::Left;
use crate::wire::openai_responses::{copies, reply};
use crate::wire::request::Known;
use crate::wire::shape::{Rule, unexpected};
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
        if self.framing != Framing::Sse {
            return Err(unexpected(event, "a stream of server-sent events"));
        }
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

    /// An answer that came to its end, or to the end of its tokens, is kept whole.
    fn kept(&self, root: Value<'_>) -> Vec<String> {
        let (word, ends, response) = match self.is_whole() {
            true => ("status", &["completed", "incomplete"], Some(root)),
            false => ("type", &["response.completed", "response.incomplete"], root.get("response")),
        };
        let is_over = root.get(word).is_some_and(|word| ends.iter().any(|end| word.is(end)));
        let Some(response) = response.filter(|_| is_over) else { return Vec::new() };
        let items = response.get("output").into_iter().flat_map(Value::elements);
        let of_items = items.flat_map(|item| [item.get("id"), item.get("encrypted_content")]);
        let ids = [response.get("id")].into_iter().chain(of_items).flatten().filter_map(Value::text);
        ids.filter(|id| !id.is_empty()).take(MAX_KEPT).map(Into::into).collect()
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

/// Ids of one answer that are told, at most.
const MAX_KEPT: usize = 1024;

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
