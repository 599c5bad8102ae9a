//! The admin listener on bare sockets: who may ask, what is read, and what is told of the traffic. What needs a model is in
//! `tests/page.rs`.

mod support;

use portcullis::policy::hex_sha256;
use serde_json::{Value, json};
use support::config::{WORD, words};
use support::{Answer, Client, Config, Proxy, Response, Upstream, chat, completion};

const JSON: (&str, &str) = ("content-type", "application/json");
const HERE: (&str, &str) = ("host", "localhost");
/// Everything that needs leave, with the method that it takes.
const GUARDED: [(&str, &str); 7] = [
    ("GET", "/metrics"),
    ("GET", "/status"),
    ("GET", "/v1/policies"),
    ("GET", "/v1/policies/p"),
    ("GET", "/v1/decisions"),
    ("POST", "/v1/classify"),
    ("POST", "/v1/moderations"),
];
const PAGE: [&str; 3] = ["/", "/page/style.css", "/page/main.js"];

const POLICY: &str = "+++\nform = \"binary\"\n[[labels]]\nlabel = \"FOUND\"\nreply = \"1\"\n\
    [[labels]]\nlabel = \"FINE\"\nreply = \"0\"\nsafe = true\n+++\nIs CONTENT bad?\n";

async fn config() -> (Upstream, Config) {
    let upstream = Upstream::start(Answer::json(completion("fine"))).await;
    let config = Config::new(upstream.address()).policy("p", POLICY);
    (upstream, config)
}

async fn start() -> (Upstream, Proxy) {
    let (upstream, config) = config().await;
    (upstream, Proxy::start(config))
}

async fn ask(proxy: &Proxy, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
    Client::connect(proxy.admin).await.request(method, path, headers, body).await
}

/// What a request with an empty object for a body comes to: its status and code.
async fn code(proxy: &Proxy, method: &str, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let body = if method == "POST" { "{}" } else { "" };
    let answer = ask(proxy, method, path, headers, body).await;
    let code = if answer.status < 400 { String::new() } else { answer.code() };
    (answer.status, code)
}

/// The code of a body that both judging paths take the form of.
async fn refused(proxy: &Proxy, path: &str, body: &str) -> (u16, Value) {
    let answer = ask(proxy, "POST", path, &[HERE, JSON], body).await;
    (answer.status, answer.json()["error"].clone())
}

/// Neither by its name, nor by where it says it comes from.
#[tokio::test]
async fn a_page_of_another_site_is_not_heard() {
    let (_upstream, proxy) = start().await;
    let port = proxy.admin.port();
    let own = format!("127.0.0.1:{port}");
    for (method, path) in GUARDED {
        let with = async |headers: &[(&str, &str)]| code(&proxy, method, path, &[headers, &[JSON]].concat()).await;
        for host in ["evil.example", &format!("evil.example:{port}"), "127.0.0.1.evil.example", "0.0.0.0"] {
            assert_eq!(with(&[("host", host)]).await, (421, "wrong_host".into()), "{path} {host}");
        }
        let foreign = (403, "cross_origin".to_owned());
        for origin in ["https://evil.example", "null", &format!("http://localhost:{port}"), "http://127.0.0.1"] {
            assert_eq!(with(&[("host", &own), ("origin", origin)]).await, foreign, "{path} {origin}");
        }
        for site in ["cross-site", "same-site"] {
            assert_eq!(with(&[("host", &own), ("sec-fetch-site", site)]).await, foreign, "{path} {site}");
        }
        // The page itself, and whoever is no browser.
        let same = [("host", &*own), ("origin", &format!("http://{own}")), ("sec-fetch-site", "same-origin")];
        for headers in [&same[..], &same[..1]] {
            let (status, code) = with(headers).await;
            let expected = if method == "GET" { (200, "") } else { (400, "invalid_") };
            assert!(status == expected.0 && code.starts_with(expected.1), "{path}: {status} {code}");
        }
    }
}

#[tokio::test]
async fn nobody_is_told_that_another_site_may_ask() {
    let (_upstream, proxy) = start().await;
    for (_, path) in GUARDED {
        let asking = [HERE, ("origin", "https://evil.example"), ("access-control-request-method", "POST")];
        let answer = ask(&proxy, "OPTIONS", path, &asking, "").await;
        assert_eq!((answer.status, answer.code().as_str()), (405, "method_not_allowed"), "{path}");
        assert!(!answer.head.raw.to_lowercase().contains("access-control"), "{}", answer.head.raw);
    }
}

