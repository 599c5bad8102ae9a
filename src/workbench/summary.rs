//! The summary of a run: its scores, and what changes between the two sides of a comparison.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::policy::Policy;
use crate::workbench::calibration::Calibration;
use crate::workbench::scores::{ClassScores, Confusion, quantile};
use crate::workbench::{Expected, Judged, Line};

/// The scores of one side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    pub items: usize,
    /// The share of all items that are right. One without a verdict is not.
    pub accuracy: Option<f64>,
    pub macro_f1: Option<f64>,
    /// Of the policy's labels; where an item does not name its label, of `violation` and `safe`.
    pub classes: Vec<ClassScores>,
    pub confusion: Confusion,
    /// Of `violation` against `safe`, whatever the labels.
    pub violation: ClassScores,
    /// Items without a verdict, by the reason.
    pub errors: BTreeMap<String, usize>,
    /// Where the engine tells scores.
    pub calibration: Option<Calibration>,
    pub latency: Option<Latency>,
}

/// From ask to verdict, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Latency {
    pub p50: f64,
    pub p95: f64,
    pub max: f64,
}

/// What another policy, model or effort makes of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Wrong, then right.
    Fixed,
    /// Right, then wrong.
    Broken,
    /// Wrong both times, in another way.
    Other,
}

const VIOLATION: usize = 0;
const SAFE: usize = 1;

impl Summary {
    /// `labels`: every item names its label.
    pub fn new<'a>(policy: &Policy, labels: bool, pairs: impl Iterator<Item = (&'a Expected, &'a Judged)>) -> Self {
        let pairs: Vec<_> = pairs.collect();
        let side = |violation: bool| if violation { VIOLATION } else { SAFE };
        let is_violation = |expected: &Expected| expected.is_violation(policy);
        let sides = pairs
            .iter()
            .map(|&(expected, judged)| (side(is_violation(expected)), judged.given().map(|given| side(!given.safe))));
        let sides = Confusion::new(vec!["violation".to_owned(), "safe".to_owned()], sides);
        let violation = sides.by_class().swap_remove(VIOLATION);
        let confusion = if labels { by_label(policy, &pairs) } else { sides };
        let mut errors = BTreeMap::new();
        for (_, judged) in &pairs {
            if let Judged::Failed { error, .. } = judged {
                *errors.entry(error.clone()).or_default() += 1;
            }
        }
        let scored = pairs
            .iter()
            .filter_map(|&(expected, judged)| Some((f64::from(judged.given()?.violation?), is_violation(expected))));
        let times: Vec<f64> = pairs.iter().filter_map(|(_, judged)| Some(judged.given()?.took)).collect();
        let latency =
            || Some(Latency { p50: quantile(&times, 0.5)?, p95: quantile(&times, 0.95)?, max: quantile(&times, 1.0)? });
        Summary {
            items: pairs.len(),
            accuracy: confusion.accuracy(),
            macro_f1: confusion.macro_f1(),
            classes: confusion.by_class(),
            violation,
            errors,
            calibration: Calibration::new(scored),
            latency: latency(),
            confusion,
        }
    }
}

fn by_label(policy: &Policy, pairs: &[(&Expected, &Judged)]) -> Confusion {
    let classes: Vec<String> = policy.labels.iter().map(|label| label.label.as_str().to_owned()).collect();
    let at = |label: &str| classes.iter().position(|class| class == label);
    let pairs: Vec<_> = pairs
        .iter()
        .filter_map(|(expected, judged)| match expected {
            Expected::Label(label) => Some((at(label)?, judged.given().and_then(|given| at(&given.label)))),
            Expected::Violation(_) => None,
        })
        .collect();
    Confusion::new(classes, pairs)
}

/// Whether this is what was expected.
pub fn is_right(expected: &Expected, judged: &Judged) -> bool {
    judged.given().is_some_and(|given| match expected {
        Expected::Violation(violation) => *violation != given.safe,
        Expected::Label(label) => *label == given.label,
    })
}

