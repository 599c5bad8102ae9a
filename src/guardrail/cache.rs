//! The verdict cache: a text that was judged is not paid for again by the same judge, so that a conversation's old turns
//! cost nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};

use crate::guardrail::{Finding, Identity, Verdict};
use crate::policy::Nats;

/// Bytes that an ordinary entry may cost; one that is larger takes the place of several.
const ENTRY: usize = 512;

/// Verdicts by judge and text. Holds hashes of texts, never texts; errors are never kept.
///
/// Equal asks at the same time are each judged: were they to share one, an exchange whose client stalls could hold up
/// the verdicts of others.
pub struct VerdictCache {
    verdicts: Cache<Key, Verdict, Cost>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// SHA-256 over the identity, the text, and how much of it was decided before: some detectors look closer at the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

#[derive(Clone)]
struct Cost;

impl VerdictCache {
    /// A cache of at most `max_entries` verdicts and 512 bytes for each. Zero keeps nothing.
    pub fn new(max_entries: usize) -> Self {
        VerdictCache {
            verdicts: Cache::with_weighter(max_entries, (max_entries.saturating_mul(ENTRY)) as u64, Cost),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// Look-ups that found a verdict, since the start.
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// Look-ups that found none, since the start.
    pub fn misses(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }

    /// Verdicts kept now.
    pub fn entries(&self) -> usize {
        self.verdicts.len()
    }

    pub(super) fn get(&self, key: &Key) -> Option<Verdict> {
        let found = self.verdicts.get(key);
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    pub(super) fn keep(&self, key: Key, verdict: Verdict) {
        self.verdicts.insert(key, verdict);
    }
}

impl Key {
    /// Every field goes in behind its length, so that no two different judges or texts are read as one.
    pub(super) fn new(identity: &Identity, text: &str, fresh: usize) -> Self {
        let Identity { engine, model, policy, form, reasoning } = identity;
        let (id, digest) = policy.as_ref().map_or(("", ""), |policy| (&*policy.id, &*policy.digest));
        let mut hash = Sha256::new();
        hash.update([u8::from(policy.is_some())]);
        hash.update((fresh as u64).to_le_bytes());
        hash.update((reasoning.tokens() as u64).to_le_bytes());
        hash.update(reasoning.margin().map_or(0.0, Nats::get).to_le_bytes());
        for field in [engine, &**model, id, digest, form, reasoning.effort().as_str(), text] {
            hash.update((field.len() as u64).to_le_bytes());
            hash.update(field.as_bytes());
        }
        Key(hash.finalize().into())
    }
}

impl Weighter<Key, Verdict> for Cost {
    fn weight(&self, _: &Key, verdict: &Verdict) -> u64 {
        let bytes = |finding: &Finding| {
            let text = |text: &Option<std::sync::Arc<str>>| text.as_ref().map_or(0, |text| text.len());
            size_of::<Finding>()
                + finding.label.as_str().len()
                + size_of_val(finding.spans.as_slice())
                + finding.grounds.category.as_ref().map_or(0, |category| category.as_str().len())
                + text(&finding.grounds.rationale)
        };
        let scores = verdict.scores.iter().flat_map(|scores| scores.iter());
        let scores: usize = scores.map(|(label, score)| size_of_val(&(label, score)) + label.as_str().len()).sum();
        let safe: usize = verdict.safe.iter().map(|label| size_of_val(label) + label.as_str().len()).sum();
        let total = size_of::<(Key, Verdict)>() + verdict.findings.iter().map(bytes).sum::<usize>() + safe + scores;
        total.max(ENTRY) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guardrail::{Grounds, PolicyRef};
    use crate::policy::{Effort, Label, Reasoning};

    fn identity() -> Identity {
        let policy = PolicyRef { id: "p".into(), digest: "d".into() };
        Identity {
            engine: "libtorch",
            model: "m".into(),
            policy: Some(policy),
            form: "label",
            reasoning: Effort::Low.into(),
        }
    }

    fn verdict(rationale: usize) -> Verdict {
        let grounds = Grounds { rationale: Some("r".repeat(rationale).into()), ..Grounds::default() };
        let finding = Finding { grounds, ..Finding::new(Label::new("x"), vec![]) };
        Verdict { findings: vec![finding], ..Verdict::default() }
    }

    #[test]
    fn every_field_of_the_identity_and_the_text_make_the_key() {
        let same = identity();
        let changed = [
            Identity { engine: "remote", ..same.clone() },
            Identity { model: "n".into(), ..same.clone() },
            Identity { policy: None, ..same.clone() },
            Identity { policy: Some(PolicyRef { id: "q".into(), digest: "d".into() }), ..same.clone() },
            Identity { policy: Some(PolicyRef { id: "p".into(), digest: "e".into() }), ..same.clone() },
            // The same bytes, cut at another place.
            Identity { policy: Some(PolicyRef { id: "pd".into(), digest: "".into() }), ..same.clone() },
            Identity { form: "json", ..same.clone() },
            Identity { reasoning: Effort::None.into(), ..same.clone() },
            Identity { reasoning: Reasoning::new(Effort::Low, Some(9), None), ..same.clone() },
            Identity { reasoning: Effort::Adaptive.into(), ..same.clone() },
            Identity { reasoning: Reasoning::new(Effort::Adaptive, None, Nats::new(1.0)), ..same.clone() },
        ];
        let key = Key::new(&same, "text", 0);
        assert_eq!(key, Key::new(&identity(), "text", 0));
        assert_ne!(key, Key::new(&same, "texts", 0));
        assert_ne!(key, Key::new(&same, "text", 2));
        for other in changed {
            assert_ne!(key, Key::new(&other, "text", 0), "{other:?}");
        }
    }

    #[test]
    fn counts_what_it_finds_and_misses() {
        let cache = VerdictCache::new(8);
        let key = Key::new(&identity(), "text", 0);
        assert_eq!(cache.get(&key), None);
        cache.keep(key, verdict(3));
        assert_eq!(cache.get(&key), Some(verdict(3)));
        assert_eq!((cache.hits(), cache.misses(), cache.entries()), (1, 1, 1));
    }

    #[test]
    fn is_bounded_by_entries_and_by_bytes() {
        let fill = |max_entries: usize, size: usize| {
            let cache = VerdictCache::new(max_entries);
            (0..500).for_each(|n| cache.keep(Key::new(&identity(), &n.to_string(), 0), verdict(size)));
            cache.entries()
        };
        assert!((1..=64).contains(&fill(64, 1)));
        assert!(fill(64, ENTRY * 16) <= 4);
        assert_eq!(fill(64, ENTRY * 100), 0, "larger than all of the cache");
        assert_eq!(fill(0, 1), 0);
    }
}
