//! The engine: sequences that run together, step by step. Schedule, run, postprocess; then again.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use crate::model::error::first_line;
use crate::model::kv::{Beginning, KvCache, KvStore, Prefixes};
use crate::model::layout::Row;
use crate::model::queue::Rank;
use crate::model::readout::{self, NotANumber};
use crate::model::scheduler::{Candidate, plan};
use crate::model::sequence::{Answer, Question, Sequence};
use crate::model::{Figures, Job, JobError, Outcome, Pins, Transformer};

/// What a step may take up.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Tokens that go through the model in one step.
    pub step_tokens: usize,
    /// Sequences under way.
    pub sequences: usize,
    /// Bytes of keys and values, kept and running.
    pub kv_bytes: usize,
}

/// A job, and where its outcomes go.
pub struct Ticket {
    pub job: Job,
    /// Once the receiver is dropped nobody waits any more. Without one, the job is done for what is kept of it.
    pub reply: Option<oneshot::Sender<Reply>>,
}

pub type Reply = Result<Vec<Outcome>, JobError>;

/// The model, and what runs on it.
pub struct Engine {
    model: Transformer,
    store: KvStore,
    prefixes: Prefixes,
    /// In the order of admission.
    running: Vec<Running>,
    arrivals: u64,
    limits: Limits,
    figures: Arc<Figures>,
}

/// A sequence under way.
struct Running {
    sequence: Sequence,
    /// Of the beginning of its tokens.
    cache: KvCache,
    /// Where its beginning is to be kept, once it has been computed so far.
    keep: Vec<(usize, Beginning)>,
    /// Tokens that other prompts begin with, too.
    shared: usize,
    rank: Rank,
    arrival: u64,
    reply: Option<oneshot::Sender<Reply>>,
}

impl Ticket {
    pub fn rank(&self) -> Rank {
        Rank::new(self.job.urgent, self.job.deadline)
    }

    /// Whether nobody waits for it any more.
    pub fn is_dropped(&self) -> bool {
        self.reply.as_ref().is_some_and(oneshot::Sender::is_closed)
    }
}

impl Engine {
    pub fn new(model: Transformer, limits: Limits, pins: Arc<Pins>, figures: Arc<Figures>) -> Self {
        let store = model.kv_store(limits.kv_bytes, limits.step_tokens);
        let prefixes = Prefixes::new(store.window(), pins, figures.clone());
        Engine { model, store, prefixes, running: Vec::new(), arrivals: 0, limits, figures }
    }

    pub fn model(&self) -> &Transformer {
        &self.model
    }

