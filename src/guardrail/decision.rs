//! A decision: the verdicts of a stage, folded. The only thing that can clear traffic.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::guardrail::{Action, DetectError, Grounds, Identity, Mode, Scores};
use crate::policy::Label;
use crate::text::{Edits, Kind, SegmentId};

/// What a stage decided, and why.
#[derive(Debug, Clone)]
pub struct Decision {
    /// The strongest action among the enforced outcomes.
    pub action: Action,
    /// Who was asked, in the order of the guardrails: what a plain Allow rests on.
    pub asked: Vec<Asked>,
    /// Everything that was not plain Allow, in the order of guardrail, segment, label.
    pub applied: Vec<Applied>,
    /// What redaction replaces, by segment. Empty unless `action` is Redact.
    pub edits: BTreeMap<SegmentId, Edits>,
    /// A guardrail had no verdict and `on_error = "allow"` let the traffic through.
    pub unjudged: bool,
}

/// One guardrail's part in a decision, whatever it found.
#[derive(Debug, Clone)]
pub struct Asked {
    pub guardrail: Arc<str>,
    pub identity: Identity,
    /// How many segments it was to judge.
    pub segments: usize,
    /// How many of them had an answer (a verdict or an error) when the stage was decided: a block ends the rest.
    pub answered: usize,
    /// How many of the answers came from the verdict cache.
    pub cached: usize,
    /// From the first ask to the last answer.
    pub took: Duration,
    /// Of its verdicts, the scores of the one that was the closest.
    pub closest: Option<Scores>,
}

/// One outcome of one guardrail on one segment.
#[derive(Debug, Clone)]
pub struct Applied {
    pub guardrail: Arc<str>,
    pub identity: Identity,
    pub mode: Mode,
    pub segment: SegmentId,
    pub kind: Kind,
    pub outcome: Outcome,
    /// What the outcome leads to; in observe mode, what it would have led to.
    pub action: Action,
    /// From the ask to the verdict.
    pub took: Duration,
    /// Taken from the verdict cache.
    pub cached: bool,
}

/// What a guardrail came to.
#[derive(Debug, Clone)]
pub enum Outcome {
    Label { label: Label, grounds: Grounds },
    Error(DetectError),
}

/// A value that a decision has let through. The sending side takes nothing else.
#[derive(Debug)]
pub struct Cleared<T>(T);

impl Decision {
    /// Nothing was asked, or nothing was found.
    pub fn allow() -> Self {
        Decision {
            action: Action::Allow,
            asked: Vec::new(),
            applied: Vec::new(),
            edits: BTreeMap::new(),
            unjudged: false,
        }
    }

    /// The permit: `value` if this decision lets it through, else nothing.
    pub fn clear<T>(&self, value: T) -> Option<Cleared<T>> {
        (self.action != Action::Block).then_some(Cleared(value))
    }

    /// The enforced outcome that blocks, if one does.
    pub fn blocking(&self) -> Option<&Applied> {
        self.applied.iter().find(|applied| applied.mode == Mode::Enforce && applied.action == Action::Block)
    }

    /// Whether what blocks is a failed detector and not a label.
    pub fn blocked_by_error(&self) -> bool {
        self.blocking().is_some_and(|applied| matches!(applied.outcome, Outcome::Error(_)))
    }
}

impl<T> Cleared<T> {
    pub fn into_inner(self) -> T {
        self.0
    }
}
