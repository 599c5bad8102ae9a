//! What a dialect that a file describes says in its own words, by its templates.

use std::borrow::Cow;

use bytes::Bytes;
use uuid::Uuid;

use crate::wire::custom::answers::name_of;
use crate::wire::custom::form::{Form, StreamForm};
use crate::wire::custom::template::{Template, Word};
use crate::wire::json::{Document, Limits};
use crate::wire::{Cut, Framing, Refusal, ndjson, sse};

const BLOCKED: &str = "the rest of the answer is blocked by the content policy";
const BLOCKED_CODE: &str = "content_policy_violation";

/// An error.
pub fn refuse(form: &Form, refusal: &Refusal) -> String {
    let id = id();
    form.refusal.fill(|word| match word {
        Word::Message => refusal.message.as_str().into(),
        Word::Code => refusal.code.into(),
        Word::Type if refusal.status.is_server_error() => "server_error".into(),
        Word::Type => "invalid_request_error".into(),
        Word::Param => refusal.param.as_deref().unwrap_or_default().into(),
        Word::Status => refusal.status.as_u16().to_string().into(),
        Word::Id => id.as_str().into(),
        Word::Finish | Word::Text | Word::Model => "".into(),
    })
}

/// The end of a stream.
pub fn cut(form: &Form, stream: &StreamForm, cut: Cut<'_>) -> Bytes {
    let (templates, finish, message, code) = match cut {
        Cut::Blocked => (&stream.cut, "content_filter", BLOCKED, BLOCKED_CODE),
        Cut::Failed(refusal) => (&stream.failed, "error", refusal.message.as_str(), refusal.code),
    };
    let id = id();
    let filled = templates.iter().map(|template| {
        template.fill(|word| match word {
            Word::Finish => finish.into(),
            Word::Message => message.into(),
            Word::Code => code.into(),
            Word::Id => id.as_str().into(),
            _ => "".into(),
        })
    });
    let own = match cut {
        Cut::Failed(refusal) if templates.is_empty() => Some(refuse(form, refusal)),
        _ => None,
    };
    events(stream, own.into_iter().chain(filled))
}

/// An ordinary answer that says `text`; where the dialect has no template of one, an error that does.
pub fn answer(form: &Form, streams: bool, model: &str, text: &str) -> (Framing, Bytes) {
    let id = id();
    let fill = |template: &Template| {
        template.fill(|word| -> Cow<'_, str> {
            match word {
                Word::Text | Word::Message => text.into(),
                Word::Model => model.into(),
                Word::Code => BLOCKED_CODE.into(),
                Word::Id => id.as_str().into(),
                _ => "".into(),
            }
        })
    };
    match &form.stream {
        Some(stream) if streams && !form.reply.stream.is_empty() => {
            (stream.framing, events(stream, form.reply.stream.iter().map(fill)))
        }
        _ => (Framing::Json, fill(form.reply.whole.as_ref().unwrap_or(&form.refusal)).into()),
    }
}

/// The mark that ends a stream, framed.
pub fn mark(stream: &StreamForm) -> Bytes {
    stream.mark.as_deref().map_or_else(Bytes::new, |mark| frame(stream.framing, None, mark))
}

/// Events as frames, and the mark.
fn events(stream: &StreamForm, events: impl Iterator<Item = String>) -> Bytes {
    let framed = |event: String| {
        let document = Document::parse(event.clone(), &Limits::default()).ok();
        let name = stream.name.as_ref().zip(document.as_ref()).and_then(|(name, event)| name_of(name, event.root()));
        frame(stream.framing, name, &event)
    };
    events.map(framed).chain([mark(stream)]).collect::<Vec<_>>().concat().into()
}

fn frame(framing: Framing, name: Option<&str>, data: &str) -> Bytes {
    match framing {
        Framing::Sse => sse::frame(name, data.as_bytes()),
        Framing::Ndjson => ndjson::line(data.as_bytes()),
        Framing::Json | Framing::EventStream => Bytes::new(),
    }
}

fn id() -> String {
    Uuid::now_v7().to_string()
}
