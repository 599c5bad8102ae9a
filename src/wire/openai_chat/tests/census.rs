//! Every string, key and number of a rich request and a rich answer says something of its own, and all of it is seen.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::{edits, parse, run};
use crate::wire::openai_chat::OpenAiChat;
use crate::wire::testing::{canaries, strings, with_canaries};
use crate::wire::{Dialect, Framing};

/// A request in which every string that may carry a text does.
const REQUEST: &str = r#"{
  "model": "gpt-x", "stream": true, "reasoning_effort": "low~", "service_tier": "auto~", "verbosity": "low~", "prompt_cache_retention": "24h~",
  "messages": [
    {"role": "system", "content": "a~", "name": "b~"},
    {"role": "developer", "content": [{"type": "text", "text": "c~"}, {"type": "text", "text": "d~", "e~": {"f~": ["g~", {"n": 0}, null]}}]},
    {"role": "user", "content": "h~", "content_blocks": [{"text": "i~"}], "j~": "k~"},
    {"role": "assistant", "content": [{"type": "refusal", "refusal": "l~"}], "refusal": "m~", "reasoning": "n~",
     "reasoning_content": "o~", "reasoning_details": [{"type": "p~", "text": "q~", "at": 0}, 0], "annotations": [{"url": "r~"}],
     "tool_calls": [
       {"id": "s~", "type": "function", "t~": "u~", "function": {"name": "v~", "arguments": "{\"w~\":[\"x~\", 0]}", "y~": "z~"}},
       {"id": "a~", "type": "d~", "custom": {"name": "b~", "input": "c~"}, "function": {"arguments": {"n~": 0, "of": [ 0]}}}],
     "function_call": {"name": "d~", "arguments": "e~"}, "cache_control": {"type": "a~", "ttl": "b~", "c~": ["d~"]}},
    {"role": "tool", "tool_call_id": "f~", "content": "g~"},
    {"role": "function", "name": "h~", "content": "i~"}
  ],
  "tools": [
    {"type": "function", "j~": "k~", "function": {"name": "l~", "description": "m~", "n~": "o~", "parameters": {
      "type": "object", "title": "p~", "$defs": {"q~": {"type": "r~"}},
      "properties": {"s~": {"type": ["string", "t~"], "description": "u~", "enum": ["v~"], "examples": ["w~"], "default": "x~", "pattern": "y~", "maximum": 0},
                     "type": {"const": "z~", "default": 0}, "description": {"a~": {"b~": "c~"}}}, "required": ["d~"]}}},
    {"type": "custom", "custom": {"name": "e~", "description": "f~", "format": {"type": "text", "definition": "g~"}}}],
  "functions": [{"name": "h~", "description": "i~", "parameters": {"j~": "k~"}}],
  "tool_choice": {"type": "allowed_tools", "allowed_tools": {"tools": [{"name": "l~"}]}},
  "function_call": {"name": "m~"},
  "response_format": {"type": "json_schema", "json_schema": {"name": "n~", "description": "o~", "schema": {"enum": ["p~"], "q~": "r~"}}},
  "stop": ["s~", "t~"], "user": "u~", "metadata": {"v~": "w~", "n": 0}, "prediction": {"type": "content", "content": "x~", "y~": "z~"},
  "safety_identifier": "a~", "prompt_cache_key": "b~", "extra_body": {"user_location": {"approximate": {"city": "c~"}}},
  "chat_template_kwargs": {"d~": true}, "documents": [{"title": "e~", "text": "f~", "page": 0}], "prompt": "g~", "h~": [[{"i~": "j~"}]], "k": 0,
  "stream_options": {"include_usage": true, "a~": "b~"}, "modalities": ["text"], "logit_bias": {"50256": -1, "c~": 0}
}"#;

#[test]
fn every_string_of_a_request_is_seen() {
    let body = with_canaries(REQUEST);
    let prompt = parse(&*body).unwrap();
    let mut all = BTreeSet::new();
    strings(&serde_json::from_str(&body).unwrap(), &mut all);
    let hidden = canaries(all.iter().map(String::as_str));
    assert!(hidden.len() > 95, "{}", hidden.len());
    assert_eq!(canaries(prompt.segments().iter().map(|segment| &*segment.text)), hidden);
}

