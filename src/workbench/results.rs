//! Results: one JSON line for each item, in the order of the data, behind a line that says what they are of. A run that was
//! broken off goes on where its file ends, if it is still the same run. What is judged again has a further line, which counts,
//! until the run is at its end.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::guardrail::{DetectError, Stage};
use crate::workbench::{Classification, Classifier, Data, Expected};

/// What a run is of. Runs of equal heads give the same results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Of this form.
    pub portcullis_eval: u32,
    /// Digest and number of the items.
    pub data: String,
    pub items: usize,
    pub a: Side,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub b: Option<Side>,
}

/// Who judges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    pub policy: String,
    pub policy_digest: String,
    pub model: String,
    pub form: String,
    pub effort: String,
    /// Tokens of reasoning, at most.
    pub reasoning_tokens: usize,
}

/// What came of one item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// From 0; and its line in the data.
    pub item: usize,
    pub line: u64,
    pub stage: Stage,
    pub expected: Expected,
    pub a: Judged,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub b: Option<Judged>,
}

/// A verdict, or why there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Judged {
    Given(Given),
    Failed { error: String, detail: String },
}

/// A verdict, as far as a run keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Given {
    pub label: String,
    /// Further labels that were found in a long text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
    pub safe: bool,
    pub score: Option<f32>,
    pub violation: Option<f32>,
    /// Milliseconds.
    pub took: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rationale: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reasoning: String,
}

/// The file that a run writes.
pub struct Results {
    file: File,
    path: PathBuf,
    /// Its lines, less the head.
    lines: usize,
}

/// Why results can't be written or gone on with.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    #[error("can't use the results `{}`: {error}", .path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("`{}` holds results of another run: {what}. Name another file, or remove this one to begin anew", .path.display())]
    Other { path: PathBuf, what: String },
}

impl Head {
    pub const FORM: u32 = 3;

    pub fn new(data: &Data, a: &Classifier, b: Option<&Classifier>) -> Self {
        let (digest, items) = (data.digest.clone(), data.items.len());
        Head { portcullis_eval: Self::FORM, data: digest, items, a: Side::new(a), b: b.map(Side::new) }
    }

    /// In what another run differs from this one.
    fn differs(&self, other: &Head) -> Option<String> {
        let side = |name: &str, a: &Side, b: &Side| {
            [
                ("policy", a.policy != b.policy || a.policy_digest != b.policy_digest || a.form != b.form),
                ("model", a.model != b.model),
                ("effort", a.effort != b.effort || a.reasoning_tokens != b.reasoning_tokens),
            ]
            .into_iter()
            .find_map(|(what, differs)| differs.then(|| format!("its {what}{name} is another")))
        };
        if self == other {
            return None;
        }
        let data = (self.data != other.data).then(|| "its data are others".to_owned());
        let b = match (&self.b, &other.b) {
            (Some(a), Some(b)) => side(" to compare with", a, b),
            (None, None) => None,
            _ => Some("one of them compares, the other does not".to_owned()),
        };
        let differs = data.or_else(|| side("", &self.a, &other.a)).or(b);
        Some(differs.unwrap_or_else(|| "they have another form".to_owned()))
    }
}

impl Side {
    fn new(classifier: &Classifier) -> Self {
        let (policy, identity) = (classifier.policy(), classifier.identity());
        Side {
            policy: policy.id.to_string(),
            policy_digest: policy.digest.to_string(),
            model: identity.model.to_string(),
            form: identity.form.to_owned(),
            effort: identity.reasoning.effort().as_str().to_owned(),
            reasoning_tokens: identity.reasoning.tokens(),
        }
    }
}

impl Line {
    /// Whether one of its sides has no verdict.
    pub fn has_failed(&self) -> bool {
        [Some(&self.a), self.b.as_ref()].into_iter().flatten().any(|judged| judged.given().is_none())
    }
}

impl Judged {
    pub fn given(&self) -> Option<&Given> {
        match self {
            Judged::Given(given) => Some(given),
            Judged::Failed { .. } => None,
        }
    }

    /// The label, or the word for why there is none.
    pub fn word(&self) -> &str {
        match self {
            Judged::Given(given) => &given.label,
            Judged::Failed { error, .. } => error,
        }
    }
}

