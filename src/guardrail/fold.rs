//! Folding: each answer of a detector becomes outcomes with their actions, and the strongest enforced one decides.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use crate::guardrail::{
    Action, Applied, Asked, Decision, DetectError, Finding, Guardrail, Mode, OnError, Outcome, Scores, Verdict,
};
use crate::text::{Edit, Edits, Segment, SegmentId, Span};

/// What one detector said of one segment.
pub(super) struct Answer<'a> {
    /// The guardrail's place in the stage.
    pub order: usize,
    pub guardrail: &'a Guardrail,
    pub segment: &'a Segment,
    pub verdict: Result<Verdict, DetectError>,
    pub cached: bool,
    pub took: Duration,
    /// From the guardrail's first ask.
    pub since_first: Duration,
}

/// The answers so far.
pub(super) struct Fold {
    asked: BTreeMap<usize, Asked>,
    applied: Vec<(usize, Applied)>,
    /// With the place of the guardrail that asks for each.
    edits: BTreeMap<SegmentId, Vec<(usize, Edit)>>,
    action: Action,
    unjudged: bool,
}

impl Fold {
    /// Takes what will be asked: place in the stage, guardrail, number of segments.
    pub(super) fn new<'a>(asks: impl Iterator<Item = (usize, &'a Guardrail, usize)>) -> Self {
        let asked = |guardrail: &Guardrail, segments| Asked {
            guardrail: guardrail.id.clone(),
            identity: guardrail.detector.identity().clone(),
            segments,
            answered: 0,
            cached: 0,
            took: Duration::ZERO,
            closest: None,
        };
        Fold {
            asked: asks.map(|(order, guardrail, segments)| (order, asked(guardrail, segments))).collect(),
            applied: Vec::new(),
            edits: BTreeMap::new(),
            action: Action::Allow,
            unjudged: false,
        }
    }

    /// Breaks at an enforced block: nothing can undo it.
    pub(super) fn take(&mut self, answer: Answer) -> ControlFlow<()> {
        if let Some(asked) = self.asked.get_mut(&answer.order) {
            asked.answered += 1;
            asked.cached += usize::from(answer.cached);
            asked.took = asked.took.max(answer.since_first);
            if let Ok(Verdict { scores: Some(scores), .. }) = &answer.verdict {
                let closer = |known: &Scores| known.margin() <= scores.margin();
                asked.closest = asked.closest.take().filter(closer).or_else(|| Some(scores.clone()));
            }
        }
        match &answer.verdict {
            Err(error) => self.fail(&answer, error),
            Ok(verdict) => {
                for finding in &verdict.findings {
                    self.find(&answer, finding);
                }
                if let Some(error) = &verdict.failed {
                    self.fail(&answer, error);
                }
            }
        }
        self.flow()
    }

    /// Takes an answer on a text that was redacted by `edits`: what is still enforced there, and is not a mask, blocks.
    pub(super) fn take_again(&mut self, answer: Answer, edits: &BTreeMap<SegmentId, Edits>) -> ControlFlow<()> {
        match &answer.verdict {
            Err(error) => self.fail(&answer, error),
            Ok(verdict) => {
                let masks = edits.get(&answer.segment.id).map(masks).unwrap_or_default();
                let left = |finding: &&Finding| {
                    answer.guardrail.action(&finding.label) >= Action::Redact
                        && changeable(finding, answer.segment).iter().any(|span| !covered(span, &masks))
                };
                if let Some(finding) = verdict.findings.iter().find(left) {
                    self.apply(&answer, outcome(finding), Action::Block);
                }
            }
        }
        self.flow()
    }

    /// What redaction replaces, so far.
    pub(super) fn edits(&self) -> BTreeMap<SegmentId, Edits> {
        let sorted = |edits: &Vec<(usize, Edit)>| {
            let mut edits = edits.clone();
            // By place, so that many cost no more than few; of equals the first guardrail's mask is taken.
            edits.sort_by_key(|(order, edit)| (edit.span.start, *order));
            edits.into_iter().map(|(_, edit)| edit).collect()
        };
        self.edits.iter().map(|(&segment, edits)| (segment, sorted(edits))).collect()
    }

    /// `edits` are those of [`Fold::edits`].
    pub(super) fn decide(mut self, edits: BTreeMap<SegmentId, Edits>) -> Decision {
        let blocks = self.action == Action::Block;
        self.applied
            .sort_by(|(a_order, a), (b_order, b)| (a_order, a.segment, label(a)).cmp(&(b_order, b.segment, label(b))));
        Decision {
            action: self.action,
            asked: self.asked.into_values().collect(),
            applied: self.applied.into_iter().map(|(_, applied)| applied).collect(),
            edits: if blocks { BTreeMap::new() } else { edits },
            unjudged: self.unjudged && !blocks,
        }
    }

    fn flow(&self) -> ControlFlow<()> {
        if self.action == Action::Block { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn fail(&mut self, answer: &Answer, error: &DetectError) {
        let action = match (error, answer.guardrail.on_error) {
            // Its length is the sender's choice: it must not switch the guardrail off.
            (DetectError::TooLong { .. }, _) | (_, OnError::Block) => Action::Block,
            (_, OnError::Allow) => Action::Allow,
        };
        self.unjudged |= action == Action::Allow && answer.guardrail.mode == Mode::Enforce;
        self.apply(answer, Outcome::Error(error.clone()), action);
    }

    fn find(&mut self, answer: &Answer, finding: &Finding) {
        let Answer { order, guardrail, segment, .. } = *answer;
        let enforced = guardrail.mode == Mode::Enforce;
        let mut action = guardrail.action(&finding.label);
        if action == Action::Allow {
            return;
        }
        let mut spans = changeable(finding, segment);
        let rest = segment.fresh..segment.text.len();
        // Words that were safe when they left, and that what has come since makes a finding.
        if spans.is_empty() && enforced && action == Action::Redact && !rest.is_empty() && has_left(finding, segment) {
            spans.push(rest);
        }
        // It was found, and dealt with, in an earlier window. One that blocks would have ended the answer: it is new.
        if spans.is_empty() && !(enforced && action == Action::Block) {
            return;
        }
        if action == Action::Redact && !segment.place.editable {
            action = Action::Block;
        }
        if action == Action::Redact && enforced {
            let mask = guardrail.mask(&finding.label);
            let edits = self.edits.entry(segment.id).or_default();
            edits.extend(spans.into_iter().map(|span| (order, Edit { span, with: mask.clone() })));
        }
        self.apply(answer, outcome(finding), action);
    }

    fn apply(&mut self, answer: &Answer, outcome: Outcome, action: Action) {
        let Answer { order, guardrail, segment, .. } = *answer;
        if guardrail.mode == Mode::Enforce {
            self.action = self.action.max(action);
        }
        let applied = Applied {
            guardrail: guardrail.id.clone(),
            identity: guardrail.detector.identity().clone(),
            mode: guardrail.mode,
            segment: segment.id,
            kind: segment.place.kind,
            outcome,
            action,
            took: answer.took,
            cached: answer.cached,
        };
        // A label that was found a thousand times in a text is one line. Its lines are the newest: one answer, one run.
        let same = |(at, other): &&(usize, Applied)| (*at, other.segment) == (order, segment.id);
        let mut run = self.applied.iter().rev().take_while(same);
        if !run.any(|(_, other)| label(other) == label(&applied) && other.action == action) {
            self.applied.push((order, applied));
        }
    }
}

fn outcome(finding: &Finding) -> Outcome {
    Outcome::Label { label: finding.label.clone(), grounds: finding.grounds.clone() }
}

/// The label, or nothing for an error.
fn label(applied: &Applied) -> Option<&str> {
    match &applied.outcome {
        Outcome::Label { label, .. } => Some(label.as_str()),
        Outcome::Error(_) => None,
    }
}

/// What of a finding is still to be dealt with: its spans that reach into the fresh text, whole, so that the gate sees
/// where one began that has left in part; where it has none, all of the fresh text. Spans that no text of this length
/// can have count as none.
fn changeable(finding: &Finding, segment: &Segment) -> Vec<Span> {
    let (text, fresh) = (&*segment.text, segment.fresh.min(segment.text.len()));
    let sound = |span: &Span| span.start < span.end && span.end <= text.len();
    let rest = fresh..text.len();
    let spans = if finding.spans.is_empty() || !finding.spans.iter().all(sound) {
        std::slice::from_ref(&rest)
    } else {
        &finding.spans
    };
    let open = |span: &&Span| span.start < span.end && span.end > fresh;
    spans.iter().filter(open).map(|span| to_characters(text, span.clone())).collect()
}

/// Whether anything that a finding speaks of has left as it was. A detector that looks for words does not speak of these
/// again; a model does.
fn has_left(finding: &Finding, segment: &Segment) -> bool {
    finding.spans.iter().any(|span| span.start < span.end && !covered(span, &segment.masked))
}

/// Widened to whole characters.
fn to_characters(text: &str, mut span: Span) -> Span {
    while !text.is_char_boundary(span.start) {
        span.start -= 1;
    }
    while !text.is_char_boundary(span.end) {
        span.end += 1;
    }
    span
}

/// Where the masks stand in the edited text; touching ones as one.
fn masks(edits: &Edits) -> Vec<Span> {
    let mut masks: Vec<Span> = Vec::new();
    let (mut added, mut removed) = (0, 0);
    for edit in edits.iter() {
        // What was removed lies before this span, so that the difference is never below zero.
        let start = edit.span.start + added - removed;
        let end = start + edit.with.len();
        match masks.last_mut().filter(|last| last.end == start) {
            Some(last) => last.end = end,
            None => masks.push(start..end),
        }
        added += edit.with.len();
        removed += edit.span.len();
    }
    masks
}

/// Whether one of the masks holds the whole span.
fn covered(span: &Span, masks: &[Span]) -> bool {
    let first = masks.partition_point(|mask| mask.end <= span.start);
    masks.get(first).is_some_and(|mask| mask.start <= span.start && span.end <= mask.end)
}
