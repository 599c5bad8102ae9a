//! Judges: the classifiers that are kept for the next ask. Each keeps its policy in the engine's memory, so that their
//! number is bounded, and that of drafts, which come by the keystroke, more tightly.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::{Engine, EngineRun};
use crate::policy::{Policy, Reasoning};
use crate::workbench::Classifier;

/// Kept at once: policies of the deployment, in their efforts; and drafts.
const POLICIES: usize = 32;
const DRAFTS: usize = 4;

/// What judges: a policy, on an engine, with so much reasoning.
pub struct Brief {
    pub policy: Arc<Policy>,
    pub engine: Arc<Engine>,
    pub reasoning: Reasoning,
    /// Of the page, and in no file.
    pub draft: bool,
}

/// The last used at the end.
#[derive(Default)]
pub struct Judges(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// Of the configuration. What another one has left is let go, and the engines with it.
    generation: u64,
    judges: Vec<(Key, Arc<Classifier>)>,
}

#[derive(Clone, PartialEq, Eq)]
struct Key {
    draft: bool,
    id: Arc<str>,
    digest: Arc<str>,
    engine: EngineRun,
    reasoning: Reasoning,
}

impl Judges {
    /// The one that is kept for this brief.
    pub fn get(&self, generation: u64, brief: &Brief) -> Option<Arc<Classifier>> {
        let mut kept = self.of(generation)?;
        let key = Key::of(brief);
        let at = kept.judges.iter().position(|(known, _)| *known == key)?;
        let found = kept.judges.remove(at);
        let judge = found.1.clone();
        kept.judges.push(found);
        Some(judge)
    }

    /// Keeps one, in the place of the one of its kind that was used the longest ago. One made for an earlier generation is
    /// not kept.
    pub fn keep(&self, generation: u64, brief: &Brief, judge: &Arc<Classifier>) {
        let Some(mut kept) = self.of(generation) else { return };
        let key = Key::of(brief);
        kept.judges.retain(|(known, _)| *known != key);
        let most = if brief.draft { DRAFTS } else { POLICIES };
        let alike = |(known, _): &(Key, Arc<Classifier>)| known.draft == brief.draft;
        if kept.judges.iter().filter(|judge| alike(judge)).count() >= most
            && let Some(oldest) = kept.judges.iter().position(alike)
        {
            kept.judges.remove(oldest);
        }
        kept.judges.push((key, judge.clone()));
    }

    /// Lets go what earlier generations have left.
    pub fn begin(&self, generation: u64) {
        drop(self.of(generation));
    }

    /// Those of this generation; nothing where another has begun since.
    fn of(&self, generation: u64) -> Option<MutexGuard<'_, Kept>> {
        // A panic under the lock leaves the list whole: every change to it is one call.
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.generation < generation {
            *kept = Kept { generation, judges: Vec::new() };
        }
        (kept.generation == generation).then_some(kept)
    }
}

impl Key {
    fn of(brief: &Brief) -> Self {
        let Policy { id, digest, .. } = &*brief.policy;
        let (id, digest) = (id.clone(), digest.clone());
        Key { draft: brief.draft, id, digest, engine: brief.engine.run.clone(), reasoning: brief.reasoning }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guardrail::{Ask, DetectError, Detector, Identity, Verdict};
    use crate::policy::{Effort, Label};
    use async_trait::async_trait;

    struct Nobody(Identity);

    #[async_trait]
    impl Detector for Nobody {
        async fn detect(&self, _: &Ask) -> Result<Verdict, DetectError> {
            Ok(Verdict::default())
        }

        fn identity(&self) -> &Identity {
            &self.0
        }

        fn labels(&self) -> &[Label] {
            &[]
        }
    }

    fn brief(text: usize, draft: bool, effort: Effort) -> Brief {
        let head = "+++\nform = \"binary\"\nlabels = [{ label = \"BAD\", reply = \"1\" }, { label = \"FINE\", reply = \"0\", safe = true }]";
        let policy = Policy::parse("p", &format!("{head}\n+++\nText {text}.")).unwrap().into();
        let engine = Engine::of_model("m".as_ref()).into();
        Brief { policy, engine, reasoning: effort.into(), draft }
    }

    fn judge(brief: &Brief) -> Arc<Classifier> {
        let reasoning = brief.reasoning;
        let identity = Identity { engine: "none", model: "m".into(), policy: None, form: "binary", reasoning };
        Classifier::of(Arc::new(Nobody(identity)), brief.policy.clone()).into()
    }

    fn keep(judges: &Judges, generation: u64, brief: &Brief) -> Arc<Classifier> {
        let judge = judge(brief);
        judges.keep(generation, brief, &judge);
        judge
    }

    #[test]
    fn of_each_kind_the_last_used_are_kept() {
        let judges = Judges::default();
        let policy = keep(&judges, 1, &brief(0, false, Effort::Low));
        let drafts: Vec<_> = (0..DRAFTS).map(|n| keep(&judges, 1, &brief(n, true, Effort::Low))).collect();
        assert!(Arc::ptr_eq(&judges.get(1, &brief(0, true, Effort::Low)).unwrap(), &drafts[0]));
        keep(&judges, 1, &brief(DRAFTS, true, Effort::Low));
        let kept = |n| judges.get(1, &brief(n, true, Effort::Low)).is_some();
        assert_eq!([kept(0), kept(1), kept(2), kept(DRAFTS)], [true, false, true, true]);
        // The same text as a policy of the deployment and in another effort is another.
        assert!(Arc::ptr_eq(&judges.get(1, &brief(0, false, Effort::Low)).unwrap(), &policy));
        assert!(judges.get(1, &brief(0, false, Effort::None)).is_none());
    }

    #[test]
    fn a_new_generation_lets_all_go() {
        let judges = Judges::default();
        let old = brief(0, false, Effort::Low);
        let judge = Arc::downgrade(&keep(&judges, 1, &old));
        assert!(judge.upgrade().is_some());
        judges.begin(2);
        assert!(judge.upgrade().is_none());
        // What comes late is used once, and not kept.
        assert!(judges.get(1, &old).is_none());
        let late = Arc::downgrade(&keep(&judges, 1, &old));
        assert!(late.upgrade().is_none());
    }
}
