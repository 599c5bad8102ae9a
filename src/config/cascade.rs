//! Cascades: the classifiers of a guardrail that are asked where the one before leaves a doubt.

use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use crate::config::catalogue::Catalogue;
use crate::config::load::Reader;
use crate::config::suggest::{list, meant};
use crate::config::value::{Count, Margin};
use crate::config::{Diagnostic, Engine, Origin};
use crate::policy::{Effort, Label, Nats, Policy, Reasoning};

/// Another classifier by the same policy.
#[derive(Debug)]
pub struct Then {
    /// The best label leads the second by less.
    pub margin: Option<Nats>,
    /// One of these was found, of the policy's labels that are not safe.
    pub found: Vec<Label>,
    /// Nothing was found.
    pub safe: bool,
    /// There is no verdict, or not on all of the text.
    pub error: bool,
    pub engine: Arc<Engine>,
    pub reasoning: Reasoning,
    /// Where it is set.
    pub origin: Origin,
}

/// As it is written: at least one condition, and who is asked then.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThenShape {
    pub margin: Option<Margin>,
    #[serde(default)]
    pub labels: Vec<Spanned<String>>,
    #[serde(default)]
    pub error: bool,
    pub engine: Option<Spanned<String>>,
    #[serde(default = "low")]
    pub effort: Effort,
    pub reasoning_tokens: Option<Count<{ 64 * 1024 }>>,
}

/// Checks one. `policy` is the guardrail's.
pub fn then(
    reader: &mut Reader<'_>,
    catalogue: &Catalogue,
    at: &Origin,
    policy: &Policy,
    shape: Spanned<ThenShape>,
) -> Option<Then> {
    let origin = at.with(shape.span());
    let ThenShape { margin, labels, error, engine, effort, reasoning_tokens } = shape.into_inner();
    if margin.is_none() && labels.is_empty() && !error {
        let problem = Diagnostic::error(&origin, "this classifier would never be asked");
        let problem = problem.label("expected a condition");
        reader.problem(problem.help("add margin = 3.0, labels = [..] or error = true: about the verdict before it"));
        return None;
    }
    let (mut found, mut safe) = (Vec::new(), false);
    for name in labels {
        match policy.labels.iter().find(|label| label.label.as_str() == name.get_ref()) {
            Some(label) if label.safe => safe = true,
            Some(label) => found.push(label.label.clone()),
            None => {
                let known = policy.labels.iter().map(|label| label.label.as_str());
                let title = format!("the policy `{}` has no label `{}`", policy.id, name.get_ref().escape_debug());
                let problem = Diagnostic::error(&at.with(name.span()), title);
                let problem = problem.label(meant(name.get_ref(), known.clone()));
                reader.problem(problem.help(format!("its labels: {}", list(known))));
                return None;
            }
        }
    }
    let engine = catalogue.engine(reader, at, engine.as_ref(), &origin)?;
    let reasoning = Reasoning::new(effort, reasoning_tokens.map(|tokens| tokens.0), None);
    Some(Then { margin: margin.map(|margin| margin.0), found, safe, error, engine, reasoning, origin })
}

fn low() -> Effort {
    Effort::Low
}
