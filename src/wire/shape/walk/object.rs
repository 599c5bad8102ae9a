//! Objects on the way: which member is which, and what becomes of those that no table names.

use std::collections::BTreeSet;

use super::{At, Walk};
use crate::text::Kind;
use crate::wire::WireError;
use crate::wire::json::{Type, Value};
use crate::wire::shape::{
    Object, Rule, Sink, Style, TOKEN_IDS, elsewhere, fold, member, missing, second_name, unexpected, unsupported,
};

/// So many whole numbers on end, in an answer, may be something else than token ids or bytes.
const FEW: usize = 16;

/// Why what no table names is refused below [`Rule::Closed`].
const UNLISTED: &str = "this route takes what its dialect names, and nothing else";

impl<'d, S: Sink<'d>> Walk<'_, 'd, S> {
    /// `tagged`: its `type` has been read.
    pub(super) fn object(
        &mut self,
        value: Value<'d>,
        object: &Object<'_>,
        tagged: bool,
        at: At,
    ) -> Result<(), WireError> {
        const TAG: (&str, Rule<'static>) = ("type", Rule::Unread);
        let mut seen = BTreeSet::new();
        for (key, member) in value.members() {
            let name = key.text().unwrap_or_default();
            let fields = || tagged.then_some(&TAG).into_iter().chain(object.fields);
            if let Some((field, rule)) = fields().find(|(field, _)| self.names(field, &name)) {
                if self.marks.two_names && !seen.insert(field) {
                    return Err(unexpected(key, &format!("`{field}` under one of its names")));
                }
                self.visit(member, *rule, at.step(field))?;
                continue;
            }
            // Some readers match keys without regard to case: to them this would be the known member.
            let folded = self.fold(&name);
            if let Some((field, _)) = fields().find(|(field, _)| self.folds(field).eq(folded.bytes())) {
                return Err(unexpected(key, &format!("`{field}`, spelled so")));
            }
            self.unknown(key, member, at.unnamed(&name))?;
        }
        let present = |field: &str| if self.marks.two_names { member(value, field) } else { value.get(field) };
        match object.required.iter().find(|field| present(field).is_none_or(Value::is_null)) {
            Some(field) => Err(missing(value, field)),
            None => Ok(()),
        }
    }

    /// Whether this key names the field.
    fn names(&self, field: &str, key: &str) -> bool {
        field == key || (self.marks.two_names && second_name(field).eq(key.chars()))
    }

    /// A key as readers read it that do not regard case, nor, where a member has two names, underscores.
    fn fold(&self, key: &str) -> String {
        key.chars().map(fold).filter(|c| !(self.marks.two_names && *c == '_')).collect()
    }

    /// The same of a field.
    fn folds(&self, field: &str) -> impl Iterator<Item = u8> {
        let two_names = self.marks.two_names;
        field.bytes().map(|b| b.to_ascii_lowercase()).filter(move |b| !(two_names && *b == b'_'))
    }

    /// A member that no table names: text, of which an upstream may make what it likes.
    pub(super) fn unknown(&mut self, key: Value<'d>, member: Value<'d>, place: u64) -> Result<(), WireError> {
        self.unlisted(member, Some(key), place)
    }

    /// The same with its key, or without.
    pub(super) fn unlisted(&mut self, value: Value<'d>, key: Option<Value<'d>>, place: u64) -> Result<(), WireError> {
        let number = match self.style {
            Style::Strict => number_in_array(value),
            Style::Lenient => many_numbers(value),
        };
        match number {
            _ if self.marks.closed => Err(unsupported(key.unwrap_or(value), UNLISTED)),
            Some(number) => Err(unsupported(number, TOKEN_IDS)),
            None => {
                if self.style == Style::Strict && !self.marks.own {
                    key.map_or_else(|| elsewhere::check_below(value), |key| elsewhere::check(key, value))?;
                }
                self.group(Kind::Other, |walk| {
                    key.map_or(Ok(()), |key| walk.key(key, Kind::Other, place))?;
                    walk.any(value, Kind::Other, place)
                })
            }
        }
    }
}

/// The shape of an object by its `type`, and whether it has one.
pub(super) fn variant<'t>(value: Value<'_>, variants: &'t [(&str, &'t Object<'t>)]) -> Option<(&'t Object<'t>, bool)> {
    let tag = value.get("type").and_then(Value::text);
    let name = tag.as_deref().unwrap_or_default();
    let found = variants.iter().find(|(own, _)| *own == name).filter(|_| tag.is_none() || !name.is_empty());
    found.map(|(_, object)| (*object, tag.is_some()))
}

/// Whether an object has one member, and that of the table.
pub(super) fn only_member(value: Value<'_>, object: &Object, supported: &'static str) -> Result<(), WireError> {
    let mut members = value.members();
    match (members.next(), members.next()) {
        (Some((key, _)), None) if object.fields.iter().any(|(name, _)| key.is(name)) => Ok(()),
        (Some((key, _)), None) => Err(unsupported(key, supported)),
        _ => Err(unexpected(value, "an object with one member")),
    }
}

/// The first number that stands in an array, at any depth.
fn number_in_array(value: Value<'_>) -> Option<Value<'_>> {
    let own = value.elements().find(|element| element.kind() == Type::Number);
    own.or_else(|| value.elements().find_map(number_in_array))
        .or_else(|| value.members().find_map(|(_, member)| number_in_array(member)))
}

/// The first array of many whole numbers, at any depth.
fn many_numbers(value: Value<'_>) -> Option<Value<'_>> {
    let is_whole = |element: &Value<'_>| element.raw().bytes().all(|b| b.is_ascii_digit());
    let many = value.elements().filter(is_whole).nth(FEW).map(|_| value);
    many.or_else(|| value.elements().find_map(many_numbers))
        .or_else(|| value.members().find_map(|(_, member)| many_numbers(member)))
}