/// What `b` changes of an item; nothing where it changes nothing, or there is none.
pub fn change(line: &Line) -> Option<Change> {
    let (a, b) = (&line.a, line.b.as_ref()?);
    let same = match (&line.expected, a.given(), b.given()) {
        // The labels of two policies need not have the same names.
        (Expected::Violation(_), Some(a), Some(b)) => a.safe == b.safe,
        _ => a.word() == b.word(),
    };
    match (is_right(&line.expected, a), is_right(&line.expected, b)) {
        (false, true) => Some(Change::Fixed),
        (true, false) => Some(Change::Broken),
        _ if same => None,
        _ => Some(Change::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guardrail::Stage;
    use crate::workbench::Given;

    fn policy() -> Policy {
        let labels = "{ label = \"BAD\", reply = \"B\" }, { label = \"WORSE\", reply = \"W\" }, { label = \"FINE\", reply = \"F\", safe = true }";
        Policy::parse("p", &format!("+++\nform = \"label\"\nlabels = [{labels}]\n+++\nText.")).unwrap()
    }

    fn given(label: &str) -> Judged {
        let (label, safe) = (label.to_owned(), label == "FINE");
        let violation = Some(if safe { 0.1 } else { 0.9 });
        let (others, category, rationale, reasoning) = (Vec::new(), None, None, String::new());
        let (score, took) = (Some(0.9), 2.0);
        Judged::Given(Given { label, others, safe, score, violation, took, category, rationale, reasoning })
    }

    fn failed() -> Judged {
        Judged::Failed { error: "timeout".into(), detail: "late".into() }
    }

    fn label(label: &str) -> Expected {
        Expected::Label(label.into())
    }

    #[test]
    fn an_error_is_no_verdict_and_least_of_all_safe() {
        let (fine, bad, good) = (label("FINE"), label("BAD"), given("FINE"));
        let (worse, error) = (given("WORSE"), failed());
        let pairs = [(&fine, &good), (&fine, &error), (&bad, &worse), (&bad, &error)];
        let found = Summary::new(&policy(), true, pairs.into_iter());
        assert_eq!((found.items, found.accuracy), (4, Some(0.25)));
        assert_eq!(found.errors, [("timeout".to_owned(), 2)].into());
        assert_eq!(found.confusion.counts, [[0, 1, 0, 1], [0, 0, 0, 0], [0, 0, 1, 1]]);
        // Another label that is not safe is a violation all the same.
        assert_eq!((found.violation.recall, found.violation.precision), (Some(0.5), Some(1.0)));
        assert_eq!(found.calibration.unwrap().items, 2);
        assert_eq!(found.latency.map(|latency| latency.p95), Some(2.0));
    }

    #[test]
    fn a_violation_is_any_label_that_is_not_safe() {
        let (yes, no) = (Expected::Violation(true), Expected::Violation(false));
        let (worse, fine) = (given("WORSE"), given("FINE"));
        let found = Summary::new(&policy(), false, [(&yes, &worse), (&no, &fine)].into_iter());
        assert_eq!((found.accuracy, found.macro_f1), (Some(1.0), Some(1.0)));
        assert_eq!(found.confusion.classes, ["violation", "safe"]);
    }

    #[test]
    fn changes_are_told_by_what_they_mean() {
        let line = |expected, a, b| Line { item: 0, line: 1, stage: Stage::Input, expected, a, b: Some(b) };
        for (expected, a, b, found) in [
            (label("BAD"), given("FINE"), given("BAD"), Some(Change::Fixed)),
            (label("BAD"), given("BAD"), failed(), Some(Change::Broken)),
            (label("BAD"), given("WORSE"), given("FINE"), Some(Change::Other)),
            (label("BAD"), given("FINE"), given("FINE"), None),
            (Expected::Violation(true), given("BAD"), given("WORSE"), None),
            (Expected::Violation(false), failed(), failed(), None),
            (Expected::Violation(false), given("BAD"), failed(), Some(Change::Other)),
        ] {
            assert_eq!(change(&line(expected, a, b)), found);
        }
    }
}
