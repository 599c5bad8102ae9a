//! Replay: recorded traffic judged under a policy, beside what was found when it came.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, BufRead, Read};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::guardrail::Stage;
use crate::policy::Scope;
use crate::workbench::{Classifier, Judged};

/// A line of an audit is no longer: the texts of one exchange, each of them once.
const MAX_LINE: u64 = 256 << 20;
/// Verdicts that are kept, so that the turns of a conversation are judged once.
const KEPT: usize = 100_000;

/// What is compared with what was found then.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    /// What this guardrail found; without one, what those found that judged by a policy of the same name; without any of
    /// those, what all found.
    pub guardrail: Option<String>,
    /// Which texts of a request are judged.
    pub scope: Scope,
    /// Of this stage alone.
    pub stage: Option<Stage>,
}

/// A line of an audit.
#[derive(Debug, Clone, PartialEq)]
pub enum Recorded {
    Decision(Decision),
    /// A decision without the texts that it was made on.
    WithoutContent,
    /// Nothing was asked there that this replay asks: a refusal, say, another stage, or another guardrail.
    Beside,
}

/// A decision, and the texts that it was made on.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// In the file, from 1.
    pub line: u64,
    pub ts: String,
    pub exchange: String,
    pub stage: Stage,
    pub texts: Vec<Arc<str>>,
    pub was: Was,
}

/// What was found, or would be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Was {
    Nothing,
    /// These labels, each once.
    Found(Vec<String>),
    /// There was no verdict on a part, and nothing was found in the rest.
    Failed(String),
}

/// A decision that was judged anew.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    pub decision: Decision,
    pub now: Was,
    /// The text that decides: the first in which something was found, or that has no verdict.
    pub text: Option<Arc<str>>,
}

/// Why an audit can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("line {line}: {error}")]
    Read { line: u64, error: io::Error },
    #[error("line {line} is no line of an audit: {problem}")]
    NotARecord { line: u64, problem: String },
}

#[derive(Deserialize)]
struct Written {
    ts: String,
    exchange: String,
    #[serde(default)]
    stage: Option<Stage>,
    /// Of decisions alone.
    #[serde(default)]
    action: Option<String>,
    #[serde(default)]
    asked: Vec<Asked>,
    #[serde(default)]
    applied: Vec<Applied>,
    #[serde(default)]
    applied_left_out: usize,
    #[serde(default)]
    texts: Vec<Text>,
}

#[derive(Deserialize)]
struct Asked {
    guardrail: String,
    #[serde(default)]
    policy: Option<String>,
}

#[derive(Deserialize)]
struct Applied {
    guardrail: String,
    #[serde(default)]
    label: Option<String>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Deserialize)]
struct Text {
    role: String,
    kind: String,
    text: String,
}

impl Replay {
    /// The next line; nothing at the end.
    pub fn next(&self, reader: &mut impl BufRead, line: u64, policy: &str) -> Result<Option<Recorded>, ReplayError> {
        let mut bytes = Vec::new();
        let read =
            reader.take(MAX_LINE).read_until(b'\n', &mut bytes).map_err(|error| ReplayError::Read { line, error })?;
        match read {
            0 => Ok(None),
            _ if bytes.trim_ascii().is_empty() => Ok(Some(Recorded::Beside)),
            _ => {
                let problem = |error: serde_json::Error| ReplayError::NotARecord { line, problem: error.to_string() };
                let written = serde_json::from_slice(&bytes).map_err(problem)?;
                Ok(Some(self.recorded(written, line, policy)))
            }
        }
    }

    fn recorded(&self, written: Written, line: u64, policy: &str) -> Recorded {
        let was = self.was(&written, policy);
        let Written { ts, exchange, stage, action, texts, .. } = written;
        let (Some(stage), Some(_), Some(was)) = (stage, action, was) else { return Recorded::Beside };
        if self.stage.is_some_and(|wanted| wanted != stage) {
            return Recorded::Beside;
        }
        if texts.is_empty() {
            return Recorded::WithoutContent;
        }
        let texts = self.judged(texts, stage);
        Recorded::Decision(Decision { line, ts, exchange, stage, texts, was })
    }

