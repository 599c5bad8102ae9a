//! Streams: any chunks, any edits.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::{finish, run, said, texts_of};
use crate::text::Kind;
use crate::wire::{Body, Event, Framing};

/// Everything comparable of an event.
fn shown(event: &Event) -> (Vec<String>, bool, usize, Option<Vec<u8>>) {
    let source = match &event.body {
        Body::Json(source) => Some(source.to_vec()),
        Body::End => None,
    };
    (texts_of(event), event.last, event.size, source)
}

fn any_part() -> impl Strategy<Value = Json> {
    let text = "[a-z é\u{2028}\"\\\\]{0,6}";
    prop_oneof![
        6 => text.prop_map(|text| json!({"text": text})),
        2 => text.prop_map(|text| json!({"text": text, "thought": true, "x": {"y z": [text]}})),
        2 => text.prop_map(|text| json!({"functionCall": {"name": "f", "args": {"a": text, "n": 5}}})),
        1 => text.prop_map(|text| json!({"executable_code": {"code": text}, "thoughtSignature": text})),
    ]
}

fn any_event() -> impl Strategy<Value = Json> {
    let parts = || proptest::collection::vec(any_part(), 0..3);
    prop_oneof![
        8 => parts().prop_map(|parts| said(json!(parts))),
        2 => (parts(), parts()).prop_map(|(one, two)| json!({"candidates": [{"content": {"parts": one}}, {"content": {"parts": two}, "index": 1}], "modelVersion": "m"})),
        1 => Just(finish()),
        1 => Just(json!({"usageMetadata": {"totalTokenCount": 1.5e1}})),
        1 => Just(json!({"candidates": [{"index": 1}]})),
        1 => Just(json!({"error": {"message": "m m"}})),
    ]
}

/// A stream as upstreams write it: comments, names, line ends, data over several lines.
fn any_stream() -> impl Strategy<Value = String> {
    let frame = (any_event(), prop::sample::select(vec!["\n", "\r", "\r\n"]), 0..4u8).prop_map(
        |(event, end, style)| match style {
            0 => format!("data: {event}{end}{end}"),
            1 => format!(": note{end}event: x{end}data:{event}{end}{end}"),
            2 => {
                let pretty = serde_json::to_string_pretty(&event).unwrap();
                pretty.lines().map(|line| format!("data: {line}{end}")).collect::<String>() + end
            }
            _ => format!("id: 5{end}data: {event}{end}{end}{end}"),
        },
    );
    (proptest::collection::vec(frame, 0..8), prop::sample::select(vec!["", "data: {", "\n\n\n", "{\"error\":{}}\n"]))
        .prop_map(|(frames, end)| frames.concat() + end)
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
            let frame = std::str::from_utf8(frame).unwrap();
            let Body::Json(source) = &event.body else {
                prop_assert_eq!(frame, "");
                continue;
            };
            let data = frame.strip_prefix("data: ").and_then(|rest| rest.strip_suffix("\n\n")).unwrap();
            let separators = ['\n', '\r', '\u{2028}', '\u{85}'];
            prop_assert!(!data.contains(separators));
            let before: Json = serde_json::from_slice(source).unwrap();
            prop_assert_eq!(serde_json::from_str::<Json>(data).unwrap(), before);
        }
        let (_, again, _) = run(Framing::Sse, &[&written.concat()]);
        let again: Vec<_> = again.iter().take(events.len()).map(texts_of).collect();
        prop_assert_eq!(again, events.iter().map(texts_of).collect::<Vec<_>>());
    }

    /// What the SDK shows of a stream, the texts of all parts that are not thought joined, is one channel to the letter.
    #[test]
    fn what_a_client_shows_is_one_text(events in proptest::collection::vec(proptest::collection::vec(any_part(), 0..4), 0..6)) {
        let stream: String = events.iter().map(|parts| format!("data: {}\n\n", said(json!(parts)))).collect();
        let (_, read, _) = run(Framing::Sse, &[stream.as_bytes()]);
        let thinks = |part: &&Json| part["thought"] == json!(true);
        let parts = || events.iter().flatten();
        for (kind, shown) in [
            (Kind::Content, parts().filter(|part| !thinks(part)).filter_map(|part| part["text"].as_str()).collect::<String>()),
            (Kind::Reasoning, parts().filter(thinks).filter_map(|part| part["text"].as_str()).collect()),
        ] {
            let texts = read.iter().flat_map(|event| &event.texts).filter(|text| text.channel.kind == kind && text.view_of.is_none());
            prop_assert!(texts.clone().all(|text| text.channel.part == 0));
            prop_assert_eq!(texts.map(|text| text.text.as_str()).collect::<String>(), shown);
        }
    }

    /// Every editable text can be replaced alone, and then reads so.
    #[test]
    fn an_edit_is_what_the_client_reads(part in any_part(), pick in any::<prop::sample::Index>(), with in "[a-z\n\"é]{1,6}") {
        let stream = format!("data: {}\n\n", said(json!([part])));
        let (codec, events, _) = run(Framing::Sse, &[stream.as_bytes()]);
        let texts = &events[0].texts;
        prop_assume!(!texts.is_empty());
        let at = pick.index(texts.len());
        let mut edits = vec![None; texts.len()];
        edits[at] = Some(with.clone());
        match codec.encode(&events[0], &edits) {
            Ok(frame) => {
                // By chance it says what stands there: then nothing is edited.
                prop_assert!(texts[at].can_be_edited() || texts[at].text == with);
                let (_, again, _) = run(Framing::Sse, &[&frame]);
                prop_assert_eq!(&again[0].texts[at].text, &with);
            }
            Err(_) => prop_assert!(!texts[at].can_be_edited()),
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), json in any::<bool>()) {
        let framing = if json { Framing::Json } else { Framing::Sse };
        let (_, events, _) = run(framing, &[&bytes]);
        prop_assert!(events.iter().all(|event| event.texts.iter().all(|text| text.channel.kind != Kind::ToolDefinition)));
    }
}
