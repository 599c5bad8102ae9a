//! HTTP/2 and TLS, on both sides.

mod support;

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::h2::{H2Client, H2Upstream, Stalled};
use support::{Answer, Authority, Client, Config, Cue, Proxy, Upstream, chat, chunk, completion, last_chunk, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};

const CHAT: &str = "/v1/chat/completions";
const JSON: (&str, &str) = ("content-type", "application/json");

/// In front of this upstream, with a word list on both stages.
fn guarding(config: Config) -> Config {
    config.block("\"input\", \"output\"", &["forbidden"])
}

async fn answering(text: &str) -> Upstream {
    Upstream::start(Answer::json(completion(text))).await
}

/// The next piece of an HTTP/2 answer that holds `text`.
async fn until(body: &mut Incoming, text: &str) {
    let mut all = String::new();
    while !all.contains(text) {
        let frame = within("a frame", body.frame()).await.unwrap_or_else(|| panic!("ended without {text:?}: {all}"));
        all.push_str(&String::from_utf8_lossy(frame.expect("a frame").data_ref().expect("data")));
    }
}

#[tokio::test]
async fn serves_h2c_beside_http_1() {
    let stream = Answer::events([chunk("one "), chunk("two"), last_chunk("stop")]);
    let upstream =
        Upstream::scripted(vec![Answer::json(completion("fine")), stream, Answer::json(completion("fine"))]).await;
    let proxy = Proxy::start(guarding(Config::new(upstream.address())));
    let mut client = H2Client::connect(proxy.address).await;
    let answer = client.chat(chat("hi", false)).await;
    assert_eq!((answer.status.as_u16(), answer.headers["x-portcullis-decision"].to_str().unwrap()), (200, "allow"));
    assert_eq!(answer.json(), serde_json::from_str::<serde_json::Value>(&completion("fine")).unwrap());
    let answer = client.chat(chat("hi", true)).await;
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert_eq!(support::client::content(&support::client::events(&text)), "one two");
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    assert!(!answer.headers.contains_key("transfer-encoding") && !answer.headers.contains_key("connection"));
    let blocked = client.chat(chat("forbidden", false)).await;
    assert_eq!(
        (blocked.status.as_u16(), blocked.json()["error"]["code"].as_str()),
        (400, Some("content_policy_violation"))
    );
    assert_eq!(proxy.chat(chat("hi", false)).await.status, 200, "HTTP/1.1 on the same port");
    let sent = &upstream.requests()[0].head;
    assert_eq!(sent.start, format!("POST {CHAT} HTTP/1.1"));
    assert_eq!(sent.header("host"), Some(upstream.address().to_string().as_str()));
}

#[tokio::test]
async fn refuses_over_h2_as_over_http_1() {
    let upstream = answering("fine").await;
    let limits = "[limits]\nmax_body = \"64 KiB\"\nmax_header = \"2 KiB\"\nmax_headers = 20";
    let proxy = Proxy::start(guarding(Config::new(upstream.address())).section(limits));
    let mut client = H2Client::connect(proxy.address).await;
    let large = "x".repeat(3000);
    let many: Vec<_> = (0..21).map(|n| (format!("x-{n}"), "1")).collect();
    let many: Vec<_> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let body = chat("hi", false);
    let mut codes = Vec::new();
    for (method, path, headers, body, status, code) in [
        ("POST", "/v1/embeddings", vec![JSON], body.clone(), 404, "route_not_found"),
        ("GET", CHAT, vec![], String::new(), 405, "method_not_allowed"),
        ("POST", "/v1/chat/completions?x", vec![JSON], body.clone(), 400, "query_not_allowed"),
        ("POST", "/v1%2fchat/completions", vec![JSON], body.clone(), 400, "invalid_path"),
        ("POST", "/v1/../v1/chat/completions", vec![JSON], body.clone(), 400, "invalid_path"),
        ("POST", CHAT, vec![("content-type", "text/plain")], body.clone(), 415, "unsupported_media_type"),
        ("POST", CHAT, vec![JSON, ("content-encoding", "deflate")], body.clone(), 415, "unsupported_content_encoding"),
        ("POST", CHAT, vec![JSON, ("expect", "200-ok")], body.clone(), 417, "expectation_failed"),
        ("POST", CHAT, vec![JSON], format!("{body}{body}"), 400, "invalid_request_body"),
        ("POST", CHAT, vec![JSON], "x".repeat(70_000), 413, "request_too_large"),
        ("POST", CHAT, vec![JSON, ("x-large", &large)], body.clone(), 431, "header_too_large"),
        ("POST", CHAT, many, body.clone(), 431, "header_too_large"),
    ] {
        let (head, answer) = client.open(method, path, &headers, body).await.into_parts();
        let answer = within("a body", answer.collect()).await.expect("a body").to_bytes();
        let answer: serde_json::Value = serde_json::from_slice(&answer).expect("JSON");
        assert_eq!(
            (head.status.as_u16(), answer["error"]["code"].as_str()),
            (status, Some(code)),
            "{path} {headers:?}"
        );
        codes.push(code);
    }
    // Two answers to the question whose request it is.
    assert_eq!(client.open("POST", CHAT, &[JSON, ("host", "other")], body.clone()).await.status(), 400);
    let answer = client
        .open("POST", CHAT, &[JSON, ("expect", "100-continue"), ("x-portcullis-x", "1"), ("x_y", "1")], body)
        .await;
    assert_eq!(answer.status(), 200, "the connection goes on");
    let sent = upstream.request().head;
    assert!(
        !sent.raw.contains("x-portcullis") && !sent.raw.contains("x_y") && !sent.raw.contains("expect"),
        "{}",
        sent.raw
    );
    let audit = proxy.audit(codes.len() + 2).await;
    let refused = audit.iter().filter(|line| line["outcome"] == "refused");
    assert_eq!(refused.map(|line| line["code"].as_str().unwrap()).collect::<Vec<_>>(), codes);
}

