//! What of a sound configuration looks as if it judged more than it does.

use http::Method;

use crate::config::load::Reader;
use crate::config::{Diagnostic, Guardrail, Handling, Reach, Route};
use crate::policy::{Action, Mode};

/// Warns of routes that let by what somebody may think is judged.
pub fn warn(reader: &mut Reader<'_>, routes: &[Route]) {
    for route in routes {
        match &route.handling {
            Handling::Pass => around_the_judged(reader, route, routes),
            Handling::Inspect { guardrails, .. } => judged_in_vain(reader, route, guardrails.iter().map(|own| &**own)),
        }
    }
}

/// Whatever API an upstream has below the path, it takes prompts there, too.
fn around_the_judged(reader: &mut Reader<'_>, route: &Route, routes: &[Route]) {
    let sends = route.methods.iter().any(|method| [Method::POST, Method::PUT, Method::PATCH].contains(method));
    let same = |other: &&Route| {
        matches!(other.handling, Handling::Inspect { .. })
            && other.upstream.url.authority == route.upstream.url.authority
    };
    let Some(judged) = routes.iter().find(same).filter(|_| sends && route.path.reach() == Reach::Below) else { return };
    let title = format!("route `{}` passes bodies unjudged to any path below `{}`", route.id, route.path);
    let warning = Diagnostic::warning(&route.origin, title).label("may lead around what is judged");
    let warning = warning.other(&judged.origin, "the same upstream is judged here");
    reader.warning(warning.help("name the paths that are to pass, or leave only `GET` in `methods`"));
}

fn judged_in_vain<'g>(reader: &mut Reader<'_>, route: &Route, mut guardrails: impl Iterator<Item = &'g Guardrail>) {
    let in_vain = |guardrail: &Guardrail| {
        guardrail.mode == Mode::Observe || guardrail.actions.values().all(|action| *action == Action::Allow)
    };
    let Some(first) = guardrails.next() else { return };
    if in_vain(first) && guardrails.all(in_vain) {
        let title = format!("route `{}` lets everything by: its guardrails only observe or allow", route.id);
        reader.warning(Diagnostic::warning(&route.origin, title).label("nothing here blocks, redacts or annotates"));
    }
}
