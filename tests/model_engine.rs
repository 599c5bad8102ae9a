//! The engine against itself: however sequences are cut into pieces, put together, shared, interrupted and begun again, the
//! same comes out as of each alone.
#![cfg(feature = "libtorch")]

mod forward;

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use forward::{largest_difference, rows, settings};
use portcullis::model::{
    Choice, Choices, Compute, Dtype, Engine, ExpertFormat, Figures, Grammar, Job, JobError, KvCache, Limits, NoRoom,
    Outcome, Pins, Reply, Row, Settings, Snapshot, Source, Step, Ticket, Tokenizer, Transformer, Weights, Worker,
};
use proptest::prelude::*;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::oneshot::{self, Receiver};

/// Room that is never short.
const AMPLE: Limits = Limits { step_tokens: 4096, sequences: 64, kv_bytes: 256 << 20 };

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/random-tiny");

fn open() -> Transformer {
    forward::open(Path::new(TINY), &settings(Dtype::Float32, ExpertFormat::Auto))
}

/// As on a GPU: by libtorch alone, attention in groups of sequences.
fn open_on_libtorch() -> Transformer {
    let weights = Weights::open(Path::new(TINY)).unwrap();
    let compute = Compute::new(&settings(Dtype::Float32, ExpertFormat::Bfloat16), weights.config()).unwrap();
    Transformer::load(&weights, compute.on_libtorch(), |_| {}).unwrap()
}

struct Bench {
    engine: Engine,
    figures: Arc<Figures>,
    pins: Arc<Pins>,
}

fn start(limits: Limits) -> Bench {
    start_with(open(), limits)
}

fn start_with(model: Transformer, limits: Limits) -> Bench {
    let (figures, pins) = (Arc::new(Figures::default()), Arc::new(Pins::default()));
    Bench { engine: Engine::new(model, limits, pins.clone(), figures.clone()), figures, pins }
}

impl Bench {
    fn admit(&mut self, job: Job) -> Receiver<Reply> {
        let (reply, receiver) = oneshot::channel();
        self.engine.admit(Ticket { job, reply: Some(reply) });
        receiver
    }

    fn run_all(&mut self, jobs: Vec<Job>) -> Vec<Reply> {
        let mut replies: Vec<_> = jobs.into_iter().map(|job| self.admit(job)).collect();
        for _ in 0..100_000 {
            if self.engine.is_idle() {
                return replies.iter_mut().map(|reply| reply.try_recv().unwrap()).collect();
            }
            self.engine.step();
        }
        panic!("the engine makes no progress")
    }

    fn figures(&self) -> Snapshot {
        self.figures.snapshot(0)
    }
}

fn job(prompt: &[u32], shared: usize, steps: Vec<Step>) -> Job {
    Job { prompt: prompt.to_vec(), shared, grows: prompt.len(), steps, urgent: true, deadline: None, listener: None }
}

fn decode(budget: usize) -> Step {
    Step::Decode { stops: [].into(), budget }
}

fn choose(lists: &[&[u32]]) -> Step {
    let choices = lists.iter().map(|tokens| Choice { tokens: tokens.to_vec(), last: false }).collect();
    Step::Choose(Arc::new(Choices::new(choices).unwrap()))
}

/// Lists of words, of some twenty tokens.
static GRAMMAR: LazyLock<Arc<Grammar>> = LazyLock::new(|| {
    let tokenizer = Tokenizer::open(Path::new(TINY), 512).unwrap();
    let lark = "start: \"[\" WORD (\", \" WORD){0,3} \"]\"\nWORD: /\"[a-z ]{0,4}\"/";
    Arc::new(Grammar::new(&tokenizer, lark).unwrap())
});

/// Tokens of one seed.
fn tokens(seed: u32, count: usize) -> Vec<u32> {
    (0..count as u32).map(|i| (seed * 31 + i * i * 7 + i * 13) % 480).collect()
}

/// The same but for how floats are added up.
fn same(found: &[Outcome], expected: &[Outcome]) -> bool {
    found.len() == expected.len()
        && found.iter().zip(expected).all(|pair| match pair {
            (Outcome::Chosen { index: a, scores: x }, Outcome::Chosen { index: b, scores: y }) => {
                a == b && largest_difference(x, y) < 1e-4
            }
            (a, b) => a == b,
        })
}

