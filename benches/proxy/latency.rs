//! What the pattern guard adds to a request's time at 500 requests a second, sent on schedule whether or not earlier
//! ones are answered; and what the program without a guardrail adds to that of stock Pingora, on requests of 4 KB.

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
    let request = load::request(load::SMALL);
    let [direct, proxied] = percentiles([upstream.address, patterns.process.address], &request).await;
    println!();
    println!("Latency at {RATE} req/s, open loop, pattern guard on both stages; medians of {ROUNDS} rounds in turn");
    print("direct", "proxied", &direct, &proxied, ["<= 0.5", "<= 3"]);

    let stock = Process::role(&["run-stock", &upstream.address.to_string()]);
    let unguarded = deployments::unguarded(upstream.address);
    let request = load::request(&four_kilobytes());
    let [stock, own] = percentiles([stock.address, unguarded.process.address], &request).await;
    println!();
    println!("The same with requests of {} bytes, no guardrail, beside stock Pingora", request.len());
    print("stock", "own", &stock, &own, ["<= 0.15", ""]);
}

fn print(from: &str, to: &str, base: &[f64; 2], own: &[f64; 2], wanted: [&str; 2]) {
    println!("  {:<8}{:>12}{:>12}{:>12}{:>12}", "", format!("{from} ms"), format!("{to} ms"), "added ms", "wanted");
    for (index, name) in ["p50", "p99"].into_iter().enumerate() {
        let (base, own) = (base[index], own[index]);
        println!("  {name:<8}{base:>12.2}{own:>12.2}{:>12.2}{:>12}", own - base, wanted[index]);
    }
}

/// A chat request of so much prose.
fn four_kilobytes() -> String {
    let text: String = "A few words that nobody objects to, and then a few more. ".chars().cycle().take(4000).collect();
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{text}"}}]}}"#)
}

/// Median and 99th percentile of each, in milliseconds; themselves the medians of rounds in turn.
async fn percentiles<const N: usize>(to: [SocketAddr; N], request: &[u8]) -> [[f64; 2]; N] {
    let request: Arc<[u8]> = request.into();
    for address in to {
        open_loop(address, &request, Duration::from_secs(1)).await;
    }
    let mut rounds = [const { [const { Vec::new() }; 2] }; N];
    for _ in 0..ROUNDS {
        for (address, seen) in to.into_iter().zip(&mut rounds) {
            let times = open_loop(address, &request, ROUND).await;
            for (seen, quantile) in seen.iter_mut().zip([0.50, 0.99]) {
                seen.push(times.value_at_quantile(quantile) as f64 / 1e3);
            }
        }
    }
    rounds.map(|seen| seen.map(median))
}

/// Times from when each request was sent to when its answer was read, in microseconds.
async fn open_loop(to: SocketAddr, request: &Arc<[u8]>, time: Duration) -> Histogram<u64> {
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
