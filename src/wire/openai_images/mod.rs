//! OpenAI's images from a text: `POST /v1/images/generations`.
//!
//! The prompt is judged. A picture is not, so where answers are judged, one that brings a picture is refused: this dialect is
//! for guardrails at the input. An error, and a revised prompt without a picture, pass once they are judged.

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
pub struct OpenAiImages {
    bounds: Bounds,
}

impl OpenAiImages {
    pub fn new(bounds: impl Into<Bounds>) -> Self {
        OpenAiImages { bounds: bounds.into() }
    }
}

impl Dialect for OpenAiImages {
    fn name(&self) -> &'static str {
        "openai_images"
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

    /// An error: pictures say nothing that a detector could.
    fn answer_with(&self, _: &dyn Prompt, text: &str) -> (Framing, Bytes) {
        (Framing::Json, unspoken(text).into())
    }
}

#[cfg(test)]
mod tests;
