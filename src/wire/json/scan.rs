//! The scanner: one pass over the bytes, an explicit stack, one node for each value. Linear on hostile input too.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::wire::json::string::{plain_run, unescape};
use crate::wire::json::{Fault, JsonError, Limits, Node, Type};

/// Objects with more members than this have their keys sorted to find one that comes twice; fewer are compared pairwise.
const PAIRWISE: usize = 8;

/// The nodes of a strict JSON document, in document order.
pub(super) fn scan(source: &[u8], limits: &Limits) -> Result<Vec<Node>, JsonError> {
    if u32::try_from(source.len()).is_err() {
        return Err(JsonError { offset: 0, fault: Fault::Length });
    }
    if source.starts_with(b"\xef\xbb\xbf") {
        return Err(JsonError { offset: 0, fault: Fault::Bom });
    }
    if let Err(error) = std::str::from_utf8(source) {
        return Err(JsonError { offset: error.valid_up_to(), fault: Fault::Utf8 });
    }
    let nodes = Vec::with_capacity((source.len() / 8).min(4096));
    let mut scanner = Scanner { source, at: 0, nodes, open: Vec::new(), limits };
    scanner.document()?;
    Ok(scanner.nodes)
}

struct Scanner<'s> {
    source: &'s [u8],
    at: usize,
    nodes: Vec<Node>,
    /// The containers that are open.
    open: Vec<Open>,
    limits: &'s Limits,
}

struct Open {
    node: usize,
    members: usize,
}

