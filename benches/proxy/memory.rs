//! Resident memory that an open guarded stream costs beyond the text that it holds.

use std::time::Duration;

use crate::child::Process;
use crate::load::{self, Connection};
use crate::{deployments, upstream};

const STREAMS: usize = 500;

pub async fn measure() {
    let mock = Process::role(&["run-upstream"]);
    let proxy = deployments::holding(mock.address);
    // Whatever is made once and kept is made now.
    drop(open(&proxy.process, 50).await);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = proxy.process.memory();
    let streams = open(&proxy.process, STREAMS).await;
    let after = proxy.process.memory();
    let each = (after - before) / STREAMS as f64 / 1024.0;
    let held = upstream::HELD as f64 / 1024.0;
    println!();
    println!("Memory: {} open guarded streams, each holding {held:.0} KiB of text", streams.len());
    println!("  resident before, after   {:>8.1} MiB, {:.1} MiB", before / 1048576.0, after / 1048576.0);
    println!("  a stream                 {each:>8.1} KiB, {:.1} KiB beyond the held text (wanted <= 128)", each - held);
}

/// Streams of which the first event has reached the proxy.
async fn open(proxy: &Process, count: usize) -> Vec<Connection> {
    let request = load::streamed(upstream::STALL);
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut stream = Connection::open(proxy.address).await;
        stream.begin(&request).await;
        streams.push(stream);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    streams
}
