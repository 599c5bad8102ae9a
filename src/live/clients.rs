//! Clients of remote engines, kept from one configuration to the next while their settings stay the same.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::config::{Api, Diagnostic, Engine, Origin, Remote};
use crate::detectors::safeguard::WordsDetector;
#[cfg(feature = "libtorch")]
use crate::detectors::safeguard::{SafeguardDetector, Served};
use crate::guardrail::Detector;
use crate::policy::{Policy, Reasoning};
use crate::remote::{Client, EndpointReading};

/// Those that a detector uses. What a client has learnt of its endpoints outlives a reload.
#[derive(Default)]
pub struct Clients {
    clients: Mutex<Vec<Weak<Client>>>,
    /// Those that are asked in token ids: their tokenizer and its grammars take a moment to make.
    #[cfg(feature = "libtorch")]
    served: Mutex<Vec<Weak<Served>>>,
}

impl Clients {
    /// A detector that judges by `policy` on the engine's servers. `at` names the policy.
    pub fn detector(
        &self,
        at: &Origin,
        engine: &Engine,
        settings: &Arc<Remote>,
        policy: &Arc<Policy>,
        reasoning: Reasoning,
    ) -> Result<Arc<dyn Detector>, Diagnostic> {
        if settings.api == Api::Tokens {
            return self.in_token_ids(at, engine, settings, policy, reasoning);
        }
        let client = self.get(engine, settings)?;
        let detector = WordsDetector::new(client, policy.clone(), reasoning)
            .map_err(|error| unjudged(at, engine, policy, &error))?;
        Ok(Arc::new(detector))
    }

    #[cfg(feature = "libtorch")]
    fn in_token_ids(
        &self,
        at: &Origin,
        engine: &Engine,
        settings: &Arc<Remote>,
        policy: &Arc<Policy>,
        reasoning: Reasoning,
    ) -> Result<Arc<dyn Detector>, Diagnostic> {
        let served = self.served(engine, settings)?;
        let detector = SafeguardDetector::new(served, policy.clone(), reasoning)
            .map_err(|error| unjudged(at, engine, policy, &error))?;
        Ok(Arc::new(detector))
    }

    #[cfg(not(feature = "libtorch"))]
    fn in_token_ids(
        &self,
        _: &Origin,
        engine: &Engine,
        _: &Arc<Remote>,
        _: &Arc<Policy>,
        _: Reasoning,
    ) -> Result<Arc<dyn Detector>, Diagnostic> {
        let title = format!(
            "this program was built without libtorch, so the engine `{}` can't be asked in token ids",
            engine.name
        );
        let problem =
            Diagnostic::error(&engine.origin, title).label("needs the model's tokenizer, which comes with it");
        Err(problem
            .help("build it with the feature `libtorch`, which is on by default; or leave `api` out, and ask in words"))
    }

    /// The model with these settings: the one that is there, or a new one.
    #[cfg(feature = "libtorch")]
    fn served(&self, engine: &Engine, settings: &Arc<Remote>) -> Result<Arc<Served>, Diagnostic> {
        let client = self.get(engine, settings)?;
        kept(
            &self.served,
            |served| Arc::ptr_eq(served.client(), &client),
            || {
                Served::new(client.clone()).map_err(|error| {
                    let title = format!("the tokenizer of the engine `{}` can't be used", engine.name);
                    Diagnostic::error(&engine.origin, title).label(error.to_string())
                })
            },
        )
    }

    /// What the endpoints of all clients have done.
    pub fn readings(&self) -> Vec<EndpointReading> {
        let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.iter().filter_map(Weak::upgrade).flat_map(|client| client.readings()).collect()
    }

    /// The client with these settings: the one that is there, or a new one.
    pub fn get(&self, engine: &Engine, settings: &Arc<Remote>) -> Result<Arc<Client>, Diagnostic> {
        kept(
            &self.clients,
            |client| client.settings() == settings,
            || {
                Client::new(engine.name.clone(), settings.clone()).map_err(|error| {
                    let title = format!("the engine `{}` can't be asked", engine.name);
                    Diagnostic::error(&engine.origin, title).label(error.to_string())
                })
            },
        )
    }
}

/// The one that is meant, where somebody uses it still, or a new one.
fn kept<T>(
    all: &Mutex<Vec<Weak<T>>>,
    is_meant: impl Fn(&T) -> bool,
    make: impl FnOnce() -> Result<T, Diagnostic>,
) -> Result<Arc<T>, Diagnostic> {
    // A panic under the lock leaves a list all the same.
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|one| one.strong_count() > 0);
    if let Some(known) = all.iter().filter_map(Weak::upgrade).find(|known| is_meant(known)) {
        return Ok(known);
    }
    let new = Arc::new(make()?);
    all.push(Arc::downgrade(&new));
    Ok(new)
}

fn unjudged(at: &Origin, engine: &Engine, policy: &Policy, error: &dyn ToString) -> Diagnostic {
    let title = format!("the policy `{}` can't be judged on the engine `{}`", policy.id, engine.name);
    Diagnostic::error(at, title).label(error.to_string())
}
