//! What the upstream keeps: a request may stand on answers that left through the proxy as they came, and on nothing else.

mod support;

use serde_json::{Value, json};
use support::config::{WORD, words};
use support::{Answer, Config, Proxy, Response, Upstream};

const PATH: &str = "/v1/responses";

/// One more route on the same guardrails.
fn route(id: &str, path: &str, guardrails: &str, more: &str) -> String {
    format!(
        "[[route]]\nid = \"{id}\"\npath = \"{path}\"\ndialect = \"openai_responses\"\nupstream = \"main\"\n\
         guardrails = [{guardrails}]\n{more}\n"
    )
}

fn config(upstream: &Upstream, guardrail: &str, more: &str) -> Config {
    Config::new(upstream.address()).guardrail("words", guardrail).section(&route("responses", PATH, "\"words\"", more))
}

/// An answer that says `text`; its message has the id `msg_` and the same number.
fn response(number: u32, text: &str) -> Value {
    json!({"id": format!("resp_{number}"), "object": "response", "created_at": 1, "status": "completed", "model": "m", "output": [
        {"type": "message", "id": format!("msg_{number}"), "role": "assistant", "status": "completed",
         "content": [{"type": "output_text", "text": text, "annotations": []}]}]})
}

fn whole(number: u32, text: &str) -> Answer {
    Answer::json(response(number, text).to_string())
}

/// The same as a stream, in two pieces.
fn stream(number: u32, text: &str) -> Answer {
    let whole = response(number, text);
    let mut begun = whole.clone();
    (begun["status"], begun["output"]) = (json!("in_progress"), json!([]));
    let (one, two) = text.split_at(text.len() / 2);
    let at = |mut event: Value| {
        event["output_index"] = json!(0);
        event["content_index"] = json!(0);
        event["item_id"] = json!(format!("msg_{number}"));
        event
    };
    let events = [
        json!({"type": "response.created", "response": begun}),
        at(json!({"type": "response.output_text.delta", "delta": one})),
        at(json!({"type": "response.output_text.delta", "delta": two})),
        json!({"type": "response.completed", "response": whole}),
    ];
    events.iter().fold(Answer::stream(), |answer, event| answer.event(event.to_string())).end()
}

async fn ask(proxy: &Proxy, path: &str, key: &str, body: &Value) -> Response {
    let key = format!("Bearer {key}");
    let headers = [("content-type", "application/json"), ("authorization", &key)];
    proxy.connect().await.request("POST", path, &headers, body.to_string()).await
}

fn first() -> Value {
    json!({"model": "m", "input": "hi"})
}

fn after(id: &str) -> Value {
    json!({"model": "m", "input": "go on", "previous_response_id": id})
}

fn item(id: &str) -> Value {
    json!({"model": "m", "input": [{"type": "item_reference", "id": id}, {"role": "user", "content": "go on"}]})
}

/// To be compared with an answer before.
fn beside(id: &str) -> Value {
    json!({"model": "m", "input": "go on", "prompt_cache_options": {"comparison_response_id": id}})
}

/// Status and code.
async fn told(proxy: &Proxy, body: &Value) -> (u16, String) {
    let answer = ask(proxy, PATH, "one", body).await;
    (answer.status, if answer.status == 200 { String::new() } else { answer.code() })
}

fn unknown() -> (u16, String) {
    (400, "unknown_reference".to_owned())
}

fn fine() -> (u16, String) {
    (200, String::new())
}

#[tokio::test]
async fn an_answer_that_left_as_it_came_may_be_stood_on() {
    for guardrail in ["\"input\"", "\"output\"", "\"input\", \"output\""] {
        let upstream = Upstream::scripted(vec![whole(1, "fine"), stream(2, "all fine"), whole(3, "fine")]).await;
        let proxy = Proxy::start(config(&upstream, &words(guardrail, "block", ""), ""));
        for strange in [after("resp_1"), item("msg_1"), item("resp_x")] {
            let refused = ask(&proxy, PATH, "one", &strange).await;
            assert_eq!((refused.status, refused.code()), unknown(), "{strange}");
            let param = refused.json()["error"]["param"].clone();
            assert!(param == "previous_response_id" || param == "input[0].id", "{param}");
        }
        assert!(upstream.requests().is_empty());
        assert_eq!(told(&proxy, &first()).await, fine());
        let second = ask(
            &proxy,
            PATH,
            "one",
            &json!({"model": "m", "input": "a", "stream": true, "previous_response_id": "resp_1"}),
        )
        .await;
        assert!(second.status == 200 && second.text().contains("response.completed"), "{}", second.text());
        assert_eq!(upstream.requests()[1].json()["previous_response_id"], "resp_1");
        for known in [after("resp_1"), after("resp_2"), item("msg_1"), item("msg_2"), beside("resp_1")] {
            assert_eq!(told(&proxy, &known).await, fine(), "{guardrail} {known}");
        }
        assert_eq!(told(&proxy, &after("resp_4")).await, unknown());
        assert_eq!(told(&proxy, &beside("resp_4")).await, unknown());
        let audit = proxy.audited(1, |line| line["code"] == "unknown_reference").await;
        assert_eq!(audit[0]["status"], 400);
    }
}

