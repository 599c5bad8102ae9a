//! The command line: `serve`, `check` and `bench`.

#[cfg(feature = "libtorch")]
mod bench;
pub mod check;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// An LLM guardrail reverse proxy.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve a configuration until SIGTERM or Ctrl-C; SIGHUP reloads it.
    Serve {
        #[arg(long, default_value = "portcullis.toml")]
        config: PathBuf,
    },
    /// Validate a configuration and print its plan: what is judged where, and what that leads to.
    Check {
        #[arg(long, default_value = "portcullis.toml")]
        config: PathBuf,
    },
    /// Measure a part of the program on this machine.
    #[cfg(feature = "libtorch")]
    #[command(subcommand)]
    Bench(bench::Bench),
}

/// Reads the arguments and does what they say.
pub fn run() -> ExitCode {
    match Arguments::parse().command {
        Command::Serve { config } => serve::run(&config),
        Command::Check { config } => check::run(&config),
        #[cfg(feature = "libtorch")]
        Command::Bench(bench) => bench::run(&bench),
    }
}
