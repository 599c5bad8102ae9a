//! Media and ids over all dialects: what is refused, what goes by and is counted, what of it is judged.

use serde_json::{Value as Json, json};

use crate::text::{Media, MediaSet};
use crate::wire::anthropic::Anthropic;
use crate::wire::gemini::Gemini;
use crate::wire::ollama::{Api, Ollama};
use crate::wire::openai_chat::OpenAiChat;
use crate::wire::openai_images;
use crate::wire::openai_moderations;
use crate::wire::openai_responses::OpenAiResponses;
use crate::wire::testing::run;
use crate::wire::{Bounds, Dialect, Framing, WireError};

/// The first bytes of a PNG.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=";
const PATH: &str = "/v1beta/models/m:generateContent";

fn bounds(pass: &[Media]) -> Bounds {
    Bounds { pass: pass.iter().copied().collect::<MediaSet>(), ..Bounds::of(100) }
}

fn dialect(name: &str, bounds: Bounds) -> Box<dyn Dialect> {
    match name {
        "chat" => Box::new(OpenAiChat::new(bounds)),
        "responses" => Box::new(OpenAiResponses::new(bounds)),
        "anthropic" => Box::new(Anthropic::new(bounds)),
        "gemini" => Box::new(Gemini::new(bounds)),
        "ollama_chat" => Box::new(Ollama::new(Api::Chat, bounds)),
        "ollama_generate" => Box::new(Ollama::new(Api::Generate, bounds)),
        "images" => Box::new(openai_images::dialect(bounds)),
        "moderations" => Box::new(openai_moderations::dialect(bounds)),
        other => panic!("{other}"),
    }
}

/// A request with this part at this place, and its dialect.
fn request(place: &str, part: Json) -> (&'static str, Json) {
    match place {
        "chat" => ("chat", json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "see"}, part]}]})),
        "responses" => ("responses", json!({"input": [{"role": "user", "content": [part]}]})),
        "output" => {
            ("responses", json!({"input": [{"type": "function_call_output", "call_id": "c", "output": [part]}]}))
        }
        "anthropic" => ("anthropic", json!({"messages": [{"role": "user", "content": [part]}]})),
        "result" => (
            "anthropic",
            json!({"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [part]}]}]}),
        ),
        "gemini" => ("gemini", json!({"contents": [{"parts": [{"text": "see"}, part]}]})),
        "ollama_chat" => ("ollama_chat", json!({"messages": [{"role": "user", "content": "see", "images": [part]}]})),
        "ollama_generate" => ("ollama_generate", json!({"prompt": "see", "images": [part]})),
        "moderations" => ("moderations", json!({"input": [part]})),
        other => panic!("{other}"),
    }
}

/// Every place of media, with `~` where its bytes or its address stand, and the kind.
fn places() -> Vec<(&'static str, Json, Media)> {
    let source = |media_type: &str| json!({"type": "base64", "media_type": media_type, "data": "~"});
    vec![
        ("chat", json!({"type": "image_url", "image_url": {"url": "~", "detail": "low"}}), Media::Image),
        ("chat", json!({"type": "image_url", "image_url": "~"}), Media::Image),
        ("chat", json!({"type": "text", "text": "a", "image_url": {"url": "~"}}), Media::Image),
        ("chat", json!({"type": "input_audio", "input_audio": {"data": "~", "format": "wav"}}), Media::Audio),
        ("chat", json!({"type": "audio_url", "audio_url": {"url": "~"}}), Media::Audio),
        ("chat", json!({"type": "video_url", "video_url": {"url": "~"}}), Media::Video),
        ("chat", json!({"type": "file", "file": {"file_data": "~", "filename": "a.pdf"}}), Media::File),
        ("responses", json!({"type": "input_image", "image_url": "~", "detail": "auto"}), Media::Image),
        ("responses", json!({"type": "input_audio", "input_audio": {"data": "~", "format": "mp3"}}), Media::Audio),
        ("responses", json!({"type": "input_file", "file_data": "~", "filename": "a.pdf"}), Media::File),
        ("responses", json!({"type": "input_file", "file_url": "~"}), Media::File),
        ("output", json!({"type": "input_image", "image_url": "~"}), Media::Image),
        ("anthropic", json!({"type": "image", "source": source("image/png")}), Media::Image),
        ("anthropic", json!({"type": "image", "source": {"type": "url", "url": "~"}}), Media::Image),
        ("anthropic", json!({"type": "document", "title": "t", "source": source("application/pdf")}), Media::File),
        ("anthropic", json!({"type": "document", "source": {"type": "url", "url": "~"}}), Media::File),
        ("result", json!({"type": "image", "source": source("image/jpeg")}), Media::Image),
        ("gemini", json!({"inlineData": {"mimeType": "image/png", "data": "~"}}), Media::Image),
        ("gemini", json!({"inline_data": {"mime_type": "audio/wav", "data": "~"}}), Media::Audio),
        ("gemini", json!({"inlineData": {"mimeType": "application/pdf", "data": "~"}}), Media::File),
        ("gemini", json!({"fileData": {"mimeType": "video/mp4", "fileUri": "~"}}), Media::Video),
        ("gemini", json!({"fileData": {"fileUri": "~"}}), Media::File),
        ("ollama_chat", json!("~"), Media::Image),
        ("ollama_generate", json!("~"), Media::Image),
        ("moderations", json!({"type": "image_url", "image_url": {"url": "~"}}), Media::Image),
    ]
}

