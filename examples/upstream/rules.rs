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
//! After tool results it says what they were. Who asks for JSON gets JSON that fits the schema.

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use crate::answer::{Answer, Call, Choice, Content, Outcome, words};
use crate::ask::{Ask, Form, Tool};

/// What a model might let slip though nobody has named it: harmless at first.
const SECRET: &str = "Let me think about what I may tell. The office opens at nine and closes at six. Coffee is on the \
    second floor, next to the library, and the library lends its books for two weeks at a time. On Fridays there is \
    soup, and whoever comes late gets bread instead. In spring the windows of the south wing are cleaned, and in autumn \
    the leaves are swept from the yard. That much anybody may know. But there is one more thing, which I have read in \
    a mail: Project Bluebird will be announced on the first of May, and nobody outside may hear of it before.";

/// Choices that one request may ask for.
const MAX_CHOICES: u64 = 16;

/// Answers by the rules. The error says what is wrong with the request.
pub fn answer(ask: &Ask) -> Result<Outcome, &'static str> {
    let count = ask.choices.unwrap_or(1);
    if !(1..=MAX_CHOICES).contains(&count) {
        return Err("expected 1 to 16 choices");
    }
    let (asked, slowness) = match after(&ask.words, "stream slowly") {
        Some(rest) => (rest.trim_start_matches([' ', ',', ':']), 10),
        None => (&*ask.words, 1),
    };
    if let Some(status) = after(asked, "fail with ") {
        let status = status.trim().parse::<u16>().ok().and_then(|code| StatusCode::from_u16(code).ok());
        return Ok(Outcome::Fail(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), "failing, as asked"));
    }
    let choices = (0..count).map(|index| limited(choice(ask, asked, index), ask.limit)).collect();
    let answer = Answer { choices, slowness, prompt_tokens: ask.prompt_tokens };
    Ok(if starts_with(asked, "stall") { Outcome::Stall(answer) } else { Outcome::Answer(answer) })
}

fn choice(ask: &Ask, asked: &str, index: u64) -> Choice {
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
    if ask.results.is_empty()
        && let Some(calls) = calls(ask, asked)
    {
        return Choice { reasoning: None, content: Content::Calls(calls), cut: false };
    }
    let mut text = match after(asked, "count to ").and_then(|n| n.trim_end_matches(['.', '!']).parse::<u32>().ok()) {
        _ if !ask.results.is_empty() => format!("The tool says: {}", ask.results.join("; ")),
        Some(last) => (1..=last.min(10_000)).map(|n| n.to_string()).collect::<Vec<_>>().join(", "),
        None => format!("You said: {asked}"),
    };
    // So that choices can be told apart.
    if index > 0 {
        text.push_str(&format!(" (choice {index})"));
    }
    Choice::text(match &ask.form {
        Form::Text => text,
        Form::Object => json!({ "answer": text }).to_string(),
        Form::Schema(schema) => fitting(schema, &text, 0).to_string(),
    })
}

/// Cut to so many words.
fn limited(mut choice: Choice, limit: Option<u64>) -> Choice {
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
fn calls(ask: &Ask, asked: &str) -> Option<Vec<Call>> {
    let tool = ask.tools.iter().find(|tool| tool.name.contains("weather")).or(ask.tools.first())?;
    let places = match asked.to_lowercase().find("weather in ") {
        // Lower case may be longer or shorter than the text itself: cut that text only where the two agree.
        Some(at) => asked.get(at + "weather in ".len()..).unwrap_or(asked),
        None if ask.must_call => asked,
        None => return None,
    };
    let places = places.split(['?', '.', '!', ',']).next().unwrap_or(places);
    let call = |place: &str| Call { name: tool.name.clone(), arguments: arguments(tool, place.trim()) };
    Some(places.split(" and ").map(call).collect())
}

fn arguments(tool: &Tool, text: &str) -> Value {
    match fitting(&tool.parameters, text, 0) {
        object @ Value::Object(_) => object,
        other => json!({ "text": other }),
    }
}

/// A value of this JSON schema, with `text` as its strings.
fn fitting(schema: &Value, text: &str, depth: usize) -> Value {
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    // Gemini writes them in capitals.
    match schema["type"].as_str().map(str::to_ascii_lowercase).as_deref() {
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

fn starts_with(text: &str, start: &str) -> bool {
    text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
}

fn after<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    starts_with(text, start).then(|| &text[start.len()..])
}
