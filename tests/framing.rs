//! Framing on the bare socket: every odd way to say where a request begins and ends has one reading, or is refused; and what
//! HTTP/2 brings that HTTP/1 can't carry never arrives.

mod support;

use support::frames::{CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, Outcome, RST_STREAM, block};
use support::{Answer, Config, Proxy, Upstream, chat, completion};

const CHAT: &str = "/v1/chat/completions";

async fn upstream() -> Upstream {
    Upstream::start(Answer::json(completion("fine"))).await
}

fn guarded(upstream: &Upstream) -> Proxy {
    Proxy::start(Config::new(upstream.address()).block("\"input\", \"output\"", &["forbidden"]))
}

/// A chat request with these header lines besides host and type, and this on the wire for a body.
fn framed(lines: &str, body: &str) -> String {
    format!("POST {CHAT} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n{lines}\r\n{body}")
}

fn chunks(body: &str) -> String {
    format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}

#[tokio::test]
async fn a_body_has_one_length_or_none() {
    let upstream = upstream().await;
    let proxy = guarded(&upstream);
    let body = chat("hello", false);
    let (length, in_chunks) = (body.len(), chunks(&body));
    // A second request rides behind each: it must not be taken for one, whatever became of the first.
    let rider = framed(&format!("content-length: {length}\r\n"), &chat("rider", false));
    let coded = |coding: &str| framed(&format!("transfer-encoding: {coding}\r\n"), &in_chunks);
    let counted = |lines: &str| framed(lines, &body);
    let mut requests = vec![
        coded("chunked"),
        coded("Chunked"),
        coded(" \t chunked \t "),
        counted(&format!("content-length: {length}\r\n")),
        counted(&format!("content-length:{length}\r\n")),
        counted(&format!("content-length: 000{length}\r\n")),
    ];
    for coding in [
        "chunked,",
        ",chunked",
        "chunked, ",
        "chunked;q=1",
        "chunked; x",
        "\"chunked\"",
        "chunked chunked",
        "chunked, identity",
        "identity, chunked",
        "gzip, chunked",
        "gzip",
        "deflate, gzip, chunked",
        "x-chunked",
        "chunkedx",
        "chunke",
        "\u{b}chunked",
        "chunked\u{b}",
        "chunked\0",
        "chun\tked",
        "\u{17f}chunked",
        "",
    ] {
        requests.push(coded(coding));
    }
    requests.push(framed("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", &in_chunks));
    requests.push(framed("transfer-encoding: chunked\r\nTransfer-Encoding: identity\r\n", &in_chunks));
    requests.push(framed("transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n", &in_chunks));
    requests.push(framed("transfer_encoding: chunked\r\n", &in_chunks));
    requests.push(framed("transfer-encoding : chunked\r\n", &in_chunks));
    requests.push(framed("transfer-encoding:\r\n chunked\r\n", &in_chunks));
    requests.push(framed(" transfer-encoding: chunked\r\n", &in_chunks));
    for coded in
        ["transfer-encoding: chunked\r\ncontent-length: 3\r\n", "content-length: 3\r\ntransfer-encoding: chunked\r\n"]
    {
        requests.push(framed(coded, &in_chunks));
    }
    for value in [
        "",
        " ",
        "+5",
        "-5",
        "0x10",
        "5,5",
        "5, 5",
        "5 5",
        "5.0",
        "5e1",
        "5;",
        "\"5\"",
        "\u{661}",
        "18446744073709551616",
        "99999999999999999999999",
    ] {
        requests.push(counted(&format!("content-length: {value}\r\n")));
    }
    requests.push(counted(&format!("content-length: {length}\r\ncontent-length: {length}\r\n")));
    requests.push(counted(&format!("content-length: 3\r\ncontent-length: {length}\r\n")));
    requests.push(counted(&format!("content_length: 3\r\ncontent-length: {length}\r\n")));
    requests.push(counted(&format!("content-length : {length}\r\n")));
    for sizes in [
        format!("+{in_chunks}"),
        format!("0x{in_chunks}"),
        format!("-{in_chunks}"),
        format!(" {in_chunks}"),
        format!("{:x} \r\n{body}\r\n0\r\n\r\n", body.len()),
        format!("{:x}\n{body}\r\n0\r\n\r\n", body.len()),
        format!("{:x}\r\n{body}\n0\r\n\r\n", body.len()),
        format!("{:x}\r\n{body}\r\n0\n\n", body.len()),
        format!("{:x}\r\n{body}0\r\n\r\n", body.len()),
        format!("{:x};a=\"\r\nb\"\r\n{body}\r\n0\r\n\r\n", body.len()),
        format!("1{:016x}\r\n{body}\r\n0\r\n\r\n", body.len()),
        format!("{:x}\r\n{body}\r\n0\r\nContent-Length: 3\r\n\r\n", body.len()),
        format!("{:x}\r\n{body}\r\n00\r\n\r\n", body.len()),
    ] {
        requests.push(framed("transfer-encoding: chunked\r\n", &sizes));
    }
    let mut served = 0;
    for request in &requests {
        let before = upstream.requests().len();
        let mut client = proxy.connect().await;
        // It may be refused while the rest is still being sent.
        let _ = client.try_send(format!("{request}{rider}")).await;
        let Ok(answer) = client.try_response().await else { panic!("{request:?}: no answer") };
        let sent = upstream.requests().split_off(before);
        assert!(sent.iter().all(|sent| !sent.text().contains("rider")), "{request:?}: two requests were seen");
        if answer.status == 200 {
            served += 1;
            let [sent] = &sent[..] else { panic!("{request:?}: sent {}", sent.len()) };
            assert_eq!(sent.text(), body, "{request:?}");
            assert_eq!(sent.head.all("content-length"), [length.to_string()], "{request:?}");
            assert_eq!(sent.head.all("transfer-encoding"), Vec::<&str>::new(), "{request:?}");
        } else {
            assert!(matches!(answer.status, 400 | 408 | 415), "{request:?}: {} {}", answer.status, answer.text());
            assert!(sent.is_empty(), "{request:?}");
        }
    }
    assert!((4..20).contains(&served), "{served} of {} were served", requests.len());
}

