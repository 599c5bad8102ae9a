//! Reads what the proxy has written to its audit file about an exchange.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

/// One line of the audit, as far as the demo shows it.
pub struct Verdict {
    pub stage: String,
    /// What the guardrails of the stage came to together.
    pub action: String,
    pub took_ms: f64,
    /// Guardrails that found nothing.
    pub clean: Vec<String>,
    /// Guardrails that were not heard to the end: another had blocked.
    pub unheard: Vec<String>,
    pub found: Vec<Finding>,
}

/// One outcome of one guardrail.
pub struct Finding {
    pub guardrail: String,
    pub engine: String,
    /// Or the word for what failed.
    pub label: String,
    pub action: String,
    pub took_ms: f64,
}

/// The end of the audit file.
pub struct Tail {
    path: PathBuf,
    from: u64,
}

/// The audit is written beside the traffic: so long without a new line means that all is there.
const QUIET: Duration = Duration::from_millis(200);
const STEP: Duration = Duration::from_millis(20);
/// Never waits longer than this. A guardrail's deadline in the deployment is shorter.
const PATIENCE: Duration = Duration::from_secs(15);

impl Tail {
    pub fn at_the_end(path: &Path) -> Self {
        let from = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        Tail { path: path.to_owned(), from }
    }

    /// The verdicts of the exchange with this id.
    pub async fn of(&mut self, id: &str) -> Vec<Verdict> {
        let mut text = String::new();
        let (mut quiet, mut waited) = (Duration::ZERO, Duration::ZERO);
        while quiet < QUIET && waited < PATIENCE {
            tokio::time::sleep(STEP).await;
            waited += STEP;
            let now = self.read();
            quiet = if now.len() == text.len() && !now.is_empty() { quiet + STEP } else { Duration::ZERO };
            text = now;
        }
        self.from += text.len() as u64;
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["exchange"] == id).filter_map(|line| Verdict::read(&line)).collect()
    }

    fn read(&self) -> String {
        let mut text = String::new();
        if let Ok(mut file) = std::fs::File::open(&self.path)
            && file.seek(SeekFrom::Start(self.from)).is_ok()
        {
            // What can't be read shows as missing verdicts.
            let _ = file.read_to_string(&mut text);
        }
        text
    }
}

impl Verdict {
    /// Nothing where the line tells of something else than a stage's decision.
    fn read(line: &Value) -> Option<Self> {
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let found: Vec<Finding> = list(&line["applied"])
            .map(|applied| Finding {
                guardrail: word(&applied["guardrail"]),
                engine: word(&applied["engine"]),
                label: applied["label"]
                    .as_str()
                    .map_or_else(|| format!("error: {}", word(&applied["error"])), str::to_owned),
                action: word(&applied["action"]),
                took_ms: applied["took_ms"].as_f64().unwrap_or_default(),
            })
            .collect();
        let silent = |asked: &&Value| !found.iter().any(|finding| asked["guardrail"] == finding.guardrail.as_str());
        let asked = list(&line["asked"]).filter(silent);
        let (clean, unheard): (Vec<_>, Vec<_>) = asked.partition(|asked| asked["answered"] == asked["segments"]);
        let names = |asked: Vec<&Value>| asked.into_iter().map(|asked| word(&asked["guardrail"])).collect();
        Some(Verdict {
            stage: line["stage"].as_str()?.to_owned(),
            action: word(&line["action"]),
            took_ms: line["took_ms"].as_f64().unwrap_or_default(),
            clean: names(clean),
            unheard: names(unheard),
            found,
        })
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
