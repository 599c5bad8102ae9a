//! Front matter: the head of a policy file, TOML between two `+++` lines, that names the labels and the output form.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use toml::Spanned;

use crate::policy::{Form, Label, Policy, PolicyLabel};

/// What is wrong with a policy file, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("policy `{id}`, line {line}, column {column}: {problem}")]
pub struct PolicyError {
    pub id: Arc<str>,
    /// Byte range in the file.
    pub span: Range<usize>,
    /// Counts from 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    pub problem: String,
    /// What would be right, where there is more to say.
    pub help: Option<&'static str>,
}

const LAYOUT: &str = "a policy file starts with `+++`, its labels in TOML, `+++`, then the text that the model reads";

/// Categories of one policy, at most.
const MAX_CATEGORIES: usize = 256;

impl Policy {
    /// What a category is.
    pub const CATEGORY_RULE: &str = "a category is 1 to 32 letters, digits, `-`, `_` or `.`";

    /// What a category of moderations is: the form that OpenAI's have.
    pub const MODERATION_RULE: &str =
        "a category of moderations is 1 to 64 lower-case letters, in words with `-` or `/` between them";

    /// Reads a policy file. `id` is the name of its folder.
    pub fn parse(id: &str, file: &str) -> Result<Policy, PolicyError> {
        read(id, file).map_err(|fault| {
            let start = fault.span.start.min(file.len());
            // The span's start is on a character boundary: it comes from the TOML parser or from a line's edge.
            let before = file.get(..start).unwrap_or_default();
            PolicyError {
                id: id.into(),
                line: before.matches('\n').count() + 1,
                column: before.rsplit('\n').next().unwrap_or_default().chars().count() + 1,
                span: fault.span,
                problem: fault.problem,
                help: fault.help,
            }
        })
    }
}

/// The front matter as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    form: Spanned<Form>,
    labels: Spanned<Vec<LabelEntry>>,
    #[serde(default)]
    categories: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelEntry {
    label: Spanned<String>,
    reply: Spanned<String>,
    #[serde(default)]
    safe: bool,
    moderation: Option<Spanned<String>>,
}

/// A fault before its line and column are known.
struct Fault {
    span: Range<usize>,
    problem: String,
    help: Option<&'static str>,
}

impl Fault {
    fn new(span: Range<usize>, problem: impl Into<String>) -> Self {
        Fault { span, problem: problem.into(), help: None }
    }

    fn help(self, help: &'static str) -> Self {
        Fault { help: Some(help), ..self }
    }
}

fn read(id: &str, file: &str) -> Result<Policy, Fault> {
    let (head_at, text_at) = split(file)?;
    let head: Head = toml::from_str(&file[head_at.clone()]).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        Fault::new(span.start + head_at.start..span.end + head_at.start, error.message())
    })?;
    let in_file =
        |fault: Fault| Fault { span: fault.span.start + head_at.start..fault.span.end + head_at.start, ..fault };
    let categories = categories(&head).map_err(in_file)?;
    let (form, labels) = labels(head).map_err(in_file)?;
    let text = file[text_at..].trim();
    if text.is_empty() {
        let end = text_at.min(file.len());
        return Err(Fault::new(end.saturating_sub(1)..end, "the policy has no text").help(LAYOUT));
    }
    let digest = hex_sha256(file.as_bytes()).into();
    Ok(Policy { id: id.into(), text: text.into(), digest, form, labels, categories })
}

/// The range of the TOML between the two `+++` lines, and where the text starts.
fn split(file: &str) -> Result<(Range<usize>, usize), Fault> {
    let mut at = 0;
    let mut head = None;
    for line in file.split_inclusive('\n') {
        let fence = line.trim_end() == "+++";
        match head {
            None if fence => head = Some(at + line.len()),
            None => {
                let shown = at..at + line.trim_end().len();
                return Err(Fault::new(shown, "expected `+++` on the first line").help(LAYOUT));
            }
            Some(start) if fence => return Ok((start..at, at + line.len())),
            Some(_) => {}
        }
        at += line.len();
    }
    match head {
        None => Err(Fault::new(0..0, "the file is empty").help(LAYOUT)),
        Some(_) => Err(Fault::new(0..3, "the front matter is not closed: no second `+++` line").help(LAYOUT)),
    }
}

/// The codes of the policy's rules.
fn categories(head: &Head) -> Result<Vec<Arc<str>>, Fault> {
    let mut names = BTreeSet::new();
    let mut out = Vec::new();
    for (at, entry) in head.categories.iter().enumerate() {
        let (name, span) = (entry.get_ref(), entry.span());
        if *head.form.get_ref() != Form::Json {
            let problem = format!("the form `{}` has no categories", head.form.get_ref().as_str());
            return Err(Fault::new(span, problem).help("only form = \"json\" names a category beside the label"));
        }
        let sound = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if !(1..=32).contains(&name.len()) || !name.bytes().all(sound) {
            let problem = format!("`{}` can't be a category", name.escape_debug());
            return Err(Fault::new(span, problem).help(Policy::CATEGORY_RULE));
        }
        if !names.insert(name.as_str()) {
            return Err(Fault::new(span, format!("the category `{name}` is named twice")));
        }
        if at == MAX_CATEGORIES {
            return Err(Fault::new(span, format!("a policy has at most {MAX_CATEGORIES} categories")));
        }
        out.push(name.as_str().into());
    }
    Ok(out)
}

