//! The cascade: detectors of one policy, one after the other, each asked only where the one before it leaves a doubt.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use sha2::{Digest, Sha256};

use crate::guardrail::{Ask, DetectError, Detector, Identity, Verdict};
use crate::policy::{Doubt, Label};
use crate::text::Place;

/// Asks a first detector, and the next where its verdict is not enough. The last verdict counts.
pub struct Cascade {
    first: Arc<dyn Detector>,
    /// At least one.
    then: Vec<(Doubt, Arc<dyn Detector>)>,
    identity: Identity,
    labels: Vec<Label>,
}

impl Cascade {
    /// Of detectors that judge by one policy.
    pub fn new(first: Arc<dyn Detector>, then: Vec<(Doubt, Arc<dyn Detector>)>) -> Self {
        let asked =
            || [&first].into_iter().chain(then.iter().map(|(_, detector)| detector)).map(|detector| &**detector);
        let doubts = then.iter().map(|(doubt, _)| doubt);
        let identity = identity(first.identity(), asked().map(Detector::identity), doubts);
        let labels = labels(asked());
        Cascade { first, then, identity, labels }
    }
}

impl Doubt {
    pub(super) fn about(&self, answer: &Result<Verdict, DetectError>) -> bool {
        let verdict = match answer {
            // Its length is the sender's choice, and nobody's who is asked next.
            Err(DetectError::TooLong { .. }) => return false,
            Err(_) => return self.error,
            Ok(verdict) => verdict,
        };
        let leads = verdict.scores.as_ref().map(|scores| scores.margin());
        verdict.failed.is_some() && self.error
            || verdict.findings.is_empty() && self.safe
            || verdict.findings.iter().any(|finding| self.found.contains(&finding.label))
            || self.margin.is_some_and(|enough| leads.is_none_or(|margin| margin < enough.get()))
    }
}

#[async_trait]
impl Detector for Cascade {
    /// Where a later detector fails, what an earlier one has found counts beside the error; where that had found nothing, there
    /// is no verdict, since it was in doubt.
    async fn detect(&self, ask: &Ask) -> Result<Verdict, DetectError> {
        let mut answer = self.first.detect(ask).await;
        for (doubt, detector) in &self.then {
            if !doubt.about(&answer) {
                break;
            }
            let next = detector.detect(ask).await;
            answer = match (answer, next) {
                (Ok(before), Err(error)) if !before.findings.is_empty() => {
                    Ok(Verdict { failed: Some(error), ..before })
                }
                (_, next) => next,
            };
        }
        answer
    }

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn labels(&self) -> &[Label] {
        &self.labels
    }

    fn judges(&self, place: &Place) -> bool {
        self.first.judges(place)
    }
}

/// Policy, form and effort of `like`; the models of all that may be asked; and a digest of who is asked when.
pub(super) fn identity<'a>(
    like: &Identity,
    asked: impl Iterator<Item = &'a Identity>,
    doubts: impl Iterator<Item = &'a Doubt>,
) -> Identity {
    let asked: Vec<&Identity> = asked.collect();
    let shape = format!("{asked:?}\n{:?}", doubts.collect::<Vec<_>>());
    let digest: String = Sha256::digest(shape.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let models: Vec<&str> = asked.iter().map(|identity| &*identity.model).collect();
    let model = format!("{} #{digest}", models.join(" > ")).into();
    Identity { engine: "cascade", model, ..like.clone() }
}

/// Every label that one of them can find.
pub(super) fn labels<'a>(asked: impl Iterator<Item = &'a dyn Detector>) -> Vec<Label> {
    let all: BTreeSet<&Label> = asked.flat_map(Detector::labels).collect();
    all.into_iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::testing::{ask, says};
    use crate::guardrail::{Finding, Scores};
    use crate::policy::Nats;

    fn verdict(label: Option<&str>, share: f32) -> Result<Verdict, DetectError> {
        let findings = label.map(|label| Finding::new(Label::new(label), Vec::new())).into_iter().collect();
        let scores = Scores::new([(Label::new("a"), share.ln()), (Label::new("b"), (1.0 - share).ln())]);
        Ok(Verdict { findings, scores, ..Verdict::default() })
    }

    fn failed() -> Result<Verdict, DetectError> {
        Err(DetectError::Overloaded { capacity: 1 })
    }

    /// What comes of it, and whether the second was asked.
    async fn after(
        doubt: Doubt,
        first: Result<Verdict, DetectError>,
        second: Result<Verdict, DetectError>,
    ) -> (Result<Verdict, DetectError>, bool) {
        let second = says("two", second);
        let cascade = Cascade::new(says("one", first), vec![(doubt, second.clone())]);
        let answer = cascade.detect(&ask("text")).await;
        (answer, second.asked() == 1)
    }

    fn doubts() -> [Doubt; 4] {
        [
            Doubt { margin: Nats::new(1.0), ..Doubt::default() },
            Doubt { found: vec![Label::new("BAD")], ..Doubt::default() },
            Doubt { safe: true, ..Doubt::default() },
            Doubt { error: true, ..Doubt::default() },
        ]
    }

    #[tokio::test]
    async fn the_next_is_asked_where_there_is_a_doubt_and_nowhere_else() {
        let unsure = || Ok(Verdict { scores: None, ..verdict(None, 0.5).unwrap() });
        let partly = || Ok(Verdict { failed: failed().err(), ..verdict(Some("WORSE"), 0.99).unwrap() });
        let long = || Err(DetectError::TooLong { length: 2, limit: 1, unit: "bytes" });
        for (first, expected) in [
            (verdict(None, 0.99), [false, false, true, false]),
            (verdict(None, 0.6), [true, false, true, false]),
            (unsure(), [true, false, true, false]),
            (verdict(Some("BAD"), 0.99), [false, true, false, false]),
            (verdict(Some("WORSE"), 0.6), [true, false, false, false]),
            (partly(), [false, false, false, true]),
            (failed(), [false, false, false, true]),
            (long(), [false; 4]),
        ] {
            for (doubt, expected) in doubts().into_iter().zip(expected) {
                let (answer, asked) = after(doubt.clone(), first.clone(), verdict(None, 0.9)).await;
                assert_eq!(asked, expected, "{doubt:?} {first:?}");
                assert_eq!(answer, if asked { verdict(None, 0.9) } else { first.clone() });
            }
        }
    }

    #[tokio::test]
    async fn a_failure_after_a_doubt_is_never_safe() {
        for doubt in doubts() {
            for first in [verdict(None, 0.5), verdict(Some("BAD"), 0.5), failed()] {
                let (answer, asked) = after(doubt.clone(), first.clone(), failed()).await;
                match (&first, asked) {
                    (Ok(verdict), true) if !verdict.findings.is_empty() => {
                        let answer = answer.unwrap();
                        assert_eq!((answer.findings, answer.failed), (verdict.findings.clone(), failed().err()));
                    }
                    (_, true) => assert_eq!(answer, failed()),
                    (_, false) => assert_eq!(answer, first),
                }
            }
        }
    }

    #[test]
    fn who_is_asked_when_is_part_of_the_identity() {
        let cascade = |doubt: Doubt, second: &str| {
            let cascade = Cascade::new(says("one", failed()), vec![(doubt, says(second, failed()))]);
            cascade.identity().clone()
        };
        let [margin, found, ..] = doubts();
        let same = cascade(margin.clone(), "two");
        assert_eq!(same, cascade(margin.clone(), "two"));
        assert_ne!(same, cascade(found, "two"));
        assert_ne!(same, cascade(margin, "three"));
        assert!(same.model.starts_with("one > two #"), "{}", same.model);
    }
}
