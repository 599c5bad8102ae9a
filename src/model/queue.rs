//! The queue in front of the engine: bounded, urgent items first, blocking for the engine's thread alone.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Items in order of arrival, in two lanes.
pub struct Queue<T> {
    capacity: usize,
    state: Mutex<State<T>>,
    arrived: Condvar,
}

struct State<T> {
    urgent: VecDeque<T>,
    other: VecDeque<T>,
    closed: bool,
}

impl<T> Queue<T> {
    pub fn new(capacity: usize) -> Self {
        let state = State { urgent: VecDeque::new(), other: VecDeque::new(), closed: false };
        Queue { capacity, state: Mutex::new(state), arrived: Condvar::new() }
    }

    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Adds an item without waiting. In a full queue those that are `dead` make room, then for an urgent item the
    /// youngest that is not. Gives what had to leave; where there is no room, or nobody takes items any more, the
    /// item itself.
    pub fn push(&self, item: T, urgent: bool, dead: impl Fn(&T) -> bool) -> Result<Option<T>, T> {
        let mut state = self.lock();
        if state.closed {
            return Err(item);
        }
        if state.len() >= self.capacity {
            state.urgent.retain(|item| !dead(item));
            state.other.retain(|item| !dead(item));
        }
        let mut evicted = None;
        if state.len() >= self.capacity {
            match state.other.pop_back() {
                Some(youngest) if urgent => evicted = Some(youngest),
                Some(youngest) => {
                    state.other.push_back(youngest);
                    return Err(item);
                }
                None => return Err(item),
            }
        }
        if urgent {
            state.urgent.push_back(item)
        } else {
            state.other.push_back(item)
        }
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
            if let Some(item) = state.urgent.pop_front().or_else(|| state.other.pop_front()) {
                return Some(item);
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends `pop` and `push`; what waits is dropped.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.urgent.clear();
        state.other.clear();
        drop(state);
        self.arrived.notify_all();
    }

    /// A panic under the lock leaves the lanes whole: every change to them is one call.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn len(&self) -> usize {
        self.urgent.len() + self.other.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALIVE: fn(&u32) -> bool = |_| false;

    #[test]
    fn urgent_items_go_first_and_push_others_out() {
        let queue = Queue::new(3);
        for (item, urgent) in [(1, false), (2, false), (3, true)] {
            assert_eq!(queue.push(item, urgent, ALIVE), Ok(None));
        }
        assert_eq!(queue.push(4, false, ALIVE), Err(4));
        assert_eq!(queue.push(5, true, ALIVE), Ok(Some(2)));
        assert_eq!([queue.pop(), queue.pop(), queue.pop()], [Some(3), Some(5), Some(1)]);
    }

    #[test]
    fn the_dead_make_room_first() {
        let queue = Queue::new(2);
        queue.push(1, false, ALIVE).unwrap();
        queue.push(2, true, ALIVE).unwrap();
        assert_eq!(queue.push(3, true, |&item| item == 2), Ok(None));
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
        assert_eq!(queue.push(1, true, ALIVE), Err(1));
    }

    proptest! {
        /// Against a plain list: never above capacity, every item leaves exactly once, in order within its lane.
        #[test]
        fn every_item_leaves_once(steps in prop::collection::vec(prop::option::of(any::<bool>()), 1..60), capacity in 1usize..6) {
            let queue = Queue::new(capacity);
            let (mut urgent, mut other) = (Vec::new(), Vec::new());
            for (item, step) in steps.into_iter().enumerate() {
                let Some(is_urgent) = step else {
                    let expected = if urgent.is_empty() { &mut other } else { &mut urgent };
                    if !expected.is_empty() {
                        prop_assert_eq!(queue.pop(), Some(expected.remove(0)));
                    }
                    continue;
                };
                let full = urgent.len() + other.len() >= capacity;
                match queue.push(item, is_urgent, |_| false) {
                    Ok(evicted) => {
                        prop_assert_eq!(evicted.is_some(), full);
                        if let Some(evicted) = evicted {
                            prop_assert_eq!(Some(evicted), other.pop());
                        }
                        if is_urgent { urgent.push(item) } else { other.push(item) }
                    }
                    Err(refused) => prop_assert!(refused == item && full && (!is_urgent || other.is_empty())),
                }
                prop_assert!(urgent.len() + other.len() <= capacity);
            }
        }
    }
}
