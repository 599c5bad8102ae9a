//! Connections under bad weather: slow, greedy and vanishing clients, upstreams that fail in every way, and the drain.

mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures_util::future::{join, join_all};
use support::client::request;
use support::message::{Length, Reader};
use support::{Answer, Client, Config, Cue, Proxy, Upstream, chat, chunk, completion, last_chunk, within};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

const CHAT: &str = "/v1/chat/completions";
const JSON: (&str, &str) = ("content-type", "application/json");

/// In front of this upstream, with a word list on both stages.
fn guarding(upstream: &Upstream) -> Config {
    Config::new(upstream.address()).block("\"input\", \"output\"", &["forbidden"])
}

async fn answering(text: &str) -> Upstream {
    Upstream::start(Answer::json(completion(text))).await
}

/// The codes of the audit's refusals, once it has so many lines in all.
async fn refusals(proxy: &Proxy, lines: usize) -> Vec<String> {
    let audit = proxy.audit(lines).await;
    let refused = audit.iter().filter(|line| line["outcome"] == "refused");
    refused.map(|line| line["code"].as_str().expect("a code").to_owned()).collect()
}

/// Sends these bytes one by one, for ever the last of them, until an answer comes.
async fn drip(mut client: Client, start: &str) -> (u16, String, Vec<u8>) {
    client.send(start).await;
    let answer = within("an answer to a slow client", async {
        loop {
            // Slower than a read's timeout would ever be, were there one for each read only.
            tokio::select! {
                answer = client.response() => return answer,
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
            let _ = client.try_send("a").await;
        }
    })
    .await;
    (answer.status, answer.code(), client.closed().await)
}

#[tokio::test]
async fn as_many_connections_are_kept_as_were_needed_at_once() {
    const MANY: usize = 200;
    let body = completion("fine");
    let length = body.len().to_string();
    let cue = Cue::new();
    let answer = Answer::head(200, &[JSON, ("content-length", &length)]).wait(&cue).send(body);
    let upstream = Upstream::start(answer).await;
    let proxy = Proxy::start(guarding(&upstream));
    for round in 1..=2 {
        let asking = join_all((0..MANY).map(|_| async { proxy.connect().await.chat(chat("hi", false)).await.status }));
        let cueing = async {
            upstream.received(round * MANY).await;
            (0..MANY).for_each(|_| cue.give());
        };
        let (answers, ()) = join(asking, cueing).await;
        assert_eq!(answers, [200; MANY]);
        proxy.counted("portcullis_open_exchanges", 0.0).await;
    }
    // Pingora takes a new one where its watch over an idle one has not quite let go of it, which is rare.
    let connections = upstream.connections();
    assert!((MANY..MANY + MANY / 10).contains(&connections), "{connections} connections");
}

#[tokio::test]
async fn headers_and_bodies_have_a_total_time() {
    let upstream = answering("fine").await;
    let limits = "[limits]\nheader_timeout = \"1s\"\nbody_timeout = \"1s\"";
    let files =
        "[[route]]\nid = \"files\"\npath = \"/v1/files\"\nupstream = \"main\"\npass = true\nmethods = [\"POST\"]";
    let proxy = Proxy::start(guarding(&upstream).section(limits).section(files));
    let timed_out = (408, "request_timeout".to_owned(), Vec::new());
    let mut kept = proxy.connect().await;
    assert_eq!(kept.chat(chat("hi", false)).await.status, 200);
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\n";
    let body = format!("{head}content-type: application/json\r\ncontent-length: 100000\r\n\r\n");
    let passing = "POST /v1/files HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n";
    let silent = proxy.connect().await;
    let (line, preface, header, body, passing, silent) = tokio::join!(
        drip(proxy.connect().await, "GET /"),
        drip(proxy.connect().await, "PRI /"),
        drip(kept, head),
        drip(proxy.connect().await, &body),
        drip(proxy.connect().await, passing),
        silent.closed(),
    );
    for (what, answer) in [("line", line), ("preface", preface), ("header", header), ("body", body), ("pass", passing)]
    {
        assert_eq!(answer, timed_out, "{what}");
    }
    // Nobody is there to be told who never says a word.
    assert_eq!(silent, b"");
    assert_eq!(refusals(&proxy, 7).await, ["request_timeout"; 5]);
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn bodies_have_a_size() {
    let upstream = answering("fine").await;
    let proxy = Proxy::start(guarding(&upstream).section("[limits]\nmax_body = \"64 KiB\""));
    let declared = |length: usize| {
        format!("POST {CHAT} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n")
    };
    let chunked = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let piece = [b"10000\r\n".as_slice(), &vec![b' '; 0x10000], b"\r\n"].concat();
    // A client may send all of it before it looks for the answer, and must find it all the same.
    for (what, head, rest) in [
        ("declared, and not sent", declared(65_537), Vec::new()),
        ("declared and sent", declared(512 << 10), vec![b' '; 512 << 10]),
        ("far too large", declared(16 << 20), vec![b' '; 16 << 20]),
        ("in chunks", chunked.clone(), piece.repeat(8)),
        ("chunks without end", chunked, piece.repeat(200)),
    ] {
        let mut client = proxy.connect().await;
        client.send(head).await;
        // The proxy may close while this is being sent.
        let _ = client.try_send(rest).await;
        let answer = client.try_response().await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!((answer.status, answer.code().as_str()), (413, "request_too_large"), "{what}");
        assert_eq!(answer.head.header("connection"), Some("close"), "{what}");
    }
    let mut fits = chat("hi", false);
    fits.push_str(&" ".repeat((64 << 10) - fits.len()));
    assert_eq!(proxy.chat(fits).await.status, 200, "exactly the limit");
    assert_eq!(upstream.requests().len(), 1);
    assert_eq!(refusals(&proxy, 7).await, ["request_too_large"; 5]);
}

#[tokio::test]
async fn headers_have_a_size_and_a_number() {
    let upstream = answering("fine").await;
    let proxy = Proxy::start(guarding(&upstream).section("[limits]\nmax_header = \"16 KiB\"\nmax_headers = 20"));
    let many: Vec<_> = (0..20).map(|n| (format!("x-{n}"), "1")).collect();
    let many: Vec<_> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let large = "x".repeat(16 << 10);
    let too_large = (431, "header_too_large".to_owned());
    for headers in [many.clone(), vec![("x-large", large.as_str())]] {
        let mut client = proxy.connect().await;
        let answer = client.request("POST", CHAT, &headers, "{}").await;
        assert_eq!((answer.status, answer.code()), too_large);
    }
    // One that never ends is not read on.
    let mut client = proxy.connect().await;
    let _ = client.try_send(format!("GET / HTTP/1.1\r\nx: {}", "x".repeat(200 << 10))).await;
    let answer = client.response().await;
    assert_eq!((answer.status, answer.code()), too_large);
    client.closed().await;
    let mut fits = many;
    fits.truncate(17);
    fits.push(JSON);
    assert_eq!(
        proxy.connect().await.request("POST", CHAT, &fits, chat("hi", false)).await.status,
        200,
        "exactly the limit"
    );
    assert_eq!(refusals(&proxy, 5).await, ["header_too_large"; 3]);
}

#[tokio::test]
async fn connections_have_a_number() {
    let upstream = answering("fine").await;
    let proxy = Proxy::start(guarding(&upstream).server("max_connections = 2\nworkers = 1"));
    let mut first = proxy.connect().await;
    assert_eq!(first.chat(chat("hi", false)).await.status, 200);
    let silent = proxy.connect().await;
    let mut third = proxy.connect().await;
    let turned_away = third.response().await;
    assert_eq!((turned_away.status, turned_away.code().as_str()), (503, "too_many_connections"));
    assert_eq!(turned_away.head.header("retry-after"), Some("1"));
    assert_eq!(third.closed().await, b"");
    assert_eq!(first.chat(chat("hi", false)).await.status, 200, "who is there already does not suffer");
    drop(silent);
    within("the place of who left", async {
        loop {
            let mut next = proxy.connect().await;
            let _ = next.try_send(request("POST", CHAT, &[JSON], chat("hi", false))).await;
            if next.try_response().await.is_ok_and(|answer| answer.status == 200) {
                return;
            }
        }
    })
    .await;
    assert!(proxy.audit(3).await.iter().any(|line| line["code"] == "too_many_connections"));
}

#[tokio::test]
async fn a_client_that_leaves_takes_the_upstream_along() {
    let stalled = || Answer::stream().event(chunk("one two three")).stall();
    let upstream = Upstream::scripted(vec![Answer::default().stall(), stalled(), stalled()]).await;
    let proxy = Proxy::start(guarding(&upstream).stream("window = 1\nlookahead = 0"));
    let mut client = proxy.connect().await;
    client.send(request("POST", CHAT, &[JSON], chat("hi", false))).await;
    upstream.received(1).await;
    drop(client);
    upstream.hung_up(1).await;

    // In the middle of a judged stream.
    let mut client = proxy.connect().await;
    client.open_chat(chat("hi", true)).await.until("one").await;
    drop(client);
    upstream.hung_up(2).await;

    // While it is still held, half closed only.
    let mut client = proxy.connect().await;
    client.send(request("POST", CHAT, &[JSON], chat("hi", true))).await;
    upstream.received(3).await;
    client.shutdown().await;
    upstream.hung_up(3).await;
    assert_eq!(proxy.audited(3, |line| line["code"] == "client_gone").await.len(), 3);

    // Where nothing is judged, and on a route that passes.
    let upstream = Upstream::start(stalled()).await;
    let proxy = Proxy::start(Config::new(upstream.address()));
    for (path, method, hangups) in [(CHAT, "POST", 1), ("/v1/models", "GET", 2)] {
        let mut client = proxy.connect().await;
        client
            .send(request(method, path, &[JSON], if method == "POST" { chat("hi", true) } else { String::new() }))
            .await;
        client.open().await.until("one").await;
        drop(client);
        upstream.hung_up(hangups).await;
    }
}

/// A port that is taken, and on which nobody listens as long as the socket lives.
fn closed_port() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
    let address = socket.local_addr().expect("an address");
    (socket, address)
}

#[tokio::test]
async fn failures_of_the_upstream_are_told_in_the_dialects_shape() {
    let json = |lines: &str| Answer::raw(format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{lines}\r\n"));
    let old = "HTTP/1.0 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let (refused, broken, stalled) = ("upstream_invalid_response", "upstream_unavailable", "upstream_timeout");
    let cases = [
        ("no answer", Answer::default().close(), 502, broken),
        ("reset", Answer::default().reset(), 502, broken),
        ("no HTTP", Answer::raw("CANARY\r\n\r\n").close(), 502, broken),
        ("header cut short", Answer::raw("HTTP/1.1 200 OK\r\ncontent-").close(), 502, broken),
        ("silence", Answer::default().stall(), 504, stalled),
        (
            "interim answers without end",
            (0..200)
                .fold(Answer::default(), |a, _| a.send("HTTP/1.1 103 Early\r\n\r\n").sleep(Duration::from_millis(5)))
                .stall(),
            504,
            stalled,
        ),
        ("body that stalls", json("content-length: 10\r\n").send("{").stall(), 504, stalled),
        ("body cut short", json("content-length: 100\r\n").send("{").close(), 502, broken),
        ("chunk cut short", json("transfer-encoding: chunked\r\n").send("5\r\n{").close(), 502, broken),
        ("chunks without end", json("transfer-encoding: chunked\r\n").chunk(completion("CANARY")).close(), 502, broken),
        ("chunk size", json("transfer-encoding: chunked\r\n").send("zz\r\n{}\r\n0\r\n\r\n"), 502, broken),
        ("two lengths", json("content-length: 2\r\ncontent-length: 3\r\n").send("{} "), 502, broken),
        ("HTTP/1.0 with a coding", Answer::raw(old).chunk("{}").end(), 502, broken),
        ("other coding", json("transfer-encoding: gzip, chunked\r\n").chunk("{}").end(), 502, broken),
        (
            "switch",
            Answer::raw("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nCANARY\r\n\r\n")
                .close(),
            502,
            broken,
        ),
        ("redirect", Answer::head(307, &[("location", "http://CANARY/"), ("content-length", "0")]), 502, refused),
        ("no content", Answer::head(204, &[]), 502, refused),
        ("partial", Answer::whole(206, "application/json", "{}"), 502, refused),
        ("compressed", json("content-encoding: gzip\r\ncontent-length: 2\r\n").send("{}"), 502, refused),
        ("other type", Answer::whole(200, "text/plain", "CANARY"), 502, refused),
        ("no type", Answer::head(200, &[("content-length", "2")]).send("{}"), 502, refused),
        ("no JSON", Answer::json("CANARY"), 502, refused),
        ("two values", Answer::json(completion("a") + &completion("CANARY")), 502, refused),
        ("too large", Answer::json(completion(&"x".repeat(70_000))), 502, "answer_too_large"),
        ("empty", Answer::head(205, &[("content-type", "application/json"), ("content-length", "0")]), 502, refused),
        ("misspelled", Answer::json(completion("a").replace("content", "conTENT")), 502, refused),
        ("error page", Answer::whole(500, "text/html", "<p>CANARY</p>"), 500, "upstream_error"),
        ("gateway's page", Answer::whole(503, "text/html", "CANARY"), 503, "upstream_error"),
        ("error that is no JSON", Answer::whole(400, "application/json", "CANARY"), 400, "upstream_error"),
    ];
    let good = Answer::json(completion("fine"));
    let script = cases.iter().flat_map(|(_, answer, ..)| [answer.clone(), good.clone()]).collect();
    let upstream = Upstream::scripted(script).await;
    let config = guarding(&upstream)
        .upstream("first_byte_timeout = \"1s\"\nidle_timeout = \"1s\"")
        .stream("max_held = \"64 KiB\"");
    let proxy = Proxy::start(config);
    let mut client = proxy.connect().await;
    for (sent, (name, _, status, code)) in cases.iter().enumerate() {
        let answer = client.chat(chat("hi", false)).await;
        assert_eq!((answer.status, answer.code().as_str()), (*status, *code), "{name}: {}", answer.text());
        assert!(answer.json()["error"]["message"].is_string() && !answer.head.raw.contains("CANARY"), "{name}");
        assert!(!answer.text().contains("CANARY"), "{name}: {}", answer.text());
        assert!(answer.interim.is_empty() && answer.head.header("x-portcullis-id").is_some(), "{name}");
        assert_eq!(client.chat(chat("hi", false)).await.status, 200, "after {name}");
        assert_eq!(upstream.requests().len(), 2 * sent + 2, "{name}: sent once");
    }
    let audit = proxy.audit(4 * cases.len()).await;
    let told: Vec<_> = audit.iter().filter(|line| line["outcome"] == "refused").collect();
    assert_eq!(
        told.iter().map(|line| line["code"].as_str().unwrap()).collect::<Vec<_>>(),
        cases.map(|(.., code)| code)
    );
    assert!(told.iter().all(|line| line["route"] == "chat"));
    assert!(!proxy.log().contains("CANARY"), "{}", proxy.log());

    // Nobody there at all: on both kinds of routes.
    let (_taken, closed) = closed_port();
    let proxy = Proxy::start(Config::new(closed));
    for (method, path, body) in [("POST", CHAT, "{}"), ("GET", "/v1/models", "")] {
        let answer = proxy.connect().await.request(method, path, &[JSON], body).await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_unavailable"));
        assert!(answer.head.header("x-portcullis-id").is_some());
    }
    let audit = proxy.audit(2).await;
    assert!(audit.iter().all(|line| line["code"] == "upstream_unavailable"), "{audit:?}");
}

#[tokio::test]
async fn errors_of_the_upstream_come_through() {
    let slow_down = |body: &str| {
        let length = body.len().to_string();
        Answer::head(429, &[("content-type", "application/json"), ("retry-after", "9"), ("content-length", &length)])
            .send(body)
    };
    let error = r#"{"error": {"message":"slow down","type":"rate","param":null,"code":"rate_limit"}}"#;
    let page =
        Answer::head(503, &[("content-type", "text/html"), ("retry-after", "11"), ("content-length", "3")]).send("<p>");
    let upstream = Upstream::scripted(vec![slow_down(error), Answer::error(500, "server_error"), page]).await;
    let proxy = Proxy::start(guarding(&upstream));
    let answer = proxy.chat(chat("hi", false)).await;
    assert_eq!((answer.status, answer.head.header("retry-after")), (429, Some("9")));
    assert_eq!(answer.json(), serde_json::from_str::<serde_json::Value>(error).unwrap());
    // Asked for a stream, it may fail all the same.
    let answer = proxy.chat(chat("hi", true)).await;
    assert_eq!((answer.status, answer.code().as_str()), (500, "server_error"));
    let answer = proxy.chat(chat("hi", true)).await;
    assert_eq!((answer.status, answer.head.header("retry-after")), (503, Some("11")));
}

#[tokio::test]
async fn failures_on_a_route_that_passes() {
    let upstream = Upstream::scripted(vec![
        Answer::default().stall(),
        Answer::default().close(),
        Answer::raw("CANARY\r\n\r\n").close(),
        Answer::head(200, &[("content-length", "10")]).send("CANARY").close(),
        Answer::json("{}"),
    ])
    .await;
    let proxy =
        Proxy::start(Config::new(upstream.address()).upstream("first_byte_timeout = \"1s\"\nidle_timeout = \"1s\""));
    for (status, code) in [(504, "upstream_timeout"), (502, "upstream_unavailable"), (502, "upstream_unavailable")] {
        let answer = proxy.connect().await.request("GET", "/v1/models", &[], "").await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code));
    }
    let mut client = proxy.connect().await;
    client.send(request("GET", "/v1/models", &[], "")).await;
    assert!(client.try_response().await.is_err(), "a body that is not whole must not look whole");
    assert_eq!(proxy.connect().await.request("GET", "/v1/models", &[], "").await.status, 200);
    let told: Vec<_> = proxy.audit(4).await.iter().map(|line| line["outcome"].as_str().unwrap().to_owned()).collect();
    assert_eq!(told, ["refused", "refused", "refused", "cut"]);
}