/// Checks what the TOML shape cannot say.
fn labels(head: Head) -> Result<(Form, Vec<PolicyLabel>), Fault> {
    let (form_at, form) = (head.form.span(), head.form.into_inner());
    let labels_at = head.labels.span();
    let mut replies = BTreeSet::new();
    let mut names = BTreeSet::new();
    let mut out = Vec::new();
    for entry in head.labels.into_inner() {
        let (name, reply) = (entry.label.get_ref(), entry.reply.get_ref());
        let label = Label::parse(name).ok_or_else(|| {
            Fault::new(entry.label.span(), format!("`{}` can't be a label", name.escape_debug())).help(Label::RULE)
        })?;
        if !names.insert(name.clone()) {
            return Err(Fault::new(entry.label.span(), format!("the label `{label}` is named twice")));
        }
        if reply.is_empty() || reply.trim() != reply {
            return Err(Fault::new(entry.reply.span(), "a reply is what the model writes, without spaces around it"));
        }
        if !replies.insert(reply.clone()) {
            return Err(Fault::new(entry.reply.span(), format!("the reply `{reply}` stands for two labels")));
        }
        let moderation = moderation(&entry)?;
        out.push(PolicyLabel { label, reply: reply.as_str().into(), safe: entry.safe, moderation });
    }
    let bits = form != Form::Label;
    if bits && !replies.iter().map(String::as_str).eq(["0", "1"]) {
        let problem = format!("the form `{}` has exactly the replies \"0\" and \"1\"", form.as_str());
        return Err(Fault::new(form_at, problem).help("with other replies, use form = \"label\""));
    }
    if out.len() < 2 {
        return Err(Fault::new(labels_at, "a policy needs at least two labels: with one, nothing is told apart"));
    }
    if out.iter().all(|label| label.safe) {
        return Err(Fault::new(labels_at, "every label is safe, so the policy can never find anything"));
    }
    Ok((form, out))
}

/// What moderations call a label.
fn moderation(entry: &LabelEntry) -> Result<Option<Arc<str>>, Fault> {
    let Some(named) = &entry.moderation else { return Ok(None) };
    let (name, span) = (named.get_ref(), named.span());
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
    if name.len() > 64 || !name.split(['-', '/']).all(is_word) {
        let problem = format!("`{}` can't be a category of moderations", name.escape_debug());
        return Err(Fault::new(span, problem).help(Policy::MODERATION_RULE));
    }
    if entry.safe {
        let problem = format!("the label `{}` is safe, so it is no category of moderations", entry.label.get_ref());
        return Err(Fault::new(span, problem).help("name it at the label that finds something"));
    }
    Ok(Some(name.as_str().into()))
}

/// The digest that policies and other files are known by.
pub fn hex_sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The public template of the gpt-oss-safeguard guide, as a policy's text.
    const TEMPLATE: &str = "\
# Policy Name

## INSTRUCTIONS
Classify the content under the definitions below. Answer with one character: 1 if it violates, 0 if it does not.

## DEFINITIONS
- **Term**: what it means here.

## VIOLATES (1)
- What is not allowed.

## SAFE (0)
- What is allowed.

## EXAMPLES
Content: an example
Answer: 1

