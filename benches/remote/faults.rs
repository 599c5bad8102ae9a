//! When the outcome of a failure is there, by the guardrail's deadline: every kind of it, under both settings of `on_error`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portcullis::guardrail::{Guardrail, Outcome, Stage, VerdictCache, evaluate};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::deployment::{Written, segment};
use crate::support::{Answer, Authority, Upstream};

const DEADLINE: Duration = Duration::from_millis(250);
const TRIES: usize = 20;

/// What a server does.
enum Fault {
    /// Answers so, at this path of a URL without TLS.
    Answers(Answer),
    Refuses,
    HasNoName,
    /// Takes the connection and never speaks TLS.
    NeverSpeaks,
    IsSomebodyElse,
}

pub async fn measure() {
    println!();
    println!("From a guardrail's deadline of {DEADLINE:?} to the outcome, the worst of {TRIES}; before it below zero");
    println!("  {:<24}{:>14}{:>14}", "ms", "block", "allow");
    for (name, form, fault) in faults() {
        let world = World::of(fault).await;
        let mut worst = Vec::new();
        for on_error in ["block", "allow"] {
            let deployment = Written {
                engine: &format!("preset = \"llama-cpp\"\nurl = \"{}\"\n{}", world.url, world.more),
                form,
                policies: 1,
                on_error,
                deadline: DEADLINE,
                ca: &world.ca,
            }
            .read();
            let mut latest = f64::MIN;
            for _ in 0..TRIES {
                latest = latest.max(beyond(&deployment.guardrails).await);
            }
            worst.push(latest);
        }
        println!("  {name:<24}{:>14.2}{:>14.2}", worst[0], worst[1]);
    }
}

/// Milliseconds from the deadline to the outcome.
async fn beyond(guardrails: &[Arc<Guardrail>]) -> f64 {
    let begun = Instant::now();
    let decision = evaluate(guardrails, Stage::Input, &[segment("is it fine?")], &VerdictCache::new(0)).await;
    let took = begun.elapsed();
    let failed = decision.applied.iter().any(|applied| matches!(applied.outcome, Outcome::Error(_)));
    assert!(failed, "it is no failure that is measured");
    (took.as_secs_f64() - DEADLINE.as_secs_f64()) * 1e3
}

/// Every kind, with the form of the policy that it is seen under.
fn faults() -> Vec<(&'static str, &'static str, Fault)> {
    let whole = |content: &str, finish: &str| {
        let message = format!("{{\"role\":\"assistant\",\"content\":{content:?}}}");
        format!("{{\"choices\":[{{\"index\":0,\"finish_reason\":{finish:?},\"message\":{message}}}]}}")
    };
    let begun = |length: usize| Answer::head(200, &[("content-length", &length.to_string())]);
    let fine = whole("0", "stop");
    vec![
        ("refused", "binary", Fault::Refuses),
        ("reset", "binary", Fault::Answers(Answer::default().reset())),
        ("stall, TLS", "binary", Fault::NeverSpeaks),
        ("stall, head", "binary", Fault::Answers(Answer::default().stall())),
        ("stall, body", "binary", Fault::Answers(begun(500).send("{").stall())),
        ("drip", "binary", Fault::Answers(begun(fine.len()).drip(&fine, Duration::from_millis(20)))),
        ("429", "binary", Fault::Answers(Answer::error(429, "busy"))),
        ("500", "binary", Fault::Answers(Answer::error(500, "busy"))),
        ("garbage", "binary", Fault::Answers(Answer::json("no json"))),
        ("wrong schema", "json", Fault::Answers(Answer::json(whole("{\"label\":\"safe\"}", "stop")))),
        ("truncated", "binary", Fault::Answers(Answer::json(whole("", "length")))),
        ("slow", "binary", Fault::Answers(Answer::default().sleep(2 * DEADLINE).then(Answer::json(&fine)))),
        ("TLS", "binary", Fault::IsSomebodyElse),
        ("DNS", "binary", Fault::HasNoName),
    ]
}

/// A server with a fault, and how it is asked.
struct World {
    url: String,
    more: &'static str,
    ca: String,
    _server: Option<Upstream>,
    _silent: Option<TcpListener>,
}

impl World {
    async fn of(fault: Fault) -> Self {
        let plain = |url: String| World { url, more: "", ca: String::new(), _server: None, _silent: None };
        let trusting = |address: SocketAddr, authority: &Authority| World {
            more: "ca = \"ca.pem\"",
            ca: authority.pem(),
            ..plain(format!("https://{address}"))
        };
        match fault {
            Fault::Answers(answer) => {
                let server = Upstream::start(answer).await;
                let url = format!("http://{}", server.address());
                World { _server: Some(server), ..plain(url) }
            }
            Fault::Refuses => {
                // Nobody listens there any more.
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                plain(format!("http://{}", listener.local_addr().expect("an address")))
            }
            Fault::HasNoName => plain("http://no-such-host.invalid:8000".to_owned()),
            Fault::NeverSpeaks => {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                let address = listener.local_addr().expect("an address");
                // The system takes connections for it, and nobody reads them.
                World { _silent: Some(listener), ..trusting(address, &Authority::new()) }
            }
            Fault::IsSomebodyElse => {
                let (own, other) = (Authority::new(), Authority::new());
                let acceptor = other.sign(&["127.0.0.1"]).acceptor(&[]);
                let server = Upstream::scripted_tls(vec![Answer::json("{}")], acceptor).await;
                let address = server.address();
                World { _server: Some(server), ..trusting(address, &own) }
            }
        }
    }
}
