//! OpenAI's chat completions: `POST /v1/chat/completions`, unary and streamed.
//!
//! A request is judged whole or refused: templates, grammars and token ids make text that no detector sees. An answer loses
//! what repeats its text in another form (see `copies`); of the rest only the API's own words, ids and counts go unjudged.

mod answers;
mod copies;
mod fields;
mod reply;
mod request;

use bytes::Bytes;

use crate::wire::answer::Codec;
use crate::wire::openai::reply::error;
use crate::wire::request::Request;
use crate::wire::{AnswerCodec, Bounds, Dialect, Framing, Prompt, Refusal, WireError};

/// The dialect.
#[derive(Debug, Clone, Copy)]
pub struct OpenAiChat {
    bounds: Bounds,
}

impl OpenAiChat {
    pub fn new(bounds: impl Into<Bounds>) -> Self {
        OpenAiChat { bounds: bounds.into() }
    }
}

impl Default for OpenAiChat {
    fn default() -> Self {
        OpenAiChat::new(4096)
    }
}

impl Dialect for OpenAiChat {
    fn name(&self) -> &'static str {
        "openai_chat"
    }

    fn parse_request(&self, body: Bytes, _: &str) -> Result<Box<dyn Prompt>, WireError> {
        Ok(Box::new(Request::parse(body, &request::REQUESTS, self.bounds)?))
    }

    fn answer(&self, framing: Framing, max_event: usize) -> Box<dyn AnswerCodec> {
        Box::new(Codec::new(answers::ChatAnswers::new(framing), framing, max_event, self.bounds))
    }

    fn refuse(&self, refusal: &Refusal) -> Bytes {
        error(refusal).into()
    }

    fn answer_with(&self, prompt: &dyn Prompt, text: &str) -> (Framing, Bytes) {
        if prompt.streams() {
            (Framing::Sse, reply::stream(prompt.model(), text))
        } else {
            (Framing::Json, reply::completion(prompt.model(), text).into())
        }
    }
}

#[cfg(test)]
mod tests;
