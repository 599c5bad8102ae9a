//! Judged streams: what leaves when, what a cut looks like, and that neither the upstream's chunks nor its oddities change
//! what the client gets.

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::client::{Stream, content, events};
use support::{Answer, Config, Cue, Proxy, Upstream, chat, chunk, last_chunk, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// What the guardrails of these tests look for: three words, so that it straddles events.
const PHRASE: &str = "blue bird flies";

/// Windows of a few bytes; only growth asks, never time.
const SMALL: &str = "window = 8\nlookahead = 32\nmax_hold = \"1h\"";

fn guard(more: &str) -> String {
    format!("stage = [\"output\"]\non_error = \"block\"\ndeadline = \"5s\"\n{more}\n")
}

/// Blocks [`PHRASE`] and redacts e-mail addresses in answers.
fn config(upstream: &Upstream) -> Config {
    let words = format!("[patterns.words]\nsecret = [{PHRASE:?}]\n[actions]\nsecret = \"block\"");
    Config::new(upstream.address())
        .guardrail("words", &guard(&words))
        .guardrail("pii", &guard("[patterns]\nbuiltin = [\"email\"]\n[actions]\nemail = \"redact\""))
}

/// A stream of which some leaves at once, under [`SMALL`] windows, and the rest is held.
fn begun() -> Answer {
    Answer::stream().event(chunk("A few words. ")).event(chunk("Enough of them for a window, so that some may leave."))
}

/// A chunk with one choice's delta.
fn delta(index: u32, delta: Value) -> String {
    let choice = json!({"index": index, "delta": delta, "finish_reason": null});
    json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})
        .to_string()
}

fn finish(index: u32, reason: &str) -> String {
    last_chunk(reason).replace("\"index\":0", &format!("\"index\":{index}"))
}

/// Text in pieces of a few bytes.
fn pieces(text: &str) -> Vec<String> {
    text.as_bytes().chunks(3).map(|piece| chunk(&String::from_utf8_lossy(piece))).collect()
}

/// The finish reasons of a stream, by choice, in order.
fn reasons(events: &[String]) -> Vec<(u64, String)> {
    let chunks = events.iter().filter_map(|data| serde_json::from_str::<Value>(data).ok());
    let choices = chunks.flat_map(|chunk| chunk["choices"].as_array().cloned().unwrap_or_default());
    let reason = |choice: Value| Some((choice["index"].as_u64()?, choice["finish_reason"].as_str()?.to_owned()));
    choices.filter_map(reason).collect()
}

/// Waits until the proxy holds something, and sees that the client has got nothing more of it.
async fn held_back(proxy: &Proxy, stream: &mut Stream<'_>) {
    until_held(proxy).await;
    tokio::select! {
        biased;
        piece = stream.piece() => panic!("left too early: {piece:?}"),
        // Two round trips through the proxy.
        _ = async { proxy.admin("/metrics").await; proxy.admin("/metrics").await } => {}
    }
}

async fn until_held(proxy: &Proxy) {
    within("the proxy holds something", async { while proxy.metric("portcullis_held_bytes").await == 0.0 {} }).await;
}

#[tokio::test]
async fn nothing_leaves_before_the_first_verdict_not_even_the_header() {
    let cue = Cue::new();
    let answer = Answer::stream()
        .event(delta(0, json!({"role": "assistant", "content": ""})))
        .event(chunk("a few words"))
        .wait(&cue)
        .event(chunk(" and more of them, enough for a window"))
        .stall();
    let upstream = Upstream::start(answer).await;
    let proxy = Proxy::start(config(&upstream).stream("window = 20\nlookahead = 4\nmax_hold = \"1h\""));
    let mut client = proxy.connect().await;
    let body = chat("hi", true);
    let request =
        support::client::request("POST", "/v1/chat/completions", &[("content-type", "application/json")], body);
    client.send(request).await;
    until_held(&proxy).await;
    tokio::select! {
        biased;
        head = client.open() => panic!("a header left too early: {}", head.head.raw),
        _ = async { proxy.admin("/metrics").await; proxy.admin("/metrics").await } => {}
    }
    cue.give();
    let mut stream = client.open().await;
    assert_eq!(stream.head.header("x-portcullis-decision"), Some("allow"));
    let got = stream.until("a few words").await;
    assert!(got.starts_with("data: {") && got.contains("assistant"), "{got}");
}

