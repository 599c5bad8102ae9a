//! Metrics: counts and times for Prometheus. Every label value comes from the configuration or from our own code, never
//! from traffic, so that their number is bounded.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric, LabelValueEncoder,
};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::guardrail::{Action, Mode, Outcome, Stage, VerdictCache};
use crate::policy::Label;
use crate::remote::EndpointReading;
use crate::telemetry::figures::{self, Read};
use crate::telemetry::{Audit, EngineReading, ExchangeInfo, Judged};
use crate::text::MediaCount;

/// Seconds; from a pattern set's verdict to a model's deadline.
const SECONDS: [f64; 17] =
    [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// The upstream's answer, changed or not, went out to its end.
    Passed,
    /// By a verdict, before or within the answer.
    Blocked,
    /// No verdict could be had, and `on_error = "block"`.
    Unavailable,
    /// The request was not acceptable, whatever a verdict says.
    Refused,
    /// The upstream failed, or its answer could not be read.
    Upstream,
    /// The client went away.
    Abandoned,
    /// The proxy itself broke it off: the drain was over, or a part of it failed.
    Stopped,
}

/// The process's metrics. One for all generations.
pub struct Metrics {
    registry: Registry,
    exchanges: Family<ExchangeLabels, Counter>,
    refusals: Family<CodeLabels, Counter>,
    cuts: Family<CodeLabels, Counter>,
    decisions: Family<DecisionLabels, Counter>,
    findings: Family<FindingLabels, Counter>,
    errors: Family<ErrorLabels, Counter>,
    unjudged: Family<StageLabels, Counter>,
    unobserved: Family<StageLabels, Counter>,
    media: Family<MediaLabels, Counter>,
    verdict_seconds: Family<GuardrailLabels, Histogram, fn() -> Histogram>,
    overhead_seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    open: Gauge,
    held_bytes: Gauge,
    reloads: Family<ResultLabels, Counter>,
    generation: Gauge<u64, AtomicU64>,
}

/// An exchange while it runs; dropping it takes it off the gauges.
pub struct Open {
    open: Gauge,
    held_bytes: Gauge,
    held: i64,
}

