//! Several endpoints of one engine: who is asked, who is passed over, and what becomes of an ask whose endpoint is gone, slow or full.

mod remote_servers;
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use remote_servers::{BINARY, Kind, guardrail};
use support::{Answer, Config, Cue, Proxy, Recorded, Upstream, chat, completion, within};
use tokio::net::TcpListener;

/// An engine on these servers.
fn engine(urls: &[String], each: &str, more: &str) -> String {
    let endpoints: Vec<String> = urls.iter().map(|url| format!("{{ url = {url:?}{each} }}")).collect();
    format!("[engine.default]\npreset = \"vllm\"\nendpoints = [{}]\n{more}\n", endpoints.join(", "))
}

fn url(server: &Upstream) -> String {
    format!("http://{}", server.address())
}

/// Of an endpoint at this URL.
fn metric(name: &str, url: &str) -> String {
    format!("portcullis_endpoint_{name}{{engine=\"default\",endpoint=\"{url}/v1\"}}")
}

async fn one_policy(section: &str, on_error: &str) -> (Upstream, Proxy) {
    let upstream = Upstream::start(Answer::json(completion("fine"))).await;
    let config = Config::new(upstream.address())
        .section(section)
        .policy("p", BINARY)
        .guardrail("judge", &guardrail("block", on_error));
    (upstream, Proxy::start(config))
}

/// Asks for an endpoint's health, and questions.
fn is_check(request: &Recorded) -> bool {
    request.target().0 == "GET"
}

/// Which policy each question was about.
fn policies(server: &Upstream) -> Vec<String> {
    let questions = server.requests().into_iter().filter(|request| !is_check(request));
    questions.map(|request| request.json()["messages"][0]["content"].to_string()).collect()
}

const POLICIES: usize = 16;

#[tokio::test]
async fn a_policy_stays_on_one_endpoint_and_only_those_of_one_that_leaves_move() {
    let mut servers = Vec::new();
    for _ in 0..4 {
        servers.push(Upstream::start(Kind::Vllm.answer("0", "")).await);
    }
    let urls: Vec<String> = servers.iter().map(url).collect();
    let upstream = Upstream::start(Answer::json(completion("fine"))).await;
    let mut config = Config::new(upstream.address()).section(&engine(&urls, "", ""));
    for number in 0..POLICIES {
        let name = format!("p{number}");
        let toml = guardrail("block", "block").replace("policy = \"p\"", &format!("policy = {name:?}"));
        config = config.policy(&name, &format!("{BINARY} This is policy {number}.")).guardrail(&name, &toml);
    }
    let proxy = Proxy::start(config);
    // So few that no endpoint knows yet what is slow for it.
    assert_eq!(proxy.chat(chat("first", false)).await.status, 200);
    let mut homes = BTreeMap::new();
    for (at, server) in servers.iter().enumerate() {
        policies(server).into_iter().for_each(|policy| assert_eq!(homes.insert(policy, at), None, "asked twice"));
    }
    assert_eq!(homes.len(), POLICIES);
    let used = |at: usize| homes.values().filter(|&&home| home == at).count();
    assert!((0..4).all(|at| used(at) < POLICIES), "{homes:?}");

    assert_eq!(proxy.chat(chat("second", false)).await.status, 200);
    let mut strays = 0;
    for (at, server) in servers.iter().enumerate() {
        strays += policies(server).iter().filter(|policy| homes[*policy] != at).count();
    }
    let mut hedges = 0.0;
    for url in &urls {
        hedges += proxy.metric(&metric("hedges_total", url)).await;
    }
    assert!(strays as f64 <= hedges, "{strays} asks went elsewhere, {hedges} since one was slow");

    // One leaves; its policies are judged by others, nobody else's move.
    let gone = homes.values().copied().max_by_key(|&at| used(at)).expect("a home");
    let before: Vec<usize> = servers.iter().map(|server| policies(server).len()).collect();
    servers[gone] = Upstream::start(Kind::Vllm.answer("1", "")).await;
    assert_eq!(proxy.chat(chat("third", false)).await.status, 200);
    let mut moved = 0;
    for (at, server) in servers.iter().enumerate().filter(|(at, _)| *at != gone) {
        let new = policies(server).split_off(before[at]);
        moved += new.iter().filter(|policy| homes[*policy] == gone).count();
        strays += new.iter().filter(|policy| homes[*policy] != at && homes[*policy] != gone).count();
    }
    let mut hedges = 0.0;
    for url in &urls {
        hedges += proxy.metric(&metric("hedges_total", url)).await;
    }
    assert!(moved >= used(gone) && strays as f64 <= hedges, "{moved} moved of {}, {strays} strays", used(gone));
    assert!(policies(&servers[gone]).is_empty());
}