fn body(place: &(&'static str, Json, Media), blob: &str) -> (&'static str, String) {
    let (name, body) = request(place.0, place.1.clone());
    (name, body.to_string().replace("\"~\"", &json!(blob).to_string()))
}

#[test]
fn media_goes_by_where_its_kind_may_and_is_counted() {
    for place in places() {
        let (name, body) = body(&place, PNG);
        let others: Vec<Media> = Media::ALL.into_iter().filter(|kind| *kind != place.2).collect();
        for pass in [&[][..], &others] {
            let refused = dialect(name, bounds(pass)).parse_request(body.clone().into(), PATH).err();
            assert!(matches!(refused, Some(WireError::Unsupported { .. })), "{body}: {refused:?}");
        }
        let prompt = dialect(name, bounds(&[place.2])).parse_request(body.clone().into(), PATH);
        let prompt = prompt.unwrap_or_else(|error| panic!("{error}: {body}"));
        assert_eq!(prompt.media().iter().collect::<Vec<_>>(), [(place.2, 1)], "{body}");
        assert!(prompt.segments().iter().all(|segment| !segment.text.contains("iVBOR")), "{body}");
        assert_eq!(&prompt.edited(&Default::default()).unwrap()[..], body.as_bytes());
    }
}

#[test]
fn what_can_be_read_of_media_is_judged() {
    for place in places() {
        for (blob, text) in [
            ("cHJvamVjdCBibHVlYmlyZA==", "project bluebird"),
            ("data:text/plain,project%20bluebird", "project bluebird"),
            ("data:image/png;base64,cHJvamVjdCBibHVlYmlyZA==", "project bluebird"),
            ("https://example.com/bluebird.png", "https://example.com/bluebird.png"),
        ] {
            let (name, body) = body(&place, blob);
            let prompt = dialect(name, bounds(&Media::ALL)).parse_request(body.clone().into(), PATH).unwrap();
            let found: Vec<_> = prompt.segments().iter().filter(|segment| &*segment.text == text).collect();
            assert!(found.len() == 1 && !found[0].place.editable, "{body}");
            assert!(!prompt.media().is_empty());
        }
        for blob in ["file:///etc/passwd", "http://127.0.0.1/", "not base64", "data:text/plain;charset=utf-7,+AGI-"] {
            let (name, body) = body(&place, blob);
            let refused = dialect(name, bounds(&Media::ALL)).parse_request(body.clone().into(), PATH).err();
            assert!(matches!(refused, Some(WireError::Shape { .. })), "{body}: {refused:?}");
        }
    }
}

#[test]
fn what_stands_around_media_is_judged_and_parts_nothing() {
    let (name, body) =
        request("chat", json!({"type": "file", "file": {"file_data": PNG, "filename": "bluebird.pdf", "x": "odd"}}));
    let prompt = dialect(name, bounds(&[Media::File])).parse_request(body.to_string().into(), "").unwrap();
    let texts: Vec<_> = prompt.segments().iter().map(|segment| &*segment.text).collect();
    assert_eq!(texts, ["bluebird.pdf", "x\nodd", "see"]);
    let content = json!([{"type": "text", "text": "blue"}, {"type": "image_url", "image_url": {"url": "https://a.com/b"}}, {"type": "text", "text": "bird"}]);
    let body = json!({"messages": [{"role": "user", "content": content}]});
    let prompt = dialect("chat", bounds(&[Media::Image])).parse_request(body.to_string().into(), "").unwrap();
    assert!(prompt.segments().iter().any(|segment| &*segment.text == "bluebird"));
    let (name, body) = request(
        "anthropic",
        json!({"type": "document", "title": "t t", "context": "c c", "source": {"type": "url", "url": "https://a.com/b"}}),
    );
    let prompt = dialect(name, bounds(&[Media::File])).parse_request(body.to_string().into(), "").unwrap();
    let texts: Vec<_> = prompt.segments().iter().map(|segment| &*segment.text).collect();
    assert_eq!(texts, ["t t", "c c", "https://a.com/b"]);
}

#[test]
fn some_is_refused_even_so() {
    for (kind, part) in [
        ("chat", json!({"type": "file", "file": {"file_id": "file-1"}})),
        ("chat", json!({"type": "image_url"})),
        ("chat", json!({"type": "image_embeds", "image_embeds": "x"})),
        ("responses", json!({"type": "input_file", "file_id": "file-1"})),
        ("responses", json!({"type": "input_image", "file_id": "file-1"})),
        ("anthropic", json!({"type": "image", "source": {"type": "file", "file_id": "f"}})),
        ("anthropic", json!({"type": "image", "source": {"type": "text", "media_type": "text/plain", "data": "a"}})),
        ("anthropic", json!({"type": "document", "source": {"type": "file", "file_id": "f"}})),
        ("anthropic", json!({"type": "image"})),
        (
            "anthropic",
            json!({"type": "image", "source": {"type": "base64", "media_type": "text/html", "data": "aGk="}}),
        ),
        ("gemini", json!({"inlineData": {"mimeType": "text/plain", "data": "aGk="}})),
        ("gemini", json!({"inlineData": {"mimeType": "image/svg+xml", "data": "aGk="}})),
        ("gemini", json!({"fileData": {"mimeType": "text/plain", "fileUri": "https://a.com/b"}})),
    ] {
        let (name, body) = request(kind, part);
        assert!(dialect(name, bounds(&Media::ALL)).parse_request(body.to_string().into(), PATH).is_err(), "{body}");
    }
    // A media type that is none is a text.
    let (_, body) = request("gemini", json!({"inlineData": {"mimeType": "image/project-bluebird", "data": PNG}}));
    let prompt = dialect("gemini", bounds(&[Media::Image])).parse_request(body.to_string().into(), PATH).unwrap();
    assert!(prompt.segments().iter().any(|segment| &*segment.text == "image/project-bluebird"));
}

#[test]
fn an_answer_in_sound_or_pictures_is_asked_for_where_it_may_come() {
    for (name, body, kind) in [
        (
            "chat",
            json!({"messages": [], "modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}),
            Media::Audio,
        ),
        ("chat", json!({"messages": [], "modalities": ["image"]}), Media::Image),
        (
            "gemini",
            json!({"contents": [], "generationConfig": {"responseModalities": ["TEXT", "IMAGE"], "imageConfig": {"aspectRatio": "1:1"}}}),
            Media::Image,
        ),
        (
            "gemini",
            json!({"contents": [], "generationConfig": {"responseModalities": ["AUDIO"], "speechConfig": {}}}),
            Media::Audio,
        ),
    ] {
        let parse = |pass: &[Media]| dialect(name, bounds(pass)).parse_request(body.to_string().into(), PATH);
        assert!(parse(&[]).is_err() && parse(&[Media::File]).is_err(), "{body}");
        let prompt = parse(&[kind]).unwrap_or_else(|error| panic!("{error}: {body}"));
        assert!(prompt.media().is_empty(), "nothing came by");
    }
}

#[test]
fn media_of_answers_goes_by_where_its_kind_may_and_is_counted() {
    let part = json!({"inlineData": {"mimeType": "image/png", "data": PNG}});
    for (name, answer, kind, count) in [
        (
            "images",
            json!({"created": 1, "data": [{"b64_json": PNG}, {"b64_json": PNG, "revised_prompt": "a cat"}]}),
            Media::Image,
            2,
        ),
        ("images", json!({"data": [{"url": "https://images.example.com/a.png"}]}), Media::Image, 1),
        (
            "chat",
            json!({"choices": [{"index": 0, "message": {"role": "assistant", "audio": {"id": "audio_1", "data": PNG, "transcript": "hi"}}}]}),
            Media::Audio,
            1,
        ),
        (
            "gemini",
            json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "see"}, part]}, "finishReason": "STOP"}]}),
            Media::Image,
            1,
        ),
        ("ollama_generate", json!({"model": "m", "image": PNG, "done": true}), Media::Image, 1),
        (
            "ollama_chat",
            json!({"message": {"role": "assistant", "content": "see", "images": [PNG, PNG]}, "done": true}),
            Media::Image,
            2,
        ),
    ] {
        let decode =
            |pass: &[Media]| run(&*dialect(name, bounds(pass)), Framing::Json, &[answer.to_string().as_bytes()]);
        assert!(matches!(decode(&[]).2, Some(WireError::Unsupported { .. })), "{answer}");
        let (codec, events, error) = decode(&[kind]);
        assert_eq!(error, None, "{answer}");
        assert!(codec.media().is_empty(), "nothing has left");
        let texts = vec![None; events[0].texts.len()];
        let out = codec.encode(&events[0], &texts).unwrap();
        assert_eq!(serde_json::from_slice::<Json>(&out).unwrap(), answer);
        assert_eq!(codec.media().iter().collect::<Vec<_>>(), [(kind, count)], "{answer}");
        assert!(events[0].texts.iter().all(|text| !text.text.contains("iVBOR")));
    }
    let read = json!({"data": [{"b64_json": "cHJvamVjdCBibHVlYmlyZA=="}, {"url": "http://127.0.0.1/bluebird"}]});
    let (_, events, _) =
        run(&*dialect("images", bounds(&[Media::Image])), Framing::Json, &[read.to_string().as_bytes()]);
    let texts: Vec<_> = events[0].texts.iter().map(|text| &*text.text).collect();
    assert_eq!(texts, ["project bluebird", "http://127.0.0.1/bluebird"]);
}