impl Metrics {
    pub(super) fn new(verdicts: Arc<VerdictCache>, audit: Arc<Audit>, engines: Read<EngineReading>) -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(SECONDS);
        let mut metrics = Metrics {
            registry: Registry::with_prefix("portcullis"),
            exchanges: Family::default(),
            refusals: Family::default(),
            cuts: Family::default(),
            decisions: Family::default(),
            findings: Family::default(),
            errors: Family::default(),
            unjudged: Family::default(),
            unobserved: Family::default(),
            media: Family::default(),
            verdict_seconds: Family::new_with_constructor(histogram),
            overhead_seconds: Family::new_with_constructor(histogram),
            open: Gauge::default(),
            held_bytes: Gauge::default(),
            reloads: Family::default(),
            generation: Gauge::default(),
        };
        metrics.register();
        metrics.registry.register_collector(Box::new(Readings { verdicts, audit }));
        metrics.registry.register_collector(Box::new(figures::Readings(engines)));
        metrics
    }

    pub(super) fn tell_endpoints(&mut self, read: Read<EndpointReading>) {
        self.registry.register_collector(Box::new(figures::Readings(read)));
    }

    /// All metrics in the OpenMetrics text form.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // A string takes every write.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }

    /// An exchange has begun.
    pub fn opened(&self) -> Open {
        self.open.inc();
        Open { open: self.open.clone(), held_bytes: self.held_bytes.clone(), held: 0 }
    }

    /// An exchange has ended. `overhead`: the time that it took longer than the upstream, where that is known.
    pub fn ended(&self, route: Option<&Arc<str>>, ending: Ending, overhead: Option<Duration>) {
        let route = RouteName(route.cloned());
        if let Some(overhead) = overhead {
            let labels = RouteLabels { route: route.clone() };
            self.overhead_seconds.get_or_create(&labels).observe(overhead.as_secs_f64());
        }
        self.exchanges.get_or_create(&ExchangeLabels { route, outcome: ending.as_str() }).inc();
    }

    /// Guardrails in observe mode could not take what they stand before.
    pub fn unobserved(&self, route: Option<&Arc<str>>, stage: Stage) {
        let labels = StageLabels { route: RouteName(route.cloned()), stage: stage.as_str() };
        self.unobserved.get_or_create(&labels).inc();
    }

    /// The configuration of this `generation` serves, and so many `failures` were refused since the start. Totals and not
    /// steps: who tells them may have missed some.
    pub fn reloads(&self, generation: u64, failures: u64) {
        self.generation.set(generation);
        for (result, total) in [("ok", generation), ("error", failures)] {
            let counter = self.reloads.get_or_create_owned(&ResultLabels { result });
            counter.inc_by(total.saturating_sub(counter.get()));
        }
    }

    pub(super) fn refused(&self, exchange: &ExchangeInfo, code: &'static str) {
        self.refusals.get_or_create(&CodeLabels { route: RouteName(exchange.route.clone()), code }).inc();
    }

    pub(super) fn cut(&self, exchange: &ExchangeInfo, code: &'static str) {
        self.cuts.get_or_create(&CodeLabels { route: RouteName(exchange.route.clone()), code }).inc();
    }

    pub(super) fn let_by(&self, exchange: &ExchangeInfo, stage: Stage, media: MediaCount) {
        for (kind, count) in media.iter() {
            let route = RouteName(exchange.route.clone());
            let labels = MediaLabels { route, stage: stage.as_str(), kind: kind.as_str() };
            self.media.get_or_create(&labels).inc_by(count.into());
        }
    }

    pub(super) fn decided(&self, exchange: &ExchangeInfo, judged: &Judged<'_>) {
        let route = RouteName(exchange.route.clone());
        let (stage, decision) = (judged.stage.as_str(), judged.decision);
        if decision.unjudged {
            self.unjudged.get_or_create(&StageLabels { route: route.clone(), stage }).inc();
        }
        for asked in decision.asked.iter().filter(|asked| asked.answered > 0) {
            let labels = GuardrailLabels { guardrail: asked.guardrail.clone() };
            self.verdict_seconds.get_or_create(&labels).observe(asked.took.as_secs_f64());
        }
        for applied in &decision.applied {
            let guardrail = applied.guardrail.clone();
            match &applied.outcome {
                Outcome::Label { label, .. } => {
                    let (label, action) = (LabelName(label.clone()), applied.action.as_str());
                    let mode = applied.mode.as_str();
                    let labels = FindingLabels { route: route.clone(), stage, guardrail, label, action, mode };
                    self.findings.get_or_create(&labels).inc();
                }
                Outcome::Error(error) => {
                    self.errors.get_or_create(&ErrorLabels { guardrail, kind: error.kind() }).inc();
                }
            }
        }
        let action = match judged.mode {
            Mode::Enforce => decision.action,
            // What it would have come to.
            Mode::Observe => decision.applied.iter().map(|applied| applied.action).max().unwrap_or(Action::Allow),
        };
        let labels = DecisionLabels { route, stage, action: action.as_str(), mode: judged.mode.as_str() };
        self.decisions.get_or_create(&labels).inc();
    }

    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("exchanges", "Exchanges that have ended", self.exchanges.clone());
        let refusals = "Requests that were not acceptable, or whose answer was not; blocks are decisions";
        r.register("refusals", refusals, self.refusals.clone());
        r.register("cuts", "Answers that ended early: cut, or abandoned by the client", self.cuts.clone());
        r.register("decisions", "Decisions, by what they led to or would have led to", self.decisions.clone());
        r.register("findings", "Labels found, by what they led to or would have led to", self.findings.clone());
        r.register("guardrail_errors", "Asks that ended without a verdict", self.errors.clone());
        r.register("unjudged", "Decisions that let traffic through without a verdict", self.unjudged.clone());
        r.register("media", "Images, sound, films and files that went by unjudged", self.media.clone());
        r.register("unobserved", "Asks of observing guardrails that there was no room for", self.unobserved.clone());
        let (verdict, overhead) = (self.verdict_seconds.clone(), self.overhead_seconds.clone());
        r.register("verdict_seconds", "From a guardrail's first ask of a stage to its last answer", verdict);
        r.register("exchange_overhead_seconds", "What an exchange took longer than its upstream", overhead);
        r.register("open_exchanges", "Exchanges that run now", self.open.clone());
        r.register("held_bytes", "Bytes of answers held for a verdict now", self.held_bytes.clone());
        r.register("reloads", "Configurations loaded or refused", self.reloads.clone());
        r.register("live_generation", "The generation of the configuration that serves", self.generation.clone());
    }
}

