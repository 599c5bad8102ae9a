//! Guardrails: from their written form to one whose labels, actions and policy are known to fit together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;

use crate::config::cascade::{self, Then};
use crate::config::catalogue::Catalogue;
use crate::config::load::Reader;
use crate::config::patterns::{Patterns, patterns};
use crate::config::shape::{GuardrailShape, PatternsShape};
use crate::config::suggest::{list, meant};
use crate::config::{Diagnostic, Engine, Origin};
use crate::policy::{Action, Doubt, Effort, Label, Mode, OnError, Policy, Reasoning, Scope, Stage, Timing};

/// A guardrail, checked: every label that its detector can find has an action.
#[derive(Debug)]
pub struct Guardrail {
    pub id: Arc<str>,
    /// Distinct, at least one.
    pub stages: Vec<Stage>,
    pub judge: Judge,
    pub actions: BTreeMap<Label, Action>,
    pub masks: BTreeMap<Label, Arc<str>>,
    pub on_error: OnError,
    pub deadline: Duration,
    pub scope: Scope,
    pub mode: Mode,
    pub timing: Timing,
    /// Where its detector is set.
    pub origin: Origin,
}

/// What judges.
#[derive(Debug)]
pub enum Judge {
    /// Patterns, and who is asked after them where there is a doubt.
    Patterns(Patterns, Option<(Doubt, ByPolicy)>),
    Policy(ByPolicy),
}

/// A policy, and the classifiers that judge by it.
#[derive(Debug)]
pub struct ByPolicy {
    pub policy: Arc<Policy>,
    pub engine: Arc<Engine>,
    pub reasoning: Reasoning,
    /// Who is asked after it, in order, where there is a doubt.
    pub then: Vec<Then>,
    /// Where the policy is named.
    pub origin: Origin,
}

impl Judge {
    /// The policy by which it judges in the end; of patterns alone none.
    pub fn by_policy(&self) -> Option<&ByPolicy> {
        match self {
            Judge::Patterns(_, then) => then.as_ref().map(|(_, by)| by),
            Judge::Policy(by) => Some(by),
        }
    }
}

impl ByPolicy {
    /// Who is asked, in order.
    pub fn asked(&self) -> impl Iterator<Item = (&Arc<Engine>, Reasoning)> {
        let then = self.then.iter().map(|then| (&then.engine, then.reasoning));
        [(&self.engine, self.reasoning)].into_iter().chain(then)
    }
}

/// What the builder found out about the judge: itself, what it can find, and where it is set.
struct Found {
    judge: Judge,
    labels: BTreeSet<Label>,
    /// Labels that stand for nothing found.
    safe: BTreeSet<Label>,
    origin: Origin,
}

/// Checks a guardrail. `at` is where it stands.
pub fn guardrail(
    reader: &mut Reader<'_>,
    catalogue: &mut Catalogue,
    id: &str,
    at: &Origin,
    mut shape: GuardrailShape,
) -> Option<Arc<Guardrail>> {
    stages(reader, at, &shape)?;
    let found = match (shape.patterns.take(), shape.policy.take()) {
        (Some(written), None) => by_patterns(reader, catalogue, at, &mut shape, written)?,
        (None, Some(policy)) => by_policy(reader, catalogue, at, &mut shape, &policy)?,
        (None, None) => {
            let problem = Diagnostic::error(at, format!("guardrail `{id}` has nothing to judge by"));
            reader.problem(problem.label("expected exactly one of `policy = \"NAME\"` and `[patterns]`"));
            return None;
        }
        (Some(_), Some(policy)) => {
            let problem = Diagnostic::error(&at.with(policy.span()), format!("guardrail `{id}` has two judges"));
            let problem = problem.label("expected exactly one of `policy` and `[patterns]`");
            let problem = problem.help("make it two guardrails and name both in the route");
            reader.problem(
                problem.help("where patterns say whether a model is asked, its `policy` stands under [[then]]"),
            );
            return None;
        }
    };
    let actions = actions(reader, at, &shape, &found)?;
    let masks = masks(reader, at, &shape, &found, &actions)?;
    if let Judge::Patterns(_, Some((doubt, by))) = &found.judge {
        cascade::warn(reader, doubt, by, &actions);
    }
    Some(Arc::new(Guardrail {
        id: id.into(),
        stages: shape.stage.into_inner(),
        judge: found.judge,
        actions,
        masks,
        on_error: shape.on_error,
        deadline: shape.deadline,
        scope: shape.scope.map(Spanned::into_inner).unwrap_or_default(),
        mode: shape.mode,
        timing: shape.timing.map(Spanned::into_inner).unwrap_or_default(),
        origin: found.origin,
    }))
}

