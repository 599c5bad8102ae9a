//! The detector in words: sends the policy and the text to a server that makes the prompt itself, and holds what comes back to
//! the policy's replies.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use serde_json::Value;
use tokio::time::Instant;

use crate::detectors::safeguard::json::{self, JsonReply};
use crate::detectors::safeguard::{LIMIT_BYTES, Reply, excerpts, fold, leave, told, undelivered, unpacked, windows};
use crate::guardrail::{
    Ask, DetectError, Detector, Finding, Grounds, Heard, Identity, Listener, PolicyRef, Priority, Scores, Verdict,
};
use crate::policy::{Effort, Form, Label, Policy, PolicyLabel, Reasoning};
use crate::remote::{Answer, Client, Question, plain, restored};
use crate::text::Place;

/// Bytes that two windows share: as many as the detector in token ids, with four bytes to a token.
const OVERLAP: usize = 1024;
/// Bytes of content in all, encoded parts of it decoded included.
const LIMIT: usize = 256 << 10;
/// Tokens of an answer that is one of the labels' replies.
const LABEL_BUDGET: usize = 64;

/// Judges content by one policy.
pub struct WordsDetector {
    client: Arc<Client>,
    policy: Arc<Policy>,
    identity: Identity,
    labels: Vec<Label>,
    /// Of the reply, where it is JSON and the server holds it to one.
    schema: Option<Value>,
    /// Whether the server tells how the labels compare, and the reply is of a form that shows it.
    logprobs: bool,
    /// Tokens of an answer, at most.
    max_tokens: usize,
}

/// A policy that can't be judged in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    #[error("policy `{policy}`: the reply `{reply}` is not a JSON value, as the form `json` asks for")]
    NotJson { policy: Arc<str>, reply: Arc<str> },
    #[error(
        "the effort `{}` reads the label's scores off the prompt, which no answer in words tells; `api = \"tokens\"` does",
        .0.as_str()
    )]
    Effort(Effort),
}

impl WordsDetector {
    /// Errors where policy and effort can't be asked in words.
    pub fn new(client: Arc<Client>, policy: Arc<Policy>, reasoning: Reasoning) -> Result<Self, WordsError> {
        if matches!(reasoning.effort(), Effort::None | Effort::Adaptive) {
            return Err(WordsError::Effort(reasoning.effort()));
        }
        let is_json = policy.form == Form::Json;
        let not_json = |label: &&PolicyLabel| serde_json::from_str::<Value>(&label.reply).is_err();
        if let Some(label) = policy.labels.iter().find(not_json).filter(|_| is_json) {
            return Err(WordsError::NotJson { policy: policy.id.clone(), reply: label.reply.clone() });
        }
        let identity = Identity {
            engine: "remote",
            model: client.model().clone(),
            policy: Some(PolicyRef { id: policy.id.clone(), digest: policy.digest.clone() }),
            form: policy.form.as_str(),
            reasoning,
        };
        let labels = policy.labels.iter().filter(|label| !label.safe).map(|label| label.label.clone()).collect();
        let schema = (is_json && client.settings().schema).then(|| json::schema(&policy));
        let logprobs = !is_json && client.settings().logprobs;
        let max_tokens = reasoning.tokens() + if is_json { json::BUDGET } else { LABEL_BUDGET };
        Ok(WordsDetector { client, policy, identity, labels, schema, logprobs, max_tokens })
    }