#[tokio::test]
async fn the_token_guards_the_workbench_too_and_the_page_asks_for_it() {
    let (_upstream, config) = config().await;
    let config = config.admin("token = { env = \"TEST_ADMIN_TOKEN\" }");
    let proxy = Proxy::start_with(config, &[("TEST_ADMIN_TOKEN", "s3cret")]);
    for (method, path) in GUARDED {
        for wrong in [&[][..], &[("authorization", "Bearer wrong")], &[("authorization", "Basic s3cret")]] {
            let headers = [&[HERE, JSON], wrong].concat();
            assert_eq!(code(&proxy, method, path, &headers).await, (401, "invalid_api_key".into()), "{path} {wrong:?}");
        }
        let right = [HERE, JSON, ("authorization", "Bearer s3cret")];
        assert!(matches!(code(&proxy, method, path, &right).await.0, 200 | 400), "{path}");
        // A name of its own is no harm where the token is known; a page elsewhere is.
        let named = [("host", "admin.example"), JSON, ("authorization", "Bearer s3cret")];
        assert!(matches!(code(&proxy, method, path, &named).await.0, 200 | 400), "{path}");
        let foreign = [&named[..], &[("origin", "https://evil.example")]].concat();
        assert_eq!(code(&proxy, method, path, &foreign).await.0, 403, "{path}");
    }
    for path in PAGE {
        let answer = ask(&proxy, "GET", path, &[("host", "admin.example")], "").await;
        assert!(answer.status == 200 && !answer.text().contains("s3cret"), "{path}");
    }
}