#[tokio::test]
async fn a_reset_stream_takes_the_upstream_along_and_leaves_the_others() {
    let cue = Cue::new();
    let upstream = Upstream::scripted(vec![
        Answer::stream().event(chunk("one two")).wait(&cue).event(last_chunk("stop")).done(),
        Answer::default().stall(),
        Answer::stream().event(chunk("one two three")).stall(),
        Answer::stream().event(chunk("one two three")).stall(),
    ])
    .await;
    let proxy = Proxy::start(guarding(Config::new(upstream.address())).stream("window = 1\nlookahead = 0"));
    let mut client = H2Client::connect(proxy.address).await;
    let mut lasting = client.open("POST", CHAT, &[JSON], chat("1", true)).await.into_body();
    until(&mut lasting, "one").await;

    // Before there is an answer.
    let mut other = client.clone();
    let waiting = tokio::spawn(async move { other.open("POST", CHAT, &[JSON], chat("2", false)).await });
    upstream.received(2).await;
    waiting.abort();
    upstream.hung_up(1).await;
    // In the middle of it.
    let mut answer = client.open("POST", CHAT, &[JSON], chat("3", true)).await.into_body();
    until(&mut answer, "one").await;
    drop(answer);
    upstream.hung_up(2).await;

    cue.give();
    until(&mut lasting, "[DONE]").await;
    // With the whole connection.
    let mut answer = client.open("POST", CHAT, &[JSON], chat("4", true)).await.into_body();
    until(&mut answer, "one").await;
    drop((answer, lasting, client));
    upstream.hung_up(3).await;
}

#[tokio::test]
async fn a_drain_lets_h2_streams_end() {
    let cue = Cue::new();
    let upstream =
        Upstream::start(Answer::stream().event(chunk("one two")).wait(&cue).event(last_chunk("stop")).done()).await;
    let config = guarding(Config::new(upstream.address())).stream("window = 1\nlookahead = 0");
    let mut proxy = Proxy::start(config.server("drain = \"10min\""));
    let _idle = H2Client::connect(proxy.address).await;
    let mut client = H2Client::connect(proxy.address).await;
    let mut answer = client.open("POST", CHAT, &[JSON], chat("hi", true)).await.into_body();
    until(&mut answer, "one").await;
    proxy.signal("TERM");
    proxy.logged("draining").await;
    cue.give();
    until(&mut answer, "[DONE]").await;
    assert!(proxy.ended().await.success());
}