#[tokio::test]
async fn lines_end_one_way_behind_the_proxy() {
    let upstream = upstream().await;
    let proxy = guarded(&upstream);
    let body = chat("hello", false);
    let lines = format!(
        "POST {CHAT} HTTP/1.1\nhost: a\ncontent-type: application/json\nx-a: b\ncontent-length: {}\n\n",
        body.len()
    );
    for head in [lines.clone(), lines.replacen('\n', "\r\n", 2), lines.replace("x-a: b\n", "x-a: b\r\n")] {
        let before = upstream.requests().len();
        let mut client = proxy.connect().await;
        client.send(format!("{head}{body}")).await;
        let status = client.response().await.status;
        for sent in &upstream.requests()[before..] {
            assert!(!sent.head.raw.replace("\r\n", "").contains(['\r', '\n']), "{:?}", sent.head.raw);
            assert_eq!(sent.text(), body);
        }
        assert!(matches!(status, 200 | 400), "{head:?}: {status}");
    }
    // A carriage return alone ends no line, and no value may hold one.
    for value in ["b\rx-c: d", "b\r", "b\r\rc", "b\u{0}", "b\u{1}", "b\u{7f}"] {
        let before = upstream.requests().len();
        let mut client = proxy.connect().await;
        client.send(framed(&format!("x-a: {value}\r\ncontent-length: {}\r\n", body.len()), &body)).await;
        let status = client.response().await.status;
        let sent = upstream.requests().split_off(before);
        assert!(
            status == 400 && sent.is_empty() || sent.iter().all(|sent| sent.head.header("x-a") == Some("b")),
            "{value:?}: {status}"
        );
    }
}

/// What a good HTTP/2 request has.
const GOOD: [(&str, &str); 5] = [
    (":method", "POST"),
    (":scheme", "http"),
    (":authority", "proxy.test"),
    (":path", CHAT),
    ("content-type", "application/json"),
];

/// The same with one field changed, or further ones.
fn changed<'a>(name: &str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    GOOD.iter().map(|&(known, usual)| (known, if known == name { value } else { usual })).collect()
}

fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    GOOD.iter().chain(more).copied().collect()
}

fn without(name: &str) -> Vec<(&'static str, &'static str)> {
    GOOD.iter().filter(|(known, _)| *known != name).copied().collect()
}

