//! Tables that are read from a file: they own what they are made of, and are unfolded into rules one level at a time, as the
//! walk comes to them.

use std::collections::BTreeMap;

use crate::text::{Kind, Role};
use crate::wire::json::{Type, Value};
use crate::wire::shape::{Hop, Object, Rule};

/// What may stand at a place, of each type of JSON. What stands there and is not named is judged, or refused below
/// [`Rule::Closed`].
#[derive(Default)]
pub struct Own {
    /// Of any type, with all below: nothing else is said of the place then.
    pub whole: Option<Rule<'static>>,
    pub string: Option<OwnString>,
    /// Numbers and booleans are the API's own.
    pub plain: bool,
    pub members: BTreeMap<Box<str>, Own>,
    /// More members, and other rules for some, of an object whose boolean of this name is true.
    pub flagged: BTreeMap<Box<str>, Own>,
    pub elements: Option<(List, Box<Own>)>,
}

/// What a string is.
pub enum OwnString {
    Rule(Rule<'static>),
    /// See [`Rule::By`].
    By(Role, Rule<'static>),
    /// See [`Rule::OneOf`].
    OneOf(Box<[Box<str>]>),
    /// See [`Rule::Again`]: of what stands at these keys from the root.
    Again(Box<[Box<str>]>),
}

/// How the elements of an array belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    Each,
    /// See [`Rule::Turns`].
    Turns,
    /// See [`Rule::Joined`], and who says it outside of turns.
    Joined(Option<Role>),
    /// See [`Rule::One`].
    One,
}

impl Own {
    /// Gives `then` the rule for `value`.
    pub fn unfold<T>(&self, value: Value<'_>, then: impl FnOnce(Rule<'_>) -> T) -> T {
        match (self.whole, value.kind()) {
            (Some(rule), _) => then(rule),
            (None, Type::String) => match &self.string {
                Some(string) => string.unfold(then),
                None => then(Rule::Unlisted),
            },
            (None, Type::Number | Type::Bool) if self.plain => then(Rule::Plain),
            (None, Type::Object) if !(self.members.is_empty() && self.flagged.is_empty()) => {
                let is_true = |flag: &str| value.get(flag).and_then(Value::bool) == Some(true);
                let flagged = self.flagged.iter().filter(|(flag, _)| is_true(flag)).map(|(_, own)| own);
                // The first rule for a member holds.
                let members = flagged.chain([self]).flat_map(|own| &own.members);
                let fields: Vec<_> = members.map(|(name, own)| (&**name, Rule::Own(own))).collect();
                then(Rule::Object(&Object { fields: &fields, required: &[] }))
            }
            (None, Type::Array) => match &self.elements {
                Some((list, own)) => list.unfold(Rule::Own(own), then),
                None => then(Rule::Unlisted),
            },
            _ => then(Rule::Unlisted),
        }
    }

    /// Whether a text that people read stands here or below.
    pub fn speaks(&self) -> bool {
        let own = match &self.string {
            Some(OwnString::Rule(rule) | OwnString::By(_, rule)) => {
                matches!(rule, Rule::Text(Kind::Content | Kind::Reasoning | Kind::Refusal))
            }
            _ => false,
        };
        own || self.below().any(Own::speaks)
    }

    /// Who says what stands here and below, each once.
    pub fn speakers(&self) -> Vec<Role> {
        let own = match &self.string {
            Some(OwnString::By(role, _)) => Some(*role),
            _ => None,
        };
        own.into_iter().chain(self.below().flat_map(Own::speakers)).fold(Vec::new(), |mut roles, role| {
            if !roles.contains(&role) {
                roles.push(role);
            }
            roles
        })
    }

    fn below(&self) -> impl Iterator<Item = &Own> {
        let elements = self.elements.iter().map(|(_, own)| &**own);
        self.members.values().chain(self.flagged.values()).chain(elements)
    }
}

impl OwnString {
    fn unfold<T>(&self, then: impl FnOnce(Rule<'_>) -> T) -> T {
        match self {
            OwnString::Rule(rule) => then(*rule),
            OwnString::By(role, rule) => then(Rule::By(*role, rule)),
            OwnString::OneOf(words) => then(Rule::OneOf(&words.iter().map(|word| &**word).collect::<Vec<_>>())),
            OwnString::Again(keys) => {
                let path: Vec<_> = keys.iter().map(|key| Hop::Key(key)).collect();
                then(Rule::At(&path, &Rule::Again(&Rule::Text(Kind::Content))))
            }
        }
    }
}

impl List {
    fn unfold<T>(self, element: Rule<'_>, then: impl FnOnce(Rule<'_>) -> T) -> T {
        match self {
            List::Each => then(Rule::Each(&element)),
            List::Turns => then(Rule::Turns(&element)),
            List::Joined(None) => then(Rule::Joined(&element)),
            List::Joined(Some(role)) => then(Rule::By(role, &Rule::Joined(&element))),
            List::One => then(Rule::One(&Rule::Each(&element))),
        }
    }
}
