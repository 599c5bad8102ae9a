//! Every string, key and number of a rich request and a rich answer says something of its own, and all of it is seen.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::{PATH, edits, parse, run, written};
use crate::wire::gemini::Gemini;
use crate::wire::testing::{canaries, strings, with_canaries};
use crate::wire::{Dialect, Framing};

/// A request in which every string that may carry a text does.
const REQUEST: &str = r#"{
  "model": "models/x~", "store": true, "serviceTier": "flex~", "labels": {"a~": "b~"}, "modelArmorConfig": {"promptTemplateName": "c~"},
  "systemInstruction": {"role": "d~", "parts": {"text": "e~", "f~": "g~"}, "h~": 0},
  "contents": [
    {"parts": [{"text": "i~"}, {"text": "j~", "thoughtSignature": "k~", "partMetadata": {"l~": 0}, "mediaResolution": {"level": "m~", "n~": 0}, "o~": {"p~": ["q~", {"n": 0}, null]}}], "r~": "s~"},
    {"role": "model", "parts": [
      {"text": "t~", "thought": true, "thought_signature": "u~"},
      {"functionCall": {"id": "v~", "name": "w~", "args": {"x~": "y~", "n": 0, "of": [ 0, ["z~"]]}, "willContinue": false, "a~": "b~"}},
      {"executable_code": {"id": "c~", "language": "d~", "code": "e~", "f~": 0}},
      {"codeExecutionResult": {"id": "g~", "outcome": "h~", "output": "i~", "j~": "k~"}},
      {"toolCall": {"id": "l~", "toolType": "m~", "args": {"n~": 0}}}, {"toolResponse": {"id": "o~", "response": {"p~": [ 0]}}}]},
    {"role": "function", "parts": [{"functionResponse": {"id": "q~", "name": "r~", "response": {"s~": {"t~": "u~", "n": 0}}, "scheduling": "v~", "w~": "x~"}}]}
  ],
  "tools": [{"functionDeclarations": [{"name": "y~", "description": "z~", "behavior": "a~", "b~": "c~",
      "parameters": {"type": "OBJECT", "title": "d~", "properties": {"e~": {"type": "f~", "description": "g~", "enum": ["h~"], "example": "i~", "format": "j~", "pattern": "k~", "maximum": 0, "anyOf": [{"default": 0}]}}, "required": ["l~"], "propertyOrdering": ["m~"]},
      "parametersJsonSchema": {"$defs": {"n~": {"const": "o~"}}}, "response": {"description": "p~"}, "response_json_schema": {"enum": ["q~", 0]}}]}],
  "toolConfig": {"functionCallingConfig": {"mode": "r~", "allowedFunctionNames": ["s~", "t~"], "u~": "v~"}, "retrievalConfig": {"latLng": {"latitude": 1.5, "w~": 0}, "languageCode": "x~"}},
  "safetySettings": [{"category": "y~", "threshold": "z~", "method": "a~", "b~": "c~"}],
  "generationConfig": {"temperature": 1, "stopSequences": ["d~", "e~"], "responseMimeType": "f~", "responseSchema": {"enum": ["g~"], "h~": "i~"}, "responseJsonSchema": {"const": "j~"},
    "_responseJsonSchema": {"const": "k~"}, "responseFormat": [{"text": {"mimeType": "l~", "schema": {"const": "m~"}}}], "thinkingConfig": {"thinkingLevel": "n~", "o~": 0}, "mediaResolution": "p~",
    "translationConfig": {"targetLanguageCode": "q~"}, "routingConfig": {"manualMode": {"modelName": "r~"}}, "modelSelectionConfig": {"featureSelectionPreference": "s~"}, "t~": {"u~": 0}},
  "v~": [[{"w~": "x~"}]], "k": 0
}"#;

#[test]
fn every_string_of_a_request_is_seen() {
    let body = with_canaries(REQUEST);
    let prompt = parse(&*body).unwrap();
    let mut all = BTreeSet::new();
    strings(&serde_json::from_str(&body).unwrap(), &mut all);
    let hidden = canaries(all.iter().map(String::as_str));
    assert!(hidden.len() > 120, "{}", hidden.len());
    assert_eq!(canaries(prompt.segments().iter().map(|segment| &*segment.text)), hidden);
}

#[test]
fn a_text_in_any_place_of_a_request_is_seen_or_refused() {
    // Each string and number of the rich request in turn, ids and enumerations too, says something else.
    let body: Json = serde_json::from_str(&with_canaries(REQUEST)).unwrap();
    let pointers = pointers(&body);
    assert!(pointers.len() > 90, "{}", pointers.len());
    let odd = "an odd \u{1}text";
    let mut refused = 0;
    for pointer in pointers {
        for secret in [json!(odd), json!("project-bluebird"), json!(4111111111111111u64)] {
            let mut body = body.clone();
            *body.pointer_mut(&pointer).unwrap() = secret.clone();
            let secret = secret.as_str().map_or(secret.to_string(), str::to_owned);
            match parse(body.to_string()) {
                Ok(prompt) => {
                    let judged = prompt.segments().iter().any(|segment| segment.text.contains(&secret));
                    // A number that the API asks for is one whatever its size.
                    let own = ["/temperature", "/latitude"].iter().any(|name| pointer.ends_with(name));
                    assert!(judged || (own && secret.starts_with('4')), "{pointer} is not judged: {secret}");
                }
                Err(_) => refused += usize::from(secret == odd),
            }
        }
    }
    // Roles, types, numbers: they are what they should be or nothing.
    assert!((3..15).contains(&refused), "{refused}");
}

