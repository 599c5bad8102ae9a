//! `portcullis eval`: how well a policy tells labelled texts apart, and what another policy, model or effort would change.

mod print;

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::desk::{self, Desk, Refused};
use crate::config::Engine;
use crate::policy::{Effort, Policy};
use crate::workbench::{self, Classifier, Data, Head, Judge, Line, Report, Results, Summary, Todo};

#[derive(Args)]
#[command(
    after_help = "With any --against option every text is judged a second time, by the same policy, engine and effort but for what these \
    say: A is what --policy, --engine or --model and --effort name, B is what it is compared with. Where one of two policies lacks a \
    label of the data, both are measured by violation.\n\n\
    Exit code: 0 done, 1 the macro F1 of A is under --min-f1, 2 the evaluation could not be made."
)]
pub struct Arguments {
    #[command(flatten)]
    desk: desk::Chosen,
    /// Labelled texts, one a line or row: JSON lines or CSV with a header. Fields: `text`; `violation` (0 or 1) or `label`;
    /// `stage` (`input` or `output`) if need be
    data: PathBuf,
    /// Compare with another policy
    #[arg(long, value_name = "POLICY")]
    against_policy: Option<String>,
    /// Compare with another engine of the configuration
    #[arg(long, value_name = "ENGINE", conflicts_with = "against_model")]
    against_engine: Option<String>,
    /// Compare with the model of another directory
    #[arg(long, value_name = "DIR")]
    against_model: Option<PathBuf>,
    /// Compare with another effort
    #[arg(long, value_name = "EFFORT")]
    against_effort: Option<Effort>,
    /// Fail where the macro F1 is less: 0 to 1
    #[arg(long, value_name = "F1", value_parser = share)]
    min_f1: Option<f64>,
    /// Write the results there, a line for each item; where it holds a part of them already, go on behind it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Judge those items of --out again that have no verdict there
    #[arg(long, requires = "out")]
    retry_failed: bool,
    /// Write a report of one page there
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print the summary as one JSON object
    #[arg(long)]
    json: bool,
    /// Texts that are judged at once
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    together: u16,
}

/// What a run is compared with.
struct Other {
    policy: Arc<Policy>,
    engine: Arc<Engine>,
    effort: Effort,
}

/// A run that is done.
struct Done {
    head: Head,
    data: Data,
    lines: Vec<Line>,
    a: (Arc<Policy>, Summary),
    b: Option<(Arc<Policy>, Summary)>,
}

pub fn run(arguments: &Arguments) -> ExitCode {
    desk::exit(evaluate(arguments).and_then(|done| tell(arguments, &done)))
}

fn evaluate(arguments: &Arguments) -> Result<Done, Refused> {
    let desk = Desk::open(&arguments.desk)?;
    let (policy, engine) = desk.chosen(&arguments.desk)?;
    let other = arguments.other(&desk, &policy, &engine)?;
    let policies: Vec<&Policy> =
        [Some(&*policy), other.as_ref().map(|other| &*other.policy)].into_iter().flatten().collect();
    let data = Data::read(&arguments.data, &policies).map_err(Refused::new)?;
    // Rather now than after hours that nobody could read of.
    arguments.html.as_deref().map(writable).transpose()?;

    let a = desk.classifier(&policy, &engine, arguments.desk.effort)?;
    let b = other.as_ref().map(|b| desk.classifier(&b.policy, &b.engine, b.effort)).transpose()?;
    let head = Head::new(&data, &a, b.as_ref());
    let lines = lines(arguments, &head, &data, &a, b.as_ref())?;
    let summary = |policy: &Arc<Policy>, of: &dyn Fn(&Line) -> Option<&workbench::Judged>| {
        let pairs = lines.iter().filter_map(|line| Some((&line.expected, of(line)?)));
        (policy.clone(), Summary::new(policy, data.has_labels(), pairs))
    };
    let a = summary(&policy, &|line| Some(&line.a));
    let b = other.as_ref().map(|other| summary(&other.policy, &|line| line.b.as_ref()));
    Ok(Done { a, b, head, data, lines })
}

