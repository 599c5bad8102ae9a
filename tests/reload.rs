//! Reloading and the admin listener: a new configuration takes effect whole or not at all, and what runs keeps its own.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::client::{content, events, request};
use support::{Answer, Client, Config, Cue, Proxy, Upstream, chat, chunk, completion, last_chunk, within};

/// A guardrail that blocks a word, both ways.
fn block(word: &str) -> String {
    format!(
        "stage = [\"input\", \"output\"]\non_error = \"block\"\ndeadline = \"5s\"\n\
         [patterns.words]\nsecret = [{word:?}]\n[actions]\nsecret = \"block\"\n"
    )
}

const FILE: &str = "guardrails/words.toml";

async fn start(upstream: &Upstream) -> Proxy {
    Proxy::start(Config::new(upstream.address()).guardrail("words", &block("bluebird")))
}

async fn fine() -> Upstream {
    Upstream::start(Answer::json(completion("fine"))).await
}

async fn status(proxy: &Proxy) -> serde_json::Value {
    proxy.admin("/status").await.json()
}

/// Puts a file in the place of another, so that no reader sees half of it.
fn replace(proxy: &Proxy, file: &str, text: &str) {
    let new = format!("{file}.new");
    proxy.config.write(&new, text);
    let path = |name: &str| proxy.config.directory().join(name);
    std::fs::rename(path(&new), path(file)).expect("rename");
}

/// The status of the answers to these prompts.
async fn tried(proxy: &Proxy, prompts: [&str; 2]) -> [u16; 2] {
    let mut client = proxy.connect().await;
    let first = client.chat(chat(prompts[0], false)).await.status;
    [first, client.chat(chat(prompts[1], false)).await.status]
}

async fn get(address: std::net::SocketAddr, path: &str, headers: &[(&str, &str)]) -> u16 {
    let headers = [&[("host", "localhost")], headers].concat();
    Client::connect(address).await.request("GET", path, &headers, "").await.status
}

#[tokio::test]
async fn a_signal_and_a_changed_file_bring_new_guardrails() {
    let upstream = fine().await;
    let proxy = start(&upstream).await;
    assert_eq!(tried(&proxy, ["bluebird", "nightjar"]).await, [400, 200]);
    let before = status(&proxy).await;
    assert_eq!((&before["generation"], &before["last_reload_error"]), (&1.into(), &serde_json::Value::Null));

    // Nobody tells it: it sees the file.
    proxy.config.write(FILE, &block("nightjar"));
    proxy.counted("portcullis_live_generation", 2.0).await;
    assert_eq!(tried(&proxy, ["bluebird", "nightjar"]).await, [200, 400]);
    let after = status(&proxy).await;
    assert_eq!(after["generation"], 2);
    assert_ne!(after["digest"], before["digest"]);

    // Told, it reads again whether anything has changed or not.
    proxy.signal("HUP");
    proxy.counted("portcullis_live_generation", 3.0).await;
    proxy.counted("portcullis_reloads_total{result=\"ok\"}", 3.0).await;
    assert_eq!(status(&proxy).await["digest"], after["digest"]);

    // As an editor does it: another file in its place.
    replace(&proxy, FILE, &block("bluebird"));
    proxy.counted("portcullis_live_generation", 4.0).await;
    assert_eq!(tried(&proxy, ["bluebird", "nightjar"]).await, [400, 200]);
    let audit = proxy.audit(8).await;
    let generations: Vec<_> =
        audit.iter().filter(|line| line["stage"] == "input").map(|line| line["generation"].clone()).collect();
    assert_eq!(generations, [1, 1, 2, 2, 4, 4]);
}

#[tokio::test]
async fn a_broken_file_changes_nothing_but_what_is_told() {
    let upstream = fine().await;
    let proxy = start(&upstream).await;
    let broken = block("nightjar").replace("\"block\"\ndeadline", "\"shrug\"\ndeadline");
    replace(&proxy, FILE, &broken);
    proxy.counted("portcullis_reloads_total{result=\"error\"}", 1.0).await;
    proxy.logged("configuration not reloaded, generation 1 stays").await;
    proxy.logged("words.toml:2:12").await;
    let now = status(&proxy).await;
    assert_eq!(now["generation"], 1);
    assert!(
        now["last_reload_error"].as_str().is_some_and(|error| error.contains("words.toml") && error.contains("shrug"))
    );
    assert_eq!(tried(&proxy, ["bluebird", "nightjar"]).await, [400, 200]);
    assert_eq!(proxy.metric("portcullis_live_generation").await, 1.0);

    // Cut off in the middle, gone, a main file that is no TOML: all the same.
    let mut errors = 1.0;
    for broken in ["stage = [\"inp", ""] {
        replace(&proxy, FILE, broken);
        errors += 1.0;
        proxy.counted("portcullis_reloads_total{result=\"error\"}", errors).await;
    }
    std::fs::remove_file(proxy.config.directory().join(FILE)).expect("remove");
    proxy.counted("portcullis_reloads_total{result=\"error\"}", errors + 1.0).await;
    assert_eq!(tried(&proxy, ["bluebird", "nightjar"]).await, [400, 200]);

    // Made whole, it loads, and the error is history.
    replace(&proxy, FILE, &block("nightjar"));
    proxy.counted("portcullis_live_generation", 2.0).await;
    assert_eq!(tried(&proxy, ["bluebird", "nightjar"]).await, [200, 400]);
    let now = status(&proxy).await;
    assert_eq!((&now["generation"], &now["last_reload_error"]), (&2.into(), &serde_json::Value::Null));
    assert_eq!(get(proxy.admin, "/readyz", &[]).await, 200);
}

