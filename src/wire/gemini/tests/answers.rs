//! Whole answers: texts and channels, what is left out, what the dialect says itself.

use http::StatusCode;
use serde_json::{Value as Json, json};

use super::{encoded, run, said, text, texts_of, unary, with, written};
use crate::wire::gemini::Gemini;
use crate::wire::{Dialect, Framing, Refusal, WireError};

fn candidate(members: Json) -> Json {
    json!({ "candidates": [members] })
}

#[test]
fn finds_the_texts_of_an_answer() {
    let body = json!({
        "candidates": [
            {"avgLogprobs": -0.25, "content": {"parts": [{"text": "hm", "thought": true}, {"text": "blue"}, {"text": "m", "thought": true}, {"text": "bird"}], "role": "model"},
             "finishReason": "STOP", "safetyRatings": [{"blocked": false, "category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE", "probabilityScore": 0.01, "severity": "HARM_SEVERITY_LOW"}]},
            {"content": {"parts": [{"functionCall": {"args": {"to": "x", "n": 5}, "id": "call_1", "name": "send"}}, {"functionCall": {"args": {"to": "y"}, "name": "get"}}]},
             "finishMessage": "fm", "finishReason": "odd one", "index": 1},
            {"citationMetadata": {"citationSources": [{"endIndex": 5, "license": "l", "startIndex": 1, "uri": "u"}, {"uri": "w"}]},
             "content": {"parts": [{"executableCode": {"code": "print(1)", "language": "PYTHON"}}, {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "o"}}]},
             "groundingMetadata": {"groundingChunks": [{"web": {"title": "t", "uri": "v"}}], "groundingSupports": [{"confidenceScores": [0.5], "groundingChunkIndices": [0], "segment": {"endIndex": 3, "text": "seg"}}], "webSearchQueries": ["q"]},
             "index": 2}],
        "createTime": "2025-10-21T07:28:00.123456Z", "modelVersion": "gemini-x", "promptFeedback": {"blockReason": "SAFETY", "blockReasonMessage": "brm"},
        "responseId": "4cZ_aPqPDJ", "usageMetadata": {"promptTokenCount": 1, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 1}], "trafficType": "ON_DEMAND"},
        "x": {"odd key": 1},
    });
    let (codec, event) = unary(&body);
    let expected = [
        "0 reasoning 0 hm",
        "0 content 0 blue",
        "0 reasoning 0 m",
        "0 content 0 bird",
        "1 tool_arguments 0 !to",
        "1 tool_arguments 1 x",
        "1 tool_arguments 2 !n",
        "1 tool_arguments 3 !5",
        "1 word 0 !call_1",
        "1 name 0 !send",
        "1 tool_arguments 4 !to",
        "1 tool_arguments 5 y",
        "1 name 1 !get",
        "1 other 0 fm",
        "1 other 1 !odd one",
        "2 other 0 l",
        "2 other 1 u",
        "2 other 2 w",
        "2 tool_arguments 0 print(1)",
        "2 other 3 o",
        "2 other 4 t",
        "2 other 5 v",
        "2 other 6 seg",
        "2 other 7 q",
        "0 word 0 !gemini-x",
        "0 other 0 brm",
        "0 word 1 !4cZ_aPqPDJ",
        "0 other 1 !x",
        "0 other 2 !odd key",
        "0 other 3 !1",
        "0 reasoning 1 !\nhm\nm",
        "0 content 1 !\nblue\nbird",
    ];
    assert_eq!(texts_of(&event), expected);
    assert_eq!(serde_json::from_str::<Json>(&written(&*codec, &event)).unwrap(), body);
}

#[test]
fn errors_are_judged_whatever_their_shape() {
    for (body, expected) in [
        (
            json!({"error": {"code": 400, "details": [{"@type": "t", "n": 1}], "message": "the prompt said x", "status": "INVALID_ARGUMENT"}}),
            &[
                "0 other 0 !@type",
                "0 other 1 t",
                "0 other 2 !n",
                "0 other 3 !1",
                "0 other 4 the prompt said x",
                "0 word 0 !INVALID_ARGUMENT",
            ][..],
        ),
        (json!([{"error": {"message": "m"}}]), &["0 other 0 m"]),
        (json!({"error": "plain"}), &["0 other 0 plain"]),
        (json!("Not found"), &["0 other 0 Not found"]),
        (json!(["a", 1]), &["0 other 0 a", "0 other 1 !1"]),
    ] {
        let (_, event) = unary(&body);
        assert_eq!(texts_of(&event), expected, "{body}");
    }
}

