//! The terms of a guardrail: stage, action, scope, mode, timing, and what an error leads to. Plain words that the
//! configuration reads and the layers above act on.

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

/// What a failed detector leads to. Has no default: somebody has to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    Block,
    /// Goes on without a verdict; logged, counted and marked on the answer.
    Allow,
}

/// Which segments of a request are judged. An answer is always judged whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// What the user has said since the assistant last spoke; all of a request in which that is nothing. For policies on what
    /// is asked now: it does not see the rest.
    LastUser,
    /// Every text of the request.
    #[default]
    Conversation,
}

/// Whether the actions are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    #[default]
    Enforce,
    /// Judges and reports; bytes and timing stay as they are.
    Observe,
}

/// When the input stage is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Timing {
    /// Nothing unjudged goes to the upstream.
    #[default]
    Before,
    /// The upstream starts while the prompt is judged; nothing comes back before the verdict.
    Beside,
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

impl OnError {
    pub fn as_str(self) -> &'static str {
        match self {
            OnError::Block => "block",
            OnError::Allow => "allow",
        }
    }
}

impl Scope {
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::LastUser => "last_user",
            Scope::Conversation => "conversation",
        }
    }
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Enforce => "enforce",
            Mode::Observe => "observe",
        }
    }
}

impl Timing {
    pub fn as_str(self) -> &'static str {
        match self {
            Timing::Before => "before",
            Timing::Beside => "beside",
        }
    }
}
