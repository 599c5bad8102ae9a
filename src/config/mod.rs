//! The configuration: what portcullis.toml and the files it names say, read once and checked whole. Every mistake is shown
//! with its file, line and column, and with what was expected there.

pub mod builtin;
mod cascade;
mod catalogue;
mod diagnostic;
mod dialect;
mod doubt;
mod engine;
mod guardrail;
mod load;
mod media;
mod path;
mod patterns;
mod query;
mod remote;
mod resolve;
mod route;
mod secret;
mod settings;
mod shape;
mod sources;
mod state;
mod suggest;
mod unheard;
mod value;

pub use cascade::Then;
pub use diagnostic::{ConfigError, Diagnostic, Origin};
pub use engine::{Device, Dtype, Engine, EngineRun, Experts, ModelRun};
pub use guardrail::{ByPolicy, Guardrail, Judge};
pub use load::{load, load_with_env};
pub use path::{Reach, RoutePath};
pub use patterns::Patterns;
pub use query::{Parameter, Query};
pub use remote::{Api, EffortIn, EndpointAt, PolicyIn, Preset, ReasoningIn, Remote};
pub use route::{Dialect, Handling, OnBlock, Route};
pub use secret::Secret;
pub use settings::{Admin, Audit, HttpVersion, Limits, Server, Stream, Tls, Upstream, WindowSize};
pub use sources::Sources;
pub use state::{Memory, State};
pub use value::Url;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// A whole configuration: every name in it stands for something, every file it names was read.
#[derive(Debug)]
pub struct Config {
    /// Read at start only, like `admin` and `audit`.
    pub server: Server,
    pub admin: Admin,
    pub audit: Option<Audit>,
    pub limits: Limits,
    /// Of the ids of answers.
    pub memory: Memory,
    pub routes: Vec<Route>,
    /// Every guardrail that was read, whether a route asks it or not.
    pub guardrails: Vec<Arc<Guardrail>>,
    /// By name.
    pub engines: BTreeMap<Arc<str>, Arc<Engine>>,
    /// Where policies lie, each in a folder of its name.
    pub policies_dir: PathBuf,
    pub sources: Sources,
    /// What is allowed and looks like a mistake.
    pub warnings: Vec<Diagnostic>,
}

impl Config {
    /// The sections that differ from those of `started` and take effect only when the process starts anew.
    pub fn needs_restart(&self, started: &Config) -> Vec<&'static str> {
        [
            ("server", self.server != started.server),
            ("admin", self.admin != started.admin),
            ("audit", self.audit != started.audit),
        ]
        .into_iter()
        .filter_map(|(section, changed)| changed.then_some(section))
        .collect()
    }
}
