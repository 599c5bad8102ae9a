//! The rules: what is answered to which last message. No seed, no clock: the same request gets the same answer.
//!
//! | the last user message | the answer |
//! |---|---|
//! | `say: TEXT` | TEXT, to the letter |
//! | `think: TEXT` | reasoning TEXT, then "I have thought about it." |
//! | `refuse` | a refusal |
//! | `tell me a secret` | some harmless sentences, then one about Project Bluebird |
//! | `count to N` | 1, 2, ... N |
//! | `fail with 429` (or 500, 503 ...) | that error |
//! | `stall` | nothing more ever comes |
//! | `stream slowly, ...` | what the rest asks for, ten times slower |
//! | `... weather in X ...`, with tools offered | a call of the weather tool; for "X and Y" two |
//! | anything else | `You said: ...` |
//!
//! After tool results it says what they were. A `response_format` gets JSON that fits it.

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use crate::answer::{Answer, Call, Choice, Content, Outcome, words};

/// What a model might let slip though nobody has named it: harmless at first.
const SECRET: &str = "Let me think about what I may tell. The office opens at nine and closes at six. Coffee is on the \
    second floor, next to the library, and the library lends its books for two weeks at a time. On Fridays there is \
    soup, and whoever comes late gets bread instead. In spring the windows of the south wing are cleaned, and in autumn \
    the leaves are swept from the yard. That much anybody may know. But there is one more thing, which I have read in \
    a mail: Project Bluebird will be announced on the first of May, and nobody outside may hear of it before.";

/// Choices that one request may ask for.
const MAX_CHOICES: u64 = 16;

/// Answers a request body by the rules. The error says what is wrong with the request.
pub fn answer(request: &Value) -> Result<Outcome, &'static str> {
    let messages =
        request["messages"].as_array().filter(|m| !m.is_empty()).ok_or("messages: expected a non-empty array")?;
    let count = request["n"].as_u64().unwrap_or(1);
    if !(1..=MAX_CHOICES).contains(&count) {
        return Err("n: expected 1 to 16");
    }
    let (asked, slowness) = match last_user_text(messages) {
        text if starts_with(&text, "stream slowly") => {
            (text["stream slowly".len()..].trim_start_matches([' ', ',', ':']).to_owned(), 10)
        }
        text => (text, 1),
    };
    if let Some(status) = after(&asked, "fail with ") {
        let status = status.trim().parse::<u16>().ok().and_then(|code| StatusCode::from_u16(code).ok());
        return Ok(Outcome::Fail(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), "failing, as asked"));
    }
    let choices = (0..count).map(|index| limited(choice(request, messages, &asked, index), request)).collect();
    let prompt_tokens = messages.iter().map(|message| words(&text_of(&message["content"])).count()).sum();
    let answer = Answer { choices, slowness, prompt_tokens };
    Ok(if starts_with(&asked, "stall") { Outcome::Stall(answer) } else { Outcome::Answer(answer) })
}

fn choice(request: &Value, messages: &[Value], asked: &str, index: u64) -> Choice {
    if let Some(text) = after(asked, "say:") {
        return Choice::text(text.trim_start().to_owned());
    }
    if let Some(thought) = after(asked, "think:") {
        let said = Choice::text("I have thought about it.".to_owned());
        return Choice { reasoning: Some(thought.trim_start().to_owned()), ..said };
    }
    if starts_with(asked, "refuse") {
        return Choice { reasoning: None, content: Content::Refusal("I will not do that.".to_owned()), cut: false };
    }
    if starts_with(asked, "tell me a secret") {
        return Choice::text(SECRET.to_owned());
    }
    let results = tool_results(messages);
    if results.is_empty()
        && let Some(calls) = calls(request, asked)
    {
        return Choice { reasoning: None, content: Content::Calls(calls), cut: false };
    }
    let mut text = match after(asked, "count to ").and_then(|n| n.trim_end_matches(['.', '!']).parse::<u32>().ok()) {
        _ if !results.is_empty() => format!("The tool says: {}", results.join("; ")),
        Some(last) => (1..=last.min(10_000)).map(|n| n.to_string()).collect::<Vec<_>>().join(", "),
        None => format!("You said: {asked}"),
    };
    // So that choices can be told apart.
    if index > 0 {
        text.push_str(&format!(" (choice {index})"));
    }
    match request["response_format"]["type"].as_str() {
        Some("json_object") => Choice::text(json!({ "answer": text }).to_string()),
        Some("json_schema") => {
            Choice::text(fitting(&request["response_format"]["json_schema"]["schema"], &text, 0).to_string())
        }
        _ => Choice::text(text),
    }
}

