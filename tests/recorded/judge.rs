//! Guardrails as they stand in a deployment, asked once for each window.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use portcullis::detectors::pattern::{Builtin, PatternDetector, PatternSpec};
use portcullis::guardrail::{
    Action, Decision, Detector, Guardrail, Mode, OnError, Scope, Stage, Timing, VerdictCache, evaluate,
};
use portcullis::policy::Label;
use portcullis::text::Segment;

/// What the guardrail finds.
pub const SECRETS: [&str; 3] = ["bob@example.com", "4111 1111 1111 1111", "project bluebird"];

/// Whether any of it stands in a text.
pub fn shows(text: &str) -> bool {
    SECRETS.iter().any(|secret| text.contains(secret))
}

/// A guardrail of patterns, and what it said before.
pub struct Judge {
    guardrails: Vec<Arc<Guardrail>>,
    cache: VerdictCache,
    runtime: tokio::runtime::Runtime,
    said: RefCell<HashMap<String, Decision>>,
}

impl Judge {
    pub fn new(action: Action) -> Self {
        let words = vec![(Label::new("phrase"), vec![SECRETS[2].into()])];
        let spec = PatternSpec { builtin: vec![Builtin::Card, Builtin::Email], words, ..Default::default() };
        let detector = PatternDetector::new(&spec).expect("sound patterns");
        let guardrail = Guardrail {
            id: "patterns".into(),
            stages: vec![Stage::Input, Stage::Output],
            actions: detector.labels().iter().map(|label| (label.clone(), action)).collect(),
            detector: Arc::new(detector),
            masks: BTreeMap::new(),
            on_error: OnError::Block,
            deadline: Duration::from_secs(600),
            scope: Scope::Conversation,
            mode: Mode::Enforce,
            timing: Timing::Before,
        };
        Judge {
            guardrails: vec![Arc::new(guardrail)],
            cache: VerdictCache::new(0),
            runtime: tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime"),
            said: RefCell::default(),
        }
    }

    pub fn decide(&self, stage: Stage, segments: &[Segment]) -> Decision {
        let key = format!("{stage:?} {segments:?}");
        if let Some(decision) = self.said.borrow().get(&key) {
            return decision.clone();
        }
        let decision = self.runtime.block_on(evaluate(&self.guardrails, stage, segments, &self.cache));
        self.said.borrow_mut().insert(key, decision.clone());
        decision
    }
}