#[tokio::test]
async fn what_takes_effect_at_the_start_only_is_told() {
    let upstream = fine().await;
    let proxy = start(&upstream).await;
    assert_eq!(status(&proxy).await["needs_restart"], serde_json::json!([]));
    let toml = proxy.config.toml();
    replace(
        &proxy,
        "portcullis.toml",
        &toml.replace("workers = 2", "workers = 1").replace("[audit]", "[audit]\ncontent = true"),
    );
    proxy.counted("portcullis_live_generation", 2.0).await;
    assert_eq!(status(&proxy).await["needs_restart"], serde_json::json!(["server", "audit"]));
    replace(&proxy, "portcullis.toml", &toml);
    proxy.counted("portcullis_live_generation", 3.0).await;
    assert_eq!(status(&proxy).await["needs_restart"], serde_json::json!([]));
}

#[tokio::test]
async fn an_open_stream_keeps_what_it_began_with() {
    let cue = Cue::new();
    let begun = Answer::stream()
        .event(chunk("A few words. "))
        .event(chunk("Enough of them for a window, so that some may leave."));
    let rest = begun.wait(&cue).event(chunk(" Here sings a nightjar, and it may.")).event(last_chunk("stop")).done();
    let upstream = Upstream::scripted(vec![rest.clone(), rest]).await;
    let config = Config::new(upstream.address()).guardrail("words", &block("bluebird"));
    let proxy = Proxy::start(config.stream("window = 8\nlookahead = 32\nmax_hold = \"1h\""));
    let mut client = proxy.connect().await;
    let mut stream = client.open_chat(chat("hi", true)).await;
    let early = stream.until("A few").await;
    replace(&proxy, FILE, &block("nightjar"));
    proxy.counted("portcullis_live_generation", 2.0).await;
    cue.give();
    let all = early + &stream.rest().await;
    assert!(content(&events(&all)).ends_with("nightjar, and it may."), "{all}");
    // The next one on the same connection is under the new guardrails.
    let mut stream = client.open_chat(chat("hi", true)).await;
    let early = stream.until("A few").await;
    cue.give();
    let all = early + &stream.rest().await;
    assert!(!all.contains("nightjar") && all.contains("content_filter"), "{all}");
    let audit = proxy.audit(4).await;
    let first: Vec<_> = audit.iter().filter(|line| line["exchange"] == audit[0]["exchange"]).collect();
    assert!(first.len() > 1 && first.iter().all(|line| line["generation"] == 1), "{audit:?}");
}

#[tokio::test]
async fn the_admin_listener_tells_what_is_going_on() {
    let upstream = fine().await;
    let proxy = start(&upstream).await;
    for path in ["/healthz", "/readyz", "/metrics", "/status"] {
        assert_eq!(get(proxy.admin, path, &[]).await, 200, "{path}");
    }
    assert_eq!(get(proxy.admin, "/other", &[]).await, 404);
    // Neither listener serves what is the other's.
    assert_eq!(get(proxy.address, "/metrics", &[]).await, 404);
    assert_eq!(Client::connect(proxy.admin).await.chat(chat("hi", false)).await.status, 404);

    tried(&proxy, ["bluebird", "hi"]).await;
    // An exchange is counted when it is over, a moment after the client has read its end.
    let mut metrics = proxy.admin("/metrics").await;
    for _ in 0..200 {
        if metrics.text().contains("portcullis_exchange_overhead_seconds_count{") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        metrics = proxy.admin("/metrics").await;
    }
    assert_eq!(metrics.head.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    let text = metrics.text();
    assert!(text.ends_with("# EOF\n"));
    let mut seen = std::collections::BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        assert!(name.starts_with("portcullis_") && value.parse::<f64>().is_ok(), "{line}");
        assert!(seen.insert(name), "twice: {name}");
        let family = name.split('{').next().unwrap_or_default();
        let family =
            ["_total", "_bucket", "_count", "_sum"].iter().find_map(|end| family.strip_suffix(end)).unwrap_or(family);
        assert!(text.contains(&format!("# TYPE {family} ")), "{line}");
    }
    for name in [
        "exchanges_total",
        "decisions_total",
        "findings_total",
        "verdict_seconds_count",
        "exchange_overhead_seconds_count",
    ] {
        assert!(seen.iter().any(|seen| seen.starts_with(&format!("portcullis_{name}{{"))), "{name}");
    }
}

