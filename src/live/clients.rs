//! Clients of remote engines, kept from one configuration to the next while their settings stay the same.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::config::{Diagnostic, Engine, Origin, Remote};
use crate::detectors::safeguard::WordsDetector;
use crate::guardrail::Detector;
use crate::policy::{Policy, Reasoning};
use crate::remote::{Client, EndpointReading};

/// Those that a detector uses. What a client has learnt of its endpoints outlives a reload.
#[derive(Default)]
pub struct Clients(Mutex<Vec<Weak<Client>>>);

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
        let client = self.get(engine, settings)?;
        let detector = WordsDetector::new(client, policy.clone(), reasoning).map_err(|error| {
            let title = format!("the policy `{}` can't be judged on the engine `{}`", policy.id, engine.name);
            Diagnostic::error(at, title).label(error.to_string())
        })?;
        Ok(Arc::new(detector))
    }

    /// What the endpoints of all clients have done.
    pub fn readings(&self) -> Vec<EndpointReading> {
        let clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        clients.iter().filter_map(Weak::upgrade).flat_map(|client| client.readings()).collect()
    }

    /// The client with these settings: the one that is there, or a new one.
    pub fn get(&self, engine: &Engine, settings: &Arc<Remote>) -> Result<Arc<Client>, Diagnostic> {
        // A panic under the lock leaves a list of clients all the same.
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
