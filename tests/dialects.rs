//! Dialects that a file describes: their mistakes, and that whatever a body has is judged or refused, whatever the file says of it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use portcullis::config::{self, Config, ConfigError, Handling};
use portcullis::wire::custom::{Custom, Form};
use portcullis::wire::{AnswerCodec, Cut, Dialect, Event, Framing, Refusal, WireError};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

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

/// Name, what is replaced, and by what.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("a_built_in_name", "dialect.acme", "dialect.gemini"),
    ("unknown_dialect", "dialect = \"acme\"", "dialect = \"acne\""),
    ("unknown_key", "numbers = [\"/temperature\"]", "number = [\"/temperature\"]"),
    ("no_refusal", "refusal =", "# refusal ="),
    ("refusal_is_not_json", "\"{code}\"}}'", "{code}}}'"),
    ("refusal_with_a_key_twice", "\"code\": \"{code}\"", "\"message\": \"{code}\""),
    ("refusal_with_an_unknown_word", "{code}", "{cod}"),
    ("no_pointer", "\"/preamble\"", "\"preamble\""),
    ("pointer_with_an_index", "\"/messages/*/content/*/text\"", "\"/messages/*/content/0/text\""),
    ("pointer_with_an_open_end", "\"/preamble\"", "\"/preamble/\""),
    ("a_place_twice", "\"/messages/*/content/*/text\"", "\"/messages/*/content\""),
    ("a_place_of_two_sorts", "numbers = [\"/temperature\"]", "numbers = [\"/temperature\", \"/preamble\"]"),
    ("the_role_is_no_text", "\"/preamble\"", "\"/messages/*/role\""),
    ("below_what_is_whole", "\"/preamble\"", "\"/tools/*/description\""),
    ("above_what_is_left_out", "\"/usage/tokens\"", "\"/choices/*/logprobs/*/token\""),
    ("turns_are_no_list", "turns = \"/messages/*\"", "turns = \"/messages\""),
    ("a_role_that_is_a_pointer", "turns =", "role = \"/role\"\nturns ="),
    ("a_word_of_two_roles", "turns =", "roles = { user = [\"human\"], assistant = [\"bot\", \"human\"] }\nturns ="),
    ("who_speaks_in_a_turn", "system = [\"/preamble\"]", "system = [\"/messages/*/text\"]"),
    ("choices_are_no_list", "choices = \"/choices/*\"", "choices = \"/choices\""),
    ("elements_are_left_out", "\"/choices/*/logprobs\"", "\"/logprobs/*\""),
    ("again_of_no_text", "\"/whole\" = \"/piece\"", "\"/whole\" = \"/usage/tokens\""),
    ("again_of_an_array", "\"/whole\" = \"/piece\"", "\"/whole\" = \"/choices/*/text\""),
    ("stream_of_another_type", "{ member = \"/stream\" }", "true"),
    ("stream_by_two", "{ member = \"/stream\" }", "{ member = \"/stream\", paths = [\"/a\"] }"),
    ("a_stream_that_nobody_asks_for", "stream = { member = \"/stream\" }\n", ""),
    ("framing_without_events", "framing = \"sse\"", "framing = \"json\""),
    ("framing_without_names", "framing = \"sse\"", "framing = \"ndjson\""),
    ("a_stream_without_an_end", "end = [\"/type=end\"]\nmark = \"[DONE]\"", ""),
    ("a_mark_in_lines", "mark = \"[DONE]\"", "mark = \"\\n\""),
    ("a_sign_that_never_stands", "\"/type=end\"", "\"/type=ent\""),
    ("a_sign_without_a_word", "\"/type=end\"", "\"/type=\""),
    ("an_event_name_of_any_word", "name = \"/type\"", "name = \"/piece\""),
    ("a_cut_that_is_not_json", "\"finish\": \"{finish}\"}'", "\"finish\": \"{finish}\"'"),
    ("a_cut_that_says_nothing", "cut = ['{\"type\": \"end\", \"finish\": \"{finish}\"}']", "cut = []"),
    ("no_cut", "cut =", "failed ="),
    ("a_cut_with_a_word_of_replies", "{finish}", "{text}"),
    ("a_message_without_a_place", "\"choices\": [{\"text\": \"{text}\"}]", "\"choices\": []"),
    ("a_message_without_events", "stream = ['{\"type\": \"piece\"", "# stream = ['{\"type\": \"piece\""),
];

