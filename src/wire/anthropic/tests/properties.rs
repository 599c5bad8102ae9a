//! Streams: any chunks, any edits.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::{begin, delta, end, frame, run, start, stop, stream, texts_of};
use crate::wire::{Body, Event, Framing};

/// Everything comparable of an event.
fn shown(event: &Event) -> (Vec<String>, bool, usize, Option<Vec<u8>>) {
    let source = match &event.body {
        Body::Json(source) => Some(source.to_vec()),
        Body::End => None,
    };
    (texts_of(event), event.last, event.size, source)
}

fn any_delta() -> impl Strategy<Value = Json> {
    let text = "[a-z é\u{2028}\"\\\\]{0,6}";
    prop_oneof![
        6 => text.prop_map(|text| json!({"type": "text_delta", "text": text})),
        1 => text.prop_map(|text| json!({"type": "thinking_delta", "thinking": text, "x": {"y z": [text]}})),
        1 => text.prop_map(|text| json!({"type": "input_json_delta", "partial_json": text})),
        1 => text.prop_map(|text| json!({"type": "citations_delta", "citation": {"cited_text": text, "title": text}})),
        1 => Just(json!({"type": "signature_delta", "signature": "EqQB"})),
    ]
}

/// A block: its start, its deltas, its end.
fn any_block() -> impl Strategy<Value = Vec<Json>> {
    let kind = prop::sample::select(vec!["text", "thinking", "tool_use", "server_tool_use"]);
    (kind, proptest::collection::vec(any_delta(), 0..4)).prop_map(|(kind, deltas)| {
        let block = json!({"type": kind, "text": "", "id": "toolu_1", "name": "f", "input": {}});
        let events = deltas.into_iter().map(|piece| delta(0, piece));
        [start(0, block)].into_iter().chain(events).chain([stop(0)]).collect()
    })
}

/// Events of a message; now and then one that does not belong there.
fn any_events() -> impl Strategy<Value = Vec<Json>> {
    let odd = prop_oneof![
        4 => Just(json!({"type": "ping"})),
        1 => Just(json!({"type": "error", "error": {"type": "api_error", "message": "m m"}})),
        1 => Just(json!({"type": "odd", "note": ["n n"]})),
        1 => Just(delta(9, json!({"text": "a"}))),
        1 => Just(begin()),
    ];
    let blocks = proptest::collection::vec((any_block(), proptest::option::weighted(0.2, odd)), 0..5);
    (blocks, any::<bool>()).prop_map(|(blocks, ends)| {
        let mut events = vec![begin()];
        for (index, (block, odd)) in blocks.into_iter().enumerate() {
            for mut event in block {
                event["index"] = json!(index);
                events.push(event);
            }
            events.extend(odd);
        }
        events.extend(end().into_iter().filter(|_| ends));
        events
    })
}

/// A stream as upstreams write it: comments, names, line ends, data over several lines.
fn any_stream() -> impl Strategy<Value = String> {
    let styles = proptest::collection::vec((prop::sample::select(vec!["\n", "\r", "\r\n"]), 0..4u8), 32);
    (any_events(), styles, prop::sample::select(vec!["", "data: [DONE]\n\n", "data: {"])).prop_map(
        |(events, styles, end)| {
            let styled = |(event, (end, style)): (&Json, &(&str, u8))| match style {
                0 => format!("data: {event}{end}{end}"),
                1 => format!(": note{end}event: x{end}data:{event}{end}{end}"),
                2 => {
                    let pretty = serde_json::to_string_pretty(event).unwrap();
                    pretty.lines().map(|line| format!("data: {line}{end}")).collect::<String>() + end
                }
                _ => format!("id: 5{end}data: {event}{end}{end}{end}"),
            };
            events.iter().zip(styles.iter().cycle()).map(styled).collect::<String>() + end
        },
    )
}

