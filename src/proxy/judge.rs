//! Asking guardrails from the proxy: those that are waited for, and those that only observe.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use tokio::sync::Semaphore;

use crate::guardrail::{Decision, DetectError, Guardrail, Mode, Outcome, Stage, Timing, evaluate};
use crate::live::Live;
use crate::proxy::refused::Refused;
use crate::proxy::trail::Observer;
use crate::text::Segment;

/// Bytes of text that observers may have before them at once. Nobody waits for them, so nothing else would bound them.
const OBSERVED_BYTES: usize = 32 << 20;
/// What an observation costs besides its text.
const OBSERVATION: usize = 4 << 10;

/// Asks guardrails about segments, as a future of its own.
pub fn ask(
    live: Arc<Live>,
    guardrails: Vec<Arc<Guardrail>>,
    stage: Stage,
    segments: Arc<[Segment]>,
) -> BoxFuture<'static, Decision> {
    async move {
        match guardrails.is_empty() {
            true => Decision::allow(),
            false => evaluate(&guardrails, stage, &segments, &live.verdicts).await,
        }
    }
    .boxed()
}

/// The guardrails that are waited for; on input, those of one timing.
pub fn enforcing(guardrails: &[Arc<Guardrail>], timing: Option<Timing>) -> Vec<Arc<Guardrail>> {
    let asked = |g: &&Arc<Guardrail>| g.mode == Mode::Enforce && timing.is_none_or(|timing| g.timing == timing);
    guardrails.iter().filter(asked).cloned().collect()
}

/// The refusal that a decision asks for, if it blocks.
pub fn refuse_blocked(stage: Stage, decision: &Decision) -> Result<(), Refused> {
    match decision.blocking() {
        None => Ok(()),
        Some(_) => Err(blocked(stage, decision)),
    }
}

/// What a blocking decision tells the client.
pub fn blocked(stage: Stage, decision: &Decision) -> Refused {
    let blocking = decision.blocking();
    let guardrail = blocking.map_or_else(String::new, |applied| applied.guardrail.to_string());
    match (blocking.map(|applied| &applied.outcome), stage) {
        (Some(Outcome::Error(DetectError::TooLong { .. })), Stage::Input) => Refused::TooLong { guardrail },
        (Some(Outcome::Error(_)), _) => Refused::GuardrailUnavailable { guardrail },
        (_, Stage::Input) => Refused::InputBlocked { guardrail },
        (_, Stage::Output) => Refused::OutputBlocked { guardrail },
    }
}

/// Runs the guardrails in observe mode: bytes and timing of the traffic stay as they are.
pub struct Observers {
    budget: Arc<Semaphore>,
}

impl Observers {
    pub fn new() -> Self {
        Observers { budget: Arc::new(Semaphore::new(OBSERVED_BYTES)) }
    }

    /// Judges in a task of its own and tells `observer`. Where too much waits already, the texts go unobserved, and that
    /// is told.
    pub fn observe(
        &self,
        live: &Arc<Live>,
        guardrails: &[Arc<Guardrail>],
        (stage, window): (Stage, Option<u64>),
        segments: &Arc<[Segment]>,
        observer: Observer,
    ) {
        let observing: Vec<_> = guardrails.iter().filter(|g| g.mode == Mode::Observe).cloned().collect();
        if observing.is_empty() {
            return;
        }
        let text: usize = segments.iter().map(|segment| segment.text.len()).sum();
        let cost = u32::try_from(text + OBSERVATION).unwrap_or(u32::MAX);
        let Ok(permit) = self.budget.clone().try_acquire_many_owned(cost) else {
            return observer.overloaded(stage);
        };
        let asked = ask(live.clone(), observing, stage, segments.clone());
        let segments = segments.clone();
        tokio::spawn(async move {
            observer.observed(stage, window, &asked.await, &segments);
            drop(permit);
        });
    }
}

impl Default for Observers {
    fn default() -> Self {
        Self::new()
    }
}