/// Cut anywhere, forked and taken back anywhere, beside other sequences: the logits are those of the whole. The sequence is
/// longer than two sliding windows, so that what must not be seen is there to be seen.
#[test]
fn pieces_through_the_cache_give_what_the_whole_gives() {
    let model = open();
    let window = model.config().window as usize;
    let ids = tokens(1, 300);
    assert!(ids.len() > 2 * window);
    let whole = rows(&model, &ids);
    let pieces = prop::collection::vec((0..ids.len(), 0usize..40, any::<bool>()), 0..6);
    proptest!(ProptestConfig::with_cases(16), |(pieces in pieces)| {
        let store = model.kv_store(64 << 20, 512);
        let (mut cache, mut other) = (KvCache::default(), KvCache::default());
        let mut kept: Vec<KvCache> = Vec::new();
        let mut cuts: Vec<_> = pieces.into_iter().chain([(ids.len(), 0, false)]).collect();
        cuts.sort_unstable();
        for (cut, back, beside) in cuts {
            while cache.len() < cut {
                let from = cache.len();
                let piece = &ids[from..cut];
                let stray = [(from % 480) as u32; 3];
                cache.reserve(piece.len(), &store).unwrap();
                let mut batch = vec![Row { tokens: piece, cache: &mut cache }];
                if beside {
                    other.reserve(stray.len(), &store).unwrap();
                    batch.insert(0, Row { tokens: &stray, cache: &mut other });
                }
                let x = model.forward(&mut batch, &store);
                let first = if beside { stray.len() } else { 0 };
                let places: Vec<usize> = (first..first + piece.len()).collect();
                let found = Vec::<Vec<f32>>::try_from(model.logits(&x, &places)).unwrap();
                for (found, whole) in found.iter().zip(&whole[from..cut]) {
                    let difference = largest_difference(found, whole);
                    prop_assert!(difference <= 1e-4, "from {}: {}", from, difference);
                }
                // What others keep of a sequence is theirs: what is written after does not reach it.
                kept.extend(cache.fork(cache.len() - back.min(cache.len()), window));
                cache.release(window);
            }
            let mut strayed = cache.clone();
            strayed.reserve(5, &store).unwrap();
            let _ = model.forward(&mut [Row { tokens: &[1, 2, 3, 4, 5], cache: &mut strayed }], &store);
            cache.truncate(cut - back.min(cut), window);
        }
        for mut fork in kept {
            let from = fork.len();
            let rest = &ids[from..(from + 3).min(ids.len())];
            if rest.is_empty() {
                continue;
            }
            fork.reserve(rest.len(), &store).unwrap();
            let x = model.forward(&mut [Row { tokens: rest, cache: &mut fork }], &store);
            let found = Vec::<Vec<f32>>::try_from(model.logits(&x, &[rest.len() - 1])).unwrap();
            prop_assert!(largest_difference(&found[0], &whole[from + rest.len() - 1]) <= 1e-4);
        }
    });
}

/// Any jobs at once, in little room, in small steps: each comes to what it comes to alone.
#[test]
fn together_gives_what_each_alone_gives() {
    together(open, 24);
}

#[test]
fn together_gives_what_each_alone_gives_on_libtorch() {
    together(open_on_libtorch, 12);
}

