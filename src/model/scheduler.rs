//! Which sequences get how many tokens in the next step. Knows nothing of tensors.

use crate::model::queue::Rank;

/// A sequence that has tokens to be computed.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    pub rank: Rank,
    /// Counts admissions.
    pub arrival: u64,
    /// Tokens that are known and not computed; at least one.
    pub tokens: usize,
}

/// Sequences that wait for no more than this go before prompts that are to be read: they are soon done.
const FEW: usize = 16;

/// Shares `budget` tokens out: by index, in the order in which they are served. While any sequence is urgent, those that are
/// not wait. Among equals, those that go on with a few tokens are served before those that have a prompt to read, up to half
/// of the budget; a prompt gets what is left, in pieces. The first by rank and arrival always gets some.
pub fn plan(candidates: &[Candidate], budget: usize) -> Vec<(usize, usize)> {
    let urgent = candidates.iter().any(|candidate| candidate.rank.is_urgent());
    let mut order: Vec<usize> = (0..candidates.len()).filter(|&i| !urgent || candidates[i].rank.is_urgent()).collect();
    order.sort_by_key(|&index| (candidates[index].rank, candidates[index].arrival));
    let mut ahead = budget / 2;
    let goes_ahead = |&index: &usize| {
        let tokens = candidates[index].tokens;
        let goes = tokens <= FEW.min(ahead);
        ahead -= if goes { tokens } else { 0 };
        goes
    };
    let (mut order, others): (Vec<usize>, Vec<usize>) = order.into_iter().partition(goes_ahead);
    order.extend(others);
    let mut left = budget;
    let share = |index: usize| {
        let count = candidates[index].tokens.min(left);
        left -= count;
        (index, count)
    };
    order.into_iter().map(share).take_while(|&(_, count)| count > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, Instant};

    fn candidate(urgent: bool, arrival: u64, tokens: usize) -> Candidate {
        Candidate { rank: Rank::new(urgent, None), arrival, tokens }
    }

    #[test]
    fn those_that_go_on_come_before_prompts_and_prompts_are_cut() {
        let candidates = [candidate(true, 0, 700), candidate(true, 1, 1), candidate(true, 2, 300)];
        assert_eq!(plan(&candidates, 512), [(1, 1), (0, 511)]);
    }

    #[test]
    fn those_that_go_on_leave_half_to_a_prompt() {
        let mut candidates: Vec<_> = (1..30).map(|arrival| candidate(true, arrival, 1)).collect();
        candidates.push(candidate(true, 0, 300));
        let plan = plan(&candidates, 16);
        assert_eq!((plan.len(), plan[8]), (9, (29, 8)));
        candidates.pop();
        assert_eq!(super::plan(&candidates, 16).len(), 16);
    }

    #[test]
    fn others_wait_for_urgent_ones() {
        let candidates = [candidate(false, 0, 1), candidate(true, 1, 30)];
        assert_eq!(plan(&candidates, 512), [(1, 30)]);
        assert_eq!(plan(&candidates[..1], 512), [(0, 1)]);
    }

    #[test]
    fn the_earlier_deadline_goes_first() {
        let now = Instant::now();
        let due = |seconds, arrival| Candidate {
            rank: Rank::new(true, Some(now + Duration::from_secs(seconds))),
            arrival,
            tokens: 100,
        };
        assert_eq!(plan(&[due(9, 0), due(3, 1), candidate(true, 2, 100)], 1000), [(1, 100), (0, 100), (2, 100)]);
    }

    proptest! {
        /// Within the budget, nobody more than there is, nobody twice, and work is done wherever there is some.
        #[test]
        fn a_plan_is_within_its_bounds(all in prop::collection::vec((any::<bool>(), 1usize..400), 0..20), budget in 1usize..600) {
            let candidates: Vec<_> =
                all.iter().zip(0..).map(|(&(urgent, tokens), arrival)| candidate(urgent, arrival, tokens)).collect();
            let plan = plan(&candidates, budget);
            let mut seen: Vec<usize> = plan.iter().map(|&(index, _)| index).collect();
            seen.sort_unstable();
            seen.dedup();
            prop_assert_eq!(seen.len(), plan.len());
            prop_assert!(plan.iter().all(|&(index, count)| (1..=candidates[index].tokens).contains(&count)));
            let served: usize = plan.iter().map(|&(_, count)| count).sum();
            let urgent = candidates.iter().any(|candidate| candidate.rank.is_urgent());
            let wanted = candidates.iter().filter(|candidate| !urgent || candidate.rank.is_urgent()).map(|c| c.tokens);
            prop_assert_eq!(served, wanted.sum::<usize>().min(budget));
            let first = (0..candidates.len()).min_by_key(|&index| (candidates[index].rank, candidates[index].arrival));
            prop_assert!(first.is_none_or(|first| plan.iter().any(|&(index, _)| index == first)));
        }
    }
}