    /// Tokens of the longest sequence that fits model and memory.
    pub fn longest(&self) -> usize {
        self.store.longest().min(self.model.config().max_positions)
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Whether one more sequence may be under way.
    pub fn has_room(&self) -> bool {
        self.running.len() < self.limits.sequences
    }

    /// Takes a job up.
    pub fn admit(&mut self, ticket: Ticket) {
        let rank = ticket.rank();
        let Ticket { job, reply } = ticket;
        if let Err(error) = self.check(&job) {
            return tell(reply, Err(error));
        }
        let length = job.prompt.len();
        let keep = [(job.shared, Beginning::Shared), (job.grows, Beginning::Growing)];
        let keep = keep.into_iter().filter(|&(at, _)| (1..=length).contains(&at)).collect();
        let shared = job.shared.min(length);
        let sequence = match Sequence::new(job.prompt, job.steps) {
            Ok(sequence) => sequence,
            Err(error) => return tell(reply, Err(error.into())),
        };
        let arrival = self.arrivals;
        self.arrivals += 1;
        self.running.push(Running { sequence, cache: KvCache::default(), keep, shared, rank, arrival, reply });
    }

    /// Computes some tokens of some sequences, and replies to those that are done.
    pub fn step(&mut self) {
        self.dismiss();
        let plan = self.schedule();
        if plan.is_empty() {
            return;
        }
        let planned: Vec<u64> = plan.iter().map(|&(index, _)| self.running[index].arrival).collect();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.run(&plan))) {
            // A failed tensor operation leaves weights and kept beginnings as they were: pages of these sequences alone were
            // written to.
            let problem = describe(&*panic);
            for index in (0..self.running.len()).rev() {
                if planned.contains(&self.running[index].arrival) {
                    self.finish(index, Err(JobError::Failed(problem.clone())));
                }
            }
        }
        let room = self.store.room();
        self.figures.holds(room.used, room.capacity, self.running.len());
    }

    /// Runs one job to its end, and whatever is under way beside it.
    pub fn run_alone(&mut self, job: Job) -> Reply {
        let (reply, mut outcome) = oneshot::channel();
        self.admit(Ticket { job, reply: Some(reply) });
        loop {
            match outcome.try_recv() {
                Ok(reply) => return reply,
                Err(oneshot::error::TryRecvError::Empty) => self.step(),
                Err(oneshot::error::TryRecvError::Closed) => return Err(JobError::Stopped),
            }
        }
    }

    fn check(&self, job: &Job) -> Result<(), JobError> {
        let vocab = self.model.config().vocab;
        let (tokens, limit) = (job.longest(), self.longest());
        match job.tokens().find(|&token| i64::from(token) >= vocab) {
            _ if tokens > limit => Err(JobError::TooLong { tokens, limit }),
            _ if job.prompt.is_empty() => Err(JobError::Failed("the prompt is empty".into())),
            Some(token) => Err(JobError::Failed(format!("token {token} is not in the vocabulary of {vocab}"))),
            None => Ok(()),
        }
    }

    /// Lets go of sequences that nobody waits for, and of those whose question has an answer already.
    fn dismiss(&mut self) {
        let now = Instant::now();
        for index in (0..self.running.len()).rev() {
            let running = &self.running[index];
            let gone = match &running.reply {
                Some(reply) => reply.is_closed(),
                // Somebody who asked was faster.
                None => self.prefixes.has(&running.sequence.tokens()[..running.shared]),
            };
            if gone {
                self.running.remove(index);
            } else if running.rank.is_late(now) {
                self.finish(index, Err(JobError::Late));
            } else if running.sequence.question().is_none() {
                self.finish(index, Ok(()));
            }
        }
    }

    /// What the next step computes: sequences by their index, with the number of tokens, for which there is room.
    fn schedule(&mut self) -> Vec<(usize, usize)> {
        let mut ready = Vec::new();
        for index in 0..self.running.len() {
            if self.running[index].cache.is_empty() && !self.start(index) {
                continue;
            }
            let Running { sequence, cache, rank, arrival, .. } = &self.running[index];
            let tokens = sequence.tokens().len() - cache.len();
            ready.push((index, Candidate { rank: *rank, arrival: *arrival, tokens }));
        }
        let candidates: Vec<Candidate> = ready.iter().map(|&(_, candidate)| candidate).collect();
        let plan = plan(&candidates, self.limits.step_tokens);
        let plan = plan.into_iter().map(|(candidate, count)| (ready[candidate].0, count)).collect();
        self.reserve(plan)
    }

    /// Gives a sequence the longest beginning that is kept. Says no where another sequence is just computing one that they
    /// share: then it pays to wait.
    fn start(&mut self, index: usize) -> bool {
        let running = &self.running[index];
        let tokens = running.sequence.tokens();
        // After the last token something is asked, so that one is computed in any case.
        let found = self.prefixes.find(tokens, tokens.len() - 1).unwrap_or_default();
        let shared = &tokens[..running.shared];
        let same = |other: &Running| {
            // One that is not urgent might itself wait for this one.
            (other.rank.is_urgent() || !running.rank.is_urgent()) && other.sequence.tokens().starts_with(shared)
        };
        let under_way = |other: &Running| !other.cache.is_empty() && other.cache.len() < shared.len() && same(other);
        // Of two that begin in the same step the first computes what they share.
        let before = |other: &Running| other.cache.is_empty() && same(other);
        if found.len() < shared.len()
            && (self.running.iter().any(under_way) || self.running[..index].iter().any(before))
        {
            return false;
        }
        self.figures.started(tokens.len(), found.len());
        self.running[index].cache = found;
        true
    }

    /// Makes room for a plan. Where there is none, beginnings that are kept go, then the sequences that come last; they
    /// begin again later.
    fn reserve(&mut self, mut plan: Vec<(usize, usize)>) -> Vec<(usize, usize)> {
        let mut at = 0;
        while let Some(&(index, count)) = plan.get(at) {
            if self.running[index].cache.reserve(count, &self.store).is_ok() {
                at += 1;
            } else if !self.prefixes.evict() {
                let goes_before = (self.running[index].rank, self.running[index].arrival);
                let last = (0..self.running.len())
                    .filter(|&other| !self.running[other].cache.is_empty())
                    .filter(|other| !plan[..at].iter().any(|(planned, _)| planned == other))
                    .map(|other| ((self.running[other].rank, self.running[other].arrival), other))
                    .filter(|&(order, _)| order > goes_before)
                    .max();
                match last {
                    Some((_, other)) => {
                        self.running[other].cache = KvCache::default();
                        self.figures.preempted();
                        plan.retain(|&(planned, _)| planned != other);
                    }
                    // It waits for those that go before it.
                    None => {
                        plan.remove(at);
                    }
                }
            }
        }
        plan
    }

    fn run(&mut self, plan: &[(usize, usize)]) {
        let mut rows = Vec::new();
        let mut ends = Vec::new();
        let mut questions: Vec<(usize, Question)> = Vec::new();
        let mut asking = Vec::new();
        let mut picked: Vec<Option<&mut Running>> = self.running.iter_mut().map(Some).collect();
        let mut total = 0;
        for &(index, count) in plan {
            let Some(running) = picked[index].take() else { continue };
            let (done, tokens) = (running.cache.len(), running.sequence.tokens());
            total += count;
            ends.push(total);
            if done + count == tokens.len()
                && let Some(question) = running.sequence.question()
            {
                questions.push((total - 1, question));
                asking.push(index);
            }
            rows.push(Row { tokens: &tokens[done..done + count], cache: &mut running.cache });
        }
        let x = self.model.forward(&mut rows, &self.store);
        drop(rows);
        let answers = readout::read(&self.model, &x, &questions);
        self.figures.stepped(total);
        for &(index, _) in plan {
            self.keep(index);
        }
        let mut answered: Vec<(usize, Result<Answer, NotANumber>)> = asking.into_iter().zip(answers).collect();
        // From the last on, so that the indexes of the others stay.
        answered.sort_by_key(|&(index, _)| std::cmp::Reverse(index));
        for (index, answer) in answered {
            match answer {
                Ok(answer) => self.take(index, answer),
                Err(NotANumber) => self.finish(index, Err(JobError::NotANumber)),
            }
        }
    }

    /// Keeps what others may begin with, then lets go of what is out of sight.
    fn keep(&mut self, index: usize) {
        let Running { sequence, cache, keep, .. } = &mut self.running[index];
        let window = self.store.window();
        keep.retain(|&(at, kind)| {
            let computed = at <= cache.len();
            if let Some(fork) = cache.fork(at, window).filter(|_| computed) {
                self.prefixes.keep(&sequence.tokens()[..at], fork, kind);
            }
            !computed
        });
        cache.release(window);
    }

    fn take(&mut self, index: usize, answer: Answer) {
        let Running { sequence, cache, .. } = &mut self.running[index];
        match sequence.answer(answer) {
            // The last token is computed again where nothing was appended to it.
            Ok(same) if sequence.question().is_some() => {
                cache.truncate(same.min(sequence.tokens().len() - 1), self.store.window());
            }
            Ok(_) => self.finish(index, Ok(())),
            Err(error) => self.finish(index, Err(error.into())),
        }
    }

    fn finish(&mut self, index: usize, end: Result<(), JobError>) {
        let Running { sequence, reply, .. } = self.running.remove(index);
        tell(reply, end.map(|()| sequence.outcomes()));
    }
}

pub(super) fn tell(asker: Option<oneshot::Sender<Reply>>, reply: Reply) {
    if let Some(asker) = asker {
        // Nobody waiting is as good as somebody told.
        let _ = asker.send(reply);
    }
}

/// What a panic says, less its C++ stack.
pub(super) fn describe(panic: &(dyn Any + Send)) -> String {
    let message = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    first_line(message.unwrap_or("a failure without a message"))
}