fn together(open: fn() -> Transformer, cases: u32) {
    let options: [&[&[u32]]; 3] =
        [&[&[5], &[9]], &[&[5, 6, 7], &[5, 6, 8], &[5, 9], &[10, 11, 12], &[13]], &[&[3, 3], &[3, 4]]];
    let step = prop_oneof![
        (0usize..12).prop_map(decode),
        (0usize..3).prop_map(move |i| choose(options[i])),
        (0u32..9).prop_map(|seed| Step::Force(tokens(seed, 5).into())),
        (0usize..40).prop_map(|budget| Step::Constrain { grammar: GRAMMAR.clone(), budget }),
    ];
    let one = (0u32..2, 0usize..200, 0u32..3, 1usize..150, prop::collection::vec(step, 1..4), any::<bool>());
    let all = (prop::collection::vec(one, 1..9), 1usize..300, 1usize..6, 0usize..40, 0u32..3);
    let (hits, evictions, preemptions, wholes) = (Cell::new(0), Cell::new(0), Cell::new(0), Cell::new(0));
    let alone = RefCell::new(start(Limits { kv_bytes: 0, step_tokens: 600, sequences: 1 }));
    proptest!(ProptestConfig::with_cases(cases), |((jobs, step_tokens, sequences, pages, pinned) in all)| {
        let jobs: Vec<Job> = jobs
            .into_iter()
            .map(|(policy, shared, content, length, steps, urgent)| {
                let prompt = [tokens(policy, shared), tokens(content + 7, length)].concat();
                Job { urgent, ..job(&prompt, shared, steps) }
            })
            .collect();
        // A page of the two full layers of this model takes 16 KiB, and full layers have three fifths of the room.
        let longest = jobs.iter().map(Job::longest).max().unwrap_or(0);
        let kv_bytes = (longest.div_ceil(16) + 2 + pages) * (16 << 10) * 5 / 3;
        let mut together = start_with(open(), Limits { step_tokens, sequences, kv_bytes });
        let pin = |job: &Job| together.pins.pin(job.prompt[..job.shared].into());
        let _pins: Vec<_> = jobs.iter().take(pinned as usize).map(pin).collect();
        let found = together.run_all(jobs.clone());
        for (job, found) in jobs.into_iter().zip(found) {
            // Keeps nothing, so finds nothing.
            let expected = alone.borrow_mut().engine.run_alone(Job { shared: 0, grows: 0, ..job });
            let whole = |outcome: &&Outcome| matches!(outcome, Outcome::Decoded { stop, .. } if *stop == Some(GRAMMAR.end()));
            wholes.set(wholes.get() + found.iter().flatten().filter(whole).count());
            match (&found, &expected) {
                (Ok(found), Ok(expected)) => prop_assert!(same(found, expected), "{:?} for {:?}", found, expected),
                _ => prop_assert_eq!(&found, &expected),
            }
        }
        let figures = together.figures();
        prop_assert_eq!(figures.running, 0);
        prop_assert!(figures.kv_bytes <= figures.kv_capacity);
        hits.set(hits.get() + figures.hit_tokens);
        evictions.set(evictions.get() + figures.evictions);
        preemptions.set(preemptions.get() + figures.preemptions);
    });
    // Else the room was never short, nothing was shared, and no text under a grammar came to its end.
    let counts = [hits.get(), evictions.get(), preemptions.get(), wholes.get() as u64];
    assert!(counts.iter().all(|&count| count > 0), "{counts:?}");
}

/// Walking a tree of choices gives what computing every choice on its own gives, and leaves the sequence as if the best
/// had been appended outright.
#[test]
fn a_choices_score_is_the_product_of_its_shares() {
    let model = open();
    let mut bench = start(AMPLE);
    let lists: [&[u32]; 5] = [&[5, 6, 7], &[5, 6, 8], &[5, 9], &[10, 11, 12], &[13]];
    let mut winners = [0; 5];
    for seed in 0..10 {
        let prompt = tokens(seed, 10 + 5 * seed as usize);
        let found = bench.engine.run_alone(job(&prompt, 0, vec![choose(&lists), decode(3)])).unwrap();
        let [Outcome::Chosen { index, scores }, Outcome::Decoded { tokens, .. }] = &found[..] else { panic!() };

        let share = |after: &[u32], among: &[u32], of: u32| {
            let logits = rows(&model, &[&prompt, after].concat()).pop().unwrap();
            let sum: f32 = among.iter().map(|&token| logits[token as usize].exp()).sum();
            (logits[of as usize].exp() / sum).ln()
        };
        let first = |of| share(&[], &[5, 10, 13], of);
        let six = share(&[5], &[6, 9], 6);
        let expected = [
            first(5) + six + share(&[5, 6], &[7, 8], 7),
            first(5) + six + share(&[5, 6], &[7, 8], 8),
            first(5) + share(&[5], &[6, 9], 9),
            first(10),
            first(13),
        ];
        assert!(largest_difference(scores, &expected) < 1e-4, "{scores:?} for {expected:?}");
        assert!((scores.iter().map(|score| score.exp()).sum::<f32>() - 1.0).abs() < 1e-5);
        assert!(expected.iter().all(|&score| score <= expected[*index] + 1e-5));
        let chosen = [&prompt, lists[*index]].concat();
        let outright = bench.engine.run_alone(job(&chosen, 0, vec![decode(3)])).unwrap();
        assert_eq!(outright, [Outcome::Decoded { tokens: tokens.clone(), stop: None }]);
        winners[*index] += 1;
    }
    // Else the sequence never had to forget what it had computed of another choice.
    assert!(winners[3..].iter().sum::<i32>() > 0 && winners[..3].iter().sum::<i32>() > 0, "{winners:?}");
}

