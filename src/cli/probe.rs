//! `portcullis check --probe`: asks each engine that a guardrail has, and shows what it really does.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use crate::cli::desk::{Refused, block_on};
use crate::config::{Api, Config, Diagnostic, Engine, EngineRun, Remote};
use crate::live::Engines;
use crate::policy::{Label, Policy, Reasoning, Stage};
use crate::workbench::{Classifier, Data, Item, visible};

/// An engine has so long for an answer: it may load its model for the first one.
const WITHIN: Duration = Duration::from_secs(120);

/// Where a policy has no labelled texts beside it.
const HARMLESS: &str = "Good morning. Which bus goes to the station?";

/// Prints what each engine makes of one known text for each of its policies. False where one gave no verdict.
pub fn run(config: &Config) -> bool {
    let engines = Engines::new();
    let mut well = true;
    for (name, engine) in &config.engines {
        let guarded = guarded(config, name);
        if guarded.is_empty() {
            continue;
        }
        println!("engine {name}: {}", engine.run.model());
        for (policy, reasoning) in guarded {
            let told = ask(config, &engines, engine, &policy, reasoning);
            well &= told.is_ok();
            let told = told.unwrap_or_else(|why| why);
            println!("  policy {}, effort {}: {told}", policy.id, reasoning.effort().as_str());
        }
        if let EngineRun::Remote(settings) = &engine.run {
            // What is asked in token ids asks the server for no more than its verdicts have shown.
            if settings.api != Api::Tokens {
                println!("  {}", promised(&engines, engine, settings));
            }
            for endpoint in &settings.endpoints {
                println!("  endpoint {}", endpoint.url);
            }
        }
    }
    well
}

/// The policies that guardrails judge on this engine, each as they do, once.
fn guarded(config: &Config, name: &str) -> Vec<(Arc<Policy>, Reasoning)> {
    let mut found: Vec<(Arc<Policy>, Reasoning)> = Vec::new();
    for by in config.guardrails.iter().filter_map(|guardrail| guardrail.judge.by_policy()) {
        for (_, reasoning) in by.asked().filter(|(engine, _)| *engine.name == *name) {
            if !found.iter().any(|(known, with)| known.digest == by.policy.digest && *with == reasoning) {
                found.push((by.policy.clone(), reasoning));
            }
        }
    }
    found
}

/// The verdict on the policy's first labelled text, or why there is none.
fn ask(
    config: &Config,
    engines: &Engines,
    engine: &Engine,
    policy: &Arc<Policy>,
    reasoning: Reasoning,
) -> Result<String, String> {
    let data = Data::read(&config.policies_dir.join(&*policy.id).join("golden.jsonl"), &[policy]);
    let item = data.ok().and_then(|data| data.items.into_iter().next());
    let (text, stage) = item.as_ref().map_or((HARMLESS.into(), Stage::Input), |item| (item.text.clone(), item.stage));
    let classifier = Classifier::new(engines, engine, policy.clone(), reasoning).map_err(shown)?.within(WITHIN);
    let found = block_on(classifier.classify(stage, text, None)).map_err(|Refused(why)| why)?;
    let found = found.map_err(|error| format!("no verdict: {}", visible(&error.to_string())))?;
    let label = found.label.as_ref().map_or("safe", Label::as_str);
    let expected = match &item {
        Some(Item { expected, .. }) if expected.is_violation(policy) == found.safe => format!(", expected {expected}"),
        Some(_) => ", as expected".to_owned(),
        None => String::new(),
    };
    let reasoned = if found.reasoning.trim().is_empty() { "no reasoning told" } else { "reasoning told" };
    Ok(format!("{label}{expected}, {:.1} ms, {reasoned}", found.times.total))
}

/// What a server does of what it may promise.
fn promised(engines: &Engines, engine: &Engine, settings: &Remote) -> String {
    let features = engines.client(engine).map(|client| {
        let features = block_on(client.map_err(shown)?.features()).map_err(|Refused(why)| why)?;
        features.map_err(|error| error.to_string())
    });
    match features {
        Some(Ok(features)) => format!(
            "JSON schema {}, log-probabilities {}",
            kept(features.schema, settings.schema),
            kept(features.logprobs, settings.logprobs)
        ),
        Some(Err(why)) => format!("JSON schema and log-probabilities unknown: {why}"),
        None => String::new(),
    }
}

/// What a server does, beside what the configuration says of it.
fn kept(does: bool, said: bool) -> &'static str {
    match (does, said) {
        (true, true) => "yes",
        (true, false) => "yes, and not asked for",
        (false, true) => "NO, though the configuration says so",
        (false, false) => "no",
    }
}

fn shown(problem: Diagnostic) -> String {
    problem.render(std::io::stdout().is_terminal())
}
