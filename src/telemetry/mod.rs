//! Telemetry: the audit and the metrics, and the admin server that shows them. Tells nothing of the content unless a
//! setting says so.

mod admin;
mod audit;
mod engines;
mod metrics;
mod record;

pub use admin::{AdminState, Status, serve};
pub use audit::{Audit, Target};
pub use engines::{EngineReading, ReadEngines};
pub use metrics::{Ending, Metrics, Open};
pub use record::{ExchangeInfo, Judged, RequestId};

use std::sync::Arc;

use crate::guardrail::{Stage, VerdictCache};
use crate::text::MediaCount;

/// Where the proxy tells what it does. One for the process; outlives reloads.
pub struct Telemetry {
    pub audit: Arc<Audit>,
    pub metrics: Metrics,
}

impl Telemetry {
    pub fn new(audit: Audit, verdicts: Arc<VerdictCache>, engines: ReadEngines) -> Self {
        let audit = Arc::new(audit);
        let metrics = Metrics::new(verdicts, audit.clone(), engines);
        Telemetry { audit, metrics }
    }

    /// A stage has decided: one audit line, and its counts.
    pub fn decided(&self, exchange: &ExchangeInfo, judged: &Judged<'_>) {
        self.metrics.decided(exchange, judged);
        self.audit.tell(|content| record::decision(exchange, judged, content));
    }

    /// A request was not acceptable, or its answer was not, and no verdict said so. `status` and `code` are those of the reply.
    pub fn refused(&self, exchange: &ExchangeInfo, status: u16, code: &'static str) {
        self.metrics.refused(exchange, code);
        self.audit.tell(|_| record::refusal(exchange, status, code));
    }

    /// A stage let media by that nobody has judged, by the route's setting.
    pub fn let_by(&self, exchange: &ExchangeInfo, stage: Stage, media: MediaCount) {
        self.metrics.let_by(exchange, stage, media);
        self.audit.tell(|_| record::let_by(exchange, stage, media));
    }

    /// An answer ended early: it was cut after some of it had left, or the client went away. `code` says why.
    pub fn cut(&self, exchange: &ExchangeInfo, code: &'static str) {
        self.metrics.cut(exchange, code);
        self.audit.tell(|_| record::cut(exchange, code));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::record::tests::{applied, decided, exchange, labelled, segment};
    use super::*;
    use crate::guardrail::{Action, Mode};
    use crate::text::Media;

    /// What an exchange leaves in the audit file.
    fn audited(content: bool) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let audit = Audit::open(Target::File(path.clone()), content).unwrap();
        let telemetry = Telemetry::new(audit, Arc::new(VerdictCache::new(1)), Arc::new(Vec::new));
        let (decision, segments) = (decided(vec![applied(labelled("H1"), Action::Block)], Action::Block), [segment()]);
        let judged = Judged {
            stage: Stage::Input,
            mode: Mode::Enforce,
            window: None,
            segments: &segments,
            decision: &decision,
            took: Duration::ZERO,
        };
        telemetry.decided(&exchange(), &judged);
        telemetry.refused(&exchange(), 413, "body_too_large");
        telemetry.cut(&exchange(), "upstream_error");
        telemetry.let_by(&exchange(), Stage::Input, [Media::Image, Media::Image].into_iter().collect());
        assert!(telemetry.audit.flush(Duration::from_secs(20)));
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn each_event_is_a_line_and_content_goes_by_setting() {
        for content in [false, true] {
            let lines = audited(content);
            let outcomes: Vec<String> = lines
                .lines()
                .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["outcome"].to_string())
                .collect();
            assert_eq!(outcomes, [r#""blocked""#, r#""refused""#, r#""cut""#, r#""unjudged""#]);
            assert_eq!(lines.contains("the judged text"), content);
            assert_eq!(lines.contains("it says why"), content);
        }
    }
}
