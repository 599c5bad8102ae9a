//! Bedrock's Converse through the proxy: what is blocked, cut, redacted and marked, in binary messages too.

mod support;

use serde_json::{Value, json};
use support::config::{WORD, words};
use support::{Answer, Config, Proxy, Response, Upstream};

const WHOLE: &str = "/model/us.anthropic.claude-3-5-sonnet-20240620-v1:0/converse";
const STREAM: &str = "/model/amazon.nova-lite-v1:0/converse-stream";
const BINARY: &str = "application/vnd.amazon.eventstream";

/// A deployment with Bedrock's two routes. `more`: lines of each.
fn config(upstream: &Upstream, guardrail: &str, more: &str) -> Config {
    let route = |id: &str, operation: &str| {
        format!(
            "[[route]]\nid = \"{id}\"\npath = \"/model/{{model}}/{operation}\"\ndialect = \"bedrock_converse\"\n\
             upstream = \"main\"\nguardrails = [\"words\"]\n{more}\n"
        )
    };
    let config = Config::new(upstream.address()).guardrail("words", guardrail);
    config.section(&route("whole", "converse")).section(&route("streamed", "converse-stream"))
}

/// A message on the wire, and its payload in full.
fn message(headers: &[(&str, &str)], payload: &Value) -> Vec<u8> {
    let mut head = Vec::new();
    for (name, value) in headers {
        head.push(u8::try_from(name.len()).expect("a short name"));
        head.extend_from_slice(name.as_bytes());
        head.push(7);
        head.extend(u16::try_from(value.len()).expect("a short value").to_be_bytes());
        head.extend_from_slice(value.as_bytes());
    }
    let payload = payload.to_string();
    let length = |bytes: usize| u32::try_from(bytes).expect("a short message").to_be_bytes();
    let mut out = [length(16 + head.len() + payload.len()), length(head.len())].concat();
    out.extend(crc32fast::hash(&out).to_be_bytes());
    out.extend([&head[..], payload.as_bytes()].concat());
    out.extend(crc32fast::hash(&out).to_be_bytes());
    out
}

fn event(name: &str, payload: &Value) -> Vec<u8> {
    message(&[(":event-type", name), (":content-type", "application/json"), (":message-type", "event")], payload)
}

fn says(text: &str) -> Vec<u8> {
    event("contentBlockDelta", &json!({"contentBlockIndex": 0, "delta": {"text": text}, "p": "abcdefgh"}))
}

