//! OpenAI's Responses.

use serde_json::{Map, Value, json};

use crate::config::{EffortIn, PolicyIn, Remote};
use crate::remote::RemoteError;
use crate::remote::form::{Answer, Question, Usage, count, effort, messages, object, policy};

pub fn ask(settings: &Remote, question: &Question<'_>) -> (&'static str, Map<String, Value>) {
    let mut body = object(json!({
        "input": messages(settings, question),
        "max_output_tokens": question.max_tokens,
        "temperature": 0,
        "top_p": 1,
        "store": false,
    }));
    // Here the one message above the user's has a member of its own.
    if settings.policy_in == PolicyIn::System {
        body.insert("instructions".into(), json!(policy(settings, question)));
        body.insert("input".into(), json!([{ "role": "user", "content": question.text }]));
    }
    let effort = effort(question.effort);
    match settings.effort_in {
        EffortIn::Field => drop(body.insert("reasoning".into(), json!({ "effort": effort }))),
        EffortIn::ReasoningEffort => drop(body.insert("reasoning_effort".into(), json!(effort))),
        EffortIn::ChatTemplateKwargs => {
            body.insert("chat_template_kwargs".into(), json!({ "reasoning_effort": effort }));
        }
        EffortIn::Policy => {}
    }
    if let Some(schema) = question.schema {
        let format = json!({ "type": "json_schema", "name": "reply", "strict": false, "schema": schema });
        body.insert("text".into(), json!({ "format": format }));
    }
    ("/responses", body)
}

pub fn read(body: &Map<String, Value>) -> Result<Answer, RemoteError> {
    let garbage = RemoteError::Garbage;
    let usage = body.get("usage").unwrap_or(&Value::Null);
    let usage = Usage {
        prompt: count(usage, "/input_tokens"),
        cached: count(usage, "/input_tokens_details/cached_tokens"),
        answer: count(usage, "/output_tokens"),
    };
    match body.get("status").and_then(Value::as_str) {
        Some("completed") => {}
        Some("incomplete") => {
            let why = body.get("incomplete_details").and_then(|details| details.get("reason")).and_then(Value::as_str);
            return Err(match why {
                Some("max_output_tokens") => RemoteError::Truncated { tokens: usage.answer },
                Some("content_filter") => RemoteError::Refusal,
                _ => garbage("it is incomplete for no known reason"),
            });
        }
        Some("failed" | "cancelled") => return Err(RemoteError::ErrorBody),
        _ => return Err(garbage("it does not say how it ended")),
    }
    let Some(Value::Array(output)) = body.get("output") else { return Err(garbage("it has no output")) };
    let (mut messages, mut reasoning) = (Vec::new(), String::new());
    for item in output {
        match item.get("type").and_then(Value::as_str) {
            Some("reasoning") => {
                // Ollama puts it where a summary should be.
                for part in ["content", "summary"].into_iter().flat_map(|member| parts(item, member)) {
                    reasoning.push_str(part.get("text").and_then(Value::as_str).unwrap_or_default());
                }
            }
            Some("message") => messages.push(message(item)?),
            _ => return Err(garbage("the model did something else than answer")),
        }
    }
    match messages.len() {
        0 | 1 => Ok(Answer { content: messages.pop().unwrap_or_default(), reasoning, usage, tokens: Vec::new() }),
        _ => Err(garbage("it has more than one message")),
    }
}

fn message(item: &Value) -> Result<String, RemoteError> {
    let mut text = String::new();
    for part in parts(item, "content") {
        match part.get("type").and_then(Value::as_str) {
            Some("output_text") => text.push_str(part.get("text").and_then(Value::as_str).unwrap_or_default()),
            Some("refusal") => return Err(RemoteError::Refusal),
            _ => return Err(RemoteError::Garbage("its message has a part that is no text")),
        }
    }
    Ok(text)
}

fn parts<'a>(item: &'a Value, member: &str) -> &'a [Value] {
    item.get(member).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
