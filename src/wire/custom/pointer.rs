//! Pointers: JSON pointers with `*` for every element of an array, and with a flag for objects of two sorts.

use std::fmt;

use crate::wire::json::{Type, Value};

/// Steps of one pointer, at most: no body is deeper.
const MAX_STEPS: usize = 64;

/// Where values stand in a body: `/messages/*/content`. `/token?special/text` stands in a `token` whose `special` is true.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pointer(Box<[Step]>);

/// A step of a pointer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Member(Box<str>),
    /// All elements of an array.
    Elements,
    /// The same object, where this boolean of it is true.
    Flag(Box<str>),
}

impl Pointer {
    /// At least one step. `~0`, `~1` stand for `~`, `/` as in RFC 6901; a number is no step, for an array's elements are one.
    pub fn parse(text: &str) -> Option<Self> {
        let mut steps = Vec::new();
        for part in text.strip_prefix('/')?.split('/') {
            let (name, flag) = part.split_once('?').map_or((part, None), |(name, flag)| (name, Some(flag)));
            steps.push(match name {
                "*" => Step::Elements,
                _ => Step::Member(member(name)?),
            });
            steps.extend(flag.map(member).map(|flag| flag.map(Step::Flag).ok_or(())).transpose().ok()?);
        }
        (steps.len() <= MAX_STEPS).then(|| Pointer(steps.into()))
    }

    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Every value at this place.
    pub fn values<'d>(&self, root: Value<'d>) -> Vec<Value<'d>> {
        self.0.iter().fold(vec![root], |values, step| step.below(values))
    }

    /// The only value at this place, of a pointer without `*`.
    pub fn value<'d>(&self, root: Value<'d>) -> Option<Value<'d>> {
        self.values(root).first().copied()
    }

    /// The name of a member and the objects that may have it; `None` where it ends in no member.
    pub fn parents<'d>(&self, root: Value<'d>) -> Option<(&str, Vec<Value<'d>>)> {
        let (Step::Member(name), before) = self.0.split_last()? else { return None };
        Some((name, before.iter().fold(vec![root], |values, step| step.below(values))))
    }

    /// Its keys, where it has nothing but keys.
    pub fn keys(&self) -> Option<Box<[Box<str>]>> {
        let key = |step: &Step| match step {
            Step::Member(name) => Some(name.clone()),
            _ => None,
        };
        self.0.iter().map(key).collect()
    }

    /// What of it comes after `before`, if it begins so. Never empty.
    pub fn after(&self, before: &Pointer) -> Option<Pointer> {
        let rest = self.0.strip_prefix(&*before.0).filter(|rest| !rest.is_empty())?;
        Some(Pointer(rest.into()))
    }

    /// A member of what stands at this place.
    pub fn member(&self, name: &str) -> Pointer {
        Pointer(self.0.iter().cloned().chain([Step::Member(name.into())]).collect())
    }

    /// Whether it ends in `*`.
    pub fn is_each(&self) -> bool {
        self.0.last() == Some(&Step::Elements)
    }
}

impl Step {
    fn below<'d>(&self, values: Vec<Value<'d>>) -> Vec<Value<'d>> {
        let values = values.into_iter();
        match self {
            Step::Member(name) => values.filter_map(|value| value.get(name)).collect(),
            Step::Elements => values.flat_map(Value::elements).collect(),
            Step::Flag(name) => values.filter(|value| value.get(name).and_then(Value::bool) == Some(true)).collect(),
        }
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| match step {
            Step::Member(name) => write!(f, "/{}", name.replace('~', "~0").replace('/', "~1")),
            Step::Elements => f.write_str("/*"),
            Step::Flag(name) => write!(f, "?{}", name.replace('~', "~0").replace('/', "~1")),
        })
    }
}

/// A sign by which an event is known: something stands at a place, or this word does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sign {
    pub at: Pointer,
    pub word: Option<Box<str>>,
}

