//! APIs whose answers are one body each, never a stream, with no place for words.

use bytes::Bytes;

use crate::text::Role;
use crate::wire::answer::{Answers, Codec, Moment};
use crate::wire::json::{Patch, Value};
use crate::wire::openai::reply::{error, unspoken};
use crate::wire::request::{Head, Request, Requests, flag, model_of};
use crate::wire::shape::{Bounds, Object, Rule, unexpected};
use crate::wire::{AnswerCodec, Cut, Dialect, Framing, Prompt, Refusal, WireError};

/// Such an API: what its requests and its answers are made of.
#[derive(Clone, Copy)]
pub struct Whole {
    pub name: &'static str,
    pub request: &'static Object<'static>,
    pub answer: &'static Object<'static>,
    pub bounds: Bounds,
}

impl Dialect for Whole {
    fn name(&self) -> &'static str {
        self.name
    }

    fn parse_request(&self, body: Bytes, _: &str) -> Result<Box<dyn Prompt>, WireError> {
        let requests = Requests { body: Rule::Object(self.request), role, head };
        Ok(Box::new(Request::parse(body, &requests, self.bounds)?))
    }

    fn answer(&self, framing: Framing, max_event: usize) -> Box<dyn AnswerCodec> {
        Box::new(Codec::new(Body(self.answer), framing, max_event, self.bounds))
    }

    fn refuse(&self, refusal: &Refusal) -> Bytes {
        error(refusal).into()
    }

    /// An error: vectors, flags and pictures say nothing.
    fn answer_with(&self, _: &dyn Prompt, text: &str) -> (Framing, Bytes) {
        (Framing::Json, unspoken(text).into())
    }
}

/// Nobody's: there are no messages.
fn role(_: Value<'_>) -> Result<Role, WireError> {
    Ok(Role::None)
}

fn head(root: Value<'_>) -> Result<Head, WireError> {
    Ok(Head { streams: flag(root, "stream")?, model: model_of(root)? })
}

/// An answer, and what it is made of.
struct Body(&'static Object<'static>);

impl Answers for Body {
    fn body(&self) -> Rule<'_> {
        Rule::Object(self.0)
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
