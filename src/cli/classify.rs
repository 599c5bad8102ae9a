//! `portcullis classify`: what a policy makes of one text, and why.

use std::io::{IsTerminal, Read};
use std::process::ExitCode;

use clap::Args;

use crate::cli::desk::{self, Desk, Refused};
use crate::policy::{Label, Stage};
use crate::workbench::{Classification, Times, short, visible};

/// Bytes that are read at most: the engine judges less.
const MAX_TEXT: u64 = 8 << 20;

#[derive(Args)]
#[command(after_help = "Exit code: 0 the text is safe, 1 it violates the policy, 2 there is no verdict.")]
pub struct Arguments {
    #[command(flatten)]
    desk: desk::Chosen,
    /// Whether the text is a prompt or an answer
    #[arg(long, default_value = "input")]
    stage: Stage,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// The text; `-`, or none, reads standard input
    text: Option<String>,
}

pub fn run(arguments: &Arguments) -> ExitCode {
    desk::exit(classify(arguments).map(|found| {
        match arguments.json {
            // A map with keys that are no strings could make this an error: there is none.
            true => println!("{}", serde_json::to_string(&found).unwrap_or_default()),
            false => print!("{}", shown(&found)),
        }
        u8::from(!found.safe)
    }))
}

fn classify(arguments: &Arguments) -> Result<Classification, Refused> {
    let text = match arguments.text.as_deref() {
        None | Some("-") => standard_input()?,
        Some(text) => text.to_owned(),
    };
    if text.trim().is_empty() {
        return Err(Refused::new("the text is empty: there is nothing to judge"));
    }
    let desk = Desk::open(&arguments.desk)?;
    let (policy, engine) = desk.chosen(&arguments.desk)?;
    let classifier = desk.classifier(&policy, &engine, arguments.desk.effort)?;
    let found = desk::block_on(classifier.classify(arguments.stage, text, None))?;
    found.map_err(|error| Refused::new(format!("there is no verdict: {error}")))
}

fn standard_input() -> Result<String, Refused> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        eprintln!("reading the text from standard input; Ctrl-D ends it");
    }
    let mut text = String::new();
    let read = stdin.take(MAX_TEXT + 1).read_to_string(&mut text);
    read.map_err(|error| Refused::new(format!("can't read the text from standard input: {error}")))?;
    match text.len() as u64 > MAX_TEXT {
        true => Err(Refused::new(format!("the text is longer than {} MiB", MAX_TEXT >> 20))),
        false => Ok(text),
    }
}

/// For people, on a terminal: what the model quotes does nothing there.
fn shown(found: &Classification) -> String {
    let label = found.label.as_ref().map_or("", Label::as_str);
    let percent = |share: f32| format!("{:.1} %", 100.0 * share);
    let mut rows = vec![(
        if found.safe { "safe" } else { "violates" },
        format!("{label} {}", found.score.map(percent).unwrap_or_default()),
    )];
    let others: Vec<&str> = found.others.iter().map(Label::as_str).collect();
    rows.extend((!others.is_empty()).then(|| ("also", others.join(", "))));
    let scores = found.scores.iter().map(|(label, share)| format!("{label} {}", percent(*share)));
    rows.push(("scores", scores.collect::<Vec<_>>().join(", ")));
    rows.extend(found.category.as_ref().map(|category| ("category", visible(category))));
    rows.extend(found.confidence.map(|confidence| ("confidence", format!("{confidence:?}").to_lowercase())));
    rows.extend(found.rationale.as_ref().map(|rationale| ("rationale", visible(rationale))));
    rows.push(("reasoning", visible(found.reasoning.trim())));
    rows.extend(found.failed.as_ref().map(|failed| ("not judged", format!("a part of the text: {}", visible(failed)))));
    let (digest, model) = (short(&found.policy_digest), short(&found.model));
    let effort = found.effort.as_str();
    rows.push(("policy", format!("{} ({digest}), model {model}, effort {effort}", found.policy)));
    rows.push(("took", took(&found.times)));
    let rows = rows.into_iter().filter(|(_, value)| !value.trim().is_empty());
    // What has several lines goes on below itself.
    rows.map(|(name, value)| format!("{name:<11} {}\n", value.trim().replace('\n', "\n            "))).collect()
}

fn took(times: &Times) -> String {
    let Times { total, queue, prompt, prompt_tokens, kept_tokens } = times;
    let part = |name: &str, time: &Option<f64>| time.map(|time| format!("; {name} {time:.1} ms")).unwrap_or_default();
    let kept = match prompt_tokens {
        0 => String::new(),
        _ => format!("; {kept_tokens} of {prompt_tokens} prompt tokens were read before"),
    };
    format!("{total:.1} ms{}{}{kept}", part("queue", queue), part("prompt", prompt))
}
