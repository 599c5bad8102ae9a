//! The engine's own thread: it owns the device, takes jobs off a bounded queue, and answers by message.

use std::any::Any;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Once, mpsc};

use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use crate::model::prefix::Prefixes;
use crate::model::queue::Queue;
use crate::model::weights::first_line;
use crate::model::{
    Checkpoint, Config, Dtype, GrammarError, Job, LoadError, Outcome, Place, Sequence, Step, Transformer, Unfinished,
    set_threads,
};

/// Positions kept of shared beginnings: about 0.8 GB on the 20b in bfloat16.
const PREFIX_POSITIONS: usize = 16_384;

/// How the engine runs.
#[derive(Debug, Clone)]
pub struct Settings {
    pub model_dir: PathBuf,
    /// `cpu`, `cuda` or `cuda:N`.
    pub device: String,
    /// CPU threads of one operation; 0 leaves it to libtorch.
    pub threads: usize,
    /// Jobs that may wait.
    pub queue: usize,
    pub dtype: Dtype,
}

/// A handle on the thread, which ends when it is dropped.
pub struct Worker {
    queue: Arc<Queue<Ticket>>,
    digest: Arc<str>,
    max_positions: usize,
}

/// Why a job was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    #[error("the engine's queue is full ({capacity} jobs)")]
    Overloaded { capacity: usize },
    #[error("the job comes to {tokens} tokens, the model holds {limit}")]
    TooLong { tokens: usize, limit: usize },
    #[error("the model's scores are not numbers")]
    NotANumber,
    #[error(transparent)]
    Grammar(GrammarError),
    #[error("nobody waits for the job any more")]
    Cancelled,
    #[error("the engine has stopped")]
    Stopped,
    #[error("libtorch: {0}")]
    Failed(String),
}

type Answer = Result<Vec<Outcome>, JobError>;

struct Ticket {
    job: Job,
    answer: oneshot::Sender<Answer>,
}

/// What the thread holds.
struct Engine {
    model: Transformer,
    prefixes: Prefixes,
}

impl Worker {
    /// Starts the thread, loads the model on it and runs it once. Returns when it is ready or has failed: minutes, for a
    /// large model.
    pub fn start(settings: &Settings) -> Result<Self, LoadError> {
        let queue = Arc::new(Queue::new(settings.queue));
        let (loaded, ready) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name("engine".into()).spawn({
            let (settings, queue) = (settings.clone(), queue.clone());
            move || {
                let load = catch_unwind(|| Engine::load(&settings)).unwrap_or_else(|panic| {
                    let problem = format!("libtorch: {}", describe(&*panic));
                    Err(LoadError::File { file: settings.model_dir.clone(), problem })
                });
                match load {
                    Ok((engine, digest)) => {
                        let _ = loaded.send(Ok((digest, engine.model.config().max_positions)));
                        engine.serve(&queue);
                    }
                    Err(error) => drop(loaded.send(Err(error))),
                }
            }
        });
        thread.map_err(|e| LoadError::Thread { problem: e.to_string() })?;
        let stopped = |_| Err(LoadError::Thread { problem: "it has ended".into() });
        let (digest, max_positions) = ready.recv().unwrap_or_else(stopped)?;
        Ok(Worker { queue, digest, max_positions })
    }

    /// Hands a job over without waiting. Dropping the receiver cancels it.
    pub fn submit(&self, job: Job) -> Result<oneshot::Receiver<Answer>, JobError> {
        let overloaded = JobError::Overloaded { capacity: self.queue.capacity() };
        let (tokens, limit) = (job.longest(), self.max_positions);
        if tokens > limit {
            return Err(JobError::TooLong { tokens, limit });
        }
        let (answer, receiver) = oneshot::channel();
        let urgent = job.urgent;
        match self.queue.push(Ticket { job, answer }, urgent, |ticket| ticket.answer.is_closed()) {
            Ok(Some(evicted)) => drop(evicted.answer.send(Err(overloaded))),
            Ok(None) => {}
            Err(_) => return Err(overloaded),
        }
        Ok(receiver)
    }

    /// Hex SHA-256 over configuration, tokenizer, the weights' headers and the beginning of each tensor.
    pub fn digest(&self) -> &Arc<str> {
        &self.digest
    }