#[tokio::test]
async fn the_token_guards_what_says_more_than_a_word() {
    let upstream = fine().await;
    let config = Config::new(upstream.address()).admin("token = { env = \"TEST_ADMIN_TOKEN\" }");
    let proxy = Proxy::start_with(config, &[("TEST_ADMIN_TOKEN", "s3cret")]);
    for path in ["/metrics", "/status"] {
        assert_eq!(get(proxy.admin, path, &[]).await, 401, "{path}");
        assert_eq!(get(proxy.admin, path, &[("authorization", "Bearer wrong")]).await, 401, "{path}");
        assert_eq!(get(proxy.admin, path, &[("authorization", "Bearer s3cret")]).await, 200, "{path}");
    }
    assert_eq!(get(proxy.admin, "/readyz", &[]).await, 200);

    let open = Config::new(upstream.address());
    open.save();
    let toml = open.toml().replace("[admin]\nlisten = \"127.0.0.1:0\"", "[admin]\nlisten = \"0.0.0.0:0\"");
    open.write("portcullis.toml", &toml);
    let (status, out, error) = support::proxy::run(&["serve", "--config", &open.path().display().to_string()]);
    assert_eq!((status.code(), out.as_str()), (Some(1), ""));
    assert!(error.contains("can be reached from other machines") && error.contains("token"), "{error}");
}

#[tokio::test]
async fn draining_is_not_ready_and_lets_streams_end() {
    let cue = Cue::new();
    let begun = Answer::stream()
        .event(chunk("A few words. "))
        .event(chunk("Enough of them for a window, so that some may leave."));
    let upstream = Upstream::start(begun.wait(&cue).event(last_chunk("stop")).done()).await;
    let config = Config::new(upstream.address()).guardrail("words", &block("bluebird"));
    let config = config.stream("window = 8\nlookahead = 32\nmax_hold = \"1h\"").server("workers = 2\ndrain = \"1h\"");
    let mut proxy = Proxy::start(config);
    let mut client = proxy.connect().await;
    let mut stream = client.open_chat(chat("hi", true)).await;
    stream.until("A few").await;
    proxy.signal("TERM");
    within("not ready", async {
        while get(proxy.admin, "/readyz", &[]).await != 503 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(get(proxy.admin, "/healthz", &[]).await, 200);
    // A reload now is no harm.
    proxy.signal("HUP");
    cue.give();
    assert!(stream.rest().await.ends_with("data: [DONE]\n\n"));
    drop(client);
    assert!(proxy.ended().await.success());
    let audit = proxy.audit(2).await;
    assert!(audit.iter().any(|line| line["stage"] == "output"), "the audit is whole at the end");
}

#[tokio::test]
async fn reloads_under_traffic_drop_nothing() {
    let upstream = fine().await;
    let proxy = start(&upstream).await;
    let stop = Arc::new(AtomicBool::new(false));
    let traffic = tokio::spawn({
        let (address, stop) = (proxy.address, stop.clone());
        async move {
            let mut client = Client::connect(address).await;
            let mut sent = 0;
            while !stop.load(Ordering::Relaxed) {
                client
                    .send(request(
                        "POST",
                        "/v1/chat/completions",
                        &[("content-type", "application/json")],
                        chat("hi", false),
                    ))
                    .await;
                assert_eq!(client.response().await.status, 200);
                sent += 1;
            }
            sent
        }
    });
    for generation in 2..12 {
        replace(&proxy, FILE, &block(&format!("word-{generation}")));
        proxy.signal("HUP");
        within("the next generation", async {
            while proxy.metric("portcullis_live_generation").await < f64::from(generation) {}
        })
        .await;
    }
    stop.store(true, Ordering::Relaxed);
    assert!(traffic.await.expect("no request failed") > 0);
    proxy.counted("portcullis_reloads_total{result=\"error\"}", 0.0).await;
    // Every one is counted, however close they came.
    within("as many reloads as generations", async {
        let (all, loaded) = ("portcullis_live_generation", "portcullis_reloads_total{result=\"ok\"}");
        while proxy.metric(all).await != proxy.metric(loaded).await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
