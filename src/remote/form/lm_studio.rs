//! LM Studio's own chat. Its answer does not say how it ended.

use serde_json::{Map, Value, json};

use crate::remote::RemoteError;
use crate::remote::form::{Answer, Question, Usage, count, effort, object};

pub fn ask(question: &Question<'_>) -> (&'static str, Map<String, Value>) {
    let body = json!({
        "system_prompt": question.policy,
        "input": question.text,
        "reasoning": effort(question.effort),
        "max_output_tokens": question.max_tokens,
        "temperature": 0,
        "top_p": 1,
        "top_k": 1,
        "min_p": 0,
        "repeat_penalty": 1,
        // It would keep the conversation.
        "store": false,
    });
    ("/api/v1/chat", object(body))
}

pub fn read(body: &Map<String, Value>) -> Result<Answer, RemoteError> {
    let garbage = RemoteError::Garbage;
    let Some(Value::Array(output)) = body.get("output") else { return Err(garbage("it has no output")) };
    let stats = body.get("stats").unwrap_or(&Value::Null);
    let usage =
        Usage { prompt: count(stats, "/input_tokens"), cached: 0, answer: count(stats, "/total_output_tokens") };
    let (mut messages, mut reasoning) = (Vec::new(), String::new());
    for item in output {
        let content = item.get("content").and_then(Value::as_str);
        match (item.get("type").and_then(Value::as_str), content) {
            (Some("reasoning"), Some(text)) => reasoning.push_str(text),
            (Some("message"), Some(text)) => messages.push(text.to_owned()),
            _ => return Err(garbage("the model did something else than answer")),
        }
    }
    match messages.len() {
        0 | 1 => Ok(Answer { content: messages.pop().unwrap_or_default(), reasoning, usage, tokens: Vec::new() }),
        _ => Err(garbage("it has more than one message")),
    }
}
