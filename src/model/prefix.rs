//! Kept beginnings: the caches of prompts' shared parts, so that a policy is read once and not for every text.

use crate::model::KvCache;

/// Caches by their tokens; the least recently used leave when there are too many positions.
pub struct Prefixes {
    /// The most recently used is last.
    entries: Vec<(Vec<u32>, KvCache)>,
    /// Positions kept, at most.
    room: usize,
}

impl Prefixes {
    pub fn new(room: usize) -> Self {
        Prefixes { entries: Vec::new(), room }
    }

    /// The cache of exactly these tokens.
    pub fn find(&mut self, tokens: &[u32]) -> Option<&KvCache> {
        let at = self.entries.iter().position(|(kept, _)| kept == tokens)?;
        let entry = self.entries.remove(at);
        self.entries.push(entry);
        self.entries.last().map(|(_, cache)| cache)
    }

    /// Keeps a cache of these tokens that [`Self::find`] did not find.
    pub fn keep(&mut self, tokens: Vec<u32>, cache: KvCache) {
        if tokens.is_empty() || tokens.len() > self.room {
            return;
        }
        self.entries.push((tokens, cache));
        let mut positions: usize = self.entries.iter().map(|(kept, _)| kept.len()).sum();
        // The entry just made fits alone, so this ends before it.
        while positions > self.room {
            positions -= self.entries.remove(0).0.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::tests::safeguard_20b;
    use crate::model::{Dtype, Place};

    #[test]
    fn the_least_recently_used_leaves() {
        let cache = || KvCache::new(&safeguard_20b(), Place::new("cpu", Dtype::Float32, 0).unwrap());
        let mut prefixes = Prefixes::new(10);
        for tokens in [vec![1; 4], vec![2; 4]] {
            prefixes.keep(tokens, cache());
        }
        assert!(prefixes.find(&[1; 4]).is_some());
        prefixes.keep(vec![3; 4], cache());
        assert!(prefixes.find(&[2; 4]).is_none());
        assert!(prefixes.find(&[1; 4]).is_some() && prefixes.find(&[3; 4]).is_some());
        prefixes.keep(vec![4; 11], cache());
        assert!(prefixes.find(&[4; 11]).is_none() && prefixes.find(&[3; 4]).is_some());
    }
}
