//! Ollama's own API: `POST /api/chat` and `POST /api/generate`, as JSON lines unless the request says `"stream": false`.
//!
//! Ollama is written in Go, whose reader of JSON matches keys without regard to case: such keys are refused, as everywhere.
//! Pictures, templates, raw prompts and the token ids of `context` are refused in a request; `context` is left out of an answer.

mod answers;
mod copies;
mod fields;
mod reply;
mod request;

use bytes::Bytes;

use crate::wire::answer::Codec;
use crate::wire::request::Request;
use crate::wire::{AnswerCodec, Bounds, Dialect, Framing, Prompt, Refusal, WireError};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    Chat,
    Generate,
}

/// The dialect.
#[derive(Debug, Clone, Copy)]
pub struct Ollama {
    api: Api,
    bounds: Bounds,
}

impl Ollama {
    pub fn new(api: Api, bounds: impl Into<Bounds>) -> Self {
        Ollama { api, bounds: bounds.into() }
    }
}

impl Dialect for Ollama {
    fn name(&self) -> &'static str {
        match self.api {
            Api::Chat => "ollama_chat",
            Api::Generate => "ollama_generate",
        }
    }

    fn parse_request(&self, body: Bytes, _: &str) -> Result<Box<dyn Prompt>, WireError> {
        let requests = match self.api {
            Api::Chat => &request::CHAT,
            Api::Generate => &request::GENERATE,
        };
        Ok(Box::new(Request::parse(body, requests, self.bounds)?))
    }

    fn answer(&self, framing: Framing, max_event: usize) -> Box<dyn AnswerCodec> {
        Box::new(Codec::new(answers::OllamaAnswers::new(self.api, framing), framing, max_event, self.bounds))
    }

    fn refuse(&self, refusal: &Refusal) -> Bytes {
        reply::error(refusal).into()
    }

    fn answer_with(&self, prompt: &dyn Prompt, text: &str) -> (Framing, Bytes) {
        if prompt.streams() {
            (Framing::Ndjson, reply::stream(self.api, prompt.model(), text))
        } else {
            (Framing::Json, reply::whole(self.api, prompt.model(), text).into())
        }
    }
}

#[cfg(test)]
mod tests;
