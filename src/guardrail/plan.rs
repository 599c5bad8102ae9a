//! A guardrail: a detector at its stages, the action that each label leads to, and what happens when it fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::guardrail::Detector;
use crate::policy::{Action, Label, Mode, OnError, Scope, Stage, Timing};
use crate::text::{Kind, Place, Role, Segment};

/// One guardrail, ready to be asked.
pub struct Guardrail {
    pub id: Arc<str>,
    pub stages: Vec<Stage>,
    pub detector: Arc<dyn Detector>,
    /// One entry for every label of the detector: `assemble` sees to it.
    pub actions: BTreeMap<Label, Action>,
    /// Replacement texts of redactions; a label without one gets `[REDACTED:label]`.
    pub masks: BTreeMap<Label, Arc<str>>,
    pub on_error: OnError,
    pub deadline: Duration,
    pub scope: Scope,
    pub mode: Mode,
    pub timing: Timing,
}

impl Guardrail {
    /// The action for a label. A label that no entry names cannot come from the guardrail's own detector; were one to,
    /// it blocks.
    pub fn action(&self, label: &Label) -> Action {
        self.actions.get(label).copied().unwrap_or(Action::Block)
    }

    /// The replacement text of a redaction.
    pub fn mask(&self, label: &Label) -> Arc<str> {
        self.masks.get(label).cloned().unwrap_or_else(|| format!("[REDACTED:{label}]").into())
    }

    /// The segments of `segments` that this guardrail judges.
    pub fn selects<'a>(&self, stage: Stage, segments: &'a [Segment]) -> impl Iterator<Item = &'a Segment> {
        let last_user = match (stage, self.scope) {
            (Stage::Input, Scope::LastUser) => {
                Some(segments.iter().filter(|s| is_user_content(&s.place)).filter_map(|s| s.place.turn).max())
            }
            _ => None,
        };
        segments.iter().filter(move |segment| match last_user {
            None => true,
            Some(turn) => is_user_content(&segment.place) && segment.place.turn == turn,
        })
    }
}

fn is_user_content(place: &Place) -> bool {
    place.role == Role::User && place.kind == Kind::Content
}