#[test]
fn every_mistake_is_shown_where_it_is() {
    assert!(load_text(ACME).unwrap().warnings.is_empty());
    let mut shown = String::new();
    for (name, from, to) in MISTAKES {
        assert!(ACME.contains(from), "{name}: the piece to replace is there");
        let complaint = load_text(&ACME.replace(from, to)).expect_err(name);
        shown.push_str(&format!("=== {name}\n{complaint}\n\n"));
    }
    insta::assert_snapshot!("dialect_mistakes", shown);
}

#[test]
fn a_stream_that_is_asked_for_and_not_described_is_a_mistake() {
    let (before, rest) = ACME.split_once("[dialect.acme.stream]").unwrap();
    let (_, after) = rest.split_once("[dialect.acme.reply]").unwrap();
    let complaint = load_text(&format!("{before}[dialect.acme.reply]{after}")).unwrap_err();
    assert!(complaint.contains("`acme` does not say what a stream is"), "{complaint}");
}

#[test]
fn a_dialect_that_nobody_speaks_is_a_warning() {
    let other = ACME.replace("dialect = \"acme\"", "dialect = \"openai_chat\"");
    let warnings: Vec<String> = load_text(&other).unwrap().warnings.iter().map(|w| w.render(false)).collect();
    assert!(warnings.len() == 1 && warnings[0].contains("no route has the dialect `acme`"), "{warnings:?}");
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

/// The bodies of one API, with something at every place that its example names.
struct Api {
    example: &'static str,
    path: &'static str,
    request: Json,
    whole: Vec<Json>,
    events: Vec<Json>,
}

fn cohere() -> Api {
    let event =
        |kind: &str, index: u32, message: Json| json!({"type": kind, "index": index, "delta": {"message": message}});
    let usage = json!({"billed_units": {"input_tokens": 5, "output_tokens": 7}, "tokens": {"input_tokens": 5, "output_tokens": 7}});
    let source = json!({"type": "document", "id": "doc 1", "document": {"title": "t", "snippet": "s"}});
    Api {
        example: "cohere.toml",
        path: "/v2/chat",
        request: json!({
            "model": "command-a-03-2025", "stream": true, "max_tokens": 100, "temperature": 0.3, "safety_mode": "CONTEXTUAL",
            "stop_sequences": ["END"], "strict_tools": true, "thinking": {"type": "enabled", "token_budget": 10},
            "messages": [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": [{"type": "text", "text": "What is"}, {"type": "text", "text": "an LLM?"}]},
                {"role": "assistant", "tool_plan": "I look it up.", "tool_calls": [{"id": "call_1", "type": "function",
                    "function": {"name": "search", "arguments": "{\"q\":\"LLM\"}"}}], "citations": [{"start": 0, "text": "x"}]},
                {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "document", "document": {"id": "a", "data": "found"}}]},
            ],
            "tools": [{"type": "function", "function": {"name": "search", "description": "Searches.",
                "parameters": {"type": "object", "properties": {"q": {"type": "string", "description": "What for."}}}}}],
            "documents": ["one", {"id": "two", "data": {"title": "T", "snippet": "S"}}],
            "citation_options": {"mode": "FAST"}, "response_format": {"type": "json_object", "json_schema": {"type": "object"}},
            "unheard_of": {"a": ["b", {"c": "d"}]},
        }),
        whole: vec![
            json!({
                "id": "c14c80c3-18eb-4519-9460-6c92edd8cfb4", "finish_reason": "COMPLETE", "usage": usage,
                "logprobs": [{"text": "An", "token_ids": [1], "logprobs": [-0.5]}], "unheard_of": [1, {"a": "b"}],
                "message": {"role": "assistant", "tool_plan": "plan", "content": [{"type": "thinking", "thinking": "hm"},
                    {"type": "text", "text": "An LLM"}, {"type": "text", "text": " is large."}],
                    "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}],
                    "citations": [{"start": 0, "end": 6, "text": "An LLM", "type": "TEXT_CONTENT", "sources": [source]}]},
            }),
            json!({"id": "c14c80c3-18eb-4519-9460-6c92edd8cfb4", "message": "invalid api token"}),
        ],
        events: vec![
            json!({"type": "message-start", "id": "c14c80c3-18eb-4519-9460-6c92edd8cfb4", "delta": {"message":
                {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}}}),
            event("content-start", 0, json!({"content": {"type": "text", "text": ""}})),
            event("content-delta", 0, json!({"content": {"text": "An "}})),
            event("content-delta", 0, json!({"content": {"text": "LLM is large."}})),
            event(
                "citation-start",
                3,
                json!({"citations": {"start": 0, "end": 6, "text": "An LLM", "sources": [source]}}),
            ),
            event("citation-end", 3, json!({})),
            event("content-end", 0, json!({})),
            event("tool-plan-delta", 0, json!({"tool_plan": "I call."})),
            event(
                "tool-call-start",
                0,
                json!({"tool_calls": {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}}),
            ),
            event("tool-call-delta", 0, json!({"tool_calls": {"function": {"arguments": "{\"a\":1}"}}})),
            event("tool-call-end", 0, json!({})),
            json!({"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": usage}}),
        ],
    }
}

