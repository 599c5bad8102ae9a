//! Answers: texts and channels, what is told again, what is written.

use serde_json::{Value as Json, json};

use super::told::{Item, Part, response, told};
use super::{as_it_came, data, run, stream, texts_of};
use crate::wire::openai_responses::OpenAiResponses;
use crate::wire::{AnswerCodec, Dialect, Event, Framing, WireError};

const OPAQUE: &str = "gAAAAABnpU3KGCUwux1tEyze1iN7LtkeP3IfyxlxF0SU1kk8nVw0YL4xIB5p_tqg7ui5mX9cfCmZ_a_lkyU81lSvTfrXFCegrrP-6SMvivIhH57kkcWxC-y1Vjv8Hm-TQn7LyP4pVeXNjkbcjtS3wnZNKlpNdncG-F2GkAJK1r2jQBvpyMvMyTX2zR9hImrhUziuGjQATTO6DSRqwEyBsbryPjv57vX3nytJNK-H9VILablLDZguhbtV";

fn message(text: &str) -> Item {
    Item::Message(vec![Part::Said(text.into())])
}

/// Pieces of two characters.
fn twos(text: &str) -> Vec<String> {
    text.as_bytes().chunks(2).map(|piece| String::from_utf8_lossy(piece).into()).collect()
}

/// The texts of each event.
fn judged(events: &[Json]) -> Vec<Vec<String>> {
    let (_, events, error) = run(Framing::Sse, &[stream(events).as_bytes()]);
    assert!(matches!(error, None | Some(WireError::Truncated)), "{error:?}");
    events.iter().map(texts_of).collect()
}

fn unary(body: &Json) -> (Box<dyn AnswerCodec>, Event) {
    let (codec, mut events, error) = run(Framing::Json, &[body.to_string().as_bytes()]);
    assert_eq!(error, None, "{body}");
    assert!(events.len() == 1 && events[0].last);
    (codec, events.remove(0))
}

fn delta(text: &str) -> Json {
    json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "item_id": "msg_1", "delta": text})
}

#[test]
fn a_stream_is_judged_once() {
    let events = told(&[message("Hello"), Item::Call("{\"a\":1}".into())], &mut twos);
    let (_, events, error) = run(Framing::Sse, &[stream(&events).as_bytes()]);
    assert_eq!(error, None);
    let texts: Vec<_> = events.iter().map(|event| (texts_of(event).join(" | "), event.last)).collect();
    let expected = [
        ("word 0 !gpt-x | other 0 be kind", false),
        ("word 0 ! | other 0 ", false),
        ("", false),
        ("", false),
        ("content 0 He", false),
        ("content 0 ll", false),
        ("content 0 o", false),
        ("content 0 ", false),
        ("content 0 ", false),
        ("content 0 ", false),
        ("name 0 !get", true),
        ("tool_arguments 0 {\"", true),
        ("tool_arguments 0 a\"", true),
        ("tool_arguments 0 :1", true),
        ("tool_arguments 0 }", true),
        ("tool_arguments 0 ", true),
        ("name 0 ! | tool_arguments 0 ", true),
        ("word 0 ! | other 0  | content 0  | name 0 ! | tool_arguments 0 ", true),
    ];
    assert_eq!(texts, expected.map(|(text, last)| (text.to_owned(), last)));
}

#[test]
fn what_the_request_said_is_not_judged_again() {
    let tool = |description: &str| json!({"type": "function", "name": "get", "description": description, "parameters": {"maximum": 5}});
    let request = json!({"model": "gpt-x", "input": "hello you", "instructions": "be kind", "metadata": {"k": "v"}, "tools": [tool("gets")]});
    let dialect = OpenAiResponses::new(1000);
    let prompt = dialect.parse_request(request.to_string().into(), "").unwrap();
    let texts = |instructions: &str, description: &str, said: &str| {
        let mut response = response("completed", &[message(said).json(0, "completed")]);
        response["instructions"] = json!(instructions);
        response["metadata"] = json!({"k": "v"});
        response["tools"] = json!([tool(description)]);
        let mut codec = dialect.answer_to(&*prompt, Framing::Sse, 10_000);
        codec.push(stream(&[json!({"type": "response.completed", "response": response})]).as_bytes()).unwrap();
        let event = codec.next().unwrap();
        assert_eq!(data(&as_it_came(&*codec, &event))[0]["response"], response);
        texts_of(&event)
    };
    // Elsewhere the same words are the model's.
    assert_eq!(texts("be kind", "gets", "be kind"), ["word 0 !gpt-x", "content 0 be kind"]);
    assert_eq!(
        texts("be kind ", "be", "x"),
        ["word 0 !gpt-x", "other 0 be kind ", "content 0 x", "tool_definition 0 be"]
    );
}