#[tokio::test]
async fn a_phrase_over_many_events_never_begins_to_leave() {
    let before = "A long beginning that is all fine and may well leave. And then the ";
    let mut answer = Answer::stream().event(delta(0, json!({"role": "assistant"})));
    answer = pieces(&format!("{before}{PHRASE} away. More that is fine, and a lot of it."))
        .into_iter()
        .fold(answer, Answer::event);
    let upstream = Upstream::start(answer.stall()).await;
    let proxy = Proxy::start(config(&upstream).stream(SMALL));
    let mut client = proxy.connect().await;
    let answer = client.chat(chat("hi", true)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let said = answer.content();
    assert!(before.starts_with(&said) && !said.is_empty(), "{said:?}");
    let events = answer.events();
    assert_eq!(reasons(&events), [(0, "content_filter".to_owned())]);
    let [.., end, done] = &events[..] else { panic!("{events:?}") };
    let end: Value = serde_json::from_str(end).expect("JSON");
    assert_eq!((&end["id"], &end["model"], done.as_str()), (&json!("chatcmpl-1"), &json!("m"), "[DONE]"));
    assert_eq!(end["choices"][0]["delta"], json!({}));
    assert!(answer.text().ends_with("data: [DONE]\n\n"));
    upstream.hung_up(1).await;
    let cut = proxy.audited(1, |line| line["outcome"] == "cut").await;
    assert_eq!(cut[0]["code"], "content_policy_violation");
    let blocked = proxy.audited(1, |line| line["outcome"] == "blocked").await;
    assert_eq!((&blocked[0]["stage"], &blocked[0]["applied"][0]["label"]), (&json!("output"), &json!("secret")));
    proxy.counted("portcullis_cuts_total{route=\"chat\",code=\"content_policy_violation\"}", 1.0).await;
    proxy.counted("portcullis_exchanges_total{route=\"chat\",outcome=\"blocked\"}", 1.0).await;
    // The client's connection is as good as before.
    assert_eq!(client.request("GET", "/nowhere", &[], "").await.status, 404);
}

#[tokio::test]
async fn a_block_before_anything_has_left_is_an_error() {
    let whole = Answer::events(pieces(&format!("the {PHRASE} away")).into_iter().chain([last_chunk("stop")]));
    let upstream = Upstream::start(whole).await;
    for stream in ["window = \"all\"", "window = 200"] {
        let proxy = Proxy::start(config(&upstream).stream(stream));
        let refused = proxy.chat(chat("hi", true)).await;
        assert_eq!((refused.status, refused.code().as_str()), (400, "content_policy_violation"), "{stream}");
    }
}

#[tokio::test]
async fn redaction_reaches_over_events() {
    let text = "Write to anna@example.org or to bob@example.net, and then wait for a good while. Or don't.";
    let answer = Answer::events(pieces(text).into_iter().chain([last_chunk("stop")]));
    let upstream = Upstream::start(answer).await;
    let proxy = Proxy::start(config(&upstream).stream(SMALL));
    let answer = proxy.chat(chat("hi", true)).await;
    let expected = text.replace("anna@example.org", "[REDACTED:email]").replace("bob@example.net", "[REDACTED:email]");
    assert_eq!(answer.content(), expected);
    assert_eq!(reasons(&answer.events()), [(0, "stop".to_owned())]);
    assert!(!answer.text().contains("exa"), "{}", answer.text());
}

#[tokio::test]
async fn tool_calls_and_the_end_wait_for_the_last_verdict() {
    let cue = Cue::new();
    let call = |function: Value| {
        delta(0, json!({"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": function}]}))
    };
    let answer = Answer::stream()
        .event(chunk("Words that come first, and that may leave as soon as they are judged, with more after them."))
        .event(call(json!({"name": "send", "arguments": "{\"to\":\"nobody at all, "})))
        .event(call(json!({"arguments": "whoever that may be, and nobody else\"}"})))
        .event(finish(0, "tool_calls"))
        .event(json!({"id": "chatcmpl-1", "choices": [], "usage": {"total_tokens": 3}}).to_string())
        .wait(&cue)
        .done();
    let upstream = Upstream::start(answer).await;
    let proxy = Proxy::start(config(&upstream).stream(SMALL));
    let mut client = proxy.connect().await;
    let mut stream = client.open_chat(chat("hi", true)).await;
    let early = stream.until("come first").await;
    assert!(!early.contains("tool_calls"));
    held_back(&proxy, &mut stream).await;
    cue.give();
    let late = stream.rest().await;
    let order = ["nobody at all", "whoever", "\"finish_reason\":\"tool_calls\"", "total_tokens", "[DONE]"]
        .map(|mark| late.find(mark));
    assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{late}");
}

