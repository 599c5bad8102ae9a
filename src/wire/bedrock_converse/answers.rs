//! What Converse says of its answers: whole ones, events of a stream, errors.

use std::cell::RefCell;

use bytes::Bytes;

use crate::wire::answer::{Answers, Moment};
use crate::wire::bedrock_converse::fields::{ANSWER, EVENTS};
use crate::wire::bedrock_converse::reply::{self, Usage};
use crate::wire::json::{Patch, Value};
use crate::wire::shape::{Rule, unexpected};
use crate::wire::{Cut, Framing, WireError};

/// Blocks of one message, at most.
const MAX_BLOCKS: u32 = 4096;

/// One answer.
pub struct ConverseAnswers {
    framing: Framing,
    begun: bool,
    /// The last block that an event has spoken of.
    block: Option<Block>,
    usage: Option<Usage>,
    /// The message has stopped, or an error was reported: the stream may end.
    ended: bool,
    /// What has been written.
    client: RefCell<Client>,
}

struct Block {
    index: u32,
    /// It calls a tool.
    calls: bool,
    open: bool,
}

/// A stream as its client knows it.
#[derive(Default)]
struct Client {
    begun: bool,
    /// The last block, unless it has stopped.
    open: Option<u32>,
}

impl ConverseAnswers {
    pub fn new(framing: Framing) -> Self {
        ConverseAnswers { framing, begun: false, block: None, usage: None, ended: false, client: RefCell::default() }
    }

    /// Some readers count the blocks and others go by their index, some join the text of all and others that of each: one
    /// block follows the other, and is not taken up again. Gives whether the block calls a tool.
    fn block(&mut self, event: Value<'_>, name: &str) -> Result<bool, WireError> {
        let index = event.get("contentBlockIndex").and_then(Value::u32);
        let index = index.filter(|index| *index < MAX_BLOCKS);
        let index = index.ok_or_else(|| unexpected(event, "the `contentBlockIndex` of a block, below 4096"))?;
        let said = if name == "contentBlockStart" { "start" } else { "delta" };
        let calls = event.get(said).and_then(|said| said.get("toolUse")).is_some_and(|call| !call.is_null());
        let open = name != "contentBlockStop";
        match &mut self.block {
            Some(block) if block.index == index && block.open && name != "contentBlockStart" => {
                block.open = open;
                block.calls |= calls;
                Ok(block.calls)
            }
            Some(block) if block.index >= index => Err(unexpected(event, "blocks in order, each begun and ended once")),
            _ => {
                self.block = Some(Block { index, calls, open });
                Ok(calls)
            }
        }
    }
}

impl Answers for ConverseAnswers {
    fn body(&self) -> Rule<'_> {
        Rule::Object(&ANSWER)
    }

    /// A message is the only choice.
    fn choice(&self, _: Value<'_>, _: u32) -> Result<u32, WireError> {
        Ok(0)
    }

    fn part(&self, event: Value<'_>) -> Option<u64> {
        event.get("contentBlockIndex").and_then(Value::u32).map(Into::into)
    }

    /// Calls of tools wait for the final verdict, those that the service has made too: to some clients all are alike.
    fn note(&mut self, event: Value<'_>) -> Result<Moment, WireError> {
        if self.framing != Framing::EventStream {
            return Err(unexpected(event, "an event stream of binary messages"));
        }
        let last = match name_of(event) {
            Some("messageStart") if std::mem::replace(&mut self.begun, true) => {
                return Err(unexpected(event, "one message"));
            }
            Some("messageStart") => false,
            Some(name @ ("contentBlockStart" | "contentBlockDelta" | "contentBlockStop")) => self.block(event, name)?,
            Some("messageStop") => {
                self.ended = true;
                true
            }
            Some("metadata") => {
                self.usage = event.get("usage").and_then(Usage::of).or(self.usage);
                true
            }
            _ if event.get(":event-type").is_some() => false,
            // To the SDKs an exception ends the stream.
            _ => return Ok(Moment::End),
        };
        Ok(if last { Moment::Last } else { Moment::Passing })
    }

    fn may_end(&self) -> bool {
        self.ended
    }

    /// Takes out the padding: random letters that nobody can judge. What is written comes through here, and the client knows
    /// it from then on.
    fn strip(&self, root: Value<'_>, _: bool, patch: &mut Patch) {
        patch.remove(root, "p");
        self.client.borrow_mut().read(root);
    }

    fn cut(&self, cut: Cut<'_>, _: bool) -> Bytes {
        match cut {
            Cut::Failed(refusal) => reply::failed(refusal),
            Cut::Blocked => {
                let client = self.client.borrow();
                reply::intervened(client.begun, client.open, self.usage)
            }
        }
    }
}

impl Client {
    fn read(&mut self, event: Value<'_>) {
        let index = event.get("contentBlockIndex").and_then(Value::u32);
        match (name_of(event), index) {
            (Some("messageStart"), _) => self.begun = true,
            (Some("contentBlockStart" | "contentBlockDelta"), Some(index)) => self.open = Some(index),
            (Some("contentBlockStop"), Some(_)) => self.open = None,
            _ => {}
        }
    }
}

/// The type of an event that the API has.
fn name_of(event: Value<'_>) -> Option<&'static str> {
    let kind = event.get(":event-type")?;
    EVENTS.iter().copied().find(|name| kind.is(name))
}
