//! Streams of dialects of the file: choices, parts, ends, lines; any chunks, and edits.

use portcullis::wire::{Cut, Dialect, Event, Framing, Refusal, WireError};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::bodies::{cohere, tgi};
use crate::{ACME, dialect, example, leaves, run, stream};

#[test]
fn the_texts_of_an_array_are_one_text_of_an_answer() {
    let dialect = dialect(&ACME.replace("\"/piece\"]", "\"/piece\", \"/parts/*/text\"]"));
    let parts = |texts: &[&str]| json!({"parts": texts.iter().map(|text| json!({"text": text})).collect::<Vec<_>>()});
    let joined = |events: &[Event]| -> String {
        let texts = events.iter().flat_map(|event| &event.texts);
        let texts: Vec<_> = texts.filter(|text| text.view_of.is_none()).collect();
        assert!(texts.iter().all(|text| text.channel == texts[0].channel));
        texts.iter().map(|text| text.text.as_str()).collect()
    };
    let (_, events, _) = run(&dialect, Framing::Json, &[parts(&["blue", "bird"]).to_string().as_bytes()]);
    assert_eq!(joined(&events), "bluebird");
    let (_, events, _) = run(&dialect, Framing::Sse, &[stream(&[parts(&["b", "lu"]), parts(&["ebird"])]).as_bytes()]);
    assert_eq!(joined(&events), "bluebird");
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
                Err(_) => prop_assert!(!event.texts[at].can_be_edited() || event.texts[at].text.is_empty()),
                Ok(frame) => {
                    prop_assert!(event.texts[at].can_be_edited());
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
