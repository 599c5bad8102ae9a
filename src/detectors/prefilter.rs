//! The prefilter: patterns first, and a policy only where they leave a doubt.

use std::sync::Arc;

use async_trait::async_trait;

use crate::detectors::cascade::{identity, labels};
use crate::guardrail::{Ask, DetectError, Detector, Identity, Verdict};
use crate::policy::{Doubt, Label};
use crate::text::Segment;

/// Looks for patterns, and asks another detector where what they find, or that they find nothing, leaves a doubt. The two look
/// for different things, so what the patterns have found stands, but for what the other one was asked about: of that its
/// verdict counts.
pub struct Prefilter {
    patterns: Arc<dyn Detector>,
    doubt: Doubt,
    then: Arc<dyn Detector>,
    identity: Identity,
    labels: Vec<Label>,
}

impl Prefilter {
    /// `then` judges by a policy, with none of the patterns' labels.
    pub fn new(patterns: Arc<dyn Detector>, doubt: Doubt, then: Arc<dyn Detector>) -> Self {
        let both = || [&*patterns, &*then].into_iter();
        let identity = identity(then.identity(), both().map(Detector::identity), [&doubt].into_iter());
        let labels = labels(both());
        Prefilter { patterns, doubt, then, identity, labels }
    }

    /// What becomes of the patterns' verdict by that of the other.
    fn both(&self, found: Verdict, next: Result<Verdict, DetectError>) -> Result<Verdict, DetectError> {
        match next {
            // What was asked about is in doubt, and counts.
            Err(error) if found.findings.is_empty() => Err(error),
            Err(error) => Ok(Verdict { failed: Some(error), ..found }),
            Ok(next) => {
                let stands = found.findings.into_iter().filter(|finding| !self.doubt.found.contains(&finding.label));
                let findings = stands.chain(next.findings).collect();
                // Nobody else has looked for the patterns where they did not.
                Ok(Verdict { findings, failed: next.failed.or(found.failed), ..next })
            }
        }
    }
}

