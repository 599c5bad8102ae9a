//! vLLM's completions, which are OpenAI's and take token ids. It tells tokens by their ids where log-probabilities are told.

use serde_json::{Map, Value, json};

use crate::remote::RemoteError;
use crate::remote::form::tokens::likely::LIKELIEST;
use crate::remote::form::tokens::{Beginning, End, Proof, Then, Told};
use crate::remote::form::{Usage, count, object};

const PATH: &str = "/completions";

pub fn ask(beginning: &Beginning<'_>) -> (&'static str, Map<String, Value>) {
    let mut body = common(json!(beginning.tokens));
    body.extend(object(match beginning.then {
        Then::Run { most, stops } => json!({ "max_tokens": most, "stop_token_ids": stops, "logprobs": 1 }),
        Then::Next { of: [] } => json!({ "max_tokens": 1, "logprobs": LIKELIEST }),
        // Where the server does not know the last of these, it tells the likeliest.
        Then::Next { of } => json!({ "max_tokens": 1, "logprobs": LIKELIEST, "logprob_token_ids": of }),
    }));
    (PATH, body)
}

pub fn read(body: &Map<String, Value>) -> Result<Told, RemoteError> {
    let choice = choice(body)?;
    let end = match choice.get("finish_reason").and_then(Value::as_str) {
        Some("length") => End::Most,
        Some("stop") => End::Stop,
        Some(_) => return Err(RemoteError::Garbage("the model did something else than go on")),
        None => return Err(RemoteError::Garbage("it does not say how it ended")),
    };
    let likely = match choice.pointer("/logprobs/top_logprobs/0") {
        None => Vec::new(),
        Some(told) => {
            let one = |(token, logprob): (&String, &Value)| Some((id(token)?, logprob.as_f64()?));
            let told = told.as_object().and_then(|told| told.iter().map(one).collect());
            told.ok_or(RemoteError::Garbage("its log-probabilities are none of token ids"))?
        }
    };
    let usage = body.get("usage").unwrap_or(&Value::Null);
    let usage = Usage {
        prompt: count(usage, "/prompt_tokens"),
        cached: count(usage, "/prompt_tokens_details/cached_tokens"),
        answer: count(usage, "/completion_tokens"),
    };
    Ok(Told { tokens: tokens(choice)?, likely, end, usage })
}

/// Text as a prompt, told again as tokens.
pub fn prove(proof: &Proof) -> (&'static str, Map<String, Value>) {
    let mut body = common(json!(proof.text));
    body.extend(object(json!({ "max_tokens": 1, "echo": true, "logprobs": 1, "add_special_tokens": false })));
    (PATH, body)
}

/// The tokens of the prompt, and one more.
pub fn proven(body: &Map<String, Value>) -> Result<Vec<u32>, RemoteError> {
    tokens(choice(body)?)
}

fn common(prompt: Value) -> Map<String, Value> {
    object(json!({
        "prompt": prompt,
        "temperature": 0,
        "top_p": 1,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "repetition_penalty": 1,
        "n": 1,
        "stream": false,
        "return_tokens_as_token_ids": true,
        "skip_special_tokens": false,
        "spaces_between_special_tokens": false,
    }))
}

fn choice(body: &Map<String, Value>) -> Result<&Value, RemoteError> {
    match body.get("choices").and_then(Value::as_array).map(Vec::as_slice) {
        Some([choice]) => Ok(choice),
        _ => Err(RemoteError::Garbage("it has not one choice")),
    }
}

fn tokens(choice: &Value) -> Result<Vec<u32>, RemoteError> {
    let told = choice.pointer("/logprobs/tokens").and_then(Value::as_array);
    let ids = told.and_then(|told| told.iter().map(|token| id(token.as_str()?)).collect());
    ids.ok_or(RemoteError::Garbage("its tokens are no ids"))
}

fn id(token: &str) -> Option<u32> {
    token.strip_prefix("token_id:")?.parse().ok()
}