Content: [INPUT]
Answer (0 or 1):";

    const BINARY: &str = "form = \"binary\"\n\
        [[labels]]\nlabel = \"BAD\"\nreply = \"1\"\n\
        [[labels]]\nlabel = \"GOOD\"\nreply = \"0\"\nsafe = true\n";

    fn file(head: &str, text: &str) -> String {
        format!("+++\n{head}+++\n{text}")
    }

    #[test]
    fn reads_the_guides_template() {
        let file = file(BINARY, TEMPLATE);
        let policy = Policy::parse("p", &file).unwrap();
        assert_eq!(&*policy.text, TEMPLATE);
        assert_eq!(policy.form, Form::Binary);
        let labels: Vec<_> = policy.labels.iter().map(|l| (l.label.as_str(), &*l.reply, l.safe)).collect();
        assert_eq!(labels, [("BAD", "1", false), ("GOOD", "0", true)]);
        assert_eq!(&*policy.digest, hex_sha256(file.as_bytes()));
    }

    #[test]
    fn reads_windows_line_ends_and_the_other_forms() {
        let windows = file(BINARY, TEMPLATE).replace('\n', "\r\n");
        assert_eq!(Policy::parse("p", &windows).unwrap().labels.len(), 2);
        let levels = "form = \"label\"\n[[labels]]\nlabel = \"A\"\nreply = \"INVALID\"\n\
            [[labels]]\nlabel = \"B\"\nreply = \"INVALID+ESCALATE\"\n[[labels]]\nlabel = \"C\"\nreply = \"VALID\"\nsafe = true\n";
        assert_eq!(Policy::parse("p", &file(levels, "text")).unwrap().form, Form::Label);
        let json = BINARY.replace("binary", "json");
        assert_eq!(Policy::parse("p", &file(&json, "text")).unwrap().form, Form::Json);
    }

    #[test]
    fn reads_the_categories_of_a_json_policy() {
        let head = format!("categories = [\"H1\", \"H2.f\"]\n{}", BINARY.replace("binary", "json"));
        let policy = Policy::parse("p", &file(&head, "text")).unwrap();
        assert_eq!(policy.categories.iter().map(|c| &**c).collect::<Vec<_>>(), ["H1", "H2.f"]);
        assert!(Policy::parse("p", &file(BINARY, "text")).unwrap().categories.is_empty());
    }

    #[test]
    fn reads_what_moderations_call_a_label() {
        for name in ["hate", "sexual/minors", "self-harm/intent"] {
            let head = BINARY.replace("reply = \"1\"\n", &format!("reply = \"1\"\nmoderation = \"{name}\"\n"));
            let policy = Policy::parse("p", &file(&head, "text")).unwrap();
            let names: Vec<_> = policy.labels.iter().map(|label| label.moderation.as_deref()).collect();
            assert_eq!(names, [Some(name), None]);
        }
        let long = "a".repeat(65);
        for name in ["", "Hate", "self harm", "self_harm", "-hate", "hate/", "hate//hate", "h4te", "hâte", &long] {
            let head = BINARY.replace("reply = \"1\"\n", &format!("reply = \"1\"\nmoderation = \"{name}\"\n"));
            let error = Policy::parse("p", &file(&head, "text")).unwrap_err();
            assert_eq!((error.line, error.column, error.help), (6, 14, Some(Policy::MODERATION_RULE)), "{name}");
            assert_eq!(error.problem, format!("`{name}` can't be a category of moderations"));
        }
    }

    #[test]
    fn every_fault_has_its_place() {
        let json = |list: &str| file(&format!("categories = {list}\n{}", BINARY.replace("binary", "json")), "t");
        let cases = [
            (String::new(), 1, 1, "the file is empty"),
            ("# Policy".into(), 1, 1, "expected `+++` on the first line"),
            ("+++\nform = \"binary\"\n".into(), 1, 1, "the front matter is not closed: no second `+++` line"),
            (file(BINARY, " \n"), 10, 4, "the policy has no text"),
            (
                file(&BINARY.replace("binary", "yesno"), "t"),
                2,
                8,
                "unknown variant `yesno`, expected one of `binary`, `label`, `json`",
            ),
            (file(&BINARY.replace("\"1\"", "\"0\""), "t"), 8, 9, "the reply `0` stands for two labels"),
            (
                file(&BINARY.replace("\"1\"", "\"2\""), "t"),
                2,
                8,
                "the form `binary` has exactly the replies \"0\" and \"1\"",
            ),
            (file(&BINARY.replace("GOOD", "BAD"), "t"), 7, 9, "the label `BAD` is named twice"),
            (file(&BINARY.replace("BAD", "B D"), "t"), 4, 9, "`B D` can't be a label"),
            (
                file(&BINARY.replace("label = \"BAD\"\n", "label = \"BAD\"\nsafe = true\n"), "t"),
                3,
                1,
                "every label is safe, so the policy can never find anything",
            ),
            (
                file("form = \"label\"\n[[labels]]\nlabel = \"A\"\nreply = \"a\"\n", "t"),
                3,
                1,
                "a policy needs at least two labels: with one, nothing is told apart",
            ),
            (
                file(&format!("{BINARY}saef = true\n"), "t"),
                10,
                1,
                "unknown field `saef`, expected one of `label`, `reply`, `safe`, `moderation`",
            ),
            (
                file(&format!("{BINARY}moderation = \"hate\"\n"), "t"),
                10,
                14,
                "the label `GOOD` is safe, so it is no category of moderations",
            ),
            (file("form = \"label\"\n", "t"), 2, 1, "missing field `labels`"),
            (file(&format!("categories = [\"H1\"]\n{BINARY}"), "t"), 2, 15, "the form `binary` has no categories"),
            (json("[\"H1\", \"H 2\"]"), 2, 21, "`H 2` can't be a category"),
            (json("[\"H1\", \"\"]"), 2, 21, "`` can't be a category"),
            (json("[\"H1\", \"H1\"]"), 2, 21, "the category `H1` is named twice"),
            (
                json(&format!("{:?}", (0..300).map(|n| n.to_string()).collect::<Vec<_>>())),
                2,
                1697,
                "a policy has at most 256 categories",
            ),
        ];
        for (text, line, column, problem) in cases {
            let error = Policy::parse("p", &text).unwrap_err();
            assert_eq!((error.line, error.column, error.problem.as_str()), (line, column, problem), "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "(\\+\\+\\+\r?\n)?\\PC{0,40}\n?(form = \"(binary|label)\"\n)?(\\+\\+\\+)?\\PC{0,20}") {
            let _ = Policy::parse("p", &text);
        }
    }
}
