//! The listener: hears of an ask under way, for those who write policies. In the traffic of a proxy nobody listens.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Is told of an ask while it is judged. Called on the runtime's threads, so it must not block; nothing that it hears is
/// part of a verdict, and so none of it is kept or audited.
#[derive(Clone)]
pub struct Listener(Arc<dyn Fn(Heard<'_>) + Send + Sync>);

/// What there is to hear. A long text is judged in windows, counted from 0, two of them at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard<'a> {
    /// The engine has taken a window up, after so long in its queue.
    Begun { window: usize, queued: Duration },
    /// It has read so many tokens in so long, or had `kept` of them already; now it answers.
    Read { window: usize, tokens: usize, kept: usize, took: Duration },
    /// The next piece of what the model reasons: whole characters.
    Reasoning { window: usize, text: &'a str },
}

impl Listener {
    pub fn new(hear: impl Fn(Heard<'_>) + Send + Sync + 'static) -> Self {
        Listener(Arc::new(hear))
    }

    pub fn tell(&self, heard: Heard<'_>) {
        (self.0)(heard);
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}
