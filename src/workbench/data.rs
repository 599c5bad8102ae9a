//! Labelled data: JSON lines or CSV, each item a text and what it is expected to be. A mistake names its file and line.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::guardrail::Stage;
use crate::policy::{Label, Policy, hex_sha256};

/// No data file is larger: all of it is kept in memory.
const MAX_FILE: u64 = 256 << 20;

/// A data file, read and checked.
#[derive(Debug, Clone)]
pub struct Data {
    pub path: PathBuf,
    /// Hex SHA-256 of the file.
    pub digest: String,
    pub items: Vec<Item>,
    /// Why the items say no more than whether they violate, where their labels say more.
    pub lacking: Option<Lacking>,
}

/// A label of the data that one of two policies does not have, so that they are compared by violation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    pub policy: Arc<str>,
    pub label: String,
}

/// One text, and what it is expected to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// In the file, from 1.
    pub line: u64,
    pub text: Arc<str>,
    pub stage: Stage,
    pub expected: Expected,
}

/// What a text is expected to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Expected {
    /// Whether it falls under any label that is not safe.
    Violation(bool),
    Label(String),
}

/// What is wrong with a data file.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error("can't read the data `{}`: {error}", .path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("the data `{}` has an unknown form; a name that ends in .jsonl or .csv is expected", .0.display())]
    UnknownForm(PathBuf),
    #[error("{}:{line}: {problem}", .path.display())]
    Item { path: PathBuf, line: u64, problem: String },
    #[error("the data `{}` holds no item", .0.display())]
    Empty(PathBuf),
}

/// An item as written, in either form. Other fields are left alone.
#[derive(Deserialize)]
struct Written {
    text: Option<String>,
    #[serde(default)]
    violation: Option<Violation>,
    #[serde(default)]
    label: Option<String>,
    #[serde(default)]
    stage: Option<String>,
}

/// `0`, `1`, `true` or `false`; in CSV all of these are strings.
#[derive(Deserialize)]
#[serde(untagged)]
enum Violation {
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
}

impl Data {
    /// Reads a file that is judged by these policies: every label in it is one of some of them. Where one of them lacks a
    /// label, or an item names none, what is expected of each item is whether it violates, by the policy that has its label.
    pub fn read(path: &Path, policies: &[&Policy]) -> Result<Self, DataError> {
        let bytes = bytes(path).map_err(|error| DataError::Unreadable { path: path.into(), error })?;
        let end = path.extension().and_then(|end| end.to_str()).map(str::to_ascii_lowercase);
        let written = match end.as_deref() {
            Some("jsonl" | "ndjson") => json_lines(&bytes),
            Some("csv") => csv_rows(&bytes),
            _ => return Err(DataError::UnknownForm(path.into())),
        };
        let wrong = |line: u64, problem: String| DataError::Item { path: path.into(), line, problem };
        let item = |(line, written): (u64, Result<Written, String>)| {
            written.and_then(|written| item(line, written, policies)).map_err(|problem| wrong(line, problem))
        };
        let mut items: Vec<Item> = written.into_iter().map(item).collect::<Result<_, _>>()?;
        if items.is_empty() {
            return Err(DataError::Empty(path.into()));
        }
        let lacking = items.iter().find_map(|item| lacking(&item.expected, policies));
        if lacking.is_some() || !have_labels(&items) {
            for Item { line, expected, .. } in &mut items {
                *expected = by_violation(expected, policies).map_err(|problem| wrong(*line, problem))?;
            }
        }
        Ok(Data { path: path.into(), digest: hex_sha256(&bytes), items, lacking })
    }

    /// Whether every item names its label, so that the labels can be told apart. Otherwise none does.
    pub fn has_labels(&self) -> bool {
        have_labels(&self.items)
    }
}

impl Expected {
    /// Whether what is expected is a violation of this policy; a label that it does not have is one.
    pub fn is_violation(&self, policy: &Policy) -> bool {
        match self {
            Expected::Violation(violation) => *violation,
            Expected::Label(label) => !policy.is_safe(label),
        }
    }
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lacking { policy, label } = self;
        write!(f, "the policy `{policy}` has no label `{label}`, so all texts count by violation: safe, or not")
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Expected::Violation(true) => "violation",
            Expected::Violation(false) => "safe",
            Expected::Label(label) => label,
        })
    }
}

