//! The gate: holds an answer, asks for verdicts, releases what is decided, cuts what is blocked. Sans I/O: no socket, no
//! clock of its own, nothing awaited.
//!
//! **Asking.** Events are decoded in order; their texts are appended to their channels and they are queued. A window is
//! asked when a channel has grown by `window` since the last ask, when text has waited `max_hold`, when the held bytes
//! are at their limit, and when the answer has ended; with [`WindowSize::All`] only then. It carries every channel that
//! has unjudged text; one is pending at most. While none is pending events are absorbed one by one, so with verdicts
//! that come at once neither the windows nor what leaves depends on how the bytes were chunked. What arrives while one
//! is pending is absorbed as it comes and judged in one go: being slow costs one verdict, not one a window.
//!
//! **Releasing.** Events leave in order, re-encoded, once every text of theirs ends `lookahead` before the end of what was
//! judged, or at it where the channel is over: within a choice a model writes one channel after the other, so when
//! others have grown by `lookahead` since, nothing will complete its last words. Should it go on all the same, what a
//! verdict then finds to reach back blocks. `lookahead` is of text as a reader sees it: characters that are not seen do not
//! count, and what is stretched by very many of them is held. Events marked `last` leave with the final verdict, which covers all of an
//! answer that has ended. Before the first verdict nothing leaves, not even an event without text, unless there are more
//! of these than may be held; an answer that has no text at all needs none. Nothing leaves while a verdict is pending: what
//! was asked about stays as it was.
//!
//! **Redacting.** A verdict's edits come to those of earlier verdicts: none is taken back. One that would have to reach
//! back into text that left as it was blocks, as does a text that the codec can't rewrite.
//!
//! **Cutting.** After a cut, nothing. A break of the upstream's stream cuts when what came before it has been looked at.
//!
//! **Observing.** Everything leaves at once; windows are asked all the same and their verdicts change nothing.

mod lane;
mod lanes;
mod settings;
mod step;

pub use settings::{GateSettings, WindowSize};
pub use step::{CutCause, Step, Window};

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::StatusCode;

use crate::gate::lanes::{Lanes, Piece};
use crate::guardrail::{Action, Decision};
use crate::text::{MediaCount, SegmentId};
use crate::wire::{AnswerCodec, Cut, Event, Refusal, WireError};

/// One answer on its way.
pub struct Gate {
    codec: Box<dyn AnswerCodec>,
    settings: GateSettings,
    state: State,
    lanes: Lanes,
    queue: VecDeque<Held>,
    /// What the queue's events cost.
    queued: usize,
    /// The lanes of the pending ask.
    pending: Option<Vec<SegmentId>>,
    /// A verdict has come.
    decided: bool,
    /// Something has left.
    opened: bool,
    /// The upstream has ended, and all of the answer is absorbed.
    ended: bool,
    /// The upstream's stream can't be read on.
    broken: Option<WireError>,
    /// A channel has grown by a window.
    due: bool,
    /// Since when the oldest text waits that no ask has covered.
    waiting_since: Option<Instant>,
    /// When the upstream's latest bytes came.
    arrived: Option<Instant>,
    /// The latest decision that redacts.
    redaction: Option<Box<Decision>>,
}

enum State {
    Open,
    Cutting(Bytes, CutCause),
    Over,
}

struct Held {
    event: Event,
    pieces: Vec<Option<Piece>>,
}

impl Gate {
    pub fn new(codec: Box<dyn AnswerCodec>, settings: GateSettings) -> Gate {
        Gate {
            codec,
            settings,
            state: State::Open,
            lanes: Lanes::default(),
            queue: VecDeque::new(),
            queued: 0,
            pending: None,
            decided: false,
            opened: false,
            ended: false,
            broken: None,
            due: false,
            waiting_since: None,
            arrived: None,
            redaction: None,
        }
    }

    /// Takes bytes from the upstream.
    pub fn push(&mut self, bytes: &[u8], now: Instant) {
        if !self.reads() {
            return;
        }
        self.arrived = Some(now);
        self.broken = self.codec.push(bytes).err();
        // In observe mode `step` does so, event by event: what it absorbs leaves at once.
        if self.pending.is_some() && !self.settings.observe {
            self.absorb_all();
        }
    }

    /// The upstream has ended, in good order as far as the transport can tell.
    pub fn finish(&mut self, now: Instant) {
        if !self.reads() {
            return;
        }
        self.arrived = Some(now);
        self.broken = self.codec.finish().err();
        if self.broken.is_none() {
            self.absorb_all();
            self.ended = true;
        }
    }

    /// The upstream or a guardrail broke: the next step is a cut that says so.
    pub fn fail(&mut self, refusal: &Refusal) {
        self.cut(Cut::Failed(refusal), CutCause::Failed);
    }