impl Scanner<'_> {
    fn document(&mut self) -> Result<(), JsonError> {
        self.space();
        loop {
            if self.value()? {
                continue;
            }
            // A value is complete: close what ends here, up to where the next value starts.
            loop {
                self.space();
                let Some(open) = self.open.last_mut() else {
                    return if self.at == self.source.len() {
                        Ok(())
                    } else {
                        self.expected("the end of the document")
                    };
                };
                let object = self.nodes[open.node].kind == Type::Object;
                match (object, self.source.get(self.at)) {
                    (_, Some(b',')) => {
                        open.members += 1;
                        self.at += 1;
                        self.space();
                        if object {
                            self.key()?;
                        }
                        break;
                    }
                    (true, Some(b'}')) | (false, Some(b']')) => self.close()?,
                    (true, _) => return self.expected("`,` or `}`"),
                    (false, _) => return self.expected("`,` or `]`"),
                }
            }
        }
    }

    /// Reads a scalar, an empty container, or the opening of a container up to its first value; says whether a value follows.
    fn value(&mut self) -> Result<bool, JsonError> {
        match self.source.get(self.at) {
            Some(b'"') => self.string().map(|()| false),
            Some(b'{') => {
                self.open(Type::Object)?;
                if self.source.get(self.at) == Some(&b'}') {
                    return self.close().map(|()| false);
                }
                self.key().map(|()| true)
            }
            Some(b'[') => {
                self.open(Type::Array)?;
                if self.source.get(self.at) == Some(&b']') {
                    return self.close().map(|()| false);
                }
                Ok(true)
            }
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| false),
            Some(b't') => self.word(b"true", Type::Bool).map(|()| false),
            Some(b'f') => self.word(b"false", Type::Bool).map(|()| false),
            Some(b'n') => self.word(b"null", Type::Null).map(|()| false),
            _ => self.expected("a value"),
        }
    }

    fn open(&mut self, kind: Type) -> Result<(), JsonError> {
        if self.open.len() >= self.limits.depth {
            return self.fault(Fault::Depth(self.limits.depth));
        }
        self.open.push(Open { node: self.nodes.len(), members: 1 });
        self.push(kind, self.at, self.at + 1, false)?;
        self.at += 1;
        self.space();
        Ok(())
    }

    fn close(&mut self) -> Result<(), JsonError> {
        self.at += 1;
        // Called only where a container is open.
        let Some(Open { node, members }) = self.open.pop() else { return Ok(()) };
        self.nodes[node].end = self.at as u32;
        self.nodes[node].after = self.nodes.len() as u32;
        if self.nodes[node].kind == Type::Object && members > 1 { self.unique(node, members) } else { Ok(()) }
    }

    fn key(&mut self) -> Result<(), JsonError> {
        if self.source.get(self.at) != Some(&b'"') {
            return self.expected("a key in double quotes");
        }
        self.string()?;
        self.space();
        if self.source.get(self.at) != Some(&b':') {
            return self.expected("`:`");
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    fn string(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        let mut escaped = false;
        self.at += 1;
        loop {
            self.at = plain_run(self.source, self.at);
            match self.source.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return self.push(Type::String, start, self.at, escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return self.fault(Fault::Control),
                None => return self.expected("`\"` at the end of a string"),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        match self.source.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => match self.hex(self.at)? {
                0xd800..=0xdbff => match self.source.get(self.at + 6..self.at + 8) {
                    Some(b"\\u") if (0xdc00..=0xdfff).contains(&self.hex(self.at + 6)?) => self.at += 12,
                    _ => return self.fault(Fault::Surrogate),
                },
                0xdc00..=0xdfff => return self.fault(Fault::Surrogate),
                _ => self.at += 6,
            },
            _ => return self.expected("an escape of JSON after `\\`"),
        }
        Ok(())
    }

    /// The code unit of `\uXXXX` at `at`.
    fn hex(&self, at: usize) -> Result<u32, JsonError> {
        let digits = self.source.get(at + 2..at + 6).unwrap_or_default();
        let unit = digits.iter().try_fold(0, |unit, &digit| Some(unit * 16 + char::from(digit).to_digit(16)?));
        match unit {
            Some(unit) if digits.len() == 4 => Ok(unit),
            _ => Err(JsonError { offset: at, fault: Fault::Expected("four hex digits after `\\u`") }),
        }
    }

    fn number(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        if self.source[start] == b'-' {
            self.at += 1;
        }
        let whole = match self.source.get(self.at) {
            Some(b'0') => {
                self.at += 1;
                1
            }
            _ => self.digits()?,
        };
        if self.source.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        let exponent = matches!(self.source.get(self.at), Some(b'e' | b'E'));
        if exponent {
            self.at += 1;
            if matches!(self.source.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        // Only these can pass the largest double.
        if exponent || whole > 300 {
            let value =
                std::str::from_utf8(&self.source[start..self.at]).ok().and_then(|text| text.parse::<f64>().ok());
            if !value.is_some_and(f64::is_finite) {
                return Err(JsonError { offset: start, fault: Fault::Infinite });
            }
        }
        self.push(Type::Number, start, self.at, false)
    }

    /// Reads one digit or more; how many.
    fn digits(&mut self) -> Result<usize, JsonError> {
        let count = self.source[self.at..].iter().take_while(|b| b.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { self.expected("a digit") } else { Ok(count) }
    }

    fn word(&mut self, word: &[u8], kind: Type) -> Result<(), JsonError> {
        if !self.source[self.at..].starts_with(word) {
            return self.expected("a value");
        }
        let start = self.at;
        self.at += word.len();
        self.push(kind, start, self.at, false)
    }

    fn push(&mut self, kind: Type, start: usize, end: usize, escaped: bool) -> Result<(), JsonError> {
        if self.nodes.len() >= self.limits.nodes {
            return self.fault(Fault::Nodes(self.limits.nodes));
        }
        // The source is shorter than 4 GiB, and has at most one node for each byte.
        self.nodes.push(Node {
            kind,
            escaped,
            start: start as u32,
            end: end as u32,
            after: self.nodes.len() as u32 + 1,
        });
        Ok(())
    }

    /// Refuses an object that has a key twice, whichever way the two are escaped.
    fn unique(&self, object: usize, members: usize) -> Result<(), JsonError> {
        let mut next = object + 1;
        let keys = std::iter::from_fn(|| {
            let key = self.nodes.get(next).filter(|_| next < self.nodes[object].after as usize)?;
            // A value always follows its key.
            next = self.nodes[next + 1].after as usize;
            Some((self.key_text(key), key.start as usize))
        });
        let duplicate = |offset| Err(JsonError { offset, fault: Fault::Duplicate });
        if members <= PAIRWISE {
            let mut seen: [Option<Cow<'_, str>>; PAIRWISE] = Default::default();
            for (at, (key, offset)) in keys.enumerate() {
                if seen[..at].iter().any(|other| other.as_ref() == Some(&key)) {
                    return duplicate(offset);
                }
                seen[at] = Some(key);
            }
            return Ok(());
        }
        // The digest only makes comparing fast: keys made to share one are compared in full.
        let mut sorted: Vec<_> = keys.map(|(key, offset)| (digest(&key), key, offset)).collect();
        sorted.sort_unstable();
        match sorted.windows(2).find(|pair| pair[0].1 == pair[1].1) {
            Some(pair) => duplicate(pair[1].2),
            None => Ok(()),
        }
    }

    fn key_text(&self, key: &Node) -> Cow<'_, str> {
        // The whole source is UTF-8, and the quotes around the key are ASCII.
        let raw = std::str::from_utf8(&self.source[key.start as usize + 1..key.end as usize - 1]).unwrap_or_default();
        if key.escaped { Cow::Owned(unescape(raw)) } else { Cow::Borrowed(raw) }
    }

    fn space(&mut self) {
        while matches!(self.source.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expected<T>(&self, what: &'static str) -> Result<T, JsonError> {
        self.fault(Fault::Expected(what))
    }

    fn fault<T>(&self, fault: Fault) -> Result<T, JsonError> {
        Err(JsonError { offset: self.at, fault })
    }
}

fn digest(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}