/// Bytes in base64 that say nothing: of a picture, or signed.
fn noise() -> String {
    "OLTmUuRNp/I3DZ4mDicTZVCko6bQf1wMMy+LEiQIP9IrkC+JEegYGPjJnV1dmDGVdQTZDpRd4uj1TueBzHX2NlCZCQ".repeat(4)
}

/// Answers with a picture under names of its own, whole and of a stream. `media`: the kind that lets it by.
fn drawn(uri: &str, base64: &str) -> Vec<(&'static str, Framing, Json, Option<Media>)> {
    let chat =
        |said: Json| json!({"id": "chatcmpl-1", "choices": [{"index": 0, "message": said, "finish_reason": "stop"}]});
    let delta =
        |said: Json| json!({"id": "chatcmpl-1", "choices": [{"index": 0, "delta": said, "finish_reason": "stop"}]});
    let claude = |block: Json| json!({"id": "msg_1", "type": "message", "role": "assistant", "content": [block]});
    let response = |item: Json| json!({"id": "resp_1", "object": "response", "status": "completed", "output": [item]});
    let gemini = |part: Json| json!({"candidates": [{"content": {"parts": [part]}, "finishReason": "STOP"}]});
    let part = json!({"type": "image_url", "image_url": {"url": uri}, "index": 0});
    let source = json!({"type": "base64", "media_type": "image/png", "data": base64});
    let output = json!({"type": "message", "id": "msg_1", "content": [{"type": "output_image", "image_url": uri}]});
    let (image, file) = (Some(Media::Image), Some(Media::File));
    vec![
        ("chat", Framing::Json, chat(json!({"content": "see", "images": [part]})), image),
        ("chat", Framing::Json, chat(json!({"content": "see", "images": [uri, base64]})), image),
        ("chat", Framing::Sse, delta(json!({"content": "see", "images": [part]})), image),
        ("chat", Framing::Json, chat(json!({"content": [{"type": "text", "text": "see"}, part]})), image),
        ("chat", Framing::Json, chat(json!({"image": {"b64_json": base64}})), image),
        ("chat", Framing::Json, chat(json!({"odd": [{"picture": uri}]})), file),
        ("chat", Framing::Json, chat(json!({"odd": base64})), file),
        ("anthropic", Framing::Json, claude(json!({"type": "image", "source": source})), None),
        ("anthropic", Framing::Json, claude(json!({"type": "odd", "picture": source})), file),
        ("responses", Framing::Json, response(output), None),
        ("responses", Framing::Json, response(json!({"type": "video_generation_call", "result": base64})), file),
        ("gemini", Framing::Json, gemini(json!({"audioData": {"data": base64}})), file),
    ]
}

