//! Amazon Bedrock's Converse: `POST /model/MODEL/converse`, and `/model/MODEL/converse-stream`, whose answer is an event stream
//! of binary messages.
//!
//! A request is judged whole or refused: stored prompts, pictures, files and the tools of the service bring the model what no
//! detector sees. Of an answer only the API's own words, ids, counts and signatures go unjudged.

mod address;
mod answers;
mod fields;
mod reply;
mod request;

use bytes::Bytes;

use crate::wire::answer::Codec;
use crate::wire::bedrock_converse::address::Address;
use crate::wire::request::{Head, Request};
use crate::wire::{AnswerCodec, Dialect, Framing, Prompt, Refusal, WireError};

/// The dialect.
#[derive(Debug, Clone, Copy)]
pub struct BedrockConverse {
    /// Texts of one request, and channels of one answer, at most.
    max_segments: usize,
}

impl BedrockConverse {
    pub fn new(max_segments: usize) -> Self {
        BedrockConverse { max_segments }
    }
}

impl Dialect for BedrockConverse {
    fn name(&self) -> &'static str {
        "bedrock_converse"
    }

    fn parse_request(&self, body: Bytes, path: &str) -> Result<Box<dyn Prompt>, WireError> {
        let Address { model, streams } = Address::read(path)?;
        let head = Head { streams, model: model.to_owned() };
        Ok(Box::new(Request::parse(body, &request::REQUESTS, self.max_segments)?.at(path, head)))
    }

    /// The other operations of Bedrock have event streams too, of payloads in base64: those are of no dialect.
    fn framing(&self, media_type: &str) -> Option<Framing> {
        [Framing::Json, Framing::EventStream].into_iter().find(|framing| framing.media_type() == media_type)
    }

    fn answer(&self, framing: Framing, max_event: usize) -> Box<dyn AnswerCodec> {
        Box::new(Codec::new(answers::ConverseAnswers::new(framing), framing, max_event, self.max_segments))
    }

    fn refuse(&self, refusal: &Refusal) -> Bytes {
        reply::error(refusal).into()
    }

    fn answer_with(&self, prompt: &dyn Prompt, text: &str) -> (Framing, Bytes) {
        if prompt.streams() {
            (Framing::EventStream, reply::stream(text))
        } else {
            (Framing::Json, reply::answer(text).into())
        }
    }
}

#[cfg(test)]
mod tests;
