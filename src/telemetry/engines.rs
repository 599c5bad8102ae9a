//! What the engines that run have done, as metrics.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;

use crate::telemetry::figures::{Figure, Reading};

/// An engine at one moment. Totals are counted from its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineReading {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Tokens of prompts that were begun; of these, those found among kept beginnings.
    pub prompt_tokens: u64,
    pub hit_tokens: u64,
    /// Tokens that went through the model, and in how many steps.
    pub computed_tokens: u64,
    pub steps: u64,
    /// Kept beginnings that had to go; asks that had to begin again.
    pub evictions: u64,
    pub preemptions: u64,
    /// Of keys and values.
    pub kv_bytes: u64,
    pub kv_capacity: u64,
    /// Asks under way, and those that wait for it.
    pub running: u64,
    pub waiting: u64,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
pub struct Labels {
    engine: String,
}

impl Reading for EngineReading {
    type Labels = Labels;

    const COUNTERS: &'static [Figure<Self>] = &[
        ("engine_prompt_tokens", "Tokens of prompts that were begun", |engine| engine.prompt_tokens),
        ("engine_hit_tokens", "Of the prompts, tokens found among kept beginnings", |engine| engine.hit_tokens),
        ("engine_computed_tokens", "Tokens that went through the model", |engine| engine.computed_tokens),
        ("engine_steps", "Steps of the model", |engine| engine.steps),
        ("engine_evictions", "Kept beginnings that had to go for lack of room", |engine| engine.evictions),
        ("engine_preemptions", "Asks that had to begin again for lack of room", |engine| engine.preemptions),
    ];

    const GAUGES: &'static [Figure<Self>] = &[
        ("engine_kv_bytes", "Keys and values held now", |engine| engine.kv_bytes),
        ("engine_kv_capacity_bytes", "Room for keys and values", |engine| engine.kv_capacity),
        ("engine_running", "Asks under way now", |engine| engine.running),
        ("engine_waiting", "Asks that wait in the queue now", |engine| engine.waiting),
    ];

    fn labels(&self) -> Labels {
        Labels { engine: self.name.to_string() }
    }

    fn add(&mut self, other: &Self) {
        self.prompt_tokens += other.prompt_tokens;
        self.hit_tokens += other.hit_tokens;
        self.computed_tokens += other.computed_tokens;
        self.steps += other.steps;
        self.evictions += other.evictions;
        self.preemptions += other.preemptions;
        self.kv_bytes += other.kv_bytes;
        self.kv_capacity += other.kv_capacity;
        self.running += other.running;
        self.waiting += other.waiting;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::figures::told;

    #[test]
    fn each_engine_is_told_once_under_its_name() {
        let reading = |name: &str, steps| EngineReading {
            name: name.into(),
            prompt_tokens: 10,
            hit_tokens: 4,
            computed_tokens: 6,
            steps,
            evictions: 0,
            preemptions: 0,
            kv_bytes: 100,
            kv_capacity: 200,
            running: 1,
            waiting: 2,
        };
        let text = told(vec![reading("a", 3), reading("b", 4), reading("b", 1)]);
        for line in [
            "portcullis_engine_steps_total{engine=\"a\"} 3",
            "portcullis_engine_steps_total{engine=\"b\"} 5",
            "portcullis_engine_hit_tokens_total{engine=\"a\"} 4",
            "portcullis_engine_kv_bytes{engine=\"b\"} 200",
            "portcullis_engine_waiting{engine=\"b\"} 4",
        ] {
            assert!(text.lines().any(|told| told == line), "no {line} in {text}");
        }
        assert_eq!(told::<EngineReading>(Vec::new()), "# EOF\n");
    }
}
