//! Requests of a dialect that a file describes.

use crate::text::Role;
use crate::wire::WireError;
use crate::wire::custom::form::{RequestForm, Streams, Turns};
use crate::wire::json::{Type, Value};
use crate::wire::request::{Head, Reads, model_at};
use crate::wire::shape::{Rule, unexpected};

/// The requests to one path.
pub struct Requests<'f> {
    pub form: &'f RequestForm,
    pub path: &'f str,
}

impl Reads for Requests<'_> {
    fn body(&self) -> Rule<'_> {
        if self.form.strict { Rule::Closed(&self.form.body) } else { Rule::Own(&self.form.body) }
    }

    fn role(&self, turn: Value<'_>) -> Result<Role, WireError> {
        let Some(Turns { role, roles }) = &self.form.turns else { return Ok(Role::None) };
        let found = turn.get(role).filter(|role| role.kind() == Type::String);
        let known = found.and_then(|found| roles.iter().find(|(word, _)| found.is(word)));
        known.map(|(_, role)| *role).ok_or_else(|| {
            let words: Vec<&str> = roles.iter().map(|(word, _)| &**word).collect();
            unexpected(found.unwrap_or(turn), &format!("`{role}`: one of {}", words.join(", ")))
        })
    }

    fn head(&self, body: Value<'_>) -> Result<Head, WireError> {
        if body.kind() != Type::Object {
            return Err(unexpected(body, "an object"));
        }
        let model = self.form.model.as_ref().and_then(|model| model.value(body));
        Ok(Head { streams: self.streams(body)?, model: model_at(model)? })
    }
}

impl Requests<'_> {
    fn streams(&self, body: Value<'_>) -> Result<bool, WireError> {
        Ok(match &self.form.streams {
            Streams::Never => false,
            Streams::Always => true,
            Streams::Paths(paths) => {
                let path = self.path.split('?').next().unwrap_or_default();
                paths.iter().any(|own| **own == *path)
            }
            Streams::Member(at, default) => match at.value(body).filter(|value| !value.is_null()) {
                Some(value) => value.bool().ok_or_else(|| unexpected(value, "a boolean"))?,
                None => *default,
            },
        })
    }
}
