//! The model on servers, behind the same seam as the one in this process: a job's sequence is made here, and what it asks of the
//! model is asked of a server. So its prompts, its steps and its grammars are the same, token by token.

use std::sync::Arc;

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::detectors::safeguard::{EngineError, Generator, Ungenerated};
use crate::model::{
    Answer, GrammarError, Job, JobError, Mask, Outcome, Pin, Pins, Question, Sequence, Tokenizer, Told,
};
use crate::remote::{Beginning, Client, Continuation, Proof, RemoteError, Then, Usage};

/// Tokens of the longest job, as of gpt-oss. A server that holds fewer says so.
const MAX_TOKENS: usize = 131_072;
/// Bytes that a token of content has, in the mean: the window is set in bytes.
const BYTES: usize = 4;
/// Tokens that a server is let run under a grammar that it does not know: what goes another way is thrown away.
const PIECE: usize = 64;
/// How often a server is asked for one text under a grammar. Each time it has gone another way, or come to its piece's end.
const PIECES: usize = 96;

/// A model that servers go on with, in token ids.
pub struct Served {
    client: Arc<Client>,
    tokenizer: Tokenizer,
    /// Where any text ends.
    stops: [u32; 8],
    proof: Proof,
    pins: Arc<Pins>,
}

impl Served {
    /// Reads the tokenizer; connects to nobody.
    pub fn new(client: Arc<Client>) -> Result<Self, EngineError> {
        let tokenizer = match &client.settings().tokenizer {
            Some(folder) => Tokenizer::read(&folder.join("tokenizer.json"))?,
            None => Tokenizer::o200k(),
        };
        let (stops, proof) = (tokenizer.control().all(), proof(&tokenizer));
        Ok(Served { client, tokenizer, stops, proof, pins: Arc::default() })
    }

    /// Who asks the servers.
    pub fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Goes on with a sequence until nothing is left to ask.
    async fn run(&self, asking: &mut Asking<'_>) -> Result<(), Ungenerated> {
        let mut pieces = 0;
        while let Some(question) = asking.sequence.question() {
            match question {
                Question::Shares(of) => {
                    let shares = asking.next(&of, |told| told.likely.shares(&of)).await?;
                    asking.sequence.answer(Answer::Shares(shares)).map_err(JobError::from)?;
                }
                Question::Likeliest(None) => {
                    let run = asking.run(usize::MAX).await?;
                    asking.follow(&run).map_err(JobError::from)?;
                }
                Question::Likeliest(Some(_)) if pieces == PIECES => {
                    asking.sequence.leave().map_err(JobError::from)?;
                }
                Question::Likeliest(Some(_)) => {
                    pieces += 1;
                    let run = asking.run(PIECE).await?;
                    let Some(fits) = asking.follow(&run).map_err(JobError::from)? else { continue };
                    let best = asking.next(&[], |told| Ok(told.likely.best(|token| fits.contains(token)))).await?;
                    match best {
                        Some(token) => asking.sequence.answer(Answer::Likeliest(token)).map(drop),
                        // What the label says stands without what was to follow it.
                        None => asking.sequence.leave(),
                    }
                    .map_err(JobError::from)?;
                }
            }
        }
        Ok(())
    }
}

/// A job under way.
struct Asking<'a> {
    served: &'a Served,
    /// Of the prompt's beginning: what begins alike goes to one server.
    key: String,
    urgent: bool,
    sequence: Sequence,
    listener: Option<mpsc::Sender<Told>>,
    begun: bool,
}

