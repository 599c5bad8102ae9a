//! What the endpoints of remote engines have done, as metrics.

use prometheus_client::encoding::EncodeLabelSet;

use crate::remote::EndpointReading;
use crate::telemetry::figures::{Figure, Reading};

#[derive(Debug, Clone, Hash, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
pub struct Labels {
    engine: String,
    endpoint: String,
}

impl Reading for EndpointReading {
    type Labels = Labels;

    const COUNTERS: &'static [Figure<Self>] = &[
        ("endpoint_asks", "Asks that an endpoint was given", |endpoint| endpoint.asks),
        ("endpoint_failures", "Asks that an endpoint did not answer, or not as it should", |endpoint| {
            endpoint.failures
        }),
        ("endpoint_hedges", "Asks put to an endpoint since another was slow", |endpoint| endpoint.hedges),
    ];

    const GAUGES: &'static [Figure<Self>] = &[
        ("endpoint_running", "Asks under way now", |endpoint| endpoint.running),
        ("endpoint_up", "Whether an endpoint is asked: 0 while it is passed over", |endpoint| u64::from(endpoint.up)),
    ];

    fn labels(&self) -> Labels {
        Labels { engine: self.engine.to_string(), endpoint: self.endpoint.to_string() }
    }

    fn add(&mut self, other: &Self) {
        self.asks += other.asks;
        self.failures += other.failures;
        self.hedges += other.hedges;
        self.running += other.running;
        self.up |= other.up;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::figures::told;

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
        assert_eq!(told::<EndpointReading>(Vec::new()), "# EOF\n");
    }
}
