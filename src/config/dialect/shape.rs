//! `[dialect.NAME]` as it is written.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use toml::Spanned;

use crate::config::value::text;
use crate::wire::custom::{Pointer, Sign};

/// Places of one sort.
pub type Places = Vec<Spanned<Pointer>>;

/// Places, and a word or more for each.
pub type Worded<T> = BTreeMap<Spanned<Pointer>, T>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DialectShape {
    /// The template of an error.
    pub refusal: Spanned<String>,
    pub request: RequestShape,
    pub answer: AnswerShape,
    pub stream: Option<Spanned<StreamShape>>,
    #[serde(default)]
    pub reply: ReplyShape,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
pub struct RequestShape {
    pub strict: bool,
    pub model: Option<Spanned<Pointer>>,
    pub stream: Option<Spanned<Asked>>,
    pub turns: Option<Spanned<Pointer>>,
    pub role: Option<Spanned<String>>,
    pub roles: Option<Spanned<RolesShape>>,
    pub content: Places,
    pub system: Places,
    pub user: Places,
    pub assistant: Places,
    pub tool: Places,
    pub reasoning: Places,
    pub arguments: Places,
    pub names: Places,
    pub tools: Places,
    pub other: Places,
    pub any: Places,
    pub numbers: Places,
    pub refuse: Places,
    pub words: Worded<Vec<String>>,
}

/// The words for each role.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
pub struct RolesShape {
    pub system: Vec<String>,
    pub developer: Vec<String>,
    pub user: Vec<String>,
    pub assistant: Vec<String>,
    pub tool: Vec<String>,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
pub struct AnswerShape {
    pub strict: bool,
    pub choices: Option<Spanned<Pointer>>,
    pub index: Option<Spanned<String>>,
    pub content: Places,
    pub reasoning: Places,
    pub refusal: Places,
    pub arguments: Places,
    pub names: Places,
    pub other: Places,
    pub any: Places,
    pub ids: Places,
    pub numbers: Places,
    pub strip: Places,
    pub words: Worded<Vec<String>>,
    pub again: Worded<Spanned<Pointer>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamShape {
    pub framing: Spanned<Framing>,
    pub name: Option<Spanned<Pointer>>,
    #[serde(default)]
    pub last: Vec<Spanned<Sign>>,
    #[serde(default)]
    pub end: Vec<Spanned<Sign>>,
    pub mark: Option<Spanned<String>>,
    #[serde(default)]
    pub order: Worded<Spanned<Pointer>>,
    pub cut: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    pub failed: Vec<Spanned<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    Sse,
    Ndjson,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReplyShape {
    pub whole: Option<Spanned<String>>,
    pub stream: Vec<Spanned<String>>,
}

/// Which requests ask for a stream: `"never"`, `"always"`, `{ member = "/stream" }` or `{ paths = ["/generate_stream"] }`.
pub enum Asked {
    Never,
    Always,
    Member { at: Pointer, default: bool },
    Paths(Vec<String>),
}

impl<'de> Deserialize<'de> for Asked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl<'de> Visitor<'de> for Written {
            type Value = Asked;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"never\", \"always\", { member = \"/stream\" } or { paths = [\"/generate_stream\"] }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Asked, E> {
                match text {
                    "never" => Ok(Asked::Never),
                    "always" => Ok(Asked::Always),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Asked, A::Error> {
                #[derive(Deserialize)]
                #[serde(deny_unknown_fields)]
                struct Table {
                    member: Option<Pointer>,
                    #[serde(default)]
                    default: bool,
                    paths: Option<Vec<String>>,
                }
                match Table::deserialize(MapAccessDeserializer::new(map))? {
                    Table { member: Some(at), default, paths: None } => Ok(Asked::Member { at, default }),
                    Table { member: None, default: false, paths: Some(paths) } => Ok(Asked::Paths(paths)),
                    _ => Err(de::Error::invalid_value(de::Unexpected::Map, &self)),
                }
            }
        }
        deserializer.deserialize_any(Written)
    }
}

impl<'de> Deserialize<'de> for Pointer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a pointer to a place in the body such as \"/messages/*/content\": members, and `*` for the elements of an array";
        text(deserializer, expected, Pointer::parse)
    }
}

impl<'de> Deserialize<'de> for Sign {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "what an event is known by: a pointer such as \"/error\", or with the word that stands there, \"/type=end\"";
        text(deserializer, expected, Sign::parse)
    }
}
