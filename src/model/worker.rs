//! The engine's own thread: it owns the device, takes jobs off a bounded queue, and answers by message.

use std::fmt::Write;
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::sync::{Arc, Once, mpsc};
use std::thread::JoinHandle;

use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::model::compute::Compute;
use crate::model::engine::{Engine, Limits, Reply, Ticket, describe, tell};
use crate::model::queue::Queue;
use crate::model::{
    ComputeSettings, Config, Figures, GrammarError, Job, LoadError, Pin, Pins, Progress, Snapshot, Step, Transformer,
    Weights,
};

/// How the engine runs.
#[derive(Debug, Clone)]
pub struct Settings {
    pub model: Source,
    pub compute: ComputeSettings,
    /// Jobs that may wait.
    pub queue: usize,
    pub limits: Limits,
}

/// Where a model comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A checkpoint.
    Directory(PathBuf),
    /// Random weights of this shape, to be measured.
    Random(Config),
}

/// A handle on the thread, which ends when it is dropped.
pub struct Worker {
    queue: Arc<Queue<Ticket>>,
    pins: Arc<Pins>,
    figures: Arc<Figures>,
    digest: Arc<str>,
    longest: usize,
    thread: Option<JoinHandle<()>>,
}

/// Closes the queue when the thread ends, in whichever way: who waits or comes is told that the engine has stopped.
struct Closing<'a>(&'a Queue<Ticket>);

/// Why a job was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    #[error("the engine's queue is full ({capacity} jobs)")]
    Overloaded { capacity: usize },
    #[error("the job comes to {tokens} tokens, the model holds {limit}")]
    TooLong { tokens: usize, limit: usize },
    #[error("the model's scores are not numbers")]
    NotANumber,
    #[error("the job's deadline has passed")]
    Late,
    #[error("the engine has stopped")]
    Stopped,
    #[error("not a job for this model: {0}")]
    Invalid(String),
    #[error(transparent)]
    Grammar(#[from] GrammarError),
    #[error("libtorch: {0}")]
    Failed(String),
}

impl Source {
    fn error(&self, problem: String) -> LoadError {
        match self {
            Source::Directory(dir) => LoadError::File { file: dir.clone(), problem },
            Source::Random(_) => LoadError::Thread { problem },
        }
    }
}

impl Worker {
    /// Starts the thread, loads the model on it and runs it once. Returns when it is ready or has failed: minutes, for a
    /// large model.
    pub fn start(settings: &Settings) -> Result<Self, LoadError> {
        let (queue, pins) = (Arc::new(Queue::new(settings.queue)), Arc::new(Pins::default()));
        let figures = Arc::new(Figures::default());
        let (loaded, ready) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name("engine".into()).spawn({
            let (settings, queue, pins, figures) = (settings.clone(), queue.clone(), pins.clone(), figures.clone());
            move || {
                let load = catch_unwind(|| load(&settings, pins, figures)).unwrap_or_else(|panic| {
                    let problem = format!("libtorch: {}", describe(&*panic));
                    Err(settings.model.error(problem))
                });
                match load {
                    Ok((engine, digest)) => {
                        let _ = loaded.send(Ok((digest, engine.longest())));
                        serve(engine, &queue);
                    }
                    Err(error) => drop(loaded.send(Err(error))),
                }
            }
        });
        let thread = Some(thread.map_err(|e| LoadError::Thread { problem: e.to_string() })?);
        let stopped = |_| Err(LoadError::Thread { problem: "it has ended".into() });
        let (digest, longest) = ready.recv().unwrap_or_else(stopped)?;
        Ok(Worker { queue, pins, figures, digest, longest, thread })
    }

    /// Hands a job over without waiting. Dropping the receiver cancels it.
    pub fn submit(&self, job: Job) -> Result<oneshot::Receiver<Reply>, JobError> {
        let overloaded = JobError::Overloaded { capacity: self.queue.capacity() };
        let (tokens, limit) = (job.longest(), self.longest);
        if tokens > limit {
            return Err(JobError::TooLong { tokens, limit });
        }
        let (reply, receiver) = oneshot::channel();
        let ticket = Ticket { job, reply: Some(reply) };
        let rank = ticket.rank();
        match self.queue.push(ticket, rank, Ticket::is_dropped) {
            Ok(Some(evicted)) => tell(evicted.reply, Err(overloaded)),
            Ok(None) => {}
            Err(_) if self.queue.is_closed() => return Err(JobError::Stopped),
            Err(_) => return Err(overloaded),
        }
        Ok(receiver)
    }

    /// Keeps what is computed of these tokens for as long as the pin lives, before all else that is kept, and has it computed
    /// beforehand.
    pub fn pin(&self, tokens: Arc<[u32]>) -> Pin {
        let pin = self.pins.pin(tokens.clone());
        let steps = vec![Step::Decode { stops: Arc::new([]), budget: 1 }];
        let (prompt, shared) = (tokens.to_vec(), tokens.len());
        // Whoever asks goes first, and takes its place where the queue is full: then the first that asks has it computed.
        let job = Job { prompt, shared, grows: shared, steps, urgent: false, deadline: None, listener: None };
        let ticket = Ticket { job, reply: None };
        let rank = ticket.rank();
        let _ = self.queue.push(ticket, rank, Ticket::is_dropped);
        pin
    }

