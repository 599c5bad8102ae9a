//! The safeguard detector: a model reads a written policy and the content, and answers with one of the policy's labels.

mod engine;
mod prompt;
mod reply;
#[cfg(test)]
mod testing;
mod windows;

pub use engine::{Engine, EngineError, EngineSettings, Generator};
pub use prompt::{Openers, Prompt};
pub use reply::{Replies, ReplyError};

pub use crate::model::{ComputeSettings, Dtype, ExpertFormat, Limits, Source};

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Semaphore;

use crate::guardrail::{Ask, DetectError, Detector, Finding, Identity, PolicyRef, Priority, Verdict};
use crate::model::{EncodeError, Job, JobError, Outcome, Step};
use crate::policy::{Effort, Label, Policy};
use crate::text::{Kind, Place};

/// Tokens of content that are judged at once.
const WINDOW: usize = 4096;
/// Tokens that two windows share.
const OVERLAP: usize = 256;
/// Tokens of content in all.
const LIMIT: usize = 65_536;
/// A model that holds less content than this beside a policy can't be used with it.
const LEAST_WINDOW: usize = 2 * OVERLAP;
/// Bytes of content in all: so much is encoded before its tokens can be counted.
const LIMIT_BYTES: usize = 1 << 20;
/// Texts of more bytes are encoded on a thread that may block.
const LONG_TEXT: usize = 16 * 1024;
/// Long texts that are encoded at once. An encoding runs to its end even if nobody waits for it any more.
static ENCODING: Semaphore = Semaphore::const_new(2);

/// Judges content by one policy.
pub struct SafeguardDetector {
    engine: Arc<dyn Generator>,
    identity: Identity,
    labels: Vec<Label>,
    prompt: Prompt,
    replies: Replies,
    /// Between prompt and reply: the channel's opening, and what the model is to reason.
    opening: Vec<Step>,
    /// Tokens of content in one window.
    window: usize,
}

/// A policy that can't be judged with this model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SafeguardError {
    #[error("policy `{policy}`: {source}")]
    Reply { policy: Arc<str>, source: ReplyError },
    #[error("policy `{policy}` takes {tokens} tokens with its reasoning, the model holds {limit}: no room for content")]
    PolicyTooLong { policy: Arc<str>, tokens: usize, limit: usize },
}

impl SafeguardDetector {
    /// Renders the policy for this engine's model. Errors where the two do not go together.
    pub fn new(engine: Arc<dyn Generator>, policy: Arc<Policy>, effort: Effort) -> Result<Self, SafeguardError> {
        let error = |source: ReplyError| SafeguardError::Reply { policy: policy.id.clone(), source };
        let encode = |source: EncodeError| error(source.into());
        let tokenizer = engine.tokenizer();
        let prompt = Prompt::new(tokenizer, &policy.text, effort, None).map_err(encode)?;
        let replies = Replies::new(&policy, tokenizer).map_err(error)?;
        let openers = Openers::new(tokenizer).map_err(encode)?;
        let opening = match budget(effort) {
            None => vec![Step::Force(openers.answer)],
            Some(budget) => {
                let stops = tokenizer.control().all().into();
                vec![Step::Force(openers.reasoning), Step::Decode { stops, budget }, Step::Force(openers.conclude)]
            }
        };
        let tokens = prompt.overhead() + opening.iter().chain(replies.steps()).map(Step::longest).sum::<usize>();
        let limit = engine.max_tokens();
        let window = limit.saturating_sub(tokens).min(WINDOW);
        if window < LEAST_WINDOW {
            return Err(SafeguardError::PolicyTooLong { policy: policy.id.clone(), tokens, limit });
        }
        let identity = Identity {
            engine: "libtorch",
            model: engine.model().clone(),
            policy: Some(PolicyRef { id: policy.id.clone(), digest: policy.digest.clone() }),
            form: policy.form.as_str(),
            effort: effort.as_str(),
        };
        let labels = policy.labels.iter().filter(|label| !label.safe).map(|label| label.label.clone()).collect();
        Ok(SafeguardDetector { engine, identity, labels, prompt, replies, opening, window })
    }

