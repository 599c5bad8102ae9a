//! Engines: models that run, here or on servers, kept from one configuration to the next while their settings stay the same.

use std::sync::Arc;

use crate::config::{Config, Diagnostic, Engine, EngineRun, Handling, ModelRun, Origin};
use crate::guardrail::Detector;
use crate::live::clients::Clients;
use crate::policy::{Policy, Reasoning};
use crate::remote::{Client, EndpointReading};
use crate::telemetry::EngineReading;

/// The engines of this process. An engine lives for as long as a detector uses it: with the last exchange of the last
/// configuration that names it, it is gone.
#[derive(Default)]
pub struct Engines {
    #[cfg_attr(not(feature = "libtorch"), expect(dead_code, reason = "without libtorch there is no model to start"))]
    check_only: bool,
    clients: Clients,
    #[cfg(feature = "libtorch")]
    running: libtorch::Running,
}

impl Engines {
    pub fn new() -> Self {
        Engines::default()
    }

    /// Starts no model: for looking at a configuration without serving it. The detectors it gives on models answer with an
    /// error.
    pub fn unstarted() -> Self {
        Engines { check_only: true, ..Engines::default() }
    }

    /// What the engines that run have done.
    pub fn readings(&self) -> Vec<EngineReading> {
        #[cfg(feature = "libtorch")]
        return self.running.readings();
        #[cfg(not(feature = "libtorch"))]
        Vec::new()
    }

    /// What the endpoints of remote engines have done.
    pub fn endpoints(&self) -> Vec<EndpointReading> {
        self.clients.readings()
    }

    /// The client of a remote engine; nothing of one in this process.
    pub fn client(&self, engine: &Engine) -> Option<Result<Arc<Client>, Diagnostic>> {
        match &engine.run {
            EngineRun::Here(_) => None,
            EngineRun::Remote(remote) => Some(self.clients.get(engine, remote)),
        }
    }

    /// A detector that judges by `policy` on `engine`, which is started if it does not run. `at` names the policy.
    pub fn detector(
        &self,
        at: &Origin,
        engine: &Engine,
        policy: &Arc<Policy>,
        reasoning: Reasoning,
    ) -> Result<Arc<dyn Detector>, Diagnostic> {
        match &engine.run {
            EngineRun::Here(run) => self.here(at, engine, run, policy, reasoning),
            EngineRun::Remote(remote) => self.clients.detector(at, engine, remote, policy, reasoning),
        }
    }

    #[cfg(feature = "libtorch")]
    fn here(
        &self,
        at: &Origin,
        engine: &Engine,
        run: &ModelRun,
        policy: &Arc<Policy>,
        reasoning: Reasoning,
    ) -> Result<Arc<dyn Detector>, Diagnostic> {
        if self.check_only {
            return Ok(Arc::new(libtorch::Unstarted::new(policy, reasoning)));
        }
        let engine = self.running.get(engine, run)?;
        libtorch::detector(engine, at, policy, reasoning)
    }

    #[cfg(not(feature = "libtorch"))]
    fn here(
        &self,
        at: &Origin,
        _: &Engine,
        _: &ModelRun,
        _: &Arc<Policy>,
        _: Reasoning,
    ) -> Result<Arc<dyn Detector>, Diagnostic> {
        let problem = Diagnostic::error(at, "this program was built without libtorch, so it runs no model itself");
        let problem = problem.label("needs a model in this process");
        Err(problem.help(
            "build it with the feature `libtorch`, which is on by default; name an engine with `preset`, which is asked on its \
             server; or use [patterns]",
        ))
    }
}

/// What is missing of the models that the routes need, each once.
pub fn missing_models(config: &Config) -> Vec<Diagnostic> {
    let mut seen = std::collections::BTreeSet::new();
    let guardrails = config.routes.iter().flat_map(|route| match &route.handling {
        Handling::Inspect { guardrails, .. } => guardrails.as_slice(),
        Handling::Pass => &[],
    });
    guardrails
        .filter_map(|guardrail| guardrail.judge.by_policy())
        .flat_map(|by| by.asked().map(|(engine, _)| engine))
        .filter(|engine| seen.insert(&engine.name))
        .filter_map(|engine| missing(engine))
        .collect()
}

fn missing(engine: &Engine) -> Option<Diagnostic> {
    let EngineRun::Here(run) = &engine.run else { return None };
    let model = run.model.display();
    if ["config.json", "original/config.json"].iter().any(|file| run.model.join(file).is_file()) {
        return None;
    }
    let problem = Diagnostic::error(&engine.origin, format!("there is no model in `{model}`"));
    let problem = problem.label("expected the directory of a gpt-oss checkpoint: config.json and *.safetensors");
    Some(problem.help(format!(
        "for gpt-oss-safeguard: hf download openai/gpt-oss-safeguard-20b --exclude \"original/*\" --local-dir {model}"
    )))
}

#[cfg(feature = "libtorch")]
mod libtorch {
    //! What needs the model's code.

    use std::collections::HashMap;
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

    use async_trait::async_trait;

