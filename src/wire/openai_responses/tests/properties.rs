//! Streams: any answer, told in any pieces, cut into any chunks, with any edits.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::told::{Item, Part, agreed, told};
use super::{data, run, stream, texts_of};
use crate::wire::{Body, Cut, Event, Framing};

/// Why a stream is refused whose texts come in another order than readers join them in.
const OUT_OF_ORDER: &str = "expected texts in their order: some readers join them";

/// A secret is an X, in a text as it is and in JSON behind an escape.
fn any_text() -> impl Strategy<Value = String> {
    vec(prop::sample::select(vec!["a", "X", "é", "\u{2028}", "\"", "\\", "\n", "😀", "bc"]), 0..8)
        .prop_map(|all| all.concat())
}

fn any_item() -> impl Strategy<Value = Item> {
    let part = prop_oneof![3 => any_text().prop_map(Part::Said), 1 => any_text().prop_map(Part::Refused)];
    let texts = || vec(any_text(), 0..3);
    prop_oneof![
        3 => vec(part, 0..3).prop_map(Item::Message),
        1 => (texts(), texts()).prop_map(|(summary, content)| Item::Reasoning(summary, content)),
        1 => any_text().prop_map(|text| Item::Call(json!({"q": text, "X": [text]}).to_string())),
        1 => any_text().prop_map(Item::Custom),
    ]
}

/// Some of what else may stand in a stream.
fn any_noise() -> impl Strategy<Value = Json> {
    prop_oneof![
        any_text().prop_map(|text| json!({"type": "response.sparkle", "delta": text, "item": {"content": [text]}})),
        Just(json!({"type": "keepalive"})),
        any_text().prop_map(
            |text| json!({"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": text})
        ),
        Just(json!({"type": "response.in_progress", "response": {"id": "resp_1", "output": []}})),
    ]
}

/// Cuts a text at random character borders.
fn pieces(text: &str, seed: &mut u64) -> Vec<String> {
    let mut out = vec![String::new()];
    for character in text.chars() {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        match out.last_mut() {
            Some(last) if *seed >> 62 > 0 || last.is_empty() => last.push(character),
            _ => out.push(character.into()),
        }
    }
    out
}

fn any_told() -> impl Strategy<Value = Vec<Json>> {
    (vec(any_item(), 0..5), any::<u64>())
        .prop_map(|(items, mut seed)| told(&items, &mut |text| pieces(text, &mut seed)))
}

fn chunks<'b>(bytes: &'b [u8], cuts: &[prop::sample::Index]) -> Vec<&'b [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

/// Everything comparable of an event.
fn shown(event: &Event) -> (Vec<String>, bool, usize, Option<Vec<u8>>) {
    let source = match &event.body {
        Body::Json(source) => Some(source.to_vec()),
        Body::End => None,
    };
    (texts_of(event), event.last, event.size, source)
}

/// The texts of an event with every secret masked, where `masks` says so.
fn masked(event: &Event, mut masks: impl FnMut() -> bool) -> Vec<Option<String>> {
    let mask = |text: &str| text.replace('X', "#");
    event
        .texts
        .iter()
        .map(|text| (text.can_be_edited() && text.text.contains('X') && masks()).then(|| mask(&text.text)))
        .collect()
}

