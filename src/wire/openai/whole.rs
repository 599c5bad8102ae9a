//! Answers that are one body each, and never a stream.

use bytes::Bytes;

use crate::wire::answer::{Answers, Moment};
use crate::wire::json::{Patch, Value};
use crate::wire::shape::{Rule, unexpected};
use crate::wire::{Cut, WireError};

/// Such an answer, and what it is made of.
pub struct Whole(pub Rule<'static>);

impl Answers for Whole {
    fn body(&self) -> Rule<'_> {
        self.0
    }

    fn choice(&self, _: Value<'_>, position: u32) -> Result<u32, WireError> {
        Ok(position)
    }

    fn note(&mut self, event: Value<'_>) -> Result<Moment, WireError> {
        Err(unexpected(event, "no stream: this API answers with one body"))
    }

    fn may_end(&self) -> bool {
        false
    }

    fn strip(&self, _: Value<'_>, _: bool, _: &mut Patch) {}

    fn cut(&self, _: Cut<'_>, _: bool) -> Bytes {
        Bytes::new()
    }
}