    async fn encode(&self, text: &Arc<str>) -> Result<Vec<u32>, DetectError> {
        let failed = |problem: &dyn ToString| DetectError::Engine(problem.to_string().into());
        if text.len() <= LONG_TEXT {
            return self.engine.tokenizer().encode(text).map_err(|e| failed(&e));
        }
        let permit = ENCODING.acquire().await.map_err(|e| failed(&e))?;
        let (engine, text) = (self.engine.clone(), text.clone());
        let encoded = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            engine.tokenizer().encode(&text)
        });
        let encoded = encoded.await;
        encoded.map_err(|e| failed(&e))?.map_err(|e| failed(&e))
    }

    async fn judge(&self, content: &[u32], urgent: bool) -> Result<Option<Finding>, DetectError> {
        let steps = self.opening.iter().chain(self.replies.steps()).cloned().collect();
        let shared = self.prompt.shared();
        let prompt = self.prompt.render(content);
        let job = Job { prompt, shared, grows: shared + content.len(), steps, urgent, deadline: None };
        let outcomes = self.engine.generate(job).await?;
        // What was reasoned decides nothing by itself, and nobody is shown it.
        let answer = match (&outcomes[..], self.opening.len()) {
            ([Outcome::Decoded { .. }, answer @ ..], 2..) => answer,
            (answer, _) => answer,
        };
        self.replies.read(answer, self.engine.tokenizer())
    }
}

#[async_trait]
impl Detector for SafeguardDetector {
    /// A long text is judged window by window. Every label found counts; a window without a verdict leaves the whole
    /// without one.
    async fn detect(&self, ask: &Ask) -> Result<Verdict, DetectError> {
        let mut verdict = Verdict::default();
        if ask.segment.text.is_empty() {
            return Ok(verdict);
        }
        let bytes = ask.segment.text.len();
        if bytes > LIMIT_BYTES {
            return Err(DetectError::TooLong { length: bytes, limit: LIMIT_BYTES, unit: "bytes" });
        }
        let content = self.encode(&ask.segment.text).await?;
        if content.len() > LIMIT {
            return Err(DetectError::TooLong { length: content.len(), limit: LIMIT, unit: "tokens" });
        }
        for window in windows::windows(content.len(), self.window, OVERLAP) {
            let found = self.judge(&content[window], ask.priority == Priority::Blocking).await?;
            let Some(finding) = found else { continue };
            match verdict.findings.iter_mut().find(|known| known.label == finding.label) {
                Some(known) if known.score < finding.score => *known = finding,
                Some(_) => {}
                None => verdict.findings.push(finding),
            }
        }
        Ok(verdict)
    }

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// A policy speaks of what somebody says. A single word of the protocol is no such thing, and stands in every request
    /// and answer: patterns look at it.
    fn judges(&self, place: &Place) -> bool {
        place.kind != Kind::Word
    }
}

/// Tokens of reasoning, at most; at the budget the answer is opened for the model.
fn budget(effort: Effort) -> Option<usize> {
    match effort {
        Effort::None => None,
        Effort::Low => Some(512),
        Effort::Medium => Some(2048),
        Effort::High => Some(8192),
    }
}

