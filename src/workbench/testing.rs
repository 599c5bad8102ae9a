//! For the tests of the workbench: a detector that says what it is told, after as long as it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;

use crate::guardrail::{Ask, DetectError, Detector, Finding, Identity, Verdict};
use crate::policy::{Effort, Label, Policy};
use crate::workbench::Classifier;

/// How long an answer takes, and the answer.
type Answer = (Duration, Result<Verdict, DetectError>);

/// Answers by the text.
pub struct Fake {
    identity: Identity,
    answer: Box<dyn Fn(&str) -> Answer + Send + Sync>,
    asked: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
}

/// A detector, and a classifier on it. Its policy has the labels `WORSE`, `BAD` and `FINE`, of which the last is safe.
pub fn fake(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> (Arc<Fake>, Classifier) {
    let labels = "{ label = \"WORSE\", reply = \"W\" }, { label = \"BAD\", reply = \"B\" }, { label = \"FINE\", reply = \"F\", safe = true }";
    let policy = Policy::parse("p", &format!("+++\nform = \"label\"\nlabels = [{labels}]\n+++\nText.")).unwrap();
    let reasoning = Effort::None.into();
    let fake = Arc::new(Fake {
        identity: Identity { engine: "fake", model: "m".into(), policy: None, form: "label", reasoning },
        answer: Box::new(answer),
        asked: AtomicUsize::new(0),
        open: AtomicUsize::new(0),
        most_open: AtomicUsize::new(0),
    });
    (fake.clone(), Classifier::of(fake, policy.into()))
}

/// A verdict with these labels.
pub fn found(labels: &[&str]) -> Result<Verdict, DetectError> {
    let findings = labels.iter().map(|label| Finding::new(Label::new(label), Vec::new())).collect();
    Ok(Verdict { findings, ..Verdict::default() })
}

impl Fake {
    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// How many asks it had before it at once, at most.
    pub fn most_open(&self) -> usize {
        self.most_open.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Detector for Fake {
    async fn detect(&self, ask: &Ask) -> Result<Verdict, DetectError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_open.fetch_max(open, Ordering::Relaxed);
        let (takes, verdict) = (self.answer)(&ask.segment.text);
        sleep(takes).await;
        self.open.fetch_sub(1, Ordering::Relaxed);
        verdict
    }

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn labels(&self) -> &[Label] {
        &[]
    }
}
