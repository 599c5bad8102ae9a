//! Health: what is known of an endpoint from the asks that it was given. Time is passed in.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// An endpoint that has failed once is passed over for so long, and for twice as long with each time that it fails again.
const BACK_OFF: Duration = Duration::from_millis(500);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);
/// How many of the last answers' times are kept, and how many there have to be to say what is slow.
const TIMES: usize = 64;
const ENOUGH: usize = 20;

/// Whether an endpoint is to be asked, and how long its answers take.
#[derive(Default)]
pub struct Health(Mutex<State>);

#[derive(Default)]
struct State {
    /// Since it last answered.
    failures: u32,
    /// When it last failed, and until when it is passed over.
    failed: Option<(Instant, Instant)>,
    times: VecDeque<Duration>,
}

impl Health {
    pub fn is_up(&self, now: Instant) -> bool {
        self.state().failed.is_none_or(|(_, until)| until <= now)
    }

    /// It has answered; an ask in so long.
    pub fn answered(&self, took: Option<Duration>) {
        let mut state = self.state();
        (state.failures, state.failed) = (0, None);
        let Some(took) = took else { return };
        if state.times.len() == TIMES {
            state.times.pop_front();
        }
        state.times.push_back(took);
    }

    /// An ask that was begun at `begun` has failed, and it is the endpoint's fault. `wait` is what it asked for itself. Of
    /// several asks that one breakdown ends only the first counts.
    pub fn failed(&self, begun: Instant, now: Instant, wait: Option<Duration>) {
        let mut state = self.state();
        if state.failed.is_some_and(|(at, _)| begun <= at) {
            return;
        }
        let doubled = BACK_OFF.saturating_mul(1u32.checked_shl(state.failures).unwrap_or(u32::MAX));
        state.failures = state.failures.saturating_add(1);
        state.failed = Some((now, now + wait.unwrap_or(doubled).clamp(BACK_OFF, LONGEST_BACK_OFF)));
    }

    /// So long take all but the slowest twentieth of its answers; nothing where there were too few.
    pub fn slow(&self) -> Option<Duration> {
        let mut times: Vec<Duration> = self.state().times.iter().copied().collect();
        let at = times.len() * 19 / 20;
        (times.len() >= ENOUGH).then(|| *times.select_nth_unstable(at).1)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No panic leaves more than one figure behind another.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[tokio::test]
    async fn who_fails_is_passed_over_for_longer_each_time() {
        let (health, start) = (Health::default(), Instant::now());
        assert!(health.is_up(start));
        let mut now = start;
        for expected in [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000] {
            health.failed(now, now, None);
            assert!(!health.is_up(now + millis(expected - 1)) && health.is_up(now + millis(expected)), "{expected}");
            now += millis(expected);
        }
        health.answered(None);
        assert!(health.is_up(now));
        health.failed(now, now, None);
        assert!(health.is_up(now + millis(500)), "an answer makes up for all");
    }

    #[tokio::test]
    async fn one_breakdown_counts_once() {
        let (health, start) = (Health::default(), Instant::now());
        for ask in 0..8 {
            health.failed(start + millis(ask), start + millis(10 + ask), None);
        }
        assert!(health.is_up(start + millis(510)));
        health.failed(start + millis(600), start + millis(600), None);
        assert!(!health.is_up(start + millis(1500)));
    }

    #[tokio::test]
    async fn who_names_a_time_is_given_it_within_bounds() {
        let start = Instant::now();
        for (asked, given) in [(0, 500), (7000, 7000), (3_600_000, 30_000)] {
            let health = Health::default();
            health.failed(start, start, Some(millis(asked)));
            assert!(!health.is_up(start + millis(given - 1)) && health.is_up(start + millis(given)));
        }
    }

    proptest! {
        #[test]
        fn slow_is_beyond_most_of_the_last_answers(times in prop::collection::vec(1u64..1000, 0..200)) {
            let health = Health::default();
            times.iter().for_each(|&time| health.answered(Some(millis(time))));
            let last = &times[times.len().saturating_sub(TIMES)..];
            match health.slow() {
                None => prop_assert!(times.len() < ENOUGH),
                Some(slow) => {
                    let beyond = last.iter().filter(|&&time| millis(time) > slow).count();
                    prop_assert!(beyond * 20 <= last.len(), "{beyond} of {}", last.len());
                }
            }
        }
    }
}