fn tgi() -> Api {
    let token = |text: &str, special: bool| json!({"id": 1, "text": text, "logprob": -0.5, "special": special});
    let details = json!({"finish_reason": "eos_token", "generated_tokens": 3, "seed": 7});
    let mut rich = details.clone();
    rich["prefill"] = json!([{"id": 1, "text": "a", "logprob": null}]);
    rich["tokens"] = json!([token("Deep", false)]);
    rich["top_tokens"] = json!([[token("Deep", false)]]);
    rich["best_of_sequences"] = json!([{"generated_text": "other", "finish_reason": "length", "generated_tokens": 2, "seed": 8,
        "prefill": [], "tokens": [token("other", false)]}]);
    let event = |index: u32, token: Json, whole: Json, details: Json| json!({"index": index, "token": token, "top_tokens": [token], "generated_text": whole, "details": details});
    Api {
        example: "tgi.toml",
        path: "/generate_stream",
        request: json!({"inputs": "What is deep learning?", "parameters": {"max_new_tokens": 20, "temperature": 0.5, "do_sample": true,
            "stop": ["END"], "details": true, "seed": 7, "adapter_id": "call_lora1"}}),
        whole: vec![
            json!({"generated_text": "Deep learning", "details": rich}),
            json!({"error": "Input validation error", "error_type": "validation"}),
        ],
        events: vec![
            event(1, token("Deep", false), json!(null), json!(null)),
            event(2, token(" learning", false), json!(null), json!(null)),
            event(3, token("</s>", true), json!("Deep learning"), details),
        ],
    }
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

const CANARY: &str = "a canary: bob@example.com";

/// The bodies with the canary in the place of one leaf each: as a text, in something else, as a key.
fn with_canary(body: &Json) -> Vec<(String, Json)> {
    let leaves = leaves(body);
    let mut bodies = with_text(body);
    let put = |leaf: &String, value: Json| (leaf.clone(), replaced(body, leaf, value));
    bodies.extend(leaves.iter().map(|leaf| put(leaf, json!({"new": [{"text": CANARY}]}))));
    bodies.extend(leaves.iter().map(|leaf| put(leaf, json!({ CANARY: true }))));
    bodies
}

fn with_text(body: &Json) -> Vec<(String, Json)> {
    leaves(body).into_iter().map(|leaf| (leaf.clone(), replaced(body, &leaf, json!(CANARY)))).collect()
}

fn replaced(body: &Json, leaf: &str, value: Json) -> Json {
    let mut body = body.clone();
    *body.pointer_mut(leaf).unwrap() = value;
    body
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

/// The canary is in no request that goes on unjudged.
fn request_is_seen(dialect: &Custom, api: &Api, body: &Json, what: &str) {
    if let Ok(prompt) = dialect.parse_request(body.to_string().into(), api.path) {
        let judged = prompt.segments().iter().any(|segment| segment.text.contains(CANARY));
        assert!(judged, "{what} of the request is not judged");
    }
}

/// The canary is in no event that leaves unjudged.
fn answer_is_seen(dialect: &Custom, framing: Framing, bytes: &str, what: &str) {
    let (codec, events, _) = run(dialect, framing, &[bytes.as_bytes()]);
    for event in &events {
        let Ok(written) = codec.encode(event, &vec![None; event.texts.len()]) else { continue };
        let written = String::from_utf8(written.into()).unwrap();
        let judged = event.texts.iter().any(|text| text.text.contains(CANARY));
        assert!(judged || !written.contains(CANARY), "{what}: {written} is not judged");
    }
}

/// The same of each body that `bodies` makes of one.
fn all_is_seen(dialect: &Custom, api: &Api, bodies: fn(&Json) -> Vec<(String, Json)>, what: &str) {
    for (leaf, body) in bodies(&api.request) {
        request_is_seen(dialect, api, &body, &format!("{what}: {leaf}"));
    }
    for (leaf, body) in api.whole.iter().flat_map(bodies) {
        answer_is_seen(dialect, Framing::Json, &body.to_string(), &format!("{what}: {leaf}"));
    }
    for (leaf, body) in api.events.iter().flat_map(bodies) {
        answer_is_seen(dialect, Framing::Sse, &stream(&[body]), &format!("{what}: {leaf}"));
    }
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
fn a_canary_at_every_leaf_is_judged_or_refused() {
    for api in [cohere(), tgi()] {
        all_is_seen(&dialect(&example(api.example)), &api, with_canary, api.example);
    }
}

/// Every place that a file names, as a way to take it out.
fn without_one(text: &str) -> Vec<(String, String)> {
    let table: toml::Table = text.parse().unwrap();
    let dialects = table["dialect"].as_table().unwrap();
    let (name, dialect) = dialects.iter().next().unwrap();
    let mut out = Vec::new();
    for section in ["request", "answer"] {
        for (key, value) in dialect[section].as_table().unwrap() {
            let less = |value: toml::Value| {
                let mut table = table.clone();
                table["dialect"][&**name][section][key.as_str()] = value;
                toml::to_string(&table).unwrap()
            };
            match value {
                // Without that of what is refused, this is judged.
                toml::Value::Array(places) => out.extend((0..places.len()).map(|at| {
                    let mut places = places.clone();
                    let gone = places.remove(at);
                    (format!("{section}.{key} without {gone}"), less(toml::Value::Array(places)))
                })),
                toml::Value::Table(places) => out.extend(places.keys().map(|gone| {
                    let mut places = places.clone();
                    places.remove(gone);
                    (format!("{section}.{key} without {gone}"), less(toml::Value::Table(places)))
                })),
                _ => {}
            }
        }
    }
    out
}

#[test]
fn without_any_one_pointer_nothing_goes_unjudged() {
    for api in [cohere(), tgi()] {
        let text = example(api.example).replace("strict = true", "strict = false");
        let all = without_one(&text);
        let mut sound = 0;
        for (what, text) in &all {
            // Some are mistakes: what is said again has to stand somewhere.
            let Ok(config) = load_text(text) else { continue };
            let dialect = Custom::new(form(&config), 1000);
            assert!(
                dialect.parse_request(api.request.to_string().into(), api.path).is_ok(),
                "{what} is judged, not refused"
            );
            all_is_seen(&dialect, &api, with_text, what);
            sound += 1;
        }
        assert!(sound + 10 > all.len(), "{sound} of {}", all.len());
    }
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

/// An event of [`ACME`] with these choices.
fn choices(choices: &[(u32, u32, &str)]) -> Json {
    let choice = |(index, part, text): &(u32, u32, &str)| json!({"index": index, "part": part, "text": text});
    json!({"type": "piece", "choices": choices.iter().map(choice).collect::<Vec<_>>()})
}

#[test]
fn choices_are_told_apart_and_each_has_its_own_order() {
    let dialect = dialect(&ACME.replace("\"/usage/tokens\"", "\"/usage/tokens\", \"/choices/*/part\""));
    let end = json!({"type": "end"});
    let sent =
        |events: &[Json]| run(&dialect, Framing::Sse, &[format!("{}data: [DONE]\n\n", stream(events)).as_bytes()]);
    let (codec, events, error) =
        sent(&[choices(&[(0, 0, "a"), (1, 0, "b")]), choices(&[(1, 1, "c"), (0, 0, "d")]), end.clone()]);
    assert_eq!((error, events.len()), (None, 4));
    let text = |index: u32| -> String {
        let texts = events.iter().flat_map(|event| &event.texts).filter(|text| text.channel.choice == index);
        texts.map(|text| text.text.as_str()).collect()
    };
    assert_eq!((text(0), text(1)), ("ad".into(), "bc".into()));
    assert_eq!(codec.encode(&events[3], &[]).unwrap(), "data: [DONE]\n\n");
    assert_eq!(codec.encode(&events[2], &[]).unwrap(), "event: end\ndata: {\"type\":\"end\"}\n\n");
    for back in [choices(&[(0, 0, "x")]), choices(&[(0, 1, "x"), (0, 1, "x")]), choices(&[(500, 1, "x")])] {
        assert!(sent(&[choices(&[(0, 1, "a")]), back.clone(), end.clone()]).2.is_some(), "{back}");
    }
    // Without its mark a stream has ended all the same; without its end it has not.
    let unmarked = [stream(&[choices(&[(0, 0, "a")]), end]), stream(&[choices(&[(0, 0, "a")])])];
    let [(codec, events, None), (_, _, Some(WireError::Truncated))] =
        unmarked.map(|bytes| run(&dialect, Framing::Sse, &[bytes.as_bytes()]))
    else {
        panic!("the first has ended")
    };
    assert_eq!(codec.encode(events.last().unwrap(), &[]).unwrap(), "data: [DONE]\n\n");
}

#[test]
fn lines_are_cut_in_lines() {
    let lines =
        ACME.replace("framing = \"sse\"\nname = \"/type\"", "framing = \"ndjson\"").replace("mark = \"[DONE]\"\n", "");
    let dialect = dialect(&lines);
    let sent = "{\"type\":\"piece\",\"piece\":\"a\"}\n{\"type\":\"end\",\"whole\":\"a\"}\n";
    let (codec, events, error) = run(&dialect, Framing::Ndjson, &[sent.as_bytes()]);
    assert_eq!((events.len(), error), (2, None));
    let written: String = events
        .iter()
        .map(|e| String::from_utf8(codec.encode(e, &vec![None; e.texts.len()]).unwrap().into()).unwrap())
        .collect();
    assert_eq!(written, sent);
    assert_eq!(codec.cut(Cut::Blocked), "{\"type\":\"end\",\"finish\":\"content_filter\"}\n");
    let refusal = Refusal { status: http::StatusCode::BAD_GATEWAY, code: "c", message: "m\n".into(), param: None };
    assert_eq!(codec.cut(Cut::Failed(&refusal)), "{\"error\":{\"message\":\"m\\n\",\"code\":\"c\"}}\n");
    let body = json!({"stream": true, "model": "m"}).to_string();
    let prompt = dialect.parse_request(body.into(), "/chat").unwrap();
    let (framing, told) = dialect.answer_with(&*prompt, "No \"way\".");
    assert_eq!(framing, Framing::Ndjson);
    assert_eq!(told, "{\"type\":\"piece\",\"piece\":\"No \\\"way\\\".\"}\n{\"type\":\"end\"}\n");
}

#[test]
fn parts_come_in_order_and_streams_to_their_end() {
    let dialect = dialect(&example("cohere.toml"));
    let piece = |index: u32, text: &str| json!({"type": "content-delta", "index": index, "delta": {"message": {"content": {"text": text}}}});
    let end = json!({"type": "message-end", "delta": {"finish_reason": "COMPLETE"}});
    let error = |events: &[Json]| run(&dialect, Framing::Sse, &[stream(events).as_bytes()]).2;
    assert_eq!(error(&[piece(0, "blue"), piece(1, "x"), end.clone()]), None);
    assert!(matches!(
        error(&[piece(0, "blue"), piece(1, "x"), piece(0, "bird"), end.clone()]),
        Some(WireError::Shape { .. })
    ));
    assert_eq!(error(&[piece(0, "blue")]), Some(WireError::Truncated));
    assert!(run(&dialect, Framing::Ndjson, &[format!("{end}\n").as_bytes()]).2.is_some(), "framed in another way");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn chunks_make_no_difference(which in 0..2usize, cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        let api = if which == 0 { cohere() } else { tgi() };
        let dialect = dialect(&example(api.example));
        let bytes = stream(&api.events);
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        let chunks: Vec<&[u8]> = at.windows(2).map(|pair| &bytes.as_bytes()[pair[0]..pair[1]]).collect();
        let shown = |chunks: &[&[u8]]| {
            let (codec, events, error) = run(&dialect, Framing::Sse, chunks);
            let shown = events.iter().map(|event| (format!("{:?}", event.texts), event.last, codec.encode(event, &vec![None; event.texts.len()])));
            (shown.collect::<Vec<_>>(), error)
        };
        prop_assert_eq!(shown(&chunks), shown(&[bytes.as_bytes()]));
    }

    #[test]
    fn an_edit_is_what_is_read(which in 0..2usize, event in any::<prop::sample::Index>(), text in any::<prop::sample::Index>(), with in "[^\u{0}]{0,12}") {
        let api = if which == 0 { cohere() } else { tgi() };
        let dialect = dialect(&example(api.example));
        let (codec, events, error) = run(&dialect, Framing::Sse, &[stream(&api.events).as_bytes()]);
        prop_assert_eq!(error, None);
        let at = event.index(events.len());
        // What is written before counts for what is said again.
        for event in &events[..at] {
            codec.encode(event, &vec![None; event.texts.len()]).unwrap();
        }
        let event = &events[at];
        if !event.texts.is_empty() {
            let at = text.index(event.texts.len());
            let mut edits = vec![None; event.texts.len()];
            edits[at] = Some(with.clone());
            match codec.encode(event, &edits) {
                Err(_) => prop_assert!(!event.texts[at].editable || event.texts[at].text.is_empty()),
                Ok(frame) => {
                    prop_assert!(event.texts[at].editable);
                    let json = String::from_utf8(frame.into()).unwrap();
                    let data = json.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
                    let read: Json = serde_json::from_str(data).unwrap();
                    let holds = |leaf: &String| read.pointer(leaf).and_then(Json::as_str).is_some_and(|text| text.contains(&with));
                    prop_assert!(leaves(&read).iter().any(holds), "{data}");
                }
            }
        }
    }
}
