//! Dialects that a file describes: their mistakes, what of a body they find, and how their streams end.

mod bodies;
mod census;
mod mistakes;
mod streams;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use portcullis::config::{self, Config, ConfigError, Handling};
use portcullis::wire::custom::{Custom, Form};
use portcullis::wire::{AnswerCodec, Dialect, Event, Framing, WireError};
use serde_json::{Value as Json, json};

use crate::bodies::{cohere, tgi};

/// A sound dialect; each mistake replaces a piece of it.
const ACME: &str = r#"[server]
listen = ["127.0.0.1:8080"]

[upstream.acme]
url = "https://api.example.com"

[guardrail.pii]
stage = ["input", "output"]
on_error = "block"
patterns.builtin = ["email"]
actions = { email = "block" }

[[route]]
id = "chat"
path = "/chat"
dialect = "acme"
upstream = "acme"
guardrails = ["pii"]
on_block = { message = "No." }

[dialect.acme]
refusal = '{"error": {"message": "{message}", "code": "{code}"}}'

[dialect.acme.request]
model = "/model"
stream = { member = "/stream" }
turns = "/messages/*"
content = ["/messages/*/content", "/messages/*/content/*/text"]
system = ["/preamble"]
tools = ["/tools/*"]
numbers = ["/temperature"]
words = { "/mode" = ["fast", "slow"] }

[dialect.acme.answer]
choices = "/choices/*"
content = ["/choices/*/text", "/piece"]
numbers = ["/usage/tokens"]
strip = ["/choices/*/logprobs"]
words = { "/type" = ["begin", "piece", "end"] }
again = { "/whole" = "/piece" }

[dialect.acme.stream]
framing = "sse"
name = "/type"
last = ["/usage"]
end = ["/type=end"]
mark = "[DONE]"
cut = ['{"type": "end", "finish": "{finish}"}']

[dialect.acme.stream.order]
"/choices/*/text" = "/choices/*/part"

[dialect.acme.reply]
whole = '{"choices": [{"text": "{text}"}]}'
stream = ['{"type": "piece", "piece": "{text}"}', '{"type": "end"}']
"#;

fn load_text(main: &str) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("portcullis.toml");
    fs::write(&path, main).unwrap();
    let shown = |error: ConfigError| error.to_string().replace(&format!("{}/", dir.path().display()), "");
    config::load_with_env(&path, &|_| None).map_err(shown)
}

/// An example's own text.
fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    let root = env!("CARGO_MANIFEST_DIR");
    fs::read_to_string(path).unwrap().replace("\"../", &format!("\"{root}/"))
}

fn form(config: &Config) -> Arc<Form> {
    let Handling::Inspect { dialect: config::Dialect::Own(form), .. } = &config.routes[0].handling else {
        panic!("a dialect of the file")
    };
    Arc::clone(form)
}

fn dialect(text: &str) -> Custom {
    Custom::new(form(&load_text(text).unwrap_or_else(|error| panic!("{error}"))), 1000)
}

/// Pointers to every string and number.
fn leaves(json: &Json) -> Vec<String> {
    let below = |key: String, value: &Json| {
        leaves(value).into_iter().map(move |rest| format!("/{key}{rest}")).collect::<Vec<_>>()
    };
    match json {
        Json::String(_) | Json::Number(_) => vec![String::new()],
        Json::Array(items) => items.iter().enumerate().flat_map(|(at, item)| below(at.to_string(), item)).collect(),
        Json::Object(members) => members.iter().flat_map(|(key, value)| below(key.clone(), value)).collect(),
        _ => Vec::new(),
    }
}

fn run(dialect: &Custom, framing: Framing, chunks: &[&[u8]]) -> (Box<dyn AnswerCodec>, Vec<Event>, Option<WireError>) {
    let mut codec = dialect.answer(framing, 100_000);
    let (mut events, mut error) = (Vec::new(), None);
    for chunk in chunks {
        error = error.or(codec.push(chunk).err());
        events.extend(std::iter::from_fn(|| codec.next()));
    }
    error = error.or(codec.finish().err());
    events.extend(std::iter::from_fn(|| codec.next()));
    (codec, events, error)
}

fn stream(events: &[Json]) -> String {
    events.iter().map(|event| format!("data: {event}\n\n")).collect()
}

#[test]
fn what_the_apis_send_is_taken() {
    for api in [cohere(), tgi()] {
        let dialect = dialect(&example(api.example));
        let prompt = dialect.parse_request(api.request.to_string().into(), api.path).unwrap_or_else(|e| panic!("{e}"));
        assert!(prompt.streams());
        for body in &api.whole {
            let (_, events, error) = run(&dialect, Framing::Json, &[body.to_string().as_bytes()]);
            assert!(events.len() == 1 && error.is_none(), "{body}: {error:?}");
        }
        let (_, events, error) = run(&dialect, Framing::Sse, &[stream(&api.events).as_bytes()]);
        assert_eq!((events.len(), error), (api.events.len(), None), "{}", api.example);
        assert!(events.last().unwrap().last && !events[0].last);
    }
}

