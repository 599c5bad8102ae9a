//! Telemetry: the audit and its last lines, and the metrics. Tells nothing of the content unless a setting says so.

mod audit;
mod endpoints;
mod engines;
mod figures;
mod metrics;
mod recent;
mod record;

pub use audit::{Audit, Target};
pub use engines::EngineReading;
pub use figures::Read;
pub use metrics::{Ending, Metrics, Open};
pub use recent::Recent;
pub use record::{ExchangeInfo, Judged, RequestId, millis, timestamp};

use std::sync::Arc;

use crate::guardrail::{Stage, VerdictCache};
use crate::remote::EndpointReading;
use crate::text::MediaCount;

/// Where the proxy tells what it does. One for the process; outlives reloads.
pub struct Telemetry {
    pub audit: Arc<Audit>,
    pub metrics: Metrics,
    pub recent: Recent,
}

impl Telemetry {
    pub fn new(audit: Audit, verdicts: Arc<VerdictCache>, engines: Read<EngineReading>) -> Self {
        let audit = Arc::new(audit);
        let metrics = Metrics::new(verdicts, audit.clone(), engines);
        Telemetry { audit, metrics, recent: Recent::new(false) }
    }

    /// Tells of the endpoints of remote engines, too.
    pub fn with_endpoints(mut self, read: Read<EndpointReading>) -> Self {
        self.metrics.tell_endpoints(read);
        self
    }

    /// Keeps the last lines of the audit for those who ask, whether a file is written or not.
    pub fn with_recent(self) -> Self {
        Telemetry { recent: Recent::new(true), ..self }
    }

    /// A stage has decided: one audit line, and its counts.
    pub fn decided(&self, exchange: &ExchangeInfo, judged: &Judged<'_>) {
        self.metrics.decided(exchange, judged);
        self.tell(
            |content| record::decision(exchange, judged, content, record::APPLIED),
            || record::decision(exchange, judged, false, record::APPLIED_IN_SHORT),
        );
    }

    /// A request was not acceptable, or its answer was not, and no verdict said so. `status` and `code` are those of the reply.
    pub fn refused(&self, exchange: &ExchangeInfo, status: u16, code: &'static str) {
        self.metrics.refused(exchange, code);
        self.tell(|_| record::refusal(exchange, status, code), Vec::new);
    }

    /// A stage let media by that nobody has judged, by the route's setting.
    pub fn let_by(&self, exchange: &ExchangeInfo, stage: Stage, media: MediaCount) {
        self.metrics.let_by(exchange, stage, media);
        self.tell(|_| record::let_by(exchange, stage, media), Vec::new);
    }

    /// An answer ended early: it was cut after some of it had left, or the client went away. `code` says why.
    pub fn cut(&self, exchange: &ExchangeInfo, code: &'static str) {
        self.metrics.cut(exchange, code);
        self.tell(|_| record::cut(exchange, code), Vec::new);
    }

    /// `line` is told whether content may be in it; `short` is for where that is too long to be kept in memory.
    fn tell(&self, line: impl FnOnce(bool) -> Vec<u8>, short: impl FnOnce() -> Vec<u8>) {
        match self.recent.is_on() {
            false => self.audit.tell(line),
            true => {
                let line = line(self.audit.content());
                self.recent.keep(&line, short);
                self.audit.tell(|_| line);
            }
        }
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
        let telemetry = Telemetry::new(audit, Arc::new(VerdictCache::new(1)), Arc::new(Vec::new)).with_recent();
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
        let lines = std::fs::read_to_string(path).unwrap();
        let kept = format!("\"lines\":[{}]}}", lines.trim_end().replace('\n', ","));
        assert!(telemetry.recent.json(0).ends_with(&kept), "what is kept is what is written");
        lines
    }

    #[test]
    fn recent_lines_are_those_of_the_audit_and_content_goes_by_the_same_setting() {
        let judged_of = |text: &str, content: bool| {
            let audit = Audit::open(Target::None, content).unwrap();
            let telemetry = Telemetry::new(audit, Arc::new(VerdictCache::new(1)), Arc::new(Vec::new)).with_recent();
            let findings = vec![applied(labelled("H1"), Action::Block); 300];
            let decision = decided(findings, Action::Block);
            let segments = [crate::text::Segment { text: text.into(), ..segment() }];
            let (stage, mode, took) = (Stage::Input, Mode::Enforce, Duration::ZERO);
            let judged = Judged { stage, mode, window: None, segments: &segments, decision: &decision, took };
            telemetry.decided(&exchange(), &judged);
            telemetry.refused(&exchange(), 413, "body_too_large");
            serde_json::from_str::<serde_json::Value>(&telemetry.recent.json(0)).unwrap()
        };
        for content in [false, true] {
            // 300 findings don't fit: the line is told in short, and then without content.
            let kept = judged_of("the judged text", content);
            assert_eq!((&kept["told"], &kept["lines"][1]["outcome"]), (&2.into(), &"refused".into()));
            assert_eq!(kept["lines"][0]["applied"].as_array().map(Vec::len), Some(record::APPLIED_IN_SHORT));
            assert_eq!(kept["lines"][0]["applied_left_out"], 300 - record::APPLIED_IN_SHORT);
            assert!(!kept.to_string().contains("the judged text"));
        }
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