fn pointers(json: &Json) -> Vec<String> {
    let escape = |key: &str| key.replace('~', "~0").replace('/', "~1");
    let under = |step: String, value: &Json| {
        pointers(value).into_iter().map(move |rest| format!("/{step}{rest}")).collect::<Vec<_>>()
    };
    match json {
        Json::String(_) | Json::Number(_) => vec![String::new()],
        Json::Array(items) => {
            items.iter().enumerate().flat_map(|(index, item)| under(index.to_string(), item)).collect()
        }
        Json::Object(members) => members.iter().flat_map(|(key, value)| under(escape(key), value)).collect(),
        _ => Vec::new(),
    }
}

/// An answer in which every string and number that may carry a text does.
const ANSWER: &str = r#"{
  "modelVersion": "a~", "responseId": "b~", "createTime": "c~", "modelStatus": {"message": "d~", "modelStage": "e~", "retirementTime": "f~", "g~": 0},
  "promptFeedback": {"blockReason": "h~", "block_reason_message": "i~", "safetyRatings": [{"category": "j~", "probability": "k~", "l~": "m~"}], "n~": 0},
  "usageMetadata": {"promptTokenCount": 1, "promptTokensDetails": [{"modality": "o~", "p~": 0}], "trafficType": "q~", "r~": "s~"},
  "error": {"code": 1, "message": "t~", "status": "u~", "details": [{"@type": "v~", "n": 0}], "w~": "x~"},
  "candidates": [{"index":0, "finishReason": "y~", "finishMessage": "z~", "avgLogprobs": -0.5, "tokenCount": 5,
      "content": {"role": "a~", "b~": "c~", "parts": [
        {"text": "d~", "thought": true, "thoughtSignature": "e~"}, {"text": "f~", "partMetadata": {"g~": 0}, "mediaResolution": {"level": "h~"}, "i~": [ 0, "j~"]},
        {"functionCall": {"id": "k~", "name": "l~", "args": {"m~": "n~", "n": 0, "o": [["p~"]]}, "q~": "r~"}},
        {"functionResponse": {"id": "s~", "name": "t~", "response": {"u~": 0}, "scheduling": "v~"}},
        {"executableCode": {"id": "w~", "language": "x~", "code": "y~", "z~": "a~"}}, {"codeExecutionResult": {"id": "b~", "outcome": "c~", "output": "d~", "n": 0}},
        {"toolCall": {"e~": "f~"}}, {"tool_response": {"g~": "h~"}}, "i~", 0]},
      "safetyRatings": [{"category": "j~", "probability": "k~", "severity": "l~", "overwrittenThreshold": "m~", "probabilityScore": 1.25, "n~": 0}],
      "citationMetadata": {"citationSources": [{"startIndex": 1, "uri": "o~", "title": "p~", "license": "q~", "publicationDate": {"year": 2025, "r~": 0}}], "citations": [{"uri": "s~", "t~": "u~"}]},
      "groundingMetadata": {"webSearchQueries": ["v~"], "imageSearchQueries": ["w~"], "retrievalQueries": ["x~"], "searchEntryPoint": {"renderedContent": "y~", "sdkBlob": "a~", "z~": "b~"},
        "groundingChunks": [{"web": {"uri": "c~", "title": "d~", "domain": "e~", "f~": 0}}, {"retrievedContext": {"text": "g~", "ragChunk": {"text": "h~", "pageSpan": {"firstPage": 0}}, "customMetadata": [{"stringValue": "i~"}], "pageNumber": 5}},
          {"maps": {"placeId": "j~", "placeAnswerSources": {"reviewSnippets": [{"review": "k~"}]}}}, {"image": {"imageUri": "l~"}}, {"m~": "n~"}],
        "groundingSupports": [{"segment": {"startIndex": 1, "text": "o~", "p~": 0}, "groundingChunkIndices": [1, 2], "confidenceScores": [0.5], "q~": "r~"}],
        "retrievalMetadata": {"googleSearchDynamicRetrievalScore": 1.5, "s~": 0}, "googleMapsWidgetContextToken": "t~", "u~": "v~"},
      "urlContextMetadata": {"urlMetadata": [{"retrievedUrl": "w~", "urlRetrievalStatus": "x~", "y~": 0}]}, "continuationToken": "z~",
      "logprobsResult": {"chosenCandidates": [{"token": "a~", "tokenId": 0}], "topCandidates": [{"candidates": [{"token": "b~"}]}]}, "c~": {"d~": 0}},
    {"content": {"parts": "e~"}, "safetyRatings": "f~", "groundingMetadata": ["g~"], "logprobsResult": "h~"}, "i~"],
  "j~": [["k~", 0]]
}"#;

