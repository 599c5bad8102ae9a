//! What is refused before a guardrail sees it: each case in OpenAI's shape and with its line in the audit, nothing of it
//! at the upstream, and the connection of use afterwards where HTTP allows.

mod support;

use support::client::request;
use support::{Answer, Config, Proxy, Upstream, chat, completion};

const CHAT: &str = "/v1/chat/completions";
const JSON: (&str, &str) = ("content-type", "application/json");

/// A proxy with a word list on both stages, before this upstream.
fn guarded(upstream: &Upstream) -> Proxy {
    Proxy::start(Config::new(upstream.address()).block("\"input\", \"output\"", &["forbidden"]))
}

async fn answering(text: &str) -> Upstream {
    Upstream::start(Answer::json(completion(text))).await
}

/// A request that must be refused, and how.
struct Case {
    name: &'static str,
    bytes: Vec<u8>,
    status: u16,
    code: &'static str,
    /// Whether the connection can be used again.
    kept: bool,
}

fn case(name: &'static str, bytes: impl Into<Vec<u8>>, status: u16, code: &'static str) -> Case {
    Case { name, bytes: bytes.into(), status, code, kept: true }
}

/// One after which the connection must close: where the request ends can't be told.
fn last(name: &'static str, bytes: impl Into<Vec<u8>>, status: u16, code: &'static str) -> Case {
    Case { kept: false, ..case(name, bytes, status, code) }
}

/// A chat request with these header lines besides `Content-Type`.
fn with(lines: &str) -> Vec<u8> {
    let body = chat("hello CANARY", false);
    let length = body.len();
    format!("POST {CHAT} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{lines}\r\n{body}")
        .into_bytes()
}

/// A chat request whose header is just these lines, and what follows it.
fn bare(lines: &str, body: &str) -> Vec<u8> {
    format!("POST {CHAT} HTTP/1.1\r\n{lines}\r\n{body}").into_bytes()
}

/// Every case gets its refusal in OpenAI's shape and its line in the audit; nothing of it reaches the upstream; and the
/// connection goes on where it can.
async fn refuses(cases: Vec<Case>) {
    let upstream = answering("fine").await;
    let proxy = guarded(&upstream);
    let mut codes: Vec<_> = cases.iter().map(|case| case.code).collect();
    let mut clean = 0;
    for Case { name, bytes, status, code, kept } in cases {
        let mut client = proxy.connect().await;
        client.send(&bytes).await;
        let answer = client.try_response().await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{name}: {}", answer.text());
        let error = &answer.json()["error"];
        assert!(
            error["message"].as_str().is_some_and(|m| !m.is_empty()) && error["type"].is_string(),
            "{name}: {error}"
        );
        assert!(!answer.text().contains("CANARY"), "{name} quotes the content: {error}");
        assert_eq!(
            answer.head.header("connection").map(str::to_ascii_lowercase).as_deref(),
            Some(if kept { "keep-alive" } else { "close" }),
            "{name}"
        );
        if kept {
            client.send(request("POST", CHAT, &[JSON], chat("clean", false))).await;
            let next = client.try_response().await.unwrap_or_else(|error| panic!("the request after {name}: {error}"));
            assert_eq!(next.status, 200, "after {name}");
            clean += 1;
        } else {
            assert_eq!(client.closed().await, b"", "{name}");
        }
    }
    let audit = proxy.audit(codes.len() + 2 * clean).await;
    let mut refused: Vec<_> =
        audit.iter().filter(|line| line["outcome"] == "refused").map(|line| line["code"].as_str().unwrap()).collect();
    refused.sort_unstable();
    codes.sort_unstable();
    assert_eq!(refused, codes);
    assert!(!audit.iter().any(|line| line.to_string().contains("CANARY")));
    assert_eq!(upstream.requests().len(), clean, "a refused request reached the upstream");
    assert!(upstream.requests().iter().all(|request| request.text().contains("clean")));
}