fn end() -> [Vec<u8>; 3] {
    [
        event("contentBlockStop", &json!({"contentBlockIndex": 0, "p": "abc"})),
        event("messageStop", &json!({"stopReason": "end_turn", "p": "ab"})),
        event(
            "metadata",
            &json!({"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}, "metrics": {"latencyMs": 5}}),
        ),
    ]
}

/// A stream that says these texts and has not ended.
fn said(texts: &[&str]) -> Answer {
    let head = Answer::head(
        200,
        &[
            ("content-type", BINARY),
            ("transfer-encoding", "chunked"),
            ("x-amzn-requestid", "7f3c1a52-94d0-4be1-8c6e-2f05b9d7a318"),
        ],
    );
    let begun = head.chunk(event("messageStart", &json!({"role": "assistant", "p": "abcd"})));
    texts.iter().fold(begun, |answer, text| answer.chunk(says(text)))
}

fn ended(answer: Answer) -> Answer {
    end().into_iter().fold(answer, |answer, event| answer.chunk(event)).end()
}

/// The messages of a body: the headers that say what each is, and its payload. Their checksums must be sound.
fn messages(mut bytes: &[u8]) -> Vec<(String, Value)> {
    let number = |bytes: &[u8]| bytes.iter().take(4).fold(0usize, |number, byte| number << 8 | usize::from(*byte));
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (message, rest) = bytes.split_at(number(bytes));
        bytes = rest;
        let (sound, checksum) = message.split_at(message.len() - 4);
        assert_eq!(crc32fast::hash(sound).to_be_bytes(), checksum);
        assert_eq!(crc32fast::hash(&message[..8]).to_be_bytes(), message[8..12]);
        let (head, payload) = sound[12..].split_at(number(&message[4..]));
        let head = String::from_utf8_lossy(head);
        let kind = ["event-type", "exception-type"].into_iter().find_map(|name| head.split_once(name));
        // Behind the type of the value and its length.
        let name: String = kind.expect("a type").1.chars().skip(3).take_while(char::is_ascii_alphanumeric).collect();
        found.push((name, serde_json::from_slice(payload).expect("JSON")));
    }
    found
}

fn text(messages: &[(String, Value)]) -> String {
    messages.iter().filter_map(|(_, payload)| payload["delta"]["text"].as_str()).collect()
}

async fn post(proxy: &Proxy, path: &str, body: &Value) -> Response {
    let headers = [("content-type", "application/json"), ("authorization", "Bearer bedrock-api-key")];
    proxy.connect().await.request("POST", path, &headers, body.to_string()).await
}

fn ask(text: &str) -> Value {
    json!({"messages": [{"role": "user", "content": [{"text": text}]}], "inferenceConfig": {"maxTokens": 64}})
}

fn answer(text: &str) -> Value {
    json!({"output": {"message": {"role": "assistant", "content": [{"text": text}]}}, "stopReason": "end_turn",
        "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}, "metrics": {"latencyMs": 5}})
}

const SAID: &str = "A long beginning that may well leave, since it is all fine. Then a bluebird flies, and more.";
const SMALL: &str = "[route.stream]\nwindow = 8\nlookahead = 16\nmax_hold = \"1h\"";

fn pieces() -> Vec<&'static str> {
    SAID.as_bytes().chunks(5).map(|piece| std::str::from_utf8(piece).expect("ASCII")).collect()
}

#[tokio::test]
async fn what_is_fine_passes_whole_and_in_messages() {
    let streamed = ended(said(&["Hel", "lo."]));
    let upstream = Upstream::scripted(vec![Answer::json(answer("Hello.").to_string()), streamed]).await;
    let proxy = Proxy::start(config(&upstream, &words("\"input\", \"output\"", "block", ""), ""));
    // As the SDKs write the path.
    let got = post(&proxy, &WHOLE.replace(':', "%3A"), &ask("hi")).await;
    assert_eq!((got.status, got.json()), (200, answer("Hello.")));
    let request = upstream.request();
    assert_eq!(request.target(), ("POST", WHOLE));
    assert_eq!((request.json(), request.head.header("authorization")), (ask("hi"), Some("Bearer bedrock-api-key")));
    let got = post(&proxy, STREAM, &ask("hi")).await;
    let head = |name| got.head.header(name);
    assert_eq!(
        (got.status, head("content-type"), head("x-amzn-requestid")),
        (200, Some(BINARY), Some("7f3c1a52-94d0-4be1-8c6e-2f05b9d7a318"))
    );
    let found = messages(&got.body);
    let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
    let delta = "contentBlockDelta";
    assert_eq!(names, ["messageStart", delta, delta, "contentBlockStop", "messageStop", "metadata"]);
    assert_eq!(found[1].1, json!({"contentBlockIndex": 0, "delta": {"text": "Hel"}}));
    assert_eq!(text(&found), "Hello.");
}

#[tokio::test]
async fn a_blocked_prompt_is_an_exception_of_the_api() {
    let upstream = Upstream::start(Answer::json("{}")).await;
    let proxy = Proxy::start(config(&upstream, &words("\"input\"", "block", ""), ""));
    let call = json!({"toolUse": {"toolUseId": "tooluse_1", "name": "f", "input": {"a": WORD}}});
    for body in [
        ask(WORD),
        json!({"messages": [{"role": "user", "content": [{"text": "blue"}, {"text": "bird"}]}]}),
        json!({"messages": [{"role": "assistant", "content": [call]}]}),
        json!({"messages": [], "system": [{"text": WORD}]}),
        json!({"messages": [], "additionalModelRequestFields": {"note": {"a": [WORD]}}}),
        json!({"messages": [], "toolConfig": {"tools": [{"toolSpec": {"name": "f", "description": WORD, "inputSchema": {"json": {}}}}]}}),
    ] {
        for path in [WHOLE, STREAM] {
            let refused = post(&proxy, path, &body).await;
            let error = refused.json();
            assert_eq!(
                (refused.status, refused.head.header("content-type")),
                (400, Some("application/json")),
                "{body}"
            );
            assert_eq!(
                (&error["__type"], &error["reason"]),
                (&json!("ValidationException"), &json!("content_policy_violation"))
            );
            assert!(error["message"].is_string() && !refused.text().contains(WORD), "{error}");
        }
    }
    let picture = json!({"image": {"format": "png", "source": {"bytes": "aGk="}}});
    for body in [
        json!({"messages": [{"role": "user", "content": [picture]}]}),
        json!({"messages": [], "promptVariables": {"a": {"text": "b"}}}),
        json!({"messages": [{"role": "user", "content": [{"text": "a", "document": {}}]}]}),
    ] {
        assert_eq!(post(&proxy, WHOLE, &body).await.status, 400, "{body}");
    }
    // Stored prompts and whatever else has an ARN; other operations.
    let arn = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabcde12345";
    for (path, status, code, kind) in [
        (
            "/model/arn:aws:bedrock:us-east-1:123456789012:prompt%2FABCDE12345/converse",
            400,
            "invalid_path",
            "ValidationException",
        ),
        (
            "/model/arn:aws:bedrock:us-east-1:123456789012:prompt/ABCDE12345/converse",
            404,
            "route_not_found",
            "ResourceNotFoundException",
        ),
        (&*format!("/model/{arn}/converse"), 400, "invalid_path", "ValidationException"),
        (&*format!("/model/{arn}/converse-stream"), 400, "invalid_path", "ValidationException"),
        ("/model/arn:aws:bedrock:us-east-1/converse", 400, "unsupported_content", "ValidationException"),
        ("/model/m/Converse", 404, "route_not_found", "ResourceNotFoundException"),
        // Of no route that is here.
        ("/model/m/invoke-with-response-stream", 404, "route_not_found", ""),
    ] {
        let refused = post(&proxy, path, &ask("hi")).await;
        assert!(refused.status == status && refused.text().contains(code), "{path}: {}", refused.text());
        let error = refused.json();
        assert_eq!(
            error["__type"].as_str().unwrap_or_default(),
            kind,
            "{path}: in the words of the API that was meant: {error}"
        );
    }
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn a_block_may_be_told_as_a_message() {
    let upstream = Upstream::start(Answer::json(answer(WORD).to_string())).await;
    let message = "on_block = { message = \"No.\" }";
    let proxy = Proxy::start(config(&upstream, &words("\"input\", \"output\"", "block", ""), message));
    for asked in [WORD, "hi"] {
        let got = post(&proxy, WHOLE, &ask(asked)).await;
        let body = got.json();
        assert_eq!((got.status, &body["stopReason"]), (200, &json!("guardrail_intervened")));
        assert_eq!(body["output"]["message"], json!({"role": "assistant", "content": [{"text": "No."}]}));
    }
    let got = post(&proxy, STREAM, &ask(WORD)).await;
    assert_eq!((got.status, got.head.header("content-type")), (200, Some(BINARY)));
    let found = messages(&got.body);
    assert_eq!((text(&found).as_str(), found.len()), ("No.", 5));
}

#[tokio::test]
async fn a_stream_is_cut_in_messages() {
    let upstream = Upstream::start(said(&pieces()).stall()).await;
    let proxy = Proxy::start(config(&upstream, &words("\"output\"", "block", ""), SMALL));
    let got = post(&proxy, STREAM, &ask("hi")).await;
    assert_eq!((got.status, got.head.header("content-type")), (200, Some(BINARY)));
    let found = messages(&got.body);
    let shown = text(&found);
    assert!(!shown.is_empty() && SAID.starts_with(&shown) && !shown.contains("blue"), "{shown:?}");
    let closed = ("contentBlockStop".to_owned(), json!({"contentBlockIndex": 0}));
    let stopped = ("messageStop".to_owned(), json!({"stopReason": "guardrail_intervened"}));
    assert_eq!(found[found.len() - 2..], [closed, stopped]);
    // Before the first byte a block is an answer of its own.
    let upstream = Upstream::start(ended(said(&["A bluebird."]))).await;
    let proxy = Proxy::start(config(&upstream, &words("\"output\"", "block", ""), ""));
    let refused = post(&proxy, STREAM, &ask("hi")).await;
    assert_eq!((refused.status, &refused.json()["__type"]), (400, &json!("ValidationException")));
}

/// Some clients join the blocks, and others show each for itself.
#[tokio::test]
async fn a_word_at_the_edge_of_a_block_is_found() {
    for (one, other, found) in [
        ("Watch the bluebird", "It flies.", true),
        ("Watch this a", "bluebird.", true),
        ("Watch the blue", "bird.", true),
        ("Watch the bluebird", "\nIt flies.", true),
        ("Watch all those blue", "birds.", false),
    ] {
        let mut whole = answer(one);
        whole["output"]["message"]["content"] = json!([{"text": one}, {"text": other}]);
        let in_second = json!({"contentBlockIndex": 1, "delta": {"text": other}});
        let [stop, ended @ ..] = end();
        let closed = event("contentBlockStop", &json!({"contentBlockIndex": 1}));
        let streamed = said(&[one]).chunk(stop).chunk(event("contentBlockDelta", &in_second)).chunk(closed);
        let streamed = ended.iter().fold(streamed, Answer::chunk).end();
        for action in ["block", "redact"] {
            let upstream = Upstream::scripted(vec![Answer::json(whole.to_string()), streamed.clone()]).await;
            let proxy = Proxy::start(config(&upstream, &words("\"output\"", action, ""), SMALL));
            let got = post(&proxy, WHOLE, &ask("hi")).await;
            assert_eq!(got.status == 200 && got.json() == whole, !found, "{action} {one}|{other}: {}", got.text());
            let streamed = post(&proxy, STREAM, &ask("hi")).await;
            let left = if streamed.status == 200 { text(&messages(&streamed.body)) } else { String::new() };
            assert_eq!(left == format!("{one}{other}"), !found, "{action} {one}|{other}: {left}");
            assert!(!found || !got.text().contains(WORD) && !left.contains(WORD), "{left} {}", got.text());
        }
    }
}

#[tokio::test]
async fn what_breaks_off_ends_in_an_exception() {
    for answer in [
        said(&pieces()[..12]).send("0\r\n\r\n"),
        said(&pieces()[..12]).chunk([&says("x")[..30], &[1; 200]].concat()).end(),
        said(&pieces()[..12]).close(),
    ] {
        let upstream = Upstream::start(answer).await;
        let proxy = Proxy::start(config(&upstream, &words("\"output\"", "block", ""), SMALL));
        let got = post(&proxy, STREAM, &ask("hi")).await;
        let found = messages(&got.body);
        let (name, payload) = found.last().expect("an end");
        assert!(got.status == 200 && SAID.starts_with(&text(&found)) && name.ends_with("Exception"), "{found:?}");
        assert!(payload["message"].is_string() && payload["reason"].is_string(), "{payload}");
    }
}

#[tokio::test]
async fn what_is_redacted_is_redacted_over_messages() {
    let streamed = ended(said(&["Watch the blue", "bird", ", and wait for a good while."]));
    let whole = Answer::json(answer("Watch the bluebird.").to_string());
    let upstream = Upstream::scripted(vec![streamed, whole]).await;
    let proxy = Proxy::start(config(&upstream, &words("\"input\", \"output\"", "redact", ""), SMALL));
    let got = post(&proxy, STREAM, &ask("a bluebird?")).await;
    assert_eq!(text(&messages(&got.body)), "Watch the [REDACTED:secret], and wait for a good while.");
    assert_eq!(upstream.request().json(), ask("a [REDACTED:secret]?"));
    let got = post(&proxy, WHOLE, &ask("hi")).await;
    assert_eq!(got.json(), answer("Watch the [REDACTED:secret]."));
}

#[tokio::test]
async fn what_is_marked_passes_as_it_is() {
    let upstream = Upstream::start(ended(said(&["A blue", "bird."]))).await;
    let proxy = Proxy::start(config(&upstream, &words("\"input\", \"output\"", "annotate", ""), ""));
    let got = post(&proxy, STREAM, &ask(WORD)).await;
    assert_eq!((got.status, text(&messages(&got.body)).as_str()), (200, "A bluebird."));
    let decision = got.head.header("x-portcullis-decision");
    assert!(decision.is_some_and(|decision| decision.contains("annotate")), "{decision:?}");
}

#[tokio::test]
async fn errors_keep_the_type_that_the_sdks_read() {
    let body = json!({"message": "Too many requests, please wait before trying again."}).to_string();
    let length = body.len().to_string();
    let of = "ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/";
    let headers = [("content-type", "application/json"), ("content-length", &length), ("x-amzn-errortype", of)];
    let upstream = Upstream::start(Answer::head(429, &headers).send(body.clone())).await;
    let proxy = Proxy::start(config(&upstream, &words("\"output\"", "block", ""), ""));
    let got = post(&proxy, WHOLE, &ask("hi")).await;
    assert_eq!((got.status, got.head.header("x-amzn-errortype"), got.text()), (429, Some(of), body));
}

#[tokio::test]
async fn payloads_of_other_operations_are_no_answers() {
    // Their event stream has base64, which hides what it says.
    let hidden = event("chunk", &json!({"bytes": "eyJ0ZXh0IjoiYmx1ZWJpcmQifQ=="}));
    let head = Answer::head(200, &[("content-type", BINARY), ("transfer-encoding", "chunked")]);
    let upstream = Upstream::start(head.chunk(hidden).end()).await;
    let proxy = Proxy::start(config(&upstream, &words("\"output\"", "block", ""), ""));
    let chat = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": true}).to_string();
    let refused = proxy.connect().await.chat(chat).await;
    assert_eq!((refused.status, refused.code().as_str()), (502, "upstream_invalid_response"));
}