impl Asking<'_> {
    /// What is told of the place after the sequence's last token.
    async fn next<T>(
        &mut self,
        of: &[u32],
        judge: impl Fn(Continuation) -> Result<T, RemoteError> + Sync,
    ) -> Result<T, Ungenerated> {
        self.ask(Then::Next { of }, judge).await
    }

    /// The tokens that the server would append, up to a control token or so many of them.
    async fn run(&mut self, most: usize) -> Result<Vec<u32>, Ungenerated> {
        let served = self.served;
        let size = served.tokenizer.size();
        let judge = |told: Continuation| match told.tokens.iter().all(|&token| token < size) {
            true => Ok(told.tokens),
            false => Err(RemoteError::Garbage("it names a token that the vocabulary has not")),
        };
        let most = most.min(self.sequence.left());
        self.ask(Then::Run { most, stops: &served.stops }, judge).await
    }

    async fn ask<T>(
        &mut self,
        then: Then<'_>,
        judge: impl Fn(Continuation) -> Result<T, RemoteError> + Sync,
    ) -> Result<T, Ungenerated> {
        let begun = Instant::now();
        let Served { client, proof, .. } = self.served;
        let beginning = Beginning { tokens: self.sequence.tokens(), then, urgent: self.urgent };
        let judge = |told: Continuation| {
            let usage = told.usage;
            judge(told).map(|judged| (judged, usage))
        };
        let (judged, usage) = client.go_on(&self.key, &beginning, proof, judge).await?;
        self.tell_begun(begun, usage);
        Ok(judged)
    }

    /// Answers the sequence's questions by what a server has said that follows, for as long as they go the same way. Gives
    /// what could come next where the server has said something else.
    fn follow(&mut self, run: &[u32]) -> Result<Option<Arc<Mask>>, GrammarError> {
        let start = self.sequence.tokens().len();
        while let Some(Question::Likeliest(fits)) = self.sequence.question() {
            let made = self.sequence.tokens().get(start..).unwrap_or_default();
            let Some(&token) = run.strip_prefix(made).and_then(<[u32]>::first) else { break };
            if let Some(fits) = fits.filter(|fits| !fits.contains(token)) {
                return Ok(Some(fits));
            }
            let answer = Answer::Likeliest(token);
            let decoded = self.sequence.decodes(&answer);
            self.sequence.answer(answer)?;
            if let Some(token) = decoded {
                self.tell(Told::Token(token));
            }
        }
        Ok(None)
    }

    /// Once, with the first answer.
    fn tell_begun(&mut self, at: Instant, usage: Usage) {
        if !std::mem::replace(&mut self.begun, true) {
            self.tell(Told::Begun { at: at.into_std(), tokens: usage.prompt, kept: usage.cached });
            self.tell(Told::Read { at: Instant::now().into_std() });
        }
    }

    fn tell(&self, told: Told) {
        if let Some(listener) = &self.listener {
            // What finds no room is not told.
            let _ = listener.try_send(told);
        }
    }
}

#[async_trait]
impl Generator for Served {
    async fn generate(&self, job: Job) -> Result<Vec<Outcome>, Ungenerated> {
        let Job { prompt, shared, steps, urgent, deadline, listener, .. } = job;
        let key = key(prompt.get(..shared).unwrap_or(&prompt));
        let sequence = Sequence::new(prompt, steps).map_err(JobError::from)?;
        let mut asking = Asking { served: self, key, urgent, sequence, listener, begun: false };
        let run = self.run(&mut asking);
        let ran = match deadline {
            Some(deadline) => timeout_at(deadline.into(), run).await.unwrap_or(Err(JobError::Late.into())),
            None => run.await,
        };
        asking.sequence.ended(ran)
    }

    /// What servers keep is theirs to know: a policy's texts find the server that has seen it.
    fn pin(&self, beginning: Arc<[u32]>) -> Pin {
        self.pins.pin(beginning)
    }

    fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    fn kind(&self) -> &'static str {
        "remote"
    }

    fn model(&self) -> &Arc<str> {
        self.client.model()
    }

    fn max_tokens(&self) -> usize {
        MAX_TOKENS
    }

    fn window(&self) -> usize {
        self.client.settings().window / BYTES
    }
}

fn key(beginning: &[u32]) -> String {
    let mut digest = Sha256::new();
    beginning.iter().for_each(|token| digest.update(token.to_le_bytes()));
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every control token, each before words that vocabularies split in their own ways.
fn proof(tokenizer: &Tokenizer) -> Proof {
    const WORDS: [&str; 8] =
        ["system", " Überprüfung", "0123456789", "{\"violation\":1}", " \n\t ", "漢字", "🦀", "Non-violating"];
    let mut proof = Proof { text: String::new(), tokens: Vec::new() };
    for ((name, id), words) in tokenizer.control().named().into_iter().zip(WORDS) {
        proof.text.extend([name, words]);
        proof.tokens.push(id);
        // A tokenizer that fails at a word fails at every policy, and says so there.
        proof.tokens.extend(tokenizer.encode(words).unwrap_or_default());
    }
    proof
}