impl From<Result<Classification, DetectError>> for Judged {
    fn from(result: Result<Classification, DetectError>) -> Self {
        let failed = |error: &str, detail: String| Judged::Failed { error: error.to_owned(), detail };
        match result {
            // What is safe is so of the whole text, or it is an error.
            Ok(Classification { failed: Some(detail), safe: true, .. }) => failed("incomplete", detail),
            Ok(Classification { label: None, .. }) => failed("no_label", "the engine names no label".into()),
            Ok(Classification {
                label: Some(label),
                others,
                safe,
                score,
                violation,
                category,
                rationale,
                reasoning,
                times,
                ..
            }) => Judged::Given(Given {
                label: label.as_str().to_owned(),
                others: others.iter().map(|label| label.as_str().to_owned()).collect(),
                safe,
                score,
                violation,
                took: times.total,
                category,
                rationale,
                reasoning,
            }),
            Err(error) => failed(error.kind(), error.to_string()),
        }
    }
}

impl Results {
    /// Opens the results of a run, and gives those that it has already. A last line that was not finished is dropped.
    pub fn open(path: &Path, head: &Head) -> Result<(Self, Vec<Line>), ResultsError> {
        let failed = |error: io::Error| ResultsError::File { path: path.into(), error };
        let other = |what: String| ResultsError::Other { path: path.into(), what };
        // It may quote the texts, so it is nobody else's.
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).clone();
        let mut file = options.open(path).map_err(failed)?;
        // Two runs would write between each other's lines. The lock goes with the file.
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => failed(io::Error::other("another evaluation is writing it")),
            TryLockError::Error(error) => failed(error),
        })?;
        let (mut lines, mut count, mut end, mut first) = (Vec::new(), 0, 0, None);
        let mut reader = BufReader::new(&file);
        // As bytes: the end of a line that was not finished may be half a character.
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).map_err(failed)? > 0 && line.ends_with(b"\n") {
            if first.is_none() {
                let found: Head =
                    serde_json::from_slice(&line).map_err(|_| other("its first line is no head".into()))?;
                if let Some(what) = head.differs(&found) {
                    return Err(other(what));
                }
                first = Some(found);
            } else {
                let found: Line = serde_json::from_slice(&line).map_err(|error| other(error.to_string()))?;
                let next = lines.len();
                match lines.get_mut(found.item) {
                    Some(known) => *known = found,
                    None if found.item == next && next < head.items => lines.push(found),
                    None => return Err(other(format!("line {} is out of order", count + 2))),
                }
                count += 1;
            }
            end += line.len() as u64;
            line.clear();
        }
        // A file without any whole line is either one that was just begun, or no results at all.
        if first.is_none() && !line.is_empty() && !line.starts_with(b"{\"portcullis_eval\":") {
            return Err(other("its first line is no head".into()));
        }
        file.set_len(end).and_then(|()| file.seek(SeekFrom::End(0))).map_err(failed)?;
        let mut results = Results { file, path: path.into(), lines: count };
        if first.is_none() {
            results.write(head).map_err(failed)?;
        }
        Ok((results, lines))
    }

    pub fn add(&mut self, line: &Line) -> io::Result<()> {
        self.lines += 1;
        self.write(line)
    }

    /// Ends the run, whose lines these are: each that was judged again takes the place of the one before.
    pub fn settle(self, head: &Head, lines: &[Line]) -> io::Result<()> {
        if self.lines == lines.len() {
            return Ok(());
        }
        let mut whole = bytes(head)?;
        for line in lines {
            whole.extend(bytes(line)?);
        }
        // Whole under another name first, so that whatever happens one of the two is there.
        let path = fs::canonicalize(&self.path)?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let new = path.with_file_name(name);
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(&whole)?;
        file.sync_all()?;
        fs::rename(&new, &path)
    }

    /// In one write, so that a run that is broken off leaves whole lines and one piece at most.
    fn write(&mut self, line: &impl Serialize) -> io::Result<()> {
        self.file.write_all(&bytes(line)?)
    }
}

