//! Prints what happened, for people to read.

use std::io::IsTerminal;
use std::time::Duration;

use crate::audit::Verdict;
use crate::client::{self, Seen};
use crate::deployment::Deployment;
use crate::scenes::{self, Scene};

const WIDTH: usize = 112;
const INDENT: &str = "            ";

pub struct Transcript {
    colour: bool,
}

impl Transcript {
    pub fn new() -> Self {
        Transcript { colour: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() }
    }

    pub fn opening(&self, deployment: &Deployment) {
        println!();
        println!("{}", self.bold("Portcullis in front of a small chat server"));
        println!("  the proxy     http://{}", deployment.proxy);
        println!("  its metrics   http://{}/metrics", deployment.admin);
        println!("  its workbench http://{}/", deployment.admin);
        println!(
            "  the upstream  http://{}  (answers by rules: mostly it repeats what it was told)",
            deployment.upstream
        );
    }

    pub fn scene(&self, number: usize, scene: &Scene, seen: &Seen, verdicts: &[Verdict], outcome: &Result<(), String>) {
        println!();
        println!("{}", self.bold(&format!("{number}. {}", scene.title)));
        self.row("in", scene.prompt);
        let status = match (&seen.error_code, &seen.finish_reason) {
            (Some(code), _) => format!("{}, {code}", seen.status),
            (None, Some(reason)) => format!("{}, finish_reason {reason}", seen.status),
            (None, None) => seen.status.to_string(),
        };
        self.row("out", &status);
        self.row("", seen.text.trim_end());
        let ours = |name: &str| match seen.header(name) {
            "" => None,
            value => Some(format!("{name}: {value}")),
        };
        for line in ["x-portcullis-decision", "x-portcullis-guardrails"].into_iter().filter_map(ours) {
            self.row("", &self.dim(&line));
        }
        for (index, line) in verdict_lines(verdicts).iter().enumerate() {
            self.row(if index == 0 { "verdicts" } else { "" }, line);
        }
        let took = match scene.stream {
            true => format!("{} to the first byte, {} in all", millis(seen.first), millis(seen.took)),
            false => millis(seen.took),
        };
        self.row("took", &took);
        match outcome {
            Ok(()) => self.row("", &self.green("as it should be")),
            Err(what) => self.row("", &self.red(&format!("WRONG: {what}"))),
        }
    }

    pub fn closing(&self, deployment: &Deployment, wrong: &[String]) {
        println!();
        println!("The verdicts of prompt-injection came from safeguard-nano (libtorch), which read the policy in");
        println!(
            "policies/prompt-injection/policy.md. It is a stand-in, small enough to be here, and no safety model:"
        );
        println!("README.md says how to put gpt-oss-safeguard in its place. All others are patterns.");
        println!("The audit of all this: {}", deployment.audit.display());
        println!();
        if wrong.is_empty() {
            println!("{}", self.green("All outcomes were right."));
        }
        for what in wrong {
            println!("{}", self.red(&format!("WRONG: {what}")));
        }
    }

    pub fn by_hand(&self, deployment: &Deployment) {
        println!();
        println!("{}", self.bold("Try it by hand (Ctrl-C ends the demo)"));
        for scene in scenes::all() {
            let stream = if scene.stream { " -N" } else { "" };
            println!();
            println!(
                "  curl -i{stream} http://{}/v1/chat/completions -H 'content-type: application/json' \\",
                deployment.proxy
            );
            println!("    -d '{}'", client::body(&scene));
        }
        println!();
    }

    fn row(&self, name: &str, text: &str) {
        for (index, line) in wrapped(text).into_iter().enumerate() {
            let name = if index == 0 { name } else { "" };
            println!("  {name:<8}  {line}");
        }
    }

    fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    fn dim(&self, text: &str) -> String {
        self.paint("2", text)
    }

    fn green(&self, text: &str) -> String {
        self.paint("32", text)
    }

    fn red(&self, text: &str) -> String {
        self.paint("31", text)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// One line for each finding, and one for what found nothing; windows of an answer in which nothing was found are
/// counted together.
fn verdict_lines(verdicts: &[Verdict]) -> Vec<String> {
    let mut lines = Vec::new();
    for stage in ["input", "output"] {
        let of_stage = || verdicts.iter().filter(|verdict| verdict.stage == stage);
        let mut clean: Vec<(&[String], usize, f64)> = Vec::new();
        for verdict in of_stage().filter(|verdict| !verdict.clean.is_empty()) {
            match clean.iter_mut().find(|(who, ..)| *who == verdict.clean) {
                Some((_, times, took)) => (*times, *took) = (*times + 1, took.max(verdict.took_ms)),
                None => clean.push((&verdict.clean, 1, verdict.took_ms)),
            }
        }
        lines.extend(clean.into_iter().map(|(who, times, took)| match times {
            1 => format!("{stage:<6}  {}: nothing found, {took:.2} ms", who.join(", ")),
            _ => format!("{stage:<6}  {}: nothing found in {times} windows, {took:.2} ms at most", who.join(", ")),
        }));
        for verdict in of_stage() {
            lines.extend(verdict.found.iter().map(|found| {
                format!(
                    "{stage:<6}  {}: {} -> {}, {:.2} ms by {}",
                    found.guardrail, found.label, found.action, found.took_ms, found.engine
                )
            }));
            if !verdict.unheard.is_empty() {
                lines.push(format!("{stage:<6}  {}: not needed any more", verdict.unheard.join(", ")));
            }
        }
    }
    lines.dedup();
    lines
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// The text in lines of at most [`WIDTH`] characters; one without words is one empty line.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH - INDENT.len() {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