/// The stages, and the settings that only the input stage has.
fn stages(reader: &mut Reader<'_>, at: &Origin, shape: &GuardrailShape) -> Option<()> {
    let stages = shape.stage.get_ref();
    let at_stage = at.with(shape.stage.span());
    if stages.is_empty() || stages.iter().collect::<BTreeSet<_>>().len() < stages.len() {
        let problem = Diagnostic::error(&at_stage, "a guardrail stands at one stage or two, each named once");
        reader.problem(problem.label("expected [\"input\"], [\"output\"] or [\"input\", \"output\"]"));
        return None;
    }
    if stages.contains(&Stage::Input) {
        return Some(());
    }
    let set =
        [("scope", shape.scope.as_ref().map(Spanned::span)), ("timing", shape.timing.as_ref().map(Spanned::span))];
    for (key, span) in set.into_iter().filter_map(|(key, span)| Some((key, span?))) {
        let problem = Diagnostic::error(&at.with(span), format!("`{key}` has no meaning here"));
        let problem = problem.label("is about the input stage").other(&at_stage, "does not name it");
        reader.problem(problem.help(format!("leave `{key}` out, or add \"input\" to the stages")));
    }
    Some(())
}

fn by_patterns(
    reader: &mut Reader<'_>,
    catalogue: &mut Catalogue,
    at: &Origin,
    shape: &mut GuardrailShape,
    written: Spanned<PatternsShape>,
) -> Option<Found> {
    let origin = at.with(written.span());
    let set = [
        ("engine", shape.engine.as_ref().map(Spanned::span)),
        ("effort", shape.effort.as_ref().map(Spanned::span)),
        ("reasoning_tokens", shape.reasoning_tokens.as_ref().map(Spanned::span)),
        ("adaptive_margin", shape.adaptive_margin.as_ref().map(Spanned::span)),
    ];
    for (key, span) in set.into_iter().filter_map(|(key, span)| Some((key, span?))) {
        let problem = Diagnostic::error(&at.with(span), format!("`{key}` has no meaning here"));
        let problem = problem.label("is about a model").help("patterns are matched without a model: leave it out");
        reader.problem(problem.help("who is asked after them stands under [[then]]"));
    }
    let then = std::mem::take(&mut shape.then);
    let (patterns, mut labels) = patterns(reader, at, &origin, written.into_inner())?;
    let then = cascade::after_patterns(reader, catalogue, at, &labels, then)?;
    let mut safe = BTreeSet::new();
    if let Some((_, by)) = &then {
        let (nothing, found) = by_safety(&by.policy);
        (safe, labels) = (nothing, &labels | &found);
    }
    Some(Found { judge: Judge::Patterns(patterns, then), labels, safe, origin })
}

fn by_policy(
    reader: &mut Reader<'_>,
    catalogue: &mut Catalogue,
    at: &Origin,
    shape: &mut GuardrailShape,
    name: &Spanned<String>,
) -> Option<Found> {
    let origin = at.with(name.span());
    let policy = catalogue.policy(reader, name.get_ref(), &origin);
    let engine = catalogue.engine(reader, at, shape.engine.as_ref(), &origin);
    let (policy, engine) = (policy?, engine?);
    let reasoning = reasoning(reader, at, shape);
    let then = std::mem::take(&mut shape.then);
    let then = cascade::then(reader, catalogue, at, &policy, then)?;
    let (safe, labels) = by_safety(&policy);
    let judge = Judge::Policy(ByPolicy { policy, engine, reasoning, then, origin: origin.clone() });
    Some(Found { judge, labels, safe, origin })
}

/// The policy's labels that are safe, and those that are not.
fn by_safety(policy: &Policy) -> (BTreeSet<Label>, BTreeSet<Label>) {
    let names = |safe: bool| policy.labels.iter().filter(move |label| label.safe == safe).map(|l| l.label.clone());
    (names(true).collect(), names(false).collect())
}

/// The effort and its bounds; one that the effort does not have is a mistake.
fn reasoning(reader: &mut Reader<'_>, at: &Origin, shape: &GuardrailShape) -> Reasoning {
    let effort = shape.effort.as_ref().map_or(Effort::Low, |effort| *effort.get_ref());
    let set = [
        (
            "reasoning_tokens",
            shape.reasoning_tokens.as_ref().map(Spanned::span),
            effort != Effort::None,
            "does not reason",
        ),
        (
            "adaptive_margin",
            shape.adaptive_margin.as_ref().map(Spanned::span),
            effort == Effort::Adaptive,
            "is not `adaptive`",
        ),
    ];
    for (key, span, fits, why) in set {
        let Some(span) = span.filter(|_| !fits) else { continue };
        let problem = Diagnostic::error(&at.with(span), format!("`{key}` has no meaning here"));
        let problem = problem.label(format!("the effort `{}` {why}", effort.as_str()));
        reader.problem(problem.help(format!("leave `{key}` out, or choose another effort")));
    }
    let tokens = shape.reasoning_tokens.as_ref().map(|tokens| tokens.get_ref().0);
    let margin = shape.adaptive_margin.as_ref().map(|margin| margin.get_ref().0);
    Reasoning::new(effort, tokens, margin)
}

