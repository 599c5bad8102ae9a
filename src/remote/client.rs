//! The client of one engine: puts a question to one of its endpoints, to another where that one is gone or slow, and gives the
//! model's answer.

use std::sync::{Arc, Once, Weak};
use std::time::Duration;

use futures_util::future::{Either, join_all, select};
use futures_util::pin_mut;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep, timeout};

use crate::config::Remote;
use crate::policy::Effort;
use crate::remote::choice::Ring;
use crate::remote::endpoint::{Endpoint, EndpointError};
use crate::remote::form::{self, Asked, tokens};
use crate::remote::replica::Replica;
use crate::remote::room::{Full, Room, Slot};
use crate::remote::trust::{TrustError, trusting};
use crate::remote::{Answer, Beginning, Continuation, EndpointReading, Failed, Proof, Question, RemoteError};

/// Endpoints are looked at so often, where there is more than one to choose from.
const CHECKS: Duration = Duration::from_secs(5);

/// Asks a model on one server of several. Connections are kept from one question to the next.
pub struct Client {
    engine: Arc<str>,
    settings: Arc<Remote>,
    replicas: Vec<Replica>,
    ring: Ring,
    model: Arc<str>,
    room: Arc<Room>,
    checks: Once,
}

/// Why nothing could ever be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

/// What a server does, whatever its preset says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features {
    /// It holds an answer to a JSON schema.
    pub schema: bool,
    /// It tells the log-probabilities of an answer's tokens.
    pub logprobs: bool,
}

/// A replica that failed the ask, and how.
type Failure = (usize, RemoteError);

impl Client {
    /// Connects to nobody yet. `engine` is its name, for people.
    pub fn new(engine: Arc<str>, settings: Arc<Remote>) -> Result<Self, StartError> {
        let tls = match settings.endpoints.iter().any(|at| at.url.tls) {
            true => Some(trusting(settings.ca.as_deref().map(Vec::as_slice))?),
            false => None,
        };
        let mut replicas = Vec::with_capacity(settings.endpoints.len());
        for at in &settings.endpoints {
            replicas.push(Replica::new(Endpoint::new(&at.url, &settings, tls.as_ref())?));
        }
        let weights = settings.endpoints.iter().map(|at| at.weight);
        let ring = Ring::new(replicas.iter().map(|replica| &**replica.endpoint.name()).zip(weights));
        let model = identity(&settings).into();
        let room = Room::new(settings.endpoints.iter().map(|at| at.concurrency), settings.queue);
        Ok(Client { engine, settings, replicas, ring, model, room, checks: Once::new() })
    }

    pub fn settings(&self) -> &Arc<Remote> {
        &self.settings
    }

    /// The model's id, and a digest of all that shapes a question and how its answer is read: the same wherever it is served.
    pub fn model(&self) -> &Arc<str> {
        &self.model
    }

    /// Of every endpoint.
    pub fn readings(&self) -> Vec<EndpointReading> {
        let now = Instant::now();
        let running = (0..self.replicas.len()).map(|at| self.room.running(at));
        let replicas = self.replicas.iter().zip(running);
        replicas.map(|(replica, running)| replica.reading(&self.engine, running, now)).collect()
    }

    /// Tries what a server may promise and not keep. Takes two answers of the model.
    pub async fn features(self: &Arc<Self>) -> Result<Features, Failed> {
        let schema = form::unasked();
        let question = Question {
            policy: "Answer with one word.",
            text: "Say yes.",
            effort: Effort::Low,
            max_tokens: 512,
            schema: Some(&schema),
            logprobs: false,
            urgent: false,
        };
        let held = self.ask("", &question).await;
        let told = self.ask("", &Question { schema: None, logprobs: true, ..question }).await?;
        Ok(Features {
            schema: held.is_ok_and(|answer| form::is_unasked(&answer.content)),
            logprobs: told.tokens.iter().any(|token| !token.likeliest.is_empty()),
        })
    }

    /// The model's answer. Questions of one `key` go to one endpoint for as long as it is there. Dropping the future ends the
    /// exchange.
    pub async fn ask(self: &Arc<Self>, key: &str, question: &Question<'_>) -> Result<Answer, Failed> {
        let read = |body: &[u8]| form::read(&self.settings, body, question.max_tokens);
        self.exchange(key, &form::ask(&self.settings, question), question.urgent, None, &read).await
    }

    /// What the model goes on with, as `judge` takes it. As [`Self::ask`], but that an endpoint has to show first that its tokens
    /// are those of the `proof`.
    pub async fn go_on<T>(
        self: &Arc<Self>,
        key: &str,
        beginning: &Beginning<'_>,
        proof: &Proof,
        judge: impl Fn(Continuation) -> Result<T, RemoteError> + Sync,
    ) -> Result<T, Failed> {
        let read = |body: &[u8]| tokens::read(&self.settings, beginning, body).and_then(&judge);
        self.exchange(key, &tokens::ask(&self.settings, beginning), beginning.urgent, Some(proof), &read).await
    }