proptest! {
    #[test]
    fn any_chunks_give_the_same_events(stream in any_stream(), cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..10)) {
        let bytes = stream.as_bytes();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        let chunks: Vec<&[u8]> = at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        let (codec, events, error) = run(Framing::Sse, &[bytes]);
        let shown_events: Vec<_> = events.iter().map(shown).collect();
        for chunks in [chunks, bytes.chunks(1).collect()] {
            let (other_codec, other, other_error) = run(Framing::Sse, &chunks);
            prop_assert_eq!(other.iter().map(shown).collect::<Vec<_>>(), shown_events.clone());
            prop_assert_eq!(&other_error, &error);
            for (one, other) in events.iter().zip(&other) {
                let none = vec![None; one.texts.len()];
                prop_assert_eq!(codec.encode(one, &none), other_codec.encode(other, &none));
            }
        }
    }

    /// What is written for an unedited stream is the same stream: same values, same order, and it reads the same again.
    #[test]
    fn unedited_streams_keep_their_values(stream in any_stream()) {
        let (codec, events, _) = run(Framing::Sse, &[stream.as_bytes()]);
        let written: Vec<_> = events.iter().map(|event| codec.encode(event, &vec![None; event.texts.len()]).unwrap()).collect();
        for (event, frame) in events.iter().zip(&written) {
            let Body::Json(source) = &event.body else { continue };
            let frame = std::str::from_utf8(frame).unwrap();
            let (name, data) = frame.trim_end().split_once("data: ").unwrap();
            let separators = ['\n', '\r', '\u{2028}', '\u{85}'];
            prop_assert!(!data.contains(separators) && frame.ends_with("\n\n"));
            let before: Json = serde_json::from_slice(source).unwrap();
            let kind = before["type"].as_str().unwrap();
            prop_assert_eq!(name, if kind == "odd" { String::new() } else { format!("event: {kind}\n") });
            prop_assert_eq!(serde_json::from_str::<Json>(data).unwrap(), before);
        }
        let (_, again, _) = run(Framing::Sse, &[&written.concat()]);
        let again: Vec<_> = again.iter().map(texts_of).collect();
        prop_assert_eq!(&again[..events.len()], &events.iter().map(texts_of).collect::<Vec<_>>()[..]);
    }

    /// Wherever a stream is cut, what the client has is a whole message: every block stops, and so does the message.
    #[test]
    fn a_cut_closes_what_is_open(events in any_events(), at in any::<prop::sample::Index>()) {
        let (codec, events, _) = run(Framing::Sse, &[stream(&events).as_bytes()]);
        let sent = events.iter().filter(|event| matches!(event.body, Body::Json(_)));
        let sent = sent.take_while(|event| !texts_of(event).iter().any(|text| text.contains("m m"))).collect::<Vec<_>>();
        let sent = &sent[..at.index(sent.len() + 1)];
        // A verdict cuts before the message has a reason to stop.
        let sent = sent.iter().take_while(|event| match &event.body {
            Body::Json(source) => serde_json::from_slice::<Json>(source).unwrap()["type"] != "message_delta",
            Body::End => false,
        });
        let mut whole: Vec<u8> = Vec::new();
        for event in sent {
            whole.extend_from_slice(&codec.encode(event, &vec![None; event.texts.len()]).unwrap());
        }
        whole.extend_from_slice(&codec.cut(crate::wire::Cut::Blocked));
        let (_, again, error) = run(Framing::Sse, &[&whole]);
        prop_assert_eq!(error, None);
        let mut open = std::collections::BTreeSet::new();
        let mut kinds = Vec::new();
        for event in &again {
            let Body::Json(source) = &event.body else { panic!("the message stops") };
            let json: Json = serde_json::from_slice(source).unwrap();
            let kind = json["type"].as_str().unwrap().to_owned();
            match &*kind {
                "content_block_start" => prop_assert!(open.insert(json["index"].as_u64())),
                "content_block_stop" => prop_assert!(open.remove(&json["index"].as_u64())),
                _ => {}
            }
            kinds.push(kind);
        }
        prop_assert!(open.is_empty());
        prop_assert_eq!(kinds.iter().filter(|kind| *kind == "message_start").count(), 1);
        prop_assert_eq!(&kinds[kinds.len() - 2..], &["message_delta", "message_stop"]);
    }

    /// Every editable text can be replaced alone, and then reads so.
    #[test]
    fn an_edit_is_what_the_client_reads(piece in any_delta(), pick in any::<prop::sample::Index>(), with in "[a-z\n\"é]{1,6}") {
        let before = frame(&begin()) + &frame(&start(0, json!({"type": "text"})));
        let (codec, events, _) = run(Framing::Sse, &[(before.clone() + &frame(&delta(0, piece))).as_bytes()]);
        let texts = &events[2].texts;
        prop_assume!(!texts.is_empty());
        let at = pick.index(texts.len());
        let mut edits = vec![None; texts.len()];
        edits[at] = Some(with.clone());
        match codec.encode(&events[2], &edits) {
            Ok(frame) => {
                // By chance it says what stands there: then nothing is edited.
                prop_assert!(texts[at].can_be_edited() || texts[at].text == with);
                let (_, again, _) = run(Framing::Sse, &[before.as_bytes(), &frame]);
                prop_assert_eq!(&again[2].texts[at].text, &with);
            }
            Err(_) => prop_assert!(!texts[at].can_be_edited()),
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), json in any::<bool>()) {
        let framing = if json { Framing::Json } else { Framing::Sse };
        let (codec, events, _) = run(framing, &[&bytes]);
        prop_assert!(events.iter().all(|event| codec.encode(event, &vec![None; event.texts.len()]).is_ok()));
    }
}
