//! `POST /v1/moderations`: OpenAI's moderation API over the policies of this deployment. A policy is a category; one with
//! several labels that are not safe has one more for each, named POLICY/LABEL. A label may have OpenAI's own name beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use hyper::Response;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use uuid::Uuid;

use crate::admin::desk::{Desk, EMPTY, Meant, WITHIN};
use crate::admin::refused::Refused;
use crate::admin::reply::{self, Body};
use crate::admin::server::Lease;
use crate::guardrail::{DetectError, Stage};
use crate::policy::{Effort, Label, PolicyLabel};
use crate::workbench::{Classification, Classifier};

/// Texts of one request, at most.
const INPUTS: usize = 32;
/// Verdicts of one request that are asked at once.
const AT_ONCE: usize = 4;
/// Models of OpenAI's: clients name them by default. Whatever they begin with means all the policies.
const OPENAI: [&str; 2] = ["omni-moderation-", "text-moderation-"];
/// The model of all the policies.
const ALL: &str = "portcullis";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The id of a policy, or one of OpenAI's models for all that are moderated by.
    model: Option<String>,
    input: Input,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "`input` is a string, an array of strings, or an array of {\"type\": \"text\", \"text\": ..}"
)]
enum Input {
    One(String),
    Many(Vec<String>),
    /// Of one message: judged as one text.
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    r#type: String,
    text: Option<String>,
}

#[derive(Serialize)]
struct Moderated {
    id: String,
    model: String,
    results: Vec<Outcome>,
}

/// Of one text.
#[derive(Default, Serialize)]
struct Outcome {
    flagged: bool,
    categories: BTreeMap<String, bool>,
    category_scores: BTreeMap<String, f32>,
    category_applied_input_types: BTreeMap<String, [&'static str; 1]>,
}

pub async fn moderate(desk: &Desk, asked: Asked, lease: &Lease) -> Result<Response<Body>, Refused> {
    let texts = texts(asked.input)?;
    let model = asked.model.filter(|model| model != ALL && !OPENAI.iter().any(|openai| model.starts_with(openai)));
    let ids = match &model {
        Some(id) => vec![id.as_str().into()],
        None => desk.moderated(),
    };
    if ids.is_empty() {
        // An answer without categories would read as one that found nothing.
        let problem = "no guardrail judges by a policy: name policies under [admin] moderations, or one as the model";
        return Err(Refused::Parameter { param: "model", problem: problem.into() });
    }
    let _permit = desk.permit()?;
    let mut classifiers = Vec::with_capacity(ids.len());
    for id in &ids {
        let classifier = desk.classifier(Meant::Named(id.to_string()), None, Effort::None, "model");
        classifiers.push(lease.hold(classifier).await?);
    }
    lease.extend(WITHIN);
    let late = |_| Refused::Failed(DetectError::Timeout(WITHIN));
    let results = timeout(WITHIN, outcomes(&texts, &classifiers)).await.map_err(late)??;
    let id = format!("modr-{}", Uuid::now_v7().simple());
    Ok(reply::json(&Moderated { id, model: model.unwrap_or_else(|| ALL.into()), results }))
}

/// Of each text. One verdict that is missing is a failure of all: nothing is told that was not judged.
async fn outcomes(texts: &[Arc<str>], classifiers: &[Arc<Classifier>]) -> Result<Vec<Outcome>, Refused> {
    let both = |(at, text): (usize, &Arc<str>)| {
        let text = text.clone();
        classifiers.iter().cloned().map(move |classifier| (at, text.clone(), classifier))
    };
    let asks: Vec<_> = texts.iter().enumerate().flat_map(both).collect();
    let verdicts = stream::iter(asks).map(|(at, text, classifier)| async move {
        let classification = classifier.classify(Stage::Input, text, None).await?;
        Ok::<_, Refused>((at, classifier, classification))
    });
    let mut outcomes: Vec<Outcome> = texts.iter().map(|_| Outcome::default()).collect();
    let mut verdicts = verdicts.buffered(AT_ONCE);
    while let Some((at, classifier, classification)) = verdicts.try_next().await? {
        let labels = &classifier.policy().labels;
        // Where a part of the text has no verdict, whatever was not found elsewhere may stand there.
        if let Some(problem) = classification.failed.as_ref().filter(|_| !has_all(labels, &classification)) {
            return Err(Refused::Failed(DetectError::Engine(problem.as_str().into())));
        }
        outcomes[at].add(labels, &classification);
    }
    Ok(outcomes)
}

impl Outcome {
    fn add(&mut self, labels: &[PolicyLabel], found: &Classification) {
        let certain = |found: bool| if found { 1.0 } else { 0.0 };
        let policy = &found.policy;
        let unsafe_labels = || labels.iter().filter(|label| !label.safe);
        let several = unsafe_labels().count() > 1;
        for PolicyLabel { label, moderation, .. } in unsafe_labels() {
            let is_found = has(label, found);
            let score = found.scores.iter().find(|(known, _)| known == label).map(|(_, share)| *share);
            let score = score.unwrap_or(certain(is_found));
            if several {
                self.put(&format!("{policy}/{label}"), is_found, score);
            }
            if let Some(name) = moderation {
                self.put(name, is_found, score);
            }
        }
        self.put(policy, !found.safe, found.violation.unwrap_or(certain(!found.safe)));
    }

