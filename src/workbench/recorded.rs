//! Recorded traffic: the decisions of an audit, their texts, and what was found when they came.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, BufRead, Read, Seek};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::guardrail::Stage;
use crate::policy::Scope;

/// A line of an audit is no longer: the texts of one exchange, each of them once.
const MAX_LINE: u64 = 256 << 20;

/// Whose word of then is compared with what is found now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum With {
    /// This guardrail's.
    Guardrail(String),
    /// That of every guardrail that judged by a policy of this name.
    Policy(String),
    /// That of every guardrail.
    Any,
}

/// What of an audit is judged.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Which texts of a request.
    pub scope: Scope,
    /// This stage alone.
    pub stage: Option<Stage>,
}

/// An audit that is judged anew. It is read twice: what is compared holds for all of it, and several lines may tell of one
/// decision.
pub struct Audit<R> {
    reader: R,
    with: With,
    wanted: Wanted,
    /// The line that was read last, from 1; and that which ends the audit: one in use grows.
    line: u64,
    end: u64,
    /// What was found, by decision; less those that were given already.
    found: HashMap<Key, Was>,
}

/// A line of an audit.
#[derive(Debug, Clone, PartialEq)]
pub enum Recorded {
    Decision(Decision),
    /// Another line of a decision that was given already: what else was asked about the same texts, beside it.
    Again,
    /// A decision without the texts that it was made on.
    WithoutContent,
    /// Nobody was asked there whose word is compared: a refusal, say, another stage, or another guardrail.
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Was {
    Nothing,
    Found(BTreeSet<String>),
    /// There was no verdict on a part, and nothing was found in the rest.
    Failed(String),
}

/// Why an audit can't be read.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("line {line}: {error}")]
    Read { line: u64, error: io::Error },
    #[error("line {line} is no line of an audit: {problem}")]
    NotARecord { line: u64, problem: String },
}

/// A decision: of an exchange and a stage, on these texts.
type Key = [u8; 32];

#[derive(Deserialize)]
struct Written {
    ts: String,
    exchange: String,
    #[serde(default)]
    stage: Option<Stage>,
    #[serde(default)]
    window: Option<u64>,
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
    #[serde(default)]
    segments: usize,
    #[serde(default)]
    answered: usize,
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

impl<R: BufRead + Seek> Audit<R> {
    /// Reads all of an audit once. Where no guardrail of the policy was asked in it, it is compared with what any found.
    pub fn open(reader: R, with: With, wanted: Wanted) -> Result<Self, AuditError> {
        let mut audit = Audit { reader, with, wanted, line: 0, end: u64::MAX, found: HashMap::new() };
        audit.learn()?;
        if audit.found.is_empty() && matches!(audit.with, With::Policy(_)) {
            audit.with = With::Any;
            audit.learn()?;
        }
        Ok(audit)
    }

    /// Whose word is compared.
    pub fn with(&self) -> &With {
        &self.with
    }

    /// What the next line is; nothing at the end.
    pub fn read(&mut self) -> Result<Option<Recorded>, AuditError> {
        Ok(self.written()?.map(|written| self.recorded(written)))
    }