    /// What was found then; nothing where nobody was asked whose word is compared.
    fn was(&self, written: &Written, policy: &str) -> Option<Was> {
        let same = |asked: &&Asked| asked.policy.as_deref() == Some(policy);
        let asked: BTreeSet<&str> = match &self.guardrail {
            Some(guardrail) => {
                written.asked.iter().map(|asked| &*asked.guardrail).filter(|id| id == guardrail).collect()
            }
            None => match written.asked.iter().filter(same).map(|asked| &*asked.guardrail).collect::<BTreeSet<_>>() {
                none if none.is_empty() => written.asked.iter().map(|asked| &*asked.guardrail).collect(),
                same => same,
            },
        };
        if asked.is_empty() {
            return None;
        }
        let applied = || written.applied.iter().filter(|applied| asked.contains(&*applied.guardrail));
        let labels: BTreeSet<&String> = applied().filter_map(|applied| applied.label.as_ref()).collect();
        let error = applied().find_map(|applied| applied.error.clone());
        Some(match error {
            _ if !labels.is_empty() => Was::Found(labels.into_iter().cloned().collect()),
            Some(error) => Was::Failed(error),
            // What the line leaves out may be a label.
            None if written.applied_left_out > 0 => Was::Failed("left_out".into()),
            None => Was::Nothing,
        })
    }

    /// The texts that a policy speaks of.
    fn judged(&self, texts: Vec<Text>, stage: Stage) -> Vec<Arc<str>> {
        let asked_now = texts.iter().rposition(|text| text.role == "assistant").map_or(0, |at| at + 1);
        let is_asked = |(at, text): &(usize, &Text)| *at >= asked_now && text.role == "user";
        let says = texts
            .iter()
            .enumerate()
            .any(|text| is_asked(&text) && text.1.kind == "content" && !text.1.text.trim().is_empty());
        let last = stage == Stage::Input && self.scope == Scope::LastUser && says;
        let held = texts.iter().enumerate().filter(|text| !last || is_asked(text));
        let spoken = held.filter(|(_, text)| !matches!(&*text.kind, "word" | "seam") && !text.text.trim().is_empty());
        spoken.map(|(_, text)| text.text.as_str().into()).collect()
    }
}

impl Was {
    pub fn is_found(&self) -> bool {
        matches!(self, Was::Found(_))
    }
}

/// Judges the decisions, `together` at once. Each is told as soon as those before it are.
pub async fn replay(
    classifier: &Classifier,
    decisions: impl Iterator<Item = Decision>,
    together: usize,
    mut tell: impl FnMut(Replayed),
) {
    let kept = Kept::default();
    let kept = &kept;
    let judge = async |decision: Decision| {
        let (mut labels, mut failed, mut text) = (BTreeSet::new(), None, None);
        for said in &decision.texts {
            match kept.judge(classifier, decision.stage, said).await {
                Was::Nothing => {}
                Was::Found(found) => {
                    if labels.is_empty() {
                        text = Some(said.clone());
                    }
                    labels.extend(found);
                }
                Was::Failed(error) => {
                    text = text.or_else(|| Some(said.clone()));
                    failed = failed.or(Some(error));
                }
            }
        }
        let now = match failed {
            _ if !labels.is_empty() => Was::Found(labels.into_iter().collect()),
            Some(error) => Was::Failed(error),
            None => Was::Nothing,
        };
        Replayed { decision, now, text }
    };
    let replayed = stream::iter(decisions.map(judge)).buffered(together.max(1));
    let mut replayed = std::pin::pin!(replayed);
    while let Some(replayed) = replayed.next().await {
        tell(replayed);
    }
}

/// Verdicts by stage and text.
#[derive(Default)]
struct Kept(Mutex<HashMap<[u8; 32], Was>>);

