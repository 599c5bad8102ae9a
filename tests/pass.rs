//! Routes that pass: their bodies are not judged, and are held to the same bounds; every address of an upstream is tried.

mod support;

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::h2::Stalled;
use support::{Answer, Authority, Config, Proxy, Upstream, chat, completion, within};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const FILES: &str =
    "[[route]]\nid = \"files\"\npath = \"/v1/files\"\nupstream = \"main\"\npass = true\nmethods = [\"POST\"]";
const HEAD: &str = "POST /v1/files HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";

async fn passing(limits: &str) -> (Upstream, Proxy) {
    let upstream = Upstream::start(Answer::json("{}")).await;
    // The upstream's patience is short, and must not be what ends a body that does not come.
    let config = Config::new(upstream.address()).upstream("first_byte_timeout = \"300ms\"\nidle_timeout = \"300ms\"");
    let proxy = Proxy::start(config.section(FILES).section(&format!("[limits]\n{limits}")));
    (upstream, proxy)
}

/// The codes of the audit's lines, once there are so many.
async fn codes(proxy: &Proxy, count: usize) -> Vec<String> {
    proxy
        .audit(count)
        .await
        .iter()
        .map(|line| format!("{} {}", line["outcome"], line["code"]).replace('"', ""))
        .collect()
}

#[tokio::test]
async fn broken_framing_is_told_as_such() {
    let (upstream, proxy) = passing("").await;
    // From the start, and behind a sound piece that has gone on to the upstream already.
    for chunks in ["x\r\nabc\r\n0\r\n\r\n", "3\r\nabcdef\r\n0\r\n\r\n", "-1\r\nabc\r\n"] {
        let mut client = proxy.connect().await;
        client.send(HEAD).await;
        client.send("3\r\nabc\r\n").await;
        client.send(chunks).await;
        let answer = client.response().await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_request_body"), "{chunks:?}");
        assert_eq!(client.closed().await, b"", "{chunks:?}");
    }
    assert_eq!(codes(&proxy, 3).await, ["refused invalid_request_body"; 3]);
    assert_eq!(upstream.requests().len(), 0, "no whole request came of it");
    // A client that leaves is another matter.
    let mut client = proxy.connect().await;
    client.send(HEAD).await;
    client.send("3\r\nab").await;
    drop(client);
    assert_eq!(codes(&proxy, 4).await[3], "cut client_gone");
}

#[tokio::test]
async fn a_body_has_its_time_and_no_more() {
    let (upstream, proxy) = passing("body_timeout = \"1s\"").await;
    // Stalls at once, stalls in the middle, goes on for ever.
    for pieces in [0, 1, 15] {
        let mut client = proxy.connect().await;
        client.send(HEAD).await;
        for _ in 0..pieces {
            // It may have hung up by now.
            let _ = client.try_send("3\r\nabc\r\n").await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let answer = client.response().await;
        assert_eq!((answer.status, answer.code().as_str()), (408, "request_timeout"), "{pieces} pieces");
    }
    assert_eq!(codes(&proxy, 3).await, ["refused request_timeout"; 3]);
    assert_eq!(upstream.requests().len(), 0);

    // One that is slow and in time is waited for, longer than the upstream would be.
    let (upstream, proxy) = passing("body_timeout = \"1min\"").await;
    let mut client = proxy.connect().await;
    client.send(HEAD).await;
    for piece in ["3\r\nabc\r\n", "3\r\ndef\r\n0\r\n\r\n"] {
        tokio::time::sleep(Duration::from_millis(500)).await;
        client.send(piece).await;
    }
    assert_eq!(client.response().await.status, 200);
    assert_eq!(upstream.request().text(), "abcdef");
}

#[tokio::test]
async fn the_time_to_connect_is_not_the_bodys() {
    let authority = Authority::new();
    let acceptor = authority.sign(&["127.0.0.1"]).acceptor(&["http/1.1"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("https://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.expect("the proxy");
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let mut socket = BufReader::new(acceptor.accept(socket).await.expect("a handshake"));
        let mut line = String::new();
        while !line.ends_with("0\r\n") {
            socket.read_line(&mut line).await.expect("a line");
        }
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.expect("write");
        std::future::pending::<()>().await;
    });
    let config = Config::with_url(&url).upstream("ca = \"ca.pem\"").section(FILES);
    authority.write(&config.directory().join("ca.pem"));
    let proxy = Proxy::start(config.section("[limits]\nbody_timeout = \"1s\""));
    let mut client = proxy.connect().await;
    client.send(HEAD).await;
    client.send("3\r\nabc\r\n0\r\n\r\n").await;
    assert_eq!(client.response().await.status, 200);
}

#[tokio::test]
async fn an_interim_answer_is_not_the_answer() {
    let upstream = Upstream::start(Answer::interim(103, &[]).then(Answer::default().stall())).await;
    let config = Config::new(upstream.address()).upstream("first_byte_timeout = \"300ms\"\nidle_timeout = \"300ms\"");
    let proxy = Proxy::start(config.section(FILES).section("[limits]\nbody_timeout = \"1s\""));
    let mut client = proxy.connect().await;
    client.send(HEAD).await;
    client.send("3\r\nabc\r\n0\r\n\r\n").await;
    let answer = client.response().await;
    assert_eq!(
        (answer.interim.as_slice(), answer.status, answer.code().as_str()),
        (&[103][..], 504, "upstream_timeout")
    );
    assert_eq!(codes(&proxy, 1).await, ["refused upstream_timeout"]);
}

#[tokio::test]
async fn a_body_over_h2_is_not_waited_for_for_ever() {
    let (upstream, proxy) = passing("body_timeout = \"1s\"").await;
    let socket = TcpStream::connect(proxy.address).await.expect("connect");
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.expect("h2");
    tokio::spawn(connection);
    for piece in [None, Some("abc".into())] {
        let uri = format!("http://{}/v1/files", proxy.address);
        let request = Request::builder()
            .method("POST")
            .uri(uri)
            .body(Stalled { piece, dropped: Arc::default() })
            .expect("a request");
        let answer = within("an answer", sender.send_request(request)).await.expect("an answer");
        assert_eq!(answer.status(), 408);
    }
    assert_eq!(codes(&proxy, 2).await, ["refused request_timeout"; 2]);
    assert_eq!(upstream.requests().len(), 0);
}

/// `localhost` is two addresses on most machines, and this upstream listens on the second.
#[tokio::test]
async fn every_address_of_a_name_is_tried() {
    let upstream = Upstream::start(Answer::json(completion("fine"))).await;
    let config = Config::with_url(&format!("http://localhost:{}", upstream.address().port()));
    let proxy = Proxy::start(config);
    let mut client = proxy.connect().await;
    assert_eq!(client.request("GET", "/v1/models", &[], "").await.status, 200);
    assert_eq!(client.chat(chat("hi", false)).await.status, 200);
    assert_eq!(client.request("GET", "/v1/models", &[], "").await.status, 200);
    assert_eq!(upstream.requests().len(), 3);
}
