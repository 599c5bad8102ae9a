//! Every way in which a model's server can fail, under both settings of `on_error`: what the setting says comes of it, and never
//! a verdict.

mod remote_servers;
mod support;

use std::net::SocketAddr;
use std::time::Duration;

use remote_servers::{BINARY, JSON, Kind, guardrail};
use serde_json::{Value, json};
use support::{Answer, Authority, Config, Proxy, Upstream, chat, completion};
use tokio::net::TcpListener;

/// An engine at this URL, with bounds short enough for a test.
fn engine(kind: Kind, url: &str, more: &str) -> String {
    let section = remote_servers::engine(kind, SocketAddr::from(([127, 0, 0, 1], 9)), more);
    section.replace("http://127.0.0.1:9", url)
}

/// What comes of a fault, with `on_error` as block and as allow, and which kind of error is counted.
async fn outcomes(what: &str, section: &str, policy: &str, kind: &str, write: impl Fn(&Config)) {
    for on_error in ["block", "allow"] {
        let upstream = Upstream::start(Answer::json(completion("fine"))).await;
        let toml = guardrail("block", on_error).replace("15s", "1500ms");
        let config = Config::new(upstream.address()).section(section).policy("p", policy).guardrail("judge", &toml);
        config.write("key", "sk-hosted\n");
        write(&config);
        let proxy = Proxy::start(config);
        let answer = proxy.chat(chat("is it fine?", false)).await;
        let decision = answer.head.header("x-portcullis-decision");
        match on_error {
            "block" => {
                let said = (answer.status, answer.code());
                assert_eq!(said, (503, "guardrail_unavailable".to_owned()), "{what}: {}", answer.text());
                assert!(upstream.requests().is_empty(), "{what}");
            }
            _ => {
                assert_eq!((answer.status, decision), (200, Some("allow; unjudged")), "{what}: {}", answer.text());
                assert_eq!(upstream.requests().len(), 1, "{what}");
            }
        }
        let counted = format!("portcullis_guardrail_errors_total{{guardrail=\"judge\",kind={kind:?}}}");
        proxy.counted(&counted, 1.0).await;
        // An error is not kept: the next ask is a new one.
        let again = proxy.chat(chat("is it fine?", false)).await;
        assert_eq!(again.status, answer.status, "{what}");
        proxy.counted(&counted, 2.0).await;
    }
}

/// A server that answers so.
async fn answered(what: &str, answer: Answer, kind: &str) {
    let server = Upstream::start(answer).await;
    let url = format!("http://{}", server.address());
    outcomes(what, &engine(Kind::Vllm, &url, BOUNDS), BINARY, kind, |_| {}).await;
    assert!(!server.requests().is_empty(), "{what}: nobody asked");
}

const BOUNDS: &str = "connect_timeout = \"400ms\"\nfirst_byte_timeout = \"400ms\"\nidle_timeout = \"400ms\"";

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address")
}

#[tokio::test]
async fn a_server_that_cannot_be_reached() {
    let url = format!("http://{}", nobody().await);
    outcomes("refused", &engine(Kind::Vllm, &url, BOUNDS), BINARY, "engine", |_| {}).await;
    outcomes("dns", &engine(Kind::Vllm, "http://no-such-host.invalid:8000", BOUNDS), BINARY, "engine", |_| {}).await;
}

