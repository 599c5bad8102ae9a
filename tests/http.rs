//! HTTP/1.1 as a stranger sends it: what goes on to the upstream, what comes back, and what is told of it.

mod support;

use std::time::Duration;

use support::client::request;
use support::{Answer, Config, Proxy, Response, Upstream, chat, chunk, completion, last_chunk};

const CHAT: &str = "/v1/chat/completions";
const JSON: (&str, &str) = ("content-type", "application/json");

/// A proxy with a word list on both stages, before this upstream.
fn guarded(upstream: &Upstream) -> Proxy {
    Proxy::start(Config::new(upstream.address()).block("\"input\", \"output\"", &["forbidden"]))
}

async fn answering(text: &str) -> Upstream {
    Upstream::start(Answer::json(completion(text))).await
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

#[tokio::test]
async fn forwards_one_form_of_a_request() {
    let upstream = answering("fine").await;
    let config = Config::with_url(&format!("http://{}/base", upstream.address()))
        .upstream("credential = { header = \"authorization\", prefix = \"Bearer \", env = \"UPSTREAM_KEY\" }")
        .block("\"input\", \"output\"", &["forbidden"]);
    let proxy = Proxy::start_with(config, &[("UPSTREAM_KEY", "sk-ours")]);
    let body =
        r#"{"model":"m", "messages":[{"role":"user","content":"h\u0069"}],"seed":100000000000000000000000000001}"#;
    let stripped = [
        ("authorization", "Bearer theirs"),
        ("connection", "keep-alive, TE, Upgrade, HTTP2-Settings"),
        ("upgrade", "websocket"),
        ("http2-settings", "AAMAAABkAAQAAP__"),
        ("te", "trailers"),
        ("trailer", "x-t"),
        ("keep-alive", "timeout=1"),
        ("proxy-authorization", "Basic x"),
        ("proxy-connection", "close"),
        ("accept-encoding", "gzip, br"),
        ("range", "bytes=0-1"),
        ("if-none-match", "\"x\""),
        ("x-forwarded-for", "9.9.9.9"),
        ("forwarded", "for=9.9.9.9"),
        ("x-http-method-override", "DELETE"),
        ("x-portcullis-decision", "allow"),
        ("X-Portcullis-Bypass", "1"),
        ("x_portcullis_bypass", "1"),
        ("content_length", "3"),
    ];
    let kept = [("x-request-id", "req-1"), ("openai-organization", "org"), ("accept", "application/json")];
    let headers: Vec<_> = [("content-type", "Application/JSON; charset=\"UTF-8\"")]
        .iter()
        .chain(&stripped)
        .chain(&kept)
        .copied()
        .collect();
    let answer = proxy.connect().await.request("POST", "/%76%31/chat/%63ompletions", &headers, body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());

    let sent = upstream.request();
    assert_eq!(sent.head.start, "POST /base/v1/chat/completions HTTP/1.1");
    assert_eq!(sent.text(), body, "untouched bytes go on as they came");
    let host = upstream.address().to_string();
    let mut expected = vec![
        ("accept", "application/json"),
        ("accept-encoding", "identity"),
        ("authorization", "Bearer sk-ours"),
        ("content-length", "98"),
        ("content-type", "application/json"),
        ("host", host.as_str()),
        ("openai-organization", "org"),
        ("x-request-id", "req-1"),
    ];
    let length = body.len().to_string();
    expected[3].1 = &length;
    let mut got: Vec<_> = sent.head.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    got.sort_unstable();
    assert_eq!(got, expected);
    let audit = proxy.audit(2).await;
    assert!(audit.iter().all(|line| line["request_id"] == "req-1"), "{audit:?}");
}

#[tokio::test]
async fn brings_back_nothing_of_a_header_that_was_not_judged() {
    let theirs = [
        ("content-type", "application/json; charset=utf-8"),
        ("x-portcullis-decision", "forged"),
        ("connection", "keep-alive, x-nominated"),
        ("x-nominated", "1"),
        ("keep-alive", "timeout=1"),
        ("set-cookie", "a=b"),
        ("x-leak", "CANARY"),
        ("etag", "\"x\""),
        ("retry-after", "7"),
        ("x-ratelimit-remaining-tokens", "5"),
        ("x-request-id", "req-up"),
        ("transfer-encoding", "chunked"),
    ];
    let answer =
        || Answer::interim(103, &[("link", "CANARY")]).then(Answer::head(200, &theirs)).chunk(completion("fine")).end();
    let names = |answer: &Response| {
        let mut names: Vec<_> = answer.head.headers.iter().map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        names.join(" ")
    };
    let upstream = Upstream::start(answer()).await;
    let judged = guarded(&upstream).chat(chat("hi", false)).await;
    assert_eq!((judged.status, judged.interim.as_slice()), (200, &[][..]));
    assert_eq!(judged.head.header("x-portcullis-decision"), Some("allow"));
    assert_eq!(
        names(&judged),
        "connection content-length content-type date retry-after x-portcullis-decision x-portcullis-id \
         x-ratelimit-remaining-tokens x-request-id"
    );
    assert_eq!(judged.json(), serde_json::from_str::<serde_json::Value>(&completion("fine")).unwrap());

    let upstream = Upstream::start(answer()).await;
    let unjudged = Proxy::start(Config::new(upstream.address())).chat(chat("hi", false)).await;
    assert_eq!(unjudged.head.header("x-portcullis-decision"), Some("none"));
    assert_eq!(
        names(&unjudged),
        "connection content-type date etag retry-after set-cookie transfer-encoding x-leak x-portcullis-decision \
         x-portcullis-id x-ratelimit-remaining-tokens x-request-id"
    );
    assert!(unjudged.interim.is_empty());
}

#[tokio::test]
async fn keeps_both_connections() {
    // The end of the body comes a moment after the end of the answer.
    let stream = Answer::stream().event(chunk("one")).event(last_chunk("stop")).event("[DONE]");
    let stream = stream.sleep(Duration::from_millis(2)).end();
    const ROUNDS: usize = 8;
    let round = [Answer::json(completion("a")), stream, Answer::error(429, "slow_down"), Answer::json(completion("b"))];
    let script = round.iter().cycle().take(ROUNDS * round.len()).cloned().collect();
    let upstream = Upstream::scripted(script).await;
    let proxy = guarded(&upstream);
    let mut client = proxy.connect().await;
    for _ in 0..ROUNDS {
        assert_eq!(client.chat(chat("1", false)).await.status, 200);
        assert_eq!(client.chat(chat("2", true)).await.content(), "one");
        assert_eq!(client.chat(chat("forbidden", false)).await.code(), "content_policy_violation");
        assert_eq!(client.chat(chat("3", false)).await.status, 429);
        assert_eq!(client.chat(chat("4", false)).await.status, 200);
    }
    // Pingora takes a new one where its watch over the idle one has not quite let go of it, which is rare.
    assert!(upstream.connections() < ROUNDS, "{} connections to the upstream", upstream.connections());
}

#[tokio::test]
async fn serves_http_1_0() {
    let body = chat("hi", false);
    let length = body.len();
    let old = |lines: &str, body: &str| {
        format!(
            "POST {CHAT} HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{lines}\r\n{body}"
        )
    };
    let stream = || Answer::events([chunk("one"), last_chunk("stop")]);
    let upstream =
        Upstream::scripted(vec![Answer::json(completion("a")), Answer::json(completion("b")), stream(), stream()])
            .await;
    let proxy = guarded(&upstream);
    let mut client = proxy.connect().await;
    // An expectation of HTTP/1.0 is no expectation. RFC 9110, section 10.1.1.
    client.send(old("expect: 100-continue\r\nconnection: keep-alive\r\n", &body)).await;
    let first = client.response().await;
    assert_eq!((first.status, first.interim.len(), first.head.header("connection")), (200, 0, Some("keep-alive")));
    client.send(old("", &body)).await;
    assert_eq!(client.response().await.status, 200);
    assert_eq!(client.closed().await, b"", "closed, as HTTP/1.0 has it");

    // Without chunks, the end of the stream is the end of the connection.
    for proxy in [proxy, Proxy::start(Config::new(upstream.address()))] {
        let mut client = proxy.connect().await;
        client.send(old("", &body)).await;
        let answer = client.response().await;
        assert_eq!((answer.head.header("transfer-encoding"), answer.head.header("connection")), (None, Some("close")));
        assert_eq!(answer.content(), "one", "{:?}", answer.text());
    }
}

#[tokio::test]
async fn answers_an_expectation_once() {
    let upstream = answering("fine").await;
    let proxy = guarded(&upstream);
    let body = chat("hi", false);
    let head = |lines: &str| {
        format!(
            "POST {CHAT} HTTP/1.1\r\nhost: a\r\nexpect: 100-Continue\r\ncontent-length: {}\r\n{lines}\r\n",
            body.len()
        )
    };
    let mut client = proxy.connect().await;
    client.send(head("content-type: application/json\r\n")).await;
    assert_eq!(client.open().await.status, 100);
    client.send(&body).await;
    let answer = client.response().await;
    assert_eq!((answer.status, answer.interim.as_slice()), (200, &[][..]));
    assert_eq!(upstream.request().head.header("expect"), None);
    assert_eq!(client.chat(&body).await.status, 200, "the connection goes on");

    // A request that will be refused anyway is not asked for its body.
    for (lines, status) in [("content-type: text/plain\r\n", 415), ("host: b\r\n", 400)] {
        let mut client = proxy.connect().await;
        client.send(head(lines)).await;
        let answer = client.response().await;
        assert_eq!((answer.status, answer.interim.as_slice()), (status, &[][..]));
        assert_eq!(client.closed().await, b"");
    }
}

#[tokio::test]
async fn reads_chunked_bodies_and_forwards_a_length() {
    let upstream = answering("fine").await;
    let proxy = guarded(&upstream);
    let body = chat("hi", false);
    let (first, second) = body.split_at(10);
    let chunks = format!(
        "{:x};ext=CANARY\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\nx-trailer: CANARY\r\n\r\n",
        first.len(),
        second.len()
    );
    let chunked = |lines: &str| {
        bare(&format!("host: a\r\ncontent-type: application/json\r\ntransfer-encoding: Chunked\r\n{lines}"), &chunks)
    };
    let mut client = proxy.connect().await;
    client.send(chunked("")).await;
    assert_eq!(client.response().await.status, 200);
    assert_eq!(client.chat(&body).await.status, 200);
    // Both lengths: the chunks are what counts, and the connection ends. RFC 9112, section 6.3.
    client.send(chunked("content-length: 3\r\n")).await;
    assert_eq!(client.response().await.status, 200);
    assert_eq!(client.closed().await, b"");
    for sent in upstream.requests() {
        assert_eq!((sent.text(), sent.head.header("transfer-encoding")), (body.clone(), None));
        assert_eq!(sent.head.header("content-length"), Some(body.len().to_string().as_str()));
        assert!(!sent.head.raw.contains("trailer"));
    }
}

/// Nobody may slip a second request past behind a first: it is dropped with the connection, and the first one answered.
#[tokio::test]
async fn does_not_take_pipelined_requests() {
    let upstream = answering("fine").await;
    let proxy = guarded(&upstream);
    let first = request("POST", CHAT, &[JSON], chat("first", false));
    let second = request("POST", CHAT, &[JSON], chat("second", false));
    let mut client = proxy.connect().await;
    client.send([first, second].concat()).await;
    assert_eq!(client.response().await.status, 200);
    assert_eq!(client.closed().await, b"");
    assert!(upstream.request().text().contains("first"));
}

#[tokio::test]
async fn is_not_kept_waiting_by_a_short_request() {
    let upstream = answering("x").await;
    let proxy = guarded(&upstream);
    for short in ["GET /\r\n\r\n", "P\r\n\r\n", "PRI /x HTTP/1.0\r\n\r\n", "GET /x HTTP/1.0\r\n\r\n"] {
        let mut client = proxy.connect().await;
        client.send(short).await;
        let status = client.response().await.status;
        assert!(matches!(status, 400 | 404), "{short:?}: {status}");
    }
}

#[tokio::test]
async fn passes_what_is_declared_to_pass() {
    let theirs = [
        ("content-type", "text/html"),
        ("content-encoding", "gzip"),
        ("x-portcullis-id", "forged"),
        ("x-any", "1"),
        ("content-length", "4"),
    ];
    let upstream = Upstream::start(Answer::head(200, &theirs).send("\x1f\u{0}ab")).await;
    let config = Config::with_url(&format!("http://{}/base", upstream.address()))
        .upstream("credential = { header = \"authorization\", prefix = \"Bearer \", env = \"UPSTREAM_KEY\" }")
        .section("[[route]]\nid = \"files\"\npath = \"/v1/files/*\"\nupstream = \"main\"\npass = true\nmethods = [\"GET\", \"POST\"]")
        .section("[limits]\nmax_body = \"1 KiB\"");
    let proxy = Proxy::start_with(config, &[("UPSTREAM_KEY", "sk-ours")]);
    let mut client = proxy.connect().await;
    let headers = [
        ("authorization", "Bearer theirs"),
        ("x-portcullis-decision", "allow"),
        ("x_underscore", "1"),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("x-mine", "1"),
        ("x-http-method-override", "POST"),
        ("x-original-url", "/v1/chat/completions"),
        ("x-real-ip", "10.0.0.1"),
    ];
    let answer = client.request("GET", "/v1/%6dodels?limit=1&x=%2f", &headers, "").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "\x1f\u{0}ab"));
    assert_eq!(answer.head.header("x-portcullis-decision"), Some("pass"));
    assert_ne!(answer.head.header("x-portcullis-id"), Some("forged"));
    assert_eq!((answer.head.header("x-any"), answer.head.header("content-encoding")), (Some("1"), Some("gzip")));

    // A binary body of another type, in chunks.
    client.send("POST /v1/files/a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-type: x/y\r\n\r\n3\r\na\0b\r\n0\r\n\r\n").await;
    assert_eq!(client.response().await.status, 200);
    let requests = upstream.requests();
    let sent = &requests[0].head;
    assert_eq!(sent.start, "GET /base/v1/models?limit=1&x=%2f HTTP/1.1");
    assert_eq!(sent.header("host"), Some(upstream.address().to_string().as_str()));
    assert_eq!((sent.header("authorization"), sent.header("x-mine")), (Some("Bearer sk-ours"), Some("1")));
    let stripped = ["x-portcullis-decision", "x_underscore", "upgrade"];
    for name in stripped.into_iter().chain(["x-http-method-override", "x-original-url", "x-real-ip"]) {
        assert_eq!(sent.all(name), Vec::<&str>::new(), "{}", sent.raw);
    }
    assert_eq!((requests[1].body.as_slice(), requests[1].head.header("content-type")), (&b"a\0b"[..], Some("x/y")));

    // An upstream that reads the body of a GET could take it for a prompt that nobody judged.
    for framing in ["content-length: 2\r\n\r\n{}", "transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"] {
        let mut client = proxy.connect().await;
        client.send(format!("GET /v1/models HTTP/1.1\r\nhost: a\r\n{framing}")).await;
        assert_eq!(client.response().await.code(), "invalid_header", "{framing}");
    }

    // The bounds hold here too.
    let large = "x".repeat(2000);
    let mut client = proxy.connect().await;
    let refused = client.request("POST", "/v1/files/a", &[], &large).await;
    assert_eq!((refused.status, refused.code().as_str()), (413, "request_too_large"));
    assert!(refused.head.header("x-portcullis-id").is_some());
    let mut client = proxy.connect().await;
    client
        .send(format!(
            "POST /v1/files/a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n7d0\r\n{large}\r\n0\r\n\r\n"
        ))
        .await;
    assert_eq!(client.response().await.status, 413);
    for bad in ["/v1/files/", "/v1/files/../models", "/v1/files/%2e%2e/x", "/v1/files//x"] {
        assert_eq!(proxy.connect().await.request("GET", bad, &[], "").await.code(), "invalid_path", "{bad}");
    }
    assert_eq!(upstream.requests().len(), 2);
    // An exchange has its line when all of it is over, a moment after its answer.
    let audit = proxy.audit(8).await;
    let mut codes: Vec<_> = audit.iter().map(|line| (line["code"].as_str(), line["route"].as_str())).collect();
    codes.sort_unstable();
    assert_eq!(codes[..2], [(Some("invalid_header"), Some("models")); 2]);
    assert_eq!(codes[2..6], [(Some("invalid_path"), None); 4]);
    assert_eq!(codes[6..], [(Some("request_too_large"), Some("files")); 2]);
}

