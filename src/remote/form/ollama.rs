//! Ollama's own chat, which takes the level of thinking and the length of the context.

use serde_json::{Map, Value, json};

use crate::config::{EffortIn, Remote};
use crate::remote::RemoteError;
use crate::remote::form::{Answer, Question, Usage, count, effort, messages, object};

/// Tokens of harmony's own beside the policy, the text and the answer, at most.
const FRAME: usize = 256;
/// Contexts grow in such steps: a context of another length loads the model anew.
const STEP: usize = 4096;

pub fn ask(settings: &Remote, question: &Question<'_>) -> (&'static str, Map<String, Value>) {
    let messages = messages(settings, question);
    let mut body = object(json!({
        "messages": messages,
        "options": {
            "temperature": 0,
            "top_p": 1,
            "top_k": 1,
            "min_p": 0,
            "repeat_penalty": 1,
            "num_predict": question.max_tokens,
            "num_ctx": context(settings, question),
        },
        // What does not fit is to fail, not to be cut.
        "truncate": false,
        "shift": false,
    }));
    if settings.effort_in != EffortIn::Policy {
        body.insert("think".into(), json!(effort(question.effort)));
    }
    if let Some(schema) = question.schema {
        body.insert("format".into(), schema.clone());
    }
    ("/api/chat", body)
}

/// A context into which the prompt fits whatever it says, since no token is shorter than a byte: a server that does not know
/// `truncate` would cut it silently. The same for all texts of a policy.
fn context(settings: &Remote, question: &Question<'_>) -> usize {
    // A window grows by what keeps control tokens apart, at worst by half.
    let text = question.text.len().max(settings.window + settings.window / 2);
    (question.policy.len() + text + question.max_tokens + FRAME).next_multiple_of(STEP)
}

pub fn read(body: &Map<String, Value>) -> Result<Answer, RemoteError> {
    let garbage = RemoteError::Garbage;
    let Some(Value::Object(message)) = body.get("message") else { return Err(garbage("it has no message")) };
    let whole = Value::Object(body.clone());
    let usage = Usage { prompt: count(&whole, "/prompt_eval_count"), cached: 0, answer: count(&whole, "/eval_count") };
    if body.get("done") != Some(&Value::Bool(true)) {
        return Err(garbage("it does not say that it is done"));
    }
    match body.get("done_reason").and_then(Value::as_str) {
        Some("stop") => {}
        Some("length") => return Err(RemoteError::Truncated { tokens: usage.answer }),
        _ => return Err(garbage("it does not say how it ended")),
    }
    let text = |member: &str| message.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Answer { content: text("content"), reasoning: text("thinking"), usage, tokens: Vec::new() })
}
