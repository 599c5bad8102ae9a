//! A replica: one of an engine's endpoints, and what is known of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::remote::RemoteError;
use crate::remote::endpoint::Endpoint;
use crate::remote::form::Asked;
use crate::remote::health::Health;
use crate::remote::room::Slot;

/// A look at an endpoint whether it is there has so long.
const CHECK: Duration = Duration::from_secs(2);

pub struct Replica {
    pub endpoint: Endpoint,
    pub health: Health,
    /// It has shown that its tokens are those that it is asked in.
    proven: AtomicBool,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    asks: AtomicU64,
    failures: AtomicU64,
    hedges: AtomicU64,
}

/// An endpoint at one moment. Totals are counted since its client was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointReading {
    /// The engine's name in the configuration.
    pub engine: Arc<str>,
    /// Its URL.
    pub endpoint: Arc<str>,
    /// Asks that it was given; of these, those that gave no answer; and those that were put to it since another was slow.
    pub asks: u64,
    pub failures: u64,
    pub hedges: u64,
    /// Asks under way now.
    pub running: u64,
    /// Whether it is not passed over.
    pub up: bool,
}

impl Replica {
    pub fn new(endpoint: Endpoint) -> Self {
        Replica { endpoint, health: Health::default(), proven: AtomicBool::new(false), counts: Counts::default() }
    }

    /// The body of a successful answer, within the room of the slot. `read` says whether it is an answer.
    pub async fn ask<T>(
        &self,
        _slot: &Slot,
        asked: &Asked,
        read: impl FnOnce(&[u8]) -> Result<T, RemoteError>,
    ) -> Result<T, RemoteError> {
        let begun = Instant::now();
        self.counts.asks.fetch_add(1, Ordering::Relaxed);
        let answer = match self.endpoint.post(asked.path, asked.body.clone()).await {
            Ok(body) => {
                self.health.answered(asked.even.then(|| begun.elapsed()));
                read(&body)
            }
            Err(error) => Err(error),
        };
        if let Err(error) = &answer {
            self.note(begun, error);
            self.counts.failures.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    /// Looks whether the server is there, by asking for a path that costs it nothing.
    pub async fn check(&self, path: &str) {
        let begun = Instant::now();
        match self.endpoint.get(path, CHECK).await {
            Err(error) if error.of_endpoint() => self.note(begun, &error),
            // Whatever it says of the path: it is there to say it.
            Ok(_) | Err(_) => self.health.answered(None),
        }
    }

    pub fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }

    pub fn prove(&self) {
        self.proven.store(true, Ordering::Relaxed);
    }

    pub fn hedged(&self) {
        self.counts.hedges.fetch_add(1, Ordering::Relaxed);
    }

    /// With so many asks under way.
    pub fn reading(&self, engine: &Arc<str>, running: usize, now: Instant) -> EndpointReading {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        EndpointReading {
            engine: engine.clone(),
            endpoint: self.endpoint.name().clone(),
            asks: count(&self.counts.asks),
            failures: count(&self.counts.failures),
            hedges: count(&self.counts.hedges),
            running: running as u64,
            up: self.health.is_up(now),
        }
    }

    fn note(&self, begun: Instant, error: &RemoteError) {
        let wait = match error {
            RemoteError::Status { retry_after, .. } => *retry_after,
            _ => None,
        };
        if error.of_endpoint() {
            // What comes back may serve another model.
            self.proven.store(false, Ordering::Relaxed);
            self.health.failed(begun, Instant::now(), wait);
        }
    }
}