    /// What the model answers on one window, counted from 0. Where that is not the `whole` text, excerpts that do not all
    /// stand in it are none.
    async fn judge(&self, at: usize, text: &str, whole: bool, ask: &Ask) -> Result<Reply, DetectError> {
        let question = Question {
            policy: &self.policy.text,
            text: &plain(text),
            effort: self.identity.reasoning.effort(),
            max_tokens: self.max_tokens,
            schema: self.schema.as_ref(),
            logprobs: self.logprobs,
            urgent: ask.priority == Priority::Blocking,
        };
        let begun = Instant::now();
        let answer = self
            .client
            .ask(&self.policy.digest, &question)
            .await
            .map_err(|error| undelivered(error, begun.elapsed()))?;
        if let Some(listener) = &ask.listener {
            tell(listener, at, &answer, begun.elapsed());
        }
        let mut reply = self.read(&answer)?;
        if !whole && !reply.excerpts.is_empty() && excerpts::spans(text, &reply.excerpts).is_empty() {
            reply.excerpts.clear();
        }
        Ok(reply)
    }

    /// A reply is one of the policy's, to the letter, but for white space around it. Whatever else there is, is none.
    fn read(&self, answer: &Answer) -> Result<Reply, DetectError> {
        let labels = &self.policy.labels;
        let (label, json) = match self.policy.form {
            Form::Json => JsonReply::of(&answer.content, labels).map(|(label, json)| (label, Some(json)))?,
            Form::Binary | Form::Label => {
                let said = answer.content.trim();
                let label = labels.iter().find(|label| *label.reply == *said);
                (label.ok_or(DetectError::Unparseable("it is not one of the policy's replies"))?, None)
            }
        };
        let scores = told::scores(labels, &label.reply, &answer.tokens);
        if label.safe {
            let safe = Some(label.label.clone());
            return Ok(Reply { finding: None, safe, excerpts: Vec::new(), scores, failed: None });
        }
        let mut grounds = Grounds::default();
        if let Some(scores) = &scores {
            let (score, leads) = lead(scores, &label.label);
            (grounds.score, grounds.margin) = (score, leads.then(|| scores.margin()));
        }
        let excerpts = json.map(|json| json.tell(&mut grounds, &self.policy.categories)).unwrap_or_default();
        // The model has read the text in its plain form, and quotes that.
        let excerpts = excerpts.into_iter().map(|excerpt| restored(&excerpt).into_owned()).collect();
        let finding = Finding { grounds, ..Finding::new(label.label.clone(), Vec::new()) };
        Ok(Reply { finding: Some(finding), safe: None, excerpts, scores, failed: None })
    }
}

/// The label's share, and whether it is the best: a server that does not take the likeliest token may have said another.
fn lead(scores: &Scores, label: &Label) -> (Option<f32>, bool) {
    let found = scores.iter().enumerate().find(|(_, (known, _))| *known == label);
    (found.map(|(_, (_, score))| score.exp()), found.is_some_and(|(at, _)| at == 0))
}