    /// Gathers what was found, from the beginning, and goes back there.
    fn learn(&mut self) -> Result<(), AuditError> {
        self.rewind()?;
        self.end = u64::MAX;
        loop {
            match self.written() {
                Ok(Some(written)) => {
                    if let Some((_, key, was)) = self.told(&written) {
                        self.found.entry(key).or_insert(Was::Nothing).add(was);
                    }
                }
                Ok(None) => break,
                // It is told when its turn comes.
                Err(AuditError::NotARecord { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.end = self.line;
        self.rewind()
    }

    fn rewind(&mut self) -> Result<(), AuditError> {
        self.line = 0;
        self.reader.rewind().map_err(|error| AuditError::Read { line: 1, error })
    }

    /// The next line that holds anything; nothing at the end.
    fn written(&mut self) -> Result<Option<Written>, AuditError> {
        loop {
            self.line += 1;
            let (line, mut bytes) = (self.line, Vec::new());
            if line >= self.end {
                return Ok(None);
            }
            let read = self.reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut bytes);
            match read.map_err(|error| AuditError::Read { line, error })? {
                0 => return Ok(None),
                _ if bytes.trim_ascii().is_empty() => {}
                _ => {
                    let written = serde_json::from_slice(&bytes);
                    return written
                        .map(Some)
                        .map_err(|error| AuditError::NotARecord { line, problem: error.to_string() });
                }
            }
        }
    }

    fn recorded(&mut self, written: Written) -> Recorded {
        let Some((stage, key, _)) = self.told(&written) else { return Recorded::Beside };
        let Some(was) = self.found.remove(&key) else { return Recorded::Again };
        if written.texts.is_empty() {
            return Recorded::WithoutContent;
        }
        let Written { ts, exchange, texts, .. } = written;
        let texts = judged(texts, stage, self.wanted.scope);
        Recorded::Decision(Decision { line: self.line, ts, exchange, stage, texts, was })
    }

    /// The decision that a line tells of, and what it says was found there; nothing where that is not compared.
    fn told(&self, written: &Written) -> Option<(Stage, Key, Was)> {
        let stage = written.stage.filter(|stage| self.wanted.stage.is_none_or(|wanted| wanted == *stage))?;
        written.action.as_ref()?;
        Some((stage, written.key(stage), written.was(&self.with)?))
    }
}

impl With {
    fn counts(&self, asked: &Asked) -> bool {
        match self {
            With::Guardrail(id) => asked.guardrail == *id,
            With::Policy(id) => asked.policy.as_deref() == Some(&**id),
            With::Any => true,
        }
    }
}

impl Written {
    /// Guardrails that enforce and that observe, before the upstream and beside it, are told of in lines of their own.
    fn key(&self, stage: Stage) -> Key {
        let mut key = Sha256::new();
        let mut add = |text: &str| {
            key.update(text.len().to_le_bytes());
            key.update(text);
        };
        add(&self.exchange);
        add(stage.as_str());
        add(&self.window.map(|window| window.to_string()).unwrap_or_default());
        for Text { role, kind, text } in &self.texts {
            [role, kind, text].into_iter().for_each(|part| add(part));
        }
        key.finalize().into()
    }

    /// What was found then; nothing where nobody was asked whose word is compared.
    fn was(&self, with: &With) -> Option<Was> {
        let asked: Vec<&Asked> = self.asked.iter().filter(|asked| with.counts(asked)).collect();
        if asked.is_empty() {
            return None;
        }
        let mut was = Was::Nothing;
        for applied in &self.applied {
            if asked.iter().any(|asked| asked.guardrail == applied.guardrail) {
                let label = applied.label.iter().map(|label| Was::Found([label.clone()].into()));
                let error = applied.error.iter().map(|error| Was::Failed(error.clone()));
                label.chain(error).for_each(|found| was.add(found));
            }
        }
        // What the line leaves out may be a label. So may be what was no longer waited for, once another blocked.
        if self.applied_left_out > 0 {
            was.add(Was::Failed("left_out".into()));
        }
        if asked.iter().any(|asked| asked.answered < asked.segments) {
            was.add(Was::Failed("unanswered".into()));
        }
        Some(was)
    }
}

/// The texts that a policy speaks of.
fn judged(texts: Vec<Text>, stage: Stage, scope: Scope) -> Vec<Arc<str>> {
    let asked_now = texts.iter().rposition(|text| text.role == "assistant").map_or(0, |at| at + 1);
    let is_asked = |(at, text): &(usize, &Text)| *at >= asked_now && text.role == "user";
    let says = texts
        .iter()
        .enumerate()
        .any(|text| is_asked(&text) && text.1.kind == "content" && !text.1.text.trim().is_empty());
    let last = stage == Stage::Input && scope == Scope::LastUser && says;
    let held = texts.iter().enumerate().filter(|text| !last || is_asked(text));
    let spoken = held.filter(|(_, text)| !matches!(&*text.kind, "word" | "seam") && !text.text.trim().is_empty());
    spoken.map(|(_, text)| text.text.as_str().into()).collect()
}

impl Was {
    /// This, and what was found beside it. A label counts whatever has no verdict; of several reasons the first is told.
    pub(super) fn add(&mut self, other: Was) {
        *self = match (std::mem::replace(self, Was::Nothing), other) {
            (Was::Found(mut known), Was::Found(labels)) => {
                known.extend(labels);
                Was::Found(known)
            }
            (found @ Was::Found(_), _) | (_, found @ Was::Found(_)) => found,
            (failed @ Was::Failed(_), _) | (_, failed) => failed,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::io::Cursor;

    fn record(change: impl FnOnce(&mut Value)) -> Value {
        let text = |role: &str, kind: &str, text: &str| json!({"segment": 0, "role": role, "kind": kind, "fresh": 0, "text": text});
        let mut record = json!({
            "ts": "2026-01-01T00:00:00.000Z", "exchange": "e", "route": "r", "generation": 1, "digest": "d",
            "stage": "input", "outcome": "passed", "action": "allow", "took_ms": 1.0,
            "asked": [
                {"guardrail": "pii", "engine": "pattern", "model": "m", "form": "label", "effort": "none"},
                {"guardrail": "hate", "policy": "hate", "policy_digest": "x", "segments": 2, "answered": 2},
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

    fn open(with: With, wanted: Wanted, records: &[Value]) -> Audit<Cursor<String>> {
        let lines = records.iter().map(|record| format!("{record}\n\n")).collect();
        Audit::open(Cursor::new(lines), with, wanted).unwrap()
    }

    fn all(with: With, records: &[Value]) -> Vec<Recorded> {
        let mut audit = open(with, Wanted::default(), records);
        std::iter::from_fn(|| audit.read().unwrap()).collect()
    }

    fn policy(name: &str) -> With {
        With::Policy(name.into())
    }

    fn guardrail(name: &str) -> With {
        With::Guardrail(name.into())
    }

    fn found(labels: &[&str]) -> Was {
        Was::Found(labels.iter().map(|&label| label.to_owned()).collect())
    }

    /// What was found by the decisions that are given, by their lines.
    fn was(with: With, records: &[Value]) -> Vec<(u64, Was)> {
        let given = |recorded| match recorded {
            Recorded::Decision(decision) => Some((decision.line, decision.was)),
            _ => None,
        };
        all(with, records).into_iter().filter_map(given).collect()
    }

    #[test]
    fn what_was_found_is_what_the_same_policy_found() {
        let plain = record(|_| {});
        let one = |with, record: Value| was(with, &[record]);
        assert_eq!(one(policy("hate"), plain.clone()), [(1, Was::Nothing)]);
        assert_eq!(one(guardrail("pii"), plain.clone()), [(1, found(&["EMAIL"]))]);
        assert_eq!(all(guardrail("none"), &[plain]), [Recorded::Beside]);
        let failed = record(|r| r["applied"] = json!([{"guardrail": "hate", "error": "timeout", "action": "block"}]));
        assert_eq!(one(policy("hate"), failed), [(1, Was::Failed("timeout".into()))]);
        let cut = record(|r| r["applied_left_out"] = json!(3));
        assert_eq!(one(policy("hate"), cut), [(1, Was::Failed("left_out".into()))]);
        // A block of another guardrail ended it before it had an answer.
        let ended = record(|r| r["asked"][1]["answered"] = json!(1));
        assert_eq!(one(policy("hate"), ended), [(1, Was::Failed("unanswered".into()))]);
    }

    #[test]
    fn what_any_guardrail_found_is_compared_only_where_none_of_the_policy_was_asked_at_all() {
        let judged = record(|_| {});
        let beside = record(|r| {
            r["stage"] = json!("output");
            r["asked"].as_array_mut().unwrap().truncate(1);
        });
        let lines = [beside.clone(), judged.clone()];
        assert_eq!(was(policy("hate"), &lines), [(3, Was::Nothing)]);
        assert_eq!(open(policy("hate"), Wanted::default(), &lines).with(), &policy("hate"));
        let email = || found(&["EMAIL"]);
        assert_eq!(was(policy("other"), &lines), [(1, email()), (3, email())]);
        assert_eq!(open(policy("other"), Wanted::default(), &lines).with(), &With::Any);
        // Of the stage that is wanted.
        let output = Wanted { stage: Some(Stage::Output), ..Wanted::default() };
        assert_eq!(open(policy("hate"), output, &lines).with(), &With::Any);
        // A guardrail that was named is meant.
        assert_eq!(open(guardrail("gone"), Wanted::default(), &lines).with(), &guardrail("gone"));
    }

    #[test]
    fn lines_on_the_same_texts_of_an_exchange_are_one_decision() {
        let by = |name: &str, label: &str| {
            record(|r| {
                r["asked"] = json!([{"guardrail": name, "policy": "hate"}]);
                r["applied"] = json!([{"guardrail": name, "label": label, "action": "annotate"}]);
            })
        };
        let observed = by("watch", "WORSE");
        let other = |change: &dyn Fn(&mut Value)| {
            let mut other = observed.clone();
            change(&mut other);
            other
        };
        let lines = [
            by("hate", "BAD"),
            observed.clone(),
            other(&|r| r["exchange"] = json!("f")),
            other(&|r| r["texts"][1]["text"] = json!("once")),
        ];
        let expected = [(1, found(&["BAD", "WORSE"])), (5, found(&["WORSE"])), (7, found(&["WORSE"]))];
        assert_eq!(was(policy("hate"), &lines), expected);
        assert_eq!(all(policy("hate"), &lines)[1], Recorded::Again);
        // Who found nothing does not undo what another has found.
        let quiet = other(&|r| r["applied"] = json!([]));
        assert_eq!(was(policy("hate"), &[quiet, by("hate", "BAD")]), [(1, found(&["BAD"]))]);
    }

    #[test]
    fn what_a_policy_speaks_of_is_judged() {
        let texts = |wanted: Wanted, record: &Value| {
            let mut audit = open(policy("hate"), wanted, std::slice::from_ref(record));
            match audit.read().unwrap().unwrap() {
                Recorded::Decision(decision) => decision.texts.join(" "),
                other => format!("{other:?}"),
            }
        };
        let last = Wanted { scope: Scope::LastUser, ..Wanted::default() };
        assert_eq!(texts(Wanted::default(), &record(|_| {})), "Be kind. one two bob three");
        assert_eq!(texts(last, &record(|_| {})), "bob three");
        let silent = record(|r| r["texts"].as_array_mut().unwrap().truncate(4));
        assert_eq!(texts(last, &silent), "Be kind. one two bob");
        let output = record(|r| r["stage"] = json!("output"));
        assert_eq!(texts(last, &output), "Be kind. one two bob three");
        let input = Wanted { stage: Some(Stage::Input), ..Wanted::default() };
        assert_eq!(texts(input, &output), "Beside");
    }

    #[test]
    fn a_line_without_content_is_told_from_one_that_decides_nothing() {
        let quiet = record(|r| drop(r.as_object_mut().unwrap().shift_remove("texts")));
        assert_eq!(all(policy("hate"), &[quiet]), [Recorded::WithoutContent]);
        let refused = json!({"ts": "t", "exchange": "e", "outcome": "refused", "code": "bad", "status": 400});
        assert_eq!(all(policy("hate"), &[refused]), [Recorded::Beside]);
        assert_eq!(all(policy("hate"), &[]), []);
    }

    #[test]
    fn a_line_of_something_else_names_itself_and_the_next_is_read() {
        let lines = format!("{{\"ts\": 1}}\n\nhello\n{}\n", record(|_| {}));
        let mut audit = Audit::open(Cursor::new(lines), policy("hate"), Wanted::default()).unwrap();
        for line in [1, 3] {
            let error = audit.read().unwrap_err().to_string();
            assert!(error.starts_with(&format!("line {line} is no line of an audit: ")), "{error}");
        }
        assert!(matches!(audit.read(), Ok(Some(Recorded::Decision(Decision { line: 4, .. })))));
        assert!(audit.read().unwrap().is_none());
    }
}
