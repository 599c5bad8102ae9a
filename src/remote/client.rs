//! The client of one engine: puts a question to one of its endpoints and gives the model's answer.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::config::Remote;
use crate::remote::endpoint::{Endpoint, EndpointError};
use crate::remote::trust::{TrustError, trusting};
use crate::remote::{Answer, Failed, Question, RemoteError, form};

/// Asks a model on one server of several. Connections are kept from one question to the next.
pub struct Client {
    engine: Arc<str>,
    settings: Arc<Remote>,
    endpoints: Vec<Endpoint>,
    model: Arc<str>,
}

/// Why nothing could ever be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

impl Client {
    /// Connects to nobody yet. `engine` is its name, for people.
    pub fn new(engine: Arc<str>, settings: Arc<Remote>) -> Result<Self, StartError> {
        let tls = match settings.endpoints.iter().any(|endpoint| endpoint.url.tls) {
            true => Some(trusting(settings.ca.as_deref().map(Vec::as_slice))?),
            false => None,
        };
        let endpoint = |at: &_| Endpoint::new(at, &settings, tls.as_ref());
        let endpoints = settings.endpoints.iter().map(|at| endpoint(&at.url)).collect::<Result<_, _>>()?;
        let model = identity(&settings).into();
        Ok(Client { engine, settings, endpoints, model })
    }

    pub fn settings(&self) -> &Arc<Remote> {
        &self.settings
    }

    /// The model's id, and a digest of all that shapes a question and how its answer is read: the same wherever it is served.
    pub fn model(&self) -> &Arc<str> {
        &self.model
    }

    /// The model's answer. Dropping the future ends the exchange.
    pub async fn ask(&self, question: &Question<'_>) -> Result<Answer, Failed> {
        let asked = form::ask(&self.settings, question);
        let mut failed = self.failed(None, RemoteError::Refused);
        for endpoint in &self.endpoints {
            let body = endpoint.post(asked.path, asked.body.clone()).await;
            match body.and_then(|body| form::read(&self.settings, &body, question.max_tokens)) {
                Ok(answer) => return Ok(answer),
                Err(error) => failed = self.failed(Some(endpoint), error),
            }
            if !failed.error.before_answer() {
                break;
            }
        }
        Err(failed)
    }

    fn failed(&self, endpoint: Option<&Endpoint>, error: RemoteError) -> Failed {
        let endpoint = endpoint.map(|endpoint| endpoint.name().clone());
        Failed { engine: self.engine.clone(), endpoint, error }
    }
}

fn identity(settings: &Remote) -> String {
    let Remote { preset, model, api, policy_in, effort_in, schema, window, .. } = settings;
    let shape = format!("{} {} {policy_in:?} {effort_in:?} {schema} {window}", preset.as_str(), api.as_str());
    let digest: String = Sha256::digest(shape.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{model}@{digest}")
}
