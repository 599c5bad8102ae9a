//! What the proxy tells of an exchange in the audit, the metrics and the log, and what it never tells.

mod support;

use std::time::Duration;

use serde_json::json;
use support::client::{events, request};
use support::config::{WORD, words};
use support::{Answer, Config, Proxy, Upstream, chat, completion};

#[tokio::test]
async fn a_verdict_beside_is_audited_though_the_client_leaves() {
    let upstream = Upstream::start(Answer::default().stall()).await;
    let beside = words("\"input\"", "annotate", "timing = \"beside\"");
    let proxy = Proxy::start(Config::new(upstream.address()).guardrail("words", &beside));
    let mut client = proxy.connect().await;
    let headers = [("content-type", "application/json")];
    client.send(request("POST", "/v1/chat/completions", &headers, chat(WORD, false))).await;
    upstream.received(1).await;
    proxy.audit(1).await;
    drop(client);
    upstream.hung_up(1).await;
    let audit = proxy.audit(2).await;
    assert_eq!((&audit[0]["stage"], &audit[0]["applied"][0]["label"]), (&json!("input"), &json!("secret")));
    assert_eq!((&audit[1]["outcome"], &audit[1]["code"]), (&json!("cut"), &json!("client_gone")));
}

#[tokio::test]
async fn a_refusal_names_the_route_that_it_is_made_on() {
    let upstream = Upstream::start(Answer::json(completion("fine"))).await;
    let proxy = Proxy::start(Config::new(upstream.address()));
    for (method, path) in [("POST", "/v1/chat/completions?a=b"), ("PUT", "/v1/chat/completions"), ("POST", "/v1/other")]
    {
        assert!(proxy.connect().await.request(method, path, &[], "").await.status >= 400);
    }
    let mut told: Vec<_> = proxy.audit(3).await.iter().map(|line| line["route"].clone()).collect();
    told.sort_by_key(|route| route.is_null());
    assert_eq!(told, [json!("chat"), json!("chat"), json!(null)]);
    assert_eq!(proxy.metric("portcullis_refusals_total{route=\"-\",code=\"route_not_found\"}").await, 1.0);
}

#[tokio::test]
async fn the_upstreams_time_is_not_the_proxys() {
    const SLOW: Duration = Duration::from_secs(2);
    let early = Answer::default().sleep(SLOW).then(Answer::json(completion("fine")));
    let late = Answer::stream().event(support::chunk("fine")).sleep(SLOW).done();
    let upstream = Upstream::scripted(vec![early, late]).await;
    let beside = words("\"input\"", "block", "timing = \"beside\"");
    // No guardrail on the answer: it is passed on as it comes.
    let proxy = Proxy::start(Config::new(upstream.address()).guardrail("words", &beside));
    for stream in [false, true] {
        assert_eq!(proxy.chat(chat("hi", stream)).await.status, 200);
    }
    proxy.counted("portcullis_exchange_overhead_seconds_count{route=\"chat\"}", 2.0).await;
    let overhead = proxy.metric("portcullis_exchange_overhead_seconds_sum{route=\"chat\"}").await;
    assert!(overhead < SLOW.as_secs_f64(), "{overhead} s");
}

#[tokio::test]
async fn nothing_of_the_content_is_told_but_by_setting() {
    let (prompt, said, key) = ("canary-prompt-7f3a", "canary-answer-91bc", "canary-key-5d20");
    for content in [false, true] {
        let script = vec![
            Answer::json(completion(&format!("{said} {WORD}"))),
            Answer::events([support::chunk(said), support::chunk(&format!(" {WORD}")), support::last_chunk("stop")]),
            Answer::whole(500, "text/html", said),
            Answer::raw(format!("HTTP/1.1 200 OK\r\n{said}\r\n\r\n")).close(),
        ];
        let upstream = Upstream::scripted(script).await;
        let config = Config::new(upstream.address())
            .guardrail("words", &words("\"input\", \"output\"", "block", ""))
            .guardrail("note", &words("\"input\", \"output\"", "annotate", "mode = \"observe\""))
            .audit(&format!("content = {content}"));
        let mut proxy = Proxy::start_with(config, &[("RUST_LOG", "trace")]);
        let mut told = String::new();
        let headers = [("content-type", "application/json"), ("authorization", key), ("x-request-id", "req-1")];
        let bodies = [
            chat(&format!("{prompt} {WORD}"), false),
            format!("{{\"messages\":[{{\"role\":\"{prompt}\",\"content\":\"{prompt}\"}}]}}"),
            format!("{{\"{prompt}\":\"{prompt}\""),
            format!("{{\"messages\":[{{\"role\":\"user\",\"content\":[{{\"type\":\"{prompt}\"}}]}}]}}"),
            chat(prompt, false),
            chat(prompt, true),
            chat(prompt, false),
            chat(prompt, false),
        ];
        for body in bodies {
            let mut client = proxy.connect().await;
            let answer = client.request("POST", "/v1/chat/completions", &headers, body).await;
            let blocked: Vec<String> = events(&answer.text());
            assert!(answer.status >= 400 || blocked.last().is_some_and(|end| end == "[DONE]"), "{}", answer.text());
            told.push_str(&answer.head.raw);
            told.push_str(&answer.text());
        }
        let mut client = proxy.connect().await;
        client.send(format!("POST /{prompt}?key={key} HTTP/1.1\r\nhost: {said} {said}\r\n{key}: x\r\n\r\n")).await;
        told.push_str(&client.response().await.text());
        told.push_str(&proxy.admin("/metrics").await.text());
        told.push_str(&proxy.admin("/status").await.text());
        drop(client);
        // Then all that it has to say is written.
        proxy.signal("TERM");
        assert!(proxy.ended().await.success());
        proxy.logged("drained").await;
        let audit: String = proxy.audit(12).await.iter().map(|line| line.to_string() + "\n").collect();
        let log = proxy.log();
        assert!(log.contains("TRACE") || log.contains("DEBUG"), "the log is off");
        for canary in [prompt, said, key] {
            assert!(!told.contains(canary), "{canary} was told: {told}");
            assert!(!log.contains(canary), "{canary} in the log: {}", excerpt(&log, canary));
            assert_eq!(
                audit.contains(canary),
                content && canary != key,
                "{canary} in the audit (content = {content}): {audit}"
            );
        }
    }
}

fn excerpt<'a>(text: &'a str, what: &str) -> &'a str {
    text.lines().find(|line| line.contains(what)).unwrap_or_default()
}