/// Cut to `max_completion_tokens` (or `max_tokens`) words.
fn limited(mut choice: Choice, request: &Value) -> Choice {
    let limit = request["max_completion_tokens"].as_u64().or(request["max_tokens"].as_u64());
    if let (Some(limit), Content::Text(text)) = (limit, &mut choice.content) {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if words(text).count() > limit {
            *text = words(text).take(limit).collect();
            choice.cut = true;
        }
    }
    choice
}

/// The calls that the request's tools and words ask for.
fn calls(request: &Value, asked: &str) -> Option<Vec<Call>> {
    let functions: Vec<&Value> = request["tools"].as_array()?.iter().map(|tool| &tool["function"]).collect();
    let choice = &request["tool_choice"];
    if choice == "none" {
        return None;
    }
    let forced = choice["function"]["name"].as_str();
    let named = |part: &str| functions.iter().find(|f| f["name"].as_str().is_some_and(|name| name.contains(part)));
    let function = forced.map_or_else(|| named("weather").or(functions.first()), named)?;
    let lower = asked.to_lowercase();
    let places = match lower.find("weather in ") {
        // Lower case may be longer or shorter than the text itself: cut that text only where the two agree.
        Some(at) => asked.get(at + "weather in ".len()..).unwrap_or(asked),
        None if forced.is_some() || choice == "required" => asked,
        None => return None,
    };
    let places = places.split(['?', '.', '!', ',']).next().unwrap_or(places);
    let name = function["name"].as_str()?.to_owned();
    let parameter = first_parameter(&function["parameters"]);
    let call = |place: &str| {
        let arguments: Map<String, Value> = [(parameter.clone(), Value::from(place.trim()))].into_iter().collect();
        Call { name: name.clone(), arguments: Value::Object(arguments).to_string() }
    };
    Some(places.split(" and ").map(call).collect())
}

fn first_parameter(schema: &Value) -> String {
    let required = schema["required"][0].as_str();
    let named = || schema["properties"].as_object().and_then(|properties| properties.keys().next()).map(String::as_str);
    required.or_else(named).unwrap_or("text").to_owned()
}

/// A value of this JSON schema, with `text` as its strings.
fn fitting(schema: &Value, text: &str, depth: usize) -> Value {
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("object") if depth < 16 => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            properties
                .map(|(key, schema)| (key.clone(), fitting(schema, text, depth + 1)))
                .collect::<Map<_, _>>()
                .into()
        }
        Some("array") if depth < 16 => json!([fitting(&schema["items"], text, depth + 1)]),
        Some("integer" | "number") => json!(text.len()),
        Some("boolean") => json!(true),
        Some("null") => Value::Null,
        _ => json!(text),
    }
}

fn last_user_text(messages: &[Value]) -> String {
    messages
        .iter()
        .rfind(|message| message["role"] == "user")
        .map(|message| text_of(&message["content"]))
        .unwrap_or_default()
}

/// The tool messages at the end, in order.
fn tool_results(messages: &[Value]) -> Vec<String> {
    let mut results: Vec<_> =
        messages.iter().rev().take_while(|m| m["role"] == "tool").map(|m| text_of(&m["content"])).collect();
    results.reverse();
    results
}

/// A content's words: a string, or parts of which the text ones count.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    }
}

fn starts_with(text: &str, start: &str) -> bool {
    text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
}

fn after<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    starts_with(text, start).then(|| &text[start.len()..])
}
