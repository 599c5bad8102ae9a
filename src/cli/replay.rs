//! `portcullis replay`: recorded traffic judged under a policy, and what that would change.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::cli::desk::{self, Desk, Refused, columns};
use crate::policy::{Scope, Stage};
use crate::workbench::{self, Decision, Recorded, Replay, ReplayError, Replayed, Was, brief, short};

/// Changes that are shown; `--json` tells all.
const CHANGES: usize = 50;
/// Characters of a text.
const TEXT: usize = 60;

#[derive(Args)]
#[command(
    after_help = "Only decisions with their texts can be judged: an audit holds them where `content = true` was set under [audit]. What was \
    found then is what guardrails with a policy of the same name found; where there were none, what any guardrail found.\n\n\
    Exit code: 0 done, 2 the audit could not be read, or none of it could be judged."
)]
pub struct Arguments {
    #[command(flatten)]
    desk: desk::Chosen,
    /// The audit; `-` reads standard input
    audit: PathBuf,
    /// Compare with what this guardrail found
    #[arg(long)]
    guardrail: Option<String>,
    /// Which texts of a request are judged
    #[arg(long, default_value = "conversation")]
    scope: Scope,
    /// Judge this stage alone
    #[arg(long)]
    stage: Option<Stage>,
    /// Print one JSON object for each decision; the summary goes to standard error
    #[arg(long)]
    json: bool,
    /// Decisions that are judged at once
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    together: u16,
}

/// What was read of an audit.
#[derive(Default)]
struct Lines {
    read: u64,
    without_content: usize,
    beside: usize,
    /// Lines that are none of an audit, and the first of them.
    wrong: usize,
    first_wrong: Option<ReplayError>,
    /// Why the rest was not read.
    broken: Option<ReplayError>,
}

/// What came of it.
#[derive(Default)]
struct Counts {
    judged: usize,
    /// Decisions by what was found, and what would be.
    cells: BTreeMap<(usize, usize), usize>,
    changed: usize,
    changes: Vec<String>,
}

pub fn run(arguments: &Arguments) -> ExitCode {
    desk::exit(replay(arguments).map(|()| 0))
}

fn replay(arguments: &Arguments) -> Result<(), Refused> {
    let mut reader = open(arguments)?;
    let desk = Desk::open(&arguments.desk)?;
    let (policy, engine) = desk.chosen(&arguments.desk)?;
    let classifier = desk.classifier(&policy, &engine, arguments.desk.effort)?;
    let settings = Replay { guardrail: arguments.guardrail.clone(), scope: arguments.scope, stage: arguments.stage };
    let (mut lines, mut counts) = (Lines::default(), Counts::default());
    let decisions = std::iter::from_fn(|| lines.next(&settings, &mut reader, &policy.id));
    let told = |replayed: Replayed| counts.add(&replayed, arguments.json);
    desk::block_on(workbench::replay(&classifier, decisions, usize::from(arguments.together), told))?;

    let by = format!("policy {} ({}), effort {}", policy.id, short(&policy.digest), arguments.desk.effort.as_str());
    let summary = summary(&lines, &counts, &by);
    match arguments.json {
        true => eprint!("{summary}"),
        false => print!("{summary}"),
    }
    match lines.broken {
        Some(error) => {
            Err(Refused::new(format!("`{}` could not be read to its end: {error}", arguments.audit.display())))
        }
        None if counts.judged == 0 => Err(Refused::new("no decision could be judged")),
        None => Ok(()),
    }
}

fn open(arguments: &Arguments) -> Result<Box<dyn BufRead>, Refused> {
    if arguments.audit.as_os_str() == "-" {
        return Ok(Box::new(std::io::stdin().lock()));
    }
    let failed = |error| Refused::new(format!("can't read the audit `{}`: {error}", arguments.audit.display()));
    Ok(Box::new(BufReader::new(File::open(&arguments.audit).map_err(failed)?)))
}