#[test]
fn what_readers_join_has_one_channel_and_each_other_text_its_own() {
    let items = [
        Item::Reasoning(vec!["s0".into(), "s1".into()], vec!["r0".into()]),
        Item::Message(vec![Part::Said("c0".into()), Part::Refused("n0".into())]),
        message("c1"),
        Item::Custom("i0".into()),
    ];
    let texts: Vec<_> = judged(&told(&items, &mut twos)).concat();
    let new: Vec<_> =
        texts.iter().filter(|text| text.ends_with(['0', '1']) && text.len() > 9).map(String::as_str).collect();
    assert_eq!(
        new,
        [
            "reasoning 0 s0",
            "reasoning 0 s1",
            "reasoning 1 !\ns0\ns1",
            "reasoning 2 r0",
            "content 0 c0",
            "refusal 0 n0",
            "content 0 c1",
            "content 1 !\nc0\nc1",
            "tool_arguments 0 i0"
        ]
    );
}

#[test]
fn what_is_redacted_is_so_in_every_copy() {
    let events =
        told(&[message("my swordfish"), Item::Call("{\"to\":\"bob\"}".into())], &mut |text| vec![text.to_owned()]);
    let (codec, events, _) = run(Framing::Sse, &[stream(&events).as_bytes()]);
    let mask = |text: &str| text.replace("swordfish", "[P]").replace("bob", "[N]");
    let mut written = Vec::new();
    for event in &events {
        let texts: Vec<_> =
            event.texts.iter().map(|text| Some(mask(&text.text)).filter(|new| *new != text.text)).collect();
        written.extend_from_slice(&codec.encode(event, &texts).unwrap());
    }
    let text = String::from_utf8(written.clone()).unwrap();
    assert!(!text.contains("swordfish") && !text.contains("bob"), "{text}");
    assert_eq!((text.matches("my [P]").count(), text.matches("[N]").count()), (5, 4));
    let agreed = super::told::agreed(&data(&written));
    assert_eq!(agreed["0/content/0"], "my [P]");
    assert_eq!(agreed["1/arguments"], "{\"to\":\"[N]\"}");
}

#[test]
fn a_redaction_that_breaks_arguments_blocks() {
    let events = told(&[Item::Call("{\"to\":5}".into())], &mut |text| vec![text.to_owned()]);
    let (codec, events, _) = run(Framing::Sse, &[stream(&events).as_bytes()]);
    let mut ends = Vec::new();
    for event in &events {
        let texts: Vec<_> =
            event.texts.iter().map(|text| text.text.contains('5').then(|| "{\"to\":#}".to_owned())).collect();
        ends.push(codec.encode(event, &texts).err());
    }
    let broken: Vec<_> = ends.into_iter().flatten().collect();
    assert!(matches!(&broken[0], WireError::NotEditable { at } if at == "arguments"), "{broken:?}");
    assert_eq!(broken.len(), 3);
}

#[test]
fn a_copy_that_says_more_or_something_else_is_judged() {
    let copy =
        |text: &str| json!({"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": text});
    let item = json!({"type": "response.output_item.done", "output_index": 0, "item": message("Hello, you").json(0, "completed")});
    let (codec, events, _) =
        run(Framing::Sse, &[stream(&[delta("Hello"), copy("Hello, you"), item, copy("Bye"), copy("Hell")]).as_bytes()]);
    let texts: Vec<_> = events.iter().flat_map(texts_of).collect();
    assert_eq!(texts, ["content 0 Hello", "content 0 , you", "content 0 ", "content 0 !\nBye", "content 0 !\nHell"]);
    codec.encode(&events[0], &[Some("H#".into())]).unwrap();
    let more = codec.encode(&events[1], &[Some("!".into())]).unwrap();
    assert_eq!(data(&more)[0]["text"], "H#!");
    assert_eq!(data(&as_it_came(&*codec, &events[2]))[0]["item"]["content"][0]["text"], "H#!");
    assert_eq!(data(&as_it_came(&*codec, &events[3]))[0]["text"], "Bye");

    // Another kind of text in the same place, and what a piece says of no item.
    let refused = json!({"type": "response.content_part.done", "output_index": 0, "content_index": 0, "part": {"type": "refusal", "refusal": "Hello"}});
    assert_eq!(judged(&[delta("Hello"), refused]).concat(), ["content 0 Hello", "refusal 0 Hello"]);
    let nowhere = json!({"type": "response.output_text.delta", "delta": "x"});
    let (_, events, error) = run(Framing::Sse, &[stream(&[delta("a"), nowhere]).as_bytes()]);
    assert_eq!((events.len(), error.unwrap().to_string()), (1, "output_index: is missing".to_owned()));
}