impl Open {
    /// How many bytes this exchange holds now.
    pub fn holds(&mut self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.held_bytes.inc_by(bytes - self.held);
        self.held = bytes;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.holds(0);
        self.open.dec();
    }
}

impl Ending {
    /// The word for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Ending::Passed => "passed",
            Ending::Blocked => "blocked",
            Ending::Unavailable => "unavailable",
            Ending::Refused => "refused",
            Ending::Upstream => "upstream",
            Ending::Abandoned => "abandoned",
            Ending::Stopped => "stopped",
        }
    }
}

/// What others count, read when asked for.
struct Readings {
    verdicts: Arc<VerdictCache>,
    audit: Arc<Audit>,
}

impl Collector for Readings {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let mut counter = |name, help, value| {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)
        };
        counter("verdict_cache_hits", "Look-ups that found a verdict", self.verdicts.hits())?;
        counter("verdict_cache_misses", "Look-ups that found none", self.verdicts.misses())?;
        counter("audit_lost", "Audit lines that were not written", self.audit.lost())?;
        let entries = ConstGauge::new(i64::try_from(self.verdicts.entries()).unwrap_or(i64::MAX));
        entries.encode(encoder.encode_descriptor(
            "verdict_cache_entries",
            "Verdicts kept now",
            None,
            entries.metric_type(),
        )?)
    }
}

impl fmt::Debug for Readings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Readings")
    }
}

/// The name of a route; `-` where an exchange has none.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct RouteName(Option<Arc<str>>);

