//! Answers: what they are is what their bytes say; errors are judged like any other; of the end of a stream there is one; and
//! headers say what their names say.

mod support;

use support::{Answer, Config, Proxy, Upstream, chat, chunk, completion, last_chunk};

fn guarded(upstream: &Upstream) -> Proxy {
    let config = Config::new(upstream.address()).block("\"input\", \"output\"", &["forbidden"]);
    Proxy::start(config.stream("window = 8\nlookahead = 16\nmax_hold = \"1h\""))
}

#[tokio::test]
async fn an_answer_of_another_form_is_judged_or_refused() {
    let sse = |data: &str| format!("data: {data}\n\ndata: [DONE]\n\n");
    let body = |kind: &'static str, body: String| Answer::whole(200, kind, body);
    let cases = [
        // JSON where a stream was asked for, and the other way round.
        ("JSON, judged", true, body("application/json", completion("fine")), 200),
        ("JSON, forbidden", true, body("application/json", completion("forbidden")), 400),
        ("a stream, judged", false, Answer::events([chunk("fine"), last_chunk("stop")]), 200),
        ("a stream, forbidden", false, Answer::events([chunk("forbidden"), last_chunk("stop")]), 400),
        // A type that is not what the bytes are.
        ("a stream that says JSON", true, body("application/json", sse(&chunk("CANARY"))), 502),
        ("JSON that says stream", true, body("text/event-stream", completion("CANARY")), 502),
        ("lines that say JSON", true, body("application/json", format!("{0}\n{0}\n", chunk("CANARY"))), 502),
        ("lines", true, body("application/x-ndjson", format!("{0}\n{0}\n", chunk("CANARY"))), 502),
        ("binary events", true, body("application/vnd.amazon.eventstream", "\0\0\0\u{10}CANARY".into()), 502),
        ("an array, forbidden", false, body("application/json", format!("[{}]", completion("forbidden"))), 400),
        ("no JSON", false, body("application/json", "CANARY".into()), 502),
        ("another charset, forbidden", false, body("application/json; charset=utf-16", completion("forbidden")), 400),
        (
            "JSON with a mark before it",
            false,
            body("application/json", format!("\u{feff}{}", completion("CANARY"))),
            502,
        ),
        (
            "twice the same key",
            false,
            body("application/json", completion("CANARY").replace("\"model\"", "\"id\"")),
            502,
        ),
        ("a lone surrogate", false, body("application/json", completion("CANARY@").replace('@', "\\ud800")), 502),
    ];
    let upstream = Upstream::scripted(cases.iter().map(|(_, _, answer, _)| answer.clone()).collect()).await;
    let proxy = guarded(&upstream);
    for (name, streams, _, status) in &cases {
        let answer = proxy.connect().await.chat(chat("hi", *streams)).await;
        assert_eq!(answer.status, *status, "{name}: {}", answer.text());
        assert!(!answer.text().contains("CANARY") && !answer.text().contains("forbidden"), "{name}: {}", answer.text());
    }
}

#[tokio::test]
async fn errors_are_judged_as_answers_are() {
    let error = |status: u16, message: &str| {
        let body = serde_json::json!({"error": {"message": message, "type": "forbidding", "param": null, "code": "c"}});
        Answer::whole(status, "application/json", body.to_string())
    };
    let in_stream = |message: &str| {
        let data = serde_json::json!({"error": {"message": message, "type": "server_error"}}).to_string();
        Answer::stream().event(chunk("A few words that are fine, and some more of them. ")).event(data).end()
    };
    let upstream = Upstream::scripted(vec![
        error(400, "your prompt was: forbidden"),
        error(500, "forbidden"),
        error(429, "slow down"),
        in_stream("you said forbidden"),
        in_stream("overloaded"),
    ])
    .await;
    let proxy = guarded(&upstream);
    for status in [400, 500] {
        let answer = proxy.connect().await.chat(chat("hi", false)).await;
        assert_eq!((answer.status, &*answer.code()), (400, "content_policy_violation"), "of {status}");
        assert!(!answer.text().contains("forbidden"));
    }
    assert_eq!(proxy.connect().await.chat(chat("hi", false)).await.status, 429);
    let answer = proxy.connect().await.chat(chat("hi", true)).await;
    assert!(!answer.text().contains("forbidden"), "{}", answer.text());
    let answer = proxy.connect().await.chat(chat("hi", true)).await;
    assert!(answer.text().contains("overloaded"), "{}", answer.text());
}

