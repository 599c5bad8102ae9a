//! The reply: which replies a policy's form allows, and what each means. Anything else is an error, never "safe".

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::guardrail::{DetectError, Finding};
use crate::model::{Choice, Choices, ChoicesError, EncodeError, Outcome, Step, Tokenizer};
use crate::policy::{Form, Policy, PolicyLabel};

/// Tokens of a JSON reply after the value of `violation`: category and rationale.
const JSON_BUDGET: usize = 512;
/// How a JSON reply begins, so that the first thing decided is the label.
const JSON_HEAD: &str = "{\"violation\":";

/// The replies that a policy allows.
#[derive(Debug, Clone)]
pub struct Replies {
    labels: Vec<PolicyLabel>,
    steps: Vec<Step>,
    json: bool,
    end: u32,
}

/// Why a policy's replies can't be told apart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error("the policy's replies can't be told apart: {0}")]
    Choices(#[from] ChoicesError),
    #[error("the reply `{0}` is not a JSON value, as the form `json` asks for")]
    NotJson(Arc<str>),
}

/// A JSON reply whole. Unknown and repeated keys are errors.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonReply {
    violation: Value,
    /// Has to be there, if only as null.
    #[serde(deserialize_with = "Option::deserialize")]
    policy_category: Option<String>,
    #[serde(default)]
    rule_ids: Vec<String>,
    #[serde(default, rename = "confidence")]
    _confidence: Option<Confidence>,
    #[serde(default)]
    rationale: Option<Rationale>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Confidence {
    High,
    Medium,
    Low,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Rationale {
    Text(String),
    Points(Vec<String>),
}

impl Replies {
    pub fn new(policy: &Policy, tokenizer: &Tokenizer) -> Result<Self, ReplyError> {
        let json = policy.form == Form::Json;
        let not_json = |label: &&PolicyLabel| serde_json::from_str::<Value>(&label.reply).is_err();
        if let Some(label) = policy.labels.iter().find(not_json).filter(|_| json) {
            return Err(ReplyError::NotJson(label.reply.clone()));
        }
        let end = tokenizer.control().r#return;
        let choice = |label: &PolicyLabel| {
            let mut tokens = tokenizer.encode(&label.reply)?;
            if !json {
                tokens.push(end);
            }
            // A safe label needs no category and no reasons.
            Ok(Choice { tokens, last: !json || label.safe })
        };
        let choices = policy.labels.iter().map(choice).collect::<Result<_, EncodeError>>()?;
        let choose = Step::Choose(Arc::new(Choices::new(choices)?));
        let steps = if json {
            let stops = tokenizer.control().all().into();
            vec![Step::Force(tokenizer.encode(JSON_HEAD)?.into()), choose, Step::Decode { stops, budget: JSON_BUDGET }]
        } else {
            vec![choose]
        };
        Ok(Replies { labels: policy.labels.clone(), steps, json, end })
    }

    /// What follows the opening of the answer. The outcomes go to [`Self::read`].
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What the model answered: a finding, or nothing where the label is a safe one.
    pub fn read(&self, outcomes: &[Outcome], tokenizer: &Tokenizer) -> Result<Option<Finding>, DetectError> {
        let (chosen, rest) = match outcomes {
            [Outcome::Chosen { index, scores }, rest @ ..] => (self.labels.get(*index).zip(scores.get(*index)), rest),
            _ => (None, outcomes),
        };
        let (label, &score) = chosen.ok_or(DetectError::Unparseable("no label was chosen"))?;
        if label.safe {
            return Ok(None);
        }
        let mut finding = Finding { score: Some(score.exp()), ..Finding::new(label.label.clone(), Vec::new()) };
        if self.json {
            let reply = self.json_reply(&label.reply, rest, tokenizer)?;
            finding.category = reply.policy_category.or_else(|| reply.rule_ids.into_iter().next()).map(Into::into);
            finding.rationale = reply.rationale.map(|rationale| match rationale {
                Rationale::Text(text) => text.into(),
                Rationale::Points(points) => points.join("\n").into(),
            });
        }
        Ok(Some(finding))
    }

    fn json_reply(&self, violation: &str, rest: &[Outcome], tokenizer: &Tokenizer) -> Result<JsonReply, DetectError> {
        let [Outcome::Decoded { tokens, stop }] = rest else {
            return Err(DetectError::Unparseable("nothing follows the label"));
        };
        match stop {
            None => return Err(DetectError::Truncated { tokens: tokens.len() }),
            Some(stop) if *stop != self.end => {
                return Err(DetectError::Unparseable("it does not end as an answer does"));
            }
            Some(_) => {}
        }
        let tail = tokenizer.decode(tokens).ok_or(DetectError::Unparseable("it is not text"))?;
        let reply: JsonReply = serde_json::from_str(&format!("{JSON_HEAD}{violation}{tail}"))
            .map_err(|_| DetectError::Unparseable("it is not the JSON object that the form asks for"))?;
        // The tail could have gone on with the value.
        if !serde_json::from_str::<Value>(violation).is_ok_and(|expected| expected == reply.violation) {
            return Err(DetectError::Unparseable("`violation` is not one of the policy's replies"));
        }
        Ok(reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::safeguard::testing::policy;
    use proptest::prelude::*;

    fn json() -> (Replies, Tokenizer) {
        let tokenizer = Tokenizer::o200k();
        let policy = policy(Form::Json, &[("VIOLATION", "1", false), ("SAFE", "0", true)]);
        (Replies::new(&policy, &tokenizer).unwrap(), tokenizer)
    }

    fn chosen(index: usize, scores: &[f32]) -> Outcome {
        Outcome::Chosen { index, scores: scores.to_vec() }
    }

    fn read_json(tail: &str, stop: Option<u32>) -> Result<Option<Finding>, DetectError> {
        let (replies, tokenizer) = json();
        let tokens = tokenizer.encode(tail).unwrap();
        replies.read(&[chosen(0, &[0.9, 0.1]), Outcome::Decoded { tokens, stop }], &tokenizer)
    }

    const RETURN: Option<u32> = Some(200_002);

    #[test]
    fn a_chosen_label_is_the_finding_and_a_safe_one_is_none() {
        let tokenizer = Tokenizer::o200k();
        let policy = policy(Form::Label, &[("BAD", "INVALID", false), ("OK", "VALID", true)]);
        let replies = Replies::new(&policy, &tokenizer).unwrap();
        let found = replies.read(&[chosen(0, &[0.75, 0.25])], &tokenizer).unwrap().unwrap();
        assert_eq!((found.label.as_str(), found.score, found.spans.len()), ("BAD", Some(0.75), 0));
        assert_eq!(replies.read(&[chosen(1, &[0.25, 0.75])], &tokenizer), Ok(None));
        for nonsense in [&[][..], &[chosen(7, &[1.0])], &[Outcome::Decoded { tokens: vec![16], stop: RETURN }]] {
            assert!(matches!(replies.read(nonsense, &tokenizer), Err(DetectError::Unparseable(_))));
        }
    }

    #[test]
    fn replies_that_begin_alike_are_told_apart_by_their_end() {
        let policy = policy(Form::Label, &[("A", "SP", false), ("B", "SP2", false), ("C", "SP2 high", true)]);
        let replies = Replies::new(&policy, &Tokenizer::o200k()).unwrap();
        let [Step::Choose(choices)] = replies.steps() else { panic!() };
        assert!(choices.as_slice().iter().all(|choice| choice.tokens.ends_with(&[200_002]) && choice.last));
    }

    #[test]
    fn a_json_reply_gives_category_and_rationale() {
        let finding = read_json(
            r#","policy_category":"H2.f","rule_ids":["a"],"confidence":"high","rationale":["x","y"]}"#,
            RETURN,
        );
        let finding = finding.unwrap().unwrap();
        assert_eq!((finding.category.as_deref(), finding.rationale.as_deref()), (Some("H2.f"), Some("x\ny")));
        let finding = read_json(r#", "policy_category": null, "rationale": "z"}"#, RETURN).unwrap().unwrap();
        assert_eq!((finding.category, finding.rationale.as_deref()), (None, Some("z")));
    }

    #[test]
    fn any_other_json_reply_is_an_error() {
        for tail in [
            "}",
            r#","policy_category":7}"#,
            r#","policy_category":null"#,
            r#","policy_category":null}}"#,
            r#","policy_category":null} and more"#,
            r#","policy_category":null,"policy_category":"x"}"#,
            r#","policy_category":null,"violation":0}"#,
            r#","policy_category":null,"other":0}"#,
            r#","policy_category":null,"confidence":"sure"}"#,
            r#"0,"policy_category":null}"#,
            r#".0,"policy_category":null}"#,
            "",
        ] {
            assert!(matches!(read_json(tail, RETURN), Err(DetectError::Unparseable(_))), "{tail}");
        }
        let good = r#","policy_category":null}"#;
        assert!(read_json(good, RETURN).is_ok());
        assert!(matches!(read_json(good, Some(200_007)), Err(DetectError::Unparseable(_))));
        assert!(matches!(read_json(good, None), Err(DetectError::Truncated { tokens: 1.. })));
    }

    #[test]
    fn a_json_reply_that_could_never_be_read_is_refused_at_start() {
        let policy = policy(Form::Json, &[("BAD", "VIOLATING", false), ("SAFE", "0", true)]);
        let error = Replies::new(&policy, &Tokenizer::o200k()).err();
        assert_eq!(error, Some(ReplyError::NotJson("VIOLATING".into())));
    }

    #[test]
    fn json_steps_decide_the_label_first() {
        let (replies, tokenizer) = json();
        let [Step::Force(head), Step::Choose(choices), Step::Decode { stops, .. }] = replies.steps() else { panic!() };
        assert_eq!(tokenizer.decode(head).unwrap(), JSON_HEAD);
        assert_eq!(choices.as_slice().iter().map(|choice| choice.last).collect::<Vec<_>>(), [false, true]);
        assert!(stops.contains(&200_002) && stops.contains(&200_006));
    }

    proptest! {
        /// Whatever follows the label: no panic, and never "safe".
        #[test]
        fn no_tail_is_read_as_safe(tail in any::<String>(), stop in prop::option::of(any::<u32>())) {
            prop_assert!(!matches!(read_json(&tail, stop), Ok(None)));
        }
    }
}