/// The file, less a byte order mark, which spreadsheets write.
fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::other(format!("it is larger than {} MiB: split it", MAX_FILE >> 20)));
    }
    if bytes.starts_with("\u{FEFF}".as_bytes()) {
        bytes.drain(.."\u{FEFF}".len());
    }
    Ok(bytes)
}

fn json_lines(bytes: &[u8]) -> Vec<(u64, Result<Written, String>)> {
    let lines = bytes.split(|&byte| byte == b'\n').zip(1..);
    let lines = lines.filter(|(line, _)| !line.trim_ascii().is_empty());
    lines.map(|(line, at)| (at, serde_json::from_slice(line).map_err(|error| in_line(&error)))).collect()
}

/// What is wrong, less the reader's own count of lines.
fn in_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let (problem, _) = text.rsplit_once(" at line ").unwrap_or((&text, ""));
    format!("column {}: {problem}", error.column())
}

fn csv_rows(bytes: &[u8]) -> Vec<(u64, Result<Written, String>)> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::Headers).from_reader(bytes);
    let head = match reader.headers() {
        Ok(head) => head.clone(),
        Err(error) => return vec![(1, Err(error.to_string()))],
    };
    if !head.iter().any(|name| name == "text") || !head.iter().any(|name| matches!(name, "violation" | "label")) {
        let problem = "the first line names the columns; `text` and one of `violation` and `label` are needed";
        return vec![(1, Err(problem.to_owned()))];
    }
    let rows = reader.into_records().map(|row| match row {
        Ok(row) => {
            let field = |name: &str| {
                let at = head.iter().position(|column| column == name)?;
                row.get(at).map(str::to_owned)
            };
            let given = |name: &str| field(name).filter(|value| !value.trim().is_empty());
            let violation = given("violation").map(Violation::Text);
            let written = Written { text: field("text"), violation, label: given("label"), stage: given("stage") };
            (row.position().map_or(0, csv::Position::line), Ok(written))
        }
        Err(error) => (error.position().map_or(0, csv::Position::line), Err(error.to_string())),
    });
    rows.collect()
}

fn item(line: u64, written: Written, policies: &[&Policy]) -> Result<Item, String> {
    let Written { text, violation, label, stage } = written;
    let text = text.ok_or("`text` is missing")?;
    if text.trim().is_empty() {
        return Err("`text` is empty: there is nothing to judge".into());
    }
    let stage = match stage.as_deref().map(str::trim) {
        None | Some("input") => Stage::Input,
        Some("output") => Stage::Output,
        Some(other) => return Err(format!("`stage` is `{}`; expected `input` or `output`", other.escape_debug())),
    };
    let violation = violation.map(Violation::read).transpose()?;
    let label = label.as_deref().map(str::trim);
    if let Some(label) = label {
        let mut knowing = policies.iter().filter(|policy| has(policy, label)).peekable();
        if knowing.peek().is_none() {
            return Err(unknown(label, policies));
        }
        if let Some(policy) =
            knowing.find(|policy| violation.is_some_and(|violation| violation == policy.is_safe(label)))
        {
            return Err(format!(
                "`violation` says another thing than the label `{label}` of the policy `{}`",
                policy.id
            ));
        }
    }
    let expected = match (label.and_then(Label::parse), violation) {
        (Some(label), _) => Expected::Label(label.as_str().to_owned()),
        (None, Some(violation)) => Expected::Violation(violation),
        (None, None) => return Err("neither `violation` nor `label` says what is expected".into()),
    };
    Ok(Item { line, text: text.into(), stage, expected })
}

fn has(policy: &Policy, label: &str) -> bool {
    policy.labels.iter().any(|known| known.label.as_str() == label)
}

fn unknown(label: &str, policies: &[&Policy]) -> String {
    let label = label.escape_debug();
    let without = policies.iter().map(|policy| {
        let known: Vec<&str> = policy.labels.iter().map(|known| known.label.as_str()).collect();
        format!("the policy `{}` has no label `{label}`; it has {}", policy.id, known.join(", "))
    });
    without.collect::<Vec<_>>().join("; ")
}

