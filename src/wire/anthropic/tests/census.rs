//! Every string, key and number of a rich request and of rich answers says something of its own, and all of it is seen.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::{begin, edits, frame, parse, run};
use crate::wire::anthropic::Anthropic;
use crate::wire::{Dialect, Framing};

/// What the canaries begin with. The numbers are too long for a count.
const MARK: &str = "88000000";

/// `json` with a number of its own for each `~` in a string or key and for each number `0`.
fn sown(json: &Json, next: &mut u64) -> Json {
    match json {
        Json::String(text) => Json::String(canary(text, next)),
        Json::Number(number) if number.as_u64() == Some(0) => canary("~", next).trim().parse::<u64>().unwrap().into(),
        Json::Array(items) => items.iter().map(|item| sown(item, next)).collect(),
        Json::Object(members) => members.iter().map(|(key, value)| (canary(key, next), sown(value, next))).collect(),
        other => other.clone(),
    }
}

fn canary(text: &str, next: &mut u64) -> String {
    let canary = format!(" {MARK}{next}");
    *next += u64::from(text.contains('~'));
    text.replace('~', &canary)
}

fn sow(json: &str) -> Json {
    sown(&serde_json::from_str(json).unwrap(), &mut 100)
}

/// The canaries in some texts.
fn canaries<'a>(texts: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    let found = |text: &'a str| text.match_indices(MARK).map(|(at, mark)| text[at + mark.len()..][..3].to_owned());
    texts.into_iter().flat_map(found).collect()
}