#[tokio::test]
async fn a_request_is_sent_again_only_where_it_can_not_have_been_read() {
    let good = || Answer::json(completion("fine"));
    let upstream = Upstream::scripted(vec![good().close(), good(), Answer::default().close(), good()]).await;
    let proxy = Proxy::start(guarding(&upstream));
    let mut client = proxy.connect().await;
    assert_eq!(client.chat(chat("1", false)).await.status, 200);
    upstream.answered(1).await;
    assert_eq!(client.chat(chat("2", false)).await.status, 200, "the pooled connection was closed");
    // Closed after the request has gone out: it may be working on it.
    assert_eq!(client.chat(chat("3", false)).await.status, 502);
    assert_eq!(client.chat(chat("4", false)).await.status, 200);
    assert_eq!(upstream.requests().len(), 4, "the third was sent once");
}

/// An upstream that has said all of its stream is told to stop all the same, and need not react to it.
#[tokio::test]
async fn a_connection_on_which_a_stream_was_cut_serves_nobody_else() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let (address, cue) = (listener.local_addr().expect("an address"), Cue::new());
    let told = cue.clone();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.expect("the proxy");
            let told = told.clone();
            tokio::spawn(async move {
                let framed = |data: String| format!("{:x}\r\n{data}\r\n", data.len());
                let event = |data: &str| format!("data: {data}\n\n");
                loop {
                    let mut reader = Reader::new(&mut socket);
                    let Some(request) = reader.head().await.expect("a request") else { break };
                    reader.body(request.length(Length::None), &mut Vec::new()).await.expect("its body");
                    let head =
                        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
                    let first = framed(event(&chunk("one two three")) + &event(&chunk(" four five")));
                    socket.write_all(format!("{head}{first}").as_bytes()).await.expect("write");
                    told.wait().await;
                    let last = event(&chunk(" forbidden")) + &event(&last_chunk("stop")) + &event("[DONE]");
                    socket.write_all(format!("{}0\r\n\r\n", framed(last)).as_bytes()).await.expect("write");
                }
                // The proxy has closed its side; this one stays open.
                std::future::pending::<()>().await;
            });
        }
    });
    let words = Config::new(address).block("\"output\"", &["forbidden"]);
    let proxy = Proxy::start(words.stream("window = 4\nlookahead = 4"));
    for _ in 0..3 {
        let (mut one, mut two) = (proxy.connect().await, proxy.connect().await);
        let (mut one, mut two) = (one.open_chat(chat("hi", true)).await, two.open_chat(chat("hi", true)).await);
        join(one.until("one"), two.until("one")).await;
        cue.give();
        cue.give();
        for stream in [&mut one, &mut two] {
            assert!(stream.rest().await.contains("content_filter"));
        }
    }
    assert_eq!(proxy.audit(6).await.iter().filter(|line| line["code"] == "upstream_unavailable").count(), 0);
}

