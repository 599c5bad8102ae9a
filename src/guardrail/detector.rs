//! The seam to the detectors: an ask goes in, a verdict or an error comes out.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::guardrail::{Listener, Stage};
use crate::policy::{Label, Reasoning};
use crate::text::{Place, Segment, Span};

/// Judges one segment. Dropping the future cancels the work behind it.
#[async_trait]
pub trait Detector: Send + Sync {
    async fn detect(&self, ask: &Ask) -> Result<Verdict, DetectError>;

    /// Who judges, under what. Two detectors with equal identities give the same verdict on the same text.
    fn identity(&self) -> &Identity;

    /// Every label that a verdict of this detector can carry.
    fn labels(&self) -> &[Label];

    /// Whether a text at this place is anything that this detector could speak of.
    fn judges(&self, _place: &Place) -> bool {
        true
    }

    /// Whether a verdict is worth keeping: false where judging costs less than the look-up.
    fn cacheable(&self) -> bool {
        true
    }

    /// Whether it finds what stands in plain sight at once, however little time there is, and says that it did no more: so it
    /// is asked past the deadline, too.
    fn finds_at_once(&self) -> bool {
        false
    }
}

/// One question: does this segment fall under a label?
#[derive(Debug, Clone)]
pub struct Ask {
    pub stage: Stage,
    pub segment: Segment,
    pub priority: Priority,
    /// When the answer is no longer of use. The evaluation enforces it; a detector may use it to order its queue, and leaves what
    /// it waits for before, lest what it has found is lost.
    pub deadline: Instant,
    /// How long that was, in all.
    pub within: Duration,
    /// Is told how the judging goes on; nobody is, of a proxy's traffic.
    pub listener: Option<Listener>,
}

/// Asks that hold traffic up go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    Annotating,
    Blocking,
}

/// What a detector found; no finding means that nothing it looks for is there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    pub findings: Vec<Finding>,
    /// Labels that say that nothing is there, of the text or of parts of it, where the detector can tell.
    pub safe: Vec<Label>,
    /// How the labels compare, where the detector can tell: also where nothing was found.
    pub scores: Option<Scores>,
    /// Why there is no verdict on a part of the text, or not all of one. What was found counts all the same.
    pub failed: Option<DetectError>,
}

/// Log-probabilities of at least two labels, in nats, the best first.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores(Vec<(Label, f32)>);

/// One label, and what is known of why.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    pub label: Label,
    /// Byte ranges in the segment's text; none means the text as a whole.
    pub spans: Vec<Span>,
    pub grounds: Grounds,
}

/// What is known of why a label was found; each where the detector can tell.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Grounds {
    /// The label's share among all labels, 0..=1.
    pub score: Option<f32>,
    /// By how much the label leads the second, in nats.
    pub margin: Option<f32>,
    /// What the model says of its own certainty.
    pub confidence: Option<Confidence>,
    pub category: Option<Category>,
    /// Why, in words. For people who own the policy: never shown to clients, audited only by setting.
    pub rationale: Option<Arc<str>>,
}

/// Which of the policy's rules it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Category {
    /// A code that the policy names (`H2.f`).
    Named(Arc<str>),
    /// What the model calls it where the policy names none: it may quote the text.
    Free(Arc<str>),
}

/// How sure a model says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    High,
    Medium,
    Low,
}

impl Category {
    pub fn as_str(&self) -> &str {
        match self {
            Category::Named(code) | Category::Free(code) => code,
        }
    }
}

impl Finding {
    /// A finding with a label and spans alone.
    pub fn new(label: Label, spans: Vec<Span>) -> Self {
        Finding { label, spans, grounds: Grounds::default() }
    }
}

impl Scores {
    /// Takes the log-probability of each label. One so small that its share could not be told from nothing counts as the
    /// smallest that can. Nothing for fewer than two labels, which leave nothing to compare.
    pub fn new(scores: impl IntoIterator<Item = (Label, f32)>) -> Option<Self> {
        let told = |score: f32| score.clamp(f32::MIN_POSITIVE.ln(), 0.0);
        let mut scores: Vec<_> = scores.into_iter().map(|(label, score)| (label, told(score))).collect();
        scores.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        (scores.len() > 1).then_some(Scores(scores))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Label, f32)> {
        self.0.iter().map(|(label, score)| (label, *score))
    }

    /// Best minus second, in nats.
    pub fn margin(&self) -> f32 {
        match &self.0[..] {
            [(_, best), (_, second), ..] => best - second,
            _ => 0.0,
        }
    }
}

/// Who judges: all that the verdict on a given text depends on. Key of the verdict cache, and named in the audit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// `pattern`, `libtorch`, `remote`, `cascade`.
    pub engine: &'static str,
    /// Digest of the model's configuration and weights' headers, or of the pattern set; of a remote model its id, and a digest of
    /// how it is asked.
    pub model: Arc<str>,
    pub policy: Option<PolicyRef>,
    /// The output form that the reply is held to (`binary`, `label`, `json`).
    pub form: &'static str,
    /// How long the model may reason.
    pub reasoning: Reasoning,
}

/// A written policy, by name and by content.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PolicyRef {
    pub id: Arc<str>,
    /// Hex SHA-256 of the policy's file.
    pub digest: Arc<str>,
}

/// Why there is no verdict. Never read as "nothing found": the guardrail's `on_error` decides.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DetectError {
    #[error("no verdict within {} ms", .0.as_millis())]
    Timeout(Duration),
    #[error("the engine's queue is full ({capacity} asks)")]
    Overloaded { capacity: usize },
    #[error("the model's reply is not of the policy's output form: {0}")]
    Unparseable(&'static str),
    #[error("the model's reply was cut off after {tokens} tokens")]
    Truncated { tokens: usize },
    /// Leads to a block, whatever `on_error` says.
    #[error("the text is too long to judge: {length} {unit}, at most {limit}")]
    TooLong { length: usize, limit: usize, unit: &'static str },
    #[error("the engine failed: {0}")]
    Engine(Arc<str>),
}

impl DetectError {
    /// The word for metrics and the audit.
    pub fn kind(&self) -> &'static str {
        match self {
            DetectError::Timeout(_) => "timeout",
            DetectError::Overloaded { .. } => "overloaded",
            DetectError::Unparseable(_) => "unparseable",
            DetectError::Truncated { .. } => "truncated",
            DetectError::TooLong { .. } => "too_long",
            DetectError::Engine(_) => "engine",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_sorted_and_their_margin_is_finite() {
        let scores = |shares: &[(&str, f32)]| Scores::new(shares.iter().map(|&(l, s)| (Label::new(l), s.ln())));
        let three = scores(&[("a", 0.2), ("b", 0.5), ("c", 0.3)]).unwrap();
        assert_eq!(three.iter().map(|(label, _)| label.as_str()).collect::<String>(), "bca");
        assert!((three.margin() - (0.5f32 / 0.3).ln()).abs() < 1e-6);
        let sure = scores(&[("a", 1.0), ("b", 0.0)]).unwrap();
        assert!(sure.margin() > 80.0 && sure.margin().is_finite());
        assert_eq!(scores(&[("a", 0.5), ("b", 0.5)]).unwrap().margin(), 0.0);
        assert_eq!(scores(&[("a", 1.0)]), None);
    }
}