fn have_labels(items: &[Item]) -> bool {
    items.iter().all(|item| matches!(item.expected, Expected::Label(_)))
}

/// The policy that does not have the label that is expected.
fn lacking(expected: &Expected, policies: &[&Policy]) -> Option<Lacking> {
    let Expected::Label(label) = expected else { return None };
    let policy = policies.iter().find(|policy| !has(policy, label))?;
    Some(Lacking { policy: policy.id.clone(), label: label.clone() })
}

/// Whether a violation is expected, in the words of the policies that have the label. One of them has.
fn by_violation(expected: &Expected, policies: &[&Policy]) -> Result<Expected, String> {
    let Expected::Label(label) = expected else { return Ok(expected.clone()) };
    let mut knowing = policies.iter().filter(|policy| has(policy, label)).map(|policy| policy.is_safe(label));
    match (knowing.next(), knowing.next()) {
        (Some(a), Some(b)) if a != b => {
            Err(format!("the label `{label}` is safe in one of the two policies, and in the other it is not"))
        }
        (safe, _) => Ok(Expected::Violation(safe == Some(false))),
    }
}

impl Violation {
    fn read(self) -> Result<bool, String> {
        let text = match self {
            Violation::Bool(violation) => return Ok(violation),
            Violation::Number(number) => number.to_string(),
            Violation::Text(text) => text,
        };
        match text.trim() {
            "1" | "true" => Ok(true),
            "0" | "false" => Ok(false),
            other => Err(format!("`violation` is `{}`; expected 0 or 1", other.escape_debug())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(labels: &str) -> Policy {
        Policy::parse("p", &format!("+++\nform = \"label\"\nlabels = [{labels}]\n+++\nText.")).unwrap()
    }

    fn three() -> Policy {
        policy(
            "{ label = \"BAD\", reply = \"B\" }, { label = \"WORSE\", reply = \"W\" }, { label = \"FINE\", reply = \"F\", safe = true }",
        )
    }

    fn read(name: &str, content: &str) -> Result<Data, String> {
        read_by(name, content, &[&three()])
    }

    fn read_by(name: &str, content: &str, policies: &[&Policy]) -> Result<Data, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        Data::read(&path, policies)
            .map_err(|error| error.to_string().replace(&format!("{}/", dir.path().display()), ""))
    }

    #[test]
    fn json_lines_and_csv_say_the_same() {
        let lines = "\u{FEFF}{\"text\": \"a, \\\"b\\\"\\nc\", \"label\": \"BAD\", \"note\": 3}\n\n\
            {\"text\":\"d\",\"violation\":0,\"stage\":\"output\"}\r\n{\"text\":\"e\",\"violation\":true,\"label\":\"WORSE\"}";
        let rows = "\u{FEFF}label, stage,text ,violation\nBAD,,\"a, \"\"b\"\"\nc\",\n,output,d,0\nWORSE,input,e,1\n";
        let (lines, rows) = (read("d.jsonl", lines).unwrap(), read("d.csv", rows).unwrap());
        let brief = |data: &Data| -> Vec<_> {
            data.items.iter().map(|item| (item.text.to_string(), item.stage, item.expected.to_string())).collect()
        };
        assert_eq!(brief(&lines), brief(&rows));
        let at = |data: &Data| data.items.iter().map(|item| item.line).collect::<Vec<_>>();
        assert_eq!((at(&lines), at(&rows)), (vec![1, 3, 4], vec![2, 4, 5]));
        assert_eq!(lines.items[1].expected, Expected::Violation(false));
        assert!(!lines.has_labels());
        let policy = three();
        let violations: Vec<bool> = lines.items.iter().map(|item| item.expected.is_violation(&policy)).collect();
        assert_eq!(violations, [true, false, true]);
    }

    #[test]
    fn a_mistake_names_its_line() {
        let good = "{\"text\":\"a\",\"violation\":1}\n";
        for (wrong, said) in [
            ("{\"text\":\"a\",\"label\":\"GOOD\"}", "the policy `p` has no label `GOOD`; it has BAD, WORSE, FINE"),
            (
                "{\"text\":\"a\",\"label\":\"FINE\",\"violation\":1}",
                "`violation` says another thing than the label `FINE`",
            ),
            ("{\"text\":\" \\n\",\"violation\":1}", "`text` is empty"),
            ("{\"violation\":1}", "`text` is missing"),
            ("{\"text\":\"a\"}", "neither `violation` nor `label`"),
            ("{\"text\":\"a\",\"violation\":2}", "`violation` is `2`; expected 0 or 1"),
            ("{\"text\":\"a\",\"violation\":1,\"stage\":\"both\"}", "`stage` is `both`"),
            ("{\"text\":", "column 8: EOF"),
        ] {
            let error = read("d.jsonl", &format!("{good}{wrong}\n")).unwrap_err();
            assert!(error.starts_with("d.jsonl:2: ") && error.contains(said), "{error}");
        }
        for (rows, said) in [
            ("text\na\n", "d.csv:1: the first line names the columns"),
            ("text,label\na,BAD\nb,GOOD\n", "d.csv:3: the policy `p` has no label `GOOD`"),
            ("text,label\na,BAD,x\n", "d.csv:2: "),
        ] {
            let error = read("d.csv", rows).unwrap_err();
            assert!(error.starts_with(said), "{error}");
        }
        assert_eq!(read("d.JSONL", good).unwrap().items.len(), 1);
        assert_eq!(read("d.Csv", "text,violation\na,1\n").unwrap().items.len(), 1);
        assert!(read("d.jsonl", "\n").unwrap_err().contains("holds no item"));
        assert!(read("d.txt", good).unwrap_err().contains(".jsonl or .csv"));
    }

    #[test]
    fn where_an_item_names_no_label_all_say_whether_they_violate() {
        let rows = "text,label,violation\na,BAD,\nb,FINE,0\nc,,1\n";
        let data = read("d.csv", rows).unwrap();
        let expected: Vec<Expected> = data.items.iter().map(|item| item.expected.clone()).collect();
        assert_eq!(expected, [true, false, true].map(Expected::Violation));
        assert!(!data.has_labels() && data.lacking.is_none());
    }

    #[test]
    fn where_one_of_two_policies_lacks_a_label_all_items_say_whether_they_violate() {
        let two = |labels: &str| Policy { id: "q".into(), ..policy(labels) };
        let three = three();
        let valid = two("{ label = \"INVALID\", reply = \"I\" }, { label = \"VALID\", reply = \"V\", safe = true }");
        let labels = "text,label\na,FINE\nb,WORSE\n";
        let expected = |data: Data| data.items.into_iter().map(|item| item.expected).collect::<Vec<_>>();
        // Whichever of the two it is.
        for policies in [[&three, &valid], [&valid, &three]] {
            let data = read_by("d.csv", labels, &policies).unwrap();
            assert!(!data.has_labels());
            let said = data.lacking.as_ref().unwrap().to_string();
            assert!(said.starts_with("the policy `q` has no label `FINE`, so all texts count by violation"), "{said}");
            assert_eq!(expected(data), [Expected::Violation(false), Expected::Violation(true)]);
        }
        // Both have all: the labels are told apart. What neither has is wrong.
        let data = read_by("d.csv", labels, &[&three, &three]).unwrap();
        assert!(data.has_labels() && data.lacking.is_none());
        let error = read_by("d.csv", "text,label\na,GONE\n", &[&three, &valid]).unwrap_err();
        let both =
            "d.csv:2: the policy `p` has no label `GONE`; it has BAD, WORSE, FINE; the policy `q` has no label `GONE`";
        assert!(error.starts_with(both), "{error}");
        // What is a violation to one and safe to the other, nobody can count.
        let lax = two("{ label = \"BAD\", reply = \"B\" }, { label = \"WORSE\", reply = \"W\", safe = true }");
        let error = read_by("d.csv", labels, &[&three, &lax]).unwrap_err();
        assert!(error.starts_with("d.csv:3: the label `WORSE` is safe in one of the two policies"), "{error}");
    }
}