#[tokio::test]
async fn tool_arguments_are_judged_across_events_and_escapes() {
    let call = |arguments: &str| delta(0, json!({"tool_calls": [{"index": 0, "function": {"arguments": arguments}}]}));
    let events = [call("{\"q\":\"blue b"), call("\\u0069"), call("rd flies\"}"), finish(0, "tool_calls")];
    let upstream = Upstream::start(Answer::events(events)).await;
    let proxy = Proxy::start(config(&upstream).stream(SMALL));
    assert_eq!(proxy.chat(chat("hi", true)).await.code(), "content_policy_violation");
}

#[tokio::test]
async fn every_choice_and_channel_is_judged_on_its_own() {
    let say = |index: u32, text: &str| delta(index, json!({"content": text}));
    // Two choices that make the phrase only when they are mixed up.
    let mut mixed = Answer::stream();
    for _ in 0..8 {
        mixed = mixed.event(say(0, "blue ")).event(say(1, "bird ")).event(say(0, "flies "));
    }
    let mixed = mixed.event(finish(0, "stop")).event(finish(1, "length")).done();
    let filler = "This is fine and may leave after some time, as all the others. ";
    let mut second = Answer::stream();
    for word in ["blue ", "bird ", "flies ", "off and away"] {
        second = second.event(say(0, filler)).event(say(1, word)).event(delta(2, json!({"reasoning_content": filler})));
    }
    let upstream = Upstream::scripted(vec![mixed, second.stall()]).await;
    let proxy = Proxy::start(config(&upstream).stream(SMALL));
    let mut client = proxy.connect().await;
    let answer = client.chat(chat("hi", true)).await;
    assert_eq!(reasons(&answer.events()), [(0, "stop".to_owned()), (1, "length".to_owned())]);
    let answer = client.chat(chat("hi", true)).await;
    let filtered = |index| (index, "content_filter".to_owned());
    assert_eq!(reasons(&answer.events()), [filtered(0), filtered(1), filtered(2)], "{}", answer.text());
    assert!(!answer.text().contains("blue"), "{}", answer.text());
    upstream.hung_up(1).await;
}

#[tokio::test]
async fn heartbeats_come_after_the_header_only_and_keep_no_dead_upstream() {
    let upstream = Upstream::scripted(vec![Answer::stream().event(chunk("few")).stall(), begun().stall()]).await;
    // A heartbeat comes after 10 s.
    let proxy = Proxy::start(config(&upstream).stream(SMALL).upstream("idle_timeout = \"12s\""));
    let (mut silent, mut spoken) = (proxy.connect().await, proxy.connect().await);
    let head = [("content-type", "application/json")];
    silent.send(support::client::request("POST", "/v1/chat/completions", &head, chat("hi", true))).await;
    upstream.received(1).await;
    let mut stream = spoken.open_chat(chat("hi", true)).await;
    assert!(stream.until("A few").await.starts_with("data: "));
    tokio::select! {
        biased;
        head = silent.open() => panic!("a header without a verdict: {}", head.head.raw),
        beat = stream.piece() => assert_eq!(beat.as_deref(), Some(": \n\n")),
    }
    let refused = silent.response().await;
    assert_eq!((refused.status, refused.code().as_str()), (504, "upstream_timeout"));
    let end = within("the stream's end", stream.rest()).await;
    assert!(end.contains("upstream_timeout") && end.ends_with("data: [DONE]\n\n"), "{end}");
    upstream.hung_up(2).await;
}

