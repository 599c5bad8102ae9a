//! What the engines that run have done, as metrics.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

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

impl EngineReading {
    /// Two engines as one: while a configuration is swapped, the old and the new one may have the same name.
    #[must_use]
    pub fn and(self, other: &EngineReading) -> Self {
        EngineReading {
            name: self.name,
            prompt_tokens: self.prompt_tokens + other.prompt_tokens,
            hit_tokens: self.hit_tokens + other.hit_tokens,
            computed_tokens: self.computed_tokens + other.computed_tokens,
            steps: self.steps + other.steps,
            evictions: self.evictions + other.evictions,
            preemptions: self.preemptions + other.preemptions,
            kv_bytes: self.kv_bytes + other.kv_bytes,
            kv_capacity: self.kv_capacity + other.kv_capacity,
            running: self.running + other.running,
            waiting: self.waiting + other.waiting,
        }
    }
}

/// Reads all engines that run now, each name once.
pub type ReadEngines = Arc<dyn Fn() -> Vec<EngineReading> + Send + Sync>;

/// Tells the readings when the metrics are asked for.
pub(super) struct Readings(pub ReadEngines);

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    engine: String,
}

type Figure = (&'static str, &'static str, fn(&EngineReading) -> u64);

const COUNTERS: [Figure; 6] = [
    ("engine_prompt_tokens", "Tokens of prompts that were begun", |engine| engine.prompt_tokens),
    ("engine_hit_tokens", "Of the prompts, tokens found among kept beginnings", |engine| engine.hit_tokens),
    ("engine_computed_tokens", "Tokens that went through the model", |engine| engine.computed_tokens),
    ("engine_steps", "Steps of the model", |engine| engine.steps),
    ("engine_evictions", "Kept beginnings that had to go for lack of room", |engine| engine.evictions),
    ("engine_preemptions", "Asks that had to begin again for lack of room", |engine| engine.preemptions),
];

const GAUGES: [Figure; 4] = [
    ("engine_kv_bytes", "Keys and values held now", |engine| engine.kv_bytes),
    ("engine_kv_capacity_bytes", "Room for keys and values", |engine| engine.kv_capacity),
    ("engine_running", "Asks under way now", |engine| engine.running),
    ("engine_waiting", "Asks that wait in the queue now", |engine| engine.waiting),
];

impl Collector for Readings {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let engines = (self.0)();
        if engines.is_empty() {
            return Ok(());
        }
        let labels = |engine: &EngineReading| Labels { engine: engine.name.to_string() };
        for (name, help, figure) in COUNTERS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for engine in &engines {
                ConstCounter::new(figure(engine)).encode(family.encode_family(&labels(engine))?)?;
            }
        }
        for (name, help, figure) in GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for engine in &engines {
                let value = i64::try_from(figure(engine)).unwrap_or(i64::MAX);
                ConstGauge::new(value).encode(family.encode_family(&labels(engine))?)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Readings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Readings")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    #[test]
    fn each_engine_is_told_under_its_name() {
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
        let told = |engines: Vec<EngineReading>| {
            let mut registry = Registry::with_prefix("portcullis");
            registry.register_collector(Box::new(Readings(Arc::new(move || engines.clone()))));
            let mut text = String::new();
            encode(&mut text, &registry).unwrap();
            text
        };
        let text = told(vec![reading("a", 3), reading("b", 5)]);
        for line in [
            "portcullis_engine_steps_total{engine=\"a\"} 3",
            "portcullis_engine_steps_total{engine=\"b\"} 5",
            "portcullis_engine_hit_tokens_total{engine=\"a\"} 4",
            "portcullis_engine_kv_bytes{engine=\"b\"} 100",
            "portcullis_engine_waiting{engine=\"b\"} 2",
        ] {
            assert!(text.lines().any(|told| told == line), "no {line} in {text}");
        }
        assert_eq!(told(Vec::new()), "# EOF\n");
    }
}
