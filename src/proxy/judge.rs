//! Asking guardrails from the proxy: those that are waited for, and those that only observe.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use tokio::sync::Semaphore;

use crate::guardrail::{Action, Applied, Decision, DetectError, Mode, Outcome, Stage, evaluate};
use crate::live::{Guardrails, Live};
use crate::proxy::refused::Refused;
use crate::proxy::trail::Observer;
use crate::text::Segment;

/// Bytes of text that observers may have before them at once. Nobody waits for them, so nothing else would bound them.
const OBSERVED_BYTES: u32 = 32 << 20;
/// What an observation costs besides its text.
const OBSERVATION: usize = 4 << 10;

/// Asks guardrails about segments, as a future of its own.
pub fn ask(
    live: Arc<Live>,
    guardrails: Guardrails,
    stage: Stage,
    segments: Arc<[Segment]>,
) -> BoxFuture<'static, Decision> {
    async move { evaluate(&guardrails, stage, &segments, &live.verdicts).await }.boxed()
}

/// The refusal that a decision asks for, if it blocks.
pub fn refuse_blocked(stage: Stage, decision: &Decision) -> Result<(), Refused> {
    match decision.action {
        Action::Block => Err(blocked(stage, decision)),
        _ => Ok(()),
    }
}

/// What a decision that lets nothing through tells the client. One that does not block by itself asks for a redaction that
/// can't be made.
pub fn blocked(stage: Stage, decision: &Decision) -> Refused {
    let Some(Applied { guardrail, outcome, .. }) = decision.blocking() else {
        return unredactable(stage, decision, None);
    };
    let guardrail = guardrail.clone();
    match (outcome, stage) {
        (Outcome::Error(DetectError::TooLong { .. }), Stage::Input) => Refused::TooLong { guardrail },
        (Outcome::Error(_), _) => Refused::GuardrailUnavailable { guardrail },
        (_, Stage::Input) => Refused::InputBlocked { guardrail },
        (_, Stage::Output) => Refused::OutputBlocked { guardrail },
    }
}

/// A redaction can't be made; `at` names the place in a request. Where several guardrails redact it may be that of any
/// of them: the first is named.
pub fn unredactable(stage: Stage, decision: &Decision, at: Option<String>) -> Refused {
    let redacts = |applied: &&Applied| applied.mode == Mode::Enforce && applied.action == Action::Redact;
    let found = decision.applied.iter().find(redacts).map(|applied| &applied.guardrail);
    // Edits come with an outcome that redacts. Were there none, one of those that were asked is the cause.
    let guardrail = found.or_else(|| decision.asked.first().map(|asked| &asked.guardrail));
    Refused::Unredactable { stage, guardrail: guardrail.cloned().unwrap_or_else(|| "unknown".into()), at }
}

/// Runs the guardrails in observe mode: bytes and timing of the traffic stay as they are. Clones share one budget.
#[derive(Clone)]
pub struct Observers {
    budget: Arc<Semaphore>,
}

impl Observers {
    pub fn new() -> Self {
        Observers { budget: Arc::new(Semaphore::new(OBSERVED_BYTES as usize)) }
    }

    /// Has them judge in a task of its own and tells `observer`. Where too much waits already, the texts go unobserved, and that
    /// is told. `observer` is made only where somebody observes.
    pub fn observe(
        &self,
        live: &Arc<Live>,
        guardrails: &Guardrails,
        (stage, window): (Stage, Option<u64>),
        segments: &Arc<[Segment]>,
        observer: impl FnOnce() -> Observer,
    ) {
        if guardrails.is_empty() {
            return;
        }
        let observer = observer();
        let text: usize = segments.iter().map(|segment| segment.text.len()).sum();
        let cost = u32::try_from(text + OBSERVATION).unwrap_or(u32::MAX);
        let Ok(permit) = self.budget.clone().try_acquire_many_owned(cost) else {
            return observer.overloaded(stage);
        };
        let asked = ask(live.clone(), guardrails.clone(), stage, segments.clone());
        let segments = segments.clone();
        tokio::spawn(async move {
            observer.observed(stage, window, &asked.await, &segments);
            drop(permit);
        });
    }

    /// Waits until nothing is observed any more.
    pub async fn idle(&self) {
        // The semaphore is never closed; an error would mean that nobody can observe.
        let _ = self.budget.acquire_many(OBSERVED_BYTES).await;
    }
}

impl Default for Observers {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guardrail::{Asked, Identity};
    use crate::policy::Label;
    use crate::text::{Kind, SegmentId};

    fn identity() -> Identity {
        Identity {
            engine: "fake",
            model: "m".into(),
            policy: None,
            form: "label",
            reasoning: crate::policy::Reasoning::NONE,
        }
    }

    fn applied(guardrail: &str, action: Action, mode: Mode) -> Applied {
        Applied {
            guardrail: guardrail.into(),
            identity: identity(),
            mode,
            segment: SegmentId(0),
            kind: Kind::Content,
            outcome: Outcome::Label { label: Label::new("x"), grounds: Default::default() },
            action,
            took: std::time::Duration::ZERO,
            cached: false,
        }
    }

    #[test]
    fn whatever_blocks_has_a_name() {
        let asked = Asked {
            guardrail: "asked".into(),
            identity: identity(),
            segments: 1,
            answered: 1,
            cached: 0,
            closest: None,
            took: std::time::Duration::ZERO,
        };
        let observed = applied("observed", Action::Redact, Mode::Observe);
        let redacts = applied("redacts", Action::Redact, Mode::Enforce);
        let blocks = applied("blocks", Action::Block, Mode::Enforce);
        for (list, asked, name) in [
            (vec![observed.clone(), redacts.clone(), blocks], vec![asked.clone()], "`blocks`"),
            (vec![observed.clone(), redacts], vec![asked.clone()], "`redacts`"),
            (vec![observed], vec![asked], "`asked`"),
            (vec![], vec![], "`unknown`"),
        ] {
            let decision = Decision { applied: list, asked, ..Decision::allow() };
            for stage in [Stage::Input, Stage::Output] {
                let refused = blocked(stage, &decision);
                assert!(refused.is_block() && refused.to_string().contains(name), "{refused}");
                assert_eq!(refused.code(), "content_policy_violation");
            }
        }
    }
}