impl Arguments {
    /// The other side, if there is one: like the first but for what the options say.
    fn other(&self, desk: &Desk, policy: &Arc<Policy>, engine: &Arc<Engine>) -> Result<Option<Other>, Refused> {
        let (name, model) = (self.against_engine.as_deref(), self.against_model.as_deref());
        let other_engine = name.is_some() || model.is_some();
        if self.against_policy.is_none() && self.against_effort.is_none() && !other_engine {
            return Ok(None);
        }
        let policy = self.against_policy.as_ref().map_or(Ok(policy.clone()), |other| desk.policy(other))?;
        let engine = if other_engine { desk.engine(name, model)? } else { engine.clone() };
        let effort = self.against_effort.unwrap_or(self.desk.effort);
        Ok(Some(Other { policy, engine, effort }))
    }
}

/// The lines of a run: those of its file, and those that are still to be judged.
fn lines(
    arguments: &Arguments,
    head: &Head,
    data: &Data,
    a: &Classifier,
    b: Option<&Classifier>,
) -> Result<Vec<Line>, Refused> {
    let opened = arguments.out.as_deref().map(|out| Results::open(out, head)).transpose().map_err(Refused::new)?;
    let (mut results, mut lines) = opened.map_or((None, Vec::new()), |(results, lines)| (Some(results), lines));
    let todo = Todo::left(&data.items, &lines, arguments.retry_failed);
    before(&lines, data.items.len(), todo.len());
    let bar = bar(data.items.len(), data.items.len() - todo.len());
    let run = workbench::run(a, b, todo, usize::from(arguments.together), |line| {
        if let Some(results) = &mut results {
            results.add(&line)?;
        }
        bar.inc(1);
        match lines.get_mut(line.item) {
            Some(known) => *known = line,
            None => lines.push(line),
        }
        Ok::<(), std::io::Error>(())
    });
    let ran = desk::block_on(run)?;
    bar.finish_and_clear();
    let settled = ran.and_then(|()| results.map_or(Ok(()), |results| results.settle(head, &lines)));
    settled.map_err(|error| Refused::new(format!("can't write the results: {error}")))?;
    Ok(lines)
}

/// Says what a run goes on with.
fn before(lines: &[Line], items: usize, todo: usize) {
    if lines.is_empty() {
        return;
    }
    let failed = lines.iter().filter(|line| line.has_failed()).count();
    let again = todo + lines.len() - items;
    let of_them = match (failed, again) {
        (0, _) => String::new(),
        (failed, 0) => format!("; {failed} of them have no verdict: --retry-failed judges these again"),
        (_, again) => format!("; {again} of them have no verdict and are judged again"),
    };
    eprintln!("{} of {items} items were judged before{of_them}", lines.len());
}

fn tell(arguments: &Arguments, done: &Done) -> Result<u8, Refused> {
    let Done { head, data, lines, a, b } = done;
    if let Some(path) = &arguments.html {
        let made = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let report = Report {
            head,
            data,
            lines,
            a: Judge { policy: &a.0, summary: &a.1 },
            b: b.as_ref().map(|(policy, summary)| Judge { policy, summary }),
            made,
        };
        fs::write(path, report.html()).map_err(|error| unwritable(path, &error))?;
    }
    match arguments.json {
        true => println!("{}", print::json(done)),
        false => print!("{}", print::text(done)),
    }
    if lines.iter().all(|line| line.a.given().is_none()) {
        return Err(Refused::new("not one item has a verdict"));
    }
    let f1 = a.1.macro_f1.unwrap_or(0.0);
    match arguments.min_f1.filter(|least| f1 < *least) {
        Some(least) => {
            eprintln!("the macro F1 is {f1:.3}, less than the {least} of --min-f1");
            Ok(1)
        }
        None => Ok(0),
    }
}

/// Hidden where standard error is no terminal.
fn bar(items: usize, done: usize) -> ProgressBar {
    let bar = ProgressBar::new(items as u64).with_position(done as u64);
    match ProgressStyle::with_template("{bar:40} {pos} of {len}, {per_sec}, {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Leaves no file behind: the run may fail yet.
fn writable(path: &Path) -> Result<(), Refused> {
    let options = || OpenOptions::new().write(true).clone();
    let tried = match options().create_new(true).open(path) {
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => options().open(path).map(drop),
        Err(error) => Err(error),
    };
    tried.map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Refused {
    Refused::new(format!("can't write the report `{}`: {error}", path.display()))
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "expected a number from 0 to 1".to_owned())
}
