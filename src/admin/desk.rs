//! The desk: the workbench in a proxy that runs. It finds the policy that is meant, on the engine that its guardrail has, and
//! bounds what may be judged at once.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

use crate::admin::judges::{Brief, Judges};
use crate::admin::refused::Refused;
use crate::config::{Api, Config, Engine, EngineRun};
use crate::live::Reloader;
use crate::policy::{Effort, Policy, Reasoning};
use crate::telemetry::Telemetry;
use crate::workbench::Classifier;
use crate::workbench::policies::{self, FindError};

/// Requests that are judged at once: fewer than there are connections, so that health and metrics are heard beside them.
const JUDGING: usize = 16;
/// For one verdict. A large model on a CPU may need minutes to reason.
pub const WITHIN: Duration = Duration::from_secs(300);
/// Of a text that is white space and nothing else: nobody means to have that judged, and a verdict would call it safe.
pub const EMPTY: &str = "the text is empty: there is nothing to judge";
/// Bytes of a draft, at most. A policy of the guide's length has 3 KiB.
const DRAFT: usize = 64 << 10;

/// What the workbench's paths share.
pub struct Desk {
    reloader: Arc<Reloader>,
    telemetry: Arc<Telemetry>,
    /// Ids of the policies that texts are moderated by; none: those of the guardrails.
    moderations: Option<Vec<Arc<str>>>,
    judges: Judges,
    judging: Arc<Semaphore>,
}

/// Which policy is meant.
pub enum Meant {
    /// The one of this name.
    Named(String),
    /// A text of its own, on the engine and in the effort of the one of this name, where there is one.
    Draft { text: String, of: Option<String> },
}

impl Desk {
    pub fn new(reloader: Arc<Reloader>, telemetry: Arc<Telemetry>, moderations: Option<Vec<Arc<str>>>) -> Arc<Self> {
        let judging = Arc::new(Semaphore::new(JUDGING));
        Arc::new(Desk { reloader, telemetry, moderations, judges: Judges::default(), judging })
    }

    /// Lets go what a reload has left behind: a classifier that is kept would hold its engine. Until the desk is dropped.
    pub async fn follow(desk: Weak<Desk>) {
        let Some(mut status) = desk.upgrade().map(|desk| desk.reloader.subscribe()) else { return };
        while status.changed().await.is_ok() {
            let Some(desk) = desk.upgrade() else { return };
            desk.judges.begin(status.borrow_and_update().generation);
        }
    }

    /// Recent lines of the audit, as JSON.
    pub fn decisions(&self, after: u64) -> String {
        self.telemetry.recent.json(after)
    }

    /// Whether those lines hold texts.
    pub fn shows_content(&self) -> bool {
        self.telemetry.audit.content()
    }

    /// The configuration that serves.
    pub fn config(&self) -> Arc<Config> {
        self.reloader.config().1
    }

    /// The policies that texts are moderated by: each once.
    pub fn moderated(&self) -> Vec<Arc<str>> {
        match &self.moderations {
            Some(ids) => ids.clone(),
            None => {
                let config = self.config();
                let mut ids: Vec<_> = guarded(&config).map(|(policy, ..)| policy.id.clone()).collect();
                ids.sort();
                ids.dedup();
                ids
            }
        }
    }

    /// Leave to have a text judged, for as long as it is held.
    pub fn permit(&self) -> Result<OwnedSemaphorePermit, Refused> {
        self.judging.clone().try_acquire_owned().map_err(|_| Refused::Busy { limit: JUDGING })
    }

    /// What judges by this policy. `param` is where the policy is named. Without an `effort` it is that of its guardrail,
    /// else `otherwise`.
    pub async fn classifier(
        &self,
        meant: Meant,
        effort: Option<Effort>,
        otherwise: Effort,
        param: &'static str,
    ) -> Result<Arc<Classifier>, Refused> {
        let (generation, config) = self.reloader.config();
        // Reads files.
        let brief = spawn_blocking(move || brief(&config, meant, effort, otherwise, param));
        let brief = brief.await.map_err(|_| Refused::Internal)??;
        if let Some(kept) = self.judges.get(generation, &brief) {
            return Ok(kept);
        }
        let engines = self.reloader.engines().clone();
        // Encodes the policy, and starts the engine where no guardrail has.
        let made = spawn_blocking(move || {
            let made = Classifier::new(&engines, &brief.engine, brief.policy.clone(), brief.reasoning);
            (made.map(|made| Arc::new(made.within(WITHIN))), brief)
        });
        let (made, brief) = made.await.map_err(|_| Refused::Internal)?;
        let classifier = made.map_err(|problem| Refused::Unusable(problem.render(false)))?;
        self.judges.keep(generation, &brief, &classifier);
        Ok(classifier)
    }
}

