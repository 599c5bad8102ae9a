//! For this module's tests: policies, and asks to go with them.

use std::time::Duration;

use crate::guardrail::{Ask, Priority, Stage};
use crate::policy::{Form, Label, Policy, PolicyLabel};
use crate::text::{Kind, Place, Role, Segment, SegmentId};

/// `labels` are label, reply, and whether it is safe.
pub fn policy(form: Form, labels: &[(&str, &str, bool)]) -> Policy {
    let label = |&(label, reply, safe): &(&str, &str, bool)| PolicyLabel {
        label: Label::new(label),
        reply: reply.into(),
        safe,
    };
    Policy {
        id: "test".into(),
        text: "Answer with one of the labels.".into(),
        digest: "0".into(),
        form,
        labels: labels.iter().map(label).collect(),
        categories: Vec::new(),
    }
}

pub fn ask(text: &str) -> Ask {
    let place = Place { role: Role::User, kind: Kind::Content, turn: Some(0), editable: true };
    Ask {
        stage: Stage::Input,
        segment: Segment { id: SegmentId(0), place, text: text.into(), fresh: 0, masked: Vec::new() },
        priority: Priority::Blocking,
        deadline: tokio::time::Instant::now() + Duration::from_secs(60),
        within: Duration::from_secs(60),
        listener: None,
    }
}
