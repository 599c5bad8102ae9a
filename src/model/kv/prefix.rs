//! Kept beginnings: caches of finished sequences by their tokens, so that a policy is read once and not for every text,
//! and a growing text once and not for every verdict.

use std::sync::Arc;

use crate::model::kv::KvCache;
use crate::model::{Figures, Pins};

/// Beginnings kept, at most: bounds a look-up. Their pages are bounded by the store.
const ENTRIES: usize = 512;

/// Caches by their tokens. They share pages with each other and with the sequences that run.
pub struct Prefixes {
    entries: Vec<Entry>,
    pins: Arc<Pins>,
    window: usize,
    /// Counts look-ups; an entry's last use is told in it.
    clock: u64,
    figures: Arc<Figures>,
}

struct Entry {
    tokens: Vec<u32>,
    cache: KvCache,
    kind: Beginning,
    used: u64,
}

/// Why a beginning is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// Many prompts begin so.
    Shared,
    /// One text, which may come back longer.
    Growing,
}

impl Prefixes {
    /// `window` is that of the sliding layers.
    pub fn new(window: usize, pins: Arc<Pins>, figures: Arc<Figures>) -> Self {
        Prefixes { entries: Vec::new(), pins, window, clock: 0, figures }
    }

    /// What is kept of the longest beginning of these tokens, at most `most` of them.
    pub fn find(&mut self, tokens: &[u32], most: usize) -> Option<KvCache> {
        self.clock += 1;
        let common = |entry: &Entry| entry.tokens.iter().zip(tokens).take(most).take_while(|(a, b)| a == b).count();
        let mut found: Vec<(usize, usize)> = self.entries.iter().map(common).zip(0..).filter(|&(n, _)| n > 0).collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.into_iter().find_map(|(common, index)| {
            let fork = self.entries[index].cache.fork(common, self.window)?;
            self.entries[index].used = self.clock;
            Some(fork)
        })
    }

    /// Whether exactly these tokens are kept.
    pub fn has(&self, tokens: &[u32]) -> bool {
        self.entries.iter().any(|entry| entry.tokens == tokens)
    }

    /// Keeps the cache of exactly these tokens. A growing text takes the place of what it has grown from.
    pub fn keep(&mut self, tokens: &[u32], cache: KvCache, kind: Beginning) {
        if tokens.is_empty() || cache.len() != tokens.len() {
            return;
        }
        self.clock += 1;
        if let Some(same) = self.entries.iter_mut().find(|entry| entry.tokens == tokens) {
            same.used = self.clock;
            return;
        }
        let outgrown = |entry: &Entry| entry.kind == Beginning::Growing && tokens.starts_with(&entry.tokens);
        self.entries.retain(|entry| kind != Beginning::Growing || !outgrown(entry));
        if self.entries.len() >= ENTRIES && !self.evict(false) {
            self.evict(true);
        }
        self.entries.push(Entry { tokens: tokens.to_vec(), cache, kind, used: self.clock });
    }

    /// Lets go of the one least recently used among those that are pinned, or among those that are not; says whether there
    /// was one. Its pages are free if nobody else holds them.
    pub fn evict(&mut self, pinned: bool) -> bool {
        let of_kind = |&index: &usize| self.pins.holds(&self.entries[index].tokens) == pinned;
        let least = (0..self.entries.len()).filter(of_kind).min_by_key(|&index| self.entries[index].used);
        if let Some(index) = least {
            self.entries.swap_remove(index);
            self.figures.evicted();
        }
        least.is_some()
    }
}