#[tokio::test]
async fn failures_of_the_upstream_are_told_in_the_stream() {
    let cue = Cue::new();
    let begun = || begun().wait(&cue);
    let error =
        json!({"error": {"message": "the server is on fire", "type": "server_error", "code": "fire"}}).to_string();
    let cases = [
        // It says so itself: its words are judged and passed on.
        (begun().event(&error).end(), "fire", "passed"),
        (begun().event(&error).done(), "fire", "passed"),
        // It breaks off in all the ways that there are.
        (begun().reset(), "upstream_unavailable", "upstream"),
        (begun().close(), "upstream_unavailable", "upstream"),
        (begun().send("zz\r\n").close(), "upstream_unavailable", "upstream"),
        (begun().end(), "upstream_invalid_response", "upstream"),
        (begun().event("{\"choices\":[").done(), "upstream_invalid_response", "upstream"),
        (begun().event("{\"choices\":[],\"choices\":[]}").done(), "upstream_invalid_response", "upstream"),
        (begun().chunk(b"data: \xff\n\n").done(), "upstream_invalid_response", "upstream"),
        (begun().event(delta(0, json!({"audio": {"data": "AAAA"}}))).done(), "upstream_invalid_response", "upstream"),
        (begun().event(delta(0, json!({"conTENT": "x"}))).done(), "upstream_invalid_response", "upstream"),
        (begun().event(chunk(&"x".repeat(20_000))).done(), "answer_too_large", "upstream"),
    ];
    let (mut script, mut told) = (Vec::new(), Vec::new());
    for (answer, code, ending) in cases {
        script.push(answer);
        told.push((code, ending));
    }
    let upstream = Upstream::scripted(script).await;
    let proxy = Proxy::start(config(&upstream).stream(SMALL).section("[limits]\nmax_event = \"16 KiB\""));
    let mut client = proxy.connect().await;
    for (index, (code, ending)) in told.iter().enumerate() {
        let exchanges = format!("portcullis_exchanges_total{{route=\"chat\",outcome=\"{ending}\"}}");
        let before = proxy.metric(&exchanges).await;
        let mut stream = client.open_chat(chat("hi", true)).await;
        assert_eq!(stream.status, 200, "{index}");
        let early = stream.until("A few").await;
        cue.give();
        let text = early + &stream.rest().await;
        let events = events(&text);
        let [.., error, done] = &events[..] else { panic!("{index}: {events:?}") };
        let error: Value = serde_json::from_str(error).expect("JSON");
        assert_eq!((error["error"]["code"].as_str(), done.as_str()), (Some(*code), "[DONE]"), "{index}: {events:?}");
        assert!(text.ends_with("data: [DONE]\n\n") && reasons(&events).is_empty(), "{index}");
        proxy.counted(&exchanges, before + 1.0).await;
    }
    // The audit has the same codes.
    told.retain(|(_, ending)| *ending == "upstream");
    let cuts = proxy.audited(told.len(), |line| line["outcome"] == "cut").await;
    let cuts: Vec<_> = cuts.iter().map(|line| line["code"].as_str().expect("a code")).collect();
    assert_eq!(cuts, told.iter().map(|(code, _)| *code).collect::<Vec<_>>());
}

#[tokio::test]
async fn failures_before_the_first_verdict_are_answers_of_their_own() {
    let few = || Answer::stream().event(chunk("few"));
    let cases = [
        (few().reset(), 502, "upstream_unavailable"),
        (few().end(), 502, "upstream_invalid_response"),
        (Answer::stream().chunk("data: {\n\n").done(), 502, "upstream_invalid_response"),
        (
            Answer::head(
                200,
                &[("content-type", "text/event-stream"), ("content-encoding", "gzip"), ("content-length", "1")],
            )
            .send("x"),
            502,
            "upstream_invalid_response",
        ),
        (Answer::head(503, &[("content-type", "text/event-stream"), ("content-length", "0")]), 503, "upstream_error"),
    ];
    let (mut script, mut told) = (Vec::new(), Vec::new());
    for (answer, status, code) in cases {
        script.push(answer);
        told.push((status, code));
    }
    let upstream = Upstream::scripted(script).await;
    let proxy = Proxy::start(config(&upstream).stream(SMALL));
    let mut client = proxy.connect().await;
    for (index, (status, code)) in told.into_iter().enumerate() {
        let refused = client.chat(chat("hi", true)).await;
        assert_eq!((refused.status, refused.code().as_str()), (status, code), "{index}: {}", refused.text());
    }
}

#[tokio::test]
async fn odd_streams_come_out_in_the_one_plain_form() {
    let odd = "\u{feff}: comment\r\nid: 7\r\nretry: 1\r\nevent: chunk\rdata: {\"choices\":[{\"index\":0,\r\ndata:\"delta\":{\"content\":\"a\u{2028}b\"}}]}\n\r\n\
        event: nothing\n\n: \n\ndata:{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}";
    let plain = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\\u2028b\"}}]}\n\n\
        data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let script = vec![
        Answer::stream().chunk(odd).end(),
        Answer::stream().chunk(format!("{odd}\n\ndata: [DONE]\n\ndata: {}\n\n", chunk("after the end"))).end(),
        Answer::head(200, &[("content-type", "Text/Event-Stream; charset=utf-8")]).send(format!("{odd}\n\n")).close(),
    ];
    let count = script.len();
    let upstream = Upstream::scripted(script).await;
    let proxy = Proxy::start(config(&upstream));
    for _ in 0..count {
        let answer = proxy.chat(chat("hi", true)).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, plain));
        assert_eq!(answer.head.header("content-type"), Some("text/event-stream"));
    }
}

