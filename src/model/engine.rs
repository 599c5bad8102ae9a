//! The engine: sequences that run together, step by step. Schedule, run, postprocess; then again.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use crate::model::error::first_line;
use crate::model::kv::{Beginning, KvCache, KvStore, Prefixes};
use crate::model::layout::Row;
use crate::model::queue::Rank;
use crate::model::readout::{self, NotANumber};
use crate::model::scheduler::{Candidate, plan};
use crate::model::sequence::{Answer, Question, Sequence};
use crate::model::{Figures, Job, JobError, Outcome, Pins, Told, Transformer};

/// What a step may take up.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Tokens that go through the model in one step.
    pub step_tokens: usize,
    /// Sequences under way; of those that hold traffic up as many again, whatever else is under way.
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
    /// Is among the figures.
    counted: bool,
    /// Something has been asked of the model, and answered.
    read: bool,
    listener: Option<mpsc::Sender<Told>>,
    reply: Option<oneshot::Sender<Reply>>,
}

/// What came of a plan; sequences by their index.
#[derive(Default)]
struct Ran {
    computed: Vec<usize>,
    /// Of these, those of which something is to be kept, and can be.
    sound: Vec<usize>,
    answers: Vec<(usize, Result<Answer, NotANumber>)>,
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

impl Running {
    /// Who is served before whom.
    fn order(&self) -> (Rank, u64) {
        (self.rank, self.arrival)
    }

    /// Tells whoever listens, if there is room for it.
    fn told(&self, told: impl FnOnce() -> Told) {
        if let Some(listener) = &self.listener {
            let _ = listener.try_send(told());
        }
    }
}

impl Engine {
    pub fn new(model: Transformer, limits: Limits, pins: Arc<Pins>, figures: Arc<Figures>) -> Self {
        let store = model.kv_store(limits.kv_bytes, limits.step_tokens);
        let prefixes = Prefixes::new(store.window(), pins, figures.clone());
        Engine { model, store, prefixes, running: Vec::new(), arrivals: 0, limits, figures }
    }