    /// What the engine has done so far.
    pub fn figures(&self) -> Snapshot {
        self.figures.snapshot(self.queue.len())
    }

    /// Hex SHA-256 over configuration, tokenizer, the weights' headers and the beginning of each tensor.
    pub fn digest(&self) -> &Arc<str> {
        &self.digest
    }

    /// Tokens of the longest sequence.
    pub fn longest(&self) -> usize {
        self.longest
    }
}

impl Drop for Worker {
    /// The thread ends after its step, and waits for nobody meanwhile. It is waited for, lest the process ends under
    /// libtorch's feet; but not on a thread of a runtime, which has connections to serve: a step can take seconds.
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take().filter(|_| Handle::try_current().is_err()) {
            // A panic of it has been told.
            let _ = thread.join();
        }
    }
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn load(settings: &Settings, pins: Arc<Pins>, figures: Arc<Figures>) -> Result<(Engine, Arc<str>), LoadError> {
    // May be set once in a process.
    static INTEROP: Once = Once::new();
    INTEROP.call_once(|| tch::set_num_interop_threads(1));

    let weights = match &settings.model {
        Source::Directory(dir) => Weights::open(dir)?,
        Source::Random(config) => Weights::random(config.clone(), 1)?,
    };
    let compute = Compute::new(&settings.compute, weights.config())?;
    if compute.cpu.is_some() && available_memory() > Some(weights.progress().total) {
        // They are used where they lie, and read faster in one go than page by page.
        weights.prefetch(logged("reading the model"));
    }
    let model = Transformer::load(&weights, compute, logged("loading the model"))?;

    let mut hash = Sha256::new();
    if let Source::Directory(dir) = &settings.model {
        hash.update(std::fs::read(dir.join("tokenizer.json")).unwrap_or_default());
    }
    weights.digest(&mut hash);
    let mut digest = String::new();
    for byte in hash.finalize() {
        // Writing to a string does not fail.
        let _ = write!(digest, "{byte:02x}");
    }

    let mut engine = Engine::new(model, settings.limits, pins, figures);
    warm_up(&mut engine, settings)?;
    Ok((engine, digest.into()))
}

/// The first run pays for what libtorch sets up, so it is made before anybody waits. It also shows weights that are broken.
fn warm_up(engine: &mut Engine, settings: &Settings) -> Result<(), LoadError> {
    let steps = vec![Step::Decode { stops: Arc::new([]), budget: 2 }];
    let job = Job { prompt: vec![0; 32], shared: 0, grows: 0, steps, urgent: true, deadline: None, listener: None };
    match engine.run_alone(job) {
        Ok(_) => Ok(()),
        Err(JobError::NotANumber) => {
            let problem = "the weights give scores that are not numbers".into();
            Err(settings.model.error(problem))
        }
        Err(error) => Err(settings.model.error(error.to_string())),
    }
}

/// Logs how far something is, a few times in all.
fn logged(what: &'static str) -> impl FnMut(Progress) {
    const STEPS: u64 = 5;
    let mut told = 0;
    move |Progress { done, total }| {
        let step = done.saturating_mul(STEPS) / total.max(1);
        // What is read in a moment is not worth a line.
        if step > told && total > 1 << 30 {
            told = step;
            tracing::info!(percent = 100 * step / STEPS, gigabytes = total >> 30, "{what}");
        }
    }
}

/// Bytes that can be used without others having to give theirs up, where the system tells.
fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? << 10)
}

fn serve(mut engine: Engine, queue: &Queue<Ticket>) {
    let _closing = Closing(queue);
    while !queue.is_closed() {
        if engine.is_idle() {
            let Some(ticket) = queue.pop() else { return };
            engine.admit(ticket);
        }
        while let Some(ticket) = queue.try_pop(|rank| engine.has_room(rank)) {
            engine.admit(ticket);
        }
        engine.step();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_the_thread_ends_whoever_asks_is_told() {
        let (queue, digest) = (Arc::new(Queue::new(4)), Arc::from(""));
        let (pins, figures) = (Arc::default(), Arc::default());
        let worker = Worker { queue, pins, figures, digest, longest: 10, thread: None };
        let job = Job {
            prompt: vec![1],
            shared: 0,
            grows: 0,
            steps: Vec::new(),
            urgent: true,
            deadline: None,
            listener: None,
        };
        let waits = worker.submit(job.clone()).unwrap();
        let queue = worker.queue.clone();
        let thread = std::thread::spawn(move || {
            let _closing = Closing(&queue);
            panic!("as the device may");
        });
        assert!(thread.join().is_err());
        assert!(waits.blocking_recv().is_err());
        assert_eq!(worker.submit(job).err(), Some(JobError::Stopped));
    }
}
