//! All lanes of an answer, and what they come to together.

use std::collections::BTreeMap;

use crate::gate::lane::{Lane, TooLate};
use crate::text::{Edits, Segment, SegmentId, Span};
use crate::wire::{Channel, Event, EventText};

/// Channels that have the full context each. Of more, each keeps less, so that memory ends somewhere.
const FULL_CONTEXTS: usize = 16;

/// The lanes, numbered in the order of their appearance. A number comes from here only and no lane is ever removed, so it
/// indexes `lanes` safely. How many there can be is the codec's to bound.
#[derive(Default)]
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    numbers: BTreeMap<Channel, usize>,
    /// Bytes that a model wrote, by choice.
    choices: BTreeMap<u32, usize>,
    unasked: usize,
}

/// Where a text of an event stands.
pub(super) struct Piece {
    pub lane: usize,
    pub span: Span,
    /// See [`EventText::alone`].
    alone: bool,
}

impl Lanes {
    /// Appends the event's texts to their channels. One entry a text; `None` where it is empty.
    pub fn absorb(&mut self, event: &Event) -> Vec<Option<Piece>> {
        // What a model wrote before is over. Other strings may stand in every event, and say nothing of the kind.
        for text in event.texts.iter().filter(|text| text.channel.kind.is_said()) {
            *self.choices.entry(text.channel.choice).or_default() += text.text.len();
        }
        event.texts.iter().map(|text| (!text.text.is_empty()).then(|| self.append(text))).collect()
    }

    /// Bytes that no ask has covered.
    pub fn unasked(&self) -> usize {
        self.unasked
    }

    /// Whether one of these lanes has grown enough for a window.
    pub fn any_due(&self, lanes: impl IntoIterator<Item = usize>, window: usize, lookahead: usize) -> bool {
        lanes.into_iter().any(|number| self.lanes[number].is_due(window, lookahead))
    }

    pub fn count(&self) -> usize {
        self.lanes.len()
    }

    /// A segment of every lane that has unjudged text.
    pub fn ask(&mut self, whole: bool, context: usize, lookahead: usize) -> Vec<Segment> {
        let context = context.saturating_mul(FULL_CONTEXTS) / self.lanes.len().max(FULL_CONTEXTS);
        let mut segments = Vec::new();
        for (id, lane) in (0..).map(SegmentId).zip(&mut self.lanes) {
            let before = lane.unasked();
            if before > 0 {
                segments.push(lane.ask(id, whole, context, lookahead));
                self.unasked -= before - lane.unasked();
            }
        }
        segments
    }

    /// The verdict on lane `id` is in. `edits` is `None` in observe mode, where nothing is changed.
    pub fn judge(&mut self, id: SegmentId, lookahead: usize, edits: Option<&Edits>) -> Result<(), TooLate> {
        let lane = &mut self.lanes[id.0 as usize];
        lane.judge(lookahead);
        lane.redact(edits)
    }

    /// Whether a piece lies before the release point of its channel.
    pub fn is_free(&self, piece: &Piece, lookahead: usize) -> bool {
        let lane = &self.lanes[piece.lane];
        // Nothing that follows can complete what stands alone.
        let limit = if piece.alone { lane.judged() } else { lane.limit(lookahead, self.written(lane.choice())) };
        piece.span.end <= limit
    }

    /// The piece's text with the redactions made; `None` where none falls on it.
    pub fn edited(&self, piece: &Piece, text: &str) -> Option<String> {
        self.lanes[piece.lane].edited(&piece.span, text)
    }

    pub fn release(&mut self, piece: &Piece) {
        self.lanes[piece.lane].release(piece.span.end);
    }

    fn append(&mut self, text: &EventText) -> Piece {
        let lane = *self.numbers.entry(text.channel).or_insert_with(|| {
            self.lanes.push(Lane::new(text.channel));
            self.lanes.len() - 1
        });
        self.unasked += text.text.len();
        let written = self.written(text.channel.choice);
        Piece { lane, span: self.lanes[lane].append(text, written), alone: text.alone }
    }

    fn written(&self, choice: u32) -> usize {
        self.choices.get(&choice).copied().unwrap_or_default()
    }
}