/// A request in which every string that may carry a text does.
const REQUEST: &str = r#"{
  "model": "claude-x", "stream": true, "max_tokens": 5, "service_tier": "auto~", "speed": "fast~", "inference_geo": "us~",
  "system": [{"type": "text", "text": "a~", "cache_control": {"type": "b~", "ttl": "c~", "d~": ["e~"]}}, {"type": "text", "text": "f~"}],
  "messages": [
    {"role": "system", "content": "a~", "clear_at": "b~", "c~": "d~"},
    {"role": "user", "content": [
      {"type": "text", "text": "a~", "b~": {"c~": ["d~", {"n": 0}, null]}, "citations": [{"type": "e~", "cited_text": "f~",
        "document_title": "g~", "title": "h~", "source": "i~", "url": "j~", "file_id": "k~", "encrypted_index": "l~", "m~": 0}]},
      {"type": "search_result", "source": "a~", "title": "b~", "content": [{"type": "text", "text": "c~"}], "citations": {"enabled": true, "d~": 0}},
      {"type": "document", "title": "a~", "context": "b~", "source": {"type": "text", "media_type": "c~", "data": "d~", "e~": "f~"}},
      {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "a~"}]}},
      {"type": "tool_result", "tool_use_id": "a~", "is_error": false, "toolset_name": "b~", "content": [
        {"type": "text", "text": "c~"}, {"type": "tool_reference", "tool_name": "d~"},
        {"type": "browser_state", "tabs": [{"tab_id": "e~", "title": "f~", "n": 0}], "state_changes": [{"type": "g~", "url": "h~"}]},
        {"type": "document", "source": {"type": "text", "data": "i~"}}]},
      {"type": "tool_result", "content": "a~"}]},
    {"role": "assistant", "content": [
      {"type": "thinking", "thinking": "a~", "signature": "b~"},
      {"type": "tool_use", "id": "a~", "name": "b~", "toolset_name": "c~", "caller": {"type": "d~", "tool_id": "e~", "f~": "g~"},
        "input": {"h~": ["i~", 0, {"type": "j~", "n": 0}]}},
      {"type": "server_tool_use", "id": "a~", "name": "b~", "input": {"query": "c~"}},
      {"type": "web_search_tool_result", "tool_use_id": "a~", "content": [{"type": "web_search_result", "title": "b~", "url": "c~", "page_age": "d~"}]},
      {"type": "web_search_tool_result", "content": {"type": "web_search_tool_result_error", "error_code": "a~"}},
      {"type": "web_fetch_tool_result", "content": {"type": "web_fetch_result", "url": "a~", "retrieved_at": "b~",
        "content": {"type": "document", "title": "c~", "source": {"type": "text", "data": "d~"}}}},
      {"type": "code_execution_tool_result", "content": {"type": "code_execution_result", "stdout": "a~", "stderr": "b~", "return_code": 1,
        "content": [{"type": "code_execution_output", "file_id": "c~"}]}},
      {"type": "text_editor_code_execution_tool_result", "content": {"type": "text_editor_code_execution_view_result", "content": "a~", "file_type": "b~"}},
      {"type": "text_editor_code_execution_tool_result", "content": {"type": "text_editor_code_execution_str_replace_result", "lines": ["a~", "b~"]}},
      {"type": "tool_search_tool_result", "content": {"type": "tool_search_tool_search_result",
        "tool_references": [{"type": "tool_reference", "tool_name": "a~"}]}},
      {"type": "advisor_tool_result", "content": {"type": "advisor_result", "text": "a~", "stop_reason": "b~"}},
      {"type": "mcp_tool_use", "id": "a~", "name": "b~", "server_name": "c~", "input": {"d~": "e~"}},
      {"type": "mcp_tool_result", "tool_use_id": "a~", "content": [{"type": "text", "text": "b~"}]},
      {"type": "mcp_tool_listing", "mcp_server_name": "a~", "tools": [{"name": "b~", "description": "c~", "input_schema": {"d~": "e~"}}]},
      {"type": "compaction", "content": "a~", "signature": "b~"},
      {"type": "fallback", "from": {"model": "a~"}, "to": {"model": "b~"}, "trigger": {"type": "c~", "category": "d~"}}]}
  ],
  "tools": [
    {"name": "a~", "description": "b~", "type": "custom", "c~": "d~", "allowed_callers": ["e~"], "input_examples": [{"f~": 0}], "input_schema": {
      "type": "object", "title": "g~", "properties": {"h~": {"type": ["string", "i~"], "description": "j~", "enum": ["k~"], "maximum": 0}}, "required": ["l~"]}},
    {"type": "browser_toolset_20260801", "configs": {"a~": {"enabled": true, "b~": "c~"}}}],
  "tool_choice": {"type": "a~", "name": "b~", "c~": 0}, "stop_sequences": ["a~", "b~"], "metadata": {"user_id": "a~", "b~": 0},
  "thinking": {"type": "a~", "display": "b~", "budget_tokens": 1024, "c~": "d~"},
  "output_config": {"effort": "a~", "task_budget": {"type": "b~", "total": 5}, "format": {"type": "json_schema", "schema": {"enum": ["c~"], "d~": "e~"}}},
  "output_format": {"type": "json_schema", "schema": {"a~": "b~"}}, "cache_control": {"type": "a~"},
  "context_management": {"edits": [{"type": "a~", "instructions": "b~"}]}, "compaction": {"instructions": "a~"},
  "diagnostics": {"previous_message_id": "a~"}, "fallbacks": [{"model": "a~"}], "fallback_credit_token": "a~", "billing_policy": {"bill_to": "a~"},
  "user_profile_id": "a~", "workspace_id": "a~", "anthropic_version": "a~", "anthropic_beta": ["a~"], "betas": ["a~"],
  "prompt": "a~", "h~": [[{"i~": "j~"}]], "k": 0
}"#;

#[test]
fn every_string_of_a_request_is_seen() {
    let body = sow(REQUEST).to_string();
    let prompt = parse(&*body).unwrap();
    let sown = canaries([&*body]);
    assert!(sown.len() > 150, "{}", sown.len());
    assert_eq!(canaries(prompt.segments().iter().map(|segment| &*segment.text)), sown);
}

