//! Streams: any chunks, any edits.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::{finish, run, stream, texts_of};
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

fn any_delta() -> impl Strategy<Value = Json> {
    let text = "[a-z é\u{2028}\"\\\\]{0,6}";
    prop_oneof![
        6 => text.prop_map(|text| json!({"content": text})),
        1 => text.prop_map(|text| json!({"reasoning_content": text, "x": {"y z": [text]}})),
        1 => (0u32..3, text).prop_map(|(index, text)| json!({"tool_calls": [{"index": index, "function": {"arguments": text}}]})),
        1 => Just(json!({"role": "assistant", "content": null})),
        1 => text.prop_map(|text| json!({"refusal": text, "annotations": [{"title": text}]})),
    ]
}

fn any_chunk() -> impl Strategy<Value = Json> {
    prop_oneof![
        8 => (0u32..3, any_delta()).prop_map(|(index, delta)| json!({"id": "c", "choices": [{"index": index, "delta": delta}]})),
        1 => (0u32..3).prop_map(finish),
        1 => Just(json!({"choices": [], "usage": {"total_tokens": 1.5e1}})),
        1 => Just(json!({"choices": [{"index": 900}]})),
        1 => Just(json!({"error": {"message": "m m"}})),
    ]
}

/// A stream as upstreams write it: comments, names, line ends, data over several lines.
fn any_stream() -> impl Strategy<Value = String> {
    let frame = (any_chunk(), prop::sample::select(vec!["\n", "\r", "\r\n"]), 0..4u8).prop_map(
        |(chunk, end, style)| match style {
            0 => format!("data: {chunk}{end}{end}"),
            1 => format!(": note{end}event: x{end}data:{chunk}{end}{end}"),
            2 => {
                serde_json::to_string_pretty(&chunk)
                    .unwrap()
                    .lines()
                    .map(|line| format!("data: {line}{end}"))
                    .collect::<String>()
                    + end
            }
            _ => format!("id: 5{end}data: {chunk}{end}{end}{end}"),
        },
    );
    (
        proptest::collection::vec(frame, 0..8),
        prop::sample::select(vec!["data: [DONE]\n\n", "data: [DONE]", "data: [DONE]\r\n\r\ndata: {\n\n", ""]),
    )
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
            let data = frame.strip_prefix("data: ").and_then(|rest| rest.strip_suffix("\n\n")).unwrap();
            let separators = ['\n', '\r', '\u{2028}', '\u{85}'];
            prop_assert!(!data.contains(separators));
            match &event.body {
                Body::Json(source) => {
                    let before: Json = serde_json::from_slice(source).unwrap();
                    prop_assert_eq!(serde_json::from_str::<Json>(data).unwrap(), before);
                }
                Body::End => prop_assert_eq!(data, "[DONE]"),
            }
        }
        let (_, again, _) = run(Framing::Sse, &[&written.concat()]);
        // Behind an error of the stream the codec adds an end mark; it reads nothing else into it.
        let again: Vec<_> = again.iter().take(events.len()).map(texts_of).collect();
        prop_assert_eq!(again, events.iter().map(texts_of).collect::<Vec<_>>());
    }

    /// Every editable text can be replaced alone, and then reads so.
    #[test]
    fn an_edit_is_what_the_client_reads(delta in any_delta(), pick in any::<prop::sample::Index>(), with in "[a-z\n\"é]{1,6}") {
        let chunk = json!({"id": "c", "choices": [{"index": 0, "delta": delta}]});
        let (codec, events, _) = run(Framing::Sse, &[stream(&[chunk]).as_bytes()]);
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
