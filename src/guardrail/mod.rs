//! Guardrails: which detector is asked at which stage, and what its labels lead to. Knows no wire form, no engine and no
//! socket; detectors implement [`Detector`], and [`evaluate`] folds their verdicts into one [`Decision`].

mod cache;
mod decision;
mod detector;
mod evaluate;
mod fold;
mod listener;
mod plan;

pub use cache::VerdictCache;
pub use decision::{Applied, Asked, Cleared, Decision, Outcome};
pub use detector::{
    Ask, Category, Confidence, DetectError, Detector, Finding, Grounds, Identity, PolicyRef, Priority, Scores, Verdict,
};
pub use evaluate::evaluate;
pub use listener::{Heard, Listener};
pub use plan::Guardrail;

/// The terms that the configuration reads, under the name of the layer that acts on them.
pub use crate::policy::{Action, Mode, OnError, Scope, Stage, Timing};