#[async_trait]
impl Detector for Prefilter {
    async fn detect(&self, ask: &Ask) -> Result<Verdict, DetectError> {
        // All that is there, not what is new alone: what gave cause to ask in the beginning of an answer goes on doing so.
        let whole = Ask { segment: Segment { fresh: 0, ..ask.segment.clone() }, ..ask.clone() };
        let found = self.patterns.detect(&whole).await;
        if !self.doubt.about(&found) || !self.then.judges(&ask.segment.place) {
            return found;
        }
        let next = self.then.detect(ask).await;
        match found {
            Ok(found) => self.both(found, next),
            // Nobody has looked for the patterns.
            Err(error) => next.map(|next| Verdict { failed: Some(error), ..next }),
        }
    }

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// Past the deadline the policy's detector leaves at once.
    fn finds_at_once(&self) -> bool {
        self.patterns.finds_at_once()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::detectors::pattern::{Builtin, PatternDetector, PatternSpec};
    use crate::detectors::testing::{Says, ask, says};
    use crate::guardrail::{Action, Finding, Guardrail, Mode, OnError, Scope, Stage, Timing, VerdictCache, evaluate};
    use crate::text::Kind;

    fn bad() -> Result<Verdict, DetectError> {
        Ok(Verdict { findings: vec![Finding::new(Label::new("BAD"), Vec::new())], ..Verdict::default() })
    }

    fn safe() -> Result<Verdict, DetectError> {
        Ok(Verdict::default())
    }

    fn failed() -> Result<Verdict, DetectError> {
        Err(DetectError::Overloaded { capacity: 1 })
    }

    /// Looks for addresses of mail and for `odd`, and asks about what is in doubt.
    fn prefilter(doubt: Doubt, next: Result<Verdict, DetectError>) -> (Prefilter, Arc<Says>) {
        let words = vec![(Label::new("odd"), vec!["odd".to_owned()])];
        let spec = PatternSpec { builtin: vec![Builtin::Email], words, ..PatternSpec::default() };
        let next = says("next", next);
        (Prefilter::new(Arc::new(PatternDetector::new(&spec).unwrap()), doubt, next.clone()), next)
    }

    fn found() -> Doubt {
        Doubt { found: vec![Label::new("odd")], ..Doubt::default() }
    }

    fn nothing() -> Doubt {
        Doubt { safe: true, ..Doubt::default() }
    }

    fn labels_of(verdict: &Verdict) -> Vec<&str> {
        verdict.findings.iter().map(|finding| finding.label.as_str()).collect()
    }

    #[tokio::test]
    async fn the_next_is_asked_where_there_is_a_doubt_and_what_it_was_not_asked_about_stands() {
        for (text, doubt, next, expected, asked) in [
            ("plain", found(), bad(), vec![], 0),
            ("a@b.org", found(), bad(), vec!["email"], 0),
            ("odd", found(), bad(), vec!["BAD"], 1),
            ("odd", found(), safe(), vec![], 1),
            ("odd a@b.org", found(), safe(), vec!["email"], 1),
            ("odd a@b.org", found(), bad(), vec!["email", "BAD"], 1),
            ("plain", nothing(), bad(), vec!["BAD"], 1),
            ("a@b.org", nothing(), bad(), vec!["email"], 0),
        ] {
            let (prefilter, other) = prefilter(doubt, next);
            let verdict = prefilter.detect(&ask(text)).await.unwrap();
            assert_eq!((labels_of(&verdict), other.asked(), &verdict.failed), (expected, asked, &None), "{text}");
        }
    }

    #[tokio::test]
    async fn a_failure_after_a_doubt_is_never_safe() {
        let (prefilter, _) = prefilter(nothing(), failed());
        assert_eq!(prefilter.detect(&ask("plain")).await, failed());
        let (prefilter, _) = self::prefilter(found(), failed());
        let verdict = prefilter.detect(&ask("odd a@b.org")).await.unwrap();
        assert_eq!((labels_of(&verdict), &verdict.failed), (vec!["email", "odd"], &failed().err()));
    }

    #[tokio::test]
    async fn where_patterns_fail_nobody_makes_up_for_them() {
        let doubt = || Doubt { error: true, ..found() };
        let partly = Verdict { failed: failed().err(), ..bad().unwrap() };
        for (before, next, expected) in [
            (failed(), safe(), Ok(Verdict { failed: failed().err(), ..Verdict::default() })),
            (failed(), failed(), failed()),
            (Ok(partly.clone()), safe(), Ok(partly)),
        ] {
            let prefilter = Prefilter::new(says("patterns", before), doubt(), says("next", next));
            assert_eq!(prefilter.detect(&ask("text")).await, expected);
        }
    }

    #[tokio::test]
    async fn what_gave_cause_to_ask_does_so_to_the_end_of_an_answer() {
        let (prefilter, next) = prefilter(found(), safe());
        let mut ask = ask("odd, and what it leads to");
        ask.segment.fresh = 10;
        prefilter.detect(&ask).await.unwrap();
        assert_eq!(next.asked(), 1);
    }

    #[tokio::test]
    async fn a_word_of_the_protocol_is_for_patterns_alone() {
        let (prefilter, next) = prefilter(found(), safe());
        let mut ask = ask("odd");
        ask.segment.place.kind = Kind::Word;
        assert!(prefilter.judges(&ask.segment.place));
        assert_eq!(labels_of(&prefilter.detect(&ask).await.unwrap()), ["odd"]);
        assert_eq!(next.asked(), 0);
    }

    #[tokio::test]
    async fn patterns_are_searched_though_no_time_is_left() {
        let (prefilter, _) = prefilter(found(), failed());
        let actions = [("email", Action::Block), ("odd", Action::Annotate), ("BAD", Action::Block)];
        let guardrail = Guardrail {
            id: "g".into(),
            stages: vec![Stage::Input],
            detector: Arc::new(prefilter),
            actions: actions.map(|(label, action)| (Label::new(label), action)).into(),
            masks: BTreeMap::new(),
            on_error: OnError::Allow,
            deadline: Duration::ZERO,
            scope: Scope::Conversation,
            mode: Mode::Enforce,
            timing: Timing::Before,
        };
        let (guardrails, cache) = ([Arc::new(guardrail)], VerdictCache::new(8));
        for (text, expected) in [("odd a@b.org", Action::Block), ("odd", Action::Annotate), ("plain", Action::Allow)] {
            let decision = evaluate(&guardrails, Stage::Input, &[ask(text).segment], &cache).await;
            assert_eq!(decision.action, expected, "{text}");
        }
    }

    #[test]
    fn both_are_told_and_part_of_the_identity() {
        let (one, _) = prefilter(found(), safe());
        let (two, _) = prefilter(nothing(), safe());
        assert_eq!(one.labels().iter().map(Label::as_str).collect::<Vec<_>>(), ["BAD", "email", "odd"]);
        assert_ne!(one.identity(), two.identity());
        assert!(one.identity().model.contains(" > next #"), "{}", one.identity().model);
    }
}
