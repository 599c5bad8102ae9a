//! Audit records: one JSON line for each decision, refusal and cut.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use humantime::format_rfc3339_millis;
use serde::Serialize;
use uuid::Uuid;

use crate::guardrail::{
    Action, Applied, Asked, Category, Confidence, Decision, Identity, Mode, Outcome, Scores, Stage,
};
use crate::text::{MediaCount, Segment};

/// Outcomes that one line tells in full; of more it tells the number. A hostile conversation must not make long lines.
pub(super) const APPLIED: usize = 256;
/// The same where there is little room.
pub(super) const APPLIED_IN_SHORT: usize = 8;

/// Which exchange a line speaks of.
#[derive(Debug, Clone)]
pub struct ExchangeInfo {
    /// UUID v7.
    pub id: Uuid,
    /// The client's own name for the request.
    pub request_id: Option<RequestId>,
    /// The route's name; none where no route was found.
    pub route: Option<Arc<str>>,
    /// The name of the route's dialect.
    pub dialect: Option<Arc<str>>,
    /// Of the snapshot that the exchange sees.
    pub generation: u64,
    pub digest: Arc<str>,
}

/// A decision, and what it was made on.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a> {
    pub stage: Stage,
    /// Of the guardrails that were asked.
    pub mode: Mode,
    /// Which window of the answer, counted from 0; none for a request.
    pub window: Option<u64>,
    pub segments: &'a [Segment],
    pub decision: &'a Decision,
    /// From the first ask to the decision.
    pub took: Duration,
}

/// A client's name for its request, short and of plain characters: fit for a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// One to 128 of `A-Z a-z 0-9 . _ : / + = @ -`; anything else is no id.
    pub fn parse(value: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/+=@-".contains(&byte);
        ((1..=128).contains(&value.len()) && value.bytes().all(plain)).then(|| RequestId(value.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The line of a decision, with so many outcomes. With `content`, also the judged texts and the rationales.
pub(super) fn decision(exchange: &ExchangeInfo, judged: &Judged<'_>, content: bool, most: usize) -> Vec<u8> {
    let Judged { stage, mode: _, window, segments, decision, took } = *judged;
    let outcome = match decision.action {
        Action::Block if decision.blocked_by_error() => "unavailable",
        Action::Block => "blocked",
        _ => "passed",
    };
    line(&Record {
        stage: Some(stage),
        window,
        action: Some(decision.action),
        unjudged: decision.unjudged,
        took_ms: Some(millis(took)),
        asked: decision.asked.iter().map(AskedLine::new).collect(),
        applied: decision.applied.iter().take(most).map(|applied| AppliedLine::new(applied, content)).collect(),
        applied_left_out: decision.applied.len().saturating_sub(most),
        texts: if content { segments.iter().map(TextLine::new).collect() } else { Vec::new() },
        ..Record::new(exchange, outcome)
    })
}

/// The line of a request that was not acceptable, or whose answer was not.
pub(super) fn refusal(exchange: &ExchangeInfo, status: u16, code: &'static str) -> Vec<u8> {
    line(&Record { status: Some(status), code: Some(code), ..Record::new(exchange, "refused") })
}

/// The line of an answer that was cut, or abandoned by its client.
pub(super) fn cut(exchange: &ExchangeInfo, code: &'static str) -> Vec<u8> {
    line(&Record { code: Some(code), ..Record::new(exchange, "cut") })
}

/// The line of media that goes by.
pub(super) fn let_by(exchange: &ExchangeInfo, stage: Stage, media: MediaCount) -> Vec<u8> {
    let media = media.iter().map(|(kind, count)| (kind.as_str(), count)).collect();
    line(&Record { stage: Some(stage), media, ..Record::new(exchange, "unjudged") })
}

/// RFC 3339 in UTC, to the millisecond. A clock before 1970 counts as 1970.
pub fn timestamp(at: SystemTime) -> String {
    format_rfc3339_millis(at.max(SystemTime::UNIX_EPOCH)).to_string()
}

#[derive(Serialize)]
struct Record<'a> {
    ts: String,
    exchange: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dialect: Option<&'a str>,
    generation: u64,
    digest: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<Stage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<u64>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<Action>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unjudged: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    media: BTreeMap<&'static str, u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    took_ms: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    asked: Vec<AskedLine<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    applied: Vec<AppliedLine<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    applied_left_out: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    texts: Vec<TextLine<'a>>,
}

#[derive(Serialize)]
struct Judge<'a> {
    engine: &'static str,
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_digest: Option<&'a str>,
    form: &'static str,
    effort: &'static str,
}

#[derive(Serialize)]
struct AskedLine<'a> {
    guardrail: &'a str,
    #[serde(flatten)]
    judge: Judge<'a>,
    segments: usize,
    answered: usize,
    cached: usize,
    took_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    margin: Option<f32>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    scores: BTreeMap<&'a str, f32>,
}