    use crate::config::{self, Diagnostic, ModelRun, Origin};
    use crate::detectors::safeguard::{self, ComputeSettings, EngineSettings, SafeguardDetector, Source};
    use crate::guardrail::{Ask, DetectError, Detector, Identity, PolicyRef, Verdict};
    use crate::policy::{Label, Policy, Reasoning};
    use crate::telemetry::EngineReading;

    #[derive(Default)]
    pub struct Running {
        /// Held while an engine starts, so that none is started twice.
        starting: Mutex<()>,
        /// By their settings, with the name that each was first started under.
        engines: Mutex<Started>,
    }

    type Started = HashMap<ModelRun, (Arc<str>, Weak<safeguard::Engine>)>;

    impl Running {
        /// The engine with these settings: the one that runs, or a new one.
        pub fn get(&self, engine: &config::Engine, run: &ModelRun) -> Result<Arc<safeguard::Engine>, Diagnostic> {
            // A panic while an engine was starting leaves all as it was.
            let _starting = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, engine)) = self.engines().get(run)
                && let Some(engine) = engine.upgrade()
            {
                return Ok(engine);
            }
            if let Some(problem) = super::missing(engine) {
                return Err(problem);
            }
            let started = safeguard::Engine::start(settings(run)).map_err(|error| {
                Diagnostic::error(&engine.origin, format!("the engine `{}` can't be started", engine.name))
                    .label(error.to_string())
            })?;
            self.engines().insert(run.clone(), (engine.name.clone(), Arc::downgrade(&started)));
            Ok(started)
        }

        pub fn readings(&self) -> Vec<EngineReading> {
            let engines = self.engines();
            let running = engines.values().filter_map(|(name, engine)| Some((name, engine.upgrade()?)));
            running.map(|(name, engine)| reading(name.clone(), engine.figures())).collect()
        }

        /// Those that still run.
        fn engines(&self) -> MutexGuard<'_, Started> {
            let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
            engines.retain(|_, (_, engine)| engine.strong_count() > 0);
            engines
        }
    }

    fn reading(name: Arc<str>, figures: safeguard::Snapshot) -> EngineReading {
        let safeguard::Snapshot {
            prompt_tokens,
            hit_tokens,
            computed_tokens,
            steps,
            evictions,
            preemptions,
            kv_bytes,
            kv_capacity,
            running,
            waiting,
        } = figures;
        EngineReading {
            name,
            prompt_tokens,
            hit_tokens,
            computed_tokens,
            steps,
            evictions,
            preemptions,
            kv_bytes,
            kv_capacity,
            running,
            waiting,
        }
    }

    fn settings(run: &ModelRun) -> EngineSettings {
        EngineSettings {
            model: Source::Directory(run.model.clone()),
            queue: run.queue,
            compute: ComputeSettings {
                device: run.device.to_string(),
                threads: run.threads,
                dtype: match run.dtype {
                    config::Dtype::Auto => safeguard::Dtype::Auto,
                    config::Dtype::Float32 => safeguard::Dtype::Float32,
                    config::Dtype::Bfloat16 => safeguard::Dtype::Bfloat16,
                },
                experts: match run.experts {
                    config::Experts::Auto => safeguard::ExpertFormat::Auto,
                    config::Experts::Packed => safeguard::ExpertFormat::Packed,
                    config::Experts::Bfloat16 => safeguard::ExpertFormat::Bfloat16,
                },
            },
            limits: safeguard::Limits {
                step_tokens: run.step_tokens,
                sequences: run.sequences,
                kv_bytes: run.kv_cache,
            },
        }
    }

    pub fn detector(
        engine: Arc<safeguard::Engine>,
        at: &Origin,
        policy: &Arc<Policy>,
        reasoning: Reasoning,
    ) -> Result<Arc<dyn Detector>, Diagnostic> {
        let detector = SafeguardDetector::new(engine, Arc::clone(policy), reasoning).map_err(|error| {
            Diagnostic::error(at, format!("the policy `{}` can't be judged on this engine", policy.id))
                .label(error.to_string())
        })?;
        Ok(Arc::new(detector))
    }

    /// Stands in for a detector whose engine was not started. Judges nothing.
    pub struct Unstarted {
        identity: Identity,
        labels: Vec<Label>,
    }

    impl Unstarted {
        pub fn new(policy: &Policy, reasoning: Reasoning) -> Self {
            let found = policy.labels.iter().filter(|label| !label.safe);
            Unstarted {
                identity: Identity {
                    engine: "unstarted",
                    model: "".into(),
                    policy: Some(PolicyRef { id: policy.id.clone(), digest: policy.digest.clone() }),
                    form: policy.form.as_str(),
                    reasoning,
                },
                labels: found.map(|label| label.label.clone()).collect(),
            }
        }
    }

    #[async_trait]
    impl Detector for Unstarted {
        async fn detect(&self, _: &Ask) -> Result<Verdict, DetectError> {
            Err(DetectError::Engine("the engine was not started".into()))
        }

        fn identity(&self) -> &Identity {
            &self.identity
        }

        fn labels(&self) -> &[Label] {
            &self.labels
        }
    }
}
