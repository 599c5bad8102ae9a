//! Runs of characters that nobody sees hide nothing, in a prompt, an answer or a stream; and texts that honestly have some
//! pass as they are.

mod support;

use serde_json::json;
use support::{Answer, Config, Proxy, Upstream, chat, chunk, completion, last_chunk};

/// What a reader doesn't see, and how often.
const RUNS: [(&str, usize); 5] =
    [("\u{200b}", 100), ("\u{200b}", 1_700), ("\u{200b}", 22_000), ("\u{1}", 66_000), ("\u{336}", 5_000)];

const FINE: &str = "So far all of this is fine, and so is what comes next. ";

/// Writing systems and emoji that need such characters.
const HONEST: [&str; 4] = [
    "👨\u{200d}👩\u{200d}👧\u{200d}👦 and ❤\u{fe0f} and 🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}. ",
    "می\u{200c}خواهم کتاب مُحَمَّد را بخوانم. ",
    "क्\u{200d}ष और नमस्ते हिन्दी में। ",
    "e\u{301}te\u{301} co\u{ad}op ",
];

/// Blocks a phrase, masks e-mail addresses, blocks card numbers, on both sides.
fn config(upstream: &Upstream) -> Config {
    let guard = |patterns: &str| {
        format!("stage = [\"input\", \"output\"]\non_error = \"block\"\ndeadline = \"5s\"\n{patterns}\n")
    };
    let words = "[patterns.words]\nphrase = [\"project bluebird\"]\n[actions]\nphrase = \"block\"";
    Config::new(upstream.address())
        .guardrail("words", &guard(words))
        .guardrail("cards", &guard("[patterns]\nbuiltin = [\"card\"]\n[actions]\ncard = \"block\""))
        .guardrail("pii", &guard("[patterns]\nbuiltin = [\"email\"]\n[actions]\nemail = \"redact\""))
        .stream("window = 64\nlookahead = 64\nmax_hold = \"1h\"")
}

/// A stream of this text, some characters an event.
fn stream(text: &str) -> Answer {
    let chars: Vec<char> = text.chars().collect();
    let pieces = chars.chunks(200).map(|piece| chunk(&piece.iter().collect::<String>()));
    Answer::events(pieces.chain([last_chunk("stop")]))
}

#[tokio::test]
async fn nothing_hides_in_a_prompt() {
    let upstream = Upstream::start(Answer::json(completion("fine"))).await;
    let proxy = Proxy::start(config(&upstream));
    let mut client = proxy.connect().await;
    for (sent, (unseen, count)) in RUNS.into_iter().enumerate() {
        let run = unseen.repeat(count);
        let refused = client.chat(chat(&format!("about project{run} bluebird"), false)).await;
        assert_eq!((refused.status, refused.code().as_str()), (400, "content_policy_violation"), "{count} {unseen:?}");
        assert_eq!(upstream.requests().len(), sent);
        let answer = client.chat(chat(&format!("to bob{run}@example.com, soon"), false)).await;
        assert_eq!(answer.status, 200, "{count} {unseen:?}: {}", answer.text());
        let arrived = upstream.requests()[sent].json();
        assert_eq!(arrived["messages"][0]["content"], "to [REDACTED:email], soon", "{count} {unseen:?}");
    }
    // Spelled as JSON inside of a string.
    for unseen in [r"\u200b", r"\\u200b"] {
        let arguments = format!("{{\"q\": \"project{} bluebird\"}}", unseen.repeat(20_000));
        let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}});
        let body = json!({"model": "m", "messages": [{"role": "assistant", "tool_calls": [call]}]});
        assert_eq!(client.chat(body.to_string()).await.code(), "content_policy_violation", "{unseen}");
    }
}

#[tokio::test]
async fn nothing_hides_in_an_answer() {
    for (unseen, count) in RUNS {
        let run = unseen.repeat(count);
        let upstream = Upstream::scripted(vec![
            Answer::json(completion(&format!("{FINE}about project{run} bluebird"))),
            Answer::json(completion(&format!("to bob{run}@example.com, soon"))),
        ])
        .await;
        let proxy = Proxy::start(config(&upstream));
        let refused = proxy.chat(chat("hi", false)).await;
        assert!(!refused.text().contains("bluebird"), "{count} {unseen:?}");
        let edited = proxy.chat(chat("hi", false)).await;
        assert_eq!(edited.json()["choices"][0]["message"]["content"], "to [REDACTED:email], soon");
    }
}

#[tokio::test]
async fn no_part_of_it_leaves_in_a_stream() {
    let fine = FINE.repeat(20);
    for (unseen, count) in RUNS {
        let run = unseen.repeat(count);
        let thirty = unseen.repeat(30);
        let card: String = "4111111111111111".chars().map(|digit| format!("{digit}{thirty}")).collect();
        let upstream = Upstream::scripted(vec![
            stream(&format!("{fine}About Project{run} bluebird and more. {FINE}")),
            stream(&format!("{fine}{card} it is. {FINE}")),
            stream(&format!("{fine}To BOB{run}@example.com. {FINE}")),
        ])
        .await;
        let proxy = Proxy::start(config(&upstream));
        for shown in ["About ", ""] {
            let cut = proxy.chat(chat("hi", true)).await;
            let content = cut.content();
            assert!(cut.text().contains("content_filter"), "{count} {unseen:?}: {content:?}");
            assert!(format!("{fine}{shown}").starts_with(&content), "{count} {unseen:?}: {content:?}");
            assert!(content.len() > fine.len() / 2, "{count} {unseen:?}: {content:?}");
        }
        let edited = proxy.chat(chat("hi", true)).await;
        assert_eq!(edited.content(), format!("{fine}To [REDACTED:email]. {FINE}"), "{count} {unseen:?}");
    }
}

#[tokio::test]
async fn honest_texts_pass_as_they_are() {
    for text in HONEST {
        let text = text.repeat(2_000 / text.len());
        let script = vec![Answer::json(completion(&text)), stream(&text)];
        let upstream = Upstream::scripted(script).await;
        let proxy = Proxy::start(config(&upstream));
        let sent = chat(&text, false);
        let answer = proxy.chat(&sent).await;
        assert_eq!((answer.status, answer.text()), (200, completion(&text)));
        assert_eq!(upstream.request().text(), sent);
        let answer = proxy.chat(chat(&text, true)).await;
        assert_eq!(answer.content(), text);
    }
}
