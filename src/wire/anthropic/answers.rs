//! What messages say of their answers: whole ones, events of a stream, errors.

use std::cell::RefCell;
use std::collections::BTreeSet;

use bytes::Bytes;

use crate::wire::answer::{Answers, Moment};
use crate::wire::anthropic::fields::ANSWER;
use crate::wire::anthropic::reply;
use crate::wire::json::{Patch, Type, Value};
use crate::wire::shape::{Rule, unexpected};
use crate::wire::{Cut, Framing, WireError};

/// The types of a stream's events, which are their names too.
const EVENTS: &[&str] = &[
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "ping",
    "error",
];

/// Blocks of one message, at most.
const MAX_BLOCKS: usize = 4096;

/// One answer.
pub struct MessageAnswers {
    framing: Framing,
    begun: bool,
    /// Of each block so far, whether it calls a tool of the client.
    calls: Vec<bool>,
    /// The last count of tokens in the answer.
    output_tokens: u32,
    /// The message has a reason to stop, or an error was reported: the stream may end without more ado.
    finished: bool,
    failed: bool,
    /// What has been written.
    client: RefCell<Client>,
}

/// A stream as its client knows it.
#[derive(Default)]
struct Client {
    begun: bool,
    /// Blocks that have started and not stopped.
    open: BTreeSet<u32>,
}

impl MessageAnswers {
    pub fn new(framing: Framing) -> Self {
        let (calls, client) = (Vec::new(), RefCell::default());
        MessageAnswers { framing, begun: false, calls, output_tokens: 0, finished: false, failed: false, client }
    }

    /// The SDKs take a message as far as it has come by then, and count the blocks of the stream from there.
    fn begin(&mut self, event: Value<'_>) -> Result<(), WireError> {
        if std::mem::replace(&mut self.begun, true) {
            return Err(unexpected(event, "one message"));
        }
        match event.get("message").and_then(|message| message.get("content")) {
            Some(content)
                if !content.is_null() && (content.kind() != Type::Array || content.elements().next().is_some()) =>
            {
                Err(unexpected(content, "an empty list"))
            }
            _ => Ok(()),
        }
    }

    /// The SDKs count the blocks by themselves and go by `index` from then on: the two must be one. Gives whether the block is
    /// a call.
    fn start(&mut self, event: Value<'_>) -> Result<bool, WireError> {
        let next = self.calls.len();
        if event.get("index").and_then(Value::u32).is_none_or(|index| index as usize != next) || next >= MAX_BLOCKS {
            return Err(unexpected(event, "blocks in the order of their `index`, at most 4096"));
        }
        let kind = event.get("content_block").and_then(|block| block.get("type"));
        let calls = kind.is_some_and(|kind| kind.is("tool_use"));
        self.calls.push(calls);
        Ok(calls)
    }

    /// Gives whether the event speaks of a call.
    fn goes_on(&self, event: Value<'_>) -> Result<bool, WireError> {
        let index = event.get("index").and_then(Value::u32).map(|index| index as usize);
        let Some((index, calls)) = index.and_then(|index| Some((index, *self.calls.get(index)?))) else {
            return Err(unexpected(event, "the `index` of a block that has started"));
        };
        // The text of all blocks is judged as one, and so has to come in their order.
        let delta = event.get("delta");
        let speaks = |name| delta.and_then(|delta| delta.get(name)).is_some_and(|text| !text.is_null());
        if index + 1 < self.calls.len() && (speaks("text") || speaks("thinking")) {
            return Err(unexpected(event, "the text of the last block"));
        }
        Ok(calls)
    }

    fn count(&mut self, event: Value<'_>) {
        let usage = event.get("message").unwrap_or(event).get("usage");
        self.output_tokens =
            usage.and_then(|usage| usage.get("output_tokens")).and_then(Value::u32).unwrap_or(self.output_tokens);
    }
}

impl Answers for MessageAnswers {
    fn body(&self) -> Rule<'_> {
        Rule::Object(&ANSWER)
    }

    /// A message is the only choice.
    fn choice(&self, _: Value<'_>, _: u32) -> Result<u32, WireError> {
        Ok(0)
    }

    fn part(&self, event: Value<'_>) -> Option<u64> {
        event.get("index").and_then(Value::u32).map(Into::into)
    }

    /// Calls of tools wait for the final verdict. Those that a server has made already are past holding.
    fn note(&mut self, event: Value<'_>) -> Result<Moment, WireError> {
        if self.framing != Framing::Sse {
            return Err(unexpected(event, "a stream of server-sent events"));
        }
        self.count(event);
        self.failed |= name_of(event) == Some("error");
        let last = match name_of(event) {
            Some("message_start") => {
                self.begin(event)?;
                false
            }
            Some("content_block_start") => self.start(event)?,
            Some("content_block_delta" | "content_block_stop") => self.goes_on(event)?,
            Some("message_delta") => {
                let reason = event.get("delta").and_then(|delta| delta.get("stop_reason"));
                self.finished |= reason.is_some_and(|reason| !reason.is_null());
                true
            }
            Some("message_stop") => return Ok(Moment::End),
            _ => self.failed,
        };
        Ok(if last { Moment::Last } else { Moment::Passing })
    }

    fn may_end(&self) -> bool {
        self.finished || self.failed
    }

    fn name(&self, event: Value<'_>) -> Option<&'static str> {
        name_of(event)
    }

    /// Nothing repeats its text. What is written comes through here, and the client knows it from then on.
    fn strip(&self, root: Value<'_>, _: bool, _: &mut Patch) {
        self.client.borrow_mut().read(root);
    }

    fn cut(&self, cut: Cut<'_>, _: bool) -> Bytes {
        match cut {
            Cut::Failed(refusal) => reply::failed(refusal),
            Cut::Blocked => {
                let client = self.client.borrow();
                reply::refused(client.begun, client.open.iter().copied(), self.output_tokens)
            }
        }
    }

    /// For a stream that left its own out. An error ends it as well.
    fn end(&self) -> Bytes {
        if self.failed { Bytes::new() } else { reply::stop() }
    }
}

impl Client {
    fn read(&mut self, event: Value<'_>) {
        let index = event.get("index").and_then(Value::u32);
        match (name_of(event), index) {
            (Some("message_start"), _) => self.begun = true,
            (Some("content_block_start"), Some(index)) => drop(self.open.insert(index)),
            (Some("content_block_stop"), Some(index)) => drop(self.open.remove(&index)),
            _ => {}
        }
    }
}

/// The name of an event: its `type`, or `error` where there is no type and an error.
fn name_of(event: Value<'_>) -> Option<&'static str> {
    match event.get("type") {
        Some(kind) => EVENTS.iter().copied().find(|name| kind.is(name)),
        None => event.get("error").filter(|error| !error.is_null()).map(|_| "error"),
    }
}
