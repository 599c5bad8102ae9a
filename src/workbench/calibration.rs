//! Calibration: whether what scores 0.8 is a violation eight times of ten. Pure.

use serde::Serialize;

/// Bins of a reliability curve.
pub const BINS: usize = 10;

/// The bin of a score, 0..=1.
pub fn bin_of(score: f64) -> usize {
    ((score * BINS as f64) as usize).min(BINS - 1)
}

/// A reliability curve and its figures. All are of the score of a violation: the share of all labels that are not safe.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    pub items: usize,
    /// Equally wide, from 0 to 1.
    pub bins: Vec<Bin>,
    /// Expected calibration error: the mean gap between score and rate over the bins, weighted by their items.
    pub ece: f64,
    /// Brier score: the mean squared gap between score and what was expected.
    pub brier: f64,
}

/// The items of one range of scores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Bin {
    pub items: usize,
    /// Mean score; 0 of none.
    pub score: f64,
    /// The share that are violations; 0 of none.
    pub rate: f64,
}

impl Calibration {
    /// Of pairs of score, 0..=1, and whether a violation was expected. Nothing of nothing.
    pub fn new(pairs: impl IntoIterator<Item = (f64, bool)>) -> Option<Self> {
        let mut bins = vec![Bin::default(); BINS];
        let (mut items, mut squares) = (0, 0.0);
        for (score, violation) in pairs {
            let score = score.clamp(0.0, 1.0);
            let bin = &mut bins[bin_of(score)];
            let expected = f64::from(u8::from(violation));
            bin.items += 1;
            bin.score += score;
            bin.rate += expected;
            items += 1;
            squares += (score - expected).powi(2);
        }
        if items == 0 {
            return None;
        }
        for bin in bins.iter_mut().filter(|bin| bin.items > 0) {
            bin.score /= bin.items as f64;
            bin.rate /= bin.items as f64;
        }
        let gap = |bin: &Bin| bin.items as f64 * (bin.score - bin.rate).abs();
        let ece = bins.iter().map(gap).sum::<f64>() / items as f64;
        Some(Calibration { items, bins, ece, brier: squares / items as f64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Golden {
        scores: Vec<f64>,
        violations: Vec<bool>,
        /// Of the bins with items.
        mean_scores: Vec<f64>,
        rates: Vec<f64>,
        ece: f64,
        brier: f64,
    }

    #[test]
    fn agrees_with_scikit_learn() {
        let goldens: Vec<Golden> = serde_json::from_str(include_str!("../../tests/goldens/calibration.json")).unwrap();
        for golden in goldens {
            let found = Calibration::new(golden.scores.iter().copied().zip(golden.violations)).unwrap();
            let bins: Vec<&Bin> = found.bins.iter().filter(|bin| bin.items > 0).collect();
            assert_eq!(bins.len(), golden.rates.len());
            for (bin, (score, rate)) in bins.into_iter().zip(golden.mean_scores.iter().zip(&golden.rates)) {
                assert!((bin.score - score).abs() < 1e-9 && (bin.rate - rate).abs() < 1e-9, "{bin:?}");
            }
            assert!((found.ece - golden.ece).abs() < 1e-9 && (found.brier - golden.brier).abs() < 1e-9);
        }
    }

    #[test]
    fn by_hand() {
        let found = Calibration::new([(0.95, true), (1.0, true), (0.95, false), (0.0, false)]).unwrap();
        assert_eq!((found.bins[9].items, found.bins[0].items), (3, 1));
        assert!((found.ece - 3.0 / 4.0 * (2.9 / 3.0 - 2.0 / 3.0)).abs() < 1e-12);
        assert_eq!(Calibration::new([]), None);
    }

    proptest! {
        #[test]
        fn errors_lie_between_0_and_1(pairs in prop::collection::vec((0.0f64..=1.0, any::<bool>()), 1..80)) {
            let found = Calibration::new(pairs.iter().copied()).unwrap();
            prop_assert!((0.0..=1.0).contains(&found.ece) && (0.0..=1.0).contains(&found.brier));
            prop_assert_eq!(found.bins.iter().map(|bin| bin.items).sum::<usize>(), pairs.len());
            // Scores that are what comes of it are perfect.
            let sure = Calibration::new(pairs.iter().map(|&(_, violation)| (f64::from(u8::from(violation)), violation)));
            prop_assert_eq!(sure.unwrap().ece, 0.0);
        }
    }
}