/// Stands under `[actions]` for every label that is not named there.
pub const DEFAULT: &str = "default";

/// An action for every label.
fn actions(
    reader: &mut Reader<'_>,
    at: &Origin,
    shape: &GuardrailShape,
    found: &Found,
) -> Option<BTreeMap<Label, Action>> {
    let mut out = BTreeMap::new();
    let mut default = None;
    let mut sound = true;
    let beside = shape.timing.as_ref().filter(|timing| *timing.get_ref() == Timing::Beside);
    for (name, action) in shape.actions.get_ref() {
        if let (Action::Redact, Some(timing)) = (action.get_ref(), beside) {
            let problem = Diagnostic::error(&at.with(action.span()), "a prompt judged `beside` can't be redacted");
            let problem = problem.label("comes too late").other(&at.with(timing.span()), "it has gone to the upstream");
            reader.problem(problem.help("use timing = \"before\", or another action than redact"));
            sound = false;
        }
        let label = Label::new(name.get_ref());
        if name.get_ref() == DEFAULT {
            default = Some(*action.get_ref());
        } else if found.labels.contains(&label) {
            out.insert(label, *action.get_ref());
        } else {
            reader.problem(unknown_label(at, name, found));
            sound = false;
        }
    }
    let open: Vec<&Label> = found.labels.iter().filter(|label| !out.contains_key(label)).collect();
    match default {
        Some(action) => {
            let rest: Vec<Label> = open.into_iter().cloned().collect();
            out.extend(rest.into_iter().map(|label| (label, action)));
        }
        // A name that was mistyped leaves its label open; that is one mistake, not two.
        None if sound && !open.is_empty() => {
            let names = list(open.iter().map(|label| label.as_str()));
            let (noun, verb) = if open.len() == 1 { ("label", "has") } else { ("labels", "have") };
            let title = format!("the {noun} {} {verb} no action", names.replace(" or ", " and "));
            let problem =
                Diagnostic::error(&at.with(shape.actions.span()), title).label("expected an action for every label");
            reader.problem(problem.other(&found.origin, "can find them").help(format!(
                "add {} = \"block\" (or allow, annotate, redact); `default = ..` stands for all labels not named",
                open[0]
            )));
            sound = false;
        }
        None => {}
    }
    sound.then_some(out)
}

/// Replacement texts, each for a label that is redacted.
fn masks(
    reader: &mut Reader<'_>,
    at: &Origin,
    shape: &GuardrailShape,
    found: &Found,
    actions: &BTreeMap<Label, Action>,
) -> Option<BTreeMap<Label, Arc<str>>> {
    let mut out = BTreeMap::new();
    let mut sound = true;
    for (name, mask) in &shape.masks {
        let label = Label::new(name.get_ref());
        match actions.get(&label) {
            Some(Action::Redact) => {
                out.insert(label, mask.as_str().into());
            }
            Some(other) => {
                let title = format!("the mask of `{label}` would never be used");
                let problem = Diagnostic::error(&at.with(name.span()), title);
                let label = format!("this label's action is `{}`", other.as_str());
                reader.problem(problem.label(label).help("only what is redacted has a mask"));
                sound = false;
            }
            None => {
                reader.problem(unknown_label(at, name, found));
                sound = false;
            }
        }
    }
    sound.then_some(out)
}

fn unknown_label(at: &Origin, name: &Spanned<String>, found: &Found) -> Diagnostic {
    let at = at.with(name.span());
    let shown = name.get_ref().escape_debug();
    if found.safe.contains(&Label::new(name.get_ref())) {
        let problem = Diagnostic::error(&at, format!("the label `{shown}` is safe, so it has no action"));
        return problem.label("stands for nothing found").help("leave it out: traffic that is safe goes on");
    }
    let known = found.labels.iter().map(Label::as_str);
    let problem =
        Diagnostic::error(&at, format!("no label is named `{shown}`")).label(meant(name.get_ref(), known.clone()));
    problem.other(&found.origin, "sets the labels").help(format!("labels of this guardrail: {}", list(known)))
}
