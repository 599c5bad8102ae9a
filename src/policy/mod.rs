//! Policies: what is judged, in plain language, with the labels and the output form that the text asks the model for.

mod doubt;
mod effort;
mod front_matter;
mod label;
mod terms;

pub use doubt::Doubt;
pub use effort::{Effort, Nats, Reasoning};
pub use front_matter::{PolicyError, hex_sha256};
pub use label::Label;
pub use terms::{Action, Mode, OnError, Scope, Stage, Timing};

use std::sync::Arc;

use serde::Deserialize;

/// One written policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The folder's name under `policies/`.
    pub id: Arc<str>,
    /// What the model reads: the file less its front matter.
    pub text: Arc<str>,
    /// Hex SHA-256 of the whole file.
    pub digest: Arc<str>,
    pub form: Form,
    /// In the order of the front matter; replies are distinct and at least one label is not safe.
    pub labels: Vec<PolicyLabel>,
    /// Codes of the policy's rules, of which the model names one: distinct words as [`Policy::CATEGORY_RULE`] says. Without
    /// any it names what it likes. In JSON form alone.
    pub categories: Vec<Arc<str>>,
}

impl Policy {
    /// Whether this is a label of the policy that says that nothing was found.
    pub fn is_safe(&self, label: &str) -> bool {
        self.labels.iter().any(|known| known.safe && known.label.as_str() == label)
    }
}

/// One outcome that the policy names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyLabel {
    pub label: Label,
    /// What the model writes for it, to the letter (`1`, `INVALID`); in JSON form, the value of `violation`.
    pub reply: Arc<str>,
    /// Nothing was found: leads to Allow, and to no finding.
    pub safe: bool,
    /// The category of OpenAI's moderations that it is told as (`sexual/minors`), as [`Policy::MODERATION_RULE`] says. Of a
    /// label that is not safe alone.
    pub moderation: Option<Arc<str>>,
}

/// The form of the reply that the policy's text asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// One character, `0` or `1`.
    Binary,
    /// One of the labels' replies.
    Label,
    /// `{"violation": 0|1, "policy_category": "..."|null, ...}`.
    Json,
}

impl Form {
    pub fn as_str(self) -> &'static str {
        match self {
            Form::Binary => "binary",
            Form::Label => "label",
            Form::Json => "json",
        }
    }
}