    /// What several are told as is found where one of them is, and has the highest of their scores.
    fn put(&mut self, category: &str, found: bool, score: f32) {
        self.flagged |= found;
        self.category_applied_input_types.insert(category.to_owned(), ["text"]);
        let highest = self.category_scores.entry(category.to_owned()).or_default();
        *highest = highest.max(score);
        *self.categories.entry(category.to_owned()).or_default() |= found;
    }
}

/// Whether every label that is not safe was found.
fn has_all(labels: &[PolicyLabel], found: &Classification) -> bool {
    labels.iter().filter(|label| !label.safe).all(|label| has(&label.label, found))
}

fn has(label: &Label, found: &Classification) -> bool {
    !found.safe && (found.label.as_ref() == Some(label) || found.others.contains(label))
}

fn texts(input: Input) -> Result<Vec<Arc<str>>, Refused> {
    let refused = |problem: String| Refused::Parameter { param: "input", problem };
    let is_list = matches!(input, Input::Many(_));
    let texts: Vec<Arc<str>> = match input {
        Input::One(text) => vec![text.into()],
        Input::Many(texts) => texts.into_iter().map(Arc::from).collect(),
        Input::Parts(parts) => {
            let mut joined = Vec::with_capacity(parts.len());
            for (at, part) in parts.into_iter().enumerate() {
                match (part.r#type.as_str(), part.text) {
                    ("text", Some(text)) => joined.push(text),
                    ("text", None) => return Err(refused(format!("input[{at}] has no `text`"))),
                    ("image_url", _) => return Err(refused(format!("input[{at}] is a picture: only text is judged"))),
                    _ => return Err(refused(format!("input[{at}].type is none that is judged: expected \"text\""))),
                }
            }
            vec![joined.join("\n").into()]
        }
    };
    if texts.len() > INPUTS {
        return Err(refused(format!("at most {INPUTS} texts are judged in one request")));
    }
    match texts.iter().position(|text| text.trim().is_empty()) {
        _ if texts.is_empty() => Err(refused("there is nothing to judge: expected one text at least".into())),
        Some(at) if is_list => Err(refused(format!("input[{at}]: {EMPTY}"))),
        Some(_) => Err(refused(EMPTY.into())),
        None => Ok(texts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Vec<Arc<str>>, String> {
        let asked: Asked = serde_json::from_str(json).map_err(|error| error.to_string())?;
        texts(asked.input).map_err(|refused| refused.to_string())
    }

    #[test]
    fn every_form_of_input_is_read() {
        let texts = |list: &[&str]| Ok(list.iter().map(|&text| Arc::from(text)).collect::<Vec<Arc<str>>>());
        for (input, expected) in [
            (r#""a""#, texts(&["a"])),
            (r#"["a", "b"]"#, texts(&["a", "b"])),
            (r#"[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]"#, texts(&["a\nb"])),
            (r#"[{"type": "text", "text": ""}, {"type": "text", "text": "b"}]"#, texts(&["\nb"])),
        ] {
            assert_eq!(read(&format!(r#"{{"input": {input}}}"#)), expected, "{input}");
        }
    }

    #[test]
    fn what_is_not_judged_is_refused() {
        for (input, problem) in [
            (
                r#"[{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "x"}}]"#,
                "input[1] is a picture",
            ),
            (r#"[{"type": "audio"}]"#, "input[0].type"),
            (r#"[{"type": "text"}]"#, "input[0] has no `text`"),
            ("[]", "expected one text at least"),
            (r#""""#, "the text is empty"),
            (r#"["a", " \t\n\u3000"]"#, "input[1]: the text is empty"),
            (r#"[{"type": "text", "text": ""}, {"type": "text", "text": " "}]"#, "the text is empty"),
            ("1", "`input` is a string"),
            ("[1]", "`input` is a string"),
            (r#"["a", {"type": "text", "text": "b"}]"#, "`input` is a string"),
            ("null", "`input` is a string"),
        ] {
            let error = read(&format!(r#"{{"input": {input}}}"#)).unwrap_err();
            assert!(error.contains(problem), "{input}: {error}");
        }
        let many = serde_json::json!({ "input": vec!["a"; INPUTS + 1] }).to_string();
        assert!(read(&many).unwrap_err().contains("at most 32"));
        assert!(read(r#"{"input": "a", "user": "u"}"#).unwrap_err().contains("unknown field"));
        assert!(read(r#"{"input": "a", "input": "b"}"#).unwrap_err().contains("duplicate field"));
    }
}