#[tokio::test]
async fn an_ask_goes_on_to_another_where_one_is_not_there() {
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let server = Upstream::start(Kind::Vllm.answer("0", "")).await;
    let urls = [format!("http://{gone}"), url(&server)];
    let (_upstream, proxy) = one_policy(&engine(&urls, "", ""), "block").await;
    for number in 0..8 {
        assert_eq!(proxy.chat(chat(&format!("question {number}"), false)).await.status, 200);
    }
    proxy.counted(&metric("up", &urls[0]), 0.0).await;
    proxy.counted(&metric("up", &urls[1]), 1.0).await;
    assert_eq!(proxy.metric("portcullis_guardrail_errors_total{guardrail=\"judge\",kind=\"engine\"}").await, 0.0);
}

#[tokio::test]
async fn whoever_has_begun_to_answer_is_not_asked_twice() {
    let half = || Answer::head(200, &[("content-length", "500")]).send("{").close();
    let servers = [Upstream::start(half()).await, Upstream::start(half()).await];
    let urls: Vec<String> = servers.iter().map(url).collect();
    let (_upstream, proxy) = one_policy(&engine(&urls, "", ""), "block").await;
    assert_eq!(proxy.chat(chat("question", false)).await.status, 503);
    let asked: usize = servers.iter().map(|server| policies(server).len()).sum();
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn one_that_asks_for_rest_is_passed_over_until_it_is_well() {
    let well = Arc::new(AtomicBool::new(false));
    let busy = |well: &Arc<AtomicBool>| {
        let well = well.clone();
        move |request: &Recorded| match (is_check(request), well.load(Ordering::Relaxed)) {
            (_, false) => Answer::head(503, &[("retry-after", "30"), ("content-length", "0")]),
            (true, true) => Answer::json("{}"),
            (false, true) => Kind::Vllm.answer("0", ""),
        }
    };
    let servers = [Upstream::answering(busy(&well)).await, Upstream::start(Kind::Vllm.answer("0", "")).await];
    let urls: Vec<String> = servers.iter().map(url).collect();
    let (_upstream, proxy) = one_policy(&engine(&urls, "", ""), "allow").await;
    // The first questions start the looks at all endpoints, if none of them comes to this one itself.
    let first = proxy.chat(chat("question", false)).await;
    assert_eq!(first.status, 200);
    proxy.counted(&metric("up", &urls[0]), 0.0).await;
    let asked = policies(&servers[0]).len();
    for number in 0..5 {
        let answer = proxy.chat(chat(&format!("question {number}"), false)).await;
        assert_eq!(answer.head.header("x-portcullis-decision"), Some("allow"));
    }
    assert_eq!(policies(&servers[0]).len(), asked, "it was left in peace");
    well.store(true, Ordering::Relaxed);
    proxy.counted(&metric("up", &urls[0]), 1.0).await;
}

#[tokio::test]
async fn what_finds_no_room_is_an_overload() {
    let cue = Cue::new();
    let body = Kind::Vllm.body("0", "").to_string();
    let server = Upstream::start(Answer::default().wait(&cue).then(Answer::json(body))).await;
    let section = engine(&[url(&server)], ", concurrency = 1", "queue = 1");
    let (_upstream, proxy) = one_policy(&section, "block").await;
    let ask = |number: usize| {
        let address = proxy.address;
        tokio::spawn(async move {
            support::Client::connect(address).await.chat(chat(&format!("question {number}"), false)).await
        })
    };
    // One is under way and one waits; for the third there is no place.
    let asks: Vec<_> = (0..3).map(ask).collect();
    proxy.counted("portcullis_guardrail_errors_total{guardrail=\"judge\",kind=\"overloaded\"}", 1.0).await;
    server.received(1).await;
    assert_eq!(proxy.metric(&metric("running", &url(&server))).await, 1.0);
    cue.give();
    cue.give();
    let mut statuses = Vec::new();
    for ask in asks {
        statuses.push(within("an answer", ask).await.expect("no panic").status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 503]);
    assert_eq!(server.requests().len(), 2);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn asks_that_hold_traffic_up_go_before_those_that_annotate() {
    let cue = Cue::new();
    let body = Kind::Vllm.body("0", "").to_string();
    let server = Upstream::start(Answer::default().wait(&cue).then(Answer::json(body))).await;
    let upstream = Upstream::start(Answer::json(completion("fine"))).await;
    let note = guardrail("annotate", "allow").replace("policy = \"p\"", "mode = \"observe\"\npolicy = \"note\"");
    let config = Config::new(upstream.address())
        .section(&engine(&[url(&server)], ", concurrency = 1", "queue = 3"))
        .policy("note", &format!("{BINARY} For the record."))
        .policy("p", BINARY)
        .guardrail("note", &note)
        .guardrail("judge", &guardrail("block", "block"));
    let proxy = Proxy::start(config);
    let ask = |number: usize| {
        let address = proxy.address;
        tokio::spawn(async move {
            support::Client::connect(address).await.chat(chat(&format!("question {number}"), false)).await
        })
    };
    // Of six asks one is under way and three wait: two that only annotate find no place, or lose theirs.
    let asks: Vec<_> = (0..3).map(ask).collect();
    proxy.counted("portcullis_guardrail_errors_total{guardrail=\"note\",kind=\"overloaded\"}", 2.0).await;
    (0..4).for_each(|_| cue.give());
    for ask in asks {
        assert_eq!(within("an answer", ask).await.expect("no panic").status, 200);
    }
    let asked = policies(&server);
    let annotates: Vec<bool> = asked.iter().skip(1).map(|policy| policy.contains("For the record")).collect();
    assert_eq!((asked.len(), annotates.is_sorted()), (4, true), "{asked:?}");
    assert_eq!(proxy.metric("portcullis_guardrail_errors_total{guardrail=\"judge\",kind=\"overloaded\"}").await, 0.0);
}

#[tokio::test]
async fn an_ask_that_takes_longer_than_most_is_put_to_another_too() {
    let stuck = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    let answering = |stuck: &Arc<AtomicBool>| {
        let stuck = stuck.clone();
        move |request: &Recorded| match stuck.load(Ordering::Relaxed) && !is_check(request) {
            true => Answer::default().stall(),
            false => Kind::Vllm.answer("0", ""),
        }
    };
    let servers = [Upstream::answering(answering(&stuck[0])).await, Upstream::answering(answering(&stuck[1])).await];
    let urls: Vec<String> = servers.iter().map(url).collect();
    let (_upstream, proxy) = one_policy(&engine(&urls, "", ""), "block").await;
    // Often enough to know what is slow.
    for number in 0..24 {
        assert_eq!(proxy.chat(chat(&format!("question {number}"), false)).await.status, 200);
    }
    let home = usize::from(policies(&servers[1]).len() > policies(&servers[0]).len());
    let hedges = proxy.metric(&metric("hedges_total", &urls[1 - home])).await;
    stuck[home].store(true, Ordering::Relaxed);
    assert_eq!(proxy.chat(chat("the last question", false)).await.status, 200);
    assert_eq!(proxy.metric(&metric("hedges_total", &urls[1 - home])).await, hedges + 1.0);
    // The one that has lost is not waited for.
    servers[home].hung_up(1).await;
}
