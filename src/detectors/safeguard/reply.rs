//! The reply: what a model answered on one window, however it was asked.

use crate::guardrail::{DetectError, Finding, Scores};
use crate::policy::Label;

/// What a model answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// Nothing where the label is a safe one. Without spans: those are in `excerpts`.
    pub finding: Option<Finding>,
    /// The label where it is a safe one.
    pub safe: Option<Label>,
    /// The words that the finding speaks of; none for all of the text.
    pub excerpts: Vec<String>,
    /// Nothing where the policy has a single label.
    pub scores: Option<Scores>,
    /// Why there are no more than a label.
    pub failed: Option<DetectError>,
}
