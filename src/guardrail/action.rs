//! Actions and stages: what a label leads to, and where.

use serde::{Deserialize, Serialize};

/// What is done with the traffic. Ordered by strength: of several, the strongest is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Allow,
    /// Passed on unchanged; the answer's headers and the audit say what was found.
    Annotate,
    /// The spans found are replaced; where the detector names no span, the whole text.
    Redact,
    Block,
}

/// On which side of the upstream a guardrail stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    Input,
    Output,
}

impl Action {
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Allow => "allow",
            Action::Annotate => "annotate",
            Action::Redact => "redact",
            Action::Block => "block",
        }
    }
}

impl Stage {
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Input => "input",
            Stage::Output => "output",
        }
    }
}
