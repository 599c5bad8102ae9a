//! Prints the figures that remote engines are held to: what an ask costs beside the server's own time, how policies keep to their
//! replicas, and when the outcome of a failure is there. Not a test: it measures, and people judge. `cargo bench --bench remote`,
//! or with names of parts after `--`: overhead, affinity, faults.

mod affinity;
mod deployment;
mod faults;
mod overhead;
mod server;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::time::Duration;

/// The program's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    if let [role, wait] = &wanted[..]
        && role == "run-server"
    {
        return runtime.block_on(server::run(Duration::from_millis(wait.parse().expect("milliseconds"))));
    }
    let wants = |part: &str| wanted.is_empty() || wanted.iter().any(|word| word == part);
    runtime.block_on(async {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        println!("{cores} cores, shared by the asks and the servers; over loopback");
        if wants("overhead") {
            overhead::measure().await;
        }
        if wants("affinity") {
            affinity::measure().await;
        }
        if wants("faults") {
            faults::measure().await;
        }
    });
}