proptest! {
    /// What leaves agrees with itself, whatever is redacted; and it reads as the same stream.
    #[test]
    fn copies_say_what_the_pieces_said(
        events in any_told(),
        cuts in vec(any::<prop::sample::Index>(), 0..10),
        edits in vec(any::<bool>(), 1..20),
    ) {
        let stream = stream(&events);
        let (codec, read, error) = run(Framing::Sse, &chunks(stream.as_bytes(), &cuts));
        prop_assert_eq!(error, None);
        prop_assert_eq!(read.len(), events.len());
        let mut edits = edits.iter().cycle().copied();
        let mut written = Vec::new();
        for event in &read {
            written.extend_from_slice(&codec.encode(event, &masked(event, || edits.next().unwrap())).unwrap());
        }
        let after = data(&written);
        let texts = agreed(&after);
        for (place, before) in agreed(&events) {
            let after = texts.get(&place).map_or("", String::as_str);
            prop_assert_eq!(after.replace('#', "X"), before);
        }
        for (before, after) in events.iter().zip(&after) {
            prop_assert_eq!(&before["type"], &after["type"]);
        }
        let (_, again, error) = run(Framing::Sse, &[&written]);
        prop_assert_eq!((again.len(), error), (read.len(), None));
    }

    /// A secret that is masked wherever it can be stands in nothing that leaves: not in a copy, and not in the end of a cut
    /// stream, which tells again what has left.
    #[test]
    fn what_is_redacted_never_leaves(events in any_told(), cut in any::<prop::sample::Index>(), failed in any::<bool>()) {
        let (codec, read, _) = run(Framing::Sse, &[stream(&events).as_bytes()]);
        let cut = cut.index(read.len());
        let mut written = Vec::new();
        for event in &read[..cut] {
            written.extend_from_slice(&codec.encode(event, &masked(event, || true)).unwrap());
        }
        let refusal = crate::wire::Refusal { status: http::StatusCode::BAD_GATEWAY, code: "c", message: "m".into(), param: None };
        let end = codec.cut(if failed { Cut::Failed(&refusal) } else { Cut::Blocked });
        written.extend_from_slice(&end);
        prop_assert!(!written.contains(&b'X'), "{}", String::from_utf8_lossy(&written));
        let all = data(&written);
        agreed(&all);
        for (number, event) in all.iter().enumerate() {
            prop_assert_eq!(&event["sequence_number"], &json!(number));
        }
    }

    #[test]
    fn any_chunks_give_the_same_events(
        events in any_told(),
        noise in vec((any::<prop::sample::Index>(), any_noise()), 0..4),
        cuts in vec(any::<prop::sample::Index>(), 0..10),
    ) {
        let mut events = events;
        noise.into_iter().for_each(|(at, event)| events.insert(at.index(events.len()), event));
        let stream = stream(&events);
        let bytes = stream.as_bytes();
        let (codec, one, error) = run(Framing::Sse, &[bytes]);
        for chunks in [chunks(bytes, &cuts), bytes.chunks(1).collect()] {
            let (other_codec, other, other_error) = run(Framing::Sse, &chunks);
            prop_assert_eq!(one.iter().map(shown).collect::<Vec<_>>(), other.iter().map(shown).collect::<Vec<_>>());
            prop_assert_eq!(&error, &other_error);
            for (one, other) in one.iter().zip(&other) {
                let none = vec![None; one.texts.len()];
                prop_assert_eq!(codec.encode(one, &none), other_codec.encode(other, &none));
            }
        }
    }

    /// What is written for an unedited stream has the same values in the same order; every text of it was judged.
    #[test]
    fn unedited_streams_keep_their_values(events in any_told(), noise in vec((any::<prop::sample::Index>(), any_noise()), 0..4)) {
        let mut events = events;
        noise.into_iter().for_each(|(at, event)| events.insert(at.index(events.len()), event));
        let (codec, read, error) = run(Framing::Sse, &[stream(&events).as_bytes()]);
        // The noise can put texts out of order.
        prop_assume!(error.as_ref().is_none_or(|error| !error.to_string().ends_with(OUT_OF_ORDER)));
        prop_assert_eq!(error, None);
        let mut judged = String::new();
        for (number, (before, event)) in events.iter().zip(&read).enumerate() {
            judged.extend(event.texts.iter().map(|text| text.text.as_str()));
            let mut before = before.clone();
            before["sequence_number"] = json!(number);
            prop_assert_eq!(&data(&super::as_it_came(&*codec, event)), &[before]);
        }
        let secrets = |text: &str| text.matches('X').count();
        let told: usize = agreed(&events.iter().filter(|event| event["item_id"].is_string()).cloned().collect::<Vec<_>>())
            .values().map(|text| secrets(text)).sum();
        prop_assert!(secrets(&judged) >= told);
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in vec(any::<u8>(), 0..200), json in any::<bool>()) {
        let framing = if json { Framing::Json } else { Framing::Sse };
        let (codec, events, _) = run(framing, &[&bytes]);
        for event in &events {
            prop_assert!(codec.encode(event, &vec![None; event.texts.len()]).is_ok());
        }
        codec.cut(Cut::Blocked);
    }
}