#[tokio::test]
async fn refuses_paths_that_have_no_route_or_two_readings() {
    let body = chat("CANARY", false);
    let at = |path: &str| request("POST", path, &[JSON], &body);
    refuses(vec![
        case("unknown", at("/v1/embeddings"), 404, "route_not_found"),
        case("other case", at("/V1/Chat/Completions"), 404, "route_not_found"),
        case("longer", at("/v1/chat/completions/x"), 404, "route_not_found"),
        case("encoded slash", at("/v1%2fchat/completions"), 400, "invalid_path"),
        case("doubly encoded", at("/v1%252fchat/completions"), 400, "invalid_path"),
        case("double slash", at("//v1/chat/completions"), 400, "invalid_path"),
        case("dot", at("/v1/./chat/completions"), 400, "invalid_path"),
        case("dots", at("/v1/models/../chat/completions"), 400, "invalid_path"),
        case("encoded dots", at("/v1/%2e%2e/v1/chat/completions"), 400, "invalid_path"),
        case("trailing slash", at("/v1/chat/completions/"), 400, "invalid_path"),
        case("NUL", at("/v1/chat/completions%00"), 400, "invalid_path"),
        case("encoded space", at("/v1/chat/completions%20"), 400, "invalid_path"),
        case("parameter", at("/v1/chat/completions;a=b"), 400, "invalid_path"),
        case("backslash", at("/v1\\chat/completions"), 400, "invalid_path"),
        case("broken escape", at("/v1/chat/completions%4"), 400, "invalid_path"),
        case("beyond ASCII", at("/v1/chat/compl\u{e9}tions"), 400, "invalid_path"),
        case("query", at("/v1/chat/completions?api-version=1"), 400, "query_not_allowed"),
        case("empty query", at("/v1/chat/completions?"), 400, "query_not_allowed"),
        case("absolute form", at("http://proxy.test/v1/chat/completions"), 400, "invalid_header"),
        case("asterisk", request("OPTIONS", "*", &[], ""), 400, "invalid_header"),
        last("CONNECT", "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n", 400, "invalid_header"),
    ])
    .await;
}

#[tokio::test]
async fn refuses_methods_media_types_and_codings() {
    let body = chat("CANARY", false);
    let typed = |types: &[(&str, &str)]| request("POST", CHAT, types, &body);
    let media = "unsupported_media_type";
    refuses(vec![
        case("GET", request("GET", CHAT, &[], ""), 405, "method_not_allowed"),
        case("GET with a body", request("GET", CHAT, &[JSON], &body), 405, "method_not_allowed"),
        case("odd case", request("pOsT", CHAT, &[JSON], &body), 405, "method_not_allowed"),
        case("TRACE", request("TRACE", CHAT, &[], ""), 405, "method_not_allowed"),
        case(
            "POST to a route that passes GET",
            request("POST", "/v1/models", &[JSON], &body),
            405,
            "method_not_allowed",
        ),
        case("no type", typed(&[]), 415, media),
        case("text", typed(&[("content-type", "text/plain")]), 415, media),
        case("form", typed(&[("content-type", "application/x-www-form-urlencoded")]), 415, media),
        case("multipart", typed(&[("content-type", "multipart/form-data; boundary=x")]), 415, media),
        case("suffix", typed(&[("content-type", "application/vnd.api+json")]), 415, media),
        case("UTF-16", typed(&[("content-type", "application/json; charset=utf-16")]), 415, media),
        case("UTF-7", typed(&[("content-type", "application/json;charset=utf-7")]), 415, media),
        case("two lines", typed(&[JSON, ("content-type", "text/plain")]), 415, media),
        case("two in one", typed(&[("content-type", "application/json, text/plain")]), 415, media),
        case("deflate", typed(&[JSON, ("content-encoding", "deflate")]), 415, "unsupported_content_encoding"),
        case("not gzip", typed(&[JSON, ("content-encoding", "gzip")]), 400, "invalid_request_body"),
        case("stacked", typed(&[JSON, ("content-encoding", "gzip, br")]), 415, "unsupported_content_encoding"),
        case(
            "stacked in lines",
            typed(&[JSON, ("content-encoding", "identity"), ("content-encoding", "br")]),
            415,
            "unsupported_content_encoding",
        ),
    ])
    .await;
}

