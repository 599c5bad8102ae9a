//! What a route makes of ids that stand for what its upstream keeps.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use crate::config::load::Reader;
use crate::config::value::{Count, Time, via};
use crate::config::{Diagnostic, Dialect, Origin};

/// Whether a request may name what the upstream keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Of answers that have left through this proxy unchanged.
    #[default]
    Seen,
    Refuse,
}

/// How many ids of such answers are remembered, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Memory {
    #[serde(deserialize_with = "via::<Count<10_000_000>, _, _>")]
    pub ids: usize,
    #[serde(deserialize_with = "via::<Time, _, _>")]
    pub ttl: Duration,
}

impl Default for Memory {
    fn default() -> Self {
        Memory { ids: 100_000, ttl: Duration::from_secs(24 * 60 * 60) }
    }
}

impl Dialect {
    /// Whether its upstreams keep answers that a later request can name.
    fn keeps(&self) -> bool {
        matches!(self, Dialect::OpenAiResponses)
    }
}

/// What is written, where there is something to refer to; of other dialects nothing can be.
pub fn state(
    reader: &mut Reader<'_>,
    at: &Origin,
    dialect: &Dialect,
    written: Option<&Spanned<State>>,
) -> Option<State> {
    match written {
        _ if dialect.keeps() => Some(written.map_or_else(State::default, |state| *state.get_ref())),
        None => Some(State::Refuse),
        Some(written) => {
            let title = format!("a request of `{}` names nothing that this could be about", dialect.as_str());
            reader.problem(Diagnostic::error(&at.with(written.span()), title).label("would have no effect"));
            None
        }
    }
}
