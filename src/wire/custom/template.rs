//! Templates: JSON with places in its strings for what the proxy has to say. What comes of one is always JSON.

use std::borrow::Cow;

use crate::wire::json::{Document, JsonError, Limits, Type, Value, json_text, one_line};

/// What a template may have a place for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Why something is refused, for people.
    Message,
    /// The same for programs.
    Code,
    /// The sort of error: `invalid_request_error` or `server_error`.
    Type,
    /// The field at fault, where one is.
    Param,
    Status,
    /// Why a stream ends: `content_filter` or `error`.
    Finish,
    /// What the assistant says.
    Text,
    /// The model that the request names.
    Model,
    /// An id that no other answer has.
    Id,
}

/// JSON on one line, in pieces.
#[derive(Debug, Clone)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone)]
enum Piece {
    Json(Box<str>),
    Word(Word),
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error(transparent)]
    Json(#[from] JsonError),
    #[error("it has no place for `{{{0}}}`")]
    Unknown(String),
}

impl Word {
    pub const REFUSAL: &[Word] = &[Word::Message, Word::Code, Word::Type, Word::Param, Word::Status, Word::Id];
    pub const CUT: &[Word] = &[Word::Finish, Word::Message, Word::Code, Word::Id];
    pub const REPLY: &[Word] = &[Word::Text, Word::Model, Word::Id];

    pub fn as_str(self) -> &'static str {
        match self {
            Word::Message => "message",
            Word::Code => "code",
            Word::Type => "type",
            Word::Param => "param",
            Word::Status => "status",
            Word::Finish => "finish",
            Word::Text => "text",
            Word::Model => "model",
            Word::Id => "id",
        }
    }
}

impl Template {
    /// Reads JSON with `{word}` in its strings, each of them one of `words`.
    pub fn parse(json: &str, words: &[Word]) -> Result<Self, TemplateError> {
        Document::parse(json.as_bytes().to_vec(), &Limits::default())?;
        let document = Document::parse(one_line(json.as_bytes()), &Limits::default())?;
        // Sound JSON is UTF-8.
        let source = String::from_utf8_lossy(document.source());
        let (mut pieces, mut copied) = (Vec::new(), 0);
        for string in strings(document.root()) {
            let mut at = string.span().start;
            while let Some((start, name)) = placeholder(&source[at..string.span().end]) {
                let word = words.iter().find(|word| word.as_str() == name);
                let word = *word.ok_or_else(|| TemplateError::Unknown(name.to_owned()))?;
                pieces.extend([Piece::Json(source[copied..at + start].into()), Piece::Word(word)]);
                at += start + name.len() + 2;
                copied = at;
            }
        }
        pieces.push(Piece::Json(source[copied..].into()));
        Ok(Template(pieces))
    }

    /// The JSON with these words in it.
    pub fn fill<'a>(&self, value: impl Fn(Word) -> Cow<'a, str>) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Json(json) => out += json,
                Piece::Word(word) => {
                    let quoted = json_text(&value(*word));
                    out += &quoted[1..quoted.len() - 1];
                }
            }
        }
        out
    }

    pub fn has(&self, word: Word) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Word(own) if *own == word))
    }
}

/// The strings of a document that are no keys, in order.
fn strings<'d>(value: Value<'d>) -> Vec<Value<'d>> {
    match value.kind() {
        Type::String => vec![value],
        Type::Object => value.members().flat_map(|(_, member)| strings(member)).collect(),
        _ => value.elements().flat_map(strings).collect(),
    }
}

/// The first `{name}` and where it starts. Braces around anything else are text.
fn placeholder(text: &str) -> Option<(usize, &str)> {
    text.match_indices('{').find_map(|(start, _)| {
        let (name, _) = text[start + 1..].split_once('}')?;
        let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        is_name.then_some((start, name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_stand_in_strings_and_nowhere_else() {
        let template =
            Template::parse("{\n \"a{code}\": \"x {message}{code} {} {A}\",\n \"b\": [1, \"{id}\"] }", Word::REFUSAL)
                .unwrap();
        let filled = template.fill(|word| format!("<{}>", word.as_str()).into());
        assert_eq!(filled, r#"{"a{code}":"x <message><code> {} {A}","b":[1,"<id>"]}"#);
        assert!(template.has(Word::Message) && !template.has(Word::Text));
        for (json, wrong) in [
            (r#"{"a": "{text}"}"#, "it has no place for `{text}`"),
            (r#"{"a": {message}}"#, "not JSON"),
            (r#"{"a": 1,}"#, "not JSON"),
            (r#"{"a": 1, "a": 2}"#, "not JSON"),
            ("", "not JSON"),
        ] {
            let error = Template::parse(json, Word::REFUSAL).unwrap_err();
            assert_eq!(matches!(error, TemplateError::Json(_)), wrong == "not JSON", "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_comes_of_a_template_is_json_on_one_line(message in any::<String>(), prefix in "[a-z {}\u{e9}]{0,6}") {
            let json = serde_json::json!({ "error": format!("{prefix} {{message}}"), "n": 1 }).to_string();
            // What the prefix has of braces may be a word that there is not.
            if let Ok(template) = Template::parse(&json, &[Word::Message]) {
                let filled = template.fill(|_| message.as_str().into());
                let read: serde_json::Value = serde_json::from_str(&filled).unwrap();
                prop_assert_eq!(&read["error"], &serde_json::Value::from(format!("{prefix} {message}")));
                let breaks = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];
                prop_assert!(!filled.contains(breaks));
            }
        }
    }
}
