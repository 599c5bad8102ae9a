//! The trail of one exchange: what it tells the audit, the metrics, and the client's headers.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;
use pingora::protocols::http::ServerSession;
use uuid::Uuid;

use crate::guardrail::{Action, Applied, Decision, Mode, Outcome, Stage};
use crate::live::{Handling, Live, Route};
use crate::proxy::refused::Refused;
use crate::proxy::reply::Extra;
use crate::telemetry::{Ending, ExchangeInfo, Judged, Open, RequestId, Telemetry};
use crate::text::{MediaCount, Segment};

/// Guardrails named in one answer's headers, at most.
const NAMED: usize = 16;
/// Hex digits of a policy's digest in a header.
const DIGEST: usize = 12;

/// One exchange's record.
pub struct Trail {
    telemetry: Arc<Telemetry>,
    info: ExchangeInfo,
    open: Open,
    begun: Instant,
    /// Of that, time spent waiting for the upstream and for nothing else.
    upstream: Duration,
    /// The strongest action so far; none while no guardrail that is waited for has judged anything.
    action: Option<Action>,
    unjudged: bool,
    /// Media that nobody judges: of the request, and of the answer.
    media: [MediaCount; 2],
    passing: bool,
    /// What has been found, as the client is told: guardrail, label, action, policy digest. Never the text.
    named: Vec<String>,
    ending: Ending,
    /// All of it is recorded.
    over: bool,
}

/// Records verdicts that nobody waits for.
pub struct Observer {
    telemetry: Arc<Telemetry>,
    info: ExchangeInfo,
}

impl Trail {
    /// Without a session where a request never came to be.
    pub fn new(telemetry: Arc<Telemetry>, live: &Live, route: Option<&Route>, session: Option<&ServerSession>) -> Self {
        let request_id =
            session.and_then(|session| RequestId::parse(session.get_header("x-request-id")?.to_str().ok()?));
        let dialect = route.and_then(|route| match &route.handling {
            Handling::Inspect(inspect) => Some(inspect.dialect.name().into()),
            Handling::Pass => None,
        });
        let info = ExchangeInfo {
            id: Uuid::now_v7(),
            request_id,
            route: route.map(|route| route.id.clone()),
            dialect,
            generation: live.generation,
            digest: live.digest.clone(),
        };
        Trail {
            open: telemetry.metrics.opened(),
            telemetry,
            info,
            begun: Instant::now(),
            upstream: Duration::ZERO,
            action: None,
            unjudged: false,
            media: Default::default(),
            passing: route.is_some_and(|route| matches!(route.handling, Handling::Pass)),
            named: Vec::new(),
            ending: Ending::Passed,
            over: false,
        }
    }

    /// A stage, or a window of the answer, is decided.
    pub fn decided(&mut self, stage: Stage, window: Option<u64>, decision: &Decision, segments: &[Segment]) {
        if !decision.asked.is_empty() {
            self.action = self.action.max(Some(decision.action));
        }
        self.unjudged |= decision.unjudged;
        if decision.unjudged {
            tracing::warn!(exchange = %self.info.id, route = self.info.route.as_deref(), stage = stage.as_str(), "let through unjudged");
        }
        for applied in decision.applied.iter().filter(|applied| applied.mode == Mode::Enforce) {
            if self.named.len() == NAMED {
                break;
            }
            let named = name(applied);
            if !self.named.contains(&named) {
                self.named.push(named);
            }
        }
        tell(&self.telemetry, &self.info, Mode::Enforce, (stage, window), decision, segments);
    }

    /// A stage lets so much media by in all.
    pub fn lets_by(&mut self, stage: Stage, media: MediaCount) {
        self.media[stage as usize] = media;
    }

    /// Whether a guardrail had no verdict, and let pass what it stands before.
    pub fn is_unjudged(&self) -> bool {
        self.unjudged
    }

    /// For guardrails in observe mode.
    pub fn observer(&self) -> Observer {
        Observer { telemetry: self.telemetry.clone(), info: self.info.clone() }
    }

