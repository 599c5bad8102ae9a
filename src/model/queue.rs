//! The queue in front of the engine: bounded, the most urgent first, blocking for the engine's thread alone.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Items by their rank.
pub struct Queue<T> {
    capacity: usize,
    state: Mutex<State<T>>,
    arrived: Condvar,
}

/// What goes first: asks that hold traffic up, then those that are no longer of use the sooner, then those that came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// Sorts before those that are not.
    urgency: Urgency,
    /// `None` sorts last.
    deadline: Deadline,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    Urgent,
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Deadline {
    At(Instant),
    Never,
}

struct State<T> {
    /// By rank, then by arrival.
    items: BTreeMap<(Rank, u64), T>,
    arrivals: u64,
    closed: bool,
}

impl Rank {
    pub fn new(urgent: bool, deadline: Option<Instant>) -> Self {
        let urgency = if urgent { Urgency::Urgent } else { Urgency::Other };
        Rank { urgency, deadline: deadline.map_or(Deadline::Never, Deadline::At) }
    }

    pub fn is_urgent(&self) -> bool {
        self.urgency == Urgency::Urgent
    }

    /// Whether nobody has a use for it any more.
    pub fn is_late(&self, now: Instant) -> bool {
        matches!(self.deadline, Deadline::At(deadline) if deadline <= now)
    }
}

impl<T> Queue<T> {
    pub fn new(capacity: usize) -> Self {
        let state = State { items: BTreeMap::new(), arrivals: 0, closed: false };
        Queue { capacity, state: Mutex::new(state), arrived: Condvar::new() }
    }

    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.lock().items.len()
    }

    /// Adds an item without waiting. In a full queue those that are `dead` make room, then for an urgent item the last of
    /// those that are not. Gives what had to leave; where there is no room, or nobody takes items any more, the item itself.
    pub fn push(&self, item: T, rank: Rank, dead: impl Fn(&T) -> bool) -> Result<Option<T>, T> {
        let mut state = self.lock();
        if state.closed {
            return Err(item);
        }
        if state.items.len() >= self.capacity {
            state.items.retain(|_, item| !dead(item));
        }
        let mut evicted = None;
        if state.items.len() >= self.capacity {
            match state.items.last_entry() {
                Some(last) if last.key().0.urgency > rank.urgency => evicted = Some(last.remove()),
                _ => return Err(item),
            }
        }
        let arrival = state.arrivals;
        state.arrivals += 1;
        state.items.insert((rank, arrival), item);
        drop(state);
        self.arrived.notify_one();
        Ok(evicted)
    }

    /// Waits for the next item; nothing once the queue is closed.
    pub fn pop(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some((_, item)) = state.items.pop_first() {
                return Some(item);
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The next item, if one waits and its rank `fits`.
    pub fn try_pop(&self, fits: impl Fn(Rank) -> bool) -> Option<T> {
        let mut state = self.lock();
        let first = state.items.first_entry().filter(|first| fits(first.key().0))?;
        Some(first.remove())
    }

    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Ends `pop` and `push`; what waits is dropped.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.items.clear();
        drop(state);
        self.arrived.notify_all();
    }

    /// A panic under the lock leaves the items whole: every change to them is one call.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const ALIVE: fn(&u32) -> bool = |_| false;

    fn rank(urgent: bool) -> Rank {
        Rank::new(urgent, None)
    }

    #[test]
    fn urgent_items_go_first_and_push_others_out() {
        let queue = Queue::new(3);
        for (item, urgent) in [(1, false), (2, false), (3, true)] {
            assert_eq!(queue.push(item, rank(urgent), ALIVE), Ok(None));
        }
        assert_eq!(queue.push(4, rank(false), ALIVE), Err(4));
        assert_eq!(queue.push(5, rank(true), ALIVE), Ok(Some(2)));
        assert_eq!(queue.len(), 3);
        assert_eq!(queue.try_pop(|rank| !rank.is_urgent()), None);
        let any = |_: Rank| true;
        assert_eq!(
            [queue.pop(), queue.pop(), queue.try_pop(any), queue.try_pop(any)],
            [Some(3), Some(5), Some(1), None]
        );
    }

    #[test]
    fn the_dead_make_room_first() {
        let queue = Queue::new(2);
        queue.push(1, rank(false), ALIVE).unwrap();
        queue.push(2, rank(true), ALIVE).unwrap();
        assert_eq!(queue.push(3, rank(true), |&item| item == 2), Ok(None));
        assert_eq!([queue.pop(), queue.pop()], [Some(3), Some(1)]);
    }

    #[test]
    fn closing_ends_a_waiting_pop() {
        let queue = std::sync::Arc::new(Queue::<u32>::new(1));
        let waiting = std::thread::spawn({
            let queue = queue.clone();
            move || queue.pop()
        });
        queue.close();
        assert_eq!(waiting.join().unwrap(), None);
        assert_eq!(queue.push(1, rank(true), ALIVE), Err(1));
    }

    proptest! {
        /// Against a plain list: never above capacity, every item leaves exactly once, the lowest rank first and among equals
        /// the one that came first.
        #[test]
        fn every_item_leaves_once(
            steps in prop::collection::vec((any::<bool>(), any::<bool>(), prop::option::of(0u64..4)), 1..60),
            capacity in 1usize..6,
        ) {
            let (queue, now) = (Queue::new(capacity), Instant::now());
            let mut kept: Vec<(Rank, usize)> = Vec::new();
            for (item, (push, urgent, deadline)) in steps.into_iter().enumerate() {
                if !push {
                    let first = kept.iter().copied().min().filter(|(rank, _)| urgent || !rank.is_urgent());
                    kept.retain(|&kept| Some(kept) != first);
                    prop_assert_eq!(queue.try_pop(|rank| urgent || !rank.is_urgent()), first.map(|(_, item)| item));
                    continue;
                }
                let rank = Rank::new(urgent, deadline.map(|seconds| now + Duration::from_secs(seconds)));
                let full = kept.len() >= capacity;
                match queue.push(item, rank, |_| false) {
                    Ok(evicted) => {
                        prop_assert_eq!(evicted.is_some(), full);
                        if let Some(evicted) = evicted {
                            let last = kept.iter().copied().max().unwrap();
                            prop_assert!(urgent && last.0.urgency == Urgency::Other && last.1 == evicted);
                            kept.retain(|&kept| kept != last);
                        }
                        kept.push((rank, item));
                    }
                    Err(refused) => {
                        prop_assert!(refused == item && full);
                        prop_assert!(!urgent || kept.iter().all(|(rank, _)| rank.urgency == Urgency::Urgent));
                    }
                }
                prop_assert!(kept.len() <= capacity);
            }
        }
    }
}