/// Routes of Gemini and of Azure's deployments, with the parameters in the URL that their clients send.
fn patterned(upstream: &Upstream) -> Proxy {
    let route = |id: &str, path: &str, more: &str| {
        format!("[[route]]\nid = \"{id}\"\npath = \"{path}\"\nupstream = \"main\"\nguardrails = [\"words\"]\n{more}")
    };
    let gemini = "dialect = \"gemini\"\nquery = [\"alt=sse\", \"key\"]";
    let config = Config::new(upstream.address())
        .block("\"input\", \"output\"", &["forbidden"])
        .stream("window = 16\nlookahead = 12")
        .section(&route("whole", "/v1beta/models/{model}:generateContent", gemini))
        .section(&route("streamed", "/v1beta/models/{model}:streamGenerateContent", gemini))
        .section(&route(
            "azure",
            "/openai/deployments/{deployment}/chat/completions",
            "dialect = \"openai_chat\"\nquery = [\"api-version\"]",
        ));
    Proxy::start_with(config, &[("RUST_LOG", "trace")])
}

/// An answer of Gemini's, or an event of its stream.
fn said(text: &str, reason: Option<&str>) -> String {
    let content = serde_json::json!({"parts": [{"text": text}], "role": "model"});
    serde_json::json!({"candidates": [{"content": content, "finishReason": reason, "index": 0}]}).to_string()
}

