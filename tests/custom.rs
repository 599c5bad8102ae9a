//! Two APIs that are not built in, described as in examples/, through the proxy: refused, cut, redacted, annotated.

mod support;

use serde_json::{Value, json};
use support::config::{WORD, words};
use support::{Answer, Config, Proxy, Response, Upstream};

/// `[dialect.NAME]` of an example: all behind its routes.
fn dialect(example: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(example);
    let text = std::fs::read_to_string(path).expect("an example");
    let at = text.find("[dialect.").expect("a dialect at its end");
    text[at..].to_owned()
}

/// A proxy with one more route for each path, on a guardrail that looks for [`WORD`].
fn proxy(upstream: &Upstream, example: &str, paths: &[&str], guardrail: &str, more: &str) -> Proxy {
    start(upstream, &dialect(example), paths, guardrail, more)
}

fn start(upstream: &Upstream, dialect: &str, paths: &[&str], guardrail: &str, more: &str) -> Proxy {
    let name = dialect.split(['.', ']']).nth(1).expect("a name");
    let route = |path: &&str| {
        let id = path.replace('/', "-");
        format!(
            "[[route]]\nid = \"r{id}\"\npath = \"{path}\"\ndialect = \"{name}\"\nupstream = \"main\"\nguardrails = [\"words\"]\n{more}\n"
        )
    };
    let routes: String = paths.iter().map(route).collect();
    Proxy::start(Config::new(upstream.address()).guardrail("words", guardrail).section(dialect).section(&routes))
}

async fn post(proxy: &Proxy, path: &str, body: &Value) -> Response {
    proxy.connect().await.request("POST", path, &[("content-type", "application/json")], body.to_string()).await
}

/// Names and data of the events of an answer.
fn named(response: &Response) -> Vec<(String, Value)> {
    let text = response.text();
    let event = |event: &str| {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
        (field("event: "), serde_json::from_str(&field("data: ")).expect("JSON in each event"))
    };
    text.split("\n\n").filter(|event| !event.is_empty() && !event.starts_with(':')).map(event).collect()
}

/// All that is at a place of the events.
fn joined(events: &[(String, Value)], pointer: &str) -> String {
    events.iter().filter_map(|(_, event)| event.pointer(pointer)?.as_str()).collect()
}

const SMALL: &str = "[route.stream]\nwindow = 8\nlookahead = 16\nmax_hold = \"1h\"";

const SAID: &str = "A long beginning that may well leave, since it is all fine. Then a bluebird flies, and more.";

/// A few letters at a time: the word is split, and what stands before it may leave.
fn pieces(text: &str) -> Vec<&str> {
    text.as_bytes().chunks(5).map(|piece| std::str::from_utf8(piece).expect("ASCII")).collect()
}

mod cohere {
    use super::*;

    const TEXT: &str = "/delta/message/content/text";

    fn event(kind: &str, more: Value) -> String {
        let mut event = json!({ "type": kind });
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        format!("event: {kind}\ndata: {event}\n\n")
    }