#[async_trait]
impl Detector for WordsDetector {
    /// A long text is judged window by window. Every label found counts; beside it, or alone, that a window has no verdict.
    async fn detect(&self, ask: &Ask) -> Result<Verdict, DetectError> {
        let text = &ask.segment.text;
        if text.is_empty() {
            return Ok(Verdict::default());
        }
        if text.len() > LIMIT_BYTES {
            return Err(DetectError::TooLong { length: text.len(), limit: LIMIT_BYTES, unit: "bytes" });
        }
        // What another model decodes, this one may not: it is shown it decoded, too.
        let unpacked = leave::prepared(ask, unpacked(text, ask.segment.fresh)).await?.unwrap_or_default();
        let length = text.len() + unpacked.len();
        if length > LIMIT {
            return Err(DetectError::TooLong { length, limit: LIMIT, unit: "bytes" });
        }
        let size = self.client.settings().window;
        let whole = text.len() <= size;
        let overlap = OVERLAP.min(size / 2);
        let judge = |(at, (decoded, window)): (usize, (bool, Range<usize>))| {
            let text = if decoded { &*unpacked } else { &**text };
            self.judge(at, &text[window], whole && !decoded, ask).boxed()
        };
        let own = windows::of_text(text, size, overlap).map(|window| (false, window));
        let decoded = windows::of_text(&unpacked, size, overlap).filter(|window| !window.is_empty());
        let all = own.chain(decoded.map(|window| (true, window)));
        fold::judged(ask, all.enumerate().map(judge).collect()).await
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

/// All at once: the answer is heard of when it is there.
fn tell(listener: &Listener, window: usize, answer: &Answer, took: Duration) {
    let Answer { reasoning, usage, .. } = answer;
    listener.tell(Heard::Read { window, tokens: usage.prompt, kept: usage.cached, took });
    if !reasoning.is_empty() {
        listener.tell(Heard::Reasoning { window, text: reasoning });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Api, Preset};
    use crate::detectors::safeguard::LONG_TEXT;
    use crate::detectors::safeguard::testing::{ask, policy};
    use crate::remote::testing;

    const BINARY: &[(&str, &str, bool)] = &[("BAD", "1", false), ("FINE", "0", true)];

    /// Of a server that nobody has to ask.
    fn detector(form: Form, labels: &[(&str, &str, bool)], effort: Effort) -> Result<WordsDetector, WordsError> {
        let settings = testing::settings(Preset::Vllm, Api::Chat);
        let client = Client::new("e".into(), settings.into()).unwrap();
        WordsDetector::new(client.into(), policy(form, labels).into(), effort.into())
    }

    #[tokio::test]
    async fn a_text_beyond_the_limit_is_an_error_and_not_clipped() {
        let detector = detector(Form::Binary, BINARY, Effort::Low).unwrap();
        for (length, limit) in [(LIMIT + 1, LIMIT), (LIMIT_BYTES + 1, LIMIT_BYTES)] {
            let text = "a ".repeat(length.div_ceil(2));
            let error = detector.detect(&ask(&text)).await.unwrap_err();
            assert_eq!(error, DetectError::TooLong { length: text.len(), limit, unit: "bytes" });
        }
    }

    #[tokio::test]
    async fn past_the_deadline_the_answer_is_there_at_once() {
        let detector = detector(Form::Binary, BINARY, Effort::Low).unwrap();
        for text in ["text", &"a ".repeat(LONG_TEXT)] {
            let late = Ask { deadline: Instant::now(), ..ask(text) };
            let verdict = detector.detect(&late).now_or_never().expect("an answer at once");
            assert_eq!(verdict, Err(DetectError::Timeout(late.within)));
        }
    }

    #[test]
    fn what_can_not_be_asked_in_words_is_refused_at_start() {
        let error = |form, labels, effort| detector(form, labels, effort).err();
        assert_eq!(error(Form::Binary, BINARY, Effort::High), None);
        for effort in [Effort::None, Effort::Adaptive] {
            assert_eq!(error(Form::Binary, BINARY, effort), Some(WordsError::Effort(effort)));
        }
        let odd = [("BAD", "VIOLATING", false), ("FINE", "0", true)];
        let expected = WordsError::NotJson { policy: "test".into(), reply: "VIOLATING".into() };
        assert_eq!(error(Form::Json, &odd, Effort::Low), Some(expected));
    }

    #[test]
    fn a_reply_is_one_of_the_policys_or_none() {
        let detector = detector(Form::Label, &[("BAD", "INVALID", false), ("FINE", "VALID", true)], Effort::Low);
        let detector = detector.unwrap();
        let read = |content: &str| detector.read(&Answer { content: content.into(), ..Answer::default() });
        let Reply { finding, safe, .. } = read(" VALID\n").unwrap();
        assert_eq!((finding, safe), (None, Some(Label::new("FINE"))));
        assert_eq!(read("INVALID").unwrap().finding.unwrap().label.as_str(), "BAD");
        for other in ["", "valid", "VALID.", "IN VALID", "VALID INVALID", "The answer is VALID", "INVALID\nVALID"] {
            assert!(matches!(read(other), Err(DetectError::Unparseable(_))), "{other:?}");
        }
    }
}
