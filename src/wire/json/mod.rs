//! Strict JSON, read once and edited in place: what two readers could take differently is refused.
//!
//! A [`Document`] is the bytes as they came and one small node for each value, in document order. Numbers stay text, strings
//! are decoded when asked for, and [`Document::render`] copies every byte that no [`Patch`] touches.

mod patch;
mod scan;
mod string;
#[cfg(test)]
mod tests;

pub use patch::{Patch, one_line};
pub use string::{escape, json_text, unescape};

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

/// Bounds on one document.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Arrays and objects within one another.
    pub depth: usize,
    /// Values and object keys. A node costs 16 bytes.
    pub nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { depth: 64, nodes: 1 << 20 }
    }
}

/// Where a document is not strict JSON, and why. Says nothing of the content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not strict JSON at byte {offset}: {fault}")]
pub struct JsonError {
    /// Byte offset into the source.
    pub offset: usize,
    pub fault: Fault,
}

/// What is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("expected {0}")]
    Expected(&'static str),
    #[error("the text is not UTF-8")]
    Utf8,
    #[error("a byte order mark is not allowed")]
    Bom,
    #[error("a control character in a string must be escaped")]
    Control,
    #[error("half of a surrogate pair stands alone")]
    Surrogate,
    #[error("the object has this key twice")]
    Duplicate,
    #[error("the number is too large for a double")]
    Infinite,
    #[error("nested more than {0} deep")]
    Depth(usize),
    #[error("more than {0} values")]
    Nodes(usize),
    #[error("longer than 4 GiB")]
    Length,
}

/// A parsed document.
#[derive(Debug, Clone)]
pub struct Document {
    /// Valid UTF-8: the scanner has checked it.
    source: Bytes,
    /// In document order; the keys of an object stand before their values. Never empty.
    nodes: Vec<Node>,
}

/// Names a value or an object key within its document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

/// The JSON types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    kind: Type,
    /// A string that has a backslash.
    escaped: bool,
    /// Byte range in the source; of a string, with its quotes.
    start: u32,
    end: u32,
    /// The first node that is not inside this one.
    after: u32,
}

/// One value of a document, or one key of an object (which reads as a string).
#[derive(Debug, Clone, Copy)]
pub struct Value<'d> {
    document: &'d Document,
    at: u32,
}

impl Document {
    /// Reads `source`, which must be one JSON value and nothing else but white space.
    pub fn parse(source: impl Into<Bytes>, limits: &Limits) -> Result<Self, JsonError> {
        let source = source.into();
        let nodes = scan::scan(&source, limits)?;
        Ok(Document { source, nodes })
    }

    pub fn root(&self) -> Value<'_> {
        Value { document: self, at: 0 }
    }

    /// The bytes as they came.
    pub fn source(&self) -> &Bytes {
        &self.source
    }

    /// The value or key of an id that this document gave out.
    pub fn value(&self, id: NodeId) -> Value<'_> {
        Value { document: self, at: id.0 }
    }

    /// Where a node stands, for messages: `messages[2].content[0].text`. A key that is not a plain word, as
    /// the APIs write theirs, is content, and written as `*`.
    pub fn path(&self, id: NodeId) -> String {
        let mut path = String::new();
        let mut here = self.root();
        while here.at != id.0 {
            let holds = |value: &Value<'_>| (value.at..value.node().after).contains(&id.0);
            let next = match here.kind() {
                Type::Object => {
                    here.members().find(|(key, value)| key.at == id.0 || holds(value)).map(|(key, value)| {
                        if !path.is_empty() {
                            path.push('.');
                        }
                        let word = key
                            .text()
                            .filter(|k| k.len() <= 32 && k.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_'))
                            .filter(|k| k.starts_with(|c: char| c.is_ascii_lowercase()));
                        path.push_str(word.as_deref().unwrap_or("*"));
                        if key.at == id.0 { key } else { value }
                    })
                }
                Type::Array => here.elements().enumerate().find(|(_, value)| holds(value)).map(|(index, value)| {
                    path.push_str(&format!("[{index}]"));
                    value
                }),
                _ => None,
            };
            match next {
                Some(value) => here = value,
                None => break,
            }
        }
        path
    }
}

impl<'d> Value<'d> {
    pub fn id(self) -> NodeId {
        NodeId(self.at)
    }

    pub fn document(self) -> &'d Document {
        self.document
    }

    pub fn kind(self) -> Type {
        self.node().kind
    }

    pub fn is_null(self) -> bool {
        self.kind() == Type::Null
    }

    /// Where the value stands in the source; of a string, with its quotes.
    pub fn span(self) -> Range<usize> {
        self.node().start as usize..self.node().end as usize
    }

    /// The bytes of the value as they came.
    pub fn raw(self) -> &'d str {
        self.slice(self.node().start, self.node().end)
    }

    /// The decoded text of a string.
    pub fn text(self) -> Option<Cow<'d, str>> {
        let node = self.node();
        if node.kind != Type::String {
            return None;
        }
        // A string's span has both its quotes.
        let inner = self.slice(node.start + 1, node.end - 1);
        Some(if node.escaped { Cow::Owned(unescape(inner)) } else { Cow::Borrowed(inner) })
    }

    pub fn bool(self) -> Option<bool> {
        (self.kind() == Type::Bool).then(|| self.raw() == "true")
    }

    /// A number that is written as a whole number of at most 32 bits.
    pub fn u32(self) -> Option<u32> {
        (self.kind() == Type::Number).then(|| self.raw().parse().ok()).flatten()
    }

    /// Key and value of each member of an object, in order; nothing for other types.
    pub fn members(self) -> impl Iterator<Item = (Value<'d>, Value<'d>)> {
        let mut children = self.children(Type::Object);
        std::iter::from_fn(move || children.next().zip(children.next()))
    }

    /// Each element of an array; nothing for other types.
    pub fn elements(self) -> impl Iterator<Item = Value<'d>> {
        self.children(Type::Array)
    }

    /// The member of an object that has this key.
    pub fn get(self, key: &str) -> Option<Value<'d>> {
        self.members().find(|(name, _)| name.is(key)).map(|(_, value)| value)
    }

    /// Whether this is the string `text`.
    pub fn is(self, text: &str) -> bool {
        let Node { kind, escaped, start, end, .. } = *self.node();
        match (kind, escaped) {
            // Between its quotes.
            (Type::String, false) => &self.document.source[start as usize + 1..end as usize - 1] == text.as_bytes(),
            (Type::String, true) => self.text().is_some_and(|own| own == text),
            _ => false,
        }
    }

    fn children(self, kind: Type) -> impl Iterator<Item = Value<'d>> {
        let Node { kind: own, after, .. } = *self.node();
        let mut next = self.at + 1;
        std::iter::from_fn(move || {
            if own != kind || next >= after {
                return None;
            }
            let child = Value { at: next, ..self };
            next = child.node().after;
            Some(child)
        })
    }

    fn node(self) -> &'d Node {
        // Ids are given out by the document itself, and its nodes never change.
        &self.document.nodes[self.at as usize]
    }

    fn slice(self, start: u32, end: u32) -> &'d str {
        // Spans end at ASCII bytes of a source that the scanner has found to be UTF-8.
        std::str::from_utf8(&self.document.source[start as usize..end as usize])
            .expect("spans lie on character boundaries")
    }
}
