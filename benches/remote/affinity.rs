//! How policies keep to their replicas: 4 of them, 16 policies.

use std::time::Duration;

use crate::deployment::{Deployment, Written, ask, policy};
use crate::server::Replica;

const REPLICAS: usize = 4;
const POLICIES: usize = 16;
/// Of each policy.
const ASKS: usize = 20;

pub async fn measure() {
    let mut replicas = Vec::new();
    for _ in 0..REPLICAS {
        replicas.push(Replica::start().await);
    }
    let endpoints: Vec<String> =
        replicas.iter().map(|replica| format!("{{ url = \"http://{}\" }}", replica.address)).collect();
    let deployment = Written {
        engine: &format!("preset = \"vllm\"\nendpoints = [{}]", endpoints.join(", ")),
        form: "binary",
        policies: POLICIES,
        on_error: "block",
        deadline: Duration::from_secs(60),
        ca: "",
    }
    .read();
    let before = placed(&deployment, &mut replicas, "before").await;
    println!();
    println!("{REPLICAS} replicas, {POLICIES} policies, {ASKS} asks of each");
    let share = |placed: &[Placed]| 100.0 * placed.iter().map(|placed| placed.share).sum::<f64>() / POLICIES as f64;
    println!("  asks at their policy's one replica   {:>6.1} %", share(&before));
    // The busiest: what moves is the most that can.
    let policies_of = |at: usize| before.iter().filter(|placed| placed.at == at).count();
    let gone = (0..REPLICAS).max_by_key(|&at| policies_of(at)).expect("there are some");
    let address = replicas[gone].address;
    replicas.remove(gone);
    // It is found to be gone by the asks themselves.
    let after = placed(&deployment, &mut replicas, "after").await;
    let stayed = |at: usize, now: usize| at == if now < gone { now } else { now + 1 };
    let others = before.iter().zip(&after).filter(|(before, _)| before.at != gone);
    let moved = others.filter(|(before, after)| !stayed(before.at, after.at)).count();
    println!("  when {address} left, which had {} of them:", policies_of(gone));
    println!("  policies that moved, of it           {:>6.1} %", 100.0 * policies_of(gone) as f64 / POLICIES as f64);
    println!("  policies that moved, of the others   {:>6.1} %", 100.0 * moved as f64 / POLICIES as f64);
    println!("  asks at their policy's one replica   {:>6.1} %", share(&after));
}

/// Where most asks of a policy came to, and the share of them.
struct Placed {
    at: usize,
    share: f64,
}

async fn placed(deployment: &Deployment, replicas: &mut [Replica], when: &str) -> Vec<Placed> {
    for replica in replicas.iter() {
        replica.asked.lock().expect("no panic while held").clear();
    }
    for number in 0..ASKS {
        for guardrail in &deployment.guardrails {
            let verdict = guardrail.detector.detect(&ask(&format!("{when} {number}"), None)).await;
            verdict.unwrap_or_else(|error| panic!("{error}"));
        }
    }
    (0..POLICIES)
        .map(|number| {
            let count = |replica: &Replica| {
                let asked = replica.asked.lock().expect("no panic while held");
                asked.iter().filter(|body| body.contains(&policy(number))).count()
            };
            let counts: Vec<usize> = replicas.iter().map(count).collect();
            let at = (0..counts.len()).max_by_key(|&at| counts[at]).expect("there are some");
            Placed { at, share: counts[at] as f64 / counts.iter().sum::<usize>() as f64 }
        })
        .collect()
}
