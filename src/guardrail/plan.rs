//! A guardrail: a detector at its stages, the action that each label leads to, and what happens when it fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::guardrail::Detector;
use crate::policy::{Action, Label, Mode, OnError, Scope, Stage, Timing};
use crate::text::view::folded;
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
        let asked_now = match (stage, self.scope) {
            (Stage::Input, Scope::LastUser) => Some(AskedNow::in_turns_of(segments)),
            _ => None,
        };
        // A request in which the user says nothing must not slip through: what is answered then was said before.
        let says = |asked: &AskedNow| segments.iter().any(|segment| asked.holds(&segment.place) && is_said(segment));
        let asked_now = asked_now.filter(says);
        segments.iter().filter(move |segment| asked_now.as_ref().is_none_or(|asked| asked.holds(&segment.place)))
    }
}

/// What the user has said since the assistant last spoke, one message or several, whatever parts they have; and what the user
/// says outside of turns.
struct AskedNow {
    /// Turns up to this one are past.
    answered: Option<u32>,
}

impl AskedNow {
    fn in_turns_of(segments: &[Segment]) -> Self {
        let assistant = segments.iter().filter(|segment| segment.place.role == Role::Assistant);
        AskedNow { answered: assistant.filter_map(|segment| segment.place.turn).max() }
    }

    fn holds(&self, place: &Place) -> bool {
        place.role == Role::User && (place.turn.is_none() || place.turn > self.answered)
    }
}

/// Whether somebody would see that something is said here: a name or an invisible character says nothing.
fn is_said(segment: &Segment) -> bool {
    segment.place.kind == Kind::Content && !folded(&segment.text).trim().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::SegmentId;

    #[test]
    fn what_is_asked_now_is_all_that_follows_the_assistant() {
        let segment = |turn: u32, role: Role, kind: Kind| Segment {
            id: SegmentId(turn),
            place: Place { role, kind, turn: Some(turn), editable: true },
            text: "x".into(),
            fresh: 0,
            masked: Vec::new(),
        };
        let turns = [
            segment(0, Role::User, Kind::Content),
            segment(1, Role::Assistant, Kind::Content),
            segment(2, Role::User, Kind::Content),
            segment(3, Role::System, Kind::Content),
            segment(4, Role::User, Kind::Name),
        ];
        let asked = AskedNow::in_turns_of(&turns);
        let held: Vec<u32> = turns.iter().filter(|s| asked.holds(&s.place)).map(|s| s.id.0).collect();
        assert_eq!(held, [2, 4]);
        assert!(AskedNow::in_turns_of(&turns[2..]).holds(&turns[2].place));
    }
}
