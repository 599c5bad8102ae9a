//! OpenAI's embeddings: `POST /v1/embeddings`.
//!
//! Each text of a request is judged by itself, as the model reads it. An answer is numbers, as JSON or as base64: what has the
//! shape of a vector is not judged, whatever else stands in its place is.

mod fields;
mod request;
mod vector;

use bytes::Bytes;

use crate::wire::answer::Codec;
use crate::wire::openai::reply::{error, unspoken};
use crate::wire::openai::whole::Whole;
use crate::wire::request::Request;
use crate::wire::shape::Rule;
use crate::wire::{AnswerCodec, Dialect, Framing, Prompt, Refusal, WireError};

/// The dialect.
#[derive(Debug, Clone, Copy)]
pub struct OpenAiEmbeddings {
    /// Texts of one request, and channels of one answer, at most.
    max_segments: usize,
}

impl OpenAiEmbeddings {
    pub fn new(max_segments: usize) -> Self {
        OpenAiEmbeddings { max_segments }
    }
}

impl Dialect for OpenAiEmbeddings {
    fn name(&self) -> &'static str {
        "openai_embeddings"
    }

    fn parse_request(&self, body: Bytes, _: &str) -> Result<Box<dyn Prompt>, WireError> {
        Ok(Box::new(Request::parse(body, &request::REQUESTS, self.max_segments)?))
    }

    fn answer(&self, framing: Framing, max_event: usize) -> Box<dyn AnswerCodec> {
        Box::new(Codec::new(Whole(Rule::Object(&fields::ANSWER)), framing, max_event, self.max_segments))
    }

    fn refuse(&self, refusal: &Refusal) -> Bytes {
        error(refusal).into()
    }

    /// An error: vectors say nothing.
    fn answer_with(&self, _: &dyn Prompt, text: &str) -> (Framing, Bytes) {
        (Framing::Json, unspoken(text).into())
    }
}

#[cfg(test)]
mod tests;