#[test]
fn a_text_in_any_place_of_a_request_is_seen_or_refused() {
    // Each string and number of the rich request in turn, ids and enumerations too, says something else.
    let body = sow(REQUEST);
    let pointers = pointers(&body);
    let odd = "an odd \u{1}text";
    let mut refused = 0;
    for pointer in &pointers {
        for secret in [json!(odd), json!("project-bluebird"), json!(4111111111111111u64)] {
            let mut body = body.clone();
            let before = std::mem::replace(body.pointer_mut(pointer).unwrap(), secret.clone());
            let text = secret.as_str().map_or(secret.to_string(), str::to_owned);
            match parse(body.to_string()) {
                Ok(prompt) => {
                    let judged = prompt.segments().iter().any(|segment| segment.text.contains(&text));
                    // A number that the API asks for is one whatever its size.
                    let own = secret.is_number() && before.as_u64().is_some_and(|n| n < 10_000);
                    assert!(judged || own, "{pointer} is not judged: {text}");
                }
                Err(_) => refused += usize::from(secret == odd),
            }
        }
    }
    // Roles, types, numbers: they are what they should be or nothing.
    assert!(pointers.len() > 170 && (40..70).contains(&refused), "{} {refused}", pointers.len());
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

/// A block in which every string and number that may carry a text does.
const BLOCK: &str = r#"{"type": "a~", "text": "b~", "thinking": "c~", "signature": "d~", "data": "e~", "id": "f~", "name": "g~",
  "input": {"h~": ["i~", 0], "id": "j~"}, "caller": {"type": "k~", "tool_id": "l~"}, "toolset_name": "m~", "server_name": "n~",
  "mcp_server_name": "o~", "tools": [{"name": "p~", "input_schema": {"q~": "r~"}}], "tool_use_id": "s~", "is_error": "t~", "file_id": "u~",
  "encrypted_content": "v~", "from": {"model": "w~"}, "to": {"model": "x~"}, "trigger": {"type": "y~", "category": "z~"}, "a~": 0,
  "citations": [{"type": "a~", "cited_text": "b~", "document_title": "c~", "title": "d~", "source": "e~", "url": "f~", "file_id": "g~",
    "encrypted_index": "h~", "document_index": 0, "i~": 0}],
  "content": [{"type": "a~", "text": "b~", "title": "c~", "url": "d~", "page_age": "e~", "retrieved_at": "f~", "encrypted_content": "g~",
    "encrypted_stdout": "h~", "error_code": "i~", "stdout": "j~", "stderr": "k~", "return_code": 0, "file_id": "l~", "file_type": "m~",
    "lines": ["n~", 0], "tool_references": [{"tool_name": "o~"}], "stop_reason": "p~", "citations": {"enabled": true, "q~": 0},
    "content": {"source": {"type": "text", "media_type": "r~", "data": "s~", "t~": "u~"}}, "v~": "w~"}, {"source": "x~", "content": "y~"}]}"#;

/// A message's members, less its blocks.
const MESSAGE: &str = r#""id": "a~", "role": "b~", "model": "c~", "type": "d~", "stop_reason": "e~", "stop_sequence": "f~",
  "stop_details": {"type": "g~", "category": "h~", "explanation": "i~", "fallback_credit_token": "j~", "recommended_model": "k~", "l~": 0},
  "usage": {"input_tokens": 0, "service_tier": "m~", "inference_geo": "n~", "speed": "o~", "iterations": [{"type": "p~", "model": "q~", "r": 0}],
    "fallback_credit": {"status": {"type": "s~"}}, "cache_creation": {"t~": 0}, "server_tool_use": {"u~": 0}},
  "container": {"id": "v~", "expires_at": "w~", "skills": [{"type": "x~", "skill_id": "y~", "version": "z~"}]},
  "diagnostics": {"cache_miss_reason": {"type": "a~", "b~": 0}}, "context_management": {"applied_edits": [{"type": "c~", "d~": 0}]},
  "input_transformations": [{"type": "e~", "path": "f~", "reason": "g~"}], "error": {"type": "h~", "message": "i~", "details": {"j~": ["k~"]}},
  "request_id": "l~", "input_tokens": 0, "detail": {"m~": [["n~", 0]]}"#;

