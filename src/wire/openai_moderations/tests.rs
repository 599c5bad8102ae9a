//! The dialect from outside: which texts it finds, what it refuses, what it writes.

use serde_json::json;

use crate::wire::openai::whole::Whole;
use crate::wire::openai_moderations::dialect;
use crate::wire::testing::{answer_is_seen, edited, encoded, listed, refused, request_is_seen, run, texts_of, unary};
use crate::wire::{Bounds, Dialect, Framing};

const DIALECT: Whole = dialect(Bounds::of(1000));

#[test]
fn texts_are_judged_joined() {
    let body = json!({"model": "omni-moderation-latest", "input": "blue"});
    assert_eq!(listed(&DIALECT, &body), ["- none word !omni-moderation-latest", "- user content blue"]);
    for input in [json!(["blue", "bird"]), json!([{"type": "text", "text": "blue"}, {"type": "text", "text": "bird"}])]
    {
        let body = json!({ "input": input });
        assert_eq!(listed(&DIALECT, &body), ["- user content blue\nbird", "- user content bluebird"], "{body}");
    }
    let out = edited(&DIALECT, r#"{"input": ["blue", "bird"]}"#, &[(1, 2..6, "#")]).unwrap();
    assert_eq!(out, r##"{"input": ["bl#", "rd"]}"##);
}

#[test]
fn refuses_what_it_cannot_read_one_way() {
    let tokens = "unsupported; this route judges text only, and numbers in an array may be token ids";
    let pictures = "unsupported; this route judges text only: `text`";
    for (body, expected) in [
        ("{}", "input: is missing".to_owned()),
        (r#"{"input":[1]}"#, format!("input[0]: {tokens}")),
        (r#"{"input":[["a"]]}"#, format!("input[0]: {tokens}")),
        (r#"{"input":{"type":"text"}}"#, "input: expected a string or an array".into()),
        (r#"{"input":[{"type":"text"}]}"#, "input[0].text: is missing".into()),
        (r#"{"input":[{"text":"a"}]}"#, "input[0]: expected an object with a `type`".into()),
        (r#"{"input":[{"type":"image_url","image_url":{"url":"u"}}]}"#, format!("input[0]: {pictures}")),
        (
            r#"{"input":[{"type":"text","text":"a","image_url":{"url":"u"}}]}"#,
            format!("input[0].image_url: {pictures}"),
        ),
        (r#"{"INPUT":"a"}"#, "*: expected `input`, spelled so".into()),
    ] {
        assert_eq!(refused(&DIALECT, body), expected, "{body}");
    }
}

#[test]
fn flags_and_scores_are_no_texts() {
    let body = json!({"id": "modr-AB8CjOTu2jiq12hp1AQPfeqFWaORR", "results": [{"flagged": true,
        "categories": {"sexual/minors": false, "self-harm": true}, "category_scores": {"violence/graphic": 4.322e-6, "hate": 0.00001},
        "category_applied_input_types": {"violence": ["text", "image"], "illicit": []}}]});
    let (codec, event) = unary(&DIALECT, &body);
    assert!(event.texts.is_empty());
    assert_eq!(encoded(&*codec, &event, &[]).unwrap(), body.to_string());
    let odd = json!({"results": [{"categories": {"bluebird": true}, "category_scores": {"hate": "bluebird"}, "category_applied_input_types": {"hate": ["bluebird"]}}]});
    let expected = ["0 other 0 !bluebird", "0 other 1 bluebird", "0 word 0 !bluebird"];
    assert_eq!(texts_of(&unary(&DIALECT, &odd).1), expected);
}

const REQUEST: &str =
    r#"{"model": "m", "input": ["a~", {"type": "text", "text": "b~", "c~": {"d~": 0}}], "e~": ["f~"], "g~": 0}"#;

const ANSWER: &str = r#"{"id": "a~", "model": "b~", "error": {"message": "c~"}, "d~": 0, "results": [{"flagged": "e~", "f~": "g~",
  "categories": {"hate": "h~", "i~": 0}, "category_scores": {"hate": 1, "j~": 0, "violence": "k~"}, "category_applied_input_types": {"hate": ["l~", 0]}}, "m~"]}"#;

#[test]
fn every_text_is_seen_or_refused_or_not_written() {
    request_is_seen(&DIALECT, REQUEST, &[]);
    answer_is_seen(&DIALECT, Framing::Json, ANSWER, 0);
}

#[test]
fn streams_are_refused_and_words_have_no_place() {
    let (_, events, error) = run(&DIALECT, Framing::Sse, &[b"data: {\"results\":[]}\n\n"]);
    assert!(events.is_empty() && error.is_some());
    let prompt = DIALECT.parse_request(r#"{"input":"a"}"#.into(), "").unwrap();
    let (framing, body) = DIALECT.answer_with(&*prompt, "no");
    assert_eq!(framing, Framing::Json);
    assert!(body.starts_with(br#"{"error":{"message":"no","#));
    assert_eq!(DIALECT.name(), "openai_moderations");
}
