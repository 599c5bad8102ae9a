//! For the tests of detectors: asks, and a detector that says what it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use crate::guardrail::{Ask, DetectError, Detector, Identity, Priority, Stage, Verdict};
use crate::policy::{Effort, Label};
use crate::text::{Kind, Place, Role, Segment, SegmentId};

/// Says the same of every text, and counts how often it is asked.
pub struct Says {
    identity: Identity,
    labels: Vec<Label>,
    answer: Result<Verdict, DetectError>,
    asked: AtomicUsize,
}

/// One that can find `BAD`.
pub fn says(model: &str, answer: Result<Verdict, DetectError>) -> Arc<Says> {
    let reasoning = Effort::None.into();
    let identity = Identity { engine: "test", model: model.into(), policy: None, form: "binary", reasoning };
    Arc::new(Says { identity, labels: vec![Label::new("BAD")], answer, asked: AtomicUsize::new(0) })
}

impl Says {
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Detector for Says {
    async fn detect(&self, _: &Ask) -> Result<Verdict, DetectError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.answer.clone()
    }

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn labels(&self) -> &[Label] {
        &self.labels
    }

    fn judges(&self, place: &Place) -> bool {
        place.kind.is_text()
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
