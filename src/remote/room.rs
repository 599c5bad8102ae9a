//! Room: how many asks may be under way at each endpoint, and who comes next where all are full.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The room of all endpoints of an engine, by their index, and the asks that wait for some.
pub struct Room {
    concurrency: Vec<usize>,
    /// Asks that wait, at most.
    capacity: usize,
    state: Mutex<State>,
}

/// Room for one ask at one endpoint, given back when it is dropped.
pub struct Slot {
    room: Arc<Room>,
    at: usize,
}

/// As many wait as may.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

struct State {
    /// Of each endpoint. There is none where somebody waits for it.
    free: Vec<usize>,
    waiting: BTreeMap<Turn, Waiter>,
    arrivals: u64,
}

/// Those that hold traffic up come first, then those that arrived first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    patient: bool,
    arrival: u64,
}

struct Waiter {
    /// Any of these will do.
    endpoints: Vec<usize>,
    give: oneshot::Sender<usize>,
}

impl Room {
    /// Of endpoints with so much room each.
    pub fn new(concurrency: impl IntoIterator<Item = usize>, capacity: usize) -> Arc<Self> {
        let concurrency: Vec<usize> = concurrency.into_iter().collect();
        let state = State { free: concurrency.clone(), waiting: BTreeMap::new(), arrivals: 0 };
        Arc::new(Room { concurrency, capacity, state: Mutex::new(state) })
    }

    /// Asks under way at this endpoint.
    pub fn running(&self, at: usize) -> usize {
        self.concurrency[at] - self.state().free[at]
    }

    /// At the first of these that has some now.
    pub fn now(self: &Arc<Self>, endpoints: &[usize]) -> Option<Slot> {
        let at = self.state().take(endpoints)?;
        Some(Slot { room: self.clone(), at })
    }

    /// At the first of these that has some, or else at any of them when there is some. Where as many wait as may, an `urgent`
    /// one takes the place of the last that is not.
    pub async fn wait(self: &Arc<Self>, endpoints: &[usize], urgent: bool) -> Result<Slot, Full> {
        let mut waiting = {
            let mut state = self.state();
            if let Some(at) = state.take(endpoints) {
                return Ok(Slot { room: self.clone(), at });
            }
            if state.waiting.len() >= self.capacity {
                match state.waiting.last_entry() {
                    Some(last) if urgent && last.key().patient => drop(last.remove()),
                    _ => return Err(Full),
                }
            }
            let turn = Turn { patient: !urgent, arrival: state.arrivals };
            state.arrivals += 1;
            let (give, given) = oneshot::channel();
            state.waiting.insert(turn, Waiter { endpoints: endpoints.to_vec(), give });
            Waiting { room: self, turn, given }
        };
        let at = (&mut waiting.given).await.map_err(|_| Full)?;
        Ok(Slot { room: self.clone(), at })
    }

    /// To whoever waits for it, or for those who come.
    fn give_back(&self, at: usize) {
        let mut state = self.state();
        while let Some(turn) =
            state.waiting.iter().find(|(_, waiter)| waiter.endpoints.contains(&at)).map(|(turn, _)| *turn)
        {
            // One that is just leaving takes nothing.
            if state.waiting.remove(&turn).is_some_and(|waiter| waiter.give.send(at).is_ok()) {
                return;
            }
        }
        state.free[at] += 1;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in between a change and the next can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, endpoints: &[usize]) -> Option<usize> {
        let at = *endpoints.iter().find(|&&at| self.free[at] > 0)?;
        self.free[at] -= 1;
        Some(at)
    }
}

impl Slot {
    /// The endpoint's index.
    pub fn at(&self) -> usize {
        self.at
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.room.give_back(self.at);
    }
}

