//! A lane: the text of one channel as the gate keeps it, and how far it was asked about, judged and released.

use crate::text::{Edit, Edits, Place, Segment, SegmentId, Span, view, window};
use crate::wire::{Channel, EventText};

/// One channel. All offsets are those of the channel's whole text: `released <= judged <= asked <= end`, but in
/// observe mode, where everything is released at once.
pub(super) struct Lane {
    channel: Channel,
    /// Every piece so far can be replaced.
    editable: bool,
    /// The text from `base` on.
    text: String,
    base: usize,
    /// Up to here a verdict was asked for.
    asked: usize,
    /// Up to here a verdict is in.
    judged: usize,
    /// Up to here what was judged is seen by the next verdict, too, with `lookahead` of text after it. `None` where that is
    /// stretched, by characters that are not seen, over more text than anyone writes: then nothing leaves.
    settled: Option<usize>,
    /// Up to here it has left.
    released: usize,
    /// Redactions that were decided, of all that is kept.
    edits: Edits,
    /// Bytes that the choice had when this channel last grew.
    choice_at: usize,
}

/// A verdict wants to replace text that has left as it was.
pub(super) struct TooLate;

impl Lane {
    pub fn new(channel: Channel) -> Self {
        Lane {
            channel,
            editable: true,
            text: String::new(),
            base: 0,
            asked: 0,
            judged: 0,
            settled: None,
            released: 0,
            edits: Edits::default(),
            choice_at: 0,
        }
    }

    /// Takes a piece and gives its place in the channel. `choice_at` counts the choice's bytes, with those of the whole event.
    pub fn append(&mut self, piece: &EventText, choice_at: usize) -> Span {
        let start = self.end();
        self.text.push_str(&piece.text);
        self.editable &= piece.editable;
        self.choice_at = choice_at;
        start..self.end()
    }

    /// Bytes that no ask has covered.
    pub fn unasked(&self) -> usize {
        self.end() - self.asked
    }

    /// Whether it has grown enough for a window. While much is held that verdicts do not free, windows grow with it:
    /// each looks at all of it again, and the sum must not be quadratic.
    pub fn is_due(&self, window: usize, lookahead: usize) -> bool {
        let grown = self.unasked();
        let held = (self.end() - self.released).saturating_sub(lookahead);
        grown >= window.max(1) && grown >= held / 4
    }

    /// The text to judge now: all of it or, unless `whole`, up to the last sentence end in the last quarter of what is
    /// new.
    pub fn ask(&mut self, id: SegmentId, whole: bool, context: usize, lookahead: usize) -> Segment {
        self.trim(context, lookahead);
        let near = self.end() - self.unasked() / 4 - self.base;
        let cut = if whole { None } else { window::sentence_end(&self.text, near) };
        let cut = cut.unwrap_or(self.text.len());
        self.asked = self.base + cut;
        let place = Place {
            role: Channel::ROLE,
            kind: self.channel.kind,
            turn: Some(self.channel.choice),
            editable: self.editable,
        };
        let fresh = self.decided() - self.base;
        Segment { id, place, text: self.text[..cut].into(), fresh, masked: self.masked(fresh) }
    }

    /// The verdict on what was asked is in.
    pub fn judge(&mut self, lookahead: usize) {
        self.judged = self.asked;
        self.settled = view::back(&self.text, self.judged - self.base, lookahead).map(|at| self.base + at);
    }

    /// Takes the redactions of a verdict, as spans of the text that was asked, beside earlier ones: a model that finds
    /// something new does not take back what it found before.
    pub fn redact(&mut self, edits: Option<&Edits>) -> Result<(), TooLate> {
        let masked = self.masked_from();
        for edit in edits.into_iter().flat_map(Edits::iter) {
            // Outward to character boundaries: a detector that is off by a byte must not make us panic.
            let start = self.base + window::floor(&self.text, edit.span.start);
            let end = (self.base + window::ceil(&self.text, edit.span.end)).min(self.asked);
            if end <= self.released {
                continue;
            }
            if start < masked {
                return Err(TooLate);
            }
            self.edits.insert(Edit { span: start..end, with: edit.with.clone() });
        }
        Ok(())
    }

    /// Up to here a verdict is in.
    pub fn judged(&self) -> usize {
        self.judged
    }

    /// Up to here text may leave. What is closer than `lookahead` to the end of the judged text waits for more, unless
    /// the channel is over: then nothing can follow that would complete a phrase.
    pub fn limit(&self, lookahead: usize, choice_at: usize) -> usize {
        let over = self.judged == self.end() && choice_at - self.choice_at >= lookahead;
        self.settled.map_or(self.released, |settled| if over { self.judged } else { settled })
    }

    /// `part`, which stands at `span`, with the redactions made; `None` where none falls on it.
    pub fn edited(&self, span: &Span, part: &str) -> Option<String> {
        self.edits.touches(span).then(|| self.edits.apply_to_part(part, span.start))
    }

    /// It has left up to `end`.
    pub fn release(&mut self, end: usize) {
        self.released = end;
    }

    pub fn choice(&self) -> u32 {
        self.channel.choice
    }

    fn end(&self) -> usize {
        self.base + self.text.len()
    }

    /// What lies before was decided and has left. In observe mode text leaves undecided, and is still to be judged.
    fn decided(&self) -> usize {
        self.released.min(self.judged)
    }

    /// Where the run of redactions starts that reaches the release point without a gap: what lies between has left masked.
    fn masked_from(&self) -> usize {
        let mut masked = self.released;
        for edit in self.edits.iter().rev().filter(|edit| edit.span.start < self.released) {
            if edit.span.end < masked {
                break;
            }
            masked = edit.span.start;
        }
        masked
    }

    /// What has left as masks of the first `fresh` bytes that are kept; touching masks as one.
    fn masked(&self, fresh: usize) -> Vec<Span> {
        let mut masked: Vec<Span> = Vec::new();
        for edit in self.edits.iter() {
            let start = edit.span.start.max(self.base) - self.base;
            let end = edit.span.end.saturating_sub(self.base).min(fresh);
            match masked.last_mut() {
                _ if start >= end => {}
                Some(last) if last.end == start => last.end = end,
                _ => masked.push(start..end),
            }
        }
        masked
    }

    /// Forgets what lies more than `context` before the fresh text, in big steps: each moves the rest, and changes the
    /// prefix that an engine may have cached. `lookahead` of it is kept in any case: a channel that was taken for over and
    /// goes on must not complete a phrase unseen.
    fn trim(&mut self, context: usize, lookahead: usize) {
        let decided = self.decided() - self.base;
        let Some(keep) = decided.checked_sub(context).filter(|&keep| keep >= context.max(1)) else { return };
        let seen = view::back(&self.text, decided, lookahead);
        let keep = window::floor(&self.text, seen.map_or(keep, |seen| seen.min(keep)));
        self.text.drain(..keep);
        self.base += keep;
        self.edits.retain(|edit| edit.span.end > self.base);
    }
}