    /// Tokens of the longest sequence that fits model and memory.
    pub fn longest(&self) -> usize {
        self.store.longest().min(self.model.config().max_positions)
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Whether one more sequence may be under way. Those that are not urgent keep none out that is.
    pub fn has_room(&self, rank: Rank) -> bool {
        let counts = |running: &&Running| running.rank.is_urgent() || !rank.is_urgent();
        self.running.iter().filter(counts).count() < self.limits.sequences
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
        let sequence = match caught(|| Ok(Sequence::new(job.prompt, job.steps)?)) {
            Ok(sequence) => sequence,
            Err(error) => return tell(reply, Err(error)),
        };
        let arrival = self.arrivals;
        self.arrivals += 1;
        let (cache, counted, read, listener) = (KvCache::default(), false, false, job.listener);
        self.running.push(Running { sequence, cache, keep, shared, rank, arrival, counted, read, listener, reply });
    }

    /// Computes some tokens of some sequences, and replies to those that are done.
    pub fn step(&mut self) {
        self.dismiss();
        let plan = self.schedule();
        self.compute(plan);
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
            _ if job.prompt.is_empty() => Err(JobError::Invalid("its prompt is empty".into())),
            Some(token) => Err(JobError::Invalid(format!("token {token} is not in the vocabulary of {vocab}"))),
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

    /// What the next step is to compute: sequences by their index, with the number of tokens.
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
        plan.into_iter().map(|(candidate, count)| (ready[candidate].0, count)).collect()
    }

    /// Gives a sequence the longest beginning that is kept. Says no where a sequence that is not needed later is just
    /// computing one that they share, or is about to: then it pays to wait.
    fn start(&mut self, index: usize) -> bool {
        let running = &self.running[index];
        let tokens = running.sequence.tokens();
        // After the last token something is asked, so that one is computed in any case.
        let found = self.prefixes.find(tokens, tokens.len() - 1).unwrap_or_default();
        let shared = &tokens[..running.shared];
        let awaited = |other: &Running| {
            let under_way = other.rank <= running.rank && (1..shared.len()).contains(&other.cache.len());
            let begins = other.cache.is_empty() && other.order() < running.order();
            (under_way || begins) && other.sequence.tokens().starts_with(shared)
        };
        if found.len() < shared.len() && self.running.iter().any(awaited) {
            return false;
        }
        self.running[index].cache = found;
        true
    }

    /// Carries a plan out. Where that fails, each of its sequences by itself, so that none fails for another.
    fn compute(&mut self, mut plan: Vec<(usize, usize)>) {
        let done: Vec<usize> = plan.iter().map(|&(index, _)| self.running[index].cache.len()).collect();
        match (caught(|| Ok(self.run(&plan))), &plan[..]) {
            (Ok(ran), _) => self.postprocess(ran),
            (Err(problem), &[(index, _)]) => self.finish(index, Err(problem)),
            (Err(_), _) => {
                // Nothing else than their own new pages was written to.
                for (&(index, _), done) in plan.iter().zip(done) {
                    self.running[index].cache.truncate(done, self.store.window());
                }
                // From the last on, so that the indexes of the others stay.
                plan.sort_unstable_by(|a, b| b.cmp(a));
                for one in plan {
                    self.compute(vec![one]);
                }
            }
        }
    }

    /// Makes room for a plan, in the order of its sequences. Where there is none, kept beginnings go that are not pinned,
    /// then the sequences that come last begin again later, then the sequence itself waits for those before it. Pinned
    /// beginnings go for the first sequence alone, so that one goes on in any case.
    fn reserve(&mut self, mut plan: Vec<(usize, usize)>) -> Vec<(usize, usize)> {
        plan.sort_by_key(|&(index, _)| self.running[index].order());
        let mut at = 0;
        while let Some(&(index, count)) = plan.get(at) {
            if self.running[index].cache.reserve(count, &self.store).is_ok() {
                at += 1;
            } else if self.prefixes.evict(false) {
                // Which may have been enough.
            } else if let Some(last) = self.last_after(index) {
                self.running[last].cache = KvCache::default();
                self.figures.preempted();
                plan.retain(|&(planned, _)| planned != last);
            } else if at > 0 || !self.prefixes.evict(true) {
                plan.remove(at);
            }
        }
        plan
    }

    /// Of the sequences that hold pages, the last that comes after this one.
    fn last_after(&self, index: usize) -> Option<usize> {
        let order = |other: &usize| self.running[*other].order();
        let after = |other: &usize| !self.running[*other].cache.is_empty() && order(other) > order(&index);
        (0..self.running.len()).filter(after).max_by_key(order)
    }

    fn run(&mut self, plan: &[(usize, usize)]) -> Ran {
        let plan = self.reserve(plan.to_vec());
        if plan.is_empty() {
            return Ran::default();
        }
        let mut rows = Vec::new();
        let (mut asking, mut questions): (Vec<usize>, Vec<(usize, Question)>) = (Vec::new(), Vec::new());
        let (mut keeping, mut ends) = (Vec::new(), Vec::new());
        let mut picked: Vec<Option<&mut Running>> = self.running.iter_mut().map(Some).collect();
        let mut total = 0;
        for &(index, count) in &plan {
            let Some(running) = picked[index].take() else { continue };
            let (done, tokens) = (running.cache.len(), running.sequence.tokens());
            if !running.counted {
                running.counted = true;
                self.figures.started(tokens.len(), done);
                running.told(|| Told::Begun { at: Instant::now(), tokens: tokens.len(), kept: done });
            }
            total += count;
            if done + count == tokens.len()
                && let Some(question) = running.sequence.question()
            {
                questions.push((total - 1, question));
                asking.push(index);
            }
            if running.keep.iter().any(|&(at, _)| at <= done + count) {
                ends.push(total - 1);
                keeping.push(index);
            }
            rows.push(Row { tokens: &tokens[done..done + count], cache: &mut running.cache });
        }
        let x = self.model.forward(&mut rows, &self.store);
        drop(rows);
        let (answers, sound) = (readout::read(&self.model, &x, &questions), readout::sound(&x, &ends));
        self.figures.stepped(total);
        Ran {
            computed: plan.into_iter().map(|(index, _)| index).collect(),
            sound: keeping.into_iter().zip(sound).filter_map(|(index, sound)| sound.then_some(index)).collect(),
            answers: asking.into_iter().zip(answers).collect(),
        }
    }

    fn postprocess(&mut self, Ran { computed, sound, mut answers }: Ran) {
        for index in computed {
            self.keep(index, sound.contains(&index));
        }
        // From the last on, so that the indexes of the others stay.
        answers.sort_by_key(|&(index, _)| std::cmp::Reverse(index));
        for (index, answer) in answers {
            match answer {
                Ok(answer) => self.take(index, answer),
                Err(NotANumber) => self.finish(index, Err(JobError::NotANumber)),
            }
        }
    }

    /// Keeps what others may begin with, if it is sound, then lets go of what is out of sight.
    fn keep(&mut self, index: usize, sound: bool) {
        let Running { sequence, cache, keep, .. } = &mut self.running[index];
        let window = self.store.window();
        keep.retain(|&(at, kind)| {
            let computed = at <= cache.len();
            if let Some(fork) = cache.fork(at, window).filter(|_| computed && sound) {
                self.prefixes.keep(&sequence.tokens()[..at], fork, kind);
            }
            !computed
        });
        cache.release(window);
    }

    fn take(&mut self, index: usize, answer: Answer) {
        let running = &mut self.running[index];
        if !std::mem::replace(&mut running.read, true) {
            running.told(|| Told::Read { at: Instant::now() });
        }
        if let Some(token) = running.sequence.decodes(&answer) {
            running.told(|| Told::Token(token));
        }
        let Running { sequence, cache, .. } = running;
        match caught(|| Ok(sequence.answer(answer)?)) {
            // The last token is computed again where nothing was appended to it.
            Ok(same) if sequence.question().is_some() => {
                cache.truncate(same.min(sequence.tokens().len() - 1), self.store.window());
            }
            Ok(_) => self.finish(index, Ok(())),
            Err(error) => self.finish(index, Err(error)),
        }
    }

    fn finish(&mut self, index: usize, end: Result<(), JobError>) {
        let Running { sequence, reply, .. } = self.running.remove(index);
        tell(reply, sequence.ended(end));
    }
}

pub(super) fn tell(asker: Option<oneshot::Sender<Reply>>, reply: Reply) {
    if let Some(asker) = asker {
        // Nobody waiting is as good as somebody told.
        let _ = asker.send(reply);
    }
}

/// Does what may panic: libtorch's operations do so where they fail, and other libraries may.
fn caught<T>(work: impl FnOnce() -> Result<T, JobError>) -> Result<T, JobError> {
    // What a panic leaves behind half done is thrown away by those who call this.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(JobError::Failed(describe(&*panic))))
}

/// What a panic says, less its C++ stack.
pub(super) fn describe(panic: &(dyn Any + Send)) -> String {
    let message = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    first_line(message.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Choice, Choices, ComputeSettings, Dtype, ExpertFormat, Step};
    use std::num::NonZeroUsize;
    use std::path::Path;

    fn engine(step_tokens: usize) -> Engine {
        let (dtype, experts) = (Dtype::Float32, ExpertFormat::Auto);
        let settings = ComputeSettings { device: "cpu".into(), dtype, experts, threads: Some(NonZeroUsize::MIN) };
        let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/random-tiny");
        let limits = Limits { step_tokens, sequences: 8, kv_bytes: 16 << 20 };
        Engine::new(Transformer::open(&tiny, &settings).unwrap(), limits, Arc::default(), Arc::default())
    }

    fn job(seed: u32, shared: usize) -> Job {
        let steps = vec![Step::Decode { stops: [].into(), budget: 6 }];
        let prompt: Vec<u32> = (0..40).map(|i| (seed * 31 + i * i * 7) % 480).collect();
        Job { grows: shared, prompt, shared, steps, urgent: true, deadline: None, listener: None }
    }

    fn admit(engine: &mut Engine, job: Job) -> oneshot::Receiver<Reply> {
        let (reply, receiver) = oneshot::channel();
        engine.admit(Ticket { job, reply: Some(reply) });
        receiver
    }

    /// A token that the model does not have stands for whatever fails.
    #[test]
    fn a_sequence_that_fails_fails_alone() {
        let mut engine = engine(64);
        let expected = [1, 2].map(|seed| engine.run_alone(job(seed, 0)).unwrap());
        let good = [1, 2].map(|seed| admit(&mut engine, job(seed, 0)));
        engine.step();
        let mut bad = admit(&mut engine, job(3, 0));
        engine.running[2].sequence = Sequence::new(vec![1, 9999], job(3, 0).steps).unwrap();
        engine.step();
        assert!(matches!(bad.try_recv(), Ok(Err(JobError::Failed(_)))));
        while !engine.is_idle() {
            engine.step();
        }
        assert_eq!(good.map(|mut reply| reply.try_recv().unwrap().unwrap()), expected);
    }

    #[test]
    fn a_choice_that_was_made_stands_where_the_rest_comes_too_late() {
        let mut engine = engine(64);
        let choices = [1, 2].map(|token| Choice { tokens: vec![token], last: false });
        let choose = Step::Choose(Arc::new(Choices::new(choices.into()).unwrap()));
        let job = || Job { steps: [vec![choose.clone()], job(1, 0).steps].concat(), ..job(1, 0) };
        let whole = engine.run_alone(job()).unwrap();
        for steps in [0, 1, 2] {
            let mut reply = admit(&mut engine, job());
            (0..steps).for_each(|_| engine.step());
            engine.running[0].rank = Rank::new(true, Some(Instant::now()));
            engine.step();
            match (steps, reply.try_recv().unwrap()) {
                (0, late) => assert_eq!(late, Err(JobError::Late)),
                (_, Ok(outcomes)) => {
                    let (
                        [Outcome::Chosen { index, .. }],
                        [Outcome::Chosen { index: expected, .. }, Outcome::Decoded { .. }],
                    ) = (&outcomes[..], &whole[..])
                    else {
                        panic!("{outcomes:?} of {whole:?}")
                    };
                    assert_eq!(index, expected);
                }
                (_, Err(error)) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn whoever_listens_hears_what_is_decoded_and_is_not_waited_for() {
        let mut engine = engine(64);
        let ((tells, mut told), (tells_little, mut little)) = (mpsc::channel(64), mpsc::channel(1));
        let mut replies = [tells, tells_little].map(|listener| {
            let listener = Some(listener);
            admit(&mut engine, Job { listener, ..job(1, 0) })
        });
        while !engine.is_idle() {
            engine.step();
        }
        let [first, second] = replies.each_mut().map(|reply| reply.try_recv().unwrap().unwrap());
        assert_eq!(first, second);
        let [Outcome::Decoded { tokens, .. }] = &first[..] else { panic!("{first:?}") };
        let told: Vec<Told> = std::iter::from_fn(|| told.try_recv().ok()).collect();
        assert!(matches!(told[..2], [Told::Begun { tokens: 40, kept: 0, .. }, Told::Read { .. }]), "{told:?}");
        assert!(told[2..].iter().eq(tokens.iter().map(|&token| Told::Token(token)).collect::<Vec<_>>().iter()));
        assert!(matches!(little.try_recv(), Ok(Told::Begun { .. })) && little.try_recv().is_err());
    }

    #[test]
    fn what_is_no_number_is_not_kept() {
        let mut engine = engine(16);
        let mut reply = admit(&mut engine, job(1, 24));
        engine.step();
        for layer in 0..engine.model.config().layers.len() {
            let _ = engine.store.layer(layer).values.shallow_clone().fill_(f64::NAN);
        }
        while !engine.is_idle() {
            engine.step();
        }
        assert_eq!(reply.try_recv(), Ok(Err(JobError::NotANumber)));
        assert!(engine.run_alone(job(1, 24)).is_ok());
    }
}