impl Kept {
    async fn judge(&self, classifier: &Classifier, stage: Stage, text: &Arc<str>) -> Was {
        let key = Sha256::new().chain_update(stage.as_str()).chain_update([0]).chain_update(text.as_bytes());
        let key: [u8; 32] = key.finalize().into();
        let known = self.lock().get(&key).cloned();
        if let Some(known) = known {
            return known;
        }
        let found = match Judged::from(classifier.classify(stage, text.clone(), None).await) {
            Judged::Given(given) if given.safe => Was::Nothing,
            Judged::Given(given) => Was::Found(vec![given.label]),
            Judged::Failed { error, .. } => return Was::Failed(error),
        };
        let mut kept = self.lock();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(key, found.clone());
        found
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Was>> {
        // Each entry is whole by itself.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn record(change: impl FnOnce(&mut Value)) -> Value {
        let text = |role: &str, kind: &str, text: &str| json!({"segment": 0, "role": role, "kind": kind, "fresh": 0, "text": text});
        let mut record = json!({
            "ts": "2026-01-01T00:00:00.000Z", "exchange": "e", "route": "r", "generation": 1, "digest": "d",
            "stage": "input", "outcome": "passed", "action": "allow", "took_ms": 1.0,
            "asked": [
                {"guardrail": "pii", "engine": "pattern", "model": "m", "form": "label", "effort": "none"},
                {"guardrail": "hate", "policy": "hate", "policy_digest": "x", "engine": "libtorch", "model": "m"},
            ],
            "applied": [{"guardrail": "pii", "segment": 0, "label": "EMAIL", "action": "redact"}],
            "texts": [
                text("system", "content", "Be kind."), text("user", "content", "one"), text("assistant", "content", "two"),
                text("user", "name", "bob"), text("user", "content", "three"), text("none", "word", "gpt"),
                text("user", "seam", "one three"), text("user", "content", " "),
            ],
        });
        change(&mut record);
        record
    }

    fn read(replay: &Replay, policy: &str, record: &Value) -> Recorded {
        let line = format!("{record}\n");
        replay.next(&mut line.as_bytes(), 7, policy).unwrap().unwrap()
    }

    fn was(replay: &Replay, policy: &str, record: &Value) -> Was {
        let Recorded::Decision(decision) = read(replay, policy, record) else { panic!("no decision") };
        assert_eq!((decision.line, decision.stage), (7, Stage::Input));
        decision.was
    }

    #[test]
    fn what_was_found_is_what_the_same_policy_found() {
        let plain = record(|_| {});
        let replay = Replay::default();
        assert_eq!(was(&replay, "hate", &plain), Was::Nothing);
        assert_eq!(was(&replay, "other", &plain), Was::Found(vec!["EMAIL".into()]));
        let pii = Replay { guardrail: Some("pii".into()), ..Replay::default() };
        assert_eq!(was(&pii, "hate", &plain), Was::Found(vec!["EMAIL".into()]));
        let none = Replay { guardrail: Some("none".into()), ..Replay::default() };
        assert_eq!(read(&none, "hate", &plain), Recorded::Beside);
        let failed = record(|r| r["applied"] = json!([{"guardrail": "hate", "error": "timeout", "action": "block"}]));
        assert_eq!(was(&replay, "hate", &failed), Was::Failed("timeout".into()));
        let cut = record(|r| r["applied_left_out"] = json!(3));
        assert_eq!(was(&replay, "hate", &cut), Was::Failed("left_out".into()));
    }

    #[test]
    fn what_a_policy_speaks_of_is_judged() {
        let texts = |replay: &Replay, record: &Value| match read(replay, "hate", record) {
            Recorded::Decision(decision) => decision.texts.join(" "),
            other => format!("{other:?}"),
        };
        let last = Replay { scope: Scope::LastUser, ..Replay::default() };
        assert_eq!(texts(&Replay::default(), &record(|_| {})), "Be kind. one two bob three");
        assert_eq!(texts(&last, &record(|_| {})), "bob three");
        let silent = record(|r| r["texts"].as_array_mut().unwrap().truncate(4));
        assert_eq!(texts(&last, &silent), "Be kind. one two bob");
        let output = record(|r| r["stage"] = json!("output"));
        assert_eq!(texts(&last, &output), "Be kind. one two bob three");
        let input = Replay { stage: Some(Stage::Input), ..Replay::default() };
        assert_eq!(texts(&input, &output), "Beside");
    }

    #[test]
    fn a_line_without_content_is_told_from_one_that_decides_nothing() {
        let replay = Replay::default();
        let quiet = record(|r| drop(r.as_object_mut().unwrap().shift_remove("texts")));
        assert_eq!(read(&replay, "hate", &quiet), Recorded::WithoutContent);
        let refused = json!({"ts": "t", "exchange": "e", "outcome": "refused", "code": "bad", "status": 400});
        assert_eq!(read(&replay, "hate", &refused), Recorded::Beside);
        let error = |line: &str| replay.next(&mut line.as_bytes(), 3, "hate").unwrap_err().to_string();
        assert!(error("{\"ts\": 1}").starts_with("line 3 is no line of an audit: "));
        assert!(error("hello").starts_with("line 3 is no line of an audit: "));
        assert!(replay.next(&mut &b""[..], 1, "hate").unwrap().is_none());
    }
}