#[derive(Serialize)]
struct AppliedLine<'a> {
    guardrail: &'a str,
    #[serde(flatten)]
    judge: Judge<'a>,
    mode: Mode,
    segment: u32,
    kind: &'static str,
    action: Action,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    margin: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<Confidence>,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rationale: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_detail: Option<String>,
    took_ms: f64,
    cached: bool,
}

#[derive(Serialize)]
struct TextLine<'a> {
    segment: u32,
    role: &'static str,
    kind: &'static str,
    /// What lies before was decided before.
    fresh: usize,
    text: &'a str,
}

impl<'a> Record<'a> {
    fn new(exchange: &'a ExchangeInfo, outcome: &'static str) -> Self {
        Record {
            ts: timestamp(SystemTime::now()),
            exchange: exchange.id.to_string(),
            request_id: exchange.request_id.as_ref().map(RequestId::as_str),
            route: exchange.route.as_deref(),
            dialect: exchange.dialect.as_deref(),
            generation: exchange.generation,
            digest: &exchange.digest,
            stage: None,
            window: None,
            outcome,
            action: None,
            status: None,
            code: None,
            unjudged: false,
            media: BTreeMap::new(),
            took_ms: None,
            asked: Vec::new(),
            applied: Vec::new(),
            applied_left_out: 0,
            texts: Vec::new(),
        }
    }
}

impl<'a> Judge<'a> {
    fn new(identity: &'a Identity) -> Self {
        let policy = identity.policy.as_ref();
        Judge {
            engine: identity.engine,
            model: &identity.model,
            policy: policy.map(|policy| &*policy.id),
            policy_digest: policy.map(|policy| &*policy.digest),
            form: identity.form,
            effort: identity.reasoning.effort().as_str(),
        }
    }
}

impl<'a> AskedLine<'a> {
    fn new(asked: &'a Asked) -> Self {
        AskedLine {
            guardrail: &asked.guardrail,
            judge: Judge::new(&asked.identity),
            segments: asked.segments,
            answered: asked.answered,
            cached: asked.cached,
            took_ms: millis(asked.took),
            margin: asked.closest.as_ref().map(Scores::margin),
            scores: asked.closest.iter().flat_map(Scores::iter).map(|(label, score)| (label.as_str(), score)).collect(),
        }
    }
}

impl<'a> AppliedLine<'a> {
    fn new(applied: &'a Applied, content: bool) -> Self {
        let bare = AppliedLine {
            guardrail: &applied.guardrail,
            judge: Judge::new(&applied.identity),
            mode: applied.mode,
            segment: applied.segment.0,
            kind: applied.kind.as_str(),
            action: applied.action,
            label: None,
            score: None,
            margin: None,
            confidence: None,
            category: None,
            rationale: None,
            error: None,
            error_detail: None,
            took_ms: millis(applied.took),
            cached: applied.cached,
        };
        match &applied.outcome {
            Outcome::Label { label, grounds } => AppliedLine {
                label: Some(label.as_str()),
                score: grounds.score,
                margin: grounds.margin,
                confidence: grounds.confidence,
                category: grounds
                    .category
                    .as_ref()
                    .filter(|category| content || is_named(category))
                    .map(Category::as_str),
                rationale: grounds.rationale.as_deref().filter(|_| content),
                ..bare
            },
            // An engine's message may quote the text.
            Outcome::Error(error) => {
                AppliedLine { error: Some(error.kind()), error_detail: content.then(|| error.to_string()), ..bare }
            }
        }
    }
}

