//! Request bodies on a judged route, compressed and not: what is judged is what goes upstream.

mod support;

use std::io::Write;

use serde_json::{Value, json};
use support::config::{WORD, words};
use support::{Answer, Config, Proxy, Response, Upstream, chat, completion};

const CHAT: &str = "/v1/chat/completions";
const JSON: (&str, &str) = ("content-type", "application/json");

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).and_then(|()| encoder.finish()).expect("gzip")
}

fn brotli(mut body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    brotli::BrotliCompress(&mut body, &mut out, &Default::default()).expect("brotli");
    out
}

fn zstd(body: &[u8]) -> Vec<u8> {
    zstd::encode_all(body, 1).expect("zstd")
}

async fn send(proxy: &Proxy, coding: &str, body: &[u8]) -> Response {
    proxy.connect().await.request("POST", CHAT, &[JSON, ("content-encoding", coding)], body).await
}

#[tokio::test]
async fn compressed_bodies_are_judged_and_go_on_uncompressed() {
    let upstream = Upstream::start(Answer::json(completion("fine"))).await;
    let guardrail = words("\"input\"", "block", "");
    let limits = "[limits]\nmax_body = \"64 KiB\"";
    let proxy = Proxy::start(Config::new(upstream.address()).guardrail("words", &guardrail).section(limits));
    let (clean, bad) = (chat("about birds", false), chat(WORD, false));
    let bomb = vec![b' '; 16 << 20];
    type Encode = fn(&[u8]) -> Vec<u8>;
    let codings: [(&str, Encode); 5] =
        [("gzip", gzip), ("x-gzip", gzip), ("GZip", gzip), ("br", brotli), ("zstd", zstd)];
    for (count, (coding, encode)) in (1..).zip(codings) {
        let answer = send(&proxy, coding, &encode(clean.as_bytes())).await;
        assert_eq!(answer.status, 200, "{coding}: {}", answer.text());
        let sent = upstream.requests();
        let sent = sent.last().expect("a request");
        assert_eq!((sent.text(), sent.head.header("content-encoding")), (clean.clone(), None), "{coding}");
        assert_eq!(sent.head.header("content-length"), Some(clean.len().to_string().as_str()), "{coding}");

        assert_eq!(send(&proxy, coding, &encode(bad.as_bytes())).await.code(), "content_policy_violation", "{coding}");
        let twice = [encode(clean.as_bytes()), encode(bad.as_bytes())].concat();
        let half = encode(clean.as_bytes());
        for body in [&twice[..], &half[..half.len() / 2], clean.as_bytes(), b""] {
            let refused = send(&proxy, coding, body).await;
            assert_eq!((refused.status, refused.code().as_str()), (400, "invalid_request_body"), "{coding}");
        }
        let refused = send(&proxy, coding, &encode(&bomb)).await;
        assert_eq!((refused.status, refused.code().as_str()), (413, "request_too_large"), "{coding}");
        assert_eq!(upstream.requests().len(), count, "{coding}");
    }
}

#[tokio::test]
async fn a_compressed_body_is_redacted() {
    let upstream = Upstream::start(Answer::json(completion("fine"))).await;
    let guardrail = words("\"input\"", "redact", "");
    let proxy = Proxy::start(Config::new(upstream.address()).guardrail("words", &guardrail));
    assert_eq!(send(&proxy, "gzip", &gzip(chat(WORD, false).as_bytes())).await.status, 200);
    assert_eq!(upstream.request().json()["messages"][0]["content"], "[REDACTED:secret]");
}

/// A request can ask for answers that guardrails of the output would not see.
#[tokio::test]
async fn requests_are_read_strictly_before_guardrails_of_the_output_alone() {
    let upstream = Upstream::start(Answer::json(completion("fine"))).await;
    let route = "[[route]]\nid = \"responses\"\npath = \"/v1/responses\"\ndialect = \"openai_responses\"\n\
                 upstream = \"main\"\nguardrails = [\"words\"]";
    let guardrail = words("\"output\"", "block", "");
    let proxy = Proxy::start(Config::new(upstream.address()).guardrail("words", &guardrail).section(route));
    let cases = [
        (CHAT, json!({"model": "m", "messages": [{"role": "critic", "content": "a"}]})),
        (CHAT, json!({"model": "m", "Messages": []})),
        ("/v1/responses", json!({"model": "m", "input": "a", "background": true})),
    ];
    for (path, body) in cases {
        let refused = proxy.connect().await.request("POST", path, &[JSON], body.to_string()).await;
        assert_eq!(refused.status, 400, "{body}: {}", refused.text());
    }
    assert!(upstream.requests().is_empty());
    assert_eq!(proxy.chat(chat(WORD, false)).await.status, 200, "the prompt itself is not judged");
}

/// What the API says again of the request is the client's own.
#[tokio::test]
async fn what_the_client_said_is_not_judged_again_in_the_answer() {
    let answer = |instructions: &str, text: &str| {
        json!({
            "id": "resp_1", "object": "response", "status": "completed", "model": "m", "instructions": instructions,
            "output": [{"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": text, "annotations": []}]}],
        })
        .to_string()
    };
    let script = [answer(WORD, "fine"), answer("bluebird!", "fine"), answer("never", WORD)].map(Answer::json);
    let upstream = Upstream::scripted(script.into()).await;
    let route = "[[route]]\nid = \"responses\"\npath = \"/v1/responses\"\ndialect = \"openai_responses\"\n\
                 upstream = \"main\"\nguardrails = [\"words\"]";
    let guardrail = words("\"output\"", "block", "");
    let proxy = Proxy::start(Config::new(upstream.address()).guardrail("words", &guardrail).section(route));
    let ask = async |instructions: &str| -> Value {
        let body = json!({"model": "m", "input": WORD, "instructions": instructions}).to_string();
        proxy.connect().await.request("POST", "/v1/responses", &[JSON], body).await.json()
    };
    assert_eq!(ask(WORD).await["instructions"], WORD);
    assert_eq!(ask(WORD).await["error"]["code"], "content_policy_violation", "not to the letter");
    assert_eq!(ask("never").await["error"]["code"], "content_policy_violation", "in the model's own words");
}
