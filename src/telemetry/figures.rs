//! Figures: what several things of one sort have done, as metrics with a line for each.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// A metric's name, what it says, and how it is read.
pub type Figure<T> = (&'static str, &'static str, fn(&T) -> u64);

/// A thing at one moment.
pub trait Reading: Sized + 'static {
    /// What it goes by.
    type Labels: EncodeLabelSet + Ord;

    const COUNTERS: &'static [Figure<Self>];
    const GAUGES: &'static [Figure<Self>];

    fn labels(&self) -> Self::Labels;

    /// Takes in one that goes by the same labels: while a configuration is swapped, the old and the new may.
    fn add(&mut self, other: &Self);
}

/// Reads all that there are now.
pub type Read<T> = Arc<dyn Fn() -> Vec<T> + Send + Sync>;

/// Tells the readings when the metrics are asked for.
pub(super) struct Readings<T>(pub Read<T>);

impl<T: Reading> Collector for Readings<T> {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let mut readings = (self.0)();
        readings.sort_by_key(Reading::labels);
        readings.dedup_by(|next, kept| {
            let same = next.labels() == kept.labels();
            if same {
                kept.add(next);
            }
            same
        });
        if readings.is_empty() {
            return Ok(());
        }
        for (name, help, figure) in T::COUNTERS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for reading in &readings {
                ConstCounter::new(figure(reading)).encode(family.encode_family(&reading.labels())?)?;
            }
        }
        for (name, help, figure) in T::GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for reading in &readings {
                let value = i64::try_from(figure(reading)).unwrap_or(i64::MAX);
                ConstGauge::new(value).encode(family.encode_family(&reading.labels())?)?;
            }
        }
        Ok(())
    }
}

impl<T> fmt::Debug for Readings<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Readings")
    }
}

/// The lines of these readings.
#[cfg(test)]
pub(super) fn told<T: Reading + Clone + Send + Sync>(readings: Vec<T>) -> String {
    let mut registry = prometheus_client::registry::Registry::with_prefix("portcullis");
    registry.register_collector(Box::new(Readings(Arc::new(move || readings.clone()))));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).expect("writing to a string does not fail");
    text
}
