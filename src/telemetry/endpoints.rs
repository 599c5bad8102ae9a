//! What the endpoints of remote engines have done, as metrics.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::remote::EndpointReading;

/// Reads the endpoints of all remote engines.
pub type ReadEndpoints = Arc<dyn Fn() -> Vec<EndpointReading> + Send + Sync>;

/// Tells the readings when the metrics are asked for.
pub(super) struct Readings(pub ReadEndpoints);

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    engine: String,
    endpoint: String,
}

type Figure = (&'static str, &'static str, fn(&EndpointReading) -> u64);

const COUNTERS: [Figure; 3] = [
    ("endpoint_asks", "Asks that an endpoint was given", |endpoint| endpoint.asks),
    ("endpoint_failures", "Asks that an endpoint did not answer, or not as it should", |endpoint| endpoint.failures),
    ("endpoint_hedges", "Asks put to an endpoint since another was slow", |endpoint| endpoint.hedges),
];

const GAUGES: [Figure; 2] = [
    ("endpoint_running", "Asks under way now", |endpoint| endpoint.running),
    ("endpoint_up", "Whether an endpoint is asked: 0 while it is passed over", |endpoint| u64::from(endpoint.up)),
];

impl Collector for Readings {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let mut endpoints = (self.0)();
        // While a configuration is swapped, the old and the new engine may have the same endpoint.
        endpoints.sort_by(|a, b| (&a.engine, &a.endpoint).cmp(&(&b.engine, &b.endpoint)));
        endpoints.dedup_by(|next, kept| {
            let same = (&next.engine, &next.endpoint) == (&kept.engine, &kept.endpoint);
            if same {
                kept.asks += next.asks;
                kept.failures += next.failures;
                kept.hedges += next.hedges;
                kept.running += next.running;
                kept.up |= next.up;
            }
            same
        });
        if endpoints.is_empty() {
            return Ok(());
        }
        let labels = |endpoint: &EndpointReading| Labels {
            engine: endpoint.engine.to_string(),
            endpoint: endpoint.endpoint.to_string(),
        };
        for (name, help, figure) in COUNTERS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for endpoint in &endpoints {
                ConstCounter::new(figure(endpoint)).encode(family.encode_family(&labels(endpoint))?)?;
            }
        }
        for (name, help, figure) in GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for endpoint in &endpoints {
                let value = i64::try_from(figure(endpoint)).unwrap_or(i64::MAX);
                ConstGauge::new(value).encode(family.encode_family(&labels(endpoint))?)?;
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
    fn an_endpoint_is_told_once_for_an_engine() {
        let reading = |engine: &str, endpoint: &str, asks, up| EndpointReading {
            engine: engine.into(),
            endpoint: endpoint.into(),
            asks,
            failures: 1,
            hedges: 0,
            running: 2,
            up,
        };
        let told = |endpoints: Vec<EndpointReading>| {
            let mut registry = Registry::with_prefix("portcullis");
            registry.register_collector(Box::new(Readings(Arc::new(move || endpoints.clone()))));
            let mut text = String::new();
            encode(&mut text, &registry).unwrap();
            text
        };
        let text = told(vec![
            reading("e", "http://b", 3, false),
            reading("e", "http://a", 5, true),
            reading("e", "http://b", 4, true),
            reading("f", "http://b", 9, false),
        ]);
        for line in [
            "portcullis_endpoint_asks_total{engine=\"e\",endpoint=\"http://a\"} 5",
            "portcullis_endpoint_asks_total{engine=\"e\",endpoint=\"http://b\"} 7",
            "portcullis_endpoint_running{engine=\"e\",endpoint=\"http://b\"} 4",
            "portcullis_endpoint_up{engine=\"e\",endpoint=\"http://b\"} 1",
            "portcullis_endpoint_up{engine=\"f\",endpoint=\"http://b\"} 0",
        ] {
            assert_eq!(text.lines().filter(|told| *told == line).count(), 1, "{line} in {text}");
        }
        assert_eq!(told(Vec::new()), "# EOF\n");
    }
}
