//! The choices of a stream: which there are, which have finished, and what each chunk repeats.

use std::collections::BTreeSet;

use crate::wire::answer::Moment;
use crate::wire::json::Value;
use crate::wire::openai::reply::Header;
use crate::wire::shape::{is_word, unexpected};
use crate::wire::{Framing, WireError};

/// What a stream has told of its choices so far.
pub struct Choices {
    framing: Framing,
    /// What its id begins with, where the proxy has to give it one.
    family: &'static str,
    /// Choices that an answer may have.
    max: u32,
    /// From the first chunk.
    header: Option<Header>,
    seen: BTreeSet<u32>,
    finished: BTreeSet<u32>,
    /// The stream has reported an error: it may end without more ado.
    failed: bool,
}

impl Choices {
    pub fn new(framing: Framing, family: &'static str, max: u32) -> Self {
        let (seen, finished) = (BTreeSet::new(), BTreeSet::new());
        Choices { framing, family, max, header: None, seen, finished, failed: false }
    }

    /// Takes note of a chunk. It must wait for the final verdict where a choice finishes, where `last` says so of one, and
    /// where it is nothing but the usage. Running usage does not make it: some upstreams put it on every chunk.
    pub fn note(&mut self, chunk: Value<'_>, last: fn(Value<'_>) -> bool) -> Result<Moment, WireError> {
        if !self.is_stream() {
            return Err(unexpected(chunk, "a stream of server-sent events"));
        }
        if self.header.is_none() {
            self.header = Some(header_of(chunk, self.family));
        }
        let failed = chunk.get("error").is_some_and(|error| !error.is_null())
            || chunk.get("object").is_some_and(|name| name.is("error"));
        self.failed |= failed;
        let (mut none, mut waits) = (true, failed);
        for choice in chunk.get("choices").into_iter().flat_map(Value::elements) {
            none = false;
            let index = self.index(choice)?;
            self.seen.insert(index);
            // Some upstreams have an empty one in every chunk.
            if choice.get("finish_reason").is_some_and(|reason| !reason.is_null() && !reason.is("")) {
                self.finished.insert(index);
                waits = true;
            }
            waits |= last(choice);
        }
        waits |= none && chunk.get("usage").is_some_and(|usage| !usage.is_null());
        Ok(if waits { Moment::Last } else { Moment::Passing })
    }

    pub fn is_stream(&self) -> bool {
        self.framing == Framing::Sse
    }

    /// The index of a choice.
    pub fn index(&self, choice: Value<'_>) -> Result<u32, WireError> {
        let index = choice.get("index").and_then(Value::u32).filter(|index| *index < self.max);
        index.ok_or_else(|| unexpected(choice, &format!("a choice with an `index` below {}", self.max)))
    }

    pub fn may_end(&self) -> bool {
        self.failed || (!self.seen.is_empty() && self.seen == self.finished)
    }

    /// What the stream's chunks repeat; before anything of it has left, a header of our own.
    pub fn header(&self, written: bool) -> Header {
        self.header.clone().filter(|_| written).unwrap_or_else(|| Header::new(self.family, ""))
    }

    /// The choices that a block has to end: to the client every one is still open, since none finishes before the final
    /// verdict.
    pub fn open(&self) -> impl Iterator<Item = u32> {
        self.seen.iter().copied().chain(self.seen.is_empty().then_some(0))
    }
}

/// Id, time and model of a stream, as far as they can be nothing but that.
fn header_of(root: Value<'_>, family: &str) -> Header {
    let own = Header::new(family, "");
    let word = |name| {
        root.get(name)
            .filter(|value| value.text().is_some_and(|text| is_word(&text)))
            .map(|value| value.raw().to_owned())
    };
    let created = root.get("created").and_then(Value::u32).map(|seconds| seconds.to_string());
    Header {
        id: word("id").unwrap_or(own.id),
        created: created.unwrap_or(own.created),
        model: word("model").unwrap_or(own.model),
    }
}