    /// A stream that says `text`, without its end.
    fn begun(text: &str) -> Answer {
        let start = json!({"id": "c14c80c3-18eb-4519-9460-6c92edd8cfb4", "delta": {"message": {"role": "assistant", "content": []}}});
        let block = json!({"index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}});
        let answer = Answer::stream().chunk(event("message-start", start)).chunk(event("content-start", block));
        pieces(text).into_iter().fold(answer, |answer, text| {
            let piece = json!({"index": 0, "delta": {"message": {"content": {"text": text}}}});
            answer.chunk(event("content-delta", piece))
        })
    }

    fn ended(text: &str) -> Answer {
        let usage = json!({"billed_units": {"input_tokens": 5, "output_tokens": 7}});
        begun(text)
            .chunk(event("content-end", json!({"index": 0})))
            .chunk(event("message-end", json!({"delta": {"finish_reason": "COMPLETE", "usage": usage}})))
            .end()
    }

    fn whole(text: &str) -> Value {
        json!({"id": "c14c80c3-18eb-4519-9460-6c92edd8cfb4", "finish_reason": "COMPLETE",
            "message": {"role": "assistant", "content": [{"type": "text", "text": text}]},
            "logprobs": [{"text": text, "token_ids": [1]}]})
    }

    fn asks(text: &str, stream: bool) -> Value {
        json!({"model": "command-a-03-2025", "stream": stream, "messages": [{"role": "user", "content": text}]})
    }

    async fn run(answer: Answer, guardrail: &str, more: &str) -> (Upstream, Proxy) {
        let upstream = Upstream::start(answer).await;
        let proxy = proxy(&upstream, "cohere.toml", &["/v2/chat"], guardrail, more);
        (upstream, proxy)
    }

    #[tokio::test]
    async fn a_prompt_is_refused_wherever_the_word_stands() {
        let (upstream, proxy) = run(ended("fine"), &words("\"input\"", "block", ""), "").await;
        let messages = json!([{"role": "user", "content": "hi"}]);
        for body in [
            asks(WORD, false),
            asks(WORD, true),
            json!({"model": "m", "messages": [{"role": "user", "content": "blue"}, {"role": "user", "content": "bird"}]}),
            json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "blue"}, {"type": "text", "text": "bird"}]}]}),
            json!({"model": "m", "messages": messages, "documents": [{"data": {"x": WORD}}]}),
            json!({"model": "m", "messages": messages, "tools": [{"type": "function", "function": {"description": WORD}}]}),
            json!({"model": "m", "messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": "{\"q\":\"blue\\u0062ird\"}"}}]}]}),
            json!({"model": "m", "messages": messages, "new": {"as": [{"yet": WORD}]}}),
            json!({"model": "m", "messages": messages, "safety_mode": WORD}),
        ] {
            let refused = post(&proxy, "/v2/chat", &body).await;
            assert_eq!(refused.status, 400, "{body}");
            let error = refused.json();
            assert!(
                error["message"].is_string() && error["id"].is_string() && !error.to_string().contains(WORD),
                "{error}"
            );
        }
        for body in [
            json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}),
            json!({"model": "m", "messages": messages, "prompt_tokens": [1, 2]}),
            json!({"model": "m", "Messages": messages}),
            json!({"model": "m", "messages": [{"role": "root", "content": "x"}]}),
        ] {
            assert_eq!(post(&proxy, "/v2/chat", &body).await.status, 400, "{body}");
        }
        assert!(upstream.requests().is_empty());
        assert_eq!(post(&proxy, "/v2/chat", &asks("hi", true)).await.status, 200);
    }

    #[tokio::test]
    async fn what_is_fine_passes_as_it_came() {
        let (upstream, proxy) =
            run(ended(&SAID.replace("bluebird", "robin")), &words("\"input\", \"output\"", "block", ""), "").await;
        let body = asks("hi", true);
        let answer = post(&proxy, "/v2/chat", &body).await;
        assert_eq!((answer.status, answer.head.header("content-type")), (200, Some("text/event-stream")));
        let events = named(&answer);
        assert!(events.iter().all(|(name, event)| event["type"] == **name), "each event has its name");
        assert_eq!(joined(&events, TEXT), SAID.replace("bluebird", "robin"));
        assert_eq!(events.last().unwrap().1["delta"]["usage"]["billed_units"]["output_tokens"], 7);
        assert_eq!(upstream.request().json(), body);
    }

    #[tokio::test]
    async fn a_stream_is_cut_as_its_clients_read_it() {
        let (_upstream, proxy) = run(begun(SAID).stall(), &words("\"output\"", "block", ""), SMALL).await;
        let answer = post(&proxy, "/v2/chat", &asks("hi", true)).await;
        let events = named(&answer);
        let said = joined(&events, TEXT);
        assert!(!said.is_empty() && SAID.starts_with(&said) && !said.contains("blue"), "{said:?}");
        let (name, end) = events.last().unwrap();
        assert_eq!((name.as_str(), &end["delta"]["finish_reason"]), ("message-end", &json!("ERROR")));
        assert!(end["delta"]["error"].as_str().unwrap().contains("blocked"));
    }

    #[tokio::test]
    async fn a_stream_that_breaks_off_ends_in_an_error() {
        let (_upstream, proxy) = run(begun(&SAID[..40]).end(), &words("\"output\"", "block", ""), SMALL).await;
        let events = named(&post(&proxy, "/v2/chat", &asks("hi", true)).await);
        assert_eq!(events.last().unwrap().1["delta"]["finish_reason"], "ERROR");
    }

    #[tokio::test]
    async fn texts_are_redacted_in_place() {
        let (upstream, proxy) = run(ended(SAID), &words("\"input\", \"output\"", "redact", ""), SMALL).await;
        let events = named(&post(&proxy, "/v2/chat", &asks(&format!("a {WORD}!"), true)).await);
        assert_eq!(joined(&events, TEXT), SAID.replace(WORD, "[REDACTED:secret]"));
        assert_eq!(events.last().unwrap().0, "message-end");
        assert_eq!(upstream.request().json(), asks("a [REDACTED:secret]!", true));

        let (_upstream, proxy) =
            run(Answer::json(whole(SAID).to_string()), &words("\"output\"", "redact", ""), "").await;
        let answer = post(&proxy, "/v2/chat", &asks("hi", false)).await.json();
        assert_eq!(answer["message"]["content"][0]["text"], SAID.replace(WORD, "[REDACTED:secret]"));
        assert!(answer.get("logprobs").is_none() && answer["finish_reason"] == "COMPLETE");
    }

    #[tokio::test]
    async fn a_finding_is_annotated() {
        let (_upstream, proxy) =
            run(Answer::json(whole(SAID).to_string()), &words("\"input\", \"output\"", "annotate", ""), "").await;
        let answer = post(&proxy, "/v2/chat", &asks(WORD, false)).await;
        assert_eq!((answer.status, answer.head.header("x-portcullis-decision")), (200, Some("annotate")));
        assert_eq!(answer.json()["message"]["content"][0]["text"], SAID);
    }

    #[tokio::test]
    async fn an_answer_is_refused() {
        let (_upstream, proxy) =
            run(Answer::json(whole(SAID).to_string()), &words("\"output\"", "block", ""), "").await;
        let answer = post(&proxy, "/v2/chat", &asks("hi", false)).await;
        assert!(answer.status != 200 && answer.json()["message"].is_string());
        assert!(!answer.text().contains(WORD));
    }

    #[tokio::test]
    async fn a_block_may_be_told_as_a_message() {
        let message = "on_block = { message = \"Not \\\"that\\\".\" }";
        let (_upstream, proxy) = run(ended("fine"), &words("\"input\"", "block", ""), message).await;
        let answer = post(&proxy, "/v2/chat", &asks(WORD, false)).await;
        assert_eq!((answer.status, &answer.json()["message"]["content"][0]["text"]), (200, &json!("Not \"that\".")));
        let events = named(&post(&proxy, "/v2/chat", &asks(WORD, true)).await);
        assert_eq!(joined(&events, TEXT), "Not \"that\".");
        assert!(events.iter().all(|(name, event)| event["type"] == **name));
    }
}

