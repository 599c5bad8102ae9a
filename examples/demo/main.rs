//! What `make demo` runs: a small upstream, the proxy in front of it on `portcullis.toml`, and a handful of requests whose
//! way through is printed. Then it keeps serving. With `DEMO_EXIT=1` it ends after the transcript, with exit code 0
//! only if every outcome was right.

mod audit;
mod client;
mod deployment;
mod process;
mod scenes;
mod transcript;

use std::process::ExitCode;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::deployment::Deployment;
use crate::process::Process;
use crate::transcript::Transcript;

#[tokio::main]
async fn main() -> ExitCode {
    let ended = tokio::select! {
        ended = run() => ended,
        // Leaving in order ends the programs that were started, too.
        () = told_to_stop() => Ok(if ends_by_itself() { ExitCode::FAILURE } else { ExitCode::SUCCESS }),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run() -> anyhow::Result<ExitCode> {
    let deployment = Deployment::read()?;
    deployment.check_ports()?;
    // Both end with this function, whichever way it is left.
    let mut upstream = Process::start("upstream", &deployment.upstream_command()?, 1).await?;
    let mut proxy = Process::start("portcullis", &deployment.proxy_command()?, 2).await?;

    let transcript = Transcript::new();
    transcript.opening(&deployment);
    let mut audit = audit::Tail::at_the_end(&deployment.audit);
    let mut wrong = Vec::new();
    for (number, scene) in (1..).zip(scenes::all()) {
        let seen = client::ask(deployment.proxy, &scene).await.with_context(|| format!("request {number}"))?;
        let verdicts = audit.of(seen.id()).await;
        let outcome = (scene.right)(&seen, &verdicts);
        transcript.scene(number, &scene, &seen, &verdicts, &outcome);
        if let Err(what) = outcome {
            wrong.push(format!("{number}. {}: {what}", scene.title));
        }
    }
    transcript.closing(&deployment, &wrong);
    if ends_by_itself() {
        return Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    transcript.by_hand(&deployment);
    Err(tokio::select! {
        gone = proxy.ended() => gone,
        gone = upstream.ended() => gone,
    })
}

fn ends_by_itself() -> bool {
    std::env::var_os("DEMO_EXIT").is_some_and(|value| value == "1")
}

async fn told_to_stop() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
