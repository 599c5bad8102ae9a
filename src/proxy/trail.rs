//! The trail of one exchange: what it tells the audit, the metrics, and the client's headers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pingora::protocols::http::ServerSession;
use uuid::Uuid;

use crate::guardrail::{Action, Applied, Decision, Mode, Outcome, Stage};
use crate::live::{Handling, Live, Route};
use crate::proxy::refused::Refused;
use crate::telemetry::{Ending, ExchangeInfo, Judged, Open, RequestId, Telemetry};
use crate::text::Segment;

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
    passing: bool,
    /// What has been found, as the client is told: guardrail, label, action, policy digest. Never the text.
    named: Vec<String>,
    ending: Ending,
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
            Handling::Inspect(inspect) => Some(inspect.dialect.name()),
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
            passing: route.is_some_and(|route| matches!(route.handling, Handling::Pass)),
            named: Vec::new(),
            ending: Ending::Passed,
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
            let named = name(applied);
            if self.named.len() < NAMED && !self.named.contains(&named) {
                self.named.push(named);
            }
        }
        tell(&self.telemetry, &self.info, stage, window, decision, segments);
    }

    /// For guardrails in observe mode.
    pub fn observer(&self) -> Observer {
        Observer { telemetry: self.telemetry.clone(), info: self.info.clone() }
    }

    /// What the client is told in headers.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut decision = match self.action {
            _ if self.passing => "pass".to_owned(),
            None => "none".to_owned(),
            Some(action) => action.as_str().to_owned(),
        };
        if self.unjudged {
            decision.push_str("; unjudged");
        }
        let mut headers = vec![("x-portcullis-id", self.info.id.to_string()), ("x-portcullis-decision", decision)];
        if !self.named.is_empty() {
            headers.push(("x-portcullis-guardrails", self.named.join(", ")));
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

    /// A block was told as an ordinary message.
    pub fn spoken(&mut self, refused: &Refused) {
        self.ending = ending(refused);
    }

    /// The answer was ended after some of it had left.
    pub fn cut(&mut self, refused: &Refused) {
        self.ending = ending(refused);
        self.telemetry.cut(&self.info, refused.code());
    }

    /// The exchange is over.
    pub fn finish(mut self, refused: Option<&Refused>) {
        // What was cut or spoken is told already: that the client left after it changes nothing.
        if let (Ending::Passed, Some(refused)) = (self.ending, refused) {
            self.ending = ending(refused);
            match self.ending {
                // The decision that led to it has its line.
                Ending::Blocked | Ending::Unavailable => {}
                Ending::Abandoned => self.telemetry.cut(&self.info, refused.code()),
                _ => self.telemetry.refused(&self.info, refused.refusal().status.as_u16(), refused.code()),
            }
        }
        let overhead = self.begun.elapsed().saturating_sub(self.upstream);
        let overhead = (self.ending == Ending::Passed && !self.passing).then_some(overhead);
        self.telemetry.metrics.ended(self.info.route.as_deref(), self.ending, overhead);
        tracing::debug!(
            exchange = %self.info.id,
            route = self.info.route.as_deref(),
            ending = self.ending.as_str(),
            code = refused.map(Refused::code),
            "exchange ended"
        );
    }
}

impl Observer {
    pub fn observed(&self, stage: Stage, window: Option<u64>, decision: &Decision, segments: &[Segment]) {
        tell(&self.telemetry, &self.info, stage, window, decision, segments);
    }

    /// Too much waits to be observed already.
    pub fn overloaded(&self, stage: Stage) {
        self.telemetry.metrics.unobserved(self.info.route.as_deref(), stage);
        tracing::debug!(exchange = %self.info.id, stage = stage.as_str(), "not observed: too much waits already");
    }
}

fn tell(
    telemetry: &Telemetry,
    exchange: &ExchangeInfo,
    stage: Stage,
    window: Option<u64>,
    decision: &Decision,
    segments: &[Segment],
) {
    // Nobody was asked: there is nothing to tell.
    let Some(took) = decision.asked.iter().map(|asked| asked.took).max() else { return };
    telemetry.decided(exchange, &Judged { stage, window, segments, decision, took });
}

fn name(applied: &Applied) -> String {
    let mut named = format!("{}; action={}", applied.guardrail, applied.action.as_str());
    match &applied.outcome {
        Outcome::Label { label, .. } => named.push_str(&format!("; label={}", token(label.as_str()))),
        Outcome::Error(error) => named.push_str(&format!("; error={}", error.kind())),
    }
    if let Some(policy) = &applied.identity.policy {
        named.push_str(&format!("; policy={}", policy.digest.get(..DIGEST).unwrap_or(&policy.digest)));
    }
    named
}

/// A label as it may stand in a header: whatever is not plain ASCII becomes `_`.
fn token(label: &str) -> String {
    label.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.+".contains(c) { c } else { '_' }).collect()
}

fn ending(refused: &Refused) -> Ending {
    match refused {
        Refused::InputBlocked { .. } | Refused::OutputBlocked { .. } => Ending::Blocked,
        Refused::GuardrailUnavailable { .. } | Refused::TooLong { .. } => Ending::Unavailable,
        Refused::Upstream(_)
        | Refused::Answer(_)
        | Refused::AnswerUnreadable(_)
        | Refused::AnswerTooLarge { .. }
        | Refused::UpstreamStatus { .. } => Ending::Upstream,
        Refused::ClientGone => Ending::Abandoned,
        _ => Ending::Refused,
    }
}
