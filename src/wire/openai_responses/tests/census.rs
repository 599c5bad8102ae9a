//! Every string, key and number of a rich request and of rich answers says something of its own in turn, and all of it is seen.

use serde_json::{Value as Json, json};

use super::{parse, rich, run};
use crate::wire::Framing;
use crate::wire::openai_responses::fields::EVENTS;

/// Each place of `json`: its strings and numbers, and an unknown member in each of its objects.
fn places(json: &Json) -> Vec<String> {
    let escape = |key: &str| key.replace('~', "~0").replace('/', "~1");
    let under = |step: String, value: &Json| {
        places(value).into_iter().map(move |rest| format!("/{step}{rest}")).collect::<Vec<_>>()
    };
    match json {
        Json::String(_) | Json::Number(_) => vec![String::new()],
        Json::Array(items) => {
            items.iter().enumerate().flat_map(|(index, item)| under(index.to_string(), item)).collect()
        }
        Json::Object(members) => {
            let own = ["/zz".to_owned(), "/text".to_owned()].into_iter();
            own.chain(members.iter().flat_map(|(key, value)| under(escape(key), value))).collect()
        }
        _ => Vec::new(),
    }
}

/// `json` with `secret` in a place of [`places`].
fn with(json: &Json, place: &str, secret: &Json) -> Json {
    let mut json = json.clone();
    match json.pointer_mut(place) {
        Some(value) => *value = secret.clone(),
        None => {
            let (object, key) = place.rsplit_once('/').unwrap_or_default();
            json.pointer_mut(object).unwrap()[key] = secret.clone();
        }
    }
    json
}

/// A text that no word of the API is like, one that is, something in JSON, and a number.
fn secrets() -> [(Json, &'static str); 4] {
    [
        (json!("an odd text"), "an odd text"),
        (json!("project-bluebird"), "project-bluebird"),
        (json!({"deep": ["an odd text"]}), "an odd text"),
        (json!(4111111111111111u64), "4111111111111111"),
    ]
}

#[test]
fn a_text_in_any_place_of_a_request_is_seen_or_refused() {
    let body = rich::request();
    assert!(parse(body.to_string()).is_ok());
    let (mut seen, mut refused) = (0, 0);
    for place in places(&body) {
        // A number that the API asks for is one whatever its size.
        for (secret, mark) in secrets().iter().take(3) {
            let body = with(&body, &place, secret);
            match parse(body.to_string()) {
                Ok(prompt) => {
                    assert!(prompt.segments().iter().any(|segment| segment.text.contains(mark)), "{place}: {secret}");
                    seen += 1;
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(seen > 600 && refused > 150, "{seen} {refused}");
}

#[test]
fn a_text_in_any_place_of_an_answer_is_seen_or_not_written() {
    let events = rich::events().into_iter().map(|event| (Framing::Sse, event));
    let bodies = [(Framing::Json, rich::response()), (Framing::Json, rich::events()[1].clone())];
    let (mut seen, mut dropped, mut refused) = (0, 0, 0);
    for (framing, answer) in events.chain(bodies) {
        for place in [String::new()].into_iter().chain(places(&answer)) {
            for (secret, mark) in secrets() {
                let body = if place.is_empty() { answer.clone() } else { with(&answer, &place, &secret) };
                let text = if framing == Framing::Sse { format!("data: {body}\n\n") } else { body.to_string() };
                let (codec, read, error) = run(framing, &[text.as_bytes()]);
                let Some(event) = read.first() else {
                    assert!(error.is_some() && !place.is_empty(), "{answer}: {error:?}");
                    refused += 1;
                    continue;
                };
                let written = super::as_it_came(&*codec, event);
                let judged = event.texts.iter().any(|text| text.text.contains(mark));
                assert!(
                    judged || !std::str::from_utf8(&written).unwrap().contains(mark),
                    "{place}: {secret} in {answer}"
                );
                *(if judged { &mut seen } else { &mut dropped }) += 1;
            }
        }
    }
    assert!(seen > 6_000 && dropped < seen / 5 && refused < seen / 5, "{seen} {dropped} {refused}");
}

#[test]
fn every_event_of_the_table_is_known_by_name() {
    let told: Vec<_> = rich::events().iter().filter_map(|event| event["type"].as_str().map(str::to_owned)).collect();
    for (name, _) in EVENTS {
        // Those that say only that something goes on are all alike, as are those that have a response or an item.
        let alike = [
            "response.queued",
            "response.created",
            "response.incomplete",
            "response.audio.delta",
            "response.audio.done",
            "response.audio.transcript.done",
        ];
        let rest = name.rsplit_once('.').is_some_and(|(_, last)| {
            ["added", "in_progress", "completed", "failed", "searching", "generating", "interpreting", "compacting"]
                .contains(&last)
        });
        assert!(rest || alike.contains(name) || told.iter().any(|kind| kind == name), "{name}");
    }
}

#[test]
fn what_the_api_itself_says_is_no_text() {
    let says_nothing = |event: &Json| {
        let (_, read, _) = run(Framing::Sse, &[format!("data: {event}\n\n").as_bytes()]);
        read[0].texts.iter().map(|text| text.text.clone()).collect::<Vec<_>>()
    };
    let quiet = json!({"type": "response.completed", "sequence_number": 5, "obfuscation": "x y", "response": {
        "id": "resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b", "object": "response", "created_at": 1741476542.0, "status": "completed",
        "error": null, "incomplete_details": {"reason": "content_filter"}, "parallel_tool_calls": true, "temperature": 1.0, "tool_choice": "auto",
        "tools": [], "text": {"format": {"type": "text"}, "verbosity": "medium"}, "reasoning": {"effort": "medium", "summary": null},
        "truncation": "disabled", "service_tier": "default", "usage": {"input_tokens": 36, "input_tokens_details": {"cached_tokens": 0}},
        "output": [{"type": "message", "id": "msg_67ccd2bf17f0819081ff3bb2cf6508e60bb6a6b452d3795b", "status": "completed", "role": "assistant", "content": []},
            {"type": "function_call", "id": "fc_1", "call_id": "call_1", "arguments": "", "status": "completed"}]}});
    assert_eq!(says_nothing(&quiet), Vec::<String>::new());
}