#[tokio::test]
async fn an_id_is_its_callers_alone() {
    let upstream = Upstream::start(whole(1, "fine")).await;
    let proxy = Proxy::start(config(&upstream, &words("\"output\"", "block", ""), ""));
    assert_eq!(ask(&proxy, PATH, "one", &first()).await.status, 200);
    for (key, status) in [("one", 200), ("two", 400), ("", 400), ("one", 200)] {
        assert_eq!(ask(&proxy, PATH, key, &after("resp_1")).await.status, status, "{key}");
    }
    // Another project of the same key, and whatever else tells callers apart.
    for name in [
        "openai-project",
        "cookie",
        "ocp-apim-subscription-key",
        "x-ms-token-aad-id-token",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
    ] {
        let headers = [("content-type", "application/json"), ("authorization", "Bearer one"), (name, "p=1")];
        let other = proxy.connect().await.request("POST", PATH, &headers, after("resp_1").to_string()).await;
        assert_eq!((other.status, other.code()), unknown(), "{name}");
    }
}

#[tokio::test]
async fn an_id_is_known_under_the_same_guardrails_alone() {
    let upstream = Upstream::start(whole(1, "fine")).await;
    let config = config(&upstream, &words("\"output\"", "block", ""), "")
        .section("[guardrail.other]\nstage = [\"output\"]\non_error = \"block\"\npatterns.words.x = [\"nightjar\"]\nactions.x = \"block\"")
        .section(&route("same", "/same/responses", "\"words\"", ""))
        .section(&route("more", "/more/responses", "\"words\", \"other\"", ""))
        .section(&route("none", "/none/responses", "\"words\"", "state = \"refuse\""));
    let proxy = Proxy::start(config);
    assert_eq!(told(&proxy, &first()).await, fine());
    assert_eq!(ask(&proxy, "/same/responses", "one", &after("resp_1")).await.status, 200);
    assert_eq!(ask(&proxy, "/more/responses", "one", &after("resp_1")).await.code(), "unknown_reference");
    assert_eq!(ask(&proxy, "/none/responses", "one", &after("resp_1")).await.code(), "unsupported_content");
}

#[tokio::test]
async fn what_was_cut_changed_or_blocked_is_not_to_be_stood_on() {
    let long = format!("a long beginning that may well leave, since all is well. Then a {WORD} flies.");
    for action in ["redact", "block"] {
        let script = vec![whole(1, &long), stream(2, &long), whole(3, "fine")];
        let upstream = Upstream::scripted(script).await;
        let small = "[route.stream]\nwindow = 8\nlookahead = 16\nmax_hold = \"1h\"";
        let proxy = Proxy::start(config(&upstream, &words("\"output\"", action, ""), small));
        for stream in [false, true] {
            let answer = ask(&proxy, PATH, "one", &json!({"model": "m", "input": "hi", "stream": stream})).await;
            assert!(!answer.text().contains(WORD), "{}", answer.text());
        }
        for id in ["resp_1", "resp_2"] {
            assert_eq!(told(&proxy, &after(id)).await, unknown(), "{action} {id}");
        }
        for id in ["msg_1", "msg_2"] {
            assert_eq!(told(&proxy, &item(id)).await, unknown(), "{action} {id}");
        }
        assert_eq!(told(&proxy, &first()).await, fine());
        assert_eq!(told(&proxy, &after("resp_3")).await, fine());
    }
}

#[tokio::test]
async fn what_is_forgotten_is_refused() {
    let upstream = Upstream::scripted(vec![whole(1, "fine"), whole(2, "fine"), whole(2, "fine")]).await;
    let config = config(&upstream, &words("\"output\"", "block", ""), "").section("[state]\nids = 2");
    let proxy = Proxy::start(config);
    // Two ids each: of the answer and of its message.
    assert_eq!(told(&proxy, &first()).await, fine());
    assert_eq!(told(&proxy, &after("resp_1")).await, fine());
    assert_eq!(told(&proxy, &after("resp_1")).await, unknown());
    assert_eq!(told(&proxy, &after("resp_2")).await, fine());
}

#[tokio::test]
async fn ids_outlive_a_reload_under_the_same_guardrails() {
    let upstream = Upstream::start(whole(1, "fine")).await;
    let proxy = Proxy::start(config(&upstream, &words("\"output\"", "block", ""), ""));
    assert_eq!(told(&proxy, &first()).await, fine());
    proxy.signal("HUP");
    proxy.counted("portcullis_live_generation", 2.0).await;
    assert_eq!(told(&proxy, &after("resp_1")).await, fine());
    // Others judge now.
    proxy.config.write("guardrails/words.toml", &words("\"input\", \"output\"", "block", ""));
    proxy.counted("portcullis_live_generation", 3.0).await;
    assert_eq!(told(&proxy, &after("resp_1")).await, unknown());
}

#[tokio::test]
async fn what_else_the_upstream_keeps_is_refused() {
    let upstream = Upstream::start(whole(1, "fine")).await;
    let proxy = Proxy::start(config(&upstream, &words("\"output\"", "block", ""), ""));
    assert_eq!(told(&proxy, &first()).await, fine());
    for (member, value) in [
        ("conversation", json!("conv_1")),
        ("conversation", json!({"id": "resp_1"})),
        ("prompt", json!({"id": "pmpt_1"})),
        ("background", json!(true)),
        ("previous_input_messages", json!(["resp_1"])),
    ] {
        let mut body = first();
        body[member] = value;
        assert_eq!(told(&proxy, &body).await, (400, "unsupported_content".to_owned()), "{body}");
    }
    let stored = proxy.connect().await.request("GET", "/v1/responses/resp_1", &[], "").await;
    assert_eq!((stored.status, stored.code()), (404, "route_not_found".to_owned()));
    assert_eq!(upstream.requests().len(), 1);
}