/// A place among those that wait, left when it is dropped.
struct Waiting<'a> {
    room: &'a Room,
    turn: Turn,
    given: oneshot::Receiver<usize>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.room.state().waiting.remove(&self.turn);
        self.given.close();
        // It was given room and has not taken it.
        if let Ok(at) = self.given.try_recv() {
            self.room.give_back(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;
    use proptest::prelude::*;

    type Ask = BoxFuture<'static, Result<Slot, Full>>;

    fn ask(room: &Arc<Room>, endpoints: &'static [usize], urgent: bool) -> Ask {
        let room = room.clone();
        let mut ask = async move { room.wait(endpoints, urgent).await }.boxed();
        assert!((&mut ask).now_or_never().is_none(), "it waits");
        ask
    }

    fn answer(ask: Ask) -> Option<Result<usize, Full>> {
        ask.now_or_never().map(|answer| answer.map(|slot| slot.at()))
    }

    #[test]
    fn those_that_hold_traffic_up_come_first() {
        let room = Room::new([1], 8);
        let slot = room.now(&[0]).unwrap();
        let (mut first, mut second) = (ask(&room, &[0], false), ask(&room, &[0], true));
        drop(slot);
        assert!((&mut first).now_or_never().is_none());
        let slot = (&mut second).now_or_never().unwrap().unwrap_or_else(|_| panic!("room"));
        assert_eq!(room.running(0), 1);
        drop(slot);
        assert_eq!(answer(first), Some(Ok(0)));
        assert_eq!(room.running(0), 0);
    }

    #[test]
    fn an_urgent_one_takes_the_place_of_the_last_that_is_not() {
        let room = Room::new([1], 2);
        let _slot = room.now(&[0]).unwrap();
        let (first, last) = (ask(&room, &[0], false), ask(&room, &[0], false));
        let patient = room.clone();
        assert_eq!(patient.wait(&[0], false).now_or_never().map(|answer| answer.err()), Some(Some(Full)));
        let _urgent = ask(&room, &[0], true);
        assert_eq!((answer(last), answer(first)), (Some(Err(Full)), None));
        let (_one, two) = (ask(&room, &[0], true), room.clone());
        assert!(two.wait(&[0], true).now_or_never().is_some_and(|answer| answer.is_err()), "all that wait are urgent");
    }

    #[test]
    fn room_at_another_endpoint_is_none() {
        let room = Room::new([1, 1], 8);
        let slots = [room.now(&[0]).unwrap(), room.now(&[1]).unwrap()];
        let (mut near, either) = (ask(&room, &[0], true), ask(&room, &[0, 1], false));
        let [zero, one] = slots;
        drop(one);
        assert!((&mut near).now_or_never().is_none());
        assert_eq!(answer(either), Some(Ok(1)));
        drop(zero);
        assert_eq!(answer(near), Some(Ok(0)));
        assert_eq!(room.now(&[1, 0]).unwrap().at(), 1);
    }

    proptest! {
        /// Whatever comes, is given up or ends: there are never more under way than may be, nobody waits for what is free, and in
        /// the end all room is there again.
        #[test]
        fn no_room_is_lost_or_given_twice(
            concurrency in prop::collection::vec(1usize..3, 1..4),
            steps in prop::collection::vec((0u8..4, any::<prop::sample::Index>(), any::<bool>(), 1u8..8), 0..60),
        ) {
            let room = Room::new(concurrency.clone(), 4);
            let (mut slots, mut waiting): (Vec<Slot>, Vec<(Vec<usize>, Ask)>) = (Vec::new(), Vec::new());
            for (step, index, urgent, mask) in steps {
                match step {
                    0 | 1 => {
                        let endpoints: Vec<usize> = (0..concurrency.len()).filter(|at| mask >> at & 1 == 1).collect();
                        let (own, of) = (room.clone(), endpoints.clone());
                        let mut ask: Ask = async move { own.wait(&of, urgent).await }.boxed();
                        match (&mut ask).now_or_never() {
                            Some(Ok(slot)) => slots.push(slot),
                            Some(Err(Full)) => {}
                            None => waiting.push((endpoints, ask)),
                        }
                    }
                    2 if !slots.is_empty() => drop(slots.swap_remove(index.index(slots.len()))),
                    3 if !waiting.is_empty() => drop(waiting.swap_remove(index.index(waiting.len()))),
                    _ => {}
                }
                // Some that were given room take it at once, others are given up before they do.
                if urgent {
                    let mut left = Vec::new();
                    for (endpoints, mut ask) in waiting {
                        match (&mut ask).now_or_never() {
                            Some(Ok(slot)) => slots.push(slot),
                            Some(Err(Full)) => {}
                            None => left.push((endpoints, ask)),
                        }
                    }
                    waiting = left;
                    for (at, &most) in concurrency.iter().enumerate() {
                        let running = slots.iter().filter(|slot| slot.at() == at).count();
                        prop_assert_eq!(room.running(at), running);
                        let wanted = waiting.iter().any(|(endpoints, _)| endpoints.contains(&at));
                        prop_assert!(!wanted || running == most, "somebody waits for what is free");
                    }
                }
            }
            drop((slots, waiting));
            prop_assert!((0..concurrency.len()).all(|at| room.running(at) == 0));
        }
    }
}
