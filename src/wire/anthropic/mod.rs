//! Anthropic's messages: `POST /v1/messages`, unary and streamed, and `POST /v1/messages/count_tokens`, which takes the same
//! request.
//!
//! A request is judged whole or refused: images, files, encrypted thinking, containers and the servers of tools bring the model
//! what no detector sees. Of an answer only the API's own words, ids, counts and signatures go unjudged.

mod answers;
mod fields;
mod reply;
mod request;

use bytes::Bytes;

use crate::wire::answer::Codec;
use crate::wire::request::Request;
use crate::wire::{AnswerCodec, Bounds, Dialect, Framing, Prompt, Refusal, WireError};

/// The dialect.
#[derive(Debug, Clone, Copy)]
pub struct Anthropic {
    bounds: Bounds,
}

impl Anthropic {
    pub fn new(bounds: impl Into<Bounds>) -> Self {
        Anthropic { bounds: bounds.into() }
    }
}

impl Default for Anthropic {
    fn default() -> Self {
        Anthropic::new(4096)
    }
}

impl Dialect for Anthropic {
    fn name(&self) -> &'static str {
        "anthropic"
    }

    fn parse_request(&self, body: Bytes, _: &str) -> Result<Box<dyn Prompt>, WireError> {
        Ok(Box::new(Request::parse(body, &request::REQUESTS, self.bounds)?))
    }

    fn answer(&self, framing: Framing, max_event: usize) -> Box<dyn AnswerCodec> {
        Box::new(Codec::new(answers::MessageAnswers::new(framing), framing, max_event, self.bounds))
    }

    fn refuse(&self, refusal: &Refusal) -> Bytes {
        reply::error(refusal).into()
    }

    fn answer_with(&self, prompt: &dyn Prompt, text: &str) -> (Framing, Bytes) {
        if prompt.streams() {
            (Framing::Sse, reply::stream(prompt.model(), text))
        } else {
            (Framing::Json, reply::message(prompt.model(), text).into())
        }
    }
}

#[cfg(test)]
mod tests;
