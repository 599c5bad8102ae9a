//! What `classify`, `eval` and `replay` have in common: a policy, an engine to judge on, an effort, and how refusals read.

use std::fmt::Display;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use crate::config::{self, Config, Diagnostic, Engine};
use crate::live::Engines;
use crate::policy::{Effort, Policy, Scope, Stage};
use crate::workbench::{Classifier, policies};

#[derive(Args)]
pub struct Chosen {
    /// The policy: its name in the policies' folder, or the path of its file
    #[arg(long)]
    pub policy: String,
    /// How long the model may reason before its answer
    #[arg(long, default_value = "low")]
    pub effort: Effort,
    /// The configuration that names the engines and the policies' folder [default: portcullis.toml, if it is there]
    #[arg(long)]
    config: Option<PathBuf>,
    /// An engine of the configuration [default: default]
    #[arg(long, conflicts_with = "model")]
    pub engine: Option<String>,
    /// The directory of a model, in place of an engine of the configuration
    #[arg(long)]
    pub model: Option<PathBuf>,
}

/// A configuration to take policies and engines from, and the engines that were started.
pub struct Desk {
    engines: Engines,
    config: Option<Config>,
}

/// Why nothing was judged, as it is printed.
pub struct Refused(pub String);

/// The exit code of what could not be done. Judging has 0 and 1 for its outcomes.
const REFUSED: u8 = 2;

const CONFIG: &str = "portcullis.toml";

impl Desk {
    pub fn open(chosen: &Chosen) -> Result<Self, Refused> {
        let there = Path::new(CONFIG).is_file() && chosen.model.is_none();
        let path = chosen.config.as_deref().or(there.then_some(Path::new(CONFIG)));
        // Nothing is sent to an upstream, so the secrets of those need not be there. A remote engine says itself that it wants
        // another than this.
        let env = |name: &str| Some(std::env::var(name).unwrap_or_else(|_| "none".to_owned()));
        let config = path.map(|path| config::load_with_env(path, &env)).transpose();
        let config = config.map_err(|error| Refused(error.render(colour())))?;
        Ok(Desk { engines: Engines::new(), config })
    }

    pub fn policy(&self, name: &str) -> Result<Arc<Policy>, Refused> {
        let folder = self.config.as_ref().map_or(Path::new("policies"), |config| &config.policies_dir);
        policies::find(folder, name).map_err(Refused::new)
    }

    /// The policy and the engine that are chosen.
    pub fn chosen(&self, chosen: &Chosen) -> Result<(Arc<Policy>, Arc<Engine>), Refused> {
        Ok((self.policy(&chosen.policy)?, self.engine(chosen.engine.as_deref(), chosen.model.as_deref())?))
    }

    /// The engine of this name, or of the model in this directory.
    pub fn engine(&self, name: Option<&str>, model: Option<&Path>) -> Result<Arc<Engine>, Refused> {
        if let Some(model) = model {
            return Ok(Arc::new(Engine::of_model(model)));
        }
        let Some(config) = &self.config else {
            return Err(Refused::new(format!(
                "there is no {CONFIG} here, and so no engine; name one with --config FILE, or a model with --model DIR"
            )));
        };
        let wanted = name.unwrap_or("default");
        config.engines.get(wanted).cloned().ok_or_else(|| {
            let known: Vec<&str> = config.engines.keys().map(|name| &**name).collect();
            let (known, way) = match (&known[..], name) {
                ([], _) => ("none".to_owned(), ": add one, or name a model with --model DIR"),
                (known, None) => (known.join(", "), ": name one with --engine NAME"),
                (known, Some(_)) => (known.join(", "), ""),
            };
            let wanted = wanted.escape_debug();
            Refused::new(format!("no engine is named `{wanted}`; the configuration has {known}{way}"))
        })
    }

    /// Starts the engine, if it does not run.
    pub fn classifier(&self, policy: &Arc<Policy>, engine: &Engine, effort: Effort) -> Result<Classifier, Refused> {
        if std::io::stderr().is_terminal() {
            eprintln!("policy {}, model {}, effort {}", policy.id, engine.run.model(), effort.as_str());
        }
        let failed = |problem: Diagnostic| Refused(problem.render(colour()));
        Classifier::new(&self.engines, engine, policy.clone(), effort).map_err(failed)
    }
}

impl Refused {
    pub fn new(error: impl Display) -> Self {
        Refused(format!("error: {error}"))
    }
}

/// The exit code of what was done; why it was not goes to standard error.
pub fn exit(outcome: Result<u8, Refused>) -> ExitCode {
    let code = outcome.unwrap_or_else(|Refused(why)| {
        eprintln!("{why}");
        REFUSED
    });
    ExitCode::from(code)
}

/// Does asynchronous work. An engine waits for its end where it is dropped, but not within a runtime.
pub fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Refused> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    Ok(runtime.map_err(|error| Refused::new(format!("can't start: {error}")))?.block_on(work))
}

/// A file's name without its folders.
pub fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Rows in columns, the first to the left and the others to the right.
pub fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(at, (cell, &width))| match at {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        format!("  {}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

fn colour() -> bool {
    std::io::stderr().is_terminal()
}

impl ValueEnum for Effort {
    fn value_variants<'a>() -> &'a [Self] {
        &[Effort::None, Effort::Low, Effort::Medium, Effort::High, Effort::Adaptive]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.as_str()))
    }
}

impl ValueEnum for Stage {
    fn value_variants<'a>() -> &'a [Self] {
        &[Stage::Input, Stage::Output]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.as_str()))
    }
}

impl ValueEnum for Scope {
    fn value_variants<'a>() -> &'a [Self] {
        &[Scope::LastUser, Scope::Conversation]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.as_str()))
    }
}
