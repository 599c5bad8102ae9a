//! The command line: `serve`, `check`, `classify`, `eval`, `replay` and `bench`.

#[cfg(feature = "libtorch")]
mod bench;
pub mod check;
mod classify;
mod desk;
mod eval;
mod probe;
mod replay;
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
        /// Ask every engine that a guardrail has one known text for each policy, and show what it makes of it
        #[arg(long)]
        probe: bool,
    },
    /// Judge one text by a policy: verdict, label, scores, reasoning and times.
    Classify(classify::Arguments),
    /// Judge labelled texts by a policy: how often it is right, what goes wrong, what another one would change.
    Eval(eval::Arguments),
    /// Judge recorded traffic by a policy: what would change.
    Replay(replay::Arguments),
    /// Measure a part of the program on this machine.
    #[cfg(feature = "libtorch")]
    #[command(subcommand)]
    Bench(bench::Bench),
}

/// Reads the arguments and does what they say.
pub fn run() -> ExitCode {
    match Arguments::parse().command {
        Command::Serve { config } => serve::run(&config),
        Command::Check { config, probe } => check::run(&config, probe),
        Command::Classify(arguments) => classify::run(&arguments),
        Command::Eval(arguments) => eval::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        #[cfg(feature = "libtorch")]
        Command::Bench(bench) => bench::run(&bench),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_command_is_sound() {
        Arguments::command().debug_assert();
    }
}
