//! How streams end: by themselves, cut, and as answers of our own.

use http::StatusCode;
use serde_json::{Value as Json, json};

use super::told::{Item, Part, agreed, told};
use super::{as_it_came, data, run, stream, texts_of};
use crate::wire::openai_responses::OpenAiResponses;
use crate::wire::{AnswerCodec, Body, Cut, Dialect, Event, Framing, Refusal, WireError};

fn refusal(status: StatusCode) -> Refusal {
    Refusal { status, code: "a_code", message: "what \"and\" why".into(), param: None }
}

fn two_items() -> Vec<Json> {
    let items = [
        Item::Reasoning(vec!["hm".into()], vec!["so".into()]),
        Item::Message(vec![Part::Said("Hello".into()), Part::Refused("no".into())]),
    ];
    told(&items, &mut |text| text.split_inclusive(|_: char| true).map(str::to_owned).collect())
}

/// A codec that has written the first `count` events.
fn written(count: usize) -> (Box<dyn AnswerCodec>, Vec<Json>) {
    let events = two_items();
    let (codec, read, error) = run(Framing::Sse, &[stream(&events).as_bytes()]);
    assert_eq!(error, None);
    let written: Vec<_> = read.iter().take(count).flat_map(|event| as_it_came(&*codec, event)).collect();
    (codec, data(&written))
}

#[test]
fn a_stream_ends_once_and_only_when_complete() {
    let ends = |stream: &str| {
        let (_, events, error) = run(Framing::Sse, &[stream.as_bytes()]);
        (events.len(), events.last().is_some_and(|event| event.last), error)
    };
    let whole = two_items();
    let count = whole.len();
    assert_eq!(ends(&stream(&whole)), (count, true, None));
    assert_eq!(ends(&(stream(&whole) + "data: [DONE]\n\ndata: \0")), (count, true, None));
    assert_eq!(ends(&stream(&whole[..count - 1])), (count - 1, false, Some(WireError::Truncated)));
    assert_eq!(ends(""), (0, false, Some(WireError::Truncated)));
    for kind in ["response.incomplete", "response.failed"] {
        let end = json!({"type": kind, "response": {"error": {"code": "server_error", "message": "m m"}}});
        assert_eq!(ends(&stream(&[whole[0].clone(), end, whole[1].clone()])), (2, true, None));
    }
    // An error may be the end, and need not be.
    for error in
        [json!({"type": "error", "code": "c", "message": "m m", "param": null}), json!({"error": {"message": "m m"}})]
    {
        let end = json!({"type": "response.failed", "response": {}});
        assert_eq!(ends(&stream(&[whole[0].clone(), error.clone(), end])), (3, true, None));
        let (codec, events, _) = run(Framing::Sse, &[stream(&[whole[0].clone(), error]).as_bytes()]);
        assert!(events[1].last && matches!(events[2].body, Body::End));
        assert!(texts_of(&events[1]).contains(&"other 1 m m".to_owned()));
        assert!(codec.encode(&events[2], &[]).unwrap().is_empty());
    }
    for data in ["[DONE]", "\"a\"", "[]", "{\"a\":1,\"a\":2}", "{\"type\":\"response.output_item.added\",\"item\":{}}"]
    {
        let (events, ended, error) = ends(&(stream(&whole[..1]) + &format!("data: {data}\n\n") + &stream(&whole)));
        assert!(events == 1 && !ended && error.is_some(), "{data}");
    }
}

#[test]
fn a_cut_stream_tells_what_has_left() {
    let count = two_items().len();
    for left in 1..count {
        let (codec, before) = written(left);
        let end = data(&codec.cut(Cut::Blocked));
        assert_eq!(end.len(), 1);
        assert_eq!((&end[0]["type"], &end[0]["sequence_number"]), (&json!("response.incomplete"), &json!(left)));
        let response = &end[0]["response"];
        assert_eq!(
            (&response["id"], &response["model"], &response["created_at"]),
            (&json!("resp_1"), &json!("gpt-x"), &json!(1741569952))
        );
        assert_eq!(
            (&response["status"], &response["incomplete_details"]),
            (&json!("incomplete"), &json!({"reason": "content_filter"}))
        );
        // Every text of it, and each that was told.
        let told = agreed(&[before, end.clone()].concat());
        let again: usize =
            response["output"].as_array().unwrap().iter().map(|item| super::told::texts_of_item("", item).len()).sum();
        assert!(told.len() <= again && again <= told.len() + 1, "{response}");
    }
    let (codec, _) = written(10);
    let output = json!([{"id": "rs_0", "type": "reasoning", "status": "incomplete", "summary": [{"type": "summary_text", "text": "hm"}],
        "content": [{"type": "reasoning_text", "text": "s"}]}]);
    assert_eq!(data(&codec.cut(Cut::Blocked))[0]["response"]["output"], output);
}