fn bytes(line: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(effort: &str) -> Head {
        let word = |word: &str| word.to_owned();
        let a = Side {
            policy: word("p"),
            policy_digest: word("d"),
            model: word("m"),
            form: word("label"),
            effort: word(effort),
            reasoning_tokens: 0,
        };
        Head { portcullis_eval: Head::FORM, data: word("x"), items: 3, a, b: None }
    }

    fn line(item: usize) -> Line {
        let a = match item {
            0 => Judged::Failed { error: "timeout".into(), detail: "late".into() },
            _ => Judged::Given(Given {
                label: "BAD".into(),
                others: vec!["WORSE".into()],
                safe: false,
                score: Some(0.5),
                violation: Some(0.75),
                took: 1.5,
                category: None,
                rationale: None,
                reasoning: "so\n".into(),
            }),
        };
        Line { item, line: item as u64 + 1, stage: Stage::Input, expected: Expected::Violation(true), a, b: None }
    }

    #[test]
    fn a_run_goes_on_where_it_was_broken_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.jsonl");
        let (mut results, done) = Results::open(&path, &head("none")).unwrap();
        assert_eq!(done, []);
        results.add(&line(0)).unwrap();
        results.add(&line(1)).unwrap();
        drop(results);
        let whole = std::fs::read(&path).unwrap();
        for piece in [&b"{\"item\":2,\"li"[..], b"{\"item\":2,\"line\":3,\"label\":\"\xe6\xbc"] {
            std::fs::write(&path, [&whole[..], piece].concat()).unwrap();
            let (_, done) = Results::open(&path, &head("none")).unwrap();
            assert_eq!(done, [line(0), line(1)]);
            assert_eq!(std::fs::read(&path).unwrap(), whole);
        }
        let (mut results, _) = Results::open(&path, &head("none")).unwrap();
        let second = Results::open(&path, &head("none")).err().unwrap().to_string();
        assert!(second.ends_with("another evaluation is writing it"), "{second}");
        results.add(&line(2)).unwrap();
        drop(results);
        let (_, done) = Results::open(&path, &head("none")).unwrap();
        assert_eq!(done, [line(0), line(1), line(2)]);
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 4);
    }

    #[test]
    fn what_was_judged_again_counts_and_is_put_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.jsonl");
        let (mut results, _) = Results::open(&path, &head("none")).unwrap();
        (0..2).for_each(|item| results.add(&line(item)).unwrap());
        let again = Line { a: line(1).a, ..line(0) };
        assert!(line(0).has_failed() && !again.has_failed());
        assert!(Line { b: Some(line(0).a), ..line(1) }.has_failed());
        results.add(&again).unwrap();
        drop(results);
        // It was broken off there.
        let (mut results, lines) = Results::open(&path, &head("none")).unwrap();
        assert_eq!(lines, [again.clone(), line(1)]);
        results.add(&line(2)).unwrap();
        let all = [again, line(1), line(2)];
        results.settle(&head("none"), &all).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 4);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        let (mut results, lines) = Results::open(&path, &head("none")).unwrap();
        assert_eq!(lines, all);
        // What no run could have written is refused.
        results.add(&Line { item: 3, ..line(2) }).unwrap();
        drop(results);
        let error = Results::open(&path, &head("none")).err().unwrap().to_string();
        assert!(error.contains("line 5 is out of order"), "{error}");
    }

    #[test]
    fn results_of_another_run_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.jsonl");
        Results::open(&path, &head("none")).unwrap().0.add(&line(0)).unwrap();
        let before = std::fs::read(&path).unwrap();
        let error = |head: &Head| Results::open(&path, head).err().unwrap().to_string();
        assert!(error(&head("low")).contains("its effort is another. Name another file"));
        assert!(error(&Head { data: "y".into(), ..head("none") }).contains("its data are others"));
        assert!(error(&Head { b: Some(head("low").a), ..head("none") }).contains("one of them compares"));
        assert_eq!(std::fs::read(&path).unwrap(), before);
        for other in ["my notes", "my notes\n", "{\"portcullis_eval\":1,\"da\n"] {
            std::fs::write(&path, other).unwrap();
            assert!(error(&head("none")).contains("its first line is no head"), "{other}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), other);
        }
        let mut results = Results::open(&dir.path().join("new"), &head("none")).unwrap().0;
        results.add(&line(1)).unwrap();
        drop(results);
        assert!(Results::open(&dir.path().join("new"), &head("none")).is_err());
    }
}