const PROMPT: &str = r#"{"contents":[{"parts":[{"text":"hello"}]}]}"#;

#[tokio::test]
async fn forwards_the_paths_of_a_pattern_and_the_listed_query() {
    let azure = chat("hi", false);
    let upstream =
        Upstream::scripted(vec![Answer::json(said("fine", Some("STOP"))), Answer::json(completion("fine"))]).await;
    let proxy = patterned(&upstream);
    let mut client = proxy.connect().await;
    for (target, body, forwarded) in [
        (
            "/v1beta/models/gemini%2d2.5-pro%3agenerateContent?key=AIza-CANARY",
            PROMPT,
            "/v1beta/models/gemini-2.5-pro:generateContent?key=AIza-CANARY",
        ),
        (
            "/openai/deployments/gpt-4o_eu/chat/completions?api-version=2024-10-21",
            &azure,
            "/openai/deployments/gpt-4o_eu/chat/completions?api-version=2024-10-21",
        ),
    ] {
        let answer = client.request("POST", target, &[JSON], body).await;
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        let sent = upstream.requests().pop().unwrap();
        assert_eq!(sent.head.start, format!("POST {forwarded} HTTP/1.1"));
        assert_eq!(sent.text(), body);
    }
    assert!(!proxy.log().contains("CANARY"));
    let audit = proxy.audit(4).await;
    let told: Vec<_> = audit.iter().map(|line| (line["route"].as_str(), line["dialect"].as_str())).collect();
    assert_eq!(told[..2], [(Some("whole"), Some("gemini")); 2]);
    assert_eq!(told[2..], [(Some("azure"), Some("openai_chat")); 2]);
    assert!(!audit.iter().any(|line| line.to_string().contains("CANARY")), "{audit:?}");
}