    /// What the client is told in headers.
    pub fn headers(&self) -> Vec<Extra> {
        let decision = match self.action {
            _ if self.passing && self.ending == Ending::Passed => "pass",
            // A redaction that can't be made blocks.
            _ if self.ending == Ending::Blocked => Action::Block.as_str(),
            None => "none",
            Some(action) => action.as_str(),
        };
        let mut headers = Vec::with_capacity(4);
        headers.push(("x-portcullis-id", value(self.info.id.to_string())));
        headers.push(match self.unjudged {
            true => ("x-portcullis-decision", value(format!("{decision}; unjudged"))),
            false => ("x-portcullis-decision", HeaderValue::from_static(decision)),
        });
        let [input, output] = self.media;
        if !input.with(output).is_empty() {
            let kinds: Vec<&str> = input.with(output).iter().map(|(kind, _)| kind.as_str()).collect();
            headers.push(("x-portcullis-unjudged", value(kinds.join(", "))));
        }
        if !self.named.is_empty() {
            headers.push(("x-portcullis-guardrails", value(self.named.join(", "))));
        }
        headers
    }

    /// Bytes of the answer that wait for a verdict.
    pub fn held(&mut self, bytes: usize) {
        self.open.holds(bytes);
    }

    /// Time that passed because of the upstream alone.
    pub fn waited_for_upstream(&mut self, time: Duration) {
        self.upstream += time;
    }

    /// It ends without its answer, in a refusal or a message. What is told first counts: that the client leaves after it
    /// changes nothing.
    pub fn refused(&mut self, refused: &Refused) {
        if self.ending != Ending::Passed {
            return;
        }
        self.ending = ending(refused);
        match (self.ending, refused) {
            // The decision that led to it does not block by itself.
            (_, Refused::Unredactable { .. }) | (Ending::Refused | Ending::Upstream, _) => {
                self.telemetry.refused(&self.info, refused.status().as_u16(), refused.code());
            }
            // Nobody is told.
            (Ending::Abandoned | Ending::Stopped, _) => self.telemetry.cut(&self.info, refused.code()),
            // The decision that led to it has its line.
            (Ending::Blocked | Ending::Unavailable | Ending::Passed, _) => {}
        }
    }

    /// The answer was ended after some of it had left.
    pub fn cut(&mut self, refused: &Refused) {
        self.ending = ending(refused);
        self.telemetry.cut(&self.info, refused.code());
    }

    /// The exchange is over.
    pub fn finish(mut self, refused: Option<&Refused>) {
        self.end(refused);
    }

    fn end(&mut self, refused: Option<&Refused>) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        if let Some(refused) = refused {
            self.refused(refused);
        }
        for (stage, media) in [Stage::Input, Stage::Output].into_iter().zip(self.media) {
            if !media.is_empty() {
                self.telemetry.let_by(&self.info, stage, media);
            }
        }
        let overhead = self.begun.elapsed().saturating_sub(self.upstream);
        let overhead = (self.ending == Ending::Passed && !self.passing).then_some(overhead);
        self.telemetry.metrics.ended(self.info.route.as_ref(), self.ending, overhead);
        tracing::debug!(
            exchange = %self.info.id,
            route = self.info.route.as_deref(),
            ending = self.ending.as_str(),
            code = refused.map(Refused::code),
            "exchange ended"
        );
    }
}

impl Drop for Trail {
    /// An exchange that is dropped in its course is told, too.
    fn drop(&mut self) {
        self.end(Some(if std::thread::panicking() { &Refused::Failed } else { &Refused::Stopped }));
    }
}

impl Observer {
    pub fn observed(&self, stage: Stage, window: Option<u64>, decision: &Decision, segments: &[Segment]) {
        tell(&self.telemetry, &self.info, Mode::Observe, (stage, window), decision, segments);
    }

    /// Too much waits to be observed already.
    pub fn overloaded(&self, stage: Stage) {
        self.telemetry.metrics.unobserved(self.info.route.as_ref(), stage);
        tracing::debug!(exchange = %self.info.id, stage = stage.as_str(), "not observed: too much waits already");
    }
}

fn tell(
    telemetry: &Telemetry,
    exchange: &ExchangeInfo,
    mode: Mode,
    (stage, window): (Stage, Option<u64>),
    decision: &Decision,
    segments: &[Segment],
) {
    // Nobody was asked: there is nothing to tell.
    let Some(took) = decision.asked.iter().map(|asked| asked.took).max() else { return };
    telemetry.decided(exchange, &Judged { stage, mode, window, segments, decision, took });
}

