//! Doubt: when a verdict is not enough, so that another judge is asked.

use crate::policy::{Label, Nats};

/// When a verdict is not enough. One reason suffices.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Doubt {
    /// The best label leads the second by less, or it is not known by how much.
    pub margin: Option<Nats>,
    /// One of these was found.
    pub found: Vec<Label>,
    /// Nothing was found.
    pub safe: bool,
    /// There is no verdict, or not on all of the text.
    pub error: bool,
}
