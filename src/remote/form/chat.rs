//! OpenAI's chat completions, as all of these servers speak them, and where they differ.

use serde_json::{Map, Value, json};

use crate::config::{EffortIn, ReasoningIn, Remote};
use crate::remote::RemoteError;
use crate::remote::form::{Answer, Question, Token, Usage, count, effort, llama_sampling, messages, object};

/// Of each token, so many that could have stood in its place. Some servers tell them of every token that was reasoned.
const LIKELIEST: usize = 8;

pub fn ask(settings: &Remote, question: &Question<'_>) -> (&'static str, Map<String, Value>) {
    let mut body = object(json!({
        "messages": messages(settings, question),
        "max_tokens": question.max_tokens,
        "temperature": 0,
        "top_p": 1,
        "presence_penalty": 0,
        "frequency_penalty": 0,
    }));
    body.extend(llama_sampling(settings.preset).map(object).unwrap_or_default());
    let effort = effort(question.effort);
    match settings.effort_in {
        EffortIn::Field | EffortIn::ReasoningEffort => drop(body.insert("reasoning_effort".into(), json!(effort))),
        EffortIn::ChatTemplateKwargs => {
            body.insert("chat_template_kwargs".into(), json!({ "reasoning_effort": effort }));
        }
        EffortIn::Policy => {}
    }
    if question.logprobs {
        body.extend(object(json!({ "logprobs": true, "top_logprobs": LIKELIEST })));
    }
    if let Some(schema) = question.schema {
        let named = json!({ "name": "reply", "strict": false, "schema": schema });
        body.insert("response_format".into(), json!({ "type": "json_schema", "json_schema": named }));
    }
    ("/chat/completions", body)
}

pub fn read(settings: &Remote, body: &Map<String, Value>) -> Result<Answer, RemoteError> {
    let garbage = RemoteError::Garbage;
    let [choice] = body.get("choices").and_then(Value::as_array).map_or(&[][..], Vec::as_slice) else {
        return Err(garbage("it has not one choice"));
    };
    let Some(Value::Object(message)) = choice.get("message") else {
        return Err(garbage("its choice has no message"));
    };
    if message.get("refusal").and_then(Value::as_str).is_some_and(|refusal| !refusal.is_empty()) {
        return Err(RemoteError::Refusal);
    }
    let usage = body.get("usage").unwrap_or(&Value::Null);
    let usage = Usage {
        prompt: count(usage, "/prompt_tokens"),
        cached: count(usage, "/prompt_tokens_details/cached_tokens"),
        answer: count(usage, "/completion_tokens"),
    };
    match choice.get("finish_reason").and_then(Value::as_str) {
        Some("stop") => {}
        Some("length") => return Err(RemoteError::Truncated { tokens: usage.answer }),
        Some("content_filter") => return Err(RemoteError::Refusal),
        Some(_) => return Err(garbage("the model did something else than answer")),
        None => return Err(garbage("it does not say how it ended")),
    }
    let content = match message.get("content") {
        Some(Value::String(content)) => content.clone(),
        None | Some(Value::Null) => String::new(),
        Some(_) => return Err(garbage("its content is no text")),
    };
    let member = |name: &&str| message.get(*name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let reasoning = members(settings.reasoning_in).iter().find_map(member).unwrap_or_default().to_owned();
    Ok(Answer { content, reasoning, usage, tokens: tokens(choice) })
}

/// What is told of the answer's tokens. A number that is none is left out: it would compare with nothing.
fn tokens(choice: &Value) -> Vec<Token> {
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let likely = |token: Value| {
        let logprob = token.get("logprob")?.as_f64()? as f32;
        Some((token.get("token")?.as_str()?.to_owned(), logprob)).filter(|_| logprob.is_finite() && logprob <= 0.0)
    };
    let token = |token: Value| {
        let text = token.get("token")?.as_str()?.to_owned();
        Some(Token { text, likeliest: list(token.get("top_logprobs")).into_iter().filter_map(likely).collect() })
    };
    list(choice.pointer("/logprobs/content")).into_iter().filter_map(token).collect()
}

/// Where the reasoning may be: the member has moved from version to version.
fn members(reasoning_in: ReasoningIn) -> &'static [&'static str] {
    match reasoning_in {
        ReasoningIn::Auto => &["reasoning", "reasoning_content", "thinking"],
        ReasoningIn::Reasoning => &["reasoning"],
        ReasoningIn::ReasoningContent => &["reasoning_content"],
        ReasoningIn::Thinking => &["thinking"],
    }
}
