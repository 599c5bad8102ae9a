//! Shapes: a dialect's bodies as tables, and the one walk that visits every value of a body by them.
//!
//! The walk leaves nothing out: what a table does not name falls under the `rest` of its object, and a value that no rule
//! takes is an error (or, in an answer, text).

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::text::Kind;
use crate::wire::WireError;
use crate::wire::json::{Type, Value};

/// What may stand at a place. `null` may stand anywhere, and is nothing.
#[derive(Clone, Copy)]
pub enum Rule {
    /// A text.
    Text(Kind),
    /// A text that can't be replaced: an id that something else refers to, a function's name.
    Fixed(Kind),
    /// JSON in a string, as a model wrote it.
    Arguments,
    /// An enumeration or an id: a plain word (see [`is_word`]), which is not judged.
    Word,
    /// Any JSON whose keys and strings are plain words.
    Words,
    /// A number or a boolean.
    Plain,
    /// Any JSON: each string and key below is part of one text.
    Any(Kind),
    /// The same for a JSON schema, less its own words.
    Schema(Kind),
    Object(&'static Object),
    /// An object whose `type` picks its shape; the sentence says which types there are.
    Tagged(&'static [(&'static str, &'static Object)], &'static str),
    Each(&'static Rule),
    /// An array whose elements are told apart by their `index`, where they have one.
    Indexed(&'static Rule),
    /// The messages of a request or the choices of an answer.
    Turns(&'static Rule),
    /// An array of texts that other readers may join.
    Joined(&'static Rule),
    /// All below is one text.
    Group(Kind, &'static Rule),
    /// By JSON type: string, array, object.
    ByType(Option<&'static Rule>, Option<&'static Rule>, Option<&'static Rule>),
    /// Can't be judged; the sentence says what can.
    Refuse(&'static str),
    /// Is looked after elsewhere.
    Unread,
}

/// An object's members.
pub struct Object {
    pub fields: &'static [(&'static str, Rule)],
    pub required: &'static [&'static str],
}

/// How a walk takes what no rule fits.
#[derive(Clone, Copy)]
pub enum Style {
    /// A request: refused.
    Strict,
    /// An answer: judged as text. Members with these names are ids and enumerations wherever they stand; so are keys that
    /// are plain words.
    Lenient(&'static [&'static str]),
}

/// A string or a key that has to be judged.
pub struct Leaf<'d> {
    pub value: Value<'d>,
    pub text: Cow<'d, str>,
    pub kind: Kind,
    pub editable: bool,
    /// See [`Rule::Arguments`].
    pub arguments: bool,
    /// A digest of the path: equal for equal places of different events of a stream.
    pub place: u64,
}

/// Takes what a walk finds, in document order.
pub trait Sink<'d> {
    fn leaf(&mut self, leaf: Leaf<'d>) -> Result<(), WireError>;

    /// What comes up to `close` is one text.
    fn open(&mut self, _kind: Kind) {}

    fn close(&mut self) -> Result<(), WireError> {
        Ok(())
    }

    /// Texts up to `close_joined` may be read as one.
    fn open_joined(&mut self) {}

    fn close_joined(&mut self) -> Result<(), WireError> {
        Ok(())
    }

    /// A message or choice starts; gives its number.
    fn turn(&mut self, position: u32, element: Value<'d>) -> Result<u32, WireError>;

    fn end_turn(&mut self) {}
}

/// Visits every value under `root`.
pub fn walk<'d>(root: Value<'d>, rule: Rule, style: Style, sink: &mut impl Sink<'d>) -> Result<(), WireError> {
    Walk { style, sink }.visit(root, rule, 0)
}

/// Whether a string is a plain word: an identifier of an enumeration, a model, an id. Too short and too plain to carry a text.
pub fn is_word(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:@+".contains(&b))
}

/// The error for a value that is not what the shape wants.
pub fn unexpected(value: Value<'_>, expected: &str) -> WireError {
    WireError::Shape { at: place_of(value), expected: format!("expected {expected}") }
}

/// Keys and type names of JSON Schema itself and of tool definitions.
const SCHEMA_KEYS: &[&str] = &[
    "$defs",
    "$ref",
    "$schema",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "default",
    "description",
    "enum",
    "examples",
    "format",
    "function",
    "items",
    "json_schema",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "name",
    "not",
    "oneOf",
    "parameters",
    "pattern",
    "properties",
    "required",
    "schema",
    "strict",
    "title",
    "type",
];
const SCHEMA_TYPES: &[&str] = &[
    "array",
    "boolean",
    "function",
    "integer",
    "json_object",
    "json_schema",
    "null",
    "number",
    "object",
    "string",
    "text",
];

/// Keys of a schema under which a text stands that nothing refers to.
const SCHEMA_PROSE: &[&str] = &["$comment", "description", "title"];

struct Walk<'s, S> {
    style: Style,
    sink: &'s mut S,
}

impl<'d, S: Sink<'d>> Walk<'_, S> {
    fn visit(&mut self, value: Value<'d>, rule: Rule, place: u64) -> Result<(), WireError> {
        if value.is_null() {
            return Ok(());
        }
        let kind = value.kind();
        match (rule, kind) {
            (Rule::Unread, _) => Ok(()),
            (Rule::Refuse(supported), _) => Err(WireError::Unsupported { at: place_of(value), supported }),
            (Rule::Text(text), Type::String) => self.leaf(value, text, true, place),
            (Rule::Fixed(text), Type::String) => self.leaf(value, text, false, place),
            (Rule::Arguments, Type::String) => self.arguments(value, place),
            (Rule::Word, Type::String) => self.word(value, place),
            (Rule::Words, _) => self.words(value, place),
            (Rule::Plain, Type::Number | Type::Bool) => Ok(()),
            (Rule::Any(text), _) => self.group(text, |walk| walk.any(value, text, place)),
            (Rule::Schema(text), _) => self.group(text, |walk| walk.schema(value, text, true, place)),
            (Rule::Group(text, inner), _) => self.group(text, |walk| walk.visit(value, *inner, place)),
            (Rule::Object(object), Type::Object) => self.object(value, object, place),
            (Rule::Tagged(variants, supported), Type::Object) => {
                let Some(tag) = value.get("type").and_then(Value::text) else {
                    return Err(unexpected(value, "an object with a `type`"));
                };
                match variants.iter().find(|(name, _)| *name == tag) {
                    Some((_, object)) => self.object(value, object, place),
                    None => Err(WireError::Unsupported { at: place_of(value), supported }),
                }
            }
            (Rule::Each(inner), Type::Array) => {
                self.elements(value, place, |walk, element, at| walk.visit(element, *inner, at))
            }
            (Rule::Indexed(inner), Type::Array) => value.elements().zip(0u32..).try_for_each(|(element, position)| {
                let index = element.get("index").and_then(Value::u32).unwrap_or(position);
                self.visit(element, *inner, step(place, index))
            }),
            (Rule::Turns(inner), Type::Array) => value.elements().zip(0u32..).try_for_each(|(element, position)| {
                let index = self.sink.turn(position, element)?;
                self.visit(element, *inner, step(place, index))?;
                self.sink.end_turn();
                Ok(())
            }),
            (Rule::Joined(inner), Type::Array) => {
                self.sink.open_joined();
                self.elements(value, place, |walk, element, at| walk.visit(element, *inner, at))?;
                self.sink.close_joined()
            }
            (Rule::ByType(Some(inner), _, _), Type::String)
            | (Rule::ByType(_, Some(inner), _), Type::Array)
            | (Rule::ByType(_, _, Some(inner)), Type::Object) => self.visit(value, *inner, place),
            (rule, _) => match self.style {
                Style::Strict => Err(unexpected(value, rule.wants())),
                Style::Lenient(_) => self.visit(value, Rule::Any(rule.kind()), place),
            },
        }
    }

    fn object(&mut self, value: Value<'d>, object: &'static Object, place: u64) -> Result<(), WireError> {
        for (key, member) in value.members() {
            let name = key.text().unwrap_or_default();
            let known = |name: &str| object.fields.iter().find(|(field, _)| *field == name);
            let place = step(place, &name);
            if let Some((_, rule)) = known(&name) {
                self.visit(member, *rule, place)?;
                continue;
            }
            // Some readers match keys without regard to case: to them this would be the known member.
            if let Some((field, _)) = known(&fold(&name)) {
                return Err(unexpected(key, &format!("`{field}`, spelled so")));
            }
            self.group(Kind::Other, |walk| {
                walk.key(key, Kind::Other, place)?;
                walk.any(member, Kind::Other, place)
            })?;
        }
        match object.required.iter().find(|field| value.get(field).is_none_or(Value::is_null)) {
            Some(field) => Err(unexpected(value, &format!("a member `{field}`"))),
            None => Ok(()),
        }
    }

    fn any(&mut self, value: Value<'d>, kind: Kind, place: u64) -> Result<(), WireError> {
        match value.kind() {
            Type::String => self.leaf(value, kind, true, place),
            Type::Object => value.members().try_for_each(|(key, member)| {
                let name = key.text().unwrap_or_default();
                let place = step(place, &name);
                self.key(key, kind, place)?;
                match self.style {
                    Style::Lenient(enumerations)
                        if enumerations.contains(&&*name) && member.text().is_some_and(|text| is_word(&text)) =>
                    {
                        Ok(())
                    }
                    _ => self.any(member, kind, place),
                }
            }),
            _ => self.elements(value, place, |walk, element, at| walk.any(element, kind, at)),
        }
    }

    fn schema(&mut self, value: Value<'d>, kind: Kind, prose: bool, place: u64) -> Result<(), WireError> {
        match value.kind() {
            Type::String => self.leaf(value, kind, prose, place),
            Type::Object => value.members().try_for_each(|(key, member)| {
                let name = key.text().unwrap_or_default();
                let place = step(place, &name);
                if !SCHEMA_KEYS.contains(&&*name) {
                    self.key(key, kind, place)?;
                }
                if name == "type" && member.text().is_some_and(|text| SCHEMA_TYPES.contains(&&*text)) {
                    return Ok(());
                }
                self.schema(member, kind, SCHEMA_PROSE.contains(&&*name), place)
            }),
            _ => self.elements(value, place, |walk, element, at| walk.schema(element, kind, false, at)),
        }
    }

    fn words(&mut self, value: Value<'d>, place: u64) -> Result<(), WireError> {
        match value.kind() {
            Type::String => self.word(value, place),
            Type::Object => value.members().try_for_each(|(key, member)| {
                let place = step(place, key.text().unwrap_or_default());
                self.word(key, place)?;
                self.words(member, place)
            }),
            _ => self.elements(value, place, |walk, element, at| walk.words(element, at)),
        }
    }

    fn word(&mut self, value: Value<'d>, place: u64) -> Result<(), WireError> {
        match self.style {
            _ if value.text().is_some_and(|text| is_word(&text)) => Ok(()),
            Style::Strict => Err(unexpected(value, "a plain word: up to 128 letters, digits and `-_./:@+`")),
            Style::Lenient(_) => self.leaf(value, Kind::Other, false, place),
        }
    }

    /// A key that no table names.
    fn key(&mut self, key: Value<'d>, kind: Kind, place: u64) -> Result<(), WireError> {
        match self.style {
            Style::Lenient(_) if key.text().is_some_and(|text| is_word(&text)) => Ok(()),
            _ => self.leaf(key, kind, false, step(place, "key")),
        }
    }

    fn arguments(&mut self, value: Value<'d>, place: u64) -> Result<(), WireError> {
        let text = value.text().unwrap_or_default();
        self.sink.leaf(Leaf { value, text, kind: Kind::ToolArguments, editable: true, arguments: true, place })
    }

    fn leaf(&mut self, value: Value<'d>, kind: Kind, editable: bool, place: u64) -> Result<(), WireError> {
        let text = value.text().unwrap_or_default();
        self.sink.leaf(Leaf { value, text, kind, editable, arguments: false, place })
    }

    fn group(&mut self, kind: Kind, inner: impl FnOnce(&mut Self) -> Result<(), WireError>) -> Result<(), WireError> {
        self.sink.open(kind);
        inner(self)?;
        self.sink.close()
    }

    fn elements(
        &mut self,
        value: Value<'d>,
        place: u64,
        mut each: impl FnMut(&mut Self, Value<'d>, u64) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        value.elements().zip(0u32..).try_for_each(|(element, position)| each(self, element, step(place, position)))
    }
}

impl Rule {
    /// What the rule wants, for messages.
    fn wants(self) -> &'static str {
        match self {
            Rule::Text(_) | Rule::Fixed(_) | Rule::Arguments | Rule::Word => "a string",
            Rule::Plain => "a number or a boolean",
            Rule::Object(_) | Rule::Tagged(..) => "an object",
            Rule::Each(_) | Rule::Indexed(_) | Rule::Turns(_) | Rule::Joined(_) => "an array",
            Rule::ByType(None, Some(_), None) => "an array",
            Rule::ByType(Some(_), Some(_), None) => "a string or an array",
            Rule::ByType(Some(_), None, Some(_)) => "a string or an object",
            _ => "another type",
        }
    }

    /// What a text is that stands where the rule wants something else.
    fn kind(self) -> Kind {
        match self {
            Rule::Text(kind) | Rule::Fixed(kind) => kind,
            Rule::Arguments => Kind::ToolArguments,
            Rule::ByType(Some(inner), ..) => inner.kind(),
            _ => Kind::Other,
        }
    }
}

fn place_of(value: Value<'_>) -> String {
    let path = value.document().path(value.id());
    if path.is_empty() { "the body".into() } else { path }
}

/// Simple case folding, as far as it leads to ASCII: the long s and the Kelvin sign are the only others.
fn fold(name: &str) -> String {
    let fold = |c| match c {
        'ſ' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    name.chars().map(fold).collect()
}

fn step(place: u64, step: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    (place, step).hash(&mut hasher);
    hasher.finish()
}
