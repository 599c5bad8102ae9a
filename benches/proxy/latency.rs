//! What the pattern guard adds to a request's time at 500 requests a second, sent on schedule whether or not earlier
//! ones are answered.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::{Instant, sleep_until};

use crate::child::Process;
use crate::load::{self, Connection};
use crate::{deployments, median};

const RATE: u32 = 500;
/// Open from the start; more are opened where these are all busy.
const CONNECTIONS: usize = 16;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(4);

pub async fn measure() {
    let upstream = Process::role(&["run-upstream"]);
    let patterns = deployments::patterns(upstream.address);
    let to = [upstream.address, patterns.process.address];
    for address in to {
        open_loop(address, Duration::from_secs(1)).await;
    }
    let mut percentiles = vec![vec![Vec::new(); 2]; to.len()];
    for _ in 0..ROUNDS {
        for (which, address) in to.into_iter().enumerate() {
            let times = open_loop(address, ROUND).await;
            for (index, quantile) in [0.50, 0.99].into_iter().enumerate() {
                percentiles[which][index].push(times.value_at_quantile(quantile) as f64 / 1e3);
            }
        }
    }
    println!();
    println!("Latency at {RATE} req/s, open loop, pattern guard on both stages; medians of {ROUNDS} rounds in turn");
    println!("  {:<8}{:>12}{:>12}{:>12}{:>12}", "", "direct ms", "proxied ms", "added ms", "wanted");
    for (index, (name, wanted)) in [("p50", "<= 0.5"), ("p99", "<= 3")].into_iter().enumerate() {
        let [direct, proxied] = [0, 1].map(|which| median(percentiles[which][index].clone()));
        println!("  {name:<8}{direct:>12.2}{proxied:>12.2}{:>12.2}{wanted:>12}", proxied - direct);
    }
}

/// Times from when each request was sent to when its answer was read, in microseconds.
async fn open_loop(to: SocketAddr, time: Duration) -> Histogram<u64> {
    let request: Arc<[u8]> = load::request(load::SMALL).into();
    let idle = Arc::new(Mutex::new(Vec::<Connection>::new()));
    let times = Arc::new(Mutex::new(Histogram::<u64>::new(3).expect("three digits")));
    for _ in 0..CONNECTIONS {
        let connection = Connection::open(to).await;
        idle.lock().expect("no panic while held").push(connection);
    }
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..(time.as_millis() as u32 * RATE / 1000) {
        sleep_until(started + Duration::from_secs(1) * number / RATE).await;
        // And not when it was due: the timer's own lateness, up to a millisecond, is none of the proxy's.
        let sent = Instant::now();
        let (request, idle, times) = (request.clone(), idle.clone(), times.clone());
        tasks.spawn(async move {
            let kept = idle.lock().expect("no panic while held").pop();
            let mut connection = match kept {
                Some(connection) => connection,
                None => Connection::open(to).await,
            };
            connection.ask(&request).await;
            let took = sent.elapsed().as_micros() as u64;
            times.lock().expect("no panic while held").record(took.max(1)).expect("in range");
            idle.lock().expect("no panic while held").push(connection);
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic");
    }
    Arc::into_inner(times).expect("no task is left").into_inner().expect("no panic while held")
}
