//! OpenAI's moderations: `POST /v1/moderations`.
//!
//! The texts of a request are judged joined: they may be parts of one. An answer is flags and scores of known categories.

mod fields;
mod request;

use bytes::Bytes;

use crate::wire::answer::Codec;
use crate::wire::openai::reply::{error, unspoken};
use crate::wire::openai::whole::Whole;
use crate::wire::request::Request;
use crate::wire::shape::Rule;
use crate::wire::{AnswerCodec, Bounds, Dialect, Framing, Prompt, Refusal, WireError};

/// The dialect.
#[derive(Debug, Clone, Copy)]
pub struct OpenAiModerations {
    bounds: Bounds,
}

impl OpenAiModerations {
    pub fn new(bounds: impl Into<Bounds>) -> Self {
        OpenAiModerations { bounds: bounds.into() }
    }
}

impl Dialect for OpenAiModerations {
    fn name(&self) -> &'static str {
        "openai_moderations"
    }

    fn parse_request(&self, body: Bytes, _: &str) -> Result<Box<dyn Prompt>, WireError> {
        Ok(Box::new(Request::parse(body, &request::REQUESTS, self.bounds)?))
    }

    fn answer(&self, framing: Framing, max_event: usize) -> Box<dyn AnswerCodec> {
        Box::new(Codec::new(Whole(Rule::Object(&fields::ANSWER)), framing, max_event, self.bounds))
    }

    fn refuse(&self, refusal: &Refusal) -> Bytes {
        error(refusal).into()
    }

    /// An error: flags and scores say nothing.
    fn answer_with(&self, _: &dyn Prompt, text: &str) -> (Framing, Bytes) {
        (Framing::Json, unspoken(text).into())
    }
}

#[cfg(test)]
mod tests;
