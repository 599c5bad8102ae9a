//! The policies that ship are of the guide's form, each with its golden file and its guardrail; and policies of other forms are
//! policies too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use portcullis::policy::{Form, Policy};
use serde::Deserialize;

/// With their labels, the one that comes before all others first.
const SHIPPED: [(&str, &[&str]); 8] = [
    ("hate", &["HATE", "SAFE"]),
    ("illicit", &["ILLICIT", "SAFE"]),
    ("off-topic", &["OFF-TOPIC", "SAFE"]),
    ("personal-data", &["PERSONAL-DATA", "SAFE"]),
    ("prompt-injection", &["INJECTION", "SAFE"]),
    ("self-harm", &["PROMOTION", "RISK", "SAFE"]),
    ("sexual", &["MINORS", "SEXUAL", "SAFE"]),
    ("violence", &["VIOLENCE", "SAFE"]),
];

/// An item of a golden file.
#[derive(Deserialize)]
struct Item {
    text: String,
    label: String,
    stage: String,
    /// Near the line that the policy draws, on either side of it.
    #[serde(default)]
    boundary: bool,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: PathBuf) -> String {
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn shipped() -> impl Iterator<Item = Policy> {
    SHIPPED.iter().map(|(id, labels)| {
        let policy = Policy::parse(id, &read(root().join("policies").join(id).join("policy.md"))).unwrap();
        assert_eq!(policy.labels.iter().map(|label| label.label.as_str()).collect::<Vec<_>>(), *labels, "{id}");
        policy
    })
}

#[test]
fn these_ship_and_no_others() {
    let folders = fs::read_dir(root().join("policies")).unwrap().map(|entry| entry.unwrap().path());
    let found: BTreeSet<String> = folders
        .filter(|path| path.is_dir())
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(found, SHIPPED.iter().map(|(id, _)| (*id).to_owned()).collect());
}

/// Instructions, definitions, a section of coded rules for each label, examples on both sides of the line; what to write is said
/// in the instructions and again before the examples.
#[test]
fn a_shipped_policy_is_of_the_guides_form() {
    for policy in shipped() {
        let (id, text) = (&policy.id, &*policy.text);
        let violates = policy.labels.iter().filter(|label| !label.safe).map(|label| match policy.form {
            Form::Binary => "## VIOLATES (1)".to_owned(),
            _ => format!("## {} ({})", label.label, label.reply),
        });
        let headings: Vec<String> = ["## INSTRUCTIONS", "## DEFINITIONS"]
            .map(str::to_owned)
            .into_iter()
            .chain(violates)
            .chain(["## SAFE (0)", "## EXAMPLES"].map(str::to_owned))
            .collect();
        let found: Vec<&str> = text.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(found, headings, "{id}");
        let sections: BTreeMap<&str, &str> =
            text.split("\n## ").map(|section| section.split_once('\n').expect("a heading")).collect();
        let asked = "Answer with exactly one character: ";
        assert!(sections["INSTRUCTIONS"].contains(asked), "{id}");
        let safe = sections["SAFE (0)"];
        assert!(safe.lines().any(|line| line.starts_with(asked)), "{id}");
        assert_eq!(text.matches(asked).count(), 2, "{id}");
        for heading in &headings[2..headings.len() - 1] {
            let rules: Vec<&str> = sections[&heading[3..]].lines().filter(|line| line.starts_with("- ")).collect();
            let coded = |rule: &&str| {
                rule[2..].starts_with(|c: char| c.is_ascii_uppercase())
                    && rule[3..].starts_with(|c: char| c.is_ascii_digit())
            };
            assert!(rules.len() >= 2 && rules.iter().all(coded), "{id}, {heading}: {rules:?}");
        }
        let examples = sections["EXAMPLES"];
        let answers: Vec<&str> = examples.lines().filter_map(|line| line.strip_prefix("Answer: ")).collect();
        assert!((4..=6).contains(&answers.len()), "{id}: {answers:?}");
        assert_eq!(answers.len(), examples.matches("CONTENT: ").count(), "{id}");
        // An example of every reply, and of none that the policy does not have.
        let replies = policy.labels.iter().map(|label| &*label.reply).collect::<BTreeSet<_>>();
        assert_eq!(answers.into_iter().collect::<BTreeSet<_>>(), replies, "{id}");
    }
}

/// What the text says of it is what the order of the labels says, by which a text of several is classified. Two labels need none.
#[test]
fn a_shipped_policys_labels_are_in_the_order_of_precedence() {
    for policy in shipped() {
        let names: Vec<&str> = policy.labels.iter().map(|label| label.label.as_str()).collect();
        let said = policy.text.lines().find_map(|line| line.strip_prefix("Precedence: ")?.split('.').next());
        assert_eq!(said, (names.len() > 2).then(|| names.join(", then ")).as_deref(), "{}", policy.id);
        assert!(policy.labels.iter().is_sorted_by_key(|label| label.safe), "{}", policy.id);
    }
}

/// Where the policy's own name is OpenAI's, that is enough.
#[test]
fn a_shipped_label_has_openais_name_where_there_is_one() {
    let named: Vec<(String, String)> = shipped()
        .flat_map(|policy| policy.labels)
        .filter_map(|label| Some((label.label.to_string(), label.moderation?.to_string())))
        .collect();
    let expected = [("PROMOTION", "self-harm/instructions"), ("RISK", "self-harm/intent"), ("MINORS", "sexual/minors")];
    assert_eq!(named, expected.map(|(label, name)| (label.to_owned(), name.to_owned())));
}

/// Shorter ones leave too much open; longer ones cost more, and models read them worse.
#[cfg(feature = "libtorch")]
#[test]
fn a_shipped_policy_is_of_the_guides_length() {
    let tokenizer = portcullis::model::Tokenizer::o200k();
    for policy in shipped() {
        let tokens = tokenizer.encode(&policy.text).unwrap().len();
        assert!((400..=600).contains(&tokens), "{}: {tokens}", policy.id);
    }
}

#[test]
fn a_golden_file_has_every_label_in_both_stages_and_half_of_it_near_the_line() {
    for policy in shipped() {
        let id = &policy.id;
        let lines = read(root().join("policies").join(&**id).join("golden.jsonl"));
        let items: Vec<Item> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(items.len() >= 60, "{id}: {}", items.len());
        assert_eq!(items.iter().map(|item| &item.text).collect::<BTreeSet<_>>().len(), items.len(), "{id}");
        assert!(items.iter().all(|item| !policy.text.contains(&item.text)), "{id}");
        for stage in ["input", "output"] {
            let found: BTreeSet<&str> =
                items.iter().filter(|item| item.stage == stage).map(|item| &*item.label).collect();
            let expected = policy.labels.iter().map(|label| label.label.as_str()).collect::<BTreeSet<_>>();
            assert_eq!(found, expected, "{id}, {stage}");
        }
        let boundary = items.iter().filter(|item| item.boundary).count();
        assert!((items.len() * 2 / 5..=items.len() * 3 / 5).contains(&boundary), "{id}: {boundary} of {}", items.len());
    }
}

/// Every label has an action, and what concerns minors is blocked both ways.
#[test]
fn a_shipped_policy_has_its_guardrail() {
    for policy in shipped() {
        let file = read(root().join("guardrails").join(format!("{}.toml", policy.id)));
        let guardrail: toml::Table = file.parse().unwrap();
        assert_eq!(guardrail["policy"].as_str(), Some(&*policy.id));
        let actions = guardrail["actions"].as_table().unwrap();
        let labels = policy.labels.iter().filter(|label| !label.safe).map(|label| label.label.as_str());
        assert_eq!(actions.keys().map(String::as_str).collect::<BTreeSet<_>>(), labels.collect(), "{}", policy.id);
        if actions.contains_key("MINORS") {
            assert_eq!(actions["MINORS"].as_str(), Some("block"));
            assert_eq!(guardrail["stage"].as_array().map(Vec::len), Some(2));
            assert_eq!(guardrail.get("mode"), None, "enforced, as every guardrail that does not say otherwise");
        }
    }
}

/// A page's template, a word for each label, two lines: nothing but the front matter is ours.
#[test]
fn policies_of_other_forms_are_policies() {
    for (id, replies) in
        [("lm-studio", ["1", "0"]), ("roost", ["INVALID", "VALID"]), ("violating", ["Violating", "Non-violating"])]
    {
        let file = read(root().join("tests/policies").join(id).join("policy.md"));
        let policy = Policy::parse(id, &file).unwrap();
        assert_eq!(policy.labels.iter().map(|label| &*label.reply).collect::<Vec<_>>(), replies, "{id}");
        let (_, text) = file.rsplit_once("+++\n").unwrap();
        assert_eq!(&*policy.text, text.trim(), "{id}");
    }
}
