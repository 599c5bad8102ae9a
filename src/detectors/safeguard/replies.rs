//! The reply: which replies a policy's form allows, and what each means. Anything else is an error, never "safe".

use std::sync::Arc;

use serde_json::Value;

use crate::detectors::safeguard::Reply;
use crate::detectors::safeguard::json::{self, JsonReply};
use crate::guardrail::{DetectError, Finding, Grounds, Scores};
use crate::model::{Choice, Choices, ChoicesError, EncodeError, Grammar, GrammarError, Outcome, Step, Tokenizer};
use crate::policy::{Form, Policy, PolicyLabel};

/// The replies that a policy allows.
#[derive(Debug, Clone)]
pub struct Replies {
    /// The safe ones last: of labels that score alike the first is chosen.
    labels: Vec<PolicyLabel>,
    /// The codes of the policy's rules, where it names them.
    categories: Vec<Arc<str>>,
    /// The label first. What follows the choice follows those labels alone that are not safe.
    steps: Vec<Step>,
    /// How many of the steps it takes until the label is chosen.
    label_steps: usize,
    end: u32,
}

/// Why a policy's replies can't be told apart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error("the policy's replies can't be told apart: {0}")]
    Choices(#[from] ChoicesError),
    #[error(transparent)]
    Grammar(#[from] GrammarError),
    #[error("the reply `{0}` is not a JSON value, as the form `json` asks for")]
    NotJson(Arc<str>),
}

impl Replies {
    pub fn new(policy: &Policy, tokenizer: &Tokenizer) -> Result<Self, ReplyError> {
        let json = policy.form == Form::Json;
        let not_json = |label: &&PolicyLabel| serde_json::from_str::<Value>(&label.reply).is_err();
        if let Some(label) = policy.labels.iter().find(not_json).filter(|_| json) {
            return Err(ReplyError::NotJson(label.reply.clone()));
        }
        let mut labels = policy.labels.clone();
        labels.sort_by_key(|label| label.safe);
        let end = tokenizer.control().r#return;
        let choice = |label: &PolicyLabel| {
            let mut tokens = tokenizer.encode(&label.reply)?;
            if !json {
                tokens.push(end);
            }
            // A safe label needs no category and no reasons.
            Ok(Choice { tokens, last: !json || label.safe })
        };
        let choices = labels.iter().map(choice).collect::<Result<_, EncodeError>>()?;
        let choose = Step::Choose(Arc::new(Choices::new(choices)?));
        let steps = if json {
            let grammar = Arc::new(Grammar::new(tokenizer, &json::grammar(policy))?);
            let head = Step::Force(tokenizer.encode(json::HEAD)?.into());
            vec![head, choose, Step::Constrain { grammar, budget: json::BUDGET }]
        } else {
            vec![choose]
        };
        let (categories, label_steps) = (policy.categories.clone(), if json { 2 } else { 1 });
        Ok(Replies { labels, categories, steps, label_steps, end })
    }

    /// What follows the opening of the answer. The outcomes go to [`Self::read`].
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The steps up to the label. The outcome goes to [`Self::settled`].
    pub fn label_steps(&self) -> &[Step] {
        &self.steps[..self.label_steps]
    }

    /// How the labels compare.
    pub fn scores(&self, outcomes: &[Outcome]) -> Option<Scores> {
        let [Outcome::Chosen { scores, .. }, ..] = outcomes else { return None };
        Scores::new(self.labels.iter().map(|label| label.label.clone()).zip(scores.iter().copied()))
    }

    /// Whether the reply ends with its label, so that [`Self::read`] takes the outcome of [`Self::label_steps`].
    pub fn settled(&self, outcomes: &[Outcome]) -> bool {
        let safe = |index: usize| self.labels.get(index).is_some_and(|label| label.safe);
        self.label_steps == self.steps.len() || matches!(outcomes, [Outcome::Chosen { index, .. }] if safe(*index))
    }

    /// A label that is not safe stands, whatever follows it.
    pub fn read(&self, outcomes: &[Outcome], tokenizer: &Tokenizer) -> Result<Reply, DetectError> {
        let (chosen, rest) = match outcomes {
            [Outcome::Chosen { index, scores }, rest @ ..] => (self.labels.get(*index).zip(scores.get(*index)), rest),
            _ => (None, outcomes),
        };
        let (label, &score) = chosen.ok_or(DetectError::Unparseable("no label was chosen"))?;
        let scores = self.scores(outcomes);
        if label.safe {
            let safe = Some(label.label.clone());
            return Ok(Reply { finding: None, safe, excerpts: Vec::new(), scores, failed: None });
        }
        let margin = scores.as_ref().map(Scores::margin);
        let mut grounds = Grounds { score: Some(score.exp()), margin, ..Grounds::default() };
        let (mut excerpts, mut failed) = (Vec::new(), None);
        if self.label_steps < self.steps.len() {
            match self.json_reply(&label.reply, rest, tokenizer) {
                Ok(reply) => excerpts = reply.tell(&mut grounds, &self.categories),
                // The label was found all the same.
                Err(error) => failed = Some(error),
            }
        }
        let finding = Finding { grounds, ..Finding::new(label.label.clone(), Vec::new()) };
        Ok(Reply { finding: Some(finding), safe: None, excerpts, scores, failed })
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
        JsonReply::read(violation, &tail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::safeguard::testing::policy;
    use crate::guardrail::{Category, Confidence};
    use crate::policy::Label;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    static JSON: LazyLock<(Replies, Tokenizer)> = LazyLock::new(|| {
        let tokenizer = Tokenizer::o200k();
        let mut policy = policy(Form::Json, &[("VIOLATION", "1", false), ("SAFE", "0", true)]);
        policy.categories = vec!["H2.f".into()];
        (Replies::new(&policy, &tokenizer).unwrap(), tokenizer)
    });

    fn chosen(index: usize, scores: &[f32]) -> Outcome {
        Outcome::Chosen { index, scores: scores.iter().map(|score| score.ln()).collect() }
    }

    /// The reply, or why only its label counts.
    fn read_json(tail: &str, stop: Option<u32>) -> Result<Reply, DetectError> {
        let (replies, tokenizer) = &*JSON;
        let tokens = tokenizer.encode(tail).unwrap();
        let reply = replies.read(&[chosen(0, &[0.9, 0.1]), Outcome::Decoded { tokens, stop }], tokenizer)?;
        let finding = reply.finding.as_ref().unwrap();
        assert_eq!(finding.label.as_str(), "VIOLATION");
        let bare = Finding::new(finding.label.clone(), Vec::new());
        assert!(
            reply.failed.is_none()
                || (reply.excerpts.is_empty() && finding.grounds.category.is_none() && finding.spans == bare.spans)
        );
        reply.failed.clone().map_or(Ok(reply), Err)
    }

    const RETURN: Option<u32> = Some(200_002);

    #[test]
    fn a_chosen_label_is_the_finding_and_a_safe_one_is_none() {
        let tokenizer = Tokenizer::o200k();
        let policy = policy(Form::Label, &[("BAD", "INVALID", false), ("OK", "VALID", true)]);
        let replies = Replies::new(&policy, &tokenizer).unwrap();
        let reply = replies.read(&[chosen(0, &[0.75, 0.25])], &tokenizer).unwrap();
        let found = reply.finding.unwrap();
        assert_eq!(reply.safe, None);
        assert_eq!((found.label.as_str(), found.grounds.score, found.spans.len()), ("BAD", Some(0.75), 0));
        assert!((found.grounds.margin.unwrap() - 3f32.ln()).abs() < 1e-6);
        assert!((reply.scores.unwrap().margin() - 3f32.ln()).abs() < 1e-6);
        let safe = replies.read(&[chosen(1, &[0.25, 0.75])], &tokenizer).unwrap();
        assert_eq!((safe.finding, safe.safe, safe.excerpts.len()), (None, Some(Label::new("OK")), 0));
        assert_eq!(safe.scores.unwrap().iter().map(|(label, _)| label.as_str()).collect::<Vec<_>>(), ["OK", "BAD"]);
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
    fn a_json_reply_gives_category_reasons_and_excerpts() {
        let reply = read_json(
            r#","policy_category":"H2.f","rule_ids":["a"],"confidence":"high","rationale":"x","excerpts":["y"]}"#,
            RETURN,
        );
        let Reply { finding, excerpts, .. } = reply.unwrap();
        let grounds = finding.unwrap().grounds;
        assert_eq!((grounds.category, grounds.rationale.as_deref()), (Some(Category::Named("H2.f".into())), Some("x")));
        assert_eq!((grounds.confidence, grounds.score), (Some(Confidence::High), Some(0.9)));
        assert_eq!(excerpts, ["y"]);
        let reply = read_json(r#","policy_category":null,"rule_ids":["a"]}"#, RETURN).unwrap();
        let grounds = reply.finding.unwrap().grounds;
        let category = Category::Free("a".into());
        assert_eq!((grounds.category, grounds.rationale, grounds.confidence), (Some(category), None, None));
        assert!(reply.excerpts.is_empty());
    }

    #[test]
    fn a_label_that_needs_no_more_is_settled() {
        let (json, tokenizer) = &*JSON;
        let [Step::Force(_), Step::Choose(_)] = json.label_steps() else { panic!() };
        for (index, settled) in [(0, false), (1, true)] {
            assert_eq!(json.settled(&[chosen(index, &[0.5, 0.5])]), settled);
            let whole = json.read(&[chosen(index, &[0.5, 0.5])], tokenizer).unwrap().failed.is_none();
            assert_eq!(whole, settled);
        }
        let label = policy(Form::Label, &[("BAD", "INVALID", false), ("OK", "VALID", true)]);
        let label = Replies::new(&label, tokenizer).unwrap();
        assert!(label.settled(&[chosen(0, &[0.5, 0.5])]));
        assert_eq!(label.label_steps().len(), label.steps().len());
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
            r#","policy_category":null,"rationale":["x","y"]}"#,
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
        let (replies, tokenizer) = &*JSON;
        let [Step::Force(head), Step::Choose(choices), Step::Constrain { grammar, .. }] = replies.steps() else {
            panic!()
        };
        assert_eq!(tokenizer.decode(head).unwrap(), json::HEAD);
        assert_eq!(choices.as_slice().iter().map(|choice| choice.last).collect::<Vec<_>>(), [false, true]);
        assert_eq!(grammar.end(), 200_002);
    }

    proptest! {
        /// Whatever follows the label: no panic, and never "safe".
        #[test]
        fn no_tail_is_read_as_safe(tail in any::<String>(), stop in prop::option::of(any::<u32>())) {
            let _ = read_json(&tail, stop);
        }
    }
}