#[test]
fn a_policy_is_computed_once_and_a_growing_text_once() {
    let mut bench = start(AMPLE);
    let (policy, text, suffix) = (tokens(1, 200), tokens(2, 250), tokens(3, 10));
    let ask = |length: usize| {
        let prompt = [&policy[..], &text[..length], &suffix].concat();
        Job { grows: policy.len() + length, ..job(&prompt, policy.len(), vec![choose(&[&[5], &[9]])]) }
    };
    for length in (25..=250).step_by(25) {
        bench.engine.run_alone(ask(length)).unwrap();
    }
    let Snapshot { prompt_tokens, hit_tokens, computed_tokens, .. } = bench.figures();
    assert_eq!(computed_tokens as usize, policy.len() + text.len() + 10 * suffix.len());
    assert_eq!(hit_tokens, prompt_tokens - computed_tokens);
    // Another text under the same policy.
    let other = [&policy[..], &tokens(9, 40)].concat();
    bench.engine.run_alone(job(&other, policy.len(), vec![decode(1)])).unwrap();
    assert_eq!(bench.figures().computed_tokens - computed_tokens, 40);
}

#[test]
fn policies_that_begin_together_are_computed_once() {
    let mut bench = start(AMPLE);
    let jobs = (0..6).map(|content| job(&[tokens(1, 150), tokens(content + 2, 20)].concat(), 150, vec![decode(1)]));
    assert!(bench.run_all(jobs.collect()).iter().all(Result::is_ok));
    assert_eq!(bench.figures().computed_tokens, 150 + 6 * 20);
}

/// The least recently used go when room is short, and what is pinned stays for as long as it is held.
#[test]
fn pinned_beginnings_outlast_others() {
    let limits = Limits { kv_bytes: 120 * (16 << 10), ..AMPLE };
    for held in [true, false] {
        let mut bench = start(Limits { step_tokens: 64, ..limits });
        let policy: Arc<[u32]> = tokens(1, 100).into();
        let ask =
            |policy: &[u32], content: u32| job(&[policy, &tokens(content, 30)].concat(), policy.len(), vec![decode(1)]);
        let other = policy.to_vec();
        let pin = bench.pins.pin(policy);
        if !held {
            drop(pin);
        }
        bench.engine.run_alone(ask(&other, 2)).unwrap();
        for seed in 10..20 {
            bench.engine.run_alone(ask(&tokens(seed, 200), seed)).unwrap();
        }
        assert!(bench.figures().evictions > 0);
        let before = bench.figures().hit_tokens;
        bench.engine.run_alone(ask(&other, 3)).unwrap();
        assert_eq!(bench.figures().hit_tokens - before, if held { 100 } else { 0 });
    }
}

/// What runs waits or begins again before a pinned beginning goes; where it is alone, it goes after all.
#[test]
fn pinned_beginnings_outlast_what_runs() {
    let mut bench = start(Limits { step_tokens: 64, kv_bytes: 40 * (16 << 10) * 5 / 3, ..AMPLE });
    let policy = tokens(1, 100);
    let _pin = bench.pins.pin(policy.clone().into());
    let hit = |bench: &mut Bench, content| {
        let before = bench.figures().hit_tokens;
        let prompt = [&policy[..], &tokens(content, 30)].concat();
        bench.engine.run_alone(job(&prompt, policy.len(), vec![decode(1)])).unwrap();
        bench.figures().hit_tokens - before
    };
    assert_eq!([hit(&mut bench, 2), hit(&mut bench, 3)], [0, 100]);
    let jobs = (10..14).map(|seed| job(&tokens(seed, 200), 0, vec![decode(20)]));
    assert!(bench.run_all(jobs.collect()).iter().all(Result::is_ok));
    assert!(bench.figures().evictions > 0, "there was room for all");
    assert_eq!(hit(&mut bench, 4), 100);
    let longest = bench.engine.longest();
    bench.engine.run_alone(job(&tokens(20, longest - 1), 0, vec![decode(1)])).unwrap();
    assert_eq!(hit(&mut bench, 5), 0);
}

/// Nothing is held for what does not fit.
#[test]
fn room_is_made_for_all_or_for_nothing() {
    let store = open().kv_store(0, 100);
    let mut cache = KvCache::default();
    assert_eq!(cache.reserve(100_000, &store), Err(NoRoom));
    assert_eq!(store.room().used, 0);
    let longest = store.longest();
    assert_eq!(cache.reserve(longest + 16, &store), Ok(()));
    assert_eq!(KvCache::default().reserve(1, &store), Err(NoRoom));
}

#[test]
fn a_prompt_counts_once_however_long_it_waits() {
    let mut bench = start(Limits { step_tokens: 16, ..AMPLE });
    let jobs = (0..4).map(|seed| job(&tokens(seed, 100), 0, vec![decode(1)]));
    assert!(bench.run_all(jobs.collect()).iter().all(Result::is_ok));
    let Snapshot { prompt_tokens, hit_tokens, computed_tokens, .. } = bench.figures();
    assert_eq!((prompt_tokens, hit_tokens + computed_tokens), (400, 400));
}

