//! Ollama's API, and OpenAI's beside chat completions, through the proxy: what is blocked, cut and redacted, and how it is told.

mod support;

use serde_json::{Value, json};
use support::config::{WORD, words};
use support::{Answer, Config, Proxy, Response, Upstream};

/// A deployment with one more route, on the same guardrails.
fn config(upstream: &Upstream, path: &str, dialect: &str, guardrail: &str, more: &str) -> Config {
    let route = format!(
        "[[route]]\nid = \"other\"\npath = \"{path}\"\ndialect = \"{dialect}\"\nupstream = \"main\"\nguardrails = [\"words\"]\n{more}\n"
    );
    Config::new(upstream.address()).guardrail("words", guardrail).section(&route)
}

async fn post(proxy: &Proxy, path: &str, body: &Value) -> Response {
    proxy.connect().await.request("POST", path, &[("content-type", "application/json")], body.to_string()).await
}

fn line(text: &str) -> String {
    json!({"model": "m", "created_at": "2023-08-04T08:52:19Z", "message": {"role": "assistant", "content": text}, "done": false}).to_string() + "\n"
}

fn last_line() -> String {
    json!({"model": "m", "message": {"role": "assistant", "content": ""}, "done": true, "done_reason": "stop", "context": [1, 2]}).to_string() + "\n"
}

fn lines(texts: &[&str]) -> Answer {
    let head = Answer::head(200, &[("content-type", "application/x-ndjson"), ("transfer-encoding", "chunked")]);
    texts.iter().fold(head, |answer, text| answer.chunk(line(text)))
}

fn parsed(response: &Response) -> Vec<Value> {
    response.text().lines().map(|line| serde_json::from_str(line).expect("JSON on each line")).collect()
}

fn content(lines: &[Value]) -> String {
    lines.iter().filter_map(|line| line["message"]["content"].as_str()).collect()
}

/// A few letters at a time: the phrase is split, and what stands before it may leave.
fn pieces() -> Vec<&'static str> {
    let bytes = SAID.as_bytes().chunks(5);
    bytes.map(|piece| std::str::from_utf8(piece).expect("ASCII")).collect()
}

const SAID: &str = "A long beginning that may well leave, since it is all fine. Then a bluebird flies, and more.";

const SMALL: &str = "[route.stream]\nwindow = 8\nlookahead = 16\nmax_hold = \"1h\"";

#[tokio::test]
async fn a_chat_in_lines_is_cut_as_ollamas_clients_read_it() {
    let upstream = Upstream::start(lines(&pieces()).stall()).await;
    let proxy = Proxy::start(config(&upstream, "/api/chat", "ollama_chat", &words("\"output\"", "block", ""), SMALL));
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    let answer = post(&proxy, "/api/chat", &body).await;
    assert_eq!((answer.status, answer.head.header("content-type")), (200, Some("application/x-ndjson")));
    let got = parsed(&answer);
    let said = content(&got);
    assert!(!said.is_empty() && SAID.starts_with(&said) && !said.contains("blue"), "{said:?}");
    let end = got.last().expect("a last line");
    assert_eq!(
        (&end["done"], &end["done_reason"], &end["model"]),
        (&json!(true), &json!("content_filter"), &json!("m"))
    );
    assert!(answer.text().ends_with("}\n"));
}

#[tokio::test]
async fn a_chat_in_lines_is_redacted_over_lines() {
    let answer = lines(&["Watch the blue", "bird", ", and wait for a good while."]).chunk(last_line()).end();
    let upstream = Upstream::start(answer).await;
    let proxy = Proxy::start(config(&upstream, "/api/chat", "ollama_chat", &words("\"output\"", "redact", ""), SMALL));
    let answer = post(&proxy, "/api/chat", &json!({"model": "m", "messages": []})).await;
    let got = parsed(&answer);
    assert_eq!(content(&got), "Watch the [REDACTED:secret], and wait for a good while.");
    assert_eq!(got.len(), 4);
    assert!(got[3].get("context").is_none() && got[3]["done_reason"] == "stop", "{}", got[3]);
}

