//! Cascades: who is asked where the verdict before leaves a doubt: after patterns, and after another classifier.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use crate::config::catalogue::Catalogue;
use crate::config::guardrail::ByPolicy;
use crate::config::load::Reader;
use crate::config::suggest::{list, meant};
use crate::config::value::{Count, Margin};
use crate::config::{Diagnostic, Engine, Origin};
use crate::policy::{Action, Doubt, Effort, Label, Policy, Reasoning};

/// Another classifier by the same policy.
#[derive(Debug)]
pub struct Then {
    /// About the verdict before it.
    pub doubt: Doubt,
    pub engine: Arc<Engine>,
    pub reasoning: Reasoning,
    /// Where it is set.
    pub origin: Origin,
}

/// As it is written: at least one condition, and who is asked then.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThenShape {
    pub margin: Option<Spanned<Margin>>,
    #[serde(default)]
    pub labels: Vec<Spanned<String>>,
    #[serde(default)]
    pub nothing: bool,
    #[serde(default)]
    pub error: bool,
    pub policy: Option<Spanned<String>>,
    pub engine: Option<Spanned<String>>,
    #[serde(default = "low")]
    pub effort: Effort,
    pub reasoning_tokens: Option<Count<{ 64 * 1024 }>>,
}

/// Checks those that follow a classifier by this policy.
pub fn then(
    reader: &mut Reader<'_>,
    catalogue: &Catalogue,
    at: &Origin,
    policy: &Policy,
    shapes: Vec<Spanned<ThenShape>>,
) -> Option<Vec<Then>> {
    let before = Before {
        whose: format!("the policy `{}` has no label", policy.id),
        labels: policy.labels.iter().map(|label| (&label.label, label.safe)).collect(),
    };
    let mut all = Vec::with_capacity(shapes.len());
    for shape in shapes {
        let origin = at.with(shape.span());
        let shape = shape.into_inner();
        if let Some(named) = &shape.policy {
            let problem = Diagnostic::error(&at.with(named.span()), "`policy` has no meaning here");
            let problem = problem.label(format!("the classifier before it judges by `{}`", policy.id));
            reader.problem(problem.help("all classifiers of a guardrail judge by one policy: leave it out"));
            return None;
        }
        let doubt = doubt(reader, at, &origin, &shape, &before)?;
        let engine = catalogue.engine(reader, at, shape.engine.as_ref(), &origin)?;
        all.push(Then { doubt, engine, reasoning: shape.reasoning(), origin });
    }
    Some(all)
}

/// Checks those that follow patterns which find these labels. The first of them names the policy.
pub fn after_patterns(
    reader: &mut Reader<'_>,
    catalogue: &mut Catalogue,
    at: &Origin,
    labels: &BTreeSet<Label>,
    shapes: Vec<Spanned<ThenShape>>,
) -> Option<Option<(Doubt, ByPolicy)>> {
    let mut shapes = shapes.into_iter();
    let Some(shape) = shapes.next() else { return Some(None) };
    let origin = at.with(shape.span());
    let shape = shape.into_inner();
    if let Some(margin) = &shape.margin {
        let problem = Diagnostic::error(&at.with(margin.span()), "`margin` has no meaning here");
        let problem = problem.label("is about scores, and patterns tell none");
        reader.problem(problem.help("use labels = [..] or nothing = true: about what the patterns find"));
        return None;
    }
    let before = Before {
        whose: "no pattern of this guardrail finds".to_owned(),
        labels: labels.iter().map(|label| (label, false)).collect(),
    };
    let doubt = doubt(reader, at, &origin, &shape, &before)?;
    let Some(named) = &shape.policy else {
        let problem = Diagnostic::error(&origin, "this classifier has nothing to judge by");
        reader.problem(
            problem.label("expected `policy = \"NAME\"`").help("patterns come before it, which have no policy"),
        );
        return None;
    };
    let origin = at.with(named.span());
    let policy = catalogue.policy(reader, named.get_ref(), &origin);
    let engine = catalogue.engine(reader, at, shape.engine.as_ref(), &origin);
    let (policy, engine) = (policy?, engine?);
    if let Some(both) = policy.labels.iter().find(|label| labels.contains(&label.label)) {
        let title = format!("the patterns and the policy `{}` both have the label `{}`", policy.id, both.label);
        let problem = Diagnostic::error(&origin, title).label("it would not be known who has found it");
        reader.problem(problem.help("give the patterns another label"));
        return None;
    }
    let then = then(reader, catalogue, at, &policy, shapes.collect())?;
    Some(Some((doubt, ByPolicy { policy, engine, reasoning: shape.reasoning(), then, origin })))
}

/// Warns where what the patterns find keeps the policy from being asked, and does not stop the text either: whoever writes it
/// gets past the policy.
pub fn warn(reader: &mut Reader<'_>, doubt: &Doubt, by: &ByPolicy, actions: &BTreeMap<Label, Action>) {
    let ends =
        |label: &Label| by.policy.labels.iter().any(|known| known.label == *label) || doubt.found.contains(label);
    let open = actions.iter().find(|(label, action)| **action != Action::Block && !ends(label));
    let Some((label, _)) = open.filter(|_| doubt.safe) else { return };
    let title = format!("a text in which `{label}` is found is not judged by the policy `{}`", by.policy.id);
    let warning = Diagnostic::warning(&by.origin, title).label("is asked where nothing is found");
    reader.warning(warning.help(format!("add labels = [\"{label}\"], or make it a guardrail of its own")));
}

/// What the one before can have found.
struct Before<'a> {
    /// Begins the words that it has no such label.
    whose: String,
    /// Each with whether it stands for nothing found.
    labels: Vec<(&'a Label, bool)>,
}

fn doubt(
    reader: &mut Reader<'_>,
    at: &Origin,
    origin: &Origin,
    shape: &ThenShape,
    before: &Before<'_>,
) -> Option<Doubt> {
    let margin = shape.margin.as_ref().map(|margin| margin.get_ref().0);
    if margin.is_none() && shape.labels.is_empty() && !shape.nothing && !shape.error {
        let problem = Diagnostic::error(origin, "this classifier would never be asked").label("expected a condition");
        let conditions = "add margin = 3.0, labels = [..], nothing = true or error = true: about the verdict before it";
        reader.problem(problem.help(conditions));
        return None;
    }
    let mut doubt = Doubt { margin, found: Vec::new(), safe: shape.nothing, error: shape.error };
    for name in &shape.labels {
        match before.labels.iter().find(|(label, _)| label.as_str() == name.get_ref()) {
            Some((_, true)) => doubt.safe = true,
            Some((label, false)) => doubt.found.push((*label).clone()),
            None => {
                let known = before.labels.iter().map(|(label, _)| label.as_str());
                let title = format!("{} `{}`", before.whose, name.get_ref().escape_debug());
                let problem = Diagnostic::error(&at.with(name.span()), title);
                let problem = problem.label(meant(name.get_ref(), known.clone()));
                reader.problem(problem.help(format!("its labels: {}", list(known))));
                return None;
            }
        }
    }
    Some(doubt)
}

impl ThenShape {
    fn reasoning(&self) -> Reasoning {
        Reasoning::new(self.effort, self.reasoning_tokens.as_ref().map(|tokens| tokens.0), None)
    }
}

fn low() -> Effort {
    Effort::Low
}
