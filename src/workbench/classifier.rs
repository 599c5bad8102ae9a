//! The classifier: one policy on one engine, asked about single texts.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, timeout_at};

use crate::config::{Diagnostic, Engine};
use crate::guardrail::{Ask, DetectError, Detector, Heard, Identity, Listener, Priority, Stage};
use crate::live::Engines;
use crate::policy::{Policy, Reasoning};
use crate::telemetry::millis;
use crate::text::{Kind, Place, Role, Segment, SegmentId};
use crate::workbench::classification::{Classification, Times};

/// How long an answer is waited for where nothing else is said. A large model on a CPU may need minutes to reason.
const WITHIN: Duration = Duration::from_secs(600);

/// Judges single texts by one policy. The engine lives for as long as a classifier on it, or a guardrail, does.
pub struct Classifier {
    detector: Arc<dyn Detector>,
    policy: Arc<Policy>,
    within: Duration,
}

impl Classifier {
    /// Starts the engine if it does not run: blocks for as long as that takes.
    pub fn new(
        engines: &Engines,
        engine: &Engine,
        policy: Arc<Policy>,
        reasoning: impl Into<Reasoning>,
    ) -> Result<Self, Diagnostic> {
        let detector = engines.detector(&engine.origin, engine, &policy, reasoning.into())?;
        Ok(Classifier::of(detector, policy))
    }

    /// Of a detector that judges by this policy.
    pub fn of(detector: Arc<dyn Detector>, policy: Arc<Policy>) -> Self {
        Classifier { detector, policy, within: WITHIN }
    }

    /// The same, which gives up after this time.
    pub fn within(self, within: Duration) -> Self {
        Classifier { within, ..self }
    }

    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// What its verdicts depend on.
    pub fn identity(&self) -> &Identity {
        self.detector.identity()
    }

    /// Judges one text, after whatever holds traffic up. `listener` is told how it goes on. Dropping the future cancels it.
    pub async fn classify(
        &self,
        stage: Stage,
        text: impl Into<Arc<str>>,
        listener: Option<Listener>,
    ) -> Result<Classification, DetectError> {
        let begun = Instant::now();
        let gathered = Gathered::default();
        let ask = Ask {
            stage,
            segment: segment(stage, text.into()),
            priority: Priority::Annotating,
            deadline: begun + self.within,
            within: self.within,
            listener: Some(gathered.listener(listener)),
        };
        let detect = AssertUnwindSafe(async { self.detector.detect(&ask).await }).catch_unwind();
        let verdict = match timeout_at(ask.deadline, detect).await {
            Ok(Ok(verdict)) => verdict?,
            Ok(Err(_)) => return Err(DetectError::Engine("the detector panicked".into())),
            Err(_) => return Err(DetectError::Timeout(self.within)),
        };
        let Identity { model, reasoning, .. } = self.identity();
        let mut classification = Classification::new(&self.policy, model, reasoning.effort(), stage, verdict);
        gathered.fill(&mut classification, begun.elapsed());
        Ok(classification)
    }
}

/// What was heard of an ask.
#[derive(Clone, Default)]
struct Gathered(Arc<Mutex<Gathering>>);

#[derive(Default)]
struct Gathering {
    /// By window.
    reasoning: BTreeMap<usize, String>,
    queue: Option<Duration>,
    prompt: Option<Duration>,
    tokens: usize,
    kept: usize,
}

impl Gathered {
    /// Gathers, and passes on.
    fn listener(&self, next: Option<Listener>) -> Listener {
        let gathered = self.clone();
        Listener::new(move |heard| {
            gathered.lock().take(heard);
            if let Some(next) = &next {
                next.tell(heard);
            }
        })
    }

    fn fill(&self, classification: &mut Classification, total: Duration) {
        let gathering = std::mem::take(&mut *self.lock());
        let Gathering { reasoning, queue, prompt, tokens, kept } = gathering;
        classification.reasoning = reasoning.into_values().collect::<Vec<_>>().join("\n\n");
        classification.times = Times {
            total: millis(total),
            queue: queue.map(millis),
            prompt: prompt.map(millis),
            prompt_tokens: tokens,
            kept_tokens: kept,
        };
    }

