//! Prints the figures that the proxy is held to: throughput against stock Pingora, added latency, guarded streams, memory.
//! Not a test: it measures, and people judge. `cargo bench --bench proxy`, or with names of parts after `--`:
//! throughput, latency, streams, memory.
//!
//! Everything that is measured runs as a process of its own: an upstream that does next to nothing, stock Pingora, and
//! the program itself. All share the machine with the load, so ratios from one run mean more than numbers alone.

mod child;
mod deployments;
mod latency;
mod load;
mod memory;
mod sleeping;
mod stock;
mod streams;
mod throughput;
mod upstream;

use std::net::Ipv4Addr;

use tokio::net::{TcpListener, TcpSocket};

/// The program's own, for stock Pingora as well: what is compared is what the program does.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Worker threads of every proxy that is measured.
const WORKERS: usize = 2;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["run-upstream"] => upstream::run(),
        ["run-stock", to] => stock::run(to),
        ["run-sleeping", to] => sleeping::run(to),
        _ => measure(&words),
    }
}

fn measure(wanted: &[&str]) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let wants = |part: &str| wanted.is_empty() || wanted.contains(&part);
    runtime.block_on(async {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        println!("{cores} cores, shared by load, proxy and upstream; proxies run {WORKERS} workers");
        if wants("throughput") {
            throughput::measure().await;
        }
        if wants("latency") {
            latency::measure().await;
        }
        if wants("streams") {
            streams::measure().await;
        }
        if wants("memory") {
            memory::measure().await;
        }
    });
}

/// A listener on a free port; as the program does, with room for a burst of connections.
fn listen() -> TcpListener {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
    socket.listen(4096).expect("a listener")
}

/// The middle of some numbers, of which there must be one.
fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
