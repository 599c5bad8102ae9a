//! Likely: the tokens that a server tells could come next, and how likely each is. What it does not tell is never taken to be
//! less likely than it can be.

use std::collections::BTreeSet;

use crate::remote::RemoteError;

/// Of the likeliest tokens so many are told, at least: as many as vLLM tells where nobody has set its `--max-logprobs`.
pub const LIKELIEST: usize = 20;

/// vLLM's word for what can't be.
const LEAST: f32 = -9999.0;

/// Log-probabilities in nats, at most 0; each token once.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Likely(Vec<(u32, f32)>);

impl Likely {
    pub fn new(told: Vec<(u32, f64)>) -> Result<Self, RemoteError> {
        if !told.iter().all(|(_, logprob)| logprob.is_finite() && *logprob <= 0.0) {
            return Err(RemoteError::Garbage("a log-probability is none"));
        }
        if told.iter().map(|(token, _)| token).collect::<BTreeSet<_>>().len() < told.len() {
            return Err(RemoteError::Garbage("it tells one token twice"));
        }
        Ok(Likely(told.into_iter().map(|(token, logprob)| (token, (logprob as f32).max(LEAST))).collect()))
    }

    /// The shares of these tokens among themselves, as logarithms. One that is not told has at most as much as the last that
    /// is, and is given that: so the best leads by no more than it really does. Errors where the best of them is not told.
    pub fn shares(&self, of: &[u32]) -> Result<Vec<f32>, RemoteError> {
        let told: Vec<Option<f32>> = of.iter().map(|&token| self.of(token)).collect();
        let least = self.0.iter().map(|(_, logprob)| *logprob).fold(0.0, f32::min);
        let highest = told.iter().flatten().copied().fold(f32::NEG_INFINITY, f32::max);
        if told.contains(&None) {
            if self.0.len() < LIKELIEST {
                return Err(RemoteError::Garbage("it tells fewer log-probabilities than it was asked for"));
            }
            // As likely as what is not told: any of those could be the best.
            if highest <= least {
                return Err(RemoteError::Garbage("none of the policy's replies is among the likeliest"));
            }
        }
        let all: Vec<f32> = told.into_iter().map(|logprob| logprob.unwrap_or(least)).collect();
        let sum: f32 = all.iter().map(|logprob| (logprob - highest).exp()).sum();
        Ok(all.into_iter().map(|logprob| logprob - highest - sum.ln()).collect())
    }

    /// The likeliest of those that fit; none where no token that is told does.
    pub fn best(&self, fits: impl Fn(u32) -> bool) -> Option<u32> {
        let fitting = self.0.iter().filter(|(token, _)| fits(*token));
        fitting.max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(token, _)| *token)
    }

    fn of(&self, token: u32) -> Option<f32> {
        self.0.iter().find(|(known, _)| *known == token).map(|(_, logprob)| *logprob)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn log_softmax(all: &[f32]) -> Vec<f32> {
        let highest = all.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = all.iter().map(|a| (a - highest).exp()).sum();
        all.iter().map(|a| a - highest - sum.ln()).collect()
    }

    fn garbage<T>(result: Result<T, RemoteError>) -> bool {
        matches!(result, Err(RemoteError::Garbage(_)))
    }

    #[test]
    fn what_is_no_log_probability_is_refused() {
        for wrong in [0.01, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(garbage(Likely::new(vec![(1, -0.5), (2, wrong)])), "{wrong}");
        }
        assert!(garbage(Likely::new(vec![(1, -0.5), (1, -0.7)])));
        let far = Likely::new(vec![(1, 0.0), (2, -3.4e38)]).unwrap();
        assert_eq!(far.shares(&[1, 2]).unwrap(), [0.0, LEAST]);
    }

    #[test]
    fn replies_that_can_not_be_compared_are_no_verdict() {
        let told =
            |count: u32| Likely::new((0..count).map(|token| (token, -f64::from(token) - 1.0)).collect()).unwrap();
        assert!(told(20).shares(&[0, 99]).is_ok());
        assert!(garbage(told(19).shares(&[0, 99])), "too few are told to know anything of 99");
        assert!(told(2).shares(&[0, 1]).is_ok(), "but where all are told that is enough");
        assert!(garbage(told(20).shares(&[98, 99])));
        assert!(garbage(told(20).shares(&[19, 99])), "99 may be as likely");
        assert_eq!(told(20).best(|token| token > 4), Some(5));
        assert_eq!(told(20).best(|token| token > 40), None);
    }

    proptest! {
        /// Against a model that knows every token: the same token is the best, and it never leads by more than it does.
        #[test]
        fn a_lead_is_never_overstated(
            logits in prop::collection::vec(-30f32..0.0, 24..60),
            of in prop::collection::btree_set(0usize..60, 2..6),
        ) {
            let of: Vec<u32> = of.into_iter().filter(|&token| token < logits.len()).map(|token| token as u32).collect();
            prop_assume!(of.len() > 1);
            let all = log_softmax(&logits);
            let mut told: Vec<(u32, f64)> = (0..).zip(all.iter().map(|&a| f64::from(a))).collect();
            told.sort_by(|a, b| b.1.total_cmp(&a.1));
            told.truncate(LIKELIEST);
            let true_shares = log_softmax(&of.iter().map(|&token| all[token as usize]).collect::<Vec<_>>());
            let lead = |shares: &[f32]| {
                let mut order: Vec<usize> = (0..shares.len()).collect();
                order.sort_by(|&a, &b| shares[b].total_cmp(&shares[a]));
                (order[0], shares[order[0]] - shares[order[1]])
            };
            match Likely::new(told.clone()).unwrap().shares(&of) {
                Ok(shares) => {
                    let ((best, by), (true_best, true_by)) = (lead(&shares), lead(&true_shares));
                    prop_assert!(by <= true_by + 1e-4, "{by} for {true_by}");
                    prop_assert!(best == true_best || true_by < 1e-4);
                }
                Err(_) => {
                    let least = told[told.len() - 1].0;
                    prop_assert!(told.iter().all(|(token, _)| *token == least || !of.contains(token)));
                }
            }
        }
    }
}