#[tokio::test]
async fn a_drain_lets_streams_end_and_takes_nothing_new() {
    let cue = Cue::new();
    let stream = Answer::stream()
        .event(chunk("one two three"))
        .wait(&cue)
        .event(chunk(" four"))
        .event(last_chunk("stop"))
        .done();
    let upstream = Upstream::start(stream).await;
    let config = guarding(&upstream).stream("window = 1\nlookahead = 0").server("workers = 2\ndrain = \"10min\"");
    let mut proxy = Proxy::start(config);
    let mut client = proxy.connect().await;
    let mut stream = client.open_chat(chat("hi", true)).await;
    stream.until("one").await;
    let idle = proxy.connect().await;
    let mut kept = proxy.connect().await;
    assert_eq!(kept.request("GET", "/unknown", &[], "").await.status, 404);
    proxy.signal("TERM");
    proxy.logged("draining").await;
    assert_eq!(idle.closed().await, b"");
    assert_eq!(kept.closed().await, b"");
    within("the listener closes", async {
        while TcpStream::connect(proxy.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    cue.give();
    assert!(stream.rest().await.ends_with("data: [DONE]\n\n"));
    assert_eq!(client.closed().await, b"");
    assert!(proxy.ended().await.success());
    assert!(proxy.log().contains("drained"), "{}", proxy.log());
}

#[tokio::test]
async fn a_drain_ends_at_once_where_nothing_is_open() {
    let upstream = answering("fine").await;
    let mut proxy = Proxy::start(guarding(&upstream).server("workers = 2\ndrain = \"10min\""));
    let mut kept = proxy.connect().await;
    assert_eq!(kept.chat(chat("hi", false)).await.status, 200);
    let mut half = proxy.connect().await;
    half.send("PRI * HT").await;
    let silent = proxy.connect().await;
    proxy.signal("INT");
    assert!(proxy.ended().await.success());
    for client in [kept, half, silent] {
        assert_eq!(client.closed().await, b"");
    }
    assert_eq!(proxy.audit(2).await.len(), 2, "the audit is whole");
}

#[tokio::test]
async fn a_drain_has_an_end() {
    let upstream = Upstream::start(Answer::stream().event(chunk("one two three")).stall()).await;
    // Once by its limit, once because it is told again.
    for (limit, again) in [("200ms", false), ("10min", true)] {
        let config = guarding(&upstream).stream("window = 1\nlookahead = 0").server(&format!("drain = \"{limit}\""));
        let mut proxy = Proxy::start(config);
        let mut client = proxy.connect().await;
        client.open_chat(chat("hi", true)).await.until("one").await;
        proxy.signal("TERM");
        proxy.logged("draining").await;
        if again {
            proxy.signal("TERM");
        }
        assert!(proxy.ended().await.success());
        assert!(proxy.log().contains("still open"), "{}", proxy.log());
        client.closed().await;
        let told = proxy.audited(1, |line| line["outcome"] == "cut").await;
        assert_eq!((told.len(), &told[0]["code"]), (1, &serde_json::json!("proxy_stopped")));
    }
}

#[tokio::test]
async fn a_drain_waits_for_observers() {
    let upstream = answering("fine").await;
    // Many texts, none of them short: it takes a good while to look at them all.
    let watch = "stage = [\"input\"]\non_error = \"block\"\ndeadline = \"10min\"\nmode = \"observe\"\n\
                 [patterns]\nbuiltin = [\"pii\", \"secrets\"]\n[actions]\ndefault = \"annotate\"\n";
    let config = Config::new(upstream.address()).guardrail("watch", watch);
    let mut proxy = Proxy::start(config.server("workers = 2\ndrain = \"10min\""));
    let text = "Call me on the number that you have, or write; I am at home. ".repeat(16);
    let messages = vec![serde_json::json!({"role": "user", "content": text}); 4000];
    let answer = proxy.chat(serde_json::json!({"model": "m", "messages": messages}).to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    proxy.signal("TERM");
    assert!(proxy.ended().await.success());
    let audit = proxy.audit(1).await;
    let asked = &audit[0]["asked"][0];
    assert!(asked["guardrail"] == "watch" && asked["answered"] == asked["segments"], "{audit:?}");
}

#[tokio::test]
async fn an_answer_that_has_no_body_is_given_none() {
    let without = |status| Answer::head(status, &[("x-up", "1")]);
    let chunked = Answer::head(200, &[("transfer-encoding", "chunked")]);
    let odd = Answer::head(204, &[("content-length", "0")]);
    let upstream = Upstream::scripted(vec![without(204), without(304), odd, without(200), chunked]).await;
    let proxy = Proxy::start(Config::new(upstream.address()).route("methods = [\"POST\", \"HEAD\"]"));
    let mut client = proxy.connect().await;
    for (method, status) in [("POST", 204), ("POST", 304), ("POST", 204), ("HEAD", 200), ("HEAD", 200)] {
        let body = if method == "POST" { chat("hi", false) } else { String::new() };
        client.send(request(method, CHAT, &[JSON], body)).await;
        let answer = client.open().await;
        assert_eq!(answer.status, status);
        for name in ["transfer-encoding", "content-length"] {
            assert_eq!(answer.head.header(name), None, "{method} {status}");
        }
        assert!(answer.head.header("x-portcullis-id").is_some());
    }
    // The next answer begins where the last one ended.
    assert_eq!(client.request("GET", "/unknown", &[], "").await.status, 404);
}