#[test]
fn a_stream_that_fails_says_so() {
    let (codec, _) = written(3);
    let end = data(&codec.cut(Cut::Failed(&refusal(StatusCode::BAD_GATEWAY))));
    let error =
        json!({"type": "error", "sequence_number": 3, "code": "a_code", "message": "what \"and\" why", "param": null});
    assert_eq!(end[0], error);
    assert_eq!((&end[1]["type"], &end[1]["sequence_number"]), (&json!("response.failed"), &json!(4)));
    assert_eq!(end[1]["response"]["error"], json!({"code": "a_code", "message": "what \"and\" why"}));
    assert_eq!((&end[1]["response"]["status"], &end[1]["response"]["id"]), (&json!("failed"), &json!("resp_1")));
    assert_eq!(codec.heartbeat(), ": \n\n");
}

#[test]
fn nothing_that_has_not_left_is_told() {
    // The id, the model's name and the text are read, and have not been judged.
    let (codec, _) = written(0);
    let end = data(&codec.cut(Cut::Blocked));
    assert_eq!(
        end.iter().map(|event| event["type"].as_str().unwrap()).collect::<Vec<_>>(),
        ["response.created", "response.incomplete"]
    );
    assert_eq!(end[0]["response"]["id"], end[1]["response"]["id"]);
    assert!(end[1]["response"]["id"].as_str().unwrap().starts_with("resp-portcullis-"));
    assert_eq!((&end[1]["response"]["model"], &end[1]["response"]["output"]), (&json!(""), &json!([])));

    let hello = told(&[Item::Message(vec![Part::Said("Hello".into())])], &mut |text| vec![text.to_owned()]);
    let (codec, events, _) = run(Framing::Sse, &[stream(&hello).as_bytes()]);
    let masked = |event: &Event| {
        event.texts.iter().map(|text| text.text.contains("el").then(|| "#".to_owned())).collect::<Vec<_>>()
    };
    events[..events.len() - 1].iter().for_each(|event| drop(codec.encode(event, &masked(event)).unwrap()));
    assert!(!String::from_utf8(codec.cut(Cut::Blocked).into()).unwrap().contains("Hello"));

    let (codec, _, _) = run(Framing::Json, &[b"{}"]);
    assert!(codec.cut(Cut::Blocked).is_empty() && codec.heartbeat().is_empty());
}

#[test]
fn refuses_and_answers_in_the_dialects_words() {
    let dialect = OpenAiResponses::default();
    let refused = Refusal { param: Some("input[0]".into()), ..refusal(StatusCode::BAD_REQUEST) };
    let error: Json = serde_json::from_slice(&dialect.refuse(&refused)).unwrap();
    assert_eq!(
        error,
        json!({"error": {"message": "what \"and\" why", "type": "invalid_request_error", "param": "input[0]", "code": "a_code"}})
    );
    let request = |stream: bool| {
        dialect.parse_request(json!({"input": "a", "model": "gpt-x", "stream": stream}).to_string().into(), "").unwrap()
    };
    let said = "I \"can't\".";
    let (framing, body) = dialect.answer_with(&*request(false), said);
    assert_eq!(framing, Framing::Json);
    let answer: Json = serde_json::from_slice(&body).unwrap();
    assert_eq!(answer["output"][0]["content"][0]["text"], said);
    assert_eq!(
        (&answer["object"], &answer["model"], &answer["status"]),
        (&json!("response"), &json!("gpt-x"), &json!("completed"))
    );

    let (framing, body) = dialect.answer_with(&*request(true), said);
    assert_eq!(framing, Framing::Sse);
    let (_, events, error) = run(framing, &[&body]);
    assert_eq!((events.len(), error), (9, None));
    let events = data(&body);
    assert!(events.iter().enumerate().all(|(at, event)| event["sequence_number"] == json!(at)));
    assert_eq!(agreed(&events), [("0/content/0".to_owned(), said.to_owned())].into());
    let kinds: Vec<_> =
        events.iter().map(|event| event["type"].as_str().unwrap().trim_start_matches("response.")).collect();
    let expected = [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn a_stream_of_lines_is_none_of_this_api() {
    let (_, events, error) = run(Framing::Ndjson, &[format!("{}\n", json!({"type": "response.created"})).as_bytes()]);
    assert!(events.is_empty() && matches!(error, Some(WireError::Shape { .. })), "{error:?}");
}