#[tokio::test]
async fn a_server_that_is_not_who_it_should_be() {
    let (own, other) = (Authority::new(), Authority::new());
    for (what, signer, name) in [("another authority", &other, "127.0.0.1"), ("another name", &own, "example.org")] {
        let acceptor = signer.sign(&[name]).acceptor(&[]);
        let server = Upstream::scripted_tls(vec![Kind::Vllm.answer("0", "")], acceptor).await;
        let url = format!("https://{}", server.address());
        let section = engine(Kind::Vllm, &url, &format!("{BOUNDS}\nca = \"ca.pem\""));
        outcomes(what, &section, BINARY, "engine", |config| config.write("ca.pem", &own.pem())).await;
        assert!(server.requests().is_empty(), "{what}: it was told something");
    }
    // The right one is asked.
    let acceptor = own.sign(&["127.0.0.1"]).acceptor(&[]);
    let server = Upstream::scripted_tls(vec![Kind::Vllm.answer("0", "")], acceptor).await;
    let upstream = Upstream::start(Answer::json(completion("fine"))).await;
    let section = engine(Kind::Vllm, &format!("https://{}", server.address()), "ca = \"ca.pem\"");
    let config = Config::new(upstream.address())
        .section(&section)
        .policy("p", BINARY)
        .guardrail("judge", &guardrail("block", "block"));
    config.write("ca.pem", &own.pem());
    assert_eq!(Proxy::start(config).chat(chat("is it fine?", false)).await.status, 200);
}

#[tokio::test]
async fn a_server_that_stalls_while_it_is_connected_to() {
    // It takes the connection and never speaks TLS.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let authority = Authority::new();
    let held = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            held.push(socket);
        }
    });
    let section = engine(Kind::Vllm, &format!("https://{address}"), &format!("{BOUNDS}\nca = \"ca.pem\""));
    outcomes("stall", &section, BINARY, "timeout", |config| config.write("ca.pem", &authority.pem())).await;
    held.abort();
}

#[tokio::test]
async fn a_server_that_hangs_up() {
    answered("reset", Answer::default().reset(), "engine").await;
    answered("close", Answer::default().close(), "engine").await;
    let begun =
        Answer::head(200, &[("content-type", "application/json"), ("content-length", "500")]).send("{\"choices\"");
    answered("broken off", begun.clone().close(), "engine").await;
    answered("broken off by a reset", begun.reset(), "engine").await;
}

#[tokio::test]
async fn a_server_that_is_slow() {
    answered("no head", Answer::default().stall(), "timeout").await;
    let begun = || Answer::head(200, &[("content-type", "application/json"), ("content-length", "500")]);
    answered("no body", begun().stall(), "timeout").await;
    answered("half a body", begun().send("{").stall(), "timeout").await;
    // Each byte is in time, and all of them are not.
    let body = Kind::Vllm.body("0", "").to_string();
    let head = Answer::head(200, &[("content-length", &body.len().to_string())]);
    answered("drip", head.drip(body, Duration::from_millis(100)), "timeout").await;
    // With no bound of its own the guardrail's deadline holds.
    let server = Upstream::start(Answer::default().stall()).await;
    let section = engine(Kind::Vllm, &format!("http://{}", server.address()), "");
    outcomes("deadline", &section, BINARY, "timeout", |_| {}).await;
    server.hung_up(1).await;
}

#[tokio::test]
async fn a_server_that_answers_something_else() {
    for status in [204, 301, 400, 401, 404, 429, 500, 503] {
        answered(&format!("status {status}"), Answer::error(status, "busy"), "engine").await;
    }
    answered("no http", Answer::raw("what do you want?\r\n\r\n").close(), "unparseable").await;
    for body in ["", "no json", "[]", "{}", r#"{"choices":[]}"#, r#"{"choices":[{"index":0}]}"#] {
        answered(&format!("body {body:?}"), Answer::json(body), "unparseable").await;
    }
    let large = format!("{{\"choices\":\"{}\"}}", "x".repeat(9 << 20));
    answered("too large", Answer::json(large), "engine").await;
    let error = json!({ "error": { "message": "out of memory", "code": 500 } });
    answered("an error in a 200", Answer::json(error.to_string()), "engine").await;
}

/// A chat answer, changed.
fn changed(change: impl FnOnce(&mut Value)) -> Answer {
    let mut body = Kind::Vllm.body("0", "Let me see.");
    change(&mut body);
    Answer::json(body.to_string())
}