impl Lines {
    /// The next decision that can be judged.
    fn next(&mut self, settings: &Replay, reader: &mut impl BufRead, policy: &str) -> Option<Decision> {
        loop {
            self.read += 1;
            match settings.next(reader, self.read, policy) {
                Ok(Some(Recorded::Decision(decision))) => return Some(decision),
                Ok(Some(Recorded::WithoutContent)) => self.without_content += 1,
                Ok(Some(Recorded::Beside)) => self.beside += 1,
                Ok(None) => return None,
                Err(error @ ReplayError::NotARecord { .. }) => {
                    self.wrong += 1;
                    self.first_wrong.get_or_insert(error);
                }
                Err(error @ ReplayError::Read { .. }) => {
                    self.broken = Some(error);
                    return None;
                }
            }
        }
    }
}

impl Counts {
    fn add(&mut self, replayed: &Replayed, json: bool) {
        let Replayed { decision: Decision { line, ts, exchange, stage, was, .. }, now, text } = replayed;
        self.judged += 1;
        *self.cells.entry((column(was), column(now))).or_default() += 1;
        let changed = was != now;
        self.changed += usize::from(changed);
        if json {
            println!(
                "{}",
                json!({"line": line, "ts": ts, "exchange": exchange, "stage": stage, "was": was, "now": now, "changed": changed})
            );
        } else if changed && self.changes.len() < CHANGES {
            let text =
                text.as_ref().or(replayed.decision.texts.last()).map(|text| brief(text, TEXT)).unwrap_or_default();
            let (was, now) = (word(was), word(now));
            self.changes.push(format!("  line {line}, {}: {was} -> {now}: {text}\n", stage.as_str()));
        }
    }
}

fn column(was: &Was) -> usize {
    match was {
        Was::Nothing => 0,
        Was::Found(_) => 1,
        Was::Failed(_) => 2,
    }
}

/// Words of an audit may be anybody's.
fn word(was: &Was) -> String {
    match was {
        Was::Nothing => "nothing".to_owned(),
        Was::Found(labels) => brief(&labels.join(" "), TEXT),
        Was::Failed(error) => format!("no verdict ({})", brief(error, TEXT)),
    }
}

fn summary(lines: &Lines, counts: &Counts, by: &str) -> String {
    let mut out = format!("{} decisions judged by {by}\n", counts.judged);
    let mut also = |count: usize, what: &str| {
        if count > 0 {
            out += &format!("{count} {what}\n");
        }
    };
    also(
        lines.without_content,
        "decisions have no content and could not be judged: set `content = true` under [audit] to record texts",
    );
    also(lines.beside, "lines left out: refusals and cuts, another stage, or nothing was asked there");
    also(lines.wrong, "lines are none of an audit");
    if let Some(error) = &lines.first_wrong {
        out += &format!("  the first: {}\n", brief(&error.to_string(), 120));
    }
    if counts.judged == 0 {
        return out;
    }
    const WORDS: [&str; 3] = ["nothing", "found", "no verdict"];
    let head = std::iter::once(String::new()).chain(WORDS.map(|word| format!("now {word}")));
    let row = |was: usize| {
        let cells = (0..WORDS.len()).map(|now| counts.cells.get(&(was, now)).copied().unwrap_or(0).to_string());
        std::iter::once(format!("was {}", WORDS[was])).chain(cells).collect()
    };
    let rows: Vec<Vec<String>> = std::iter::once(head.collect()).chain((0..WORDS.len()).map(row)).collect();
    out += &format!("\n{}\n{} decisions would change\n", columns(&rows), counts.changed);
    out.extend(counts.changes.iter().map(String::as_str));
    match counts.changed.saturating_sub(counts.changes.len()) {
        more if more > 0 && !counts.changes.is_empty() => out + &format!("  {more} more: --json tells all\n"),
        _ => out,
    }
}