mod tgi {
    use super::*;

    const TEXT: &str = "/token/text";
    const PATHS: &[&str] = &["/generate", "/generate_stream"];

    fn token(text: &str, special: bool, whole: Option<&str>) -> Value {
        let details = whole.map(|_| json!({"finish_reason": "eos_token", "generated_tokens": 3, "seed": 7}));
        let token = json!({"id": 1, "text": text, "logprob": -0.5, "special": special});
        json!({"index": 1, "token": token, "top_tokens": [token], "generated_text": whole, "details": details})
    }

    /// Events as the API frames them, without a space.
    fn events(events: impl IntoIterator<Item = Value>) -> Answer {
        events.into_iter().fold(Answer::stream(), |answer, event| answer.chunk(format!("data:{event}\n\n")))
    }

    fn said(text: &str) -> Vec<Value> {
        pieces(text).into_iter().map(|text| token(text, false, None)).collect()
    }

    fn asks(text: &str) -> Value {
        json!({"inputs": text, "parameters": {"max_new_tokens": 20, "details": true}})
    }

    #[tokio::test]
    async fn what_is_said_again_is_what_was_written() {
        let all = said(SAID).into_iter().chain([token("</s>", true, Some(SAID))]);
        let upstream = Upstream::start(events(all).end()).await;
        let proxy = proxy(&upstream, "tgi.toml", PATHS, &words("\"output\"", "redact", ""), SMALL);
        let got = named(&post(&proxy, "/generate_stream", &asks("hi")).await);
        let masked = SAID.replace(WORD, "[REDACTED:secret]");
        let end = &got.last().unwrap().1;
        assert_eq!(joined(&got, TEXT), format!("{masked}</s>"));
        assert_eq!(end["generated_text"], masked);
        assert!(got.iter().all(|(_, event)| event.get("top_tokens").is_none()) && end["details"]["seed"] == 7);
    }

