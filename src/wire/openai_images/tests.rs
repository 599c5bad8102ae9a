//! The dialect from outside: which texts it finds, what it refuses, what it writes.

use serde_json::json;

use crate::wire::openai::whole::Whole;
use crate::wire::openai_images::dialect;
use crate::wire::testing::{answer_is_seen, edited, encoded, listed, refused, request_is_seen, run, texts_of, unary};
use crate::wire::{Bounds, Dialect, Framing};

const DIALECT: Whole = dialect(Bounds::of(1000));

#[test]
fn the_prompt_is_judged() {
    let body = json!({"model": "gpt-image-2", "prompt": "a bluebird", "n": 2, "size": "1536x1024", "quality": "high", "background": "opaque",
        "output_format": "webp", "style": "vivid", "svg": {"model": "m", "reasoning": {"effort": "low"}}, "user": "u", "stream": false});
    let expected = ["- none word !gpt-image-2", "- user content a bluebird", "- none word !m", "- none other u"];
    assert_eq!(listed(&DIALECT, &body), expected);
    let body = json!({"prompt": "a", "size": "1024xbluebird", "quality": "bluebird"});
    assert_eq!(listed(&DIALECT, &body), ["- user content a", "- none word !1024xbluebird", "- none word !bluebird"]);
    assert_eq!(edited(&DIALECT, r#"{"prompt": "a bluebird"}"#, &[(0, 2..10, "#")]).unwrap(), r##"{"prompt": "a #"}"##);
    for (body, expected) in [
        ("{}", "prompt: is missing"),
        (r#"{"prompt":["a"]}"#, "prompt: expected a string"),
        (r#"{"prompt":"a","PROMPT":"b"}"#, "*: expected `prompt`, spelled so"),
        (r#"{"prompt":"a","image":"aGk="}"#, "image: unsupported; this route judges text only: a `prompt`"),
        (r#"{"prompt":"a","stream":1}"#, "stream: expected a boolean"),
    ] {
        assert_eq!(refused(&DIALECT, body), expected, "{body}");
    }
}

#[test]
fn pictures_are_refused_and_what_is_said_of_them_is_judged() {
    let picture = "unsupported; this route judges text only, and a picture says what no detector sees";
    for name in ["b64_json", "url"] {
        let body = json!({"created": 1, "data": [{"revised_prompt": "a bluebird", name: "aGk="}]});
        let (_, events, error) = run(&DIALECT, Framing::Json, &[body.to_string().as_bytes()]);
        assert!(events.is_empty());
        assert_eq!(error.unwrap().to_string(), format!("data[0].{name}: {picture}").replace("b64_json", "*"));
    }
    let body = json!({"created": 1, "size": "1024x1024", "data": [{"revised_prompt": "a bluebird", "url": null}], "usage": {"total_tokens": 5}});
    let (codec, event) = unary(&DIALECT, &body);
    assert_eq!(texts_of(&event), ["0 content 0 a bluebird"]);
    assert!(encoded(&*codec, &event, &[Some("#")]).unwrap().contains(r##""revised_prompt":"#""##));
    let event = json!({"type": "image_generation.partial_image", "b64_json": "aGk="});
    let (_, events, error) = run(&DIALECT, Framing::Sse, &[format!("data: {event}\n\n").as_bytes()]);
    assert!(events.is_empty() && error.is_some());
}

const REQUEST: &str = r#"{"model": "m", "prompt": "a~", "n": 1, "size": "b~", "style": "c~", "safety_identifier": "d~", "user": "e~", "svg": {"model": "f~", "g~": 0}, "h~": ["i~"]}"#;

const ANSWER: &str = r#"{"created": 1, "background": "a~", "data": [{"revised_prompt": "b~", "c~": 0}, "d~"], "output_format": "e~", "quality": "f~", "size": "g~",
  "safety_identifier": "h~", "svg_usage": {"model": "i~"}, "usage": {"total_tokens": 1, "j~": 0}, "error": {"message": "k~"}, "l~": 0}"#;

#[test]
fn every_text_is_seen_or_refused_or_not_written() {
    request_is_seen(&DIALECT, REQUEST, &["/n"]);
    answer_is_seen(&DIALECT, Framing::Json, ANSWER, 0);
}

#[test]
fn words_have_no_place() {
    let prompt = DIALECT.parse_request(r#"{"prompt":"a","stream":true}"#.into(), "").unwrap();
    assert!(prompt.streams());
    let (framing, body) = DIALECT.answer_with(&*prompt, "no");
    assert_eq!(framing, Framing::Json);
    assert!(body.starts_with(br#"{"error":{"message":"no","#));
    assert_eq!(DIALECT.name(), "openai_images");
}