impl EncodeLabelValue for RouteName {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        EncodeLabelValue::encode(&self.0.as_deref().unwrap_or("-"), encoder)
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct LabelName(Label);

impl EncodeLabelValue for LabelName {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        EncodeLabelValue::encode(&self.0.as_str(), encoder)
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ExchangeLabels {
    route: RouteName,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CodeLabels {
    route: RouteName,
    code: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DecisionLabels {
    route: RouteName,
    stage: &'static str,
    action: &'static str,
    mode: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FindingLabels {
    route: RouteName,
    stage: &'static str,
    guardrail: Arc<str>,
    label: LabelName,
    action: &'static str,
    mode: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ErrorLabels {
    guardrail: Arc<str>,
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StageLabels {
    route: RouteName,
    stage: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct MediaLabels {
    route: RouteName,
    stage: &'static str,
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct GuardrailLabels {
    guardrail: Arc<str>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    route: RouteName,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guardrail::{Action, Decision, DetectError, Stage};
    use crate::telemetry::record::tests::{applied, decided, exchange, labelled};
    use crate::telemetry::{Target, Telemetry};
    use crate::text::Media;

    fn telemetry() -> Telemetry {
        Telemetry::new(Audit::open(Target::None, false).unwrap(), Arc::new(VerdictCache::new(4)), Arc::new(Vec::new))
    }

    #[track_caller]
    fn says(metrics: &Metrics, lines: &[&str]) {
        let text = metrics.encode();
        for line in lines {
            assert!(text.lines().any(|other| other == *line), "no line {line} in\n{text}");
        }
    }

    #[test]
    fn a_decision_is_counted_by_what_was_found_and_done() {
        let telemetry = telemetry();
        let error = Outcome::Error(DetectError::Overloaded { capacity: 1 });
        let list = vec![applied(labelled("c"), Action::Redact), applied(error, Action::Allow)];
        let decision = Decision { unjudged: true, ..decided(list, Action::Redact) };
        let judged = Judged {
            stage: Stage::Input,
            mode: Mode::Enforce,
            window: None,
            segments: &[],
            decision: &decision,
            took: Duration::ZERO,
        };
        telemetry.decided(&exchange(), &judged);
        telemetry.decided(&exchange(), &judged);
        says(
            &telemetry.metrics,
            &[
                r#"portcullis_decisions_total{route="chat",stage="input",action="redact",mode="enforce"} 2"#,
                r#"portcullis_findings_total{route="chat",stage="input",guardrail="injection",label="INJECTION",action="redact",mode="enforce"} 2"#,
                r#"portcullis_guardrail_errors_total{guardrail="injection",kind="overloaded"} 2"#,
                r#"portcullis_unjudged_total{route="chat",stage="input"} 2"#,
                r#"portcullis_verdict_seconds_count{guardrail="injection"} 2"#,
                r#"portcullis_verdict_seconds_bucket{le="0.001",guardrail="injection"} 0"#,
                r#"portcullis_verdict_seconds_bucket{le="0.0025",guardrail="injection"} 2"#,
                "# EOF",
            ],
        );
    }

    #[test]
    fn exchanges_are_counted_from_begin_to_end() {
        let telemetry = telemetry();
        let metrics = &telemetry.metrics;
        let mut one = metrics.opened();
        let two = metrics.opened();
        one.holds(1000);
        one.holds(300);
        says(metrics, &["portcullis_open_exchanges 2", "portcullis_held_bytes 300"]);
        drop((one, two));
        metrics.ended(Some(&"chat".into()), Ending::Blocked, Some(Duration::from_micros(60)));
        metrics.ended(None, Ending::Refused, None);
        let nowhere = ExchangeInfo { route: None, ..exchange() };
        telemetry.refused(&nowhere, 404, "unknown_route");
        telemetry.cut(&exchange(), "content_policy_violation");
        telemetry.let_by(&exchange(), Stage::Output, [Media::File, Media::File].into_iter().collect());
        says(
            metrics,
            &[
                "portcullis_open_exchanges 0",
                "portcullis_held_bytes 0",
                r#"portcullis_exchanges_total{route="chat",outcome="blocked"} 1"#,
                r#"portcullis_exchanges_total{route="-",outcome="refused"} 1"#,
                r#"portcullis_exchange_overhead_seconds_bucket{le="0.0001",route="chat"} 1"#,
                r#"portcullis_refusals_total{route="-",code="unknown_route"} 1"#,
                r#"portcullis_cuts_total{route="chat",code="content_policy_violation"} 1"#,
                r#"portcullis_media_total{route="chat",stage="output",kind="file"} 2"#,
            ],
        );
    }

    #[test]
    fn what_others_count_is_read() {
        let telemetry = telemetry();
        telemetry.metrics.reloads(1, 0);
        // Two refused and three loaded since it was last told.
        telemetry.metrics.reloads(4, 2);
        telemetry.metrics.reloads(4, 2);
        says(
            &telemetry.metrics,
            &[
                r#"portcullis_reloads_total{result="ok"} 4"#,
                r#"portcullis_reloads_total{result="error"} 2"#,
                "portcullis_live_generation 4",
                "portcullis_verdict_cache_hits_total 0",
                "portcullis_verdict_cache_misses_total 0",
                "portcullis_verdict_cache_entries 0",
                "portcullis_audit_lost_total 0",
            ],
        );
    }
}
