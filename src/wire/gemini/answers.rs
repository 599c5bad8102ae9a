//! What Gemini says of its answers: whole ones, events of a stream, errors.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::wire::answer::{Answers, Moment};
use crate::wire::gemini::fields::ANSWER;
use crate::wire::gemini::request::{MAX_CANDIDATES, parts};
use crate::wire::gemini::{copies, reply};
use crate::wire::json::{Patch, Type, Value};
use crate::wire::shape::{Rule, is_word, member, unexpected};
use crate::wire::{Cut, Framing, WireError};

/// One answer.
pub struct GeminiAnswers {
    framing: Framing,
    /// From the first event.
    header: Option<Header>,
    seen: BTreeSet<u32>,
    finished: BTreeSet<u32>,
    /// The stream has reported an error, or that the prompt is refused: it may end without more ado.
    failed: bool,
}

/// What every event of a stream repeats; each as JSON.
#[derive(Debug, Clone, Default)]
pub struct Header {
    pub model: Option<String>,
    pub id: Option<String>,
}

/// What a client acts on: it waits for the final verdict.
const CALLS: [&str; 5] = ["functionCall", "functionResponse", "executableCode", "toolCall", "toolResponse"];

impl GeminiAnswers {
    pub fn new(framing: Framing) -> Self {
        GeminiAnswers { framing, header: None, seen: BTreeSet::new(), finished: BTreeSet::new(), failed: false }
    }
}

impl Answers for GeminiAnswers {
    fn body(&self) -> Rule<'_> {
        ANSWER
    }

    /// The index, which may be left out where it is the place. In a whole answer, which has all candidates, the two must be one:
    /// some readers go by the place. An event may bring one candidate of several.
    fn choice(&self, candidate: Value<'_>, position: u32) -> Result<u32, WireError> {
        let is_whole = self.framing == Framing::Json && candidate.document().root().kind() == Type::Object;
        let index = match candidate.get("index").filter(|index| !index.is_null()) {
            Some(index) => index.u32().filter(|index| !is_whole || *index == position),
            None => Some(position),
        };
        let expected = match is_whole {
            true => "a candidate whose `index` is its place, below 8",
            false => "a candidate with an `index` below 8",
        };
        index.filter(|index| *index < MAX_CANDIDATES).ok_or_else(|| unexpected(candidate, expected))
    }

    fn note(&mut self, event: Value<'_>) -> Result<Moment, WireError> {
        if self.framing != Framing::Sse {
            return Err(unexpected(event, "a stream of server-sent events"));
        }
        if self.header.is_none() {
            self.header = Some(header_of(event));
        }
        let present = |object, name: &str| member(object, name).is_some_and(|value| !value.is_null());
        let refused = member(event, "promptFeedback").is_some_and(|feedback| present(feedback, "blockReason"));
        let failed = refused || present(event, "error");
        self.failed |= failed;
        let (mut last, mut none) = (failed, true);
        for (candidate, position) in event.get("candidates").into_iter().flat_map(Value::elements).zip(0..) {
            none = false;
            let index = self.choice(candidate, position)?;
            self.seen.insert(index);
            if present(candidate, "finishReason") {
                self.finished.insert(index);
                last = true;
            }
            let mut said = candidate.get("content").into_iter().flat_map(parts);
            last |= said.any(|part| CALLS.into_iter().any(|call| present(part, call)));
        }
        // Running usage does not make an event the last: every one has it.
        let last = last || (none && present(event, "usageMetadata"));
        Ok(if last { Moment::Last } else { Moment::Passing })
    }

    fn may_end(&self) -> bool {
        self.failed || (!self.seen.is_empty() && self.seen == self.finished)
    }

    fn strip(&self, root: Value<'_>, changed: bool, patch: &mut Patch) {
        copies::strip(root, changed, patch);
        root.elements().for_each(|event| copies::strip(event, changed, patch));
    }

    /// Blocked: to the client every candidate is still open, since none finishes before the final verdict.
    fn cut(&self, cut: Cut<'_>, written: bool) -> Bytes {
        match cut {
            Cut::Failed(refusal) => reply::event(&reply::error(refusal)),
            Cut::Blocked => {
                let header = self.header.clone().filter(|_| written).unwrap_or_default();
                reply::event(&reply::filtered(&header, self.seen.last().map_or(1, |last| last + 1)))
            }
        }
    }

    fn has_arrays(&self) -> bool {
        true
    }

    /// A blank line: the SDK takes any other that does not begin with `data: ` for JSON, comments too.
    fn heartbeat(&self) -> &'static [u8] {
        b"\n"
    }
}

/// Model and id of a stream, as far as they can be nothing but that.
fn header_of(event: Value<'_>) -> Header {
    let word = |name| {
        member(event, name)
            .filter(|value| value.text().is_some_and(|text| is_word(&text)))
            .map(|value| value.raw().to_owned())
    };
    Header { model: word("modelVersion"), id: word("responseId") }
}