    fn lock(&self) -> MutexGuard<'_, Gathering> {
        // What a panic leaves is half a text at worst.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gathering {
    fn take(&mut self, heard: Heard<'_>) {
        match heard {
            Heard::Begun { queued, .. } => self.queue = self.queue.max(Some(queued)),
            Heard::Read { tokens, kept, took, .. } => {
                self.prompt = Some(self.prompt.unwrap_or_default() + took);
                self.tokens += tokens;
                self.kept += kept;
            }
            Heard::Reasoning { window, text } => self.reasoning.entry(window).or_default().push_str(text),
        }
    }
}

/// The text as a user's, or as an answer.
fn segment(stage: Stage, text: Arc<str>) -> Segment {
    let role = match stage {
        Stage::Input => Role::User,
        Stage::Output => Role::Assistant,
    };
    let place = Place { role, kind: Kind::Content, turn: Some(0), editable: true };
    Segment { id: SegmentId(0), place, text, fresh: 0, masked: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guardrail::{Finding, Verdict};
    use crate::policy::{Effort, Label};
    use async_trait::async_trait;
    use futures_util::future::pending;

    /// Says what it thinks of each text, and then what the text asks for.
    struct Fake(Identity);

    #[async_trait]
    impl Detector for Fake {
        async fn detect(&self, ask: &Ask) -> Result<Verdict, DetectError> {
            let listener = ask.listener.as_ref().unwrap();
            let took = Duration::from_millis(2);
            for (window, text) in [(1, "c"), (0, "a"), (1, "d"), (0, "b")] {
                listener.tell(Heard::Begun { window, queued: Duration::from_millis(window as u64) });
                listener.tell(Heard::Read { window, tokens: 10, kept: 4, took });
                listener.tell(Heard::Reasoning { window, text });
            }
            match &*ask.segment.text {
                "wait" => pending().await,
                "panic" => panic!("as it may"),
                "fail" => Err(DetectError::Overloaded { capacity: 1 }),
                "bad" => Ok(Verdict { findings: vec![Finding::new(Label::new("BAD"), vec![])], ..Verdict::default() }),
                _ => Ok(Verdict::default()),
            }
        }

        fn identity(&self) -> &Identity {
            &self.0
        }

        fn labels(&self) -> &[Label] {
            &[]
        }
    }

    fn classifier() -> Classifier {
        let head = "+++\nform = \"label\"\nlabels = [{ label = \"BAD\", reply = \"B\" }, { label = \"FINE\", reply = \"F\", safe = true }]";
        let policy = Policy::parse("p", &format!("{head}\n+++\nText.")).unwrap();
        let reasoning = Effort::Low.into();
        let identity = Identity { engine: "fake", model: "m".into(), policy: None, form: "label", reasoning };
        Classifier::of(Arc::new(Fake(identity)), policy.into())
    }

    #[tokio::test]
    async fn gathers_what_is_heard_window_by_window_and_passes_it_on() {
        let heard = Arc::new(Mutex::new(String::new()));
        let hears = heard.clone();
        let listener = Listener::new(move |told| {
            if let Heard::Reasoning { text, .. } = told {
                hears.lock().unwrap().push_str(text);
            }
        });
        let found = classifier().classify(Stage::Output, "bad", Some(listener)).await.unwrap();
        assert_eq!((found.safe, found.label, &*found.reasoning), (false, Some(Label::new("BAD")), "ab\n\ncd"));
        assert_eq!(heard.lock().unwrap().as_str(), "cadb");
        let Times { queue, prompt, prompt_tokens, kept_tokens, .. } = found.times;
        assert_eq!((queue, prompt, prompt_tokens, kept_tokens), (Some(1.0), Some(8.0), 40, 16));
        let safe = classifier().classify(Stage::Input, "well", None).await.unwrap();
        assert_eq!((safe.safe, safe.label, safe.effort), (true, Some(Label::new("FINE")), Effort::Low));
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_is_an_error_and_no_verdict() {
        let error = async |text: &str| classifier().classify(Stage::Input, text, None).await.unwrap_err();
        assert_eq!(error("fail").await, DetectError::Overloaded { capacity: 1 });
        assert_eq!(error("wait").await, DetectError::Timeout(WITHIN));
        assert!(matches!(error("panic").await, DetectError::Engine(_)));
    }
}
