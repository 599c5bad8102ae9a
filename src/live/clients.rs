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
    served: Mutex<Vec<(Arc<Remote>, Weak<Served>)>>,
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
        // As below.
        let mut all = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(_, served)| served.strong_count() > 0);
        let known = all.iter().find(|(known, _)| known == settings);
        if let Some(served) = known.and_then(|(_, served)| served.upgrade()) {
            return Ok(served);
        }
        let served = Served::new(client).map_err(|error| {
            let title = format!("the tokenizer of the engine `{}` can't be used", engine.name);
            Diagnostic::error(&engine.origin, title).label(error.to_string())
        })?;
        let served = Arc::new(served);
        all.push((settings.clone(), Arc::downgrade(&served)));
        Ok(served)
    }

    /// What the endpoints of all clients have done.
    pub fn readings(&self) -> Vec<EndpointReading> {
        let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.iter().filter_map(Weak::upgrade).flat_map(|client| client.readings()).collect()
    }

    /// The client with these settings: the one that is there, or a new one.
    pub fn get(&self, engine: &Engine, settings: &Arc<Remote>) -> Result<Arc<Client>, Diagnostic> {
        // A panic under the lock leaves a list of clients all the same.
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.retain(|client| client.strong_count() > 0);
        if let Some(known) = clients.iter().filter_map(Weak::upgrade).find(|client| client.settings() == settings) {
            return Ok(known);
        }
        let client = Client::new(engine.name.clone(), settings.clone()).map_err(|error| {
            let title = format!("the engine `{}` can't be asked", engine.name);
            Diagnostic::error(&engine.origin, title).label(error.to_string())
        })?;
        let client = Arc::new(client);
        clients.push(Arc::downgrade(&client));
        Ok(client)
    }
}

fn unjudged(at: &Origin, engine: &Engine, policy: &Policy, error: &dyn ToString) -> Diagnostic {
    let title = format!("the policy `{}` can't be judged on the engine `{}`", policy.id, engine.name);
    Diagnostic::error(at, title).label(error.to_string())
}
