//! Dialects that a file describes, `[dialect.NAME]`: any API of JSON over HTTP, by pointers to its texts and templates of what
//! the proxy says.
//!
//! They are the same tables and the same codec as those that are built in. What no pointer names is judged; or refused, where
//! the file says `strict`.

mod answers;
mod form;
mod pointer;
mod reply;
mod request;
mod table;
mod template;

pub use form::{AnswerForm, Choices, EventName, Form, Order, Reply, RequestForm, StreamForm, Streams, Turns};
pub use pointer::{Pointer, Sign, Step};
pub use table::{Carries, Table};
pub use template::{Template, TemplateError, Word};

use std::sync::Arc;

use bytes::Bytes;

use crate::wire::answer::Codec;
use crate::wire::request::Request;
use crate::wire::{AnswerCodec, Dialect, Framing, Prompt, Refusal, WireError};

/// The dialect.
#[derive(Debug, Clone)]
pub struct Custom {
    form: Arc<Form>,
    /// Texts of one request, and channels of one answer, at most.
    max_segments: usize,
}

impl Custom {
    pub fn new(form: Arc<Form>, max_segments: usize) -> Self {
        Custom { form, max_segments }
    }
}

impl Dialect for Custom {
    fn name(&self) -> &str {
        &self.form.name
    }

    fn parse_request(&self, body: Bytes, path: &str) -> Result<Box<dyn Prompt>, WireError> {
        let requests = request::Requests { form: &self.form.request, path };
        Ok(Box::new(Request::parse(body, &requests, self.max_segments)?))
    }

    fn answer(&self, framing: Framing, max_event: usize) -> Box<dyn AnswerCodec> {
        let answers = answers::CustomAnswers::new(Arc::clone(&self.form), framing);
        Box::new(Codec::new(answers, framing, max_event, self.max_segments))
    }

    fn refuse(&self, refusal: &Refusal) -> Bytes {
        reply::refuse(&self.form, refusal).into()
    }

    fn answer_with(&self, prompt: &dyn Prompt, text: &str) -> (Framing, Bytes) {
        reply::answer(&self.form, prompt.streams(), prompt.model(), text)
    }
}
