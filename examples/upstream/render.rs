//! Answers as OpenAI's JSON: whole, or in the frames of a stream.

use serde_json::{Value, json};

use crate::answer::{Answer, Call, Choice, Content, words};

/// What stands on every object of one answer.
pub struct Envelope {
    /// Made from the request, so that equal requests get equal answers.
    pub id: String,
    pub model: String,
    /// The client wants log-probabilities.
    pub logprobs: bool,
    /// A stream ends with the usage.
    pub usage: bool,
}

/// A fixed time of creation: equal requests get equal answers.
const CREATED: u64 = 1_735_689_600;

/// The body of a unary answer.
pub fn unary(envelope: &Envelope, answer: &Answer) -> Value {
    let choices: Vec<Value> = answer
        .choices
        .iter()
        .enumerate()
        .map(|(index, choice)| {
            let mut message = json!({ "role": "assistant", "content": null, "refusal": null });
            if let Some(reasoning) = &choice.reasoning {
                message["reasoning_content"] = json!(reasoning);
            }
            match &choice.content {
                Content::Text(text) => message["content"] = json!(text),
                Content::Refusal(text) => message["refusal"] = json!(text),
                Content::Calls(calls) => {
                    message["tool_calls"] = calls.iter().enumerate().map(|(i, c)| whole_call(envelope, i, c)).collect();
                }
            }
            let logprobs = match &choice.content {
                Content::Text(text) if envelope.logprobs => logprobs(words(text)),
                _ => Value::Null,
            };
            json!({ "index": index, "message": message, "logprobs": logprobs, "finish_reason": choice.finish_reason() })
        })
        .collect();
    let mut body = object(envelope, "chat.completion", choices);
    body["usage"] = usage(answer);
    body
}

/// The frames of a streamed answer, in order, less the final `[DONE]`. The choices take turns.
pub fn frames(envelope: &Envelope, answer: &Answer) -> Vec<Value> {
    let chunk = |choices: Vec<Value>| {
        let mut frame = object(envelope, "chat.completion.chunk", choices);
        if envelope.usage {
            frame["usage"] = Value::Null;
        }
        frame
    };
    let per_choice: Vec<Vec<Value>> =
        answer.choices.iter().enumerate().map(|(index, choice)| pieces(envelope, index, choice)).collect();
    let longest = per_choice.iter().map(Vec::len).max().unwrap_or(0);
    let turns = (0..longest).flat_map(|turn| per_choice.iter().filter_map(move |pieces| pieces.get(turn)));
    let mut frames: Vec<Value> = turns.map(|piece| chunk(vec![piece.clone()])).collect();
    if envelope.usage {
        let mut last = chunk(Vec::new());
        last["usage"] = usage(answer);
        frames.push(last);
    }
    frames
}

/// An error body.
pub fn error(kind: &str, code: Option<&str>, message: &str) -> Value {
    json!({ "error": { "message": message, "type": kind, "param": null, "code": code } })
}

pub fn models() -> Value {
    json!({ "object": "list", "data": [model()] })
}

pub fn model() -> Value {
    json!({ "id": "stand-in", "object": "model", "created": CREATED, "owned_by": "portcullis-examples" })
}

/// The `choices` entries of one choice, frame by frame.
fn pieces(envelope: &Envelope, index: usize, choice: &Choice) -> Vec<Value> {
    let entry = |delta: Value, logprobs: Value, finish: Option<&str>| json!({ "index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish });
    let delta = |delta: Value| entry(delta, Value::Null, None);
    let mut pieces = vec![delta(json!({ "role": "assistant", "content": "" }))];
    let reasoning = choice.reasoning.as_deref().unwrap_or_default();
    pieces.extend(words(reasoning).map(|word| delta(json!({ "reasoning_content": word }))));
    match &choice.content {
        Content::Text(text) => pieces.extend(words(text).map(|word| {
            let logprobs = if envelope.logprobs { logprobs([word]) } else { Value::Null };
            entry(json!({ "content": word }), logprobs, None)
        })),
        Content::Refusal(text) => pieces.extend(words(text).map(|word| delta(json!({ "refusal": word })))),
        Content::Calls(calls) => {
            for (i, call) in calls.iter().enumerate() {
                let opening = whole_call(envelope, i, &Call { arguments: String::new(), ..call.clone() });
                let mut opening = opening;
                opening["index"] = json!(i);
                pieces.push(delta(json!({ "tool_calls": [opening] })));
                pieces.extend(
                    words(&call.arguments).flat_map(halves).map(|part| {
                        delta(json!({ "tool_calls": [{ "index": i, "function": { "arguments": part } }] }))
                    }),
                );
            }
        }
    }
    pieces.push(entry(json!({}), Value::Null, Some(choice.finish_reason())));
    pieces
}

fn object(envelope: &Envelope, kind: &str, choices: Vec<Value>) -> Value {
    json!({
        "id": format!("chatcmpl-{}", envelope.id),
        "object": kind,
        "created": CREATED,
        "model": envelope.model,
        "system_fingerprint": "fp_stand_in",
        "choices": choices,
    })
}

fn usage(answer: &Answer) -> Value {
    let completion: usize = answer.choices.iter().map(Choice::tokens).sum();
    json!({
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": completion,
        "total_tokens": answer.prompt_tokens + completion,
    })
}

fn whole_call(envelope: &Envelope, index: usize, call: &Call) -> Value {
    json!({
        "id": format!("call_{}_{index}", envelope.id),
        "type": "function",
        "function": { "name": call.name, "arguments": call.arguments },
    })
}

/// Made-up numbers in the right shape: each word is the only candidate.
fn logprobs<'a>(words: impl IntoIterator<Item = &'a str>) -> Value {
    let tokens: Vec<Value> = words
        .into_iter()
        .map(|word| {
            let token = json!({ "token": word, "logprob": -0.125, "bytes": word.as_bytes() });
            let mut with_top = token.clone();
            with_top["top_logprobs"] = json!([token]);
            with_top
        })
        .collect();
    json!({ "content": tokens, "refusal": null })
}

/// Tool arguments are streamed in pieces that respect no boundary but that of a character.
fn halves(word: &str) -> impl Iterator<Item = &str> {
    let middle = (word.len() / 2..word.len()).find(|&at| word.is_char_boundary(at)).unwrap_or(0);
    let (left, right) = word.split_at(middle);
    [left, right].into_iter().filter(|half| !half.is_empty())
}
