//! Whatever a body has is judged or refused, whatever the file says of it.

use portcullis::wire::custom::Custom;
use portcullis::wire::{Dialect, Framing};
use serde_json::{Value as Json, json};

use crate::bodies::{Api, cohere, tgi};
use crate::{dialect, example, form, leaves, load_text, run, stream};

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
