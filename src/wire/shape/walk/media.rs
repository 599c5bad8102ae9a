//! Media on the way: what goes by, and what of it can be read.

use std::borrow::Cow;

use super::{At, Marks, Walk};
use crate::text::{Kind, Media};
use crate::wire::WireError;
use crate::wire::blob::{Blob, is_binary_type, is_bytes, is_text_type};
use crate::wire::json::Value;
use crate::wire::shape::{Form, Object, Rule, Sink, Sort, Style, member, unsupported};

const TEXT_APART: &str = "a text stands in a part of text, where it is judged";
const NO_BYTES: &str = "this route judges text only, and these bytes say what no detector reads";

impl<'d, S: Sink<'d>> Walk<'_, 'd, S> {
    /// See [`Rule::Pass`].
    pub(super) fn pass(
        &mut self,
        value: Value<'d>,
        sort: Sort,
        inner: Rule<'_>,
        supported: &'static str,
        at: At,
    ) -> Result<(), WireError> {
        let kind = match sort {
            Sort::Is(kind) => kind,
            Sort::By(name) => {
                let media_type = if self.marks.two_names { member(value, name) } else { value.get(name) };
                Media::of(&media_type.and_then(Value::text).unwrap_or_default())
            }
        };
        if !self.bounds.pass.has(kind) {
            return Err(unsupported(value, supported));
        }
        self.marked(Marks { media: Some(kind), ..self.marks }, value, inner, at)
    }

    /// See [`Rule::PassTyped`].
    pub(super) fn pass_typed(
        &mut self,
        value: Value<'d>,
        variants: &[(&str, Media, &Object<'_>)],
        other: Rule<'_>,
        at: At,
    ) -> Result<(), WireError> {
        let media = value.get("type").and_then(|tag| variants.iter().find(|(name, ..)| tag.is(name)));
        match media.filter(|(_, kind, _)| self.bounds.pass.has(*kind)) {
            Some((_, _, object)) => self.object(value, object, true, at),
            None => self.visit(value, other, at),
        }
    }

    /// See [`Rule::BlobType`]. What is known by it is no text.
    pub(super) fn blob_type(&mut self, value: Value<'d>, at: At) -> Result<(), WireError> {
        match value.text() {
            Some(text) if self.style == Style::Strict && is_text_type(&text) => Err(unsupported(value, TEXT_APART)),
            _ => self.word(value, is_binary_type, at.place),
        }
    }

    /// A string of which no table says what it is. In an answer bytes are a file: pictures come under ever new names. What a
    /// model writes for a tool stays what it wrote.
    pub(super) fn bytes_or_text(&mut self, value: Value<'d>, kind: Kind, place: u64) -> Result<(), WireError> {
        let may_be = self.style == Style::Lenient && kind != Kind::ToolArguments && !self.marks.echo;
        match may_be && value.text().is_some_and(|text| is_bytes(&text)) {
            true if self.bounds.pass.has(Media::File) => self.sink.media(Media::File, place),
            true => return Err(unsupported(value, NO_BYTES)),
            false => return self.leaf(value, kind, Form::Free, place),
        }
        Ok(())
    }

    /// See [`Rule::Blob`]. What of it is a text stands apart from the texts around it, which it must not part.
    pub(super) fn blob(&mut self, value: Value<'d>, at: At) -> Result<(), WireError> {
        let written = value.text().unwrap_or_default();
        let kind = self.marks.media.unwrap_or(Media::File);
        self.sink.media(kind, at.place);
        match Blob::read(&written, kind) {
            Some(Blob::Opaque) => Ok(()),
            Some(Blob::Text(text)) => {
                let text = Cow::Owned(text.into_owned());
                self.group(Kind::Other, |walk| {
                    walk.leaf_of(value, text, Kind::Other, Form::Fixed, At { one: None, ..at })
                })
            }
            None => self.unfit(value, Rule::Blob, at),
        }
    }
}
