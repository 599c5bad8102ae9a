//! The strings of a request, to know them again in its answer: what the client said is no news to it.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use crate::wire::json::{Type, Value};

/// Strings, keys and numbers, as digests that nobody outside can foresee.
#[derive(Default)]
pub struct Known {
    digests: HashSet<u64>,
    hasher: RandomState,
}

impl Known {
    /// All of a body.
    pub fn of(body: Value<'_>) -> Self {
        let mut known = Known::default();
        known.learn(body);
        known
    }

    pub fn has(&self, text: &str) -> bool {
        self.digests.contains(&self.hasher.hash_one(text))
    }

    fn learn(&mut self, value: Value<'_>) {
        match value.kind() {
            Type::String => self.add(&value.text().unwrap_or_default()),
            Type::Number => self.add(value.raw()),
            Type::Object => value.members().for_each(|(key, member)| {
                self.add(&key.text().unwrap_or_default());
                self.learn(member);
            }),
            _ => value.elements().for_each(|element| self.learn(element)),
        }
    }

    fn add(&mut self, text: &str) {
        self.digests.insert(self.hasher.hash_one(text));
    }
}