#[tokio::test]
async fn what_is_held_has_a_limit() {
    let many = || (0..64).map(|_| chunk(&"word ".repeat(20)));
    let begun = Answer::stream().event(chunk(&"word ".repeat(20))).event(chunk("x"));
    let call = |arguments: &str| delta(0, json!({"tool_calls": [{"index": 0, "function": {"arguments": arguments}}]}));
    let calls = (0..64).fold(begun, |answer, _| answer.event(call(&"word ".repeat(20))));
    let huge = Answer::stream().event(chunk(&"word ".repeat(10_000)));
    let whole = Answer::json(support::completion(&"word ".repeat(10_000)));
    let upstream = Upstream::scripted(vec![
        Answer::events(many().chain([last_chunk("stop")])),
        calls.stall(),
        huge.done(),
        whole,
        Answer::events(many().chain([last_chunk("stop")])),
    ])
    .await;
    let limits = "max_hold = \"1h\"\nmax_held = \"8 KiB\"\nlookahead = 16\n";
    let all = Proxy::start(config(&upstream).stream(&format!("{limits}window = \"all\"")));
    let refused = all.chat(chat("hi", true)).await;
    assert_eq!((refused.status, refused.code().as_str()), (502, "answer_too_large"));
    let some = Proxy::start(
        config(&upstream).stream(&format!("{limits}window = 50")).section("[limits]\nmax_event = \"16 KiB\""),
    );
    let cut = some.chat(chat("hi", true)).await;
    let events = cut.events();
    assert!(cut.status == 200 && events[events.len() - 2].contains("answer_too_large"), "{events:?}");
    assert_eq!(some.chat(chat("hi", true)).await.code(), "answer_too_large");
    assert_eq!(some.chat(chat("hi", false)).await.code(), "answer_too_large");
    // More than may be held goes through where verdicts free it.
    let answer = some.chat(chat("hi", true)).await;
    assert_eq!(answer.content(), "word ".repeat(20 * 64));
}

#[tokio::test]
async fn chunking_changes_nothing() {
    let text = format!("Of the sea. Ask anna@example.org \u{1f600}. {}", "And so on, and on; é. ".repeat(4));
    let mut stream = format!("data: {}\r\n\r\n: c\n\n", delta(0, json!({"role": "assistant", "content": ""})));
    for (at, piece) in text.chars().collect::<Vec<_>>().chunks(5).enumerate() {
        let piece: String = piece.iter().collect();
        let end = ["\n\n", "\r\n\r\n", "\r\r"][at % 3];
        stream.push_str(&format!("data: {}{end}", delta((at / 7 % 2) as u32, json!({"content": piece}))));
    }
    stream.push_str(&format!("data: {}\n\ndata: {}\n\ndata: [DONE]\n\n", finish(0, "stop"), finish(1, "stop")));
    let cuts = |sizes: &[usize]| {
        let (mut answer, mut rest, mut sizes) = (Answer::stream(), stream.as_bytes(), sizes.iter().cycle());
        while !rest.is_empty() {
            let size = *sizes.next().expect("a cycle");
            let (piece, after) = rest.split_at(size.min(rest.len()));
            answer = answer.chunk(piece).sleep(Duration::ZERO);
            rest = after;
        }
        answer.end()
    };
    let sizes: [&[usize]; 5] = [&[usize::MAX], &[1], &[2, 3], &[97, 1, 13], &[500]];
    let upstream = Upstream::scripted(sizes.iter().map(|sizes| cuts(sizes)).collect()).await;
    let proxy = Proxy::start(config(&upstream).stream(SMALL));
    let mut client = proxy.connect().await;
    let whole = client.chat(chat("hi", true)).await;
    assert!(whole.status == 200 && whole.text().contains("REDACTED") && !whole.text().contains("example"));
    for sizes in &sizes[1..] {
        assert_eq!(client.chat(chat("hi", true)).await.text(), whole.text(), "{sizes:?}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_upstream() {
    const MOST: usize = 256 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let sending = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.expect("the proxy");
        let mut request = [0; 4096];
        let _ = socket.read(&mut request).await.expect("a request");
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
        socket.write_all(head.as_bytes()).await.expect("write");
        let event = format!("data: {}\n\n", chunk(&"word ".repeat(2000))).repeat(16);
        let mut sent = 0;
        // A write that takes so long is one that waits for the other side.
        while sent < MOST {
            match tokio::time::timeout(Duration::from_secs(2), socket.write_all(event.as_bytes())).await {
                Ok(written) => written.expect("write"),
                Err(_) => return (sent, socket),
            }
            sent += event.len();
        }
        (sent, socket)
    });
    let words = format!("[patterns.words]\nsecret = [{PHRASE:?}]\n[actions]\nsecret = \"block\"");
    let proxy = Proxy::start(Config::new(address).guardrail("words", &guard(&words)));
    let mut client = proxy.connect().await;
    let mut stream = client.open_chat(chat("hi", true)).await;
    stream.until("word").await;
    let (sent, mut socket) = sending.await.expect("no panic");
    // What the kernel buffers on both connections, and some; far from all.
    assert!(sent < 64 << 20, "{sent} bytes went into the proxy");
    assert!(proxy.metric("portcullis_held_bytes").await <= f64::from(3 << 20));
    assert!(proxy.memory() < 512 << 20);
    // Gone, it takes the upstream with it.
    drop(client);
    let mut rest = Vec::new();
    let _ = within("the proxy hangs up", socket.read_to_end(&mut rest)).await;
}

