//! OpenAI's responses.

use serde_json::{Value as Json, json};

use super::said::Said;
use super::told::{Item, Part, told};

/// Each text whole and in its pieces. All of an answer has one choice: further contents are further messages.
pub fn events(said: &Said) -> Vec<Json> {
    let mut items = Vec::new();
    let mut pieces: Vec<(String, Vec<String>)> = Vec::new();
    let mut whole = |told: &Vec<String>| {
        pieces.push((told.concat(), told.clone()));
        told.concat()
    };
    if !said.thought.is_empty() {
        items.push(Item::Reasoning(vec![whole(&said.thought)], vec![]));
    }
    for content in &said.content {
        items.push(Item::Message(vec![Part::Said(whole(content))]));
    }
    if !said.refusal.is_empty() {
        items.push(Item::Message(vec![Part::Refused(whole(&said.refusal))]));
    }
    items.extend(said.calls.iter().map(|call| Item::Call(whole(call))));
    let mut told = told(&items, &mut |text| {
        let found = pieces.iter().find(|(whole, _)| whole == text);
        found.map_or_else(|| vec![text.to_owned()], |(_, pieces)| pieces.clone())
    });
    for (at, event) in told.iter_mut().enumerate() {
        event["sequence_number"] = json!(at);
    }
    told
}
