//! For this module's tests: policies, and asks to go with them.

pub use crate::detectors::testing::ask;
use crate::policy::{Form, Label, Policy, PolicyLabel};

/// `labels` are label, reply, and whether it is safe.
pub fn policy(form: Form, labels: &[(&str, &str, bool)]) -> Policy {
    let label = |&(label, reply, safe): &(&str, &str, bool)| PolicyLabel {
        label: Label::new(label),
        reply: reply.into(),
        safe,
        moderation: None,
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