#[tokio::test]
async fn the_page_takes_nothing_from_elsewhere_and_stands_in_no_frame() {
    let (_upstream, proxy) = start().await;
    let forms = ["text/html; charset=utf-8", "text/css; charset=utf-8", "text/javascript; charset=utf-8"];
    for (path, form) in PAGE.into_iter().zip(forms) {
        let answer = ask(&proxy, "GET", path, &[HERE], "").await;
        assert_eq!((answer.status, answer.head.header("content-type")), (200, Some(form)), "{path}");
        let policy = answer.head.header("content-security-policy").expect("a policy");
        for part in ["default-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        let headers = ["x-content-type-options", "x-frame-options", "cross-origin-resource-policy", "cache-control"];
        let told: Vec<_> = headers.iter().map(|name| answer.head.header(name).unwrap_or_default()).collect();
        assert_eq!(told, ["nosniff", "DENY", "same-origin", "no-store"], "{path}");
    }
    for path in ["/page/", "/page/other.js", "/page/../mod.rs", "/page/%2e%2e/mod.rs", "/page"] {
        assert_eq!(code(&proxy, "GET", path, &[HERE]).await, (404, "not_found".into()), "{path}");
    }
    assert_eq!(code(&proxy, "POST", "/", &[HERE]).await.0, 405);
}

#[tokio::test]
async fn off_there_is_no_workbench() {
    let (_upstream, config) = config().await;
    let proxy = Proxy::start(config.admin("workbench = false"));
    for (method, path) in GUARDED {
        let expected = if path.starts_with("/v1") { 404 } else { 200 };
        assert_eq!(code(&proxy, method, path, &[HERE, JSON]).await.0, expected, "{path}");
    }
    for path in PAGE {
        assert_eq!(code(&proxy, "GET", path, &[HERE]).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn a_body_is_json_and_no_more_than_it_may_be() {
    let (_upstream, proxy) = start().await;
    for path in ["/v1/classify", "/v1/moderations"] {
        for form in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/json; a=b"]
        {
            let headers = [HERE, ("content-type", form)];
            assert_eq!(code(&proxy, "POST", path, &headers).await, (415, "unsupported_media_type".into()), "{form}");
        }
        assert_eq!(code(&proxy, "POST", path, &[HERE]).await.0, 415);
        for body in
            ["", "{", "[]", "1", "{\"no_such\":1}", "{\"text\":\"a\",\"text\":\"b\"}", "{\"input\":\"\\ud800\"}"]
        {
            let (status, error) = refused(&proxy, path, body).await;
            assert_eq!((status, &error["code"]), (400, &json!("invalid_request_body")), "{path} {body}: {error}");
        }
        // It says that it is too long: that is enough.
        let mut client = Client::connect(proxy.admin).await;
        let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n");
        client.send(format!("{head}content-length: 3000000\r\n\r\n")).await;
        let answer = client.response().await;
        assert_eq!((answer.status, answer.code().as_str()), (413, "request_too_large"));
        // It does not say so: no more than that is read.
        let mut client = Client::connect(proxy.admin).await;
        client.send(format!("{head}transfer-encoding: chunked\r\n\r\n")).await;
        let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
        for _ in 0..100 {
            if client.try_send(&chunk).await.is_err() {
                break;
            }
        }
        // The answer may be lost with the connection that still brings more.
        if let Ok(answer) = client.try_response().await {
            assert_eq!(answer.status, 413);
        }
    }
    assert_eq!(ask(&proxy, "GET", "/healthz", &[], "").await.status, 200);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let (_upstream, proxy) = start().await;
    let mut client = Client::connect(proxy.admin).await;
    let head =
        "POST /v1/classify HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\n";
    client.send(format!("{head}\r\n{{")).await;
    let answer = client.response().await;
    assert_eq!((answer.status, answer.code().as_str()), (408, "request_timeout"));
}

#[tokio::test]
async fn policies_are_listed_and_shown_and_nothing_beside_them() {
    let (_upstream, config) = config().await;
    config.write("secret.txt", "hunter2");
    let config = config.policy("broken", "+++\nform = 3\n+++\nText.\n").policy("h\u{e4}me 100%41", POLICY);
    let proxy = Proxy::start(config);
    let list = ask(&proxy, "GET", "/v1/policies", &[HERE], "").await.json();
    let [broken, spaced, sound] = &list["policies"].as_array().expect("a list")[..] else { panic!("{list}") };
    assert!(broken["problem"].as_str().is_some_and(|problem| problem.contains("line 2, column 8")), "{broken}");
    assert_eq!((&sound["id"], &sound["problem"], &sound["guardrails"]), (&json!("p"), &Value::Null, &json!([])));
    assert_eq!(sound["labels"], json!([{"label": "FOUND", "safe": false}, {"label": "FINE", "safe": true}]));
    let digest = hex_sha256(POLICY.as_bytes());
    for (path, id) in [("p", &sound["id"]), ("%70", &sound["id"]), ("h%C3%a4me%20100%2541", &spaced["id"])] {
        let shown = ask(&proxy, "GET", &format!("/v1/policies/{path}"), &[HERE], "").await;
        assert_eq!(shown.json(), json!({"id": id, "text": POLICY, "digest": digest}));
    }
    let outside =
        ["../secret.txt", "..%2fsecret.txt", "%2e%2e%2Fsecret.txt", "%2Fetc", "/etc", ".", "..", "%2e", "%2E%2e"];
    let odd =
        ["", "q", "p/policy.md", "p/../p", "p%2fpolicy.md", "p%2f", "%2fp", "p%2f.", "p%00", "h%C3%a4me%20100%41"];
    let broken = ["%", "%7", "p%", "%zz", "%+70", "%2570", "%ff", "h%e4me%20100%2541"];
    for id in [&outside[..], &odd, &broken].concat() {
        let answer = code(&proxy, "GET", &format!("/v1/policies/{id}"), &[HERE]).await;
        assert_eq!(answer, (404, "policy_not_found".into()), "{id}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_an_ask_is_said_where_it_is() {
    let (_upstream, proxy) = start().await;
    let draft = |text: &str| json!({"policy_text": text, "text": "x"}).to_string();
    for (text, line, column) in [
        (POLICY.replace("\"binary\"", "\"binray\""), 2, 8),
        (POLICY.replace("reply = \"1\"", "reply = \"0\""), 8, 9),
        ("# No front matter".into(), 1, 1),
    ] {
        for stream in ["true", "false"] {
            let body = draft(&text).replace("\"x\"", &format!("\"x\",\"stream\":{stream}"));
            let (status, error) = refused(&proxy, "/v1/classify", &body).await;
            assert_eq!((status, &error["code"]), (400, &json!("invalid_policy")), "{error}");
            assert_eq!((&error["line"], &error["column"]), (&json!(line), &json!(column)), "{error}");
            assert_eq!(error["param"], "policy_text");
        }
    }
    let long = draft(&format!("{POLICY}{}", "x".repeat(64 << 10)));
    for (body, code, param) in [
        (r#"{"text": "x"}"#.to_owned(), "invalid_value", "policy"),
        (r#"{"text": "x", "policy": "q"}"#.to_owned(), "policy_not_found", "policy"),
        (r#"{"text": "x", "policy": "../p"}"#.to_owned(), "policy_not_found", "policy"),
        (r#"{"text": "", "policy": "p"}"#.to_owned(), "invalid_value", "text"),
        (r#"{"text": " \n\u3000", "policy": "p", "stream": true}"#.to_owned(), "invalid_value", "text"),
        (long, "invalid_value", "policy_text"),
    ] {
        let (_, error) = refused(&proxy, "/v1/classify", &body).await;
        assert_eq!((&error["code"], &error["param"]), (&json!(code), &json!(param)), "{error}");
    }
    for body in
        [r#"{"text": "x", "policy": "p", "effort": "huge"}"#, r#"{"text": "x", "policy": "p", "stage": "both"}"#]
    {
        assert_eq!(refused(&proxy, "/v1/classify", body).await.1["code"], "invalid_request_body");
    }
    // There is no engine here.
    let (status, error) = refused(&proxy, "/v1/classify", r#"{"text": "x", "policy": "p"}"#).await;
    assert_eq!((status, &error["code"], &error["param"]), (400, &json!("unusable_policy"), &Value::Null));
    assert!(error["message"].as_str().is_some_and(|message| message.contains("[engine.default]")), "{error}");
    // What would judge nothing must not read as if it had found nothing.
    for (input, place) in [
        (r#""""#, "the text is empty"),
        (r#"["a", "", "b"]"#, "input[1]: the text is empty"),
        (r#"[{"type": "text", "text": "\t"}]"#, "the text is empty"),
    ] {
        let (status, error) = refused(&proxy, "/v1/moderations", &format!(r#"{{"input": {input}}}"#)).await;
        assert_eq!((status, &error["code"], &error["param"]), (400, &json!("invalid_value"), &json!("input")));
        assert!(error["message"].as_str().is_some_and(|message| message.starts_with(place)), "{error}");
    }
    let (status, error) = refused(&proxy, "/v1/moderations", r#"{"input": "x"}"#).await;
    assert!(status == 400 && error["message"].as_str().is_some_and(|m| m.contains("[admin] moderations")), "{error}");
    let (status, error) = refused(&proxy, "/v1/moderations", r#"{"input": "x", "model": "q"}"#).await;
    assert_eq!((status, &error["code"], &error["param"]), (404, &json!("policy_not_found"), &json!("model")));
    let picture = r#"{"input": [{"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}]}"#;
    let (status, error) = refused(&proxy, "/v1/moderations", picture).await;
    assert!(status == 400 && error["message"].as_str().is_some_and(|m| m.contains("picture")), "{error}");
}

#[tokio::test]
async fn moderations_by_a_policy_that_is_not_there_are_a_mistake_of_the_file() {
    let (_upstream, config) = config().await;
    let config = config.admin("moderations = [\"p\", \"q\"]");
    let Err(log) = Proxy::try_start(config, &[]) else { panic!("it started") };
    assert!(log.contains("no policy is named `q`") && log.contains("moderations = ["), "{log}");
}

#[tokio::test]
async fn recent_decisions_are_the_audits_lines_with_texts_where_those_have_them() {
    for content in [false, true] {
        let (_upstream, config) = config().await;
        let config = config.guardrail("words", &words("\"input\"", "block", ""));
        let proxy = Proxy::start(config.audit(&format!("content = {content}")));
        let recent =
            async |after: u64| ask(&proxy, "GET", &format!("/v1/decisions?after={after}"), &[HERE], "").await.json();
        assert_eq!(recent(0).await, json!({"told": 0, "lines": []}));
        assert_eq!(proxy.chat(chat(&format!("a {WORD}"), false)).await.status, 400);
        assert_eq!(proxy.chat(chat("canary", false)).await.status, 200);
        assert_eq!(proxy.connect().await.request("GET", "/nowhere", &[], "").await.status, 404);
        let audit = proxy.audit(3).await;
        let told = recent(0).await;
        assert_eq!((&told["told"], &told["lines"]), (&json!(audit.len()), &json!(audit)));
        assert_eq!(told.to_string().contains("canary"), content);
        assert_eq!(recent(2).await["lines"], json!(audit[2..]));
        assert_eq!(ask(&proxy, "GET", "/v1/policies", &[HERE], "").await.json()["content"], content);
        assert_eq!(code(&proxy, "GET", "/v1/decisions?before=1", &[HERE]).await.0, 400);
    }
}
