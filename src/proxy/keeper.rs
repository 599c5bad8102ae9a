//! Looks after ids of what the upstream keeps: remembers those of answers that leave as they were judged, and lets a request
//! stand on these alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use sha2::{Digest, Sha256};

use crate::live::{Inspect, Route, Upstream};
use crate::proxy::refused::Refused;
use crate::proxy::seen::{Realm, Seen};
use crate::wire::Prompt;

/// Headers by which upstreams, or what stands before them, know their callers.
const CREDENTIALS: [&str; 9] = [
    "api-key",
    "authorization",
    "cookie",
    "ocp-apim-subscription-key",
    "openai-organization",
    "openai-project",
    "proxy-authorization",
    "x-api-key",
    "x-goog-api-key",
];

/// The same, by what their names begin with: tokens that a service of Azure hands on.
const CREDENTIAL_FAMILY: &str = "x-ms-token-";

/// For one caller of one route.
pub struct Keeper {
    seen: Arc<Seen>,
    realm: Realm,
    ids: usize,
    ttl: Duration,
}

impl Keeper {
    /// None where the route refuses such ids. `headers`: the client's.
    pub fn new(seen: &Arc<Seen>, route: &Route, inspect: &Inspect, headers: &HeaderMap) -> Option<Self> {
        let keeps = inspect.keeps.as_ref()?;
        let realm = realm(&keeps.judges, &route.upstream, headers);
        Some(Keeper { seen: seen.clone(), realm, ids: keeps.ids, ttl: keeps.ttl })
    }

    /// Whether all that a request stands on is known.
    pub fn check(&self, prompt: &dyn Prompt) -> Result<(), Refused> {
        let now = Instant::now();
        match prompt.strange_id(&|id| self.seen.knows(self.realm, id, now, self.ttl)) {
            Some(at) => Err(Refused::UnknownReference { at }),
            None => Ok(()),
        }
    }

    /// Remembers ids. To be called before who gets them can use them.
    pub fn remember(&self, ids: &[String]) {
        let now = Instant::now();
        ids.iter().for_each(|id| self.seen.remember(self.realm, id, now, self.ids));
    }
}

/// Each field goes in behind its length, so that no two realms read as one.
fn realm(judges: &[u8; 32], upstream: &Upstream, headers: &HeaderMap) -> Realm {
    let mut hash = Sha256::new();
    let mut take = |field: &[u8]| {
        hash.update((field.len() as u64).to_le_bytes());
        hash.update(field);
    };
    take(judges);
    for field in [&*upstream.id, &upstream.host, &upstream.base_path] {
        take(field.as_bytes());
    }
    take(&upstream.port.to_le_bytes());
    let own = upstream.credential.iter().map(|(name, _)| name.as_str());
    let mut handed_on: Vec<_> = headers.keys().map(|name| name.as_str()).collect();
    handed_on.retain(|name| name.starts_with(CREDENTIAL_FAMILY));
    handed_on.sort_unstable();
    for name in CREDENTIALS.into_iter().chain(own).chain(handed_on) {
        take(name.as_bytes());
        headers.get_all(name).iter().for_each(|value| take(value.as_bytes()));
    }
    Realm(hash.finalize().into())
}