#[test]
fn pictures_of_answers_are_refused_under_any_name() {
    let base64 = noise();
    let uri = format!("data:image/png;base64,{base64}");
    for (name, framing, answer, media) in drawn(&uri, &base64) {
        let frame = if framing == Framing::Sse { format!("data: {answer}\n\n") } else { answer.to_string() };
        let decode = |pass: &[Media]| run(&*dialect(name, bounds(pass)), framing, &[frame.as_bytes()]);
        for pass in [&[][..], &Media::ALL] {
            let (codec, events, error) = decode(pass);
            if media.is_none() || pass.is_empty() {
                assert!(matches!(error, Some(WireError::Unsupported { .. })) && events.is_empty(), "{answer}");
                continue;
            }
            assert_eq!(error, None, "{answer}");
            assert!(events[0].texts.iter().all(|text| !text.text.contains(&base64)), "{answer}");
            codec.encode(&events[0], &vec![None; events[0].texts.len()]).unwrap();
            assert!(codec.media().iter().all(|(kind, _)| Some(kind) == media) && !codec.media().is_empty(), "{answer}");
        }
    }
    // What a model writes for a tool is its own word.
    let calls = [
        (
            "gemini",
            json!({"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "args": {"a": base64}}}]}}]}),
        ),
        ("anthropic", json!({"id": "msg_1", "content": [{"type": "tool_use", "name": "f", "input": {"a": uri}}]})),
    ];
    for (name, answer) in calls {
        let (_, events, error) = run(&*dialect(name, bounds(&[])), Framing::Json, &[answer.to_string().as_bytes()]);
        assert_eq!(error, None, "{answer}");
        assert!(events[0].texts.iter().any(|text| text.text.contains(&base64)), "{answer}");
    }
}

#[test]
fn what_is_signed_is_no_picture() {
    let signed = noise();
    let said = json!({
        "content": "hi",
        "reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": signed}, {"type": "reasoning.encrypted", "data": signed}],
        "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": signed}, {"type": "redacted_thinking", "data": signed}],
        "encrypted_content": signed,
        "provider_specific_fields": {"thought_signatures": [signed]},
        "tool_calls": [{"id": "call_1", "function": {"name": "f", "arguments": "{}"},
            "extra_content": {"google": {"thought_signature": signed}}, "provider_specific_fields": {"thought_signature": signed}}],
    });
    let answer = json!({"choices": [{"index": 0, "message": said, "finish_reason": "stop"}]});
    let (_, events, error) = run(&*dialect("chat", bounds(&[])), Framing::Json, &[answer.to_string().as_bytes()]);
    assert_eq!(error, None);
    assert!(events[0].texts.iter().all(|text| !text.text.contains(&signed)));
}

