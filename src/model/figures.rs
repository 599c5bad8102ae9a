//! What an engine has done: counters that any thread may read.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counted from the engine's start.
#[derive(Debug, Default)]
pub struct Figures {
    prompt_tokens: AtomicU64,
    hit_tokens: AtomicU64,
    computed_tokens: AtomicU64,
    steps: AtomicU64,
    evictions: AtomicU64,
    preemptions: AtomicU64,
    kv_bytes: AtomicU64,
    kv_capacity: AtomicU64,
    running: AtomicU64,
}

/// The figures at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// Of the prompts that were started.
    pub prompt_tokens: u64,
    /// Of these, found among the kept beginnings.
    pub hit_tokens: u64,
    /// That went through the model.
    pub computed_tokens: u64,
    pub steps: u64,
    /// Kept beginnings that had to go.
    pub evictions: u64,
    /// Sequences that had to begin again for lack of room.
    pub preemptions: u64,
    /// Of keys and values, kept and running.
    pub kv_bytes: u64,
    pub kv_capacity: u64,
    /// Sequences under way, and asks that wait for it.
    pub running: u64,
    pub waiting: u64,
}

impl Figures {
    /// `waiting`: the length of the queue, which keeps its own count.
    pub fn snapshot(&self, waiting: usize) -> Snapshot {
        let get = |figure: &AtomicU64| figure.load(Relaxed);
        Snapshot {
            prompt_tokens: get(&self.prompt_tokens),
            hit_tokens: get(&self.hit_tokens),
            computed_tokens: get(&self.computed_tokens),
            steps: get(&self.steps),
            evictions: get(&self.evictions),
            preemptions: get(&self.preemptions),
            kv_bytes: get(&self.kv_bytes),
            kv_capacity: get(&self.kv_capacity),
            running: get(&self.running),
            waiting: waiting as u64,
        }
    }

    pub(super) fn started(&self, prompt: usize, hit: usize) {
        self.prompt_tokens.fetch_add(prompt as u64, Relaxed);
        self.hit_tokens.fetch_add(hit as u64, Relaxed);
    }

    pub(super) fn stepped(&self, tokens: usize) {
        self.steps.fetch_add(1, Relaxed);
        self.computed_tokens.fetch_add(tokens as u64, Relaxed);
    }

    pub(super) fn evicted(&self) {
        self.evictions.fetch_add(1, Relaxed);
    }

    pub(super) fn preempted(&self) {
        self.preemptions.fetch_add(1, Relaxed);
    }

    pub(super) fn holds(&self, kv_bytes: usize, kv_capacity: usize, running: usize) {
        self.kv_bytes.store(kv_bytes as u64, Relaxed);
        self.kv_capacity.store(kv_capacity as u64, Relaxed);
        self.running.store(running as u64, Relaxed);
    }
}
