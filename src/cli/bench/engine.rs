//! Measures the engine: how fast it loads, reads and writes, and how many verdicts it gives, alone and together.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

use super::figures::{Moved, median, memory};
use super::report::{Report, Verdicts};
use crate::model::{
    Choice, Choices, ComputeSettings, Config, Dtype, ExpertFormat, Job, JobError, Limits, LoadError, Outcome, Settings,
    Source, Step, Worker, read_bandwidth,
};

/// Tokens of the policy, of the content, and of what harmony puts behind it.
const POLICY: usize = 600;
const CONTENT: usize = 200;
const SUFFIX: usize = 7;
/// Runs of which the median counts.
const RUNS: usize = 3;
/// Verdicts at once that are asked for only once.
const MANY: usize = 8;

#[derive(Args)]
pub struct Arguments {
    /// The shape of the model
    #[arg(long, default_value = "20b", value_parser = Config::SHAPES)]
    shape: String,
    /// Random weights of this shape, made in memory
    #[arg(long, conflicts_with = "model")]
    random: bool,
    /// The weights of this checkpoint
    #[arg(long, required_unless_present = "random")]
    model: Option<PathBuf>,
    #[arg(long, default_value = "cpu")]
    device: String,
    #[arg(long, default_value = "auto")]
    dtype: DtypeArgument,
    #[arg(long, default_value = "auto")]
    experts: ExpertsArgument,
    /// CPU threads [default: one for each core; of a small model one]
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Tokens of a step; 0 is 512 on a CPU, 4096 on a GPU
    #[arg(long, default_value_t = 0)]
    step_tokens: usize,
    /// Prompts of these lengths are read
    #[arg(long, value_delimiter = ',', default_values_t = [64, 512])]
    prefill: Vec<usize>,
    /// Verdicts asked for at once; none with 0
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 32])]
    concurrency: Vec<usize>,
    /// Tokens that a verdict at effort low reasons for
    #[arg(long, default_value_t = 64)]
    reasoning: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum DtypeArgument {
    Auto,
    Float32,
    Bfloat16,
}

#[derive(Clone, Copy, ValueEnum)]
enum ExpertsArgument {
    Auto,
    Packed,
    Bfloat16,
}

#[derive(Debug, thiserror::Error)]
enum BenchError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Job(#[from] JobError),
}

