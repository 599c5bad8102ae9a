//! How an answer is held, as the configuration says.

use std::time::Duration;

/// How an answer is held.
#[derive(Debug, Clone)]
pub struct GateSettings {
    pub window: WindowSize,
    /// Bytes before the end of a judged text that stay held while its channel goes on, so that a phrase which straddles
    /// two windows is judged before its first half leaves. Counted in every view of the text: what is not seen is held
    /// beside.
    pub lookahead: usize,
    /// Unjudged text waits at most this long before a window is asked.
    pub max_hold: Duration,
    /// Bytes held, at most.
    pub max_held: usize,
    /// Bytes of a channel's earlier text that go with a window as context.
    pub context: usize,
    /// Judge beside the stream and hold nothing: every output guardrail is in observe mode.
    pub observe: bool,
}

/// How far a channel grows before a window is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowSize {
    /// Bytes of text.
    Bytes(usize),
    /// The whole answer.
    All,
}