#[tokio::test]
async fn serves_tls_by_alpn() {
    let authority = Authority::new();
    let identity = authority.sign(&["proxy.test"]);
    let upstream = answering("fine").await;
    let config = guarding(Config::new(upstream.address())).tls(&identity.certificate_pem, &identity.key_pem);
    let proxy = Proxy::start(config.section("[limits]\nheader_timeout = \"2s\""));
    let address = proxy.tls.expect("a TLS listener");
    let connect = |alpn: &'static [&'static str]| authority.connect(address, "proxy.test", alpn);

    for alpn in [&[][..], &["http/1.1"]] {
        let mut client = Client::over(connect(alpn).await.expect("trusted"));
        assert_eq!(client.chat(chat("hi", false)).await.status, 200);
        assert_eq!(client.chat(chat("forbidden", false)).await.code(), "content_policy_violation");
        // What can't be read is answered here as well.
        client.send("CANARY CANARY\r\n\r\n").await;
        assert_eq!(client.response().await.code(), "invalid_header");
        assert_eq!(client.closed().await, b"");
    }
    let stream = connect(&["h2", "http/1.1"]).await.expect("trusted");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut client = H2Client::over(stream, "proxy.test").await;
    assert_eq!(client.chat(chat("hi", false)).await.status, 200);
    assert_eq!(client.chat(chat("forbidden", false)).await.status, 400);
    assert_eq!(upstream.requests().len(), 3);

    // The protocol that was agreed on is the one that is spoken, and none has for ever to begin.
    let mut client = Client::over(connect(&["h2"]).await.expect("trusted"));
    client.send(format!("POST {CHAT} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
    assert_eq!(client.closed().await, b"");
    let mut client = Client::over(connect(&["http/1.1"]).await.expect("trusted"));
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert_eq!(client.response().await.status, 400);
    let (silent, silent_too) = tokio::join!(connect(&["h2"]), connect(&["http/1.1"]));
    let silent = [silent, silent_too].map(|stream| Client::over(stream.expect("trusted")));
    futures_util::future::join_all(silent.map(Client::closed)).await;
    // No TLS at all.
    let mut client = Client::connect(address).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(client.try_response().await.is_err());
    assert_eq!(upstream.requests().len(), 3);
}

#[tokio::test]
async fn trusts_an_upstream_by_its_authority_and_name() {
    let (authority, other) = (Authority::new(), Authority::new());
    let identity = authority.sign(&["127.0.0.1"]);
    let upstream =
        Upstream::scripted_tls(vec![Answer::json(completion("fine"))], identity.acceptor(&["http/1.1"])).await;
    let url = |host: &str| format!("https://{host}:{}", upstream.address().port());
    // Each in a deployment of its own; `None` trusts the system's authorities.
    for (host, ca, status) in [
        ("127.0.0.1", Some(&authority), 200),
        ("127.0.0.1", Some(&other), 502),
        ("127.0.0.1", None, 502),
        ("localhost", Some(&authority), 502),
    ] {
        let mut config = guarding(Config::with_url(&url(host)));
        if let Some(ca) = ca {
            ca.write(&config.directory().join("ca.pem"));
            config = config.upstream("ca = \"ca.pem\"");
        }
        let proxy = Proxy::start(config);
        for (method, path) in [("POST", CHAT), ("GET", "/v1/models")] {
            let mut client = proxy.connect().await;
            let answer = client
                .request(method, path, &[JSON], if method == "POST" { chat("hi", false) } else { String::new() })
                .await;
            assert_eq!(answer.status, status, "{host} {path} {}", answer.text());
            if status == 502 {
                assert_eq!(answer.code(), "upstream_unavailable");
            }
        }
    }
    let requests = upstream.requests();
    assert_eq!(requests.len(), 2, "nothing is sent to whom is not trusted");
    assert!(requests.iter().all(|request| request.head.header("host") == url("127.0.0.1").strip_prefix("https://")));
}

#[tokio::test]
async fn speaks_h2_to_an_upstream() {
    let authority = Authority::new();
    let acceptor = authority.sign(&["127.0.0.1"]).acceptor(&["h2"]);
    let plain = H2Upstream::start("application/json", completion("fine")).await;
    let tls = H2Upstream::start_tls("application/json", completion("fine"), acceptor).await;
    for (upstream, scheme) in [(&plain, "http"), (&tls, "https")] {
        let config = Config::with_url(&format!("{scheme}://{}/base", upstream.address()))
            .upstream("http = \"2\"\ncredential = { header = \"api-key\", env = \"UPSTREAM_KEY\" }")
            .upstream(if scheme == "https" { "ca = \"ca.pem\"" } else { "" });
        authority.write(&config.directory().join("ca.pem"));
        let proxy = Proxy::start_with(guarding(config), &[("UPSTREAM_KEY", "k-ours")]);
        let headers = [JSON, ("api-key", "theirs"), ("te", "trailers"), ("connection", "te"), ("x-mine", "1")];
        let mut client = proxy.connect().await;
        let answer = client.request("POST", CHAT, &headers, chat("hi", false)).await;
        assert_eq!(answer.json(), serde_json::from_str::<serde_json::Value>(&completion("fine")).unwrap());
        let passed = client.request("GET", "/v1/models?x=1", &headers, "").await;
        assert_eq!((passed.status, passed.text()), (200, completion("fine")));

        let requests = upstream.requests();
        for ((head, body), (method, path)) in
            requests.iter().zip([("POST", "/base/v1/chat/completions"), ("GET", "/base/v1/models?x=1")])
        {
            let uri = head.uri();
            assert_eq!((head.method().as_str(), uri.path_and_query().unwrap().as_str()), (method, path));
            assert_eq!(uri.authority().unwrap().as_str(), upstream.address().to_string());
            assert_eq!(uri.scheme_str(), Some(scheme));
            assert_eq!(
                (&head.headers()["api-key"], &head.headers()["x-mine"]),
                (&"k-ours".parse().unwrap(), &"1".parse().unwrap())
            );
            for name in ["host", "connection", "te", "transfer-encoding"] {
                assert!(!head.headers().contains_key(name), "{name}: {head:?}");
            }
            assert_eq!(body, if method == "POST" { chat("hi", false) } else { String::new() }.as_bytes());
        }
        assert_eq!(requests.len(), 2);
    }
}

/// A frame of HTTP/2. RFC 9113, section 4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a small frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

#[tokio::test]
async fn a_prompt_goes_once_to_an_upstream_that_breaks_http_2() {
    const DATA: u8 = 0;
    const SETTINGS: u8 = 4;
    // Flags: of data, and of settings.
    const END: u8 = 1;
    const ACK: u8 = 1;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (told, mut requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.expect("the proxy");
            let told = told.clone();
            tokio::spawn(async move {
                socket.read_exact(&mut [0; 24]).await.expect("the preface");
                socket.write_all(&frame(SETTINGS, 0, 0, &[])).await.expect("write");
                let mut head = [0; 9];
                while socket.read_exact(&mut head).await.is_ok() {
                    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
                    socket.read_exact(&mut vec![0; length as usize]).await.expect("a payload");
                    if head[3] == SETTINGS && head[4] & ACK == 0 {
                        socket.write_all(&frame(SETTINGS, ACK, 0, &[])).await.expect("write");
                    }
                    if head[3] == DATA && head[4] & END != 0 {
                        told.send(()).expect("the test listens");
                        // Data belongs to a stream.
                        socket.write_all(&frame(DATA, 0, 0, b"x")).await.expect("write");
                    }
                }
            });
        }
    });
    let proxy = Proxy::start(guarding(Config::new(address)).upstream("http = \"2\""));
    let answer = proxy.chat(chat("hi", false)).await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_unavailable"));
    assert_eq!(requests.recv().await, Some(()));
    assert!(requests.try_recv().is_err(), "the prompt was sent again");
}