#[tokio::test]
async fn a_client_that_hangs_up_cancels_the_upstream() {
    let upstream = Upstream::scripted(vec![
        begun().stall(),
        Answer::stream().event(chunk("few")).stall(),
        Answer::default().stall(),
    ])
    .await;
    let proxy = Proxy::start(config(&upstream).stream(SMALL));
    let mut client = proxy.connect().await;
    client.open_chat(chat("hi", true)).await.until("A few").await;
    drop(client);
    upstream.hung_up(1).await;
    for hung_up in 2..4 {
        let mut client = proxy.connect().await;
        client
            .send(support::client::request(
                "POST",
                "/v1/chat/completions",
                &[("content-type", "application/json")],
                chat("hi", true),
            ))
            .await;
        upstream.received(hung_up).await;
        drop(client);
        upstream.hung_up(hung_up).await;
    }
    proxy.counted("portcullis_exchanges_total{route=\"chat\",outcome=\"abandoned\"}", 3.0).await;
    proxy.counted("portcullis_open_exchanges", 0.0).await;
    proxy.counted("portcullis_held_bytes", 0.0).await;
}

#[tokio::test]
async fn log_probabilities_leave_with_their_text_or_not_at_all() {
    let token = |text: &str| json!({"token": text, "logprob": -0.5, "bytes": text.as_bytes(), "top_logprobs": []});
    let event = |text: &str| {
        let choice = json!({"index": 0, "delta": {"content": text}, "logprobs": {"content": [token(text)]}, "finish_reason": null});
        json!({"id": "c", "choices": [choice]}).to_string()
    };
    let answer =
        Answer::events([event("Write to "), event("anna@example.org"), event(" and wait"), last_chunk("stop")]);
    let upstream = Upstream::start(answer).await;
    let proxy = Proxy::start(config(&upstream));
    let answer = proxy.chat(chat("hi", true)).await;
    let logprobs: Vec<Value> = answer
        .events()
        .iter()
        .filter_map(|data| serde_json::from_str::<Value>(data).ok())
        .map(|chunk| chunk["choices"][0]["logprobs"]["content"][0]["token"].clone())
        .collect();
    assert_eq!(logprobs, [json!("Write to "), Value::Null, json!(" and wait"), Value::Null]);
    assert_eq!(content(&events(&answer.text())), "Write to [REDACTED:email] and wait");
}

#[tokio::test]
async fn what_a_chunk_says_again_beside_its_piece_does_not_leave() {
    let mut said = String::new();
    let chunks = ["Write to ", "anna@exam", "ple.org", " and wait"].map(|piece| {
        said += piece;
        let message = json!({"role": "assistant", "content": said});
        let choice = json!({"index": 0, "delta": {"content": piece}, "message": message, "finish_reason": null});
        json!({"id": "chatcmpl-1", "choices": [choice]}).to_string()
    });
    let upstream = Upstream::start(Answer::events(chunks.into_iter().chain([last_chunk("stop")]))).await;
    let text = Proxy::start(config(&upstream)).chat(chat("hi", true)).await.text();
    assert_eq!(content(&events(&text)), "Write to [REDACTED:email] and wait");
    assert!(!text.contains("anna") && !text.contains("message"), "{text}");
}