#[test]
fn sound_in_pieces_is_one() {
    let chunk = |data: &str| json!({"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {"audio": {"data": data}}, "finish_reason": null}]});
    let stream: String = [PNG, PNG].map(|data| format!("data: {}\n\n", chunk(data))).concat();
    let (codec, events, _) = run(&*dialect("chat", bounds(&[Media::Audio])), Framing::Sse, &[stream.as_bytes()]);
    for event in &events {
        codec.encode(event, &vec![None; event.texts.len()]).unwrap();
    }
    assert_eq!((events.len(), codec.media().iter().collect::<Vec<_>>()), (2, vec![(Media::Audio, 1)]));
}

#[test]
fn ids_of_what_the_upstream_keeps_are_told_where_the_route_looks_after_them() {
    let body = json!({"previous_response_id": "resp_1", "input": [
        {"type": "item_reference", "id": "msg_2"},
        {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"},
        {"role": "user", "content": "go on"},
    ]});
    let kept = Bounds { kept: true, ..Bounds::of(100) };
    let prompt = dialect("responses", kept).parse_request(body.to_string().into(), "").unwrap();
    let strange = |known: &[&str]| prompt.strange_id(&|id| known.contains(&id));
    assert_eq!(strange(&[]).as_deref(), Some("previous_response_id"));
    assert_eq!(strange(&["resp_1"]).as_deref(), Some("input[0].id"));
    assert_eq!(strange(&["resp_1", "msg_2"]).as_deref(), Some("input[1].encrypted_content"));
    assert_eq!(strange(&["resp_1", "msg_2", "gAAA"]), None);
    for member in ["conversation", "prompt", "context_management", "previous_input_messages"] {
        let body = json!({"input": "a", member: "x"}).to_string();
        assert!(dialect("responses", kept).parse_request(body.into(), "").is_err(), "{member}");
    }
    let background = json!({"input": "a", "background": true}).to_string();
    assert!(dialect("responses", kept).parse_request(background.into(), "").is_err());
    for body in [
        json!({"input": "a", "previous_response_id": "resp_1"}),
        json!({"input": [{"type": "item_reference", "id": "msg_2"}]}),
        json!({"input": "a", "previous_response_id": ["resp_1"]}),
    ] {
        let refused = dialect("responses", bounds(&[])).parse_request(body.to_string().into(), "").err();
        assert!(matches!(refused, Some(WireError::Unsupported { .. })), "{refused:?}");
    }
    // Nothing but a string is an id.
    for id in [json!(["resp_1"]), json!({"id": "resp_1"}), json!(1)] {
        let body = json!({"input": "a", "previous_response_id": id}).to_string();
        assert!(dialect("responses", kept).parse_request(body.into(), "").is_err());
    }
    let none = json!({"input": "a", "previous_response_id": null}).to_string();
    assert!(dialect("responses", kept).parse_request(none.into(), "").unwrap().strange_id(&|_| false).is_none());
}

#[test]
fn an_answer_is_kept_once_it_has_been_written_whole_and_unchanged() {
    let answer = |status: &str| {
        json!({"id": "resp_1", "object": "response", "status": status, "output": [
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
            {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]},
        ]})
    };
    let kept = |framing, bytes: String, edit: Option<&str>| {
        let (codec, events, _) = run(&*dialect("responses", bounds(&[])), framing, &[bytes.as_bytes()]);
        for event in &events {
            assert_eq!(codec.kept(), Vec::<String>::new(), "before its end");
            let texts: Vec<_> =
                event.texts.iter().map(|text| edit.filter(|_| text.text == "hi").map(Into::into)).collect();
            codec.encode(event, &texts).unwrap();
        }
        codec.kept()
    };
    let all = ["resp_1", "rs_1", "gAAA", "msg_1"];
    let event = |json: Json| format!("data: {json}\n\n");
    let delta = json!({"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "item_id": "msg_1", "delta": "hi"});
    for (status, expected) in [("completed", &all[..]), ("incomplete", &all), ("failed", &[]), ("in_progress", &[])] {
        assert_eq!(kept(Framing::Json, answer(status).to_string(), None), expected, "{status}");
        let end = json!({"type": format!("response.{status}"), "response": answer(status)});
        let stream = event(delta.clone()) + &event(end);
        assert_eq!(kept(Framing::Sse, stream.clone(), None), expected, "{status}");
        assert!(kept(Framing::Sse, stream, Some("--")).is_empty());
        assert!(kept(Framing::Json, answer(status).to_string(), Some("--")).is_empty());
    }
    assert!(kept(Framing::Json, json!({"error": {"message": "no"}}).to_string(), None).is_empty());
    assert!(kept(Framing::Sse, event(delta), None).is_empty());
    // What says so is not its end.
    let begun = event(json!({"type": "response.created", "response": answer("completed")}));
    assert!(kept(Framing::Sse, begun, None).is_empty());
}