#[test]
fn a_dialect_goes_with_the_configuration_that_it_came_with() {
    let config = load_text(ACME).unwrap();
    let kept = Arc::downgrade(&form(&config));
    let codec = Custom::new(form(&config), 10).answer(Framing::Sse, 100);
    drop(config);
    assert!(kept.upgrade().is_some(), "an answer is still under way");
    drop(codec);
    assert!(kept.upgrade().is_none());
}

#[test]
fn strict_refuses_what_is_not_named() {
    let lenient = example("tgi.toml").replace("strict = true", "strict = false");
    let body = json!({"inputs": "x", "parameters": {"unheard_of": "y"}}).to_string();
    let answer = json!({"generated_text": "x", "unheard_of": "y"}).to_string();
    let (strict, lenient) = (dialect(&example("tgi.toml")), dialect(&lenient));
    let error = strict.parse_request(body.clone().into(), "/generate").err().expect("refused");
    assert!(error.to_string().starts_with("parameters.unheard_of: unsupported"), "{error}");
    assert!(run(&strict, Framing::Json, &[answer.as_bytes()]).2.is_some());
    let prompt = lenient.parse_request(body.into(), "/generate").unwrap();
    assert!(!prompt.streams() && prompt.segments().iter().any(|segment| segment.text.contains("y")));
    let (_, events, error) = run(&lenient, Framing::Json, &[answer.as_bytes()]);
    assert!(error.is_none() && events[0].texts.iter().any(|text| text.text == "y"));
    for numbers in [json!({"inputs": "x", "ids": [1, 2]}), json!({"inputs": [1, 2]})] {
        for dialect in [&strict, &lenient] {
            assert!(dialect.parse_request(numbers.to_string().into(), "/generate").is_err(), "{numbers}");
        }
    }
}

#[test]
fn roles_are_told_and_what_a_user_says_on_end_is_one_text() {
    let dialect = dialect(&example("cohere.toml"));
    let said = |messages: Json| {
        let body = json!({"model": "m", "messages": messages}).to_string();
        let prompt = dialect.parse_request(body.into(), "/v2/chat").map_err(|error| error.to_string())?;
        let shown =
            prompt.segments().iter().map(|s| format!("{} {} {}", s.place.role.as_str(), s.place.kind.as_str(), s.text));
        Ok::<Vec<String>, String>(shown.filter(|line| !line.contains(" word ")).collect())
    };
    let user = |text: &str| json!({"role": "user", "content": text});
    assert_eq!(
        said(json!([user("blue"), user("bird"), {"role": "assistant", "content": "no"}])).unwrap(),
        [
            "user content blue",
            "user content bird",
            "user content blue\nbird",
            "user content bluebird",
            "assistant content no"
        ]
    );
    let parts =
        json!({"role": "user", "content": [{"type": "text", "text": "blue"}, {"type": "text", "text": "bird"}]});
    assert_eq!(said(json!([parts])).unwrap(), ["user content blue\nbird", "user content bluebird"]);
    for bad in [
        json!([{"role": "root", "content": "x"}]),
        json!([{"content": "x"}]),
        json!([{"Role": "user", "role": "user"}]),
    ] {
        assert!(said(bad.clone()).is_err(), "{bad}");
    }
    let picture = json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x"}}]}]);
    assert!(said(picture).unwrap_err().contains("unsupported"));
}

#[test]
fn what_one_speaker_says_in_an_array_is_one_text() {
    let dialect = |places: &str| dialect(&ACME.replace("system = [\"/preamble\"]", places));
    let said = |dialect: &Custom, body: Json| {
        let prompt = dialect.parse_request(body.to_string().into(), "/chat").unwrap_or_else(|error| panic!("{error}"));
        prompt.segments().iter().map(|s| format!("{} {}", s.place.role.as_str(), s.text)).collect::<Vec<_>>()
    };
    let one = dialect("user = [\"/asked/*\", \"/asked/*/text\"]");
    let body = json!({"asked": ["blue", {"text": "bird"}]});
    assert_eq!(said(&one, body), ["user blue\nbird", "user bluebird"]);
    let two = dialect("user = [\"/history/*/question\"]\nassistant = [\"/history/*/answer\"]");
    assert_eq!(said(&two, json!({"history": [{"question": "q", "answer": "a"}]})), ["user q", "assistant a"]);
}

#[test]
fn arguments_among_texts_are_read_as_the_tool_reads_them() {
    let dialect = dialect(&ACME.replace("tools =", "arguments = [\"/messages/*/content/*/input\"]\ntools ="));
    let parts = json!([{"text": "blue"}, {"input": "{\"q\":\"\\u0062ird\"}"}, {"text": "s"}]);
    let body = json!({"messages": [{"role": "assistant", "content": parts}]}).to_string();
    let prompt = dialect.parse_request(body.into(), "/chat").unwrap();
    let said: Vec<&str> = prompt.segments().iter().map(|segment| &*segment.text).collect();
    assert_eq!(said, ["{\"q\":\"bird\"}", "blue\ns", "blues"]);
}