    async fn exchange<T>(
        self: &Arc<Self>,
        key: &str,
        asked: &Asked,
        urgent: bool,
        proof: Option<&Proof>,
        read: &(dyn Fn(&[u8]) -> Result<T, RemoteError> + Sync),
    ) -> Result<T, Failed> {
        self.checks.call_once(|| watch(self));
        let asking = Asking { client: self, asked, proof, read };
        let mut left = self.ring.order(key);
        loop {
            let failed = match self.room(&left, urgent).await {
                Err(Full) => return Err(self.failed(None, RemoteError::Overloaded { capacity: self.settings.queue })),
                Ok(slot) => match asking.one_or_two(slot, &mut left).await {
                    Ok(answer) => return Ok(answer),
                    Err(failed) => failed,
                },
            };
            // Whoever may have begun to answer has been paid for it, and another would answer no better.
            if left.is_empty() || !failed.1.before_answer() {
                return Err(self.failed(Some(failed.0), failed.1));
            }
        }
    }

    /// Room at the first of these that has some and is not passed over, or else at any of them as soon as there is some.
    async fn room(&self, order: &[usize], urgent: bool) -> Result<Slot, Full> {
        let up = self.up(order);
        // Where all are passed over, one of them has to be asked.
        self.room.wait(if up.is_empty() { order } else { &up }, urgent).await
    }

    /// Those of these that are not passed over.
    fn up(&self, order: &[usize]) -> Vec<usize> {
        let now = Instant::now();
        order.iter().copied().filter(|&at| self.replicas[at].health.is_up(now)).collect()
    }

    fn failed(&self, replica: Option<usize>, error: RemoteError) -> Failed {
        let endpoint = replica.map(|at| self.replicas[at].endpoint.name().clone());
        Failed { engine: self.engine.clone(), endpoint, error }
    }
}

/// One question on its way.
struct Asking<'a, T> {
    client: &'a Client,
    asked: &'a Asked,
    /// What an endpoint has to show before it is asked.
    proof: Option<&'a Proof>,
    read: &'a (dyn Fn(&[u8]) -> Result<T, RemoteError> + Sync),
}

impl<T> Asking<'_, T> {
    /// Asks this replica, and where it is slower than it mostly is, another one beside it: the first answer counts. Whoever
    /// was asked is taken out of those that are `left`.
    async fn one_or_two(&self, slot: Slot, left: &mut Vec<usize>) -> Result<T, Failure> {
        let first = slot.at();
        left.retain(|&at| at != first);
        let asked = self.ask(slot);
        let slow = self.client.replicas[first].health.slow().filter(|_| self.asked.even);
        let Some(patience) = slow else { return asked.await };
        pin_mut!(asked);
        if let Ok(done) = timeout(patience, &mut asked).await {
            return done;
        }
        let Some(slot) = self.client.room.now(&self.client.up(left)) else { return asked.await };
        left.retain(|&at| at != slot.at());
        self.client.replicas[slot.at()].hedged();
        let beside = self.ask(slot);
        pin_mut!(beside);
        match select(asked, beside).await {
            Either::Left((Ok(answer), _)) | Either::Right((Ok(answer), _)) => Ok(answer),
            Either::Left((Err(_), other)) => other.await,
            Either::Right((Err(_), other)) => other.await,
        }
    }

    async fn ask(&self, slot: Slot) -> Result<T, Failure> {
        let at = slot.at();
        self.ask_within(&self.client.replicas[at], &slot).await.map_err(|error| (at, error))
    }

    async fn ask_within(&self, replica: &Replica, slot: &Slot) -> Result<T, RemoteError> {
        if let Some(proof) = self.proof.filter(|_| !replica.is_proven()) {
            let settings = &self.client.settings;
            replica.ask(slot, &tokens::prove(settings, proof), |body| tokens::proves(settings, proof, body)).await?;
            replica.prove();
        }
        replica.ask(slot, self.asked, self.read).await
    }
}

/// Looks at the endpoints from time to time, so that one that is gone costs no ask, and one that is back is found. Ends with
/// the client. Where there is but one there is nothing to choose.
fn watch(client: &Arc<Client>) {
    if client.replicas.len() < 2 {
        return;
    }
    let (client, path) = (Arc::downgrade(client), form::alive(&client.settings));
    tokio::spawn(async move {
        while let Some(client) = Weak::upgrade(&client) {
            join_all(client.replicas.iter().map(|replica| replica.check(path))).await;
            drop(client);
            sleep(CHECKS).await;
        }
    });
}

fn identity(settings: &Remote) -> String {
    let Remote { preset, model, api, policy_in, effort_in, schema, logprobs, window, .. } = settings;
    let (preset, api) = (preset.as_str(), api.as_str());
    let shape = format!("{preset} {api} {policy_in:?} {effort_in:?} {schema} {logprobs} {window}");
    let digest: String = Sha256::digest(shape.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{model}@{digest}")
}