#[test]
fn an_array_of_events_is_a_stream() {
    let body = json!([text("project blue"), said(json!([{"functionCall": {"args": {"a": "foo"}, "name": "f"}}])),
        said(json!([{"text": "bird"}, {"functionCall": {"args": {"a": "bar"}, "name": "f"}}])), {"candidates": [{"finishReason": "STOP"}], "modelVersion": "m"}]);
    let (codec, event) = unary(&body);
    let expected = [
        "0 content 0 project blue",
        "0 tool_arguments 0 !a",
        "0 tool_arguments 1 foo",
        "0 name 0 !f",
        "0 content 0 bird",
        "0 tool_arguments 2 !a",
        "0 tool_arguments 3 bar",
        "0 name 1 !f",
        "0 word 0 !m",
    ];
    assert_eq!(texts_of(&event), expected);
    let mut edits = vec![None; event.texts.len()];
    (edits[0], edits[4], edits[6]) = (Some("project ["), Some("]"), Some("#"));
    let out = encoded(&*codec, &event, &edits).unwrap();
    for part in [r#"{"text":"project ["}"#, r#"{"text":"]"}"#, r##""args":{"a":"#"}"##, r#""args":{"a":"foo"}"#] {
        assert!(out.contains(part), "{out}");
    }
    let (_, _, error) =
        run(Framing::Json, &[br#"[{"candidates":[{"content":{"parts":[{"inlineData":{"data":"aGk="}}]}}]}]"#]);
    assert!(matches!(error, Some(WireError::Unsupported { .. })));
}

#[test]
fn what_has_two_readings_is_not_passed_on() {
    for body in [
        candidate(json!({"index": 1})),
        candidate(json!({"index": "0"})),
        json!({"candidates": [{"index": 0}, {"index": 0}]}),
        json!({"candidates": vec![json!({}); 9]}),
        candidate(json!({"content": {"parts": [{"text": "a", "thought": "yes"}]}})),
        candidate(json!({"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": "aGk="}}]}})),
        candidate(json!({"content": {"parts": [{"inline_data": {"data": "aGk="}}]}})),
        candidate(json!({"content": {"parts": [{"fileData": {"fileUri": "u"}}]}})),
        candidate(json!({"content": {"parts": [{"functionCall": {"partialArgs": [{"stringValue": "a"}]}}]}})),
        candidate(json!({"finishReason": "STOP", "finish_reason": "STOP"})),
        candidate(json!({"FinishReason": "STOP"})),
        json!({"Candidates": []}),
    ] {
        let (_, events, error) = run(Framing::Json, &[body.to_string().as_bytes()]);
        assert!(events.is_empty() && error.is_some(), "{body}");
    }
    // A candidate that says no index has that of its place; one that is alone, or first, may leave it out.
    let (_, event) =
        unary(&json!({"candidates": [{"content": {"parts": [{"text": "a"}]}}, {"content": {"parts": {"text": "b"}}}]}));
    assert_eq!(texts_of(&event), ["0 content 0 a", "1 content 0 b"]);
}

#[test]
fn signatures_are_no_texts_where_nobody_can_read_them() {
    let random: String = (0..400u32)
        .map(|n| {
            let mixed = (n.wrapping_mul(2_654_435_761) ^ (n << 7)).wrapping_mul(2_246_822_519) >> 13;
            char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[mixed as usize % 64])
        })
        .collect();
    assert!(crate::wire::ids::is_opaque(&random), "{random}");
    let signed = |signature: &str| said(json!([{"text": "a", "thoughtSignature": signature}]));
    assert_eq!(texts_of(&unary(&signed(&random)).1), ["0 content 0 a"]);
    assert_eq!(texts_of(&unary(&signed("project-bluebird")).1), ["0 content 0 a", "0 word 0 !project-bluebird"]);
    assert_eq!(texts_of(&unary(&signed("project bluebird")).1), ["0 content 0 a", "0 other 0 !project bluebird"]);
}