#[test]
fn whoever_nobody_waits_for_leaves_at_once() {
    let mut bench = start(Limits { step_tokens: 8, ..AMPLE });
    let dropped = bench.admit(job(&tokens(1, 100), 0, vec![decode(1000)]));
    let soon = Instant::now() + Duration::from_secs(2);
    let mut late = bench.admit(Job { deadline: Some(soon), ..job(&tokens(2, 100), 0, vec![decode(100_000)]) });
    bench.engine.step();
    assert_eq!(bench.figures().running, 2);
    drop(dropped);
    bench.engine.step();
    assert_eq!(bench.figures().running, 1);
    while !bench.engine.is_idle() {
        bench.engine.step();
    }
    assert_eq!(late.try_recv().unwrap(), Err(JobError::Late));
    drop(bench.admit(job(&tokens(3, 100), 0, vec![decode(1000)])));
    bench.engine.step();
    assert_eq!((bench.engine.is_idle(), bench.figures().running), (true, 0));
    let alone = bench.admit(job(&tokens(3, 100), 0, vec![decode(1000)]));
    bench.engine.step();
    let held = bench.figures().kv_bytes;
    drop(alone);
    bench.engine.step();
    assert!(bench.figures().running == 0 && bench.figures().kv_bytes < held);
}

#[test]
fn a_job_that_is_none_is_told_from_a_failure() {
    let mut bench = start(AMPLE);
    for prompt in [&[][..], &[1, 512]] {
        assert!(matches!(bench.engine.run_alone(job(prompt, 0, vec![decode(1)])), Err(JobError::Invalid(_))));
    }
    let foreign = bench.engine.run_alone(job(&[1], 0, vec![choose(&[&[5], &[9, 70_000]])]));
    assert!(matches!(foreign, Err(JobError::Invalid(_))));
}

/// Others fill all there is to fill, and go on.
#[test]
fn urgent_jobs_are_taken_up_beside_all_others() {
    let limits = Limits { step_tokens: 64, sequences: 2, kv_bytes: 32 << 20 };
    let (model, compute) = (Source::Directory(TINY.into()), settings(Dtype::Float32, ExpertFormat::Auto));
    let worker = Worker::start(&Settings { model, compute, queue: 8, limits }).unwrap();
    let ask = |seed, urgent, budget| {
        worker.submit(Job { urgent, ..job(&tokens(seed, 20), 0, vec![decode(budget)]) }).unwrap()
    };
    let mut others: Vec<_> = (0..4).map(|seed| ask(seed, false, 5000)).collect();
    while worker.figures().running < 2 {
        std::thread::yield_now();
    }
    assert!(ask(9, true, 3).blocking_recv().unwrap().is_ok());
    assert!(others.iter_mut().all(|other| other.try_recv() == Err(TryRecvError::Empty)));
    assert!(worker.figures().running <= 3, "others still have a limit");
}

#[test]
fn urgent_sequences_do_not_wait_for_others() {
    let mut bench = start(Limits { step_tokens: 16, ..AMPLE });
    let mut other = bench.admit(Job { urgent: false, ..job(&tokens(1, 400), 0, vec![decode(1)]) });
    bench.engine.step();
    let mut urgent = bench.admit(job(&tokens(2, 30), 0, vec![decode(4)]));
    // Two pieces of the prompt, and three of the four tokens are fed back.
    for _ in 0..5 {
        assert!(urgent.try_recv().is_err());
        bench.engine.step();
    }
    assert!(urgent.try_recv().unwrap().is_ok());
    assert!(other.try_recv().is_err());
}

/// Who is needed the soonest would wait for a policy that is last in line to be computed.
#[test]
fn nobody_waits_for_what_comes_later() {
    let mut bench = start(Limits { step_tokens: 32, ..AMPLE });
    let now = Instant::now();
    let ask = |bench: &mut Bench, policy, content, hours: u64| {
        let prompt = [tokens(policy, 300), tokens(content, 20)].concat();
        let deadline = Some(now + Duration::from_secs(hours * 3600));
        bench.admit(Job { deadline, ..job(&prompt, 300, vec![decode(1)]) })
    };
    let _last = ask(&mut bench, 1, 3, 3);
    bench.engine.step();
    let mut second = ask(&mut bench, 2, 4, 2);
    let mut first = ask(&mut bench, 1, 5, 1);
    while first.try_recv().is_err() {
        assert!(second.try_recv().is_err());
        bench.engine.step();
    }
}
