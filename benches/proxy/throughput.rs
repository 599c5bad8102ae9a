//! Requests per second of 64 busy connections: stock Pingora, the program unguarded, the program with patterns. The
//! rounds take turns, so that what else the machine does falls on all alike.

use std::time::Duration;

use crate::child::Process;
use crate::{deployments, load, median};

const CONNECTIONS: usize = 64;
const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_secs(2);

pub async fn measure() {
    let upstream = Process::role(&["run-upstream"]);
    let to = upstream.address.to_string();
    let stock = Process::role(&["run-stock", &to]);
    let unguarded = deployments::unguarded(upstream.address);
    let patterns = deployments::patterns(upstream.address);
    let proxies = [
        ("stock Pingora", &stock, ""),
        ("inspected, no guardrail", &unguarded.process, ">= 0.88"),
        ("patterns on both stages", &patterns.process, ">= 0.75"),
    ];
    for (_, proxy, _) in &proxies {
        load::closed(proxy.address, CONNECTIONS, Duration::from_secs(1)).await;
    }
    let mut rates = vec![Vec::new(); proxies.len()];
    let mut cpu = vec![Vec::new(); proxies.len()];
    for _ in 0..ROUNDS {
        for (index, (_, proxy, _)) in proxies.iter().enumerate() {
            let before = proxy.cpu();
            let rate = load::closed(proxy.address, CONNECTIONS, ROUND).await;
            cpu[index].push((proxy.cpu() - before) / (rate * ROUND.as_secs_f64()) * 1e6);
            rates[index].push(rate);
        }
    }
    println!();
    println!(
        "Throughput: {CONNECTIONS} connections, POST of {} bytes; medians of {ROUNDS} rounds in turn",
        load::SMALL.len()
    );
    println!("  {:<26}{:>10}{:>12}{:>10}{:>14}", "", "req/s", "of stock", "wanted", "CPU us/req");
    for (index, (name, _, wanted)) in proxies.iter().enumerate() {
        // Ratios within a round, then their median.
        let ratio = median(rates[index].iter().zip(&rates[0]).map(|(own, stock)| own / stock).collect());
        let (rate, cpu) = (median(rates[index].clone()), median(cpu[index].clone()));
        println!("  {name:<26}{rate:>10.0}{ratio:>12.2}{wanted:>10}{cpu:>14.1}");
    }
}