pub fn run(arguments: &Arguments) -> ExitCode {
    match measure(arguments) {
        Ok(report) if arguments.json => println!("{}", report.json()),
        Ok(_) => {}
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn measure(arguments: &Arguments) -> Result<Report, BenchError> {
    let config = match &arguments.model {
        Some(dir) => Config::open(dir)?,
        // The parser takes only shapes that there are.
        None => Config::shape(&arguments.shape).expect("a known shape"),
    };
    let source = match &arguments.model {
        Some(dir) => Source::Directory(dir.clone()),
        None => Source::Random(config.clone()),
    };
    let settings = settings(arguments, source);
    let threads = settings.compute.threads(&config);
    let on_cpu = arguments.device == "cpu";
    let name = arguments.model.as_ref().map_or(arguments.shape.clone(), |dir| dir.display().to_string());
    let mut report = Report::new(name, arguments.device.clone(), threads, !arguments.json);
    // Before the weights are there: what it reads would count as theirs.
    report.bandwidth(on_cpu.then(|| read_bandwidth(threads)));
    let unpacked = match settings.compute.experts {
        ExpertFormat::Auto => !on_cpu,
        ExpertFormat::Packed => false,
        ExpertFormat::Bfloat16 => true,
    };
    let moved = Moved::new(&config, unpacked);
    let begin = Instant::now();
    let worker = Worker::start(&settings)?;
    report.loaded(begin.elapsed(), memory(), moved.all());
    let mut bench = Bench { worker, vocab: config.vocab as u32, seed: 0 };

    for &length in &arguments.prefill {
        let took = median((0..RUNS).map(|_| bench.prefill(length)))?;
        report.prefill(length, took, moved.writing(length));
    }
    for sequences in [1, 8] {
        let took = median((0..RUNS).map(|_| bench.decode(sequences)))?;
        report.decode(sequences, took, moved.writing(sequences));
    }
    for &asks in arguments.concurrency.iter().filter(|&&asks| asks > 0) {
        for reasoning in [0, arguments.reasoning] {
            for cached in [false, true] {
                // Many at once are a sample by themselves.
                let bursts = if asks < MANY { RUNS } else { 1 };
                let (mut total, mut each) = (Duration::ZERO, Vec::new());
                for _ in 0..bursts {
                    let (took, some) = bench.verdicts(asks, reasoning, cached)?;
                    total += took;
                    each.extend(some);
                }
                let tokens = asks * (CONTENT + SUFFIX) + if cached { 0 } else { POLICY };
                let steps = tokens.div_ceil(settings.limits.step_tokens);
                let bytes = steps as f64 * moved.reading(tokens.min(settings.limits.step_tokens))
                    + reasoning as f64 * moved.writing(asks);
                report.verdicts(Verdicts { asks, reasoning, cached, total, each, bytes });
            }
        }
    }
    report.memory(memory());
    Ok(report)
}

fn settings(arguments: &Arguments, model: Source) -> Settings {
    let on_cpu = arguments.device == "cpu";
    let dtype = match arguments.dtype {
        DtypeArgument::Auto => Dtype::Auto,
        DtypeArgument::Float32 => Dtype::Float32,
        DtypeArgument::Bfloat16 => Dtype::Bfloat16,
    };
    let experts = match arguments.experts {
        ExpertsArgument::Auto => ExpertFormat::Auto,
        ExpertsArgument::Packed => ExpertFormat::Packed,
        ExpertsArgument::Bfloat16 => ExpertFormat::Bfloat16,
    };
    let compute = ComputeSettings { device: arguments.device.clone(), dtype, experts, threads: arguments.threads };
    let step_tokens = match arguments.step_tokens {
        0 if on_cpu => 512,
        0 => 4096,
        tokens => tokens,
    };
    let kv_bytes = if on_cpu { 1 << 30 } else { 4 << 30 };
    Settings { model, compute, queue: 4096, limits: Limits { step_tokens, sequences: 128, kv_bytes } }
}

struct Bench {
    worker: Worker,
    vocab: u32,
    seed: u64,
}

impl Bench {
    /// Tokens that were never asked before.
    fn fresh(&mut self, count: usize) -> Vec<u32> {
        let next = || {
            // Numerical Recipes' generator: any spread-out ids do.
            self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((self.seed >> 33) % u64::from(self.vocab)) as u32
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    fn prefill(&mut self, length: usize) -> Result<Duration, JobError> {
        let prompt = self.fresh(length);
        // With the scores of every token that could come next.
        let next = Step::Decode { stops: [].into(), budget: 1 };
        let begin = Instant::now();
        self.run(vec![job(prompt, 0, vec![next])])?;
        Ok(begin.elapsed())
    }

    /// Of one step in which every sequence, of 64 tokens and more, goes on by a token.
    fn decode(&mut self, sequences: usize) -> Result<Duration, JobError> {
        const FEW: usize = 4;
        const MORE: usize = 20;
        let prompts: Vec<Vec<u32>> = (0..sequences).map(|_| self.fresh(64)).collect();
        let time = |budget: usize| {
            let step = Step::Decode { stops: [].into(), budget };
            let jobs = prompts.iter().map(|prompt| job(prompt.clone(), 0, vec![step.clone()])).collect();
            let begin = Instant::now();
            self.run(jobs).map(|_| begin.elapsed())
        };
        // What both have in common is the prompt.
        let few = time(FEW)?;
        Ok(time(MORE)?.saturating_sub(few) / (MORE - FEW) as u32)
    }

    /// How long all took, and each of them. A policy that is not cached is new for each round.
    fn verdicts(&mut self, asks: usize, reasoning: usize, cached: bool) -> Result<(Duration, Vec<Duration>), JobError> {
        let policy = self.fresh(POLICY);
        if cached {
            self.run(vec![job(policy.clone(), POLICY, vec![labels()])])?;
        }
        let opener: Arc<[u32]> = self.fresh(3).into();
        let conclude: Arc<[u32]> = self.fresh(6).into();
        let steps = match reasoning {
            0 => vec![Step::Force(opener), labels()],
            budget => {
                let decode = Step::Decode { stops: [].into(), budget };
                vec![Step::Force(opener), decode, Step::Force(conclude), labels()]
            }
        };
        let suffix = SUFFIX - 3;
        let jobs = (0..asks)
            .map(|_| job([&policy[..], &self.fresh(CONTENT + suffix)].concat(), POLICY, steps.clone()))
            .collect();
        let begin = Instant::now();
        let each = self.run(jobs)?;
        Ok((begin.elapsed(), each))
    }

    /// Runs jobs together. Gives how long each took from the common start.
    fn run(&self, jobs: Vec<Job>) -> Result<Vec<Duration>, JobError> {
        let begin = Instant::now();
        let replies = jobs.into_iter().map(|job| self.worker.submit(job)).collect::<Result<Vec<_>, _>>()?;
        // A thread for each, so that each end is seen when it comes.
        std::thread::scope(|scope| {
            let waiting: Vec<_> = replies
                .into_iter()
                .map(|reply| {
                    scope.spawn(move || {
                        let reply: Result<Vec<Outcome>, JobError> =
                            reply.blocking_recv().unwrap_or(Err(JobError::Stopped));
                        reply.map(|_| begin.elapsed())
                    })
                })
                .collect();
            waiting.into_iter().map(|thread| thread.join().unwrap_or(Err(JobError::Stopped))).collect()
        })
    }
}

fn job(prompt: Vec<u32>, shared: usize, steps: Vec<Step>) -> Job {
    Job { prompt, shared, grows: 0, steps, urgent: true, deadline: None, listener: None }
}

/// The answers `0` and `1` of a binary policy.
fn labels() -> Step {
    let choice = |token| Choice { tokens: vec![token], last: true };
    // Two different tokens can be told apart.
    Step::Choose(Arc::new(Choices::new(vec![choice(15), choice(16)]).expect("two choices")))
}
