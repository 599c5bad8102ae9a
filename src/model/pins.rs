//! Pins: beginnings of prompts that somebody will come back to, so that what was computed of them is not given up.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The pinned beginnings.
#[derive(Debug, Default)]
pub struct Pins {
    /// With how many pins each has.
    beginnings: Mutex<BTreeMap<Arc<[u32]>, usize>>,
}

/// Holds a beginning for as long as it lives.
#[derive(Debug)]
pub struct Pin {
    pins: Arc<Pins>,
    tokens: Arc<[u32]>,
}

impl Pins {
    pub fn pin(self: &Arc<Self>, tokens: Arc<[u32]>) -> Pin {
        *self.lock().entry(tokens.clone()).or_insert(0) += 1;
        Pin { pins: self.clone(), tokens }
    }

    /// Whether exactly these tokens are pinned.
    pub fn holds(&self, tokens: &[u32]) -> bool {
        self.lock().contains_key(tokens)
    }

    /// Every pinned beginning, once.
    pub fn all(&self) -> Vec<Arc<[u32]>> {
        self.lock().keys().cloned().collect()
    }

    /// A panic under the lock leaves a count that is right: every change is one step.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<[u32]>, usize>> {
        self.beginnings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut beginnings = self.pins.lock();
        if let Some(count) = beginnings.get_mut(&self.tokens) {
            *count -= 1;
            if *count == 0 {
                beginnings.remove(&self.tokens);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_held_until_its_last_pin_goes() {
        let pins = Arc::new(Pins::default());
        let [one, other] = [0, 1].map(|_| pins.pin([1, 2].into()));
        let third = pins.pin([1].into());
        assert!(pins.holds(&[1, 2]) && pins.holds(&[1]) && !pins.holds(&[2]));
        assert_eq!(pins.all().len(), 2);
        drop(one);
        assert!(pins.holds(&[1, 2]));
        drop(other);
        assert!(!pins.holds(&[1, 2]));
        drop(third);
        assert!(pins.all().is_empty());
    }
}