impl Sign {
    /// `/details`, or `/type=message-end`.
    pub fn parse(text: &str) -> Option<Self> {
        let (at, word) = text.split_once('=').map_or((text, None), |(at, word)| (at, Some(word)));
        let sound = word.is_none_or(|word| !word.is_empty());
        Some(Sign { at: Pointer::parse(at).filter(|_| sound)?, word: word.map(Into::into) })
    }

    pub fn stands_in(&self, event: Value<'_>) -> bool {
        let says = |value: &Value<'_>| match &self.word {
            Some(word) => value.is(word),
            None => is_something(*value),
        };
        self.at.values(event).iter().any(says)
    }
}

/// Whether a value is more than null, false and an empty list or table. An empty string is something: an answer may be one.
pub fn is_something(value: Value<'_>) -> bool {
    match value.kind() {
        Type::Null => false,
        Type::Bool => value.bool() == Some(true),
        Type::Number | Type::String => true,
        Type::Array => value.elements().next().is_some(),
        Type::Object => value.members().next().is_some(),
    }
}

fn member(escaped: &str) -> Option<Box<str>> {
    let sound = escaped.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    let is_index = escaped == "-" || escaped.bytes().all(|b| b.is_ascii_digit());
    (sound && !is_index && !escaped.contains(['*', '?', '=']))
        .then(|| escaped.replace("~1", "/").replace("~0", "~").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::{Document, Limits};

    fn values(pointer: &str, json: &str) -> Vec<String> {
        let document = Document::parse(json.as_bytes().to_vec(), &Limits::default()).unwrap();
        let pointer = Pointer::parse(pointer).unwrap();
        pointer.values(document.root()).into_iter().map(|value| value.raw().to_owned()).collect()
    }

    #[test]
    fn a_pointer_names_every_value_of_a_place() {
        assert_eq!(values("/a/*/b", r#"{"a":[{"b":1},{"c":2},{"b":[3]}]}"#), ["1", "[3]"]);
        assert_eq!(values("/a/*/*", r#"{"a":[[1,2],3,[4]]}"#), ["1", "2", "4"]);
        assert_eq!(values("/a~1b/c~0d", r#"{"a/b":{"c~d":5}}"#), ["5"]);
        assert_eq!(values("/t?s/x", r#"{"t":{"s":true,"x":6}}"#), ["6"]);
        for other in [r#"{"t":{"s":false,"x":6}}"#, r#"{"t":{"x":6}}"#, r#"{"t":{"s":"true","x":6}}"#, "[]"] {
            assert!(values("/t?s/x", other).is_empty());
        }
    }

    #[test]
    fn pointers_have_one_form() {
        for text in ["/a", "/*", "/a/*/b", "/a~1b~0c", "/*?s/x", "/a.b-c/d e"] {
            assert_eq!(Pointer::parse(text).unwrap().to_string(), text);
        }
        for bad in [
            "", "a", "/", "//a", "/a/", "/0", "/a/12/b", "/-", "/a*", "/**", "/~", "/~2", "/a?", "/?a", "/a=b",
            "/a?b?c",
        ] {
            assert!(Pointer::parse(bad).is_none(), "{bad}");
        }
        assert!(Pointer::parse(&"/a".repeat(MAX_STEPS + 1)).is_none());
    }

    #[test]
    fn a_sign_is_something_or_a_word() {
        let stands = |sign: &str, json: &str| {
            let document = Document::parse(json.as_bytes().to_vec(), &Limits::default()).unwrap();
            Sign::parse(sign).unwrap().stands_in(document.root())
        };
        for json in [r#"{"a":1}"#, r#"{"a":0}"#, r#"{"a":""}"#, r#"{"a":[0]}"#, r#"{"a":{"b":null}}"#, r#"{"a":true}"#]
        {
            assert!(stands("/a", json), "{json}");
        }
        for json in ["{}", r#"{"a":null}"#, r#"{"a":false}"#, r#"{"a":[]}"#, r#"{"a":{}}"#] {
            assert!(!stands("/a", json), "{json}");
        }
        assert!(stands("/a=end", r#"{"a":"end"}"#) && !stands("/a=end", r#"{"a":"ends"}"#));
        assert!(Sign::parse("/a=").is_none() && Sign::parse("=a").is_none());
    }
}
