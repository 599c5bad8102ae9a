//! Five hundred guarded streams at once, each verdict taking 50 ms: how much longer than one alone could take, and whether
//! a forbidden word gets through.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::child::Process;
use crate::load::{self, Connection};
use crate::sleeping::{VERDICT, WINDOW};
use crate::{upstream, upstream::EVENTS};

const STREAMS: usize = 500;
const ROUNDS: usize = 5;

pub async fn measure() {
    let mock = Process::role(&["run-upstream"]);
    let proxy = Process::role(&["run-sleeping", &mock.address.to_string()]);
    round(proxy.address, STREAMS).await;
    let alone = round(proxy.address, 1).await;
    let mut all = Round::default();
    for _ in 0..ROUNDS {
        all.add(round(proxy.address, STREAMS).await);
    }
    let floor = floor().as_secs_f64() * 1e3;
    let at = |times: &[f64], quantile: f64| times[((times.len() - 1) as f64 * quantile) as usize];
    let (p50, p99) = (at(&all.times, 0.5), at(&all.times, 0.99));
    println!();
    println!(
        "Streams: {STREAMS} at once, {EVENTS} events every {} ms, a verdict of {} ms a window; {ROUNDS} rounds",
        upstream::PAUSE.as_millis(),
        VERDICT.as_millis()
    );
    println!("  floor (no work takes any time)  {floor:>8.1} ms");
    println!("  one stream alone                {:>8.1} ms", at(&alone.times, 0.5));
    println!("  p50                             {p50:>8.1} ms   {:.3} of the floor", p50 / floor);
    println!("  p99                             {p99:>8.1} ms   {:.3} of the floor, wanted <= 1.15", p99 / floor);
    println!("  forbidden words that came through: {} of {} (wanted 0)", all.leaked, all.cut + all.leaked);
    println!("  streams that were cut but should not have been: {}", all.wrong);
}

#[derive(Default)]
struct Round {
    /// Of the streams that ran to their end, in milliseconds, sorted.
    times: Vec<f64>,
    cut: usize,
    leaked: usize,
    wrong: usize,
}

impl Round {
    fn add(&mut self, other: Round) {
        self.times.extend(other.times);
        self.times.sort_by(f64::total_cmp);
        self.cut += other.cut;
        self.leaked += other.leaked;
        self.wrong += other.wrong;
    }
}

/// Every tenth stream holds the forbidden word, where there are so many.
async fn round(to: SocketAddr, count: usize) -> Round {
    let mut connections = Vec::new();
    for _ in 0..count {
        connections.push(Connection::open(to).await);
    }
    let tasks = connections.into_iter().enumerate().map(|(index, mut connection)| {
        tokio::spawn(async move {
            let bad = index % 10 == 9;
            let request = load::streamed(if bad { upstream::BAD } else { "be good" });
            let started = Instant::now();
            let answer = connection.stream(&request).await;
            let took = started.elapsed().as_secs_f64() * 1e3;
            let answer = String::from_utf8_lossy(answer).into_owned();
            (bad, took, answer)
        })
    });
    let mut round = Round::default();
    for task in tasks.collect::<Vec<_>>() {
        let (bad, took, answer) = task.await.expect("no panic");
        match (bad, answer.contains("content_filter")) {
            _ if answer.contains(upstream::FORBIDDEN.trim()) => round.leaked += 1,
            (true, true) => round.cut += 1,
            (false, false) if answer.contains("[DONE]") => round.times.push(took),
            _ => round.wrong += 1,
        }
    }
    round.times.sort_by(f64::total_cmp);
    round
}

/// How long a stream takes if nothing but the upstream's pauses and the verdicts takes time: one verdict at a time, each
/// on all text so far, asked as soon as a window is full; a last one at the end.
fn floor() -> Duration {
    let mut free = Duration::ZERO;
    let mut judged = 0;
    let mut now = Duration::ZERO;
    for event in 1..=EVENTS {
        now = upstream::PAUSE * (event as u32 - 1);
        // A verdict that came since the last event may have found a full window waiting.
        if free < now && (event - 1 - judged) * upstream::WORD >= WINDOW {
            free += VERDICT;
            judged = event - 1;
        }
        if free <= now && (event - judged) * upstream::WORD >= WINDOW {
            free = now + VERDICT;
            judged = event;
        }
    }
    now.max(free) + VERDICT
}