const DELTA: &str = r#"{"type": "a~", "text": "b~", "thinking": "c~", "signature": "d~", "partial_json": "e~", "content": "f~", "encrypted_content": "g~",
  "citation": {"type": "h~", "cited_text": "i~", "j~": 0}, "stop_reason": "k~", "stop_sequence": "l~", "stop_details": {"explanation": "m~"},
  "container": {"id": "n~"}, "estimated_tokens": 0, "o~": {"p~": 0}}"#;

/// Whole messages and events of streams, what goes before them, and how many canaries they have.
fn answers() -> [(Framing, Vec<Json>, Json, usize); 7] {
    let start = json!({"type": "content_block_start", "index": 0, "content_block": {}});
    let event = |kind: &str, members: String| sow(&format!(r#"{{"type": "{kind}", "new~": "~", {members}}}"#));
    let untyped = MESSAGE.replace(r#""type": "d~", "#, "");
    let answers = [
        (Framing::Json, vec![], sow(&format!("{{{MESSAGE}, \"content\": [{BLOCK}]}}")), 110),
        (Framing::Sse, vec![], event("message_start", format!(r#""message": {{{MESSAGE}, "content": []}}"#)), 45),
        (Framing::Sse, vec![], event("content_block_start", format!(r#""index": 7, "content_block": {BLOCK}"#)), 65),
        (Framing::Sse, vec![start], event("content_block_delta", format!(r#""index": 7, "delta": {DELTA}"#)), 18),
        (Framing::Sse, vec![], event("message_delta", format!(r#""index": 7, "delta": {DELTA}, {untyped}"#)), 60),
        (Framing::Sse, vec![], event("error", untyped.clone()), 45),
        (Framing::Sse, vec![], event("new", untyped + r#", "message": "~""#), 45),
    ];
    answers.map(|(framing, before, mut answer, least)| {
        // 0 would be a canary.
        answer.as_object_mut().unwrap().entry("index").and_modify(|index| *index = json!(0));
        (framing, before, answer, least)
    })
}

fn read(framing: Framing, before: &[Json], answer: &Json) -> Option<(BTreeSet<String>, String, String)> {
    let body = match framing {
        Framing::Json => answer.to_string(),
        _ => before.iter().chain([answer]).map(frame).collect(),
    };
    let (codec, events, _) = run(framing, &[body.as_bytes()]);
    let event = events.get(before.len())?;
    let written = codec.encode(event, &vec![None; event.texts.len()]).unwrap();
    let seen: Vec<_> = event.texts.iter().map(|text| text.text.as_str()).collect();
    Some((canaries(seen.iter().copied()), seen.join("\n"), String::from_utf8(written.into()).unwrap()))
}

#[test]
fn what_is_written_of_an_answer_is_seen() {
    for (framing, before, answer, least) in answers() {
        let sown = canaries([&*answer.to_string()]);
        assert!(sown.len() >= least, "{} {answer}", sown.len());
        let (seen, _, written) = read(framing, &before, &answer).unwrap();
        assert_eq!(seen, sown, "{answer}");
        assert_eq!(canaries([&*written]), sown, "{answer}");
    }
}

#[test]
fn a_plain_text_in_any_place_of_an_answer_is_seen_or_not_written() {
    // Each string and number in turn says what is no odd text at all.
    let (mut texts, mut numbers) = (0, 0);
    for (framing, before, body, _) in answers() {
        for pointer in pointers(&body) {
            for secret in [json!("project-bluebird"), json!("sk-proj-abcdef"), json!(4111111111111111u64)] {
                let mut body = body.clone();
                *body.pointer_mut(&pointer).unwrap() = secret.clone();
                let secret = secret.to_string().replace('"', "");
                let Some((_, seen, written)) = read(framing, &before, &body) else { continue };
                let seen = seen.contains(&secret);
                assert!(seen || !written.contains(&secret), "{pointer}: {secret} in {body}");
                *(if secret.starts_with('4') { &mut numbers } else { &mut texts }) += usize::from(seen);
            }
        }
    }
    assert!(texts > 600 && numbers > 300, "{texts} {numbers}");
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<u32>().prop_map(|n| json!(n)),
        "[a-z é\"\\\\]{0,8}".prop_map(Json::String)
    ];
    let known = ["messages", "role", "content", "type", "text", "tools", "input", "source", "name", "data", "metadata"];
    let key = prop_oneof!["[a-z ]{1,6}", prop::sample::select(known.to_vec()).prop_map(str::to_owned)];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
            proptest::collection::btree_map(key.clone(), inner, 0..5)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

/// Every string and key below.
fn strings(json: &Json, out: &mut BTreeSet<String>) {
    match json {
        Json::String(text) => drop(out.insert(text.clone())),
        Json::Array(items) => items.iter().for_each(|item| strings(item, out)),
        Json::Object(members) => members.iter().for_each(|(key, value)| {
            out.insert(key.clone());
            strings(value, out);
        }),
        _ => {}
    }
}

proptest! {
    /// Whatever stands in a request: it is refused, or every string and unknown key of it is in a segment.
    #[test]
    fn seen_or_refused(extra in any_json(), block in any_json(), input in any_json(), tool in any_json(),
                       kind in prop::sample::select(vec!["text", "tool_result", "document", "search_result", "mcp_tool_use"])) {
        let mut one = json!({"type": kind, "input": input});
        if let (Json::Object(one), Json::Object(more)) = (&mut one, block) {
            one.extend(more.into_iter().filter(|(key, _)| key != "type"));
        }
        let body = json!({"messages": [{"role": "user", "content": [one]}], "zz": extra, "tools": [{"name": "f", "input_schema": tool}]});
        let Ok(prompt) = parse(body.to_string()) else { return Ok(()) };
        let mut all = BTreeSet::new();
        strings(&body, &mut all);
        for text in all.iter().filter(|text| text.contains(' ')) {
            prop_assert!(prompt.segments().iter().any(|segment| segment.text.contains(text.as_str())), "{text:?} in {body}");
        }
    }

    /// An edit of any text of a request either can't be made or is what the next reader finds.
    #[test]
    fn an_edit_is_what_is_forwarded(segment in any::<prop::sample::Index>(), from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>()) {
        let prompt = parse(sow(REQUEST).to_string()).unwrap();
        let segment = &prompt.segments()[segment.index(prompt.segments().len())];
        let (a, b) = (from.index(segment.text.len() + 1), to.index(segment.text.len() + 1));
        let span = a.min(b)..a.max(b);
        prop_assume!(!span.is_empty());
        let one = edits(&[(segment.id.0, span.clone(), "#MASK")]);
        match prompt.edited(&one) {
            Err(error) => prop_assert!(error.to_string().ends_with("can't be redacted in place")),
            Ok(bytes) => {
                let again = Anthropic::new(1000).parse_request(bytes, "").unwrap();
                let new: Vec<_> = again.segments().iter().map(|segment| segment.text.replace('\n', "")).collect();
                let only_separator = segment.text[span.clone()] == *"\n";
                let expected = one[&segment.id].apply(&segment.text).replace('\n', "");
                prop_assert!(only_separator || new.contains(&expected), "{expected:?} not in {new:?}");
            }
        }
    }

    /// Whatever stands in a stream behind its start: what is written of it is judged.
    #[test]
    fn what_leaves_is_judged(more in any_json(), kind in prop::sample::select(vec!["content_block_start", "content_block_delta", "message_delta", "ping", "odd"]),
                             place in prop::sample::select(vec!["content_block", "delta", "message", "error", "zz"])) {
        let start = json!({"type": "content_block_start", "index": 0, "content_block": {}});
        let event = json!({"type": kind, "index": u32::from(kind == "content_block_start"), place: more});
        let (codec, events, _) = run(Framing::Sse, &[(frame(&begin()) + &frame(&start) + &frame(&event)).as_bytes()]);
        let Some(found) = events.get(2) else { return Ok(()) };
        prop_assert!(codec.encode(found, &vec![None; found.texts.len()]).is_ok());
        let mut all = BTreeSet::new();
        strings(&event, &mut all);
        for text in all.iter().filter(|text| text.contains(' ')) {
            prop_assert!(found.texts.iter().any(|found| found.text.contains(text.as_str())), "{text:?} in {event}");
        }
    }
}
