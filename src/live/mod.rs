//! Live: everything an exchange needs, in one snapshot. Prepared fallibly from a configuration, swapped infallibly.

mod assemble;
mod clients;
mod engines;
mod keeps;
mod reload;
mod route;

pub use assemble::{AssembleError, assemble};
pub use engines::{Engines, missing_models};
pub use keeps::Keeps;
pub use reload::{Current, ReloadError, ReloadStatus, Reloader};
pub use route::{
    BlockStyle, Guardrails, Handling, Inspect, Limits, PathError, Route, RouteMatch, Upstream, UpstreamVersion,
    canonical_path,
};

use std::sync::Arc;

use crate::guardrail::VerdictCache;

/// One configuration, ready to serve. An exchange holds one `Arc<Live>` from its first byte to its last verdict.
pub struct Live {
    /// Counts from 1; each successful reload adds one.
    pub generation: u64,
    /// Hex SHA-256 over every file that the configuration was read from.
    pub digest: Arc<str>,
    pub routes: Vec<Arc<Route>>,
    pub limits: Limits,
    /// Outlives reloads: its keys name model and policy by digest.
    pub verdicts: Arc<VerdictCache>,
}
