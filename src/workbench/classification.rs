//! A classification: all that is known of one text under one policy, the model's reasoning and the times included.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::guardrail::{Confidence, Finding, Scores, Stage, Verdict};
use crate::policy::{Effort, Label, Policy};
use crate::text::Span;

/// What a text was found to be. Quotes the text where the model does: for people who own it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Classification {
    /// Id and digest of the policy.
    pub policy: String,
    pub policy_digest: String,
    /// Digest of the model.
    pub model: String,
    pub effort: Effort,
    pub stage: Stage,
    /// Nothing was found.
    pub safe: bool,
    /// The label that was given; of several that were found in a long text, the one that the policy names first. None only
    /// where the text is safe and the policy has several labels that say so, of which the detector named none.
    pub label: Option<Label>,
    /// Other labels that were found in a long text, in the order of the policy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Label>,
    /// The label's share among all labels, 0..=1; in a long text, in the window where that is the largest.
    pub score: Option<f32>,
    /// What all labels that are not safe have together, 0..=1: the same window's as `scores`.
    pub violation: Option<f32>,
    /// The share of each label, the best first; of a long text, those of the window with the surest finding. Empty where the
    /// engine can't tell.
    #[serde(serialize_with = "map")]
    pub scores: Vec<(Label, f32)>,
    pub category: Option<String>,
    pub confidence: Option<Confidence>,
    /// Why, in the words of the answer.
    pub rationale: Option<String>,
    /// What the model wrote before its answer; empty where it did not reason.
    pub reasoning: String,
    /// Byte ranges that the finding speaks of; none means the text as a whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub spans: Vec<Span>,
    /// Why a part of the text has no verdict, where something was found in another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    pub times: Times,
}

/// How long it took, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Times {
    /// From the ask to the verdict.
    pub total: f64,
    /// In the engine's queue: of a long text's windows, the longest wait. Where the engine can tell.
    pub queue: Option<f64>,
    /// Reading the prompt, in all. Where the engine can tell.
    pub prompt: Option<f64>,
    /// Tokens of prompt, and how many of them had been read before.
    pub prompt_tokens: usize,
    pub kept_tokens: usize,
}

impl Classification {
    pub(super) fn new(policy: &Policy, model: &str, effort: Effort, stage: Stage, verdict: Verdict) -> Self {
        let safe = |label: &Label| policy.is_safe(label.as_str());
        let Verdict { mut findings, safe: safe_labels, scores, failed } = verdict;
        // The policy says which label wins where several apply, and no score says otherwise.
        findings.sort_by_key(|finding| precedence(policy, &finding.label));
        let scores: Vec<_> = scores.iter().flat_map(Scores::iter).map(|(l, s)| (l.clone(), s.exp())).collect();
        let violation = scores.iter().filter(|(label, _)| !safe(label)).map(|(_, share)| share).sum::<f32>();
        let violation = (!scores.is_empty()).then_some(violation.clamp(0.0, 1.0));
        let mut findings = findings.into_iter();
        let found = findings.next();
        let label = match &found {
            Some(finding) => Some(finding.label.clone()),
            // Of the safe labels the scores' best; without scores, of those that were given the first of the policy.
            None => {
                let best = scores.iter().map(|(label, _)| label).find(|label| safe(label));
                let given = || safe_labels.iter().min_by_key(|label| precedence(policy, label));
                best.or_else(given).or_else(|| only_safe(policy)).cloned()
            }
        };
        let share = |label: &Label| scores.iter().find(|(known, _)| known == label).map(|(_, share)| *share);
        let score = match &found {
            Some(finding) => finding.grounds.score,
            None => label.as_ref().and_then(share),
        };
        let is_safe = found.is_none();
        let Finding { grounds, spans, .. } = found.unwrap_or_else(|| Finding::new(Label::new(""), Vec::new()));
        Classification {
            policy: policy.id.to_string(),
            policy_digest: policy.digest.to_string(),
            model: model.to_owned(),
            effort,
            stage,
            safe: is_safe,
            label,
            others: findings.map(|finding| finding.label).collect(),
            score,
            violation,
            scores,
            category: grounds.category.as_ref().map(|category| category.as_str().to_owned()),
            confidence: grounds.confidence,
            rationale: grounds.rationale.as_deref().map(str::to_owned),
            reasoning: String::new(),
            spans,
            failed: failed.map(|error| error.to_string()),
            times: Times::default(),
        }
    }
}

/// The label's place in the policy. One that it does not have, such as a pattern's, stands behind all of its own.
fn precedence(policy: &Policy, label: &Label) -> usize {
    policy.labels.iter().position(|known| known.label == *label).unwrap_or(policy.labels.len())
}