/// What is left out of [`ANSWER`]: the widget's copy, log-probabilities and token ids.
const LEFT_OUT: usize = 5;

#[test]
fn what_is_written_of_an_answer_is_seen() {
    let body = with_canaries(&ANSWER.replace('\n', ""));
    let mut all = BTreeSet::new();
    strings(&serde_json::from_str(&body).unwrap(), &mut all);
    let hidden = canaries(all.iter().map(String::as_str));
    assert!(hidden.len() > 130, "{}", hidden.len());
    for (framing, body) in [
        (Framing::Json, body.clone()),
        (Framing::Json, format!("[{body}]")),
        (Framing::Sse, format!("data: {body}\n\n")),
    ] {
        let (codec, events, error) = run(framing, &[body.as_bytes()]);
        assert_eq!(error, None);
        let seen = canaries(events[0].texts.iter().map(|text| text.text.as_str()));
        assert_eq!(canaries([&*written(&*codec, &events[0])]), seen, "{framing:?}");
        assert_eq!(hidden.difference(&seen).count(), LEFT_OUT, "{framing:?}: {:?}", hidden.difference(&seen));
    }
}

#[test]
fn a_plain_text_in_any_place_of_an_answer_is_seen_or_not_written() {
    // Each string and number in turn says what is no odd text at all.
    let body: Json = serde_json::from_str(&with_canaries(ANSWER)).unwrap();
    let (mut texts, mut numbers) = (0, 0);
    for pointer in pointers(&body) {
        for secret in [json!("project-bluebird"), json!("sk-proj-abcdef"), json!(4111111111111111u64)] {
            let mut body = body.clone();
            *body.pointer_mut(&pointer).unwrap() = secret.clone();
            let secret = secret.to_string().replace('"', "");
            let (codec, events, error) = run(Framing::Sse, &[format!("data: {body}\n\n").as_bytes()]);
            let Some(event) = events.first() else {
                assert!(error.is_some());
                continue;
            };
            let seen = event.texts.iter().any(|text| text.text.contains(&secret));
            assert!(seen || !written(&*codec, event).contains(&secret), "{pointer}: {secret}");
            *(if secret.starts_with('4') { &mut numbers } else { &mut texts }) += usize::from(seen);
        }
    }
    assert!(texts > 180 && numbers > 90, "{texts} {numbers}");
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<u32>().prop_map(|n| json!(n)),
        "[a-z é\"\\\\]{0,8}".prop_map(Json::String)
    ];
    let names = [
        "parts",
        "text",
        "thought",
        "role",
        "functionCall",
        "function_call",
        "args",
        "name",
        "response",
        "functionResponse",
        "inlineData",
        "executable_code",
        "code",
    ];
    let key = prop_oneof!["[a-z ]{1,6}", prop::sample::select(names.to_vec()).prop_map(str::to_owned)];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
            proptest::collection::btree_map(key.clone(), inner, 0..5)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Whatever stands in a request: it is refused, or every string and unknown key of it is in a segment.
    #[test]
    fn seen_or_refused(extra in any_json(), part in any_json(), tool in any_json()) {
        let body = json!({"contents": [{"parts": [{"text": "c"}, part]}], "zz": extra, "tools": [{"functionDeclarations": [{"name": "f", "parameters": tool}]}]});
        let Ok(prompt) = parse(body.to_string()) else { return Ok(()) };
        let mut all = BTreeSet::new();
        strings(&body, &mut all);
        for text in all.iter().filter(|text| text.contains(' ')) {
            let seen = prompt.segments().iter().any(|segment| segment.text.contains(text.as_str()));
            prop_assert!(seen, "{text:?} in {body}");
        }
    }

    /// An edit of any text of a request either can't be made or is what the next reader finds.
    #[test]
    fn an_edit_is_what_is_forwarded(segment in any::<prop::sample::Index>(), from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>()) {
        let body = with_canaries(REQUEST);
        let prompt = parse(&*body).unwrap();
        let segment = &prompt.segments()[segment.index(prompt.segments().len())];
        let (a, b) = (from.index(segment.text.len() + 1), to.index(segment.text.len() + 1));
        let span = a.min(b)..a.max(b);
        prop_assume!(!span.is_empty());
        let one = edits(&[(segment.id.0, span.clone(), "#MASK")]);
        match prompt.edited(&one) {
            Err(error) => prop_assert!(error.to_string().ends_with("can't be redacted in place")),
            Ok(bytes) => {
                let again = Gemini::new(1000).parse_request(bytes, PATH).unwrap();
                let new: Vec<_> = again.segments().iter().map(|segment| segment.text.replace('\n', "")).collect();
                let only_separator = segment.text[span.clone()] == *"\n";
                let expected = one[&segment.id].apply(&segment.text).replace('\n', "");
                prop_assert!(only_separator || new.contains(&expected), "{expected:?} not in {new:?}");
            }
        }
    }
}
