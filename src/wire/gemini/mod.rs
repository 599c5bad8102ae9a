//! Google's Gemini API: `POST /v1beta/models/MODEL:generateContent` and `:streamGenerateContent`, the latter as events with
//! `alt=sse`, else as one array.
//!
//! Its JSON is that of protocol buffers: a member has two names, and what has the value of its type may be left out. An array
//! of events is one body, which is held and judged whole.

mod address;
mod answers;
mod copies;
mod fields;
mod reply;
mod request;

use bytes::Bytes;

use crate::wire::answer::Codec;
use crate::wire::gemini::address::{Address, Form};
use crate::wire::request::{Head, Request};
use crate::wire::{AnswerCodec, Bounds, Dialect, Framing, Prompt, Refusal, WireError};

/// The dialect.
#[derive(Debug, Clone, Copy)]
pub struct Gemini {
    bounds: Bounds,
}

impl Gemini {
    pub fn new(bounds: impl Into<Bounds>) -> Self {
        Gemini { bounds: bounds.into() }
    }
}

impl Dialect for Gemini {
    fn name(&self) -> &'static str {
        "gemini"
    }

    fn parse_request(&self, body: Bytes, path: &str) -> Result<Box<dyn Prompt>, WireError> {
        let Address { model, form } = Address::read(path)?;
        let head = Head { streams: form != Form::Whole, model: model.to_owned() };
        Ok(Box::new(Request::parse(body, &request::REQUESTS, self.bounds)?.at(path, head)))
    }

    fn answer(&self, framing: Framing, max_event: usize) -> Box<dyn AnswerCodec> {
        Box::new(Codec::new(answers::GeminiAnswers::new(framing), framing, max_event, self.bounds))
    }

    fn refuse(&self, refusal: &Refusal) -> Bytes {
        reply::error(refusal).into()
    }

    fn answer_with(&self, prompt: &dyn Prompt, text: &str) -> (Framing, Bytes) {
        let answer = reply::answer(prompt.model(), text);
        match Address::read(prompt.path()).map(|address| address.form) {
            Ok(Form::Events) => (Framing::Sse, reply::event(&answer)),
            Ok(Form::Array) => (Framing::Json, format!("[{answer}]").into()),
            Ok(Form::Whole) | Err(_) => (Framing::Json, answer.into()),
        }
    }
}

#[cfg(test)]
mod tests;
