//! Scores of a run: confusion, precision, recall and F1. Pure; what has no verdict is never right.

use serde::Serialize;

/// Counts of items by what was expected (row) and what was given (column). The last column counts those without a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Confusion {
    pub classes: Vec<String>,
    pub counts: Vec<Vec<usize>>,
}

/// How well one class is told from the others.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassScores {
    pub class: String,
    /// Items of which it was expected, and of which it was given; those of both.
    pub support: usize,
    pub given: usize,
    pub hits: usize,
    /// Of those given, the share that is right; nothing where none was given.
    pub precision: Option<f64>,
    /// Of those expected, the share that was given; nothing where none was expected. What has no verdict was missed.
    pub recall: Option<f64>,
    /// Their harmonic mean, 0 where either is nothing or 0; nothing where the class did not come up at all.
    pub f1: Option<f64>,
}

impl Confusion {
    /// Of pairs of expected and given, by index; a given `None` is an item without a verdict.
    pub fn new(classes: Vec<String>, pairs: impl IntoIterator<Item = (usize, Option<usize>)>) -> Self {
        let mut counts = vec![vec![0; classes.len() + 1]; classes.len()];
        for (expected, given) in pairs {
            counts[expected][given.unwrap_or(classes.len())] += 1;
        }
        Confusion { classes, counts }
    }

    pub fn items(&self) -> usize {
        self.counts.iter().flatten().sum()
    }

    /// Items without a verdict.
    pub fn errors(&self) -> usize {
        self.counts.iter().filter_map(|row| row.last()).sum()
    }

    /// The share of all items that were given what was expected; nothing where there are none.
    pub fn accuracy(&self) -> Option<f64> {
        share((0..self.classes.len()).map(|class| self.counts[class][class]).sum(), self.items())
    }

    pub fn by_class(&self) -> Vec<ClassScores> {
        let class = |(at, class): (usize, &String)| {
            let support = self.counts[at].iter().sum();
            let given = self.counts.iter().map(|row| row[at]).sum();
            let hits = self.counts[at][at];
            let (precision, recall) = (share(hits, given), share(hits, support));
            let f1 = share(2 * hits, given + support);
            ClassScores { class: class.clone(), support, given, hits, precision, recall, f1 }
        };
        self.classes.iter().enumerate().map(class).collect()
    }

    /// The mean F1 of the classes that came up; nothing where none did.
    pub fn macro_f1(&self) -> Option<f64> {
        let f1: Vec<f64> = self.by_class().iter().filter_map(|class| class.f1).collect();
        (!f1.is_empty()).then(|| f1.iter().sum::<f64>() / f1.len() as f64)
    }
}

fn share(part: usize, of: usize) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}

/// The `q`-quantile, 0..=1, interpolated between the two values that it lies between; nothing of nothing.
pub fn quantile(values: &[f64], q: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = q * sorted.len().checked_sub(1)? as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(low + (high - low) * at.fract())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Golden {
        classes: Vec<String>,
        expected: Vec<usize>,
        given: Vec<Option<usize>>,
        accuracy: f64,
        macro_f1: f64,
        precision: Vec<f64>,
        recall: Vec<f64>,
        f1: Vec<f64>,
        counts: Vec<Vec<usize>>,
        times: Vec<f64>,
        p50: f64,
        p95: f64,
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn agrees_with_scikit_learn() {
        let goldens: Vec<Golden> = serde_json::from_str(include_str!("../../tests/goldens/scores.json")).unwrap();
        for golden in goldens {
            let pairs = golden.expected.into_iter().zip(golden.given);
            let confusion = Confusion::new(golden.classes, pairs);
            assert_eq!(confusion.counts, golden.counts);
            assert!(close(confusion.accuracy().unwrap(), golden.accuracy));
            assert!(close(confusion.macro_f1().unwrap(), golden.macro_f1));
            for (at, class) in confusion.by_class().iter().enumerate() {
                assert!(close(class.precision.unwrap_or(0.0), golden.precision[at]), "{class:?}");
                assert!(close(class.recall.unwrap_or(0.0), golden.recall[at]), "{class:?}");
                assert!(close(class.f1.unwrap_or(0.0), golden.f1[at]), "{class:?}");
            }
            assert!(close(quantile(&golden.times, 0.5).unwrap(), golden.p50));
            assert!(close(quantile(&golden.times, 0.95).unwrap(), golden.p95));
        }
    }

    #[test]
    fn by_hand() {
        // Two of three violations are found, one safe text is taken for one, and one violation has no verdict.
        let pairs = [(1, Some(1)), (1, Some(1)), (1, None), (0, Some(0)), (0, Some(1))];
        let confusion = Confusion::new(vec!["safe".into(), "violation".into()], pairs);
        assert_eq!((confusion.items(), confusion.errors(), confusion.accuracy()), (5, 1, Some(0.6)));
        let [safe, violation] = &confusion.by_class()[..] else { panic!() };
        assert_eq!((safe.precision, safe.recall), (Some(1.0), Some(0.5)));
        assert_eq!((violation.precision, violation.recall), (Some(2.0 / 3.0), Some(2.0 / 3.0)));
        assert!(close(confusion.macro_f1().unwrap(), 2.0 / 3.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn nothing_is_right_without_a_verdict() {
        let confusion = Confusion::new(vec!["safe".into(), "violation".into()], [(0, None), (1, None)]);
        assert_eq!((confusion.accuracy(), confusion.macro_f1()), (Some(0.0), Some(0.0)));
        assert_eq!(Confusion::new(vec!["safe".into()], []).macro_f1(), None);
    }

    proptest! {
        #[test]
        fn shares_are_shares_and_an_error_never_helps(
            pairs in prop::collection::vec((0usize..4, prop::option::of(0usize..4)), 1..60), at in any::<prop::sample::Index>(),
        ) {
            let classes: Vec<String> = (0..4).map(|class| class.to_string()).collect();
            let confusion = Confusion::new(classes.clone(), pairs.clone());
            for class in confusion.by_class() {
                for share in [class.precision, class.recall, class.f1].into_iter().flatten() {
                    prop_assert!((0.0..=1.0).contains(&share));
                }
            }
            let mut worse = pairs.clone();
            worse[at.index(pairs.len())].1 = None;
            prop_assert!(Confusion::new(classes, worse).accuracy() <= confusion.accuracy());
        }

        #[test]
        fn a_quantile_lies_among_the_values(values in prop::collection::vec(0.0f64..1e6, 1..40), q in 0.0f64..=1.0) {
            let found = quantile(&values, q).unwrap();
            let (least, most) = (values.iter().copied().fold(f64::MAX, f64::min), values.iter().copied().fold(0.0, f64::max));
            prop_assert!((least - 1e-9..=most + 1e-9).contains(&found));
        }
    }
}