#[tokio::test]
async fn refuses_headers_that_can_be_read_in_two_ways() {
    let chunked = |lines: &str| bare(&format!("host: a\r\n{lines}"), "2\r\n{}\r\n0\r\n\r\n");
    let hosted = |host: &str| bare(&format!("{host}content-length: 2\r\n"), "{}");
    refuses(vec![
        case("gzip and chunked", chunked("transfer-encoding: gzip, chunked\r\n"), 400, "invalid_header"),
        case("chunked twice", chunked("transfer-encoding: chunked, chunked\r\n"), 400, "invalid_header"),
        last("identity", chunked("transfer-encoding: identity\r\n"), 400, "invalid_header"),
        last(
            "chunked, then identity",
            chunked("transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n"),
            400,
            "invalid_header",
        ),
        last("not chunked", chunked("transfer-encoding: \x0bchunked\r\n"), 400, "invalid_header"),
        last(
            "HTTP/1.0 with a coding",
            "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            "invalid_header",
        ),
        case("the same length twice", with("content-length: 82\r\n"), 400, "invalid_header"),
        last("two lengths", with("content-length: 3\r\n"), 400, "invalid_header"),
        case("a list of lengths", bare("host: a\r\ncontent-length: 2, 2\r\n", "{}"), 400, "invalid_header"),
        last("signed", bare("host: a\r\ncontent-length: +2\r\n", "{}"), 400, "invalid_header"),
        last(
            "beyond 64 bits",
            bare("host: a\r\ncontent-length: 99999999999999999999\r\n", "{}"),
            400,
            "invalid_header",
        ),
        case("no host", hosted(""), 400, "invalid_header"),
        case("empty host", hosted("host:\r\n"), 400, "invalid_header"),
        case("host with a path", hosted("host: a/x?\r\n"), 400, "invalid_header"),
        case("host with a fragment", hosted("host: a/public#\r\n"), 400, "invalid_header"),
        case("host with a space", hosted("host: a b\r\n"), 400, "invalid_header"),
        case("host with a comma", hosted("host: a,b\r\n"), 400, "invalid_header"),
        last("host with a user", hosted("host: a@b\r\n"), 400, "invalid_header"),
        last("two hosts", hosted("host: a\r\nhost: b\r\n"), 400, "invalid_header"),
        case(
            "nominated",
            with("connection: keep-alive, Authorization\r\nauthorization: Bearer k\r\n"),
            400,
            "invalid_header",
        ),
        last("other expectation", with("expect: 200-ok\r\n"), 417, "expectation_failed"),
        last("space before the colon", with("x-a : b\r\n"), 400, "invalid_header"),
        last("folded", with("x-a: b\r\n c\r\n"), 400, "invalid_header"),
        last("no colon", with("CANARY\r\n"), 400, "invalid_header"),
        last("NUL", with("x-a: b\0c\r\n"), 400, "invalid_header"),
        last("other version", "GET /v1/models HTTP/3.0\r\nhost: a\r\n\r\n", 400, "invalid_header"),
        last("no HTTP at all", "CANARY CANARY\r\n\r\n", 400, "invalid_header"),
        last("TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\u{7f}\x03\x03", 400, "invalid_header"),
        last("h2 preface, broken", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", 400, "invalid_header"),
    ])
    .await;
}

#[tokio::test]
async fn refuses_bodies_that_are_not_strict_json() {
    let body = |body: &str| request("POST", CHAT, &[JSON], body);
    let message =
        |content: &str| body(&format!(r#"{{"model":"m","messages":[{{"role":"user","content":{content}}}]}}"#));
    let chunked = "host: a\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n";
    let invalid = |name, bytes| case(name, bytes, 400, "invalid_request_body");
    let mut latin = body(r#"{"model":"m","messages":[{"role":"user","content":"CANARY?"}]}"#);
    let mark = latin.iter().rposition(|b| *b == b'?').expect("the mark");
    latin[mark] = 0xff;
    refuses(vec![
        invalid("empty", body("")),
        invalid("cut short", body(r#"{"model":"CANARY"#)),
        invalid("trailing data", body(&(chat("CANARY", false) + "{}"))),
        invalid("BOM", body(&format!("\u{feff}{}", chat("CANARY", false)))),
        invalid("invalid UTF-8", latin),
        invalid("lone surrogate", message(r#""CANARY\ud800""#)),
        invalid("duplicate key", message(r#""ok","content":"CANARY""#)),
        invalid("duplicate after unescaping", message(r#""ok","c\u006fntent":"CANARY""#)),
        invalid("other case", message(r#""ok","Content":"CANARY""#)),
        invalid("comment", message(r#""CANARY"/*x*/"#)),
        invalid("NaN", body(r#"{"model":"m","messages":[],"temperature":NaN}"#)),
        invalid("too deep", body(&format!(r#"{{"messages":[],"metadata":{}1{}}}"#, "[".repeat(65), "]".repeat(65)))),
        invalid("array", body("[]")),
        invalid("messages are no list", body(r#"{"model":"m","messages":{"role":"user"}}"#)),
        invalid("content is a number", message("1")),
        case("unknown part", message(r#"[{"type":"CANARY_part","text":"x"}]"#), 400, "unsupported_content"),
        last("chunk size", bare(chunked, "zz\r\n{}\r\n0\r\n\r\n"), 400, "invalid_request_body"),
        last("longer than its chunk", bare(chunked, "1\r\n{}\r\n0\r\n\r\n"), 400, "invalid_request_body"),
    ])
    .await;
}

#[tokio::test]
async fn says_what_the_path_takes() {
    let upstream = answering("x").await;
    let proxy = guarded(&upstream);
    for (method, path, allow) in [("DELETE", CHAT, "POST"), ("POST", "/v1/models", "GET")] {
        assert_eq!(proxy.connect().await.request(method, path, &[], "").await.head.header("allow"), Some(allow));
    }
}
