//! Query parameters that a judged route takes. Whatever is not on its list is refused: to some upstreams a parameter gives the
//! answer another form, or names another method.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::Deserializer;

use crate::config::value::text;

/// Bytes of a parameter's name and of its value, at most.
const MAX: usize = 128;

/// Parameters that say who asks: a key is no word.
const CREDENTIALS: [&str; 4] = ["api-key", "api_key", "key", "subscription-key"];

/// A parameter: `api-version`, with any plain value, or `alt=sse`, with this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    pub name: Box<str>,
    pub value: Option<Box<str>>,
}

/// The parameters that a route takes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query(Arc<[Parameter]>);

impl Parameter {
    fn parse(text: &str) -> Option<Self> {
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let sound = is_plain(name) && value.is_none_or(is_plain);
        sound.then(|| Parameter { name: name.into(), value: value.map(Into::into) })
    }

    fn takes(&self, name: &str, value: &str) -> bool {
        *self.name == *name && self.value.as_deref().map_or_else(|| is_plain(value), |own| own == value)
    }
}

impl Query {
    pub fn new(parameters: Vec<Parameter>) -> Self {
        Query(parameters.into())
    }

    /// Whether a request's query is one that the route takes: each parameter on the list, once, with a plain value. Plain
    /// is without escapes, so that it has one reading.
    pub fn takes(&self, query: &str) -> bool {
        let mut seen = Vec::new();
        query.split('&').all(|parameter| {
            parameter.split_once('=').is_some_and(|(name, value)| {
                let new = !seen.contains(&name);
                seen.push(name);
                new && self.0.iter().any(|parameter| parameter.takes(name, value))
            })
        })
    }

    /// What a query that the route takes says in its client's own words.
    pub fn words<'q>(&self, query: &'q str) -> impl Iterator<Item = &'q str> {
        let is_open = |name: &str| {
            !CREDENTIALS.contains(&name) && self.0.iter().any(|own| *own.name == *name && own.value.is_none())
        };
        let parameters = query.split('&').filter_map(|parameter| parameter.split_once('='));
        parameters.filter(move |(name, _)| is_open(name)).map(|(_, value)| value)
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.value.as_deref().map_or(Ok(()), |value| write!(f, "={value}"))
    }
}

impl<'de> Deserialize<'de> for Parameter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a query parameter such as \"api-version\", or with the one value that it may have such as \
                        \"alt=sse\": letters, digits, `-`, `_`, `.` and `:`";
        text(deserializer, expected, Parameter::parse)
    }
}

fn is_plain(text: &str) -> bool {
    (1..=MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_is_on_the_list_once_and_plain() {
        let query = Query::new(["api-version", "alt=sse", "key"].map(|text| Parameter::parse(text).unwrap()).to_vec());
        for good in ["api-version=2024-10-21", "alt=sse", "alt=sse&key=AIza-_9", "key=a&api-version=v1&alt=sse"] {
            assert!(query.takes(good), "{good}");
        }
        for bad in [
            "",
            "&",
            "alt",
            "alt=",
            "=sse",
            "alt=json",
            "alt=SSE",
            "ALT=sse",
            "alt=sse&",
            "&alt=sse",
            "alt=sse&alt=sse",
            "alt=sse&alt=proto",
            "$alt=sse",
            "%61lt=sse",
            "alt=%73se",
            "alt=sse;key=a",
            "key=a+b",
            "key=a%20b",
            "key=a b",
            "callback=f",
            "fields=a",
            "prettyPrint=true",
            "key=a=b",
            "key=a?alt=proto",
            "key=a#b",
            "alt[]=sse",
            "_method=DELETE",
        ] {
            assert!(!query.takes(bad), "{bad}");
        }
        assert!(
            query.takes(&format!("key={}", "a".repeat(MAX))) && !query.takes(&format!("key={}", "a".repeat(MAX + 1)))
        );
        assert!(!Query::default().takes("alt=sse") && !Query::default().takes(""));
    }

    #[test]
    fn parameters_are_plain() {
        for text in ["alt=sse", "api-version", "a.b_c"] {
            assert_eq!(Parameter::parse(text).unwrap().to_string(), text);
        }
        for bad in ["", "=", "a=", "=a", "a=b=c", "a b", "$alt", "a&b", "a%20", "\u{e9}", "a;b"] {
            assert!(Parameter::parse(bad).is_none(), "{bad}");
        }
    }
}