    /// Tokens of the longest sequence.
    pub fn max_positions(&self) -> usize {
        self.max_positions
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Engine {
    fn load(settings: &Settings) -> Result<(Self, Arc<str>), LoadError> {
        // Both hold for the thread or the process that asks; the second may be set once.
        static INTEROP: Once = Once::new();
        if settings.threads > 0 {
            set_threads(settings.threads);
        }
        INTEROP.call_once(|| tch::set_num_interop_threads(1));

        let config = Config::open(&settings.model_dir)?;
        let place = Place::new(&settings.device, settings.dtype, config.parameters())?;
        let checkpoint = Checkpoint::open(&settings.model_dir)?;
        let model = Transformer::load(config, &checkpoint, place)?;

        let mut hash = Sha256::new();
        for file in ["config.json", "tokenizer.json"] {
            hash.update(std::fs::read(settings.model_dir.join(file)).unwrap_or_default());
        }
        checkpoint.digest(&mut hash);
        let mut digest = String::new();
        for byte in hash.finalize() {
            // Writing to a string does not fail.
            let _ = write!(digest, "{byte:02x}");
        }

        // The first run pays for what libtorch sets up, so it is made before anybody waits.
        let mut warm = Sequence::new(&model, vec![0; 32], model.cache(), &|| false);
        if warm.decode(&[], 2) == Err(Unfinished::NotANumber) {
            let problem = "the weights give scores that are not numbers".into();
            return Err(LoadError::File { file: settings.model_dir.clone(), problem });
        }
        Ok((Engine { model, prefixes: Prefixes::new(PREFIX_POSITIONS) }, digest.into()))
    }

    fn serve(mut self, queue: &Queue<Ticket>) {
        while let Some(Ticket { job, answer }) = queue.pop() {
            if answer.is_closed() {
                continue;
            }
            let cancelled = || answer.is_closed();
            // A panic is a failed tensor operation. It can't leave half a change behind: the weights do not change, and
            // kept beginnings are added whole.
            let result = catch_unwind(AssertUnwindSafe(|| self.run(&job, &cancelled)))
                .unwrap_or_else(|panic| Err(JobError::Failed(describe(&*panic))));
            let _ = answer.send(result);
        }
    }

    fn run(&mut self, job: &Job, cancelled: &dyn Fn() -> bool) -> Answer {
        let Engine { model, prefixes } = self;
        let (shared, rest) = job.prompt.split_at(job.shared.min(job.prompt.len()));
        let mut sequence = match prefixes.find(shared) {
            Some(cache) => Sequence::new(model, shared.to_vec(), cache.fork(rest.len() + 64), cancelled),
            None => {
                let mut sequence = Sequence::new(model, shared.to_vec(), model.cache(), cancelled);
                sequence.settle()?;
                prefixes.keep(shared.to_vec(), sequence.cache().fork(0));
                sequence
            }
        };
        sequence.extend(rest);
        let mut outcomes = Vec::new();
        for step in &job.steps {
            match step {
                Step::Force(tokens) => sequence.extend(tokens),
                Step::Decode { stops, budget } => outcomes.push(sequence.decode(stops, *budget)?),
                Step::Constrain { grammar, budget } => outcomes.push(sequence.constrain(grammar, *budget)?),
                Step::Choose(choices) => {
                    let outcome = sequence.choose(choices)?;
                    let last = matches!(outcome, Outcome::Chosen { index, .. } if choices.as_slice()[index].last);
                    outcomes.push(outcome);
                    if last {
                        break;
                    }
                }
            }
        }
        Ok(outcomes)
    }
}

impl From<Unfinished> for JobError {
    fn from(unfinished: Unfinished) -> Self {
        match unfinished {
            Unfinished::Cancelled => JobError::Cancelled,
            Unfinished::NotANumber => JobError::NotANumber,
            Unfinished::Grammar(error) => JobError::Grammar(error),
        }
    }
}

/// What a panic says, less its C++ stack.
fn describe(panic: &(dyn Any + Send)) -> String {
    let message = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    first_line(message.unwrap_or("a failure without a message"))
}