#[test]
fn a_text_in_any_place_of_a_request_is_seen_or_refused() {
    // Each string and number of the rich request in turn, ids and enumerations too, says something else.
    let body: Json = serde_json::from_str(&with_canaries(REQUEST)).unwrap();
    let pointers = pointers(&body);
    assert!(pointers.len() > 100);
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
                    let own = ["/stream", "/logit_bias/50256"].contains(&pointer.as_str()) && secret.starts_with('4');
                    assert!(judged || own, "{pointer} is not judged: {secret}");
                }
                Err(_) => refused += usize::from(secret == odd),
            }
        }
    }
    // Roles, types, numbers: they are what they should be or nothing.
    assert!((10..30).contains(&refused), "{refused}");
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
  "id": "a~", "object": "b~", "created": 1, "model": "c~", "system_fingerprint": "d~", "service_tier": "e~", "provider": "f~", "obfuscation": "g~",
  "usage": {"total_tokens": 1, "h~": "i~", "j": 0}, "prompt_filter_results": [{"content_filter_results": {"hate": {"severity": "j~", "k": 0}}, "l": 0}],
  "error": {"message": "k~", "type": "l~", "code": "m~", "param": "n~", "o~": "p~"}, "prompt_token_ids": [ 0], "prompt_logprobs": [{"a": "a~"}],
  "choices": [{"index":0, "finish_reason": "q~", "native_finish_reason": "r~", "stop_reason": "s~", "text": "t~", "token_ids": [ 0],
    "content_filter_results": {"u~": {"severity": "v~"}}, "w~": ["x~"], "logprobs": {"content": [{"token": "a~", "top_logprobs": [{"token": "b~"}]}]},
    "SAID": {"role": "y~", "content": "z~", "refusal": "a~", "reasoning": "b~", "reasoning_content": {"c~": "d~", "n": 0}, "token_ids": [ 0],
      "reasoning_details": [{"type": "e~", "text": "f~", "format": "a~", "id": "b~", "summary": "c~", "d~": 0}],
      "annotations": [{"type": "g~", "url": "h~", "url_citation": {"id": "a~", "url": "b~", "title": "c~", "n": 0}}], "i~": "j~",
      "audio": {"id": "k~", "transcript": "l~", "expires_at": "m~"},
      "function_call": {"name": "n~", "arguments": "o~"},
      "tool_calls": [{"index":0, "id": "p~", "type": "q~", "function": {"name": "r~", "arguments": "s~", "t~": "u~"}, "custom": {"name": "v~", "input": "w~"}, "x~": "y~"},
        {"function": {"arguments": {"id": "a~", "type": "b~", "model": "c~", "d~": 0}}}]}},
   {"index": 1, "SAID": {"content": [{"type": "z~", "text": "a~", "b~": "c~"}, "d~", 0], "tool_calls": "e~"}, "delta2": "f~", "logprobs": "g~"}],
  "detail": {"g~": [["h~", 0]]}
}"#;

#[test]
fn what_is_written_of_an_answer_is_seen() {
    for (framing, said) in [(Framing::Json, "message"), (Framing::Sse, "delta")] {
        let body = with_canaries(&ANSWER.replace("SAID", said).replace('\n', ""));
        let mut all = BTreeSet::new();
        strings(&serde_json::from_str(&body).unwrap(), &mut all);
        let hidden = canaries(all.iter().map(String::as_str));
        assert!(hidden.len() > 85, "{}", hidden.len());
        let body = if framing == Framing::Sse { format!("data: {body}\n\n") } else { body };
        let (codec, events, error) = run(framing, &[body.as_bytes()]);
        assert_eq!(error, None);
        let seen = canaries(events[0].texts.iter().map(|text| text.text.as_str()));
        let written = codec.encode(&events[0], &vec![None; events[0].texts.len()]).unwrap();
        let written = canaries([std::str::from_utf8(&written).unwrap()]);
        assert_eq!(written, seen, "{framing:?}");
        // What goes: padding, log-probabilities, token ids.
        assert_eq!(hidden.difference(&seen).count(), 8, "{framing:?}");
    }
}

#[test]
fn a_plain_text_in_any_place_of_an_answer_is_seen_or_not_written() {
    // Each string and number in turn says what is no odd text at all.
    let body: Json = serde_json::from_str(&with_canaries(&ANSWER.replace("SAID", "delta"))).unwrap();
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
            let written = codec.encode(event, &vec![None; event.texts.len()]).unwrap();
            let seen = event.texts.iter().any(|text| text.text.contains(&secret));
            assert!(seen || !std::str::from_utf8(&written).unwrap().contains(&secret), "{pointer}: {secret}");
            *(if secret.starts_with('4') { &mut numbers } else { &mut texts }) += usize::from(seen);
        }
    }
    assert!(texts > 120 && numbers > 60, "{texts} {numbers}");
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<u32>().prop_map(|n| json!(n)),
        "[a-z é\"\\\\]{0,8}".prop_map(Json::String)
    ];
    let key = prop_oneof![
        "[a-z ]{1,6}",
        prop::sample::select(vec![
            "messages",
            "role",
            "content",
            "type",
            "text",
            "tools",
            "function",
            "arguments",
            "name",
            "tool_calls",
            "metadata"
        ])
        .prop_map(str::to_owned),
    ];
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
    fn seen_or_refused(extra in any_json(), message in any_json(), tool in any_json()) {
        let mut user = json!({"role": "user", "content": "c"});
        if let (Json::Object(user), Json::Object(more)) = (&mut user, message) {
            user.extend(more.into_iter().filter(|(key, _)| key != "role"));
        }
        let body = json!({"messages": [user], "zz": extra, "tools": [{"type": "function", "function": {"name": "f", "parameters": tool}}]});
        let Ok(prompt) = parse(body.to_string()) else { return Ok(()) };
        let mut all = BTreeSet::new();
        strings(&body, &mut all);
        for text in all.iter().filter(|text| text.contains(' ')) {
            let inner = crate::wire::json::unescape(text);
            let seen = prompt.segments().iter().any(|segment| segment.text.contains(text.as_str()) || segment.text.contains(&inner));
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
                let again = OpenAiChat::new(1000).parse_request(bytes, "").unwrap();
                let new: Vec<_> = again.segments().iter().map(|segment| segment.text.replace('\n', "")).collect();
                let only_separator = segment.text[span.clone()] == *"\n";
                let expected = one[&segment.id].apply(&segment.text).replace('\n', "");
                prop_assert!(only_separator || new.contains(&expected), "{expected:?} not in {new:?}");
            }
        }
    }
}
