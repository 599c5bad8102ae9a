//! `portcullis check`: reads a configuration as serving it would, and prints what it comes to.

use std::fmt::Write;
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use crate::cli::probe;
use crate::config::{self, ByPolicy, Config, Diagnostic, Guardrail, Handling, Judge, OnBlock, Route};
use crate::guardrail::VerdictCache;
use crate::live::{AssembleError, Engines, assemble, missing_models};
use crate::policy::{Action, Stage};
use crate::workbench::short;

/// Checks the configuration at `path`: the plan goes to standard output, mistakes and warnings to standard error. With
/// `probe` its engines are asked, too. The exit code is 1 where the configuration can't be served, or an engine gave no
/// verdict.
pub fn run(path: &Path, probe: bool) -> ExitCode {
    let colour = std::io::stderr().is_terminal();
    let config = match config::load(path) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{}", error.render(colour));
            return ExitCode::FAILURE;
        }
    };
    match warnings(&config) {
        Ok(warnings) => {
            warnings.iter().for_each(|warning| eprintln!("{}\n", warning.render(colour)));
            print!("{}", plan(&config));
            match !probe || probe::run(&config) {
                true => ExitCode::SUCCESS,
                false => ExitCode::FAILURE,
            }
        }
        Err(AssembleError(error)) => {
            eprintln!("{}", error.render(colour));
            ExitCode::FAILURE
        }
    }
}

/// Assembles the configuration without starting an engine. Gives what is odd about it; a model that is missing counts
/// as odd here, since it may lie on another machine.
pub fn warnings(config: &Config) -> Result<Vec<Diagnostic>, AssembleError> {
    assemble(config, 1, &Engines::unstarted(), Arc::new(VerdictCache::new(0)))?;
    let missing = missing_models(config).into_iter().map(Diagnostic::as_warning);
    Ok(config.warnings.iter().cloned().chain(missing).collect())
}

/// What the configuration comes to: routes, stages and guardrails.
pub fn plan(config: &Config) -> String {
    let mut out = String::new();
    let tls = config.server.tls.iter().map(|tls| format!("{} (TLS)", tls.listen));
    let listen: Vec<String> = config.server.listen.iter().map(ToString::to_string).chain(tls).collect();
    let audit = config.audit.as_ref().map_or("none".into(), |audit| audit.file.display().to_string());
    // Writing to a string can't fail; the same goes for the lines below.
    let _ = writeln!(out, "listen {}   admin {}   audit {audit}", listen.join(", "), config.admin.listen);
    let _ = writeln!(out, "configuration {}\n", short(&config.sources.digest()));
    for route in &config.routes {
        let _ = writeln!(out, "{}", headline(route));
        if let Handling::Inspect { guardrails, .. } = &route.handling {
            out.push_str(&table(guardrails));
        }
        out.push('\n');
    }
    out
}

fn headline(route: &Route) -> String {
    let methods: Vec<&str> = route.methods.iter().map(|method| method.as_str()).collect();
    let scheme = if route.upstream.url.tls { "https" } else { "http" };
    let host = route.upstream.url.authority.to_str().unwrap_or_default();
    let to = format!("{} ({scheme}://{host}{}{})", route.upstream.name, route.upstream.url.base_path, route.path);
    let how = match &route.handling {
        Handling::Pass => "passes, not judged".to_owned(),
        Handling::Inspect { dialect, on_block, pass_media, .. } => {
            let block = match on_block {
                OnBlock::Error => "an error",
                OnBlock::Message(_) => "a message",
            };
            let media: String = pass_media.iter().map(|kind| format!(", {} passes unjudged", kind.as_str())).collect();
            format!("{}, a block is {block}{media}", dialect.as_str())
        }
    };
    format!("route {}: {} {} -> {to}, {how}", route.id, methods.join(" "), route.path)
}

/// One line for each stage and guardrail, in columns.
fn table(guardrails: &[Arc<Guardrail>]) -> String {
    const HEAD: [&str; 9] =
        ["stage", "guardrail", "detector", "mode", "timing", "scope", "on error", "deadline", "actions"];
    let mut rows = vec![HEAD.map(str::to_owned)];
    for stage in [Stage::Input, Stage::Output] {
        let here: Vec<_> = guardrails.iter().filter(|guardrail| guardrail.stages.contains(&stage)).collect();
        if here.is_empty() {
            let mut row = HEAD.map(|_| "-".to_owned());
            row[0] = stage.as_str().to_owned();
            row[1] = "none".to_owned();
            rows.push(row);
        }
        rows.extend(here.into_iter().map(|guardrail| row(stage, guardrail)));
    }
    let mut widths = [0; HEAD.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    let line = |row: &[String; HEAD.len()]| {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("  {}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

fn row(stage: Stage, guardrail: &Guardrail) -> [String; 9] {
    let detector = match &guardrail.judge {
        Judge::Patterns(_, None) => "patterns".to_owned(),
        Judge::Patterns(_, Some((_, by))) => format!("patterns, then {}", policy(by)),
        Judge::Policy(by) => policy(by),
    };
    let (timing, scope) = match stage {
        Stage::Input => (guardrail.timing.as_str(), guardrail.scope.as_str()),
        Stage::Output => ("-", "-"),
    };
    [
        stage.as_str().to_owned(),
        guardrail.id.to_string(),
        detector,
        guardrail.mode.as_str().to_owned(),
        timing.to_owned(),
        scope.to_owned(),
        guardrail.on_error.as_str().to_owned(),
        format!("{:?}", guardrail.deadline),
        actions(guardrail),
    ]
}

/// `policy p@0123abcd on near, effort low, then on far, effort high`.
fn policy(by: &ByPolicy) -> String {
    let asked =
        by.asked().map(|(engine, reasoning)| format!("on {}, effort {}", engine.name, reasoning.effort().as_str()));
    let asked: Vec<String> = asked.collect();
    format!("policy {}@{} {}", by.policy.id, short(&by.policy.digest), asked.join(", then "))
}

/// `block: a b; redact: c`.
fn actions(guardrail: &Guardrail) -> String {
    let strongest_first = [Action::Block, Action::Redact, Action::Annotate, Action::Allow];
    let of = |action: Action| {
        let labels: Vec<&str> =
            guardrail.actions.iter().filter(|(_, of)| **of == action).map(|(label, _)| label.as_str()).collect();
        (!labels.is_empty()).then(|| format!("{}: {}", action.as_str(), labels.join(" ")))
    };
    strongest_first.into_iter().filter_map(of).collect::<Vec<_>>().join("; ")
}