#[tokio::test]
async fn h2_carries_nothing_that_http_1_would_read_otherwise() {
    let upstream = upstream().await;
    let proxy = guarded(&upstream);
    let body = chat("hello", false);
    let mut bad = Vec::new();
    for path in [
        "http://evil.test/v1/chat/completions",
        "//evil.test/v1/chat/completions",
        "v1/chat/completions",
        "",
        "*",
        "/v1/chat/completions x",
        "/v1/chat/completions\r\nx: y",
        "/v1/chat/completions\nx: y",
        "/v1/chat/completions\0",
        "/v1/chat/completions HTTP/1.1\r\nx: y\r\n\r\n",
    ] {
        bad.push(changed(":path", path));
    }
    for method in ["", "post", "pOsT", "POST /x HTTP/1.1\r\n", "PO ST", "CONNECT", "GET", "TRACE"] {
        bad.push(changed(":method", method));
    }
    for scheme in ["ftp", "file", "javascript", "ws", "http://x", ""] {
        bad.push(changed(":scheme", scheme));
    }
    for authority in ["a/b", "a?b", "a#b", "user@proxy.test", "a b", "a\r\nx: y", "a,b", ""] {
        bad.push(changed(":authority", authority));
    }
    for name in [":method", ":scheme", ":authority", ":path"] {
        bad.push(without(name));
    }
    for more in [
        ("transfer-encoding", "chunked"),
        ("connection", "close"),
        ("connection", "x-guard"),
        ("keep-alive", "timeout=1"),
        ("proxy-connection", "close"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
        ("x-a", "b\r\nx-c: d"),
        ("x-a", "b\nx-c: d"),
        ("x-a", "b\0"),
        ("X-Upper", "a"),
        ("x a", "b"),
        ("x:a", "b"),
        ("x\r\na", "b"),
        ("", "b"),
        ("host", "evil.test"),
        (":path", "/v1/models"),
        (":unknown", "x"),
        (":status", "200"),
        ("content-length", "3"),
        ("content-length", "+82"),
        ("content-length", "99999999999999999999"),
        ("content-type", "text/plain"),
    ] {
        bad.push(with(&[more]));
    }
    bad.push(with(&[("host", "proxy.test"), ("host", "proxy.test")]));
    for fields in &bad {
        let mut frames = Frames::connect(proxy.address).await;
        frames.request(1, fields, body.as_bytes()).await;
        let outcome = frames.outcome(1).await;
        assert_ne!(outcome, Outcome::Served, "{fields:?}");
        assert!(upstream.requests().is_empty(), "{fields:?} reached the upstream");
    }
    let mut frames = Frames::connect(proxy.address).await;
    frames.request(1, &GOOD, body.as_bytes()).await;
    assert_eq!(frames.outcome(1).await, Outcome::Served);
    assert_eq!(upstream.request().text(), body);
}

#[tokio::test]
async fn of_h2_arrives_what_was_judged_and_no_more() {
    let upstream = upstream().await;
    let proxy = guarded(&upstream);
    let body = chat("hello", false);
    let mut frames = Frames::connect(proxy.address).await;
    // Cookies in pieces, the body in pieces, and trailers.
    let (first, second) = body.as_bytes().split_at(20);
    let cookies = with(&[("cookie", "a=1"), ("cookie", "b=2; c=3"), ("trailer", "x-guard")]);
    frames.send(HEADERS, END_HEADERS, 1, &block(&cookies)).await;
    frames.send(DATA, 0, 1, first).await;
    frames.send(DATA, 0, 1, &[]).await;
    frames.send(DATA, 0, 1, second).await;
    frames.send(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[("x-guard", "pass"), ("content-type", "text/x")])).await;
    assert_eq!(frames.outcome(1).await, Outcome::Served);
    let sent = upstream.request();
    assert_eq!(sent.text(), body);
    assert_eq!(sent.head.all("cookie"), ["a=1; b=2; c=3"]);
    assert!(!sent.head.raw.contains("x-guard") && !sent.head.raw.contains("trailer"), "{}", sent.head.raw);
    assert_eq!(sent.head.all("content-type"), ["application/json"]);

    // A header in pieces is one header.
    let whole = block(&GOOD);
    let (head, rest) = whole.split_at(30);
    frames.send(HEADERS, 0, 3, head).await;
    frames.send(CONTINUATION, END_HEADERS, 3, rest).await;
    frames.send(DATA, END_STREAM, 3, body.as_bytes()).await;
    assert_eq!(frames.outcome(3).await, Outcome::Served);

    // GET with a body, on a route that passes.
    let mut get = changed(":method", "GET");
    get[3].1 = "/v1/models";
    let mut frames = Frames::connect(proxy.address).await;
    frames.request(1, &get, b"{}").await;
    assert_ne!(frames.outcome(1).await, Outcome::Served);
    frames.send(HEADERS, END_HEADERS | END_STREAM, 3, &block(&get)).await;
    assert_eq!(frames.outcome(3).await, Outcome::Served);
    assert_eq!(upstream.requests().len(), 3);
}

#[tokio::test]
async fn floods_end_their_own_connection_only() {
    let upstream = upstream().await;
    let proxy = guarded(&upstream);
    // A header that goes on for ever.
    let mut frames = Frames::connect(proxy.address).await;
    frames.send(HEADERS, 0, 1, &block(&GOOD)).await;
    let piece = block(&[("x-a", &"b".repeat(16_000))]);
    let mut sent = 0;
    while sent < 2_000 && frames.try_send(CONTINUATION, 0, 1, &piece).await.is_ok() {
        sent += 1;
    }
    assert!(sent < 2_000, "32 MB of one header were taken");
    // One of very many small frames.
    let mut frames = Frames::connect(proxy.address).await;
    frames.send(HEADERS, 0, 1, &block(&GOOD)).await;
    let mut sent = 0;
    while sent < 1_000_000 && frames.try_send(CONTINUATION, 0, 1, &[]).await.is_ok() {
        sent += 1;
    }
    assert!(sent < 1_000_000, "a million frames of one header were taken");
    // Streams that are opened and reset at once.
    let mut frames = Frames::connect(proxy.address).await;
    let fields = block(&GOOD);
    let mut stream = 1;
    while stream < 40_001 {
        let opened = frames.try_send(HEADERS, END_HEADERS, stream, &fields).await.is_ok();
        if !opened || frames.try_send(RST_STREAM, 0, stream, &8u32.to_be_bytes()).await.is_err() {
            break;
        }
        stream += 2;
    }
    assert!(stream < 40_001, "20,000 resets were taken");
    assert_eq!(proxy.chat(chat("hello", false)).await.status, 200, "others are served");
    assert_eq!(upstream.requests().len(), 1, "nothing of the floods arrived");
}