#[test]
fn events_that_nobody_knows_are_judged_and_leave() {
    let events = [
        json!({"type": "response.sparkle", "delta": "x", "n": {"a": ["b"]}}),
        json!({"type": "response.sparkle", "delta": "y"}),
        json!({"type": "keepalive"}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "sparkle", "id": "s s", "text": "t"}}),
    ];
    let (codec, read, _) = run(Framing::Sse, &[stream(&events).as_bytes()]);
    let texts: Vec<_> = read.iter().map(|event| (texts_of(event).join(" | "), event.last)).collect();
    let expected = [
        ("word 0 !response.sparkle | other 0 !delta | other 1 x | other 2 !n | other 3 !a | other 4 b", false),
        ("word 0 ! | other 0 ! | other 1 \ny | other 5 !xy", false),
        ("word 0 !\nkeepalive", false),
        ("other 6 !type | other 7 sparkle | other 8 !id | other 9 s s | other 10 !text | other 11 t", true),
    ];
    assert_eq!(texts, expected.map(|(text, last)| (text.to_owned(), last)));
    for (event, before) in read.iter().zip(&events) {
        let written = as_it_came(&*codec, event);
        let named = written.starts_with(b"event: response.output_item.added\n");
        assert_eq!(named, before["item"].is_object());
        assert!(named || written.starts_with(b"data: "));
        let mut after = data(&written).remove(0);
        after.as_object_mut().unwrap().remove("sequence_number");
        assert_eq!(after, *before);
    }
}

#[test]
fn images_and_sound_are_refused() {
    let item = |item: Json| json!({"type": "response.output_item.done", "output_index": 0, "item": item});
    for event in [
        json!({"type": "response.audio.delta", "delta": "UklGR"}),
        json!({"type": "response.image_generation_call.partial_image", "output_index": 0, "partial_image_b64": "iVBOR"}),
        item(json!({"type": "image_generation_call", "result": "iVBOR"})),
        item(json!({"type": "computer_call_output", "output": {"type": "computer_screenshot", "image_url": "u"}})),
        item(json!({"type": "function_call_output", "output": [{"type": "input_image", "file_id": "u"}]})),
        item(json!({"type": "code_interpreter_call", "outputs": [{"type": "image", "url": "u"}]})),
    ] {
        let (_, events, error) = run(Framing::Sse, &[stream(&[delta("a"), event.clone()]).as_bytes()]);
        assert!(events.len() == 1 && matches!(error, Some(WireError::Unsupported { .. })), "{event}: {error:?}");
    }
    assert_eq!(
        judged(&[json!({"type": "response.audio.transcript.delta", "delta": "said"})]).concat(),
        ["content 0 said"]
    );
}

#[test]
fn encrypted_reasoning_is_no_text_and_prose_in_its_place_is() {
    let done = |content: &str| {
        let item = json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": content});
        json!({"type": "response.output_item.done", "output_index": 0, "item": item})
    };
    assert_eq!(judged(&[done(OPAQUE)]), [Vec::<String>::new()]);
    assert_eq!(judged(&[done("blue bird")]).concat(), ["other 0 !blue bird"]);
    assert_eq!(judged(&[done("Ymx1ZSBiaXJk")]).concat(), ["word 0 !Ymx1ZSBiaXJk"]);
}

