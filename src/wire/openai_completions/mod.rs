//! OpenAI's completions of before the chat: `POST /v1/completions`, unary and streamed.
//!
//! A prompt is a text or several, each answered by itself: each is judged, and all of them joined. Token ids are refused. With
//! `echo` an answer says the prompt again, and it is judged there again.

mod answers;
mod copies;
mod fields;
mod reply;
mod request;

use bytes::Bytes;

use crate::wire::answer::Codec;
use crate::wire::openai::reply::error;
use crate::wire::request::Request;
use crate::wire::{AnswerCodec, Dialect, Framing, Prompt, Refusal, WireError};

/// The dialect.
#[derive(Debug, Clone, Copy)]
pub struct OpenAiCompletions {
    /// Texts of one request, and channels of one answer, at most.
    max_segments: usize,
}

impl OpenAiCompletions {
    pub fn new(max_segments: usize) -> Self {
        OpenAiCompletions { max_segments }
    }
}

impl Dialect for OpenAiCompletions {
    fn name(&self) -> &'static str {
        "openai_completions"
    }

    fn parse_request(&self, body: Bytes, _: &str) -> Result<Box<dyn Prompt>, WireError> {
        Ok(Box::new(Request::parse(body, &request::REQUESTS, self.max_segments)?))
    }

    fn answer(&self, framing: Framing, max_event: usize) -> Box<dyn AnswerCodec> {
        Box::new(Codec::new(answers::CompletionAnswers::new(framing), framing, max_event, self.max_segments))
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
