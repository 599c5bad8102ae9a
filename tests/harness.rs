//! The harness itself: without a proxy between them, its client and its upstream must see each other to the byte.

mod support;

use std::time::Duration;

use support::client::request;
use support::h2::{H2Client, H2Upstream};
use support::{Answer, Authority, Client, Cue, Upstream, chunk, completion, within};

#[tokio::test]
async fn records_requests_to_the_byte() {
    let upstream = Upstream::scripted(vec![Answer::json("{}"), Answer::error(429, "slow_down")]).await;
    let mut client = Client::connect(upstream.address()).await;
    let head = "POST /a HTTP/1.1\r\nHost:  x\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(format!("{head}3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n")).await;
    assert_eq!(client.response().await.text(), "{}");
    let second = client.request("POST", "/b", &[("x-two", "2")], "body").await;
    assert_eq!((second.status, second.code().as_str()), (429, "slow_down"));

    let requests = upstream.requests();
    assert_eq!(requests[0].head.raw, head);
    assert_eq!(
        (requests[0].text().as_str(), requests[0].raw_body.as_slice()),
        ("abc", &b"3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n"[..])
    );
    assert_eq!(requests[1].target(), ("POST", "/b"));
    assert_eq!((requests[1].head.header("x-two"), requests[1].text().as_str()), (Some("2"), "body"));
    assert_eq!((requests[1].connection, upstream.connections()), (0, 1));
}

#[tokio::test]
async fn streams_piece_by_piece_on_cue() {
    let cue = Cue::new();
    let answer =
        Answer::interim(103, &[]).then(Answer::stream()).event(chunk("one ")).wait(&cue).event(chunk("two")).done();
    let upstream = Upstream::start(answer).await;
    let mut client = Client::connect(upstream.address()).await;
    client.send(request("POST", "/", &[], "{}")).await;
    assert_eq!(client.open().await.status, 103);
    let mut stream = client.open().await;
    assert!(stream.until("\n\n").await.contains("one "));
    cue.give();
    assert!(stream.rest().await.ends_with("data: [DONE]\n\n"));
    upstream.answered(1).await;
    client.send(request("POST", "/", &[], "{}")).await;
    cue.give();
    let answer = client.response().await;
    assert_eq!((answer.interim.as_slice(), answer.content().as_str()), (&[103][..], "one two"));
}

#[tokio::test]
async fn tells_who_hung_up() {
    let upstream = Upstream::scripted(vec![
        Answer::stream().stall(),
        Answer::stream().chunk("half").close(),
        Answer::whole(200, "text/plain", "x").send("junk").reset(),
        Answer::default().drip(b"HTTP/1.1 204 No\r\n\r\n", Duration::ZERO),
    ])
    .await;
    let mut client = Client::connect(upstream.address()).await;
    client.send(request("POST", "/", &[], "")).await;
    upstream.received(1).await;
    assert_eq!(upstream.hangups(), 0);
    drop(client);
    upstream.hung_up(1).await;

    let mut client = Client::connect(upstream.address()).await;
    client.send(request("POST", "/", &[], "")).await;
    assert!(client.try_response().await.is_err());
    assert!(client.closed().await.is_empty());

    let mut client = Client::connect(upstream.address()).await;
    client.send(request("POST", "/", &[], "")).await;
    // Reset: what was sent before it may be lost.
    let _ = client.try_response().await;
    assert_eq!(upstream.hangups(), 1);

    let mut client = Client::connect(upstream.address()).await;
    assert_eq!(client.request("GET", "/", &[], "").await.status, 204);
}

#[tokio::test]
async fn speaks_tls_and_h2() {
    let authority = Authority::new();
    let identity = authority.sign(&["upstream.test", "127.0.0.1"]);
    let upstream = Upstream::scripted_tls(vec![Answer::json(completion("hi"))], identity.acceptor(&["http/1.1"])).await;
    let stream = authority.connect(upstream.address(), "upstream.test", &["h2", "http/1.1"]).await.expect("trusted");
    assert_eq!(Client::over(stream).chat("{}").await.json()["choices"][0]["message"]["content"], "hi");
    assert!(Authority::new().connect(upstream.address(), "upstream.test", &[]).await.is_err());
    assert!(authority.connect(upstream.address(), "other.test", &[]).await.is_err());

    let upstream = H2Upstream::start("application/json", completion("two")).await;
    let mut client = H2Client::connect(upstream.address()).await;
    assert_eq!(within("an answer", client.chat("{}")).await.json()["choices"][0]["message"]["content"], "two");
    assert_eq!(upstream.requests()[0].1, "{}");
}
