//! Leaving in time: what is waited for is left before the ask's deadline, so that what was found by then counts, here and with
//! whoever was asked before.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::guardrail::{Ask, DetectError};

/// So long before the deadline a text is left, as far as it has been judged.
pub const TEXT: Duration = Duration::from_millis(10);
/// So long before it, the search for what a finding quotes.
pub const EXCERPTS: Duration = Duration::from_millis(5);

/// So long before the ask's deadline; where there is little time in all, not much of it.
pub fn before(ask: &Ask, long: Duration) -> Instant {
    ask.deadline.checked_sub(long.min(ask.within / 8)).unwrap_or(ask.deadline)
}

/// What comes of `work`, if that is by `end`. Past it the work is not begun.
pub async fn by<T>(end: Instant, work: impl Future<Output = T>) -> Option<T> {
    if Instant::now() >= end {
        return None;
    }
    timeout_at(end, work).await.ok()
}

/// What has to be done before a text can be judged, if that leaves time to judge it.
pub async fn prepared<T>(ask: &Ask, work: impl Future<Output = Result<T, DetectError>>) -> Result<T, DetectError> {
    by(before(ask, TEXT), work).await.unwrap_or(Err(DetectError::Timeout(ask.within)))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::detectors::safeguard::testing::ask;

    #[tokio::test(start_paused = true)]
    async fn what_comes_too_late_is_left_and_past_the_end_nothing_is_begun() {
        let end = Instant::now() + Duration::from_secs(1);
        assert_eq!(by(end, async { 7 }).await, Some(7));
        assert_eq!(by(end, std::future::pending::<()>()).await, None);
        assert!(Instant::now() >= end);
        let begun = Cell::new(false);
        assert_eq!(by(end, async { begun.set(true) }).await, None);
        assert!(!begun.get());
    }

    #[test]
    fn a_short_time_is_not_all_spent_on_leaving() {
        let ask = ask("text");
        for (within, left) in [(60_000, 10), (80, 10), (8, 1), (0, 0)] {
            let ask = Ask { within: Duration::from_millis(within), ..ask.clone() };
            assert_eq!(ask.deadline - before(&ask, TEXT), Duration::from_millis(left), "{within} ms");
        }
    }
}