    #[tokio::test]
    async fn what_is_said_at_the_end_alone_is_judged() {
        let all = said("All is fine.").into_iter().chain([token("", false, Some("All is fine. A bluebird."))]);
        let upstream = Upstream::start(events(all).end()).await;
        for action in ["block", "redact"] {
            let proxy = proxy(&upstream, "tgi.toml", PATHS, &words("\"output\"", action, ""), SMALL);
            let answer = post(&proxy, "/generate_stream", &asks("hi")).await;
            assert!(!answer.text().contains(WORD), "{action}: {}", answer.text());
        }
    }

    #[tokio::test]
    async fn a_stream_is_cut() {
        let upstream = Upstream::start(events(said(SAID)).stall()).await;
        let proxy = proxy(&upstream, "tgi.toml", PATHS, &words("\"output\"", "block", ""), SMALL);
        let got = named(&post(&proxy, "/generate_stream", &asks("hi")).await);
        let text = joined(&got, TEXT);
        assert!(!text.is_empty() && SAID.starts_with(&text) && !text.contains("blue"), "{text:?}");
        assert_eq!(got.last().unwrap().1["error_type"], "content_policy_violation");
    }

    #[tokio::test]
    async fn whole_answers_are_refused_redacted_and_annotated() {
        let upstream = Upstream::start(Answer::json(json!({"generated_text": SAID}).to_string())).await;
        for (action, text) in [
            ("block", None),
            ("redact", Some(SAID.replace(WORD, "[REDACTED:secret]"))),
            ("annotate", Some(SAID.into())),
        ] {
            let proxy = proxy(&upstream, "tgi.toml", PATHS, &words("\"output\"", action, ""), "");
            let answer = post(&proxy, "/generate", &asks("hi")).await;
            let json = answer.json();
            assert_eq!(json["generated_text"].as_str().map(str::to_owned), text, "{action}");
            assert_eq!((text.is_none(), json["error"].is_string()), (answer.status != 200, answer.status != 200));
        }
    }

    #[tokio::test]
    async fn strict_refuses_and_lenient_judges() {
        let upstream =
            Upstream::start(Answer::json(json!({"generated_text": "fine", "new": "also"}).to_string())).await;
        let guardrail = words("\"input\", \"output\"", "block", "");
        let strict = dialect("tgi.toml");
        let lenient = strict.replace("strict = true", "strict = false");
        let new = json!({"inputs": "hi", "parameters": {"new": "fine"}});
        let proxy = start(&upstream, &strict, PATHS, &guardrail, "");
        let refused = post(&proxy, "/generate", &new).await;
        assert_eq!((refused.status, &refused.json()["error_type"]), (400, &json!("unsupported_content")));
        assert_eq!(post(&proxy, "/generate", &asks("hi")).await.status, 502, "the answer has something new");
        assert_eq!(post(&proxy, "/generate", &asks(WORD)).await.status, 400);

        let proxy = start(&upstream, &lenient, PATHS, &guardrail, "");
        let answer = post(&proxy, "/generate", &new).await;
        assert_eq!((answer.status, &answer.json()["new"]), (200, &json!("also")));
        let word = json!({"inputs": "hi", "parameters": {"new": WORD}});
        assert_eq!(post(&proxy, "/generate", &word).await.status, 400);
    }

    #[tokio::test]
    async fn a_block_may_be_told_as_a_message() {
        let upstream = Upstream::start(events(said("fine")).end()).await;
        let message = "on_block = { message = \"No.\" }";
        let proxy = proxy(&upstream, "tgi.toml", PATHS, &words("\"input\"", "block", ""), message);
        assert_eq!(post(&proxy, "/generate", &asks(WORD)).await.json()["generated_text"], "No.");
        let got = named(&post(&proxy, "/generate_stream", &asks(WORD)).await);
        assert_eq!((joined(&got, TEXT).as_str(), &got[0].1["generated_text"]), ("No.", &json!("No.")));
    }
}