#[tokio::test]
async fn a_blocked_prompt_is_told_as_ollama_would() {
    let upstream = Upstream::start(lines(&["fine"]).chunk(last_line()).end()).await;
    let proxy =
        Proxy::start(config(&upstream, "/api/generate", "ollama_generate", &words("\"input\"", "block", ""), ""));
    for body in [
        json!({"prompt": WORD}),
        json!({"prompt": "a", "suffix": WORD}),
        json!({"prompt": "a", "system": WORD}),
        json!({"prompt": "a", "options": {"stop": [WORD]}}),
    ] {
        let refused = post(&proxy, "/api/generate", &body).await;
        assert_eq!((refused.status, refused.head.header("content-type")), (400, Some("application/json")), "{body}");
        let error = refused.json();
        assert!(error["error"].is_string() && !error.to_string().contains(WORD), "{error}");
    }
    for body in [
        json!({"prompt": "a", "raw": true}),
        json!({"prompt": "a", "images": ["aGk="]}),
        json!({"prompt": "a", "Context": [1]}),
    ] {
        assert_eq!(post(&proxy, "/api/generate", &body).await.status, 400, "{body}");
    }
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn a_block_may_be_told_as_a_message_in_lines() {
    let upstream = Upstream::start(lines(&[])).await;
    let message = "on_block = { message = \"No.\" }";
    let proxy = Proxy::start(config(&upstream, "/api/chat", "ollama_chat", &words("\"input\"", "block", ""), message));
    let body = json!({"model": "m", "messages": [{"role": "user", "content": WORD}]});
    let answer = post(&proxy, "/api/chat", &body).await;
    assert_eq!((answer.status, answer.head.header("content-type")), (200, Some("application/x-ndjson")));
    let got = parsed(&answer);
    assert_eq!((content(&got).as_str(), &got[1]["done"]), ("No.", &json!(true)));
    let whole = json!({"model": "m", "stream": false, "messages": [{"role": "user", "content": WORD}]});
    assert_eq!(post(&proxy, "/api/chat", &whole).await.json()["message"]["content"], "No.");
}

#[tokio::test]
async fn completions_are_judged_and_cut() {
    let chunk = |text: &str| {
        json!({"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m", "choices": [{"index": 0, "text": text, "finish_reason": null}]}).to_string()
    };
    let answer = pieces().into_iter().fold(Answer::stream(), |answer, text| answer.event(chunk(text))).stall();
    let upstream = Upstream::start(answer).await;
    let guardrail = words("\"input\", \"output\"", "block", "");
    let proxy = Proxy::start(config(&upstream, "/v1/completions", "openai_completions", &guardrail, SMALL));
    for prompt in [json!(WORD), json!(["a", WORD]), json!(["blue", "bird"]), json!([1, 2])] {
        let refused = post(&proxy, "/v1/completions", &json!({"model": "m", "prompt": prompt})).await;
        assert_eq!(refused.status, 400, "{prompt}");
    }
    assert!(upstream.requests().is_empty());
    let answer = post(&proxy, "/v1/completions", &json!({"model": "m", "prompt": "hi", "stream": true})).await;
    let events = answer.events();
    assert_eq!((answer.status, events.last().map(String::as_str)), (200, Some("[DONE]")));
    assert!(
        events[events.len() - 2].contains("\"finish_reason\":\"content_filter\"") && !answer.text().contains("blue")
    );
}

#[tokio::test]
async fn embeddings_pass_and_pictures_do_not_where_answers_are_judged() {
    let vector = json!({"object": "list", "model": "m", "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}]}).to_string();
    let upstream = Upstream::start(Answer::json(&vector)).await;
    let guardrail = words("\"input\", \"output\"", "block", "");
    let proxy = Proxy::start(config(&upstream, "/v1/embeddings", "openai_embeddings", &guardrail, ""));
    let answer = post(&proxy, "/v1/embeddings", &json!({"model": "m", "input": ["a", "b"]})).await;
    assert_eq!((answer.status, answer.text()), (200, vector));
    assert_eq!(
        post(&proxy, "/v1/embeddings", &json!({"model": "m", "input": ["a", WORD]})).await.code(),
        "content_policy_violation"
    );
    assert_eq!(
        post(&proxy, "/v1/embeddings", &json!({"model": "m", "input": [1, 2]})).await.code(),
        "unsupported_content"
    );

    let picture = json!({"created": 1, "data": [{"b64_json": "aGk="}]}).to_string();
    let upstream = Upstream::start(Answer::json(&picture)).await;
    for (stages, status) in [("\"input\"", 200), ("\"input\", \"output\"", 502)] {
        let proxy =
            Proxy::start(config(&upstream, "/v1/images/generations", "openai_images", &words(stages, "block", ""), ""));
        assert_eq!(
            post(&proxy, "/v1/images/generations", &json!({"prompt": "a cat"})).await.status,
            status,
            "{stages}"
        );
        assert_eq!(post(&proxy, "/v1/images/generations", &json!({"prompt": WORD})).await.status, 400);
    }
}