impl From<JobError> for DetectError {
    fn from(error: JobError) -> Self {
        match error {
            JobError::Overloaded { capacity } => DetectError::Overloaded { capacity },
            JobError::TooLong { tokens, limit } => DetectError::TooLong { length: tokens, limit, unit: "tokens" },
            other => DetectError::Engine(other.to_string().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{Scripted, ask, policy};
    use super::*;
    use crate::policy::Form;

    const BINARY: &[(&str, &str, bool)] = &[("INJECTION", "1", false), ("SAFE", "0", true)];

    fn detector(engine: &Arc<Scripted>, effort: Effort) -> SafeguardDetector {
        SafeguardDetector::new(engine.clone(), policy(Form::Binary, BINARY).into(), effort).unwrap()
    }

    fn chosen(index: usize) -> Outcome {
        let scores = if index == 0 { [0.8f32, 0.2] } else { [0.3, 0.7] };
        let scores = scores.map(f32::ln).to_vec();
        Outcome::Chosen { index, scores }
    }

    fn reasoned() -> Outcome {
        Outcome::Decoded { tokens: vec![1, 2, 3], stop: None }
    }

    #[tokio::test]
    async fn without_effort_the_answer_is_opened_and_chosen() {
        let engine = Scripted::new(vec![Ok(vec![chosen(0)]), Ok(vec![chosen(1)])]);
        let detector = detector(&engine, Effort::None);
        let verdict = detector.detect(&ask("some text")).await.unwrap();
        assert_eq!(verdict.findings.len(), 1);
        assert_eq!((verdict.findings[0].label.as_str(), verdict.findings[0].score), ("INJECTION", Some(0.8)));
        assert_eq!(detector.detect(&ask("other text")).await.unwrap(), Verdict::default());

        let jobs = engine.jobs();
        assert_eq!(jobs[0].prompt[..jobs[0].shared], jobs[1].prompt[..jobs[1].shared]);
        let [Step::Force(opener), Step::Choose(_)] = &jobs[0].steps[..] else { panic!("{:?}", jobs[0].steps) };
        assert_eq!(**opener, [200005, 17196, 200008]);
        assert!(jobs[0].urgent);
    }

    #[tokio::test]
    async fn with_effort_reasoning_comes_first_and_the_whole_opener_ends_it() {
        let engine = Scripted::new(vec![Ok(vec![reasoned(), chosen(0)])]);
        assert_eq!(detector(&engine, Effort::Low).detect(&ask("text")).await.unwrap().findings.len(), 1);
        let jobs = engine.jobs();
        let [Step::Force(open), Step::Decode { budget: 512, stops }, Step::Force(conclude), Step::Choose(_)] =
            &jobs[0].steps[..]
        else {
            panic!("{:?}", jobs[0].steps)
        };
        assert_eq!(**open, [200005, 35644, 200008]);
        assert_eq!(**conclude, [200007, 200006, 173781, 200005, 17196, 200008]);
        assert!([200002, 200007, 200012].iter().all(|stop| stops.contains(stop)));
    }

    #[tokio::test]
    async fn a_long_text_is_judged_to_its_end_and_the_worst_counts() {
        let text = "word ".repeat(9000);
        let engine = Scripted::new(vec![Ok(vec![chosen(1)]), Ok(vec![chosen(0)]), Ok(vec![chosen(1)])]);
        let detector = detector(&engine, Effort::None);
        assert_eq!(detector.detect(&ask(&text)).await.unwrap().findings.len(), 1);
        let jobs = engine.jobs();
        assert_eq!(jobs.len(), 3);
        let content = engine.tokenizer().encode(&text).unwrap();
        let end = &content[content.len() - 100..];
        assert!(jobs[2].prompt.windows(100).any(|run| run == end));
        assert!(jobs.iter().all(|job| job.prompt.len() <= WINDOW + detector.prompt.overhead()));
    }

    #[tokio::test]
    async fn one_window_without_a_verdict_leaves_the_whole_without_one() {
        let engine = Scripted::new(vec![Ok(vec![chosen(0)]), Err(JobError::Failed("memory".into()))]);
        let error = detector(&engine, Effort::None).detect(&ask(&"word ".repeat(5000))).await.unwrap_err();
        assert_eq!(error, DetectError::Engine("libtorch: memory".into()));
    }

    #[tokio::test]
    async fn a_text_beyond_the_limit_is_an_error_and_not_clipped() {
        let engine = Scripted::new(Vec::new());
        let error = detector(&engine, Effort::None).detect(&ask(&"word ".repeat(LIMIT + 1))).await.unwrap_err();
        assert!(matches!(error, DetectError::TooLong { length, limit: LIMIT, unit: "tokens" } if length > LIMIT));
        assert!(engine.jobs().is_empty());
    }

    #[tokio::test]
    async fn every_failure_is_an_error_of_its_kind() {
        for (failure, expected) in [
            (Err(JobError::Overloaded { capacity: 3 }), "overloaded"),
            (Err(JobError::Stopped), "engine"),
            (Err(JobError::NotANumber), "engine"),
            (Ok(vec![]), "unparseable"),
            (Ok(vec![reasoned()]), "unparseable"),
        ] {
            let engine = Scripted::new(vec![failure]);
            assert_eq!(detector(&engine, Effort::Low).detect(&ask("text")).await.unwrap_err().kind(), expected);
        }
    }

    #[test]
    fn a_policy_that_fills_the_model_is_refused_at_start() {
        let mut policy = policy(Form::Binary, BINARY);
        policy.text = "word ".repeat(200_000).into();
        let error = SafeguardDetector::new(Scripted::new(Vec::new()), policy.into(), Effort::None).err().unwrap();
        assert!(matches!(error, SafeguardError::PolicyTooLong { limit: 131_072, .. }), "{error}");
    }

    #[test]
    fn the_identity_names_all_that_a_verdict_depends_on() {
        let detector = detector(&Scripted::new(Vec::new()), Effort::Medium);
        let Identity { engine, model, policy, form, effort } = detector.identity().clone();
        assert_eq!((engine, &*model, form, effort), ("libtorch", "scripted", "binary", "medium"));
        assert_eq!(policy.map(|policy| policy.id.to_string()).as_deref(), Some("test"));
        assert_eq!(detector.labels(), [Label::new("INJECTION")]);
    }
}
