//! The ids of answers that have left as they were judged, by who may use them. In memory, bounded, the least recently used
//! forgotten first; outlives reloads.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Ids as keyed digests: neither they nor who may use them can be read from memory.
pub struct Seen {
    key: [[u8; 16]; 2],
    ids: Mutex<Ids>,
}

/// Who may use an id: one caller, in front of one upstream, under the same guardrails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Realm(pub [u8; 32]);

type Key = [u8; 32];

#[derive(Default)]
struct Ids {
    /// When each was remembered, and its place in `order`.
    known: HashMap<Key, (Instant, u64)>,
    /// The least recently used first.
    order: BTreeMap<u64, Key>,
    next: u64,
}

impl Seen {
    pub fn new() -> Self {
        // Random for the most part; nobody outside sees either.
        let key = [Uuid::now_v7().into_bytes(), Uuid::now_v7().into_bytes()];
        Seen { key, ids: Mutex::default() }
    }

    /// Remembers an id, `max` at most.
    pub fn remember(&self, realm: Realm, id: &str, now: Instant, max: usize) {
        let key = self.key(realm, id);
        let mut ids = self.ids();
        ids.forget(&key);
        ids.add(key, now);
        while ids.known.len() > max
            && let Some((_, oldest)) = ids.order.pop_first()
        {
            ids.known.remove(&oldest);
        }
    }

    /// Whether an id was remembered less than `ttl` ago.
    pub fn knows(&self, realm: Realm, id: &str, now: Instant, ttl: Duration) -> bool {
        let key = self.key(realm, id);
        let mut ids = self.ids();
        let Some(since) = ids.forget(&key) else { return false };
        let fresh = now.saturating_duration_since(since) < ttl;
        if fresh {
            ids.add(key, since);
        }
        fresh
    }

    /// The parts before the id have one length, so that no two read as one.
    fn key(&self, realm: Realm, id: &str) -> Key {
        let hash = Sha256::new().chain_update(self.key.as_flattened()).chain_update(realm.0);
        hash.chain_update(id).finalize().into()
    }

    /// A panic elsewhere leaves it whole: no step in between could.
    fn ids(&self) -> MutexGuard<'_, Ids> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Seen {
    fn default() -> Self {
        Self::new()
    }
}

impl Ids {
    fn add(&mut self, key: Key, since: Instant) {
        self.known.insert(key, (since, self.next));
        self.order.insert(self.next, key);
        self.next += 1;
    }

    /// Gives since when it was known.
    fn forget(&mut self, key: &Key) -> Option<Instant> {
        let (since, place) = self.known.remove(key)?;
        self.order.remove(&place);
        Some(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ONE: Realm = Realm([1; 32]);
    const OTHER: Realm = Realm([2; 32]);
    const TTL: Duration = Duration::from_secs(10);

    #[test]
    fn an_id_is_known_to_its_own_realm_for_its_time() {
        let (seen, now) = (Seen::new(), Instant::now());
        seen.remember(ONE, "resp_1", now, 10);
        let at = |seconds| now + Duration::from_secs(seconds);
        assert!(seen.knows(ONE, "resp_1", at(9), TTL));
        assert!(!seen.knows(OTHER, "resp_1", now, TTL) && !seen.knows(ONE, "resp_2", now, TTL));
        // Its use makes it no younger; being seen again does.
        assert!(!seen.knows(ONE, "resp_1", at(10), TTL));
        assert!(!seen.knows(ONE, "resp_1", now, TTL), "forgotten");
        seen.remember(ONE, "resp_1", at(10), 10);
        assert!(seen.knows(ONE, "resp_1", at(19), TTL));
    }

    proptest! {
        /// Against a list in the order of use.
        #[test]
        fn the_least_recently_used_goes_first(steps in prop::collection::vec((any::<bool>(), 0..6u8), 0..60), max in 1..5usize) {
            let (seen, now) = (Seen::new(), Instant::now());
            let mut model: Vec<u8> = Vec::new();
            for (remember, id) in steps {
                let known = model.contains(&id);
                if remember {
                    seen.remember(ONE, &id.to_string(), now, max);
                } else {
                    prop_assert_eq!(seen.knows(ONE, &id.to_string(), now, TTL), known);
                }
                if remember || known {
                    model.retain(|other| *other != id);
                    model.push(id);
                    model.drain(..model.len().saturating_sub(max));
                }
                let ids = seen.ids();
                prop_assert_eq!((ids.known.len(), ids.order.len()), (model.len(), model.len()));
            }
        }
    }
}
