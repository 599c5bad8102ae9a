//! What the gate tells its driver.

use bytes::Bytes;

use crate::guardrail::Decision;
use crate::text::Segment;
use crate::wire::Refusal;

/// What the driver is to do next.
#[derive(Debug)]
pub enum Step {
    /// Read from the upstream: `push` or `finish`.
    Pull,
    /// Nothing can be done before the pending verdict: `resolve`. Do not read on: the held bytes are at their limit, or
    /// there is no more to read.
    Wait,
    /// Have this judged, then `resolve`. At most one is pending.
    Ask(Window),
    /// Send this.
    Release(Bytes),
    /// Send this and end: nothing follows.
    Cut(Bytes, CutCause),
    /// All is sent.
    Done,
}

/// Texts to judge together: every channel that has grown.
#[derive(Debug)]
pub struct Window {
    pub segments: Vec<Segment>,
}

/// Why the gate has cut.
#[derive(Debug)]
pub enum CutCause {
    Blocked(Box<Decision>),
    /// The answer can't be read, or is larger than may be held. A client that has got nothing yet is told the same.
    Refused(Refusal),
    /// The driver said so: [`crate::gate::Gate::fail`].
    Failed,
}