/// Serves HTTP/2 with a stream that never ends.
async fn endless() -> (SocketAddr, Arc<Notify>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let (address, ended) = (listener.local_addr().expect("an address"), Arc::new(Notify::new()));
    let told = Arc::clone(&ended);
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.expect("accept");
            let told = Arc::clone(&told);
            let service = service_fn(move |_: Request<Incoming>| {
                let piece = format!("data: {}\n\n", chunk("one two")).into();
                let body = Stalled { piece: Some(piece), dropped: Arc::clone(&told) };
                async { Response::builder().header("content-type", "text/event-stream").body(body) }
            });
            let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(async move { http.serve_connection(TokioIo::new(socket), service).await });
        }
    });
    (address, ended)
}

#[tokio::test]
async fn an_h2_upstream_is_cancelled() {
    let (address, ended) = endless().await;
    let config = guarding(Config::new(address)).upstream("http = \"2\"").stream("window = 1\nlookahead = 0");
    let proxy = Proxy::start(config);
    let mut client = proxy.connect().await;
    client.open_chat(chat("hi", true)).await.until("one").await;
    drop(client);
    within("the reset of the upstream's stream", ended.notified()).await;
}

/// An HTTP/2 server in bare frames: refuses every stream as unread, and tells of each.
async fn refusing() -> (SocketAddr, mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.expect("accept");
            let tell = tell.clone();
            tokio::spawn(async move {
                socket.read_exact(&mut [0; 24]).await?;
                // SETTINGS, empty; and its acknowledgement of the other side's.
                socket.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0]).await?;
                loop {
                    let mut head = [0; 9];
                    socket.read_exact(&mut head).await?;
                    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                    socket.read_exact(&mut vec![0; length]).await?;
                    if head[3] == 1 {
                        let _ = tell.send(());
                        // RST_STREAM with REFUSED_STREAM.
                        let reset = [0, 0, 4, 3, 0, head[5], head[6], head[7], head[8], 0, 0, 0, 7];
                        socket.write_all(&reset).await?;
                    }
                }
                #[allow(unreachable_code)]
                std::io::Result::Ok(())
            });
        }
    });
    (address, told)
}

#[tokio::test]
async fn a_refused_stream_is_tried_again_once() {
    let (address, mut told) = refusing().await;
    let proxy = Proxy::start(guarding(Config::new(address)).upstream("http = \"2\""));
    let answer = proxy.chat(chat("hi", false)).await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_unavailable"));
    assert!(told.try_recv().is_ok() && told.try_recv().is_ok() && told.try_recv().is_err(), "twice and no more");
}