/// The policy's safe label, where there is one and no other.
fn only_safe(policy: &Policy) -> Option<&Label> {
    let mut safe = policy.labels.iter().filter(|label| label.safe).map(|label| &label.label);
    safe.next().filter(|_| safe.next().is_none())
}

/// An object, in the order of the pairs.
fn map<S: Serializer>(pairs: &[(Label, f32)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(pairs.len()))?;
    for (label, share) in pairs {
        map.serialize_entry(label.as_str(), share)?;
    }
    map.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guardrail::Grounds;

    const HEAD: &str = "+++\nform = \"label\"\nlabels = [\n{ label = \"BAD\", reply = \"B\" },\n\
        { label = \"WORSE\", reply = \"W\" },\n{ label = \"FINE\", reply = \"F\", safe = true },\n";

    fn policy(more: &str) -> Policy {
        Policy::parse("p", &format!("{HEAD}{more}]\n+++\nText.")).unwrap()
    }

    fn scores(shares: &[(&str, f32)]) -> Option<Scores> {
        Scores::new(shares.iter().map(|&(label, share)| (Label::new(label), share.ln())))
    }

    fn found(label: &str, score: f32) -> Finding {
        Finding {
            grounds: Grounds { score: Some(score), ..Grounds::default() },
            ..Finding::new(Label::new(label), vec![])
        }
    }

    fn classified(policy: &Policy, findings: Vec<Finding>, shares: &[(&str, f32)]) -> Classification {
        new(policy, Verdict { findings, scores: scores(shares), ..Verdict::default() })
    }

    fn new(policy: &Policy, verdict: Verdict) -> Classification {
        Classification::new(policy, "m", Effort::None, Stage::Input, verdict)
    }

    fn label(classification: &Classification) -> Option<&str> {
        classification.label.as_ref().map(Label::as_str)
    }

    #[test]
    fn a_safe_text_has_the_best_of_the_safe_labels() {
        let two = policy("{ label = \"GOOD\", reply = \"G\", safe = true },\n");
        let c = classified(&two, vec![], &[("BAD", 0.1), ("WORSE", 0.1), ("FINE", 0.2), ("GOOD", 0.6)]);
        assert_eq!((label(&c), c.safe), (Some("GOOD"), true));
        assert!((c.score.unwrap() - 0.6).abs() < 1e-6 && (c.violation.unwrap() - 0.2).abs() < 1e-6);
        assert_eq!(c.scores.iter().map(|(label, _)| label.as_str()).next(), Some("GOOD"));
        // Without scores the one that was given; of several in a long text, the first of the policy.
        let given = |labels: &[&str]| {
            let safe = labels.iter().map(|label| Label::new(label)).collect();
            new(&two, Verdict { safe, ..Verdict::default() })
        };
        for (labels, expected) in [(&["GOOD"][..], "GOOD"), (&["FINE"], "FINE"), (&["GOOD", "FINE"], "FINE")] {
            let c = given(labels);
            assert_eq!((label(&c), c.safe, c.score), (Some(expected), true, None));
        }
        // Nothing says which of the two.
        assert_eq!(label(&classified(&two, vec![], &[])), None);
        let one = classified(&policy(""), vec![], &[]);
        assert_eq!((label(&one), one.score, one.violation), (Some("FINE"), None, None));
    }

    #[test]
    fn of_several_findings_that_of_the_first_label_counts_however_sure_another_is() {
        // Each label won in its own window by the policy's own precedence, which scores of two windows can't overrule.
        let shares = [("WORSE", 0.9), ("BAD", 0.06), ("FINE", 0.04)];
        for findings in [[found("WORSE", 0.9), found("BAD", 0.6)], [found("BAD", 0.6), found("WORSE", 0.9)]] {
            let c = classified(&policy(""), findings.to_vec(), &shares);
            assert_eq!((label(&c), c.safe, c.score), (Some("BAD"), false, Some(0.6)));
            assert_eq!(c.others, [Label::new("WORSE")]);
        }
        // What the policy does not name comes last.
        let c = classified(&policy(""), vec![found("EMAIL", 1.0), found("WORSE", 0.5)], &[]);
        assert_eq!((label(&c), &c.others[..]), (Some("WORSE"), &[Label::new("EMAIL")][..]));
    }

    #[test]
    fn scores_are_written_as_an_object_the_best_first() {
        let c = classified(&policy(""), vec![found("WORSE", 0.5)], &[("BAD", 0.25), ("WORSE", 0.5), ("FINE", 0.25)]);
        let json = serde_json::to_string(&c).unwrap();
        assert!(json.contains(r#""scores":{"WORSE":0.5,"BAD":0.25,"FINE":0.25}"#), "{json}");
        assert!(json.contains(r#""label":"WORSE""#) && json.contains(r#""effort":"none""#), "{json}");
    }
}
