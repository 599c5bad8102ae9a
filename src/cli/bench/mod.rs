//! `portcullis bench`: what this machine makes of a part of the program. Benchmarks print; they judge nothing.

mod engine;
mod figures;
mod report;

use std::process::ExitCode;

use clap::Subcommand;

#[derive(Subcommand)]
pub enum Bench {
    /// The in-process engine: load, memory, prefill, decode, verdicts.
    Engine(engine::Arguments),
}

pub fn run(bench: &Bench) -> ExitCode {
    match bench {
        Bench::Engine(arguments) => engine::run(arguments),
    }
}