#[tokio::test]
async fn a_model_that_does_not_answer() {
    let finish = |reason: Value| changed(move |body| body["choices"][0]["finish_reason"] = reason);
    let message = |name: &'static str, value: Value| changed(move |body| body["choices"][0]["message"][name] = value);
    answered("length", finish(json!("length")), "truncated").await;
    answered("filter", finish(json!("content_filter")), "unparseable").await;
    answered("tool call", finish(json!("tool_calls")), "unparseable").await;
    answered("no end", finish(Value::Null), "unparseable").await;
    answered("refusal", message("refusal", json!("I can't help with that.")), "unparseable").await;
    answered("reasoning only", message("content", Value::Null), "unparseable").await;
    answered("empty", Kind::Vllm.answer(" \n", ""), "unparseable").await;
    answered("parts", message("content", json!([{ "type": "text", "text": "0" }])), "unparseable").await;
    let two = changed(|body| body["choices"] = json!([body["choices"][0], body["choices"][0]]));
    answered("two choices", two, "unparseable").await;
}

#[tokio::test]
async fn a_model_that_answers_beside_the_policy() {
    for said in ["2", "00", "0.", "SAFE", "0 1", "1, 0", "The answer is 0", "<|channel|>final<|message|>0", "\"0\""] {
        answered(said, Kind::Vllm.answer(said, ""), "unparseable").await;
    }
    // The schema failed open.
    for said in [
        "0",
        "```json\n{\"violation\":0,\"policy_category\":null}\n```",
        "{\"violation\":2,\"policy_category\":null}",
        "{\"violation\":\"0\",\"policy_category\":null}",
        "{\"violation\":0.0,\"policy_category\":null}",
        "{\"violation\":1,\"violation\":0,\"policy_category\":null}",
        "{\"violation\":0}",
        "{\"violation\":0,\"policy_category\":null,\"more\":1}",
        "{\"violation\":0,\"policy_category\":null} {}",
        "{\"label\":\"safe\"}",
    ] {
        let server = Upstream::start(Kind::LlamaCpp.answer(said, "")).await;
        let section = engine(Kind::LlamaCpp, &format!("http://{}", server.address()), BOUNDS);
        outcomes(said, &section, JSON, "unparseable", |_| {}).await;
    }
}

#[tokio::test]
async fn patterns_are_searched_though_the_model_takes_all_the_time() {
    let toml = "stage = [\"input\"]\non_error = \"allow\"\ndeadline = \"1500ms\"\n\
        [patterns.words]\nsecret = [\"bluebird\"]\nodd = [\"odd\"]\n\
        [[then]]\nlabels = [\"odd\"]\npolicy = \"p\"\n\
        [actions]\nsecret = \"block\"\nodd = \"annotate\"\nBAD = \"block\"\n";
    let server = Upstream::start(Answer::default().stall()).await;
    let upstream = Upstream::start(Answer::json(completion("fine"))).await;
    let section = engine(Kind::Vllm, &format!("http://{}", server.address()), "");
    let config = Config::new(upstream.address()).section(&section).policy("p", BINARY).guardrail("judge", toml);
    let proxy = Proxy::start(config);
    // The newest texts are asked about first, a few at once; the oldest one has its turn when the time is up.
    let turn = |number: usize| {
        let role = if number.is_multiple_of(2) { "user" } else { "assistant" };
        json!({ "role": role, "content": format!("odd number {number}") })
    };
    let ask = async |oldest: &str| {
        let first = json!({ "role": "system", "content": oldest });
        let messages: Vec<Value> = std::iter::once(first).chain((0..1000).map(turn)).collect();
        proxy.chat(json!({ "model": "m", "messages": messages }).to_string()).await
    };
    let refused = ask("an odd bluebird").await;
    assert_eq!((refused.status, refused.code().as_str()), (400, "content_policy_violation"), "{}", refused.text());
    assert!(upstream.requests().is_empty());
    let passed = ask("an odd one").await;
    let decision = passed.head.header("x-portcullis-decision");
    assert_eq!((passed.status, decision), (200, Some("annotate; unjudged")), "{}", passed.text());
    assert!(!server.requests().is_empty());
}
