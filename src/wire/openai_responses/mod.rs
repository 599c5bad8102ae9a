//! OpenAI's responses: `POST /v1/responses`, unary and streamed.
//!
//! A request is judged whole or refused: what the upstream keeps, and tools that it runs, would bring text that no detector sees.
//! A stream says everything several times. Each text is judged once, when its pieces come, and its copies leave as what was
//! written of them. What the request said is told again, too: its own strings are not judged a second time.

mod answers;
mod copies;
mod fields;
mod left;
mod reply;
mod request;

use bytes::Bytes;

use crate::wire::answer::Codec;
use crate::wire::openai::reply::error;
use crate::wire::openai_responses::answers::ResponsesAnswers;
use crate::wire::request::{Known, Request};
use crate::wire::{AnswerCodec, Bounds, Dialect, Framing, Prompt, Refusal, WireError};

/// The dialect.
#[derive(Debug, Clone, Copy)]
pub struct OpenAiResponses {
    bounds: Bounds,
}

impl OpenAiResponses {
    pub fn new(bounds: impl Into<Bounds>) -> Self {
        OpenAiResponses { bounds: bounds.into() }
    }

    fn codec(&self, known: Known, framing: Framing, max_event: usize) -> Box<dyn AnswerCodec> {
        let answers = ResponsesAnswers::new(framing, known);
        Box::new(Codec::new(answers, framing, max_event, self.bounds))
    }
}

impl Default for OpenAiResponses {
    fn default() -> Self {
        OpenAiResponses::new(4096)
    }
}

impl Dialect for OpenAiResponses {
    fn name(&self) -> &'static str {
        "openai_responses"
    }

    fn parse_request(&self, body: Bytes, _: &str) -> Result<Box<dyn Prompt>, WireError> {
        Ok(Box::new(Request::parse(body, &request::REQUESTS, self.bounds)?))
    }

    fn answer(&self, framing: Framing, max_event: usize) -> Box<dyn AnswerCodec> {
        self.codec(Known::default(), framing, max_event)
    }

    fn answer_to(&self, prompt: &dyn Prompt, framing: Framing, max_event: usize) -> Box<dyn AnswerCodec> {
        self.codec(prompt.known(), framing, max_event)
    }

    fn refuse(&self, refusal: &Refusal) -> Bytes {
        error(refusal).into()
    }

    fn answer_with(&self, prompt: &dyn Prompt, text: &str) -> (Framing, Bytes) {
        if prompt.streams() {
            (Framing::Sse, reply::stream(prompt.model(), text))
        } else {
            (Framing::Json, reply::completed(prompt.model(), text).into())
        }
    }
}

#[cfg(test)]
mod tests;