#[tokio::test]
async fn a_stream_ends_once() {
    let fine = || Answer::stream().event(chunk("one two")).event(last_chunk("stop"));
    let ends = [
        ("in order", fine().event("[DONE]").end(), true),
        ("without its word", fine().end(), true),
        ("text behind it", fine().event("[DONE]").event(chunk("CANARY")).end(), true),
        ("twice", fine().event("[DONE]").event("[DONE]").end(), true),
        ("bytes behind it", fine().event("[DONE]").chunk("CANARY").end(), true),
        ("more in its word", fine().event("[DONE] CANARY").end(), false),
        ("in other case", fine().event("[done]").end(), false),
        ("a blank before it", fine().chunk("data:  [DONE]\n\n").end(), false),
        ("no JSON", fine().event("CANARY").end(), false),
        ("two values", fine().event(format!("{0}{0}", chunk("CANARY"))).end(), false),
        ("cut off", Answer::stream().event(chunk("one two")).close(), false),
    ];
    let upstream = Upstream::scripted(ends.iter().map(|(_, answer, _)| answer.clone()).collect()).await;
    let proxy = guarded(&upstream);
    for (name, _, whole) in &ends {
        let answer = proxy.connect().await.chat(chat("hi", true)).await;
        let text = answer.text();
        assert!(!text.contains("CANARY"), "{name}: {text}");
        if *whole {
            assert!(
                text.contains("\"finish_reason\":\"stop\"") && text.ends_with("\n\ndata: [DONE]\n\n"),
                "{name}: {text}"
            );
            assert_eq!((answer.content().as_str(), text.matches("[DONE]").count()), ("one two", 1), "{name}");
        } else {
            assert!(text.contains("\"error\""), "{name}: {text}");
        }
    }
}

#[tokio::test]
async fn headers_say_what_their_name_says_or_stay_behind() {
    const HEADERS: [(&str, &str, &str); 8] = [
        ("retry-after", "7", "forbidden"),
        ("retry-after-ms", "1500", "bob@example.com"),
        ("x-request-id", "req_e5cc70bb28c444948073e77776eb30ef", "a forbidden word"),
        ("openai-processing-ms", "412", "forbidden"),
        ("openai-version", "2020-10-01", "forbidden"),
        ("x-amzn-errortype", "ThrottlingException", "forbidden"),
        ("x-ratelimit-reset-tokens", "1m30s", "forbidden"),
        ("anthropic-ratelimit-requests-reset", "2025-10-21T07:28:00Z", "4111 1111 1111 1111"),
    ];
    let sound: Vec<_> = HEADERS.iter().map(|(name, sound, _)| (*name, *sound)).collect();
    let odd: Vec<_> = HEADERS.iter().map(|(name, _, odd)| (*name, *odd)).collect();
    for (headers, comes_back) in [(sound, true), (odd, false)] {
        for (status, body) in [(200, completion("fine")), (429, "{}".into()), (503, "busy".into())] {
            let kind = if status == 503 { "text/plain" } else { "application/json" };
            let length = body.len().to_string();
            let framed = [("content-type", kind), ("content-length", &*length)];
            let all: Vec<_> = framed.iter().chain(&headers).copied().collect();
            let upstream = Upstream::start(Answer::head(status, &all).send(body)).await;
            let answer = guarded(&upstream).chat(chat("hi", false)).await;
            assert_eq!(answer.status, status);
            for (name, value) in &headers {
                // With a message of ours comes when to try again.
                let expected = (comes_back && (status != 503 || *name == "retry-after")).then_some(*value);
                assert_eq!(answer.head.header(name), expected, "{status} {name}");
            }
        }
    }
}