impl<'a> TextLine<'a> {
    fn new(segment: &'a Segment) -> Self {
        TextLine {
            segment: segment.id.0,
            role: segment.place.role.as_str(),
            kind: segment.place.kind.as_str(),
            fresh: segment.fresh,
            text: &segment.text,
        }
    }
}

/// Any other is the model's own word.
fn is_named(category: &Category) -> bool {
    matches!(category, Category::Named(_))
}

fn line(record: &Record<'_>) -> Vec<u8> {
    // Only a map with keys that are no strings, or a failing writer, could make this an error: there is neither.
    let mut line = serde_json::to_vec(record).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Milliseconds, to the microsecond.
pub fn millis(took: Duration) -> f64 {
    took.as_micros() as f64 / 1000.0
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::guardrail::{DetectError, Grounds, PolicyRef};
    use crate::policy::{Effort, Label};
    use crate::text::{Kind, Place, Role, SegmentId};

    pub fn exchange() -> ExchangeInfo {
        ExchangeInfo {
            id: Uuid::from_u128(7),
            request_id: RequestId::parse("req-1"),
            route: Some("chat".into()),
            dialect: Some("openai_chat".into()),
            generation: 3,
            digest: "abc".into(),
        }
    }

    pub fn segment() -> Segment {
        let place = Place { role: Role::User, kind: Kind::Content, turn: Some(0), editable: true };
        Segment { id: SegmentId(4), place, text: "the judged text".into(), fresh: 0, masked: Vec::new() }
    }

    fn identity() -> Identity {
        let policy = PolicyRef { id: "injection".into(), digest: "d1".into() };
        Identity {
            engine: "libtorch",
            model: "m1".into(),
            policy: Some(policy),
            form: "json",
            reasoning: Effort::Low.into(),
        }
    }

    pub fn applied(outcome: Outcome, action: Action) -> Applied {
        Applied {
            guardrail: "injection".into(),
            identity: identity(),
            mode: Mode::Enforce,
            segment: SegmentId(4),
            kind: Kind::Content,
            outcome,
            action,
            took: Duration::from_micros(1500),
            cached: true,
        }
    }

    pub fn labelled(category: &str) -> Outcome {
        labelled_as(Category::Named(category.into()))
    }

    fn labelled_as(category: Category) -> Outcome {
        Outcome::Label {
            label: Label::new("INJECTION"),
            grounds: Grounds {
                score: Some(0.5),
                margin: Some(0.25),
                confidence: Some(Confidence::Medium),
                category: Some(category),
                rationale: Some("it says why".into()),
            },
        }
    }

    pub fn decided(applied: Vec<Applied>, action: Action) -> Decision {
        let asked = Asked {
            guardrail: "injection".into(),
            identity: identity(),
            segments: 2,
            answered: 1,
            cached: 1,
            took: Duration::from_millis(2),
            closest: Scores::new([(Label::new("INJECTION"), 0.0), (Label::new("SAFE"), 0.0)]),
        };
        Decision { action, applied, asked: vec![asked], ..Decision::allow() }
    }

    fn told(decision: &Decision, content: bool) -> Value {
        let segments = [segment()];
        let judged = Judged {
            stage: Stage::Output,
            mode: Mode::Enforce,
            window: Some(2),
            segments: &segments,
            decision,
            took: Duration::from_micros(2500),
        };
        parse(&super::decision(&exchange(), &judged, content, APPLIED))
    }

    /// One line, and its value less the time.
    fn parse(line: &[u8]) -> Value {
        assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1, "one line");
        assert!(line.ends_with(b"\n"));
        let mut value: Value = serde_json::from_slice(line).unwrap();
        let ts = value["ts"].take();
        let ts = ts.as_str().unwrap();
        assert!(ts.len() == 24 && ts.ends_with('Z') && ts.as_bytes()[10] == b'T', "{ts}");
        value.as_object_mut().unwrap().remove("ts");
        value
    }

    #[test]
    fn a_decision_is_told_in_full() {
        let decision = decided(vec![applied(labelled("H2.f"), Action::Block)], Action::Block);
        assert_eq!(
            told(&decision, false),
            json!({
                "exchange": "00000000-0000-0000-0000-000000000007", "request_id": "req-1",
                "route": "chat", "dialect": "openai_chat", "generation": 3, "digest": "abc",
                "stage": "output", "window": 2, "outcome": "blocked", "action": "block", "took_ms": 2.5,
                "asked": [{
                    "guardrail": "injection", "engine": "libtorch", "model": "m1", "policy": "injection",
                    "policy_digest": "d1", "form": "json", "effort": "low",
                    "segments": 2, "answered": 1, "cached": 1, "took_ms": 2.0,
                    "margin": 0.0, "scores": {"INJECTION": 0.0, "SAFE": 0.0},
                }],
                "applied": [{
                    "guardrail": "injection", "engine": "libtorch", "model": "m1", "policy": "injection",
                    "policy_digest": "d1", "form": "json", "effort": "low",
                    "mode": "enforce", "segment": 4, "kind": "content", "action": "block",
                    "label": "INJECTION", "score": 0.5, "margin": 0.25, "confidence": "medium", "category": "H2.f", "took_ms": 1.5, "cached": true,
                }],
            })
        );
    }

    #[test]
    fn content_is_told_by_setting_alone() {
        let error = Outcome::Error(DetectError::Engine("quotes the text".into()));
        let list = vec![
            applied(labelled_as(Category::Free("a free word".into())), Action::Redact),
            applied(error, Action::Allow),
        ];
        let decision = Decision { unjudged: true, ..decided(list, Action::Redact) };
        let quiet = told(&decision, false);
        for hidden in ["the judged text", "it says why", "a free word", "quotes the text"] {
            assert!(!quiet.to_string().contains(hidden), "{hidden}");
        }
        assert_eq!((&quiet["applied"][1]["error"], &quiet["unjudged"]), (&json!("engine"), &json!(true)));
        let full = told(&decision, true);
        assert_eq!(full["texts"][0]["text"], "the judged text");
        assert_eq!(full["applied"][0]["rationale"], "it says why");
        assert_eq!(full["applied"][0]["category"], "a free word");
        assert_eq!(full["applied"][1]["error_detail"], "the engine failed: quotes the text");
    }

    #[test]
    fn a_block_by_error_is_told_apart() {
        let timeout = Outcome::Error(DetectError::Timeout(Duration::from_millis(5)));
        let decision = decided(vec![applied(timeout, Action::Block)], Action::Block);
        assert_eq!(told(&decision, false)["outcome"], "unavailable");
        assert_eq!(told(&Decision::allow(), false)["outcome"], "passed");
    }

    #[test]
    fn a_line_stays_short() {
        let many = (0..1000).map(|_| applied(labelled("c"), Action::Annotate)).collect();
        let line = told(&decided(many, Action::Annotate), false);
        assert_eq!(line["applied"].as_array().unwrap().len(), APPLIED);
        assert_eq!(line["applied_left_out"], 1000 - APPLIED);
    }

    #[test]
    fn refusals_and_cuts_are_lines_too() {
        let bare = ExchangeInfo { request_id: None, route: None, dialect: None, ..exchange() };
        assert_eq!(
            parse(&refusal(&bare, 404, "unknown_route")),
            json!({
                "exchange": "00000000-0000-0000-0000-000000000007", "route": null, "generation": 3, "digest": "abc",
                "outcome": "refused", "status": 404, "code": "unknown_route",
            })
        );
        let cut = parse(&cut(&exchange(), "upstream_error"));
        assert_eq!((&cut["outcome"], &cut["code"]), (&json!("cut"), &json!("upstream_error")));
    }

    #[test]
    fn only_plain_request_ids_are_taken() {
        assert_eq!(RequestId::parse("a.B_9:/+=@-").unwrap().as_str(), "a.B_9:/+=@-");
        for bad in ["", "a b", "a\nb", "é", "\"", &"x".repeat(129)] {
            assert_eq!(RequestId::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_clock_before_the_epoch_is_no_panic() {
        assert_eq!(timestamp(SystemTime::UNIX_EPOCH - Duration::from_secs(9)), "1970-01-01T00:00:00.000Z");
    }
}
