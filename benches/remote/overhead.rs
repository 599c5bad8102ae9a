//! What an ask takes beside the server's own time, at 200 asks a second, sent on schedule whether or not earlier ones are answered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hdrhistogram::Histogram;
use portcullis::guardrail::{Heard, Listener};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::deployment::{Deployment, Written, ask};
use crate::server::Process;

const RATE: u32 = 200;
/// The server's.
const WAIT: Duration = Duration::from_millis(20);
const WARM_UP: Duration = Duration::from_secs(2);
const ROUND: Duration = Duration::from_secs(10);
const ROUNDS: usize = 3;

pub async fn measure() {
    let server = Process::start(WAIT);
    let deployment = Written {
        engine: &format!("preset = \"vllm\"\nurl = \"http://{}\"", server.address),
        form: "binary",
        policies: 1,
        on_error: "block",
        deadline: Duration::from_secs(60),
        ca: "",
    }
    .read();
    open_loop(&deployment, WARM_UP, 0).await;
    println!();
    println!("Beside the server's own time ({WAIT:?}, as it says itself), {RATE} asks/s, open loop, {ROUND:?} each");
    println!("  {:<8}{:>10}{:>10}{:>10}", "ms", "p50", "p99", "max");
    for round in 1..=ROUNDS {
        let times = open_loop(&deployment, ROUND, round).await;
        let millis = |quantile| times.value_at_quantile(quantile) as f64 / 1e3;
        println!("  {round:<8}{:>10.2}{:>10.2}{:>10.2}", millis(0.5), millis(0.99), millis(1.0));
    }
    println!("  {:<8}{:>10}{:>10}", "wanted", "<= 0.4", "<= 3");
}

/// Microseconds of each ask that were not the server's.
async fn open_loop(deployment: &Deployment, time: Duration, round: usize) -> Histogram<u64> {
    let detector = &deployment.guardrails[0].detector;
    let times = Arc::new(Mutex::new(Histogram::<u64>::new(3).expect("three digits")));
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for number in 0..(time.as_millis() as u32 * RATE / 1000) {
        sleep_until(started + Duration::from_secs(1) * number / RATE).await;
        let (detector, times) = (detector.clone(), times.clone());
        tasks.spawn(async move {
            let own = Arc::new(AtomicU64::new(0));
            let heard = own.clone();
            let listener = Listener::new(move |told| {
                if let Heard::Read { tokens, .. } = told {
                    heard.store(tokens as u64, Ordering::Relaxed);
                }
            });
            let ask = ask(&format!("What is the capital of France? {round} {number}"), Some(listener));
            let asked = Instant::now();
            detector.detect(&ask).await.unwrap_or_else(|error| panic!("{error}"));
            let took = asked.elapsed().as_micros() as u64;
            let beside = took.saturating_sub(own.load(Ordering::Relaxed));
            times.lock().expect("no panic while held").record(beside.max(1)).expect("in range");
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic");
    }
    Arc::into_inner(times).expect("no task is left").into_inner().expect("no panic while held")
}
