//! Replay: recorded traffic judged under a policy, beside what was found when it came.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::{self, StreamExt};
use sha2::{Digest, Sha256};

use crate::guardrail::Stage;
use crate::workbench::{Classifier, Decision, Judged, Was};

/// Verdicts that are kept, so that the turns of a conversation are judged once.
const KEPT: usize = 100_000;

/// A decision that was judged anew.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    pub decision: Decision,
    pub now: Was,
    /// The text that decides: the first in which something was found, or that has no verdict.
    pub text: Option<Arc<str>>,
}

/// Judges the decisions, `together` at once. Each is told as soon as those before it are.
pub async fn replay(
    classifier: &Classifier,
    decisions: impl Iterator<Item = Decision>,
    together: usize,
    mut tell: impl FnMut(Replayed),
) {
    let kept = Kept::default();
    let kept = &kept;
    let judge = async |decision: Decision| {
        let (mut now, mut text) = (Was::Nothing, None);
        for said in &decision.texts {
            let found = kept.judge(classifier, decision.stage, said).await;
            let decides = match found {
                Was::Nothing => false,
                Was::Found(_) => !matches!(now, Was::Found(_)),
                Was::Failed(_) => text.is_none(),
            };
            if decides {
                text = Some(said.clone());
            }
            now.add(found);
        }
        Replayed { decision, now, text }
    };
    let replayed = stream::iter(decisions.map(judge)).buffered(together.max(1));
    let mut replayed = std::pin::pin!(replayed);
    while let Some(replayed) = replayed.next().await {
        tell(replayed);
    }
}

/// Verdicts by stage and text.
#[derive(Default)]
struct Kept(Mutex<HashMap<[u8; 32], Was>>);

impl Kept {
    async fn judge(&self, classifier: &Classifier, stage: Stage, text: &Arc<str>) -> Was {
        let key = Sha256::new().chain_update(stage.as_str()).chain_update([0]).chain_update(text.as_bytes());
        let key: [u8; 32] = key.finalize().into();
        let known = self.lock().get(&key).cloned();
        if let Some(known) = known {
            return known;
        }
        let found = match Judged::from(classifier.classify(stage, text.clone(), None).await) {
            Judged::Given(given) if given.safe => Was::Nothing,
            Judged::Given(given) => Was::Found(given.others.into_iter().chain([given.label]).collect()),
            Judged::Failed { error, .. } => return Was::Failed(error),
        };
        let mut kept = self.lock();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(key, found.clone());
        found
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Was>> {
        // Each entry is whole by itself.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guardrail::DetectError;
    use crate::workbench::testing::{fake, found};
    use std::time::Duration;

    fn decision(line: u64, texts: &[&str]) -> Decision {
        let texts = texts.iter().map(|&text| text.into()).collect();
        Decision { line, ts: "t".into(), exchange: "e".into(), stage: Stage::Input, texts, was: Was::Nothing }
    }

    #[tokio::test(start_paused = true)]
    async fn every_label_of_every_text_is_found_and_the_text_that_decides_is_told() {
        let (fake, classifier) = fake(|text| {
            let verdict = match text {
                // A long text of which two windows found something.
                "both" => found(&["BAD", "WORSE"]),
                "bad" => found(&["BAD"]),
                "lost" => Err(DetectError::Overloaded { capacity: 1 }),
                _ => found(&[]),
            };
            (Duration::from_millis(1), verdict)
        });
        let decisions = [
            decision(1, &["fine", "both"]),
            decision(2, &["fine", "bad", "worse"]),
            decision(3, &["lost", "bad"]),
            decision(4, &["fine", "lost"]),
            decision(5, &["fine"]),
        ];
        let mut told = Vec::new();
        let tell = |Replayed { decision, now, text }: Replayed| told.push((decision.line, now, text));
        replay(&classifier, decisions.into_iter(), 1, tell).await;
        let labels = |labels: &[&str]| Was::Found(labels.iter().map(|&label| label.to_owned()).collect());
        let expected: [(u64, Was, Option<Arc<str>>); 5] = [
            (1, labels(&["BAD", "WORSE"]), Some("both".into())),
            (2, labels(&["BAD"]), Some("bad".into())),
            (3, labels(&["BAD"]), Some("bad".into())),
            (4, Was::Failed("overloaded".into()), Some("lost".into())),
            (5, Was::Nothing, None),
        ];
        assert_eq!(told, expected);
        // A verdict is kept; an error is not.
        assert_eq!(fake.asked(), "fine both bad worse lost lost".split(' ').count());
    }
}