/// The policies that guardrails judge by, as they do.
pub fn guarded(config: &Config) -> impl Iterator<Item = (&Arc<Policy>, &Arc<Engine>, Reasoning)> {
    let judged = config.guardrails.iter().filter_map(|guardrail| guardrail.judge.by_policy());
    judged.map(|by| (&by.policy, &by.engine, by.reasoning))
}

/// The same of the policy of this name.
pub fn as_guarded<'c>(config: &'c Config, id: &str) -> Option<(&'c Arc<Policy>, &'c Arc<Engine>, Reasoning)> {
    guarded(config).find(|(policy, ..)| *policy.id == *id)
}

/// The engine of policies that no guardrail has: the one called `default`, or the only one.
pub fn usual_engine(config: &Config) -> Option<&Arc<Engine>> {
    config.engines.get("default").or_else(|| config.engines.values().next().filter(|_| config.engines.len() == 1))
}

fn brief(
    config: &Config,
    meant: Meant,
    effort: Option<Effort>,
    otherwise: Effort,
    param: &'static str,
) -> Result<Brief, Refused> {
    let (policy, guarded, draft) = match meant {
        Meant::Named(id) => match as_guarded(config, &id) {
            Some(found) => (found.0.clone(), Some(found), false),
            None => (in_folder(config, &id, param)?, None, false),
        },
        Meant::Draft { text, of } => {
            if text.len() > DRAFT {
                let problem = format!("a draft has {DRAFT} bytes at most");
                return Err(Refused::Parameter { param: "policy_text", problem });
            }
            let policy = Policy::parse(of.as_deref().unwrap_or("draft"), &text).map_err(Refused::Draft)?;
            (Arc::new(policy), of.as_deref().and_then(|id| as_guarded(config, id)), true)
        }
    };
    let engine = guarded.map(|(_, engine, _)| engine).or_else(|| usual_engine(config));
    let engine = engine.ok_or_else(|| no_engine(config))?;
    // In words a model can't be asked before it has reasoned.
    let in_words = matches!(&engine.run, EngineRun::Remote(remote) if remote.api != Api::Tokens);
    if in_words && matches!(effort, Some(Effort::None | Effort::Adaptive)) {
        let name = &engine.name;
        let problem = format!("the engine `{name}` is asked in words: expected \"low\", \"medium\" or \"high\"");
        return Err(Refused::Parameter { param: "effort", problem });
    }
    let otherwise = if in_words && otherwise == Effort::None { Effort::Low } else { otherwise };
    // With the effort of its guardrail it has the guardrail's own bounds.
    let own = guarded.map(|(.., reasoning)| reasoning);
    let reasoning = match effort {
        Some(effort) => own.filter(|own| own.effort() == effort).unwrap_or(effort.into()),
        None => own.unwrap_or(otherwise.into()),
    };
    Ok(Brief { policy, engine: engine.clone(), reasoning, draft })
}

/// Why there is no usual engine.
fn no_engine(config: &Config) -> Refused {
    let names: Vec<String> = config.engines.keys().map(|name| format!("`{name}`")).collect();
    let names = names.join(", ");
    Refused::Unusable(match config.engines.is_empty() {
        true => "there is no engine: add [engine.default] with model = \"DIRECTORY\" to the configuration".into(),
        false => format!("no guardrail says on which engine, and of {names} none is named `default`: name one so"),
    })
}

/// A policy that no guardrail has.
fn in_folder(config: &Config, id: &str, param: &'static str) -> Result<Arc<Policy>, Refused> {
    let source = policies::source(&config.policies_dir, id).map_err(|error| match error {
        FindError::Unknown { .. } => Refused::NoPolicy { param },
        // It is there, and can't be read.
        error => Refused::Unusable(error.to_string()),
    })?;
    let faulty = |error| Refused::Unusable(format!("policies/{id}/policy.md: {error}"));
    Policy::parse(id, &source).map(Arc::new).map_err(faulty)
}
