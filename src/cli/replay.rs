//! `portcullis replay`: recorded traffic judged under a policy, and what that would change.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::cli::desk::{self, Desk, Refused, columns};
use crate::policy::{Scope, Stage};
use crate::workbench::{self, Audit, AuditError, Decision, Recorded, Replayed, Wanted, Was, With, brief, short};

/// Changes that are shown; `--json` tells all.
const CHANGES: usize = 50;
/// Characters of a text.
const TEXT: usize = 60;

#[derive(Args)]
#[command(
    after_help = "Only decisions with their texts can be judged: an audit holds them where `content = true` was set under [audit]. What was \
    found then is what guardrails with a policy of the same name found, and only what they were asked about is judged; where the \
    audit has none of them, what any guardrail found.\n\n\
    Exit code: 0 done, 2 the audit could not be read, or none of it could be judged."
)]
pub struct Arguments {
    #[command(flatten)]
    desk: desk::Chosen,
    /// The audit; `-` reads standard input, and keeps it in memory
    audit: PathBuf,
    /// Judge what this guardrail was asked about, and compare with what it found
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
    without_content: usize,
    again: usize,
    beside: usize,
    /// Lines that are none of an audit, and the first of them.
    wrong: usize,
    first_wrong: Option<AuditError>,
    /// Why the rest was not read.
    broken: Option<AuditError>,
}

/// An audit is read twice.
trait Rereadable: BufRead + Seek {}

impl<R: BufRead + Seek> Rereadable for R {}

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
    let file = open(&arguments.audit).map_err(|error| unreadable(arguments, &error))?;
    let desk = Desk::open(&arguments.desk)?;
    let (policy, engine) = desk.chosen(&arguments.desk)?;
    let with = arguments.guardrail.clone().map_or_else(|| With::Policy(policy.id.to_string()), With::Guardrail);
    let wanted = Wanted { scope: arguments.scope, stage: arguments.stage };
    let mut audit = Audit::open(file, with, wanted).map_err(|error| unreadable(arguments, &error))?;
    let classifier = desk.classifier(&policy, &engine, arguments.desk.effort)?;
    let (mut lines, mut counts) = (Lines::default(), Counts::default());
    let decisions = std::iter::from_fn(|| lines.next(&mut audit));
    let told = |replayed: Replayed| counts.add(&replayed, arguments.json);
    desk::block_on(workbench::replay(&classifier, decisions, usize::from(arguments.together), told))?;

    let by = format!("policy {} ({}), effort {}", policy.id, short(&policy.digest), arguments.desk.effort.as_str());
    let summary = summary(&lines, &counts, &by, &compared(audit.with(), &policy.id));
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

fn open(audit: &Path) -> io::Result<Box<dyn Rereadable>> {
    if audit.as_os_str() == "-" {
        return in_memory(io::stdin().lock());
    }
    let mut file = fs::File::open(audit)?;
    match file.stream_position() {
        Ok(_) => Ok(Box::new(BufReader::new(file))),
        // A pipe can be read once.
        Err(_) => in_memory(file),
    }
}

fn in_memory(mut from: impl Read) -> io::Result<Box<dyn Rereadable>> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes)?;
    Ok(Box::new(Cursor::new(bytes)))
}

fn unreadable(arguments: &Arguments, error: &dyn Display) -> Refused {
    Refused::new(format!("can't read the audit `{}`: {error}", arguments.audit.display()))
}

impl Lines {
    /// The next decision that can be judged.
    fn next(&mut self, audit: &mut Audit<Box<dyn Rereadable>>) -> Option<Decision> {
        loop {
            match audit.read() {
                Ok(Some(Recorded::Decision(decision))) => return Some(decision),
                Ok(Some(Recorded::Again)) => self.again += 1,
                Ok(Some(Recorded::WithoutContent)) => self.without_content += 1,
                Ok(Some(Recorded::Beside)) => self.beside += 1,
                Ok(None) => return None,
                Err(error @ AuditError::NotARecord { .. }) => {
                    self.wrong += 1;
                    self.first_wrong.get_or_insert(error);
                }
                Err(error @ AuditError::Read { .. }) => {
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
        Was::Found(labels) => brief(&labels.iter().map(String::as_str).collect::<Vec<_>>().join(" "), TEXT),
        Was::Failed(error) => format!("no verdict ({})", brief(error, TEXT)),
    }
}

/// Whose word of then is compared.
fn compared(with: &With, policy: &str) -> String {
    match with {
        With::Guardrail(id) => format!("compared with what the guardrail `{id}` found"),
        With::Policy(id) => format!("compared with what guardrails of the policy `{id}` found"),
        With::Any => format!(
            "compared with what any guardrail found, since none of the policy `{policy}` was asked; --guardrail names one"
        ),
    }
}

fn summary(lines: &Lines, counts: &Counts, by: &str, compared: &str) -> String {
    let mut out = format!("{} decisions judged by {by}\n{compared}\n", counts.judged);
    let mut also = |count: usize, what: &str| {
        if count > 0 {
            out += &format!("{count} {what}\n");
        }
    };
    also(
        lines.without_content,
        "decisions have no content and could not be judged: set `content = true` under [audit] to record texts",
    );
    also(lines.again, "lines tell more of a decision that has a line before: beside the upstream, or only observed");
    also(lines.beside, "lines left out: refusals and cuts, another stage, or nobody was asked whose word is compared");
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