    /// The answer to the pending ask. Without one, nothing.
    pub fn resolve(&mut self, decision: Decision) {
        let Some(asked) = self.pending.take() else { return };
        self.decided = true;
        let enforced = !self.settings.observe;
        // An edit of a segment that was not asked about is nobody's: it must not be lost in silence.
        let stray = decision.edits.keys().any(|id| !asked.contains(id));
        if enforced && (decision.action == Action::Block || stray) {
            return self.block(Box::new(decision));
        }
        for id in asked {
            let edits = decision.edits.get(&id).filter(|_| enforced);
            if self.lanes.judge(id, self.settings.lookahead, edits).is_err() {
                return self.block(Box::new(decision));
            }
        }
        if !decision.edits.is_empty() {
            self.redaction = Some(Box::new(decision));
        }
    }

    /// What to do next. Call it until it says `Pull`, `Wait` or `Done`, or cuts.
    pub fn step(&mut self, now: Instant) -> Step {
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Cutting(bytes, cause) => return Step::Cut(bytes, cause),
                State::Over => return Step::Done,
                State::Open => self.state = State::Open,
            }
            if let Some(bytes) = self.release() {
                return Step::Release(bytes);
            }
            if matches!(self.state, State::Cutting(..)) {
                continue;
            }
            if self.pending.is_some() {
                if self.settings.observe && self.absorb() {
                    continue;
                }
                return if self.reads() && !self.is_full() { Step::Pull } else { Step::Wait };
            }
            if self.overdue(now) {
                // Behind, so whatever is there goes with it.
                if self.absorb() {
                    continue;
                }
                return self.ask(true);
            }
            if self.ended && self.lanes.unasked() > 0 {
                return self.ask(true);
            }
            if self.due {
                return self.ask(false);
            }
            if self.absorb() {
                continue;
            }
            if self.ended {
                self.state = State::Over;
            } else if let Some(error) = self.broken.take() {
                self.cut_wire(error);
            } else if !self.is_full() {
                return Step::Pull;
            } else if self.lanes.unasked() > 0 && (self.settings.window != WindowSize::All || self.settings.observe) {
                return self.ask(true);
            } else if !self.decided && self.lanes.unasked() == 0 {
                // What is held has no text: it waits for a verdict that need not come.
                self.decided = true;
            } else {
                self.cut_full();
            }
        }
    }

    /// When `max_hold` will want a window, if nothing else happens: call `step` then.
    pub fn wake_at(&self) -> Option<Instant> {
        if self.pending.is_some() || self.settings.window == WindowSize::All || !self.reads() {
            return None;
        }
        self.waiting_since?.checked_add(self.settings.max_hold)
    }

    /// Bytes held: what the codec has not decoded yet and queued events, at most `max_held` and one push if the driver
    /// reads on only when told to. In observe mode also text that waits to be asked about, which alone is limited then.
    pub fn held(&self) -> usize {
        self.codec.buffered() + self.queued + self.beside()
    }

    /// A comment that keeps the client's connection alive; empty where there is none, and while nothing has left: the first
    /// byte would send the header with it.
    pub fn heartbeat(&self) -> Bytes {
        if self.opened && matches!(self.state, State::Open) { self.codec.heartbeat() } else { Bytes::new() }
    }

    /// Media in what has been released.
    pub fn media(&self) -> MediaCount {
        self.codec.media()
    }

    /// The ids of an answer that was released to its end as it came. See [`AnswerCodec::kept`].
    pub fn kept(&self) -> Vec<String> {
        self.codec.kept()
    }

    /// Whether more from the upstream is of use.
    fn reads(&self) -> bool {
        matches!(self.state, State::Open) && !self.ended && self.broken.is_none()
    }

    /// Text that has left and waits to be asked about.
    fn beside(&self) -> usize {
        if self.settings.observe { self.lanes.unasked() } else { 0 }
    }

    fn is_full(&self) -> bool {
        let held = if self.settings.observe { self.beside() } else { self.held() };
        held >= self.settings.max_held
    }

    fn overdue(&self, now: Instant) -> bool {
        self.settings.window != WindowSize::All
            && self.waiting_since.is_some_and(|since| now.saturating_duration_since(since) >= self.settings.max_hold)
    }

    /// Queues the next decoded event; false when there is none.
    fn absorb(&mut self) -> bool {
        let Some(event) = self.codec.next() else { return false };
        let pieces = self.lanes.absorb(&event);
        let touched = pieces.iter().flatten().map(|piece| piece.lane);
        if let WindowSize::Bytes(window) = self.settings.window {
            self.due |= self.lanes.any_due(touched, window, self.settings.lookahead);
        }
        if self.lanes.unasked() > 0 && self.waiting_since.is_none() {
            self.waiting_since = self.arrived;
        }
        self.queued += event.size;
        self.queue.push_back(Held { event, pieces });
        true
    }

    fn absorb_all(&mut self) {
        while self.absorb() {}
    }

    /// Asks for a verdict on what is new: all of it or, unless `whole`, up to a sentence's end.
    fn ask(&mut self, whole: bool) -> Step {
        let segments = self.lanes.ask(whole, self.settings.context, self.settings.lookahead);
        self.pending = Some(segments.iter().map(|segment| segment.id).collect());
        let rest = self.lanes.unasked() > 0;
        self.waiting_since = self.arrived.filter(|_| rest);
        self.due = match self.settings.window {
            WindowSize::Bytes(window) if rest => {
                self.lanes.any_due(0..self.lanes.count(), window, self.settings.lookahead)
            }
            _ => false,
        };
        Step::Ask(Window { segments })
    }

    /// Takes from the queue what may leave, encoded.
    fn release(&mut self) -> Option<Bytes> {
        let mut out = BytesMut::new();
        while self.queue.front().is_some_and(|held| self.may_leave(held)) {
            let Some(held) = self.queue.pop_front() else { break };
            self.queued -= held.event.size;
            match self.encode(&held) {
                // One alone need not be copied.
                Ok(bytes) if out.is_empty() => out = bytes.into(),
                Ok(bytes) => out.extend_from_slice(&bytes),
                Err(error) => {
                    match (error, self.redaction.take()) {
                        (WireError::NotEditable { .. }, Some(decision)) => self.block(decision),
                        (error, _) => self.cut_wire(error),
                    }
                    break;
                }
            }
            held.pieces.iter().flatten().for_each(|piece| self.lanes.release(piece));
        }
        self.opened |= !out.is_empty();
        (!out.is_empty()).then(|| out.freeze())
    }

    fn may_leave(&self, held: &Held) -> bool {
        if self.settings.observe {
            return true;
        }
        let final_verdict = self.ended && self.lanes.unasked() == 0;
        let covered = || held.pieces.iter().flatten().all(|piece| self.lanes.is_free(piece, self.settings.lookahead));
        self.pending.is_none() && (final_verdict || (self.decided && !held.event.last && covered()))
    }

    fn encode(&self, held: &Held) -> Result<Bytes, WireError> {
        let texts = held.pieces.iter().zip(&held.event.texts);
        let edited = texts.map(|(piece, text)| self.lanes.edited(piece.as_ref()?, &text.text)).collect::<Vec<_>>();
        self.codec.encode(&held.event, &edited)
    }

    /// Ends with the dialect's content filter; where a guardrail had no verdict, with an error that says so.
    fn block(&mut self, decision: Box<Decision>) {
        let refusal = refusal(StatusCode::SERVICE_UNAVAILABLE, "guardrail_unavailable", "a guardrail gave no verdict");
        let cut = if decision.blocked_by_error() { Cut::Failed(&refusal) } else { Cut::Blocked };
        self.cut(cut, CutCause::Blocked(decision));
    }

    /// In fixed words: those of the error can name members of the answer, which could be content.
    fn cut_wire(&mut self, error: WireError) {
        let code = match error {
            WireError::TooLarge { .. } => "answer_too_large",
            _ => "upstream_invalid_response",
        };
        let why = match error {
            WireError::TooLarge { .. } => "an event is larger than may be held",
            WireError::Truncated => "it ends too early",
            WireError::Json(_) => "it is not strict JSON",
            WireError::Shape { .. } => "it does not have the shape of its API",
            WireError::Unsupported { .. } | WireError::NotEditable { .. } => "a part of it is unsupported",
        };
        self.refuse(refusal(StatusCode::BAD_GATEWAY, code, format!("the upstream's answer can't be judged: {why}")));
    }

    fn cut_full(&mut self) {
        let limit = self.settings.max_held;
        let message = format!("the upstream's answer is larger than the {limit} bytes that may be held for a verdict");
        self.refuse(refusal(StatusCode::BAD_GATEWAY, "answer_too_large", message));
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.cut(Cut::Failed(&refusal), CutCause::Refused(refusal.clone()));
    }

    /// The first cut counts. What is held goes with it.
    fn cut(&mut self, cut: Cut<'_>, cause: CutCause) {
        if matches!(self.state, State::Open) {
            self.state = State::Cutting(self.codec.cut(cut), cause);
            self.pending = None;
            self.queue.clear();
            self.queued = 0;
        }
    }
}

fn refusal(status: StatusCode, code: &'static str, message: impl Into<String>) -> Refusal {
    Refusal { status, code, message: message.into(), param: None }
}

#[cfg(test)]
mod tests;
