//! What a route remembers of its answers: enough to know the ids of those that it has judged.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::config::Memory;
use crate::guardrail::Guardrail;

/// How long which ids are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keeps {
    /// A digest of all that the guardrails do. What others have judged is not known: they may let through what these do not.
    pub judges: [u8; 32],
    /// Of the whole process, at most.
    pub ids: usize,
    pub ttl: Duration,
}

impl Keeps {
    pub fn new(guardrails: &[Arc<Guardrail>], memory: Memory) -> Self {
        let mut hash = Sha256::new();
        for guardrail in guardrails {
            let Guardrail { id, stages, detector, actions, masks, on_error, deadline: _, scope, mode, timing } =
                &**guardrail;
            let (who, how) = (detector.identity(), (on_error, scope, mode, timing));
            let written = format!("{:?}", (id, stages, who, actions, masks, how));
            hash.update((written.len() as u64).to_le_bytes());
            hash.update(written);
        }
        Keeps { judges: hash.finalize().into(), ids: memory.ids, ttl: memory.ttl }
    }
}