#[tokio::test]
async fn refuses_what_is_none_of_a_pattern_or_not_on_the_list() {
    let upstream = Upstream::start(Answer::json(said("fine", Some("STOP")))).await;
    let proxy = patterned(&upstream);
    let whole = "/v1beta/models/gemini-x:generateContent";
    let mut targets: Vec<(String, u16, &str)> = [
        ("/v1beta/models/a%2fb:generateContent", 400, "invalid_path"),
        ("/v1beta/models/..:generateContent", 404, "route_not_found"),
        ("/v1beta/models/:generateContent", 404, "route_not_found"),
        ("/v1beta/models/a/b:generateContent", 404, "route_not_found"),
        ("/v1beta/models/a:b:generateContent", 404, "route_not_found"),
        ("/v1beta/models/a%5B:generateContent", 404, "route_not_found"),
        ("/v1beta/models/{model}:generateContent", 404, "route_not_found"),
        ("/v1beta/models/gemini-x:generatecontent", 404, "route_not_found"),
        ("/v1beta/models/gemini-x:generateContent/", 400, "invalid_path"),
        ("/V1beta/models/gemini-x:generateContent", 404, "route_not_found"),
        ("/v1beta//models/gemini-x:generateContent", 400, "invalid_path"),
        ("/v1beta/models/gemini-x:countTokens", 404, "route_not_found"),
        ("/openai/deployments/a/../chat/completions", 400, "invalid_path"),
        ("/openai/deployments//chat/completions", 400, "invalid_path"),
    ]
    .map(|(target, status, code)| (target.to_owned(), status, code))
    .to_vec();
    for query in [
        "",
        "alt",
        "alt=json",
        "alt=proto",
        "$alt=media",
        "%24alt=media",
        "alt=sse&alt=sse",
        "alt=%73se",
        "ALT=sse",
        "callback=f",
        "fields=a",
        "_method=GET",
        "key=",
        "key=a%26alt=proto",
        "key=a;alt=proto",
        "key=a&",
        "api-version=1",
        "prettyPrint=false",
    ] {
        targets.push((format!("{whole}?{query}"), 400, "query_not_allowed"));
    }
    let mut client = proxy.connect().await;
    for (target, status, code) in &targets {
        let answer = client.request("POST", target, &[JSON, ("x-http-method-override", "GET")], PROMPT).await;
        let error = &answer.json()["error"];
        // In the words of the route that is meant, where that can be told.
        let (told, sound) = match error["status"].as_str() {
            Some(word) => (&error["details"][0]["reason"], ["INVALID_ARGUMENT", "NOT_FOUND"].contains(&word)),
            None => (&error["code"], *code != "query_not_allowed"),
        };
        assert_eq!((answer.status, told.as_str(), sound), (*status, Some(*code), true), "{target}: {error}");
    }
    let answer = client.request("GET", whole, &[], "").await;
    assert_eq!((answer.status, answer.head.header("allow")), (405, Some("POST")));
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn judges_gemini_whole_in_events_and_in_an_array() {
    let start = "Words that are fine and may well leave before the others. ";
    let more = "And a few more that are fine, too. ";
    let events =
        || [said(start, None), said(more, None), said("Now the forbid", None), said("den one, and more.", None)];
    let stream = |last: &str| {
        let answer = events().into_iter().take(3).fold(Answer::stream(), Answer::event);
        answer.event(said(last, None)).event(said("", Some("STOP"))).end()
    };
    let upstream = Upstream::scripted(vec![
        stream("ing, and more."),
        stream("den one, and more."),
        Answer::json(format!("[{}]", events().join(","))),
        Answer::json(format!("[{},{}]", events()[0], said("", Some("STOP")))),
        Answer::json(said("so forbidden", Some("STOP"))),
    ])
    .await;
    let proxy = patterned(&upstream);
    let mut client = proxy.connect().await;
    let streamed = "/v1beta/models/gemini-x:streamGenerateContent";
    let sse = format!("{streamed}?alt=sse");
    let texts = |events: &[String]| -> String {
        let events = events.iter().map(|event| serde_json::from_str::<serde_json::Value>(event).unwrap());
        let parts = events.map(|event| event["candidates"][0]["content"]["parts"][0]["text"].clone());
        parts.filter_map(|text| text.as_str().map(str::to_owned)).collect()
    };
    let clean = client.request("POST", &sse, &[JSON], PROMPT).await;
    assert_eq!(clean.head.header("content-type"), Some("text/event-stream"));
    assert_eq!(texts(&clean.events()), format!("{start}{more}Now the forbiding, and more."));
    assert!(clean.text().ends_with("}\n\n") && clean.text().contains("\"finishReason\":\"STOP\""), "{}", clean.text());

    let cut = client.request("POST", &sse, &[JSON], PROMPT).await.events();
    assert!(start.starts_with(&texts(&cut)) && !texts(&cut).is_empty(), "{cut:?}");
    assert_eq!(cut.last().map(String::as_str), Some(r#"{"candidates":[{"finishReason":"SAFETY","index":0}]}"#));

    let mut client = proxy.connect().await;
    let reason = |answer: &Response| answer.json()["error"]["details"][0]["reason"].as_str().map(str::to_owned);
    let blocked = Some("content_policy_violation".to_owned());
    let array = client.request("POST", streamed, &[JSON], PROMPT).await;
    assert_eq!((array.status, reason(&array)), (400, blocked.clone()), "{}", array.text());
    let array = client.request("POST", streamed, &[JSON], PROMPT).await;
    assert_eq!(array.json()[0]["candidates"][0]["content"]["parts"][0]["text"], start);
    let whole = "/v1beta/models/gemini-x:generateContent";
    let answer = client.request("POST", whole, &[JSON], PROMPT).await;
    assert_eq!((answer.status, reason(&answer)), (400, blocked.clone()));
    for prompt in [
        r#"{"contents":[{"parts":[{"text":"for"},{"text":"bidden"}]}]}"#,
        r#"{"contents":[],"system_instruction":{"parts":{"text":"forbidden"}}}"#,
    ] {
        let answer = client.request("POST", whole, &[JSON], prompt).await;
        assert_eq!((answer.status, reason(&answer)), (400, blocked.clone()), "{prompt}");
    }
    let picture = r#"{"contents":[{"parts":[{"inline_data":{"mime_type":"image/png","data":""}}]}]}"#;
    let refused = client.request("POST", whole, &[JSON], picture).await;
    assert_eq!((refused.status, reason(&refused)), (400, Some("unsupported_content".to_owned())));
    assert_eq!(upstream.requests().len(), 5);
}

/// At the loudest level, no line tells a key, a prompt, an answer or a URL.
#[tokio::test]
async fn logs_no_content_and_no_keys() {
    let broken = Answer::raw("HTTP/1.1 200 OK\r\nbad header CANARY\r\n\r\n");
    let stream = Answer::events([chunk("CANARY"), last_chunk("stop")]);
    let upstream = Upstream::scripted(vec![
        Answer::whole(200, "application/json", completion("CANARY answer")),
        stream,
        broken,
        Answer::whole(500, "text/html", "<p>CANARY</p>"),
        Answer::json(completion("CANARY")),
    ])
    .await;
    let config = Config::new(upstream.address())
        .upstream("credential = { header = \"authorization\", prefix = \"Bearer \", env = \"UPSTREAM_KEY\" }")
        .block("\"input\", \"output\"", &["forbidden"]);
    let proxy = Proxy::start_with(config, &[("UPSTREAM_KEY", "sk-CANARY-ours"), ("RUST_LOG", "trace")]);
    let mut client = proxy.connect().await;
    for _ in 0..4 {
        client
            .request(
                "POST",
                CHAT,
                &[JSON, ("authorization", "Bearer CANARY"), ("x-any", "CANARY")],
                chat("CANARY", false),
            )
            .await;
    }
    client.chat(chat("CANARY forbidden", false)).await;
    client.request("POST", "/v1/CANARY", &[JSON], "CANARY").await;
    client.request("GET", "/v1/models?key=CANARY", &[("cookie", "CANARY")], "").await;
    for bad in [
        with("CANARY\r\n"),
        with("x-a: b\r\n CANARY\r\n"),
        b"CANARY CANARY\r\n\r\n".to_vec(),
        request("POST", CHAT, &[JSON], "{\"CANARY\": CANARY}"),
    ] {
        let mut client = proxy.connect().await;
        client.send(bad).await;
        assert_eq!(client.response().await.status, 400);
    }
    let mut gone = proxy.connect().await;
    gone.send("POST /v1/CANARY HTTP/1.1\r\nhost: CANARY\r\nx: CANARY").await;
    drop(gone);
    let mut h2 = support::h2::H2Client::connect(proxy.address).await;
    assert_eq!(h2.chat(chat("CANARY", false)).await.status, 200);
    h2.open("GET", "/v1/models?key=CANARY", &[("x-any", "CANARY"), ("authorization", "CANARY")], "").await;
    let line = proxy.log().lines().find(|line| line.contains("CANARY")).map(str::to_owned);
    assert_eq!(line, None, "in the log");
    for line in proxy.audit(8).await {
        assert!(!line.to_string().contains("CANARY"), "{line}");
    }
    let metrics = proxy.admin("/metrics").await.text();
    assert!(!metrics.contains("CANARY"));
}