fn name(applied: &Applied) -> String {
    let mut named = format!("{}; action={}", applied.guardrail, applied.action.as_str());
    // A string takes every write.
    let _ = match &applied.outcome {
        Outcome::Label { label, .. } => write!(named, "; label={}", token(label.as_str())),
        Outcome::Error(error) => write!(named, "; error={}", error.kind()),
    };
    if let Some(policy) = &applied.identity.policy {
        let _ = write!(named, "; policy={}", policy.digest.get(..DIGEST).unwrap_or(&policy.digest));
    }
    named
}

/// A label as it may stand in a header: whatever is not plain ASCII becomes `_`.
fn token(label: &str) -> String {
    label.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.+".contains(c) { c } else { '_' }).collect()
}

/// Takes the string as it is, without a copy.
fn value(text: String) -> HeaderValue {
    // Ids of guardrails are plain, and so is the rest.
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

fn ending(refused: &Refused) -> Ending {
    match refused {
        _ if refused.is_block() => Ending::Blocked,
        Refused::GuardrailUnavailable { .. } | Refused::TooLong { .. } => Ending::Unavailable,
        Refused::Upstream(_) | Refused::Answer(_) | Refused::Unjudgeable(_) | Refused::UpstreamStatus { .. } => {
            Ending::Upstream
        }
        Refused::ClientGone => Ending::Abandoned,
        Refused::Stopped | Refused::Failed => Ending::Stopped,
        _ => Ending::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guardrail::VerdictCache;
    use crate::live::Limits;
    use crate::telemetry::{Audit, Target};

    /// What an exchange leaves in the audit, and how it is counted.
    fn left(run: impl FnOnce(Trail)) -> (Vec<String>, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let verdicts = Arc::new(VerdictCache::new(1));
        let audit = Audit::open(Target::File(path.clone()), false).unwrap();
        let telemetry = Arc::new(Telemetry::new(audit, verdicts.clone(), Arc::new(Vec::new)));
        let limits = Limits {
            max_body: 1,
            max_header: 1,
            max_headers: 1,
            header_timeout: Duration::ZERO,
            body_timeout: Duration::ZERO,
            max_event: 1,
        };
        let live = Live { generation: 1, digest: "d".into(), routes: Vec::new(), limits, verdicts };
        run(Trail::new(telemetry.clone(), &live, None, None));
        assert!(telemetry.audit.flush(Duration::from_secs(20)));
        let lines = std::fs::read_to_string(path).unwrap();
        let metrics = telemetry.metrics.encode();
        let exchanges = metrics.lines().filter(|line| line.starts_with("portcullis_exchanges_total{"));
        (lines.lines().map(str::to_owned).collect(), exchanges.collect())
    }

    #[track_caller]
    fn leaves(run: impl FnOnce(Trail), told: &[(&str, &str)], outcome: &str) {
        let (lines, exchanges) = left(run);
        assert_eq!(lines.len(), told.len(), "{lines:?}");
        for (line, (outcome, code)) in lines.iter().zip(told) {
            assert!(line.contains(&format!("\"outcome\":\"{outcome}\"")), "{line}");
            assert!(line.contains(&format!("\"code\":\"{code}\"")), "{line}");
        }
        assert_eq!(exchanges, format!("portcullis_exchanges_total{{route=\"-\",outcome=\"{outcome}\"}} 1"));
    }

    #[test]
    fn an_exchange_that_is_dropped_is_told_and_counted() {
        leaves(drop, &[("cut", "proxy_stopped")], "stopped");
        let panics = |trail| {
            let run = std::panic::AssertUnwindSafe(move || {
                let _trail = trail;
                panic!("as tested");
            });
            std::panic::catch_unwind(run).unwrap_err();
        };
        leaves(panics, &[("cut", "internal_error")], "stopped");
    }

    #[test]
    fn what_is_told_first_counts_and_is_told_once() {
        leaves(|trail| trail.finish(None), &[], "passed");
        leaves(|trail| trail.finish(Some(&Refused::Query)), &[("refused", "query_not_allowed")], "refused");
        let cut = |mut trail: Trail| {
            trail.cut(&Refused::Answer("x"));
            trail.refused(&Refused::ClientGone);
            trail.finish(Some(&Refused::ClientGone));
        };
        leaves(cut, &[("cut", "upstream_invalid_response")], "upstream");
        let stopped = |mut trail: Trail| trail.refused(&Refused::Query);
        leaves(stopped, &[("refused", "query_not_allowed")], "refused");
    }
}
