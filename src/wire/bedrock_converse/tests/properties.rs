//! Streams: any chunks, any edits, any bytes.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::{BLOB, DIALECT, begin, delta, end, event, events_of, start, stop, stream};
use crate::text::Kind;
use crate::wire::testing::{an_edit_is_what_is_read, chunks_make_no_difference, run, texts_of, written};
use crate::wire::{Body, Cut, Framing};

fn any_delta() -> impl Strategy<Value = Json> {
    let text = "[a-z é\u{2028}\"\\\\]{1,6}";
    prop_oneof![
        6 => text.prop_map(|text| json!({"text": text})),
        1 => text.prop_map(|text| json!({"reasoningContent": {"text": text}})),
        1 => text.prop_map(|text| json!({"toolUse": {"input": text}})),
        1 => text.prop_map(|text| json!({"toolResult": [{"text": text}, {"json": {"y z": [text]}}]})),
        1 => text.prop_map(|text| json!({"citation": {"title": text, "sourceContent": [{"text": text}]}})),
        1 => text.prop_map(|text| json!({"reasoningContent": {"signature": BLOB}, "x": text})),
    ]
}

/// A block: its deltas, its end, and of some the start.
fn any_block() -> impl Strategy<Value = Vec<Json>> {
    let begins = prop_oneof![
        Just(None),
        Just(Some(json!({"toolUse": {"toolUseId": "tooluse_1", "name": "f"}}))),
        Just(Some(json!({"toolResult": {"toolUseId": "tooluse_1", "status": "success"}}))),
    ];
    (begins, proptest::collection::vec(any_delta(), 0..4)).prop_map(|(begins, deltas)| {
        let deltas = deltas.into_iter().map(|piece| delta(0, piece));
        begins.into_iter().map(|block| start(0, block)).chain(deltas).chain([stop(0)]).collect()
    })
}

/// Events of a message; now and then one that does not belong there.
fn any_events() -> impl Strategy<Value = Vec<Json>> {
    let odd = prop_oneof![
        Just(event("newEvent", json!({"note": ["n n"]}))),
        Just(json!({":exception-type": "modelStreamErrorException", "message": "m m"})),
        Just(json!({":error-code": "x", ":error-message": "m m"})),
        Just(begin()),
    ];
    let blocks = proptest::collection::vec((any_block(), proptest::option::weighted(0.1, odd)), 0..5);
    (blocks, any::<bool>()).prop_map(|(blocks, ends)| {
        let mut events = vec![begin()];
        for (index, (block, odd)) in blocks.into_iter().enumerate() {
            for mut event in block {
                event["contentBlockIndex"] = json!(index);
                events.push(event);
            }
            events.extend(odd);
        }
        events.extend(end().into_iter().filter(|_| ends));
        events
    })
}

proptest! {
    #[test]
    fn any_chunks_give_the_same_events(events in any_events(), tail in "[a-z]{0,9}", cuts in proptest::collection::vec(any::<usize>(), 0..10)) {
        let bytes = [stream(&events), tail.into_bytes()].concat();
        chunks_make_no_difference(&DIALECT, Framing::EventStream, &bytes, &cuts);
    }

    /// What is written for an unedited stream is the same stream, less the padding.
    #[test]
    fn unedited_streams_keep_their_values(events in any_events()) {
        let (codec, found, _) = run(&DIALECT, Framing::EventStream, &[&stream(&events)]);
        let out: Vec<u8> = found.iter().flat_map(|event| written(&*codec, event, &[]).unwrap()).collect();
        let found: Vec<_> = found.iter().filter(|event| matches!(event.body, Body::Json(_))).collect();
        let mut before = events[..found.len()].to_vec();
        before.iter_mut().for_each(|event| drop(event.as_object_mut().unwrap().remove("p")));
        prop_assert_eq!(events_of(&out), before);
        let (_, again, _) = run(&DIALECT, Framing::EventStream, &[&out]);
        let again: Vec<_> = again.iter().map(texts_of).collect();
        prop_assert_eq!(&again[..found.len()], &found.iter().map(|event| texts_of(event)).collect::<Vec<_>>()[..]);
    }

    /// The text that a client shows, joined over all blocks, is one channel.
    #[test]
    fn what_is_shown_is_one_text(events in any_events()) {
        let (codec, found, _) = run(&DIALECT, Framing::EventStream, &[&stream(&events)]);
        let out: Vec<u8> = found.iter().flat_map(|event| written(&*codec, event, &[]).unwrap()).collect();
        let shown: String = events_of(&out).iter().filter_map(|event| event["delta"]["text"].as_str().map(str::to_owned)).collect();
        let mut channels = std::collections::BTreeMap::<_, String>::new();
        for text in found.iter().flat_map(|event| &event.texts).filter(|text| text.channel.kind == Kind::Content) {
            channels.entry(text.channel).or_default().push_str(&text.text);
        }
        prop_assert!(shown.is_empty() || channels.values().any(|text| *text == shown), "{shown:?} {channels:?}");
    }

    /// Wherever a stream is cut, what the client has is a whole message: every block stops, and so does the message.
    #[test]
    fn a_cut_closes_what_is_open(events in any_events(), at in any::<prop::sample::Index>()) {
        let (codec, found, _) = run(&DIALECT, Framing::EventStream, &[&stream(&events)]);
        // A verdict cuts before the message stops, and an exception ends it.
        let sent = found.iter().zip(&events).take_while(|(event, json)| {
            matches!(event.body, Body::Json(_)) && json.get(":event-type").is_some_and(|kind| kind != "messageStop")
        });
        let sent: Vec<_> = sent.map(|(event, _)| event).collect();
        let mut whole: Vec<u8> = sent[..at.index(sent.len() + 1)].iter().flat_map(|event| written(&*codec, event, &[]).unwrap()).collect();
        whole.extend_from_slice(&codec.cut(Cut::Blocked));
        let (_, _, error) = run(&DIALECT, Framing::EventStream, &[&whole]);
        prop_assert_eq!(error, None);
        let (mut open, mut kinds) = (std::collections::BTreeSet::new(), Vec::new());
        for event in events_of(&whole) {
            let index = event["contentBlockIndex"].as_u64();
            match event[":event-type"].as_str().unwrap() {
                "contentBlockStart" | "contentBlockDelta" => drop(open.insert(index)),
                "contentBlockStop" => drop(open.remove(&index)),
                _ => {}
            }
            kinds.push(event[":event-type"].clone());
        }
        prop_assert!(open.is_empty());
        prop_assert_eq!(kinds.iter().filter(|kind| *kind == "messageStart").count(), 1);
        prop_assert_eq!(kinds.iter().filter(|kind| *kind == "messageStop").count(), 1);
    }

    /// Every editable text can be replaced alone, and then reads so.
    #[test]
    fn an_edit_is_what_the_client_reads(piece in any_delta(), pick in any::<usize>(), with in "[a-z\n\"é]{1,6}") {
        an_edit_is_what_is_read(&DIALECT, Framing::EventStream, &delta(0, piece).to_string(), pick, &with);
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), json in "[{}\":a\\[\\],]{0,20}") {
        let event = event("contentBlockDelta", json!({"delta": {"text": "a"}, "contentBlockIndex": 0})).to_string();
        let broken = event.replacen('a', &json, 3);
        for chunk in [&bytes[..], &crate::wire::testing::framed(Framing::EventStream, &broken)] {
            let (codec, events, _) = run(&DIALECT, Framing::EventStream, &[chunk]);
            prop_assert!(events.iter().all(|event| written(&*codec, event, &[]).is_ok()));
        }
    }
}