#[test]
fn logprobs_stay_only_where_they_spell_the_text() {
    let chosen = |tokens: &[&str]| -> Json {
        tokens.iter().map(|token| json!({"logProbability": -0.5, "token": token, "tokenId": 7})).collect()
    };
    let sound = json!({"chosenCandidates": chosen(&["h", "i"]), "logProbabilitySum": -1.0, "topCandidates": [{"candidates": [{"token": "bluebird"}]}]});
    for (logprobs, kept) in [
        (sound.clone(), true),
        (json!({"chosen_candidates": [{"log_probability": -1, "token": "hi", "token_id": 5}]}), true),
        (json!({"chosenCandidates": chosen(&["thhi"])}), true),
        (json!({"chosenCandidates": chosen(&["th"])}), false),
        (json!({"chosenCandidates": chosen(&["bluebird"])}), false),
        (json!({"chosenCandidates": chosen(&["hi"]), "chosen_candidates": chosen(&["bluebird"])}), false),
        (json!({"chosenCandidates": chosen(&["hi"]), "note": "bluebird"}), false),
        (json!({"chosenCandidates": [{"token": "hi", "note": "bluebird"}]}), false),
        (json!({"chosenCandidates": [{"token": "hi", "logProbability": 4111111111111111u64}]}), false),
        (json!({"chosenCandidates": chosen(&["hi"]), "logProbabilitySum": 4111111111111111u64}), false),
        (json!({"chosenCandidates": chosen(&["hi"]), "topCandidates": {"token": "bluebird"}}), false),
        (json!({"chosenCandidates": [{"token": "hi"}, "bluebird"]}), false),
        (json!({"topCandidates": [{"candidates": [{"token": "bluebird"}]}]}), false),
        (json!("bluebird"), false),
        (json!(["bluebird"]), false),
    ] {
        let mut body = said(json!([{"text": "th", "thought": true}, {"text": "hi"}]));
        body["candidates"][0]["logprobsResult"] = logprobs.clone();
        let (codec, event) = unary(&body);
        let out = written(&*codec, &event);
        assert_eq!(out.contains("logprobsResult"), kept, "{logprobs}");
        assert!(
            !out.contains("bluebird") && !out.to_lowercase().contains("tokenid") && !out.contains("token_id"),
            "{out}"
        );
    }
    let mut body = text("hi");
    body["candidates"][0]["logprobsResult"] = sound;
    body["candidates"][0]["groundingMetadata"] = json!({"groundingSupports": [{"segment": {"text": "hi"}}], "searchEntryPoint": {"renderedContent": "r", "sdkBlob": "aGk="}, "webSearchQueries": []});
    let (codec, event) = unary(&body);
    assert_eq!(texts_of(&event), ["0 content 0 hi", "0 other 0 hi", "0 other 1 r"]);
    assert!(
        written(&*codec, &event).contains(r#""segment":{"text":"hi"}"#) && !written(&*codec, &event).contains("aGk=")
    );
    // What quotes a text goes with it.
    let out = encoded(&*codec, &event, &[Some("#"), None, None]).unwrap();
    let expected = json!({"candidates": [{"content": {"parts": [{"text": "#"}], "role": "model"}, "groundingMetadata": {"searchEntryPoint": {"renderedContent": "r"}, "webSearchQueries": []}, "index": 0}]});
    assert_eq!(serde_json::from_str::<Json>(&out).unwrap(), expected);
}

#[test]
fn refuses_and_answers_in_the_dialects_words() {
    let dialect = Gemini::new(100);
    let message = "what \"and\" why".to_owned();
    let refused =
        Refusal { status: StatusCode::BAD_REQUEST, code: "a_code", message, param: Some("contents[0]".into()) };
    let error: Json = serde_json::from_slice(&dialect.refuse(&refused)).unwrap();
    let details = json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "a_code", "domain": "portcullis", "metadata": {"param": "contents[0]"}}]);
    assert_eq!(
        error,
        json!({"error": {"code": 400, "message": "what \"and\" why", "status": "INVALID_ARGUMENT", "details": details}})
    );
    for (status, word) in [
        (404, "NOT_FOUND"),
        (413, "INVALID_ARGUMENT"),
        (502, "UNAVAILABLE"),
        (503, "UNAVAILABLE"),
        (504, "DEADLINE_EXCEEDED"),
    ] {
        let refused = Refusal { status: StatusCode::from_u16(status).unwrap(), param: None, ..refused.clone() };
        let error: Json = serde_json::from_slice(&dialect.refuse(&refused)).unwrap();
        assert_eq!((&error["error"]["code"], &error["error"]["status"]), (&json!(status), &json!(word)));
        assert_eq!(error["error"]["details"][0]["metadata"], json!({}));
    }

    let expected = json!({
        "candidates": [{"content": {"parts": [{"text": "I \"can't\"."}], "role": "model"}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 0, "candidatesTokenCount": 0, "totalTokenCount": 0}, "modelVersion": "gemini-x",
    });
    for (method, framing) in [
        ("generateContent", Framing::Json),
        ("streamGenerateContent", Framing::Json),
        ("streamGenerateContent?alt=sse", Framing::Sse),
    ] {
        let path = format!("/v1beta/models/gemini-x:{method}");
        let prompt = dialect.parse_request(with(&json!({})).to_string().into(), &path).unwrap();
        let (own, body) = dialect.answer_with(&*prompt, "I \"can't\".");
        assert_eq!(own, framing, "{method}");
        let (_, events, error) = run(framing, &[&body]);
        assert_eq!(error, None);
        assert_eq!(texts_of(&events[0]), ["0 content 0 I \"can't\".", "0 word 0 !gemini-x"]);
        let body = std::str::from_utf8(&body).unwrap();
        let answer: Json = serde_json::from_str(body.trim_start_matches("data: ")).unwrap();
        assert_eq!(if method == "streamGenerateContent" { &answer[0] } else { &answer }, &expected);
    }
}