#[test]
fn log_probabilities_stay_only_where_they_spell_the_text() {
    let sound =
        json!([{"token": "h", "logprob": -0.5, "bytes": [104], "top_logprobs": []}, {"token": "i", "logprob": -0.1}]);
    let none = json!([]);
    for (logprobs, expected) in [
        (sound.clone(), &sound),
        (none.clone(), &none),
        (
            json!([{"token": "hi", "logprob": -1, "top_logprobs": [{"token": "bluebird", "logprob": -1}]}]),
            &json!([{"token": "hi", "logprob": -1, "top_logprobs": []}]),
        ),
        (json!([{"token": "ho"}]), &none),
        (json!([{"token": "hi", "note": "bluebird"}]), &none),
        (json!([{"token": "hi", "bytes": [104, 111]}]), &none),
        (json!("bluebird"), &none),
        (json!({"token": "bluebird"}), &none),
        (json!([["bluebird"]]), &none),
        (json!(7), &none),
        (Json::Null, &Json::Null),
    ] {
        let part = json!({"type": "output_text", "text": "hi", "annotations": [], "logprobs": logprobs});
        let item = json!({"id": "msg_1", "type": "message", "role": "assistant", "content": [part]});
        let place = json!({"output_index": 0, "content_index": 0});
        let at = |kind: &str, name: &str, value: Json| {
            let mut event = place.clone();
            event["type"] = json!(kind);
            event[name] = value;
            event
        };
        let mut events = [
            at("response.output_text.delta", "delta", json!("hi")),
            at("response.output_text.done", "text", json!("hi")),
            at("response.content_part.done", "part", part.clone()),
            at("response.output_item.done", "item", item.clone()),
            at("response.completed", "response", response("completed", std::slice::from_ref(&item))),
        ];
        events[0]["logprobs"] = logprobs.clone();
        events[1]["logprobs"] = logprobs.clone();
        let paths = [
            "/logprobs",
            "/logprobs",
            "/part/logprobs",
            "/item/content/0/logprobs",
            "/response/output/0/content/0/logprobs",
        ];
        for (edit, expected) in [(None, expected), (Some("#"), if logprobs.is_null() { expected } else { &none })] {
            let (codec, read, error) = run(Framing::Sse, &[stream(&events).as_bytes()]);
            assert_eq!(error, None);
            for (event, path) in read.iter().zip(paths) {
                let texts = event
                    .texts
                    .iter()
                    .map(|text| edit.filter(|_| text.text == "hi").map(str::to_owned))
                    .collect::<Vec<_>>();
                let written = codec.encode(event, &texts).unwrap();
                assert_eq!(data(&written)[0].pointer(path), Some(expected), "{path} {logprobs} {edit:?}");
                assert!(!std::str::from_utf8(&written).unwrap().contains("bluebird"));
            }
        }
        let (codec, event) = unary(&response("completed", &[item]));
        let written: Json = serde_json::from_slice(&as_it_came(&*codec, &event)).unwrap();
        assert_eq!(written.pointer("/output/0/content/0/logprobs"), Some(expected), "{logprobs}");
    }
    // Where no log-probabilities belong they are text.
    for item in [
        json!({"type": "reasoning", "summary": [{"type": "output_text", "text": "a", "logprobs": [{"token": "bluebird"}]}]}),
        json!({"type": "reasoning", "content": [{"type": "output_text", "text": "a", "logprobs": [{"token": "bluebird"}]}]}),
        json!({"type": "function_call_output", "output": [{"type": "output_text", "text": "a", "logprobs": [{"token": "bluebird"}]}]}),
        json!({"type": "message", "content": [{"type": "refusal", "logprobs": [{"token": "bluebird"}]}]}),
    ] {
        let event = json!({"type": "response.output_item.done", "output_index": 0, "item": item});
        assert!(judged(&[event]).concat().iter().any(|text| text.ends_with("bluebird")), "{item}");
    }
    // In an event that nobody knows they are text, and emptied all the same.
    let odd = json!({"type": "response.sparkle", "item": {"content": [{"logprobs": ["bluebird"]}]}});
    let (codec, events, _) = run(Framing::Sse, &[stream(&[odd]).as_bytes()]);
    let texts: Vec<_> = events[0].texts.iter().map(|text| (text.text == "bluebird").then(|| "#".to_owned())).collect();
    assert_eq!(data(&codec.encode(&events[0], &texts).unwrap())[0].pointer("/item/content/0/logprobs"), Some(&none));
}

#[test]
fn finds_and_writes_the_texts_of_a_whole_body() {
    let items =
        [Item::Reasoning(vec!["s".into()], vec![]), message("my swordfish"), Item::Call("{\"a\":\"b\"}".into())];
    let output: Vec<_> = items.iter().enumerate().map(|(at, item)| item.json(at, "completed")).collect();
    let body = response("completed", &output);
    let (codec, event) = unary(&body);
    assert_eq!(
        texts_of(&event),
        [
            "word 0 !gpt-x",
            "other 0 be kind",
            "reasoning 0 s",
            "content 0 my swordfish",
            "name 0 !get",
            "tool_arguments 0 {\"a\":\"b\"}"
        ]
    );
    let written: Json = serde_json::from_slice(&as_it_came(&*codec, &event)).unwrap();
    assert_eq!(written, body);
    let mut texts = vec![None; event.texts.len()];
    texts[3] = Some("my [P]".to_owned());
    let written: Json = serde_json::from_slice(&codec.encode(&event, &texts).unwrap()).unwrap();
    assert_eq!(written["output"][1]["content"][0]["text"], "my [P]");
    texts[5] = Some("{#}".to_owned());
    assert!(matches!(codec.encode(&event, &texts), Err(WireError::NotEditable { .. })));

    let (_, event) =
        unary(&json!({"error": {"message": "the prompt said x", "type": "t", "code": null, "param": null}}));
    assert_eq!(texts_of(&event), ["other 0 the prompt said x", "word 0 !t"]);
}
