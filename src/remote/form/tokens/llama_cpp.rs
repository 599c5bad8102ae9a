//! llama.cpp's own completion. It stops at the model's own end alone: what comes after another stop is left out when it is read
//! as a sequence.

use serde_json::{Map, Value, json};

use crate::remote::RemoteError;
use crate::remote::form::tokens::likely::LIKELIEST;
use crate::remote::form::tokens::{Beginning, End, Proof, Then, Told, ids};
use crate::remote::form::{Usage, count, object};

/// It tells as many as one likes; a label that is told is known better than one that is not.
const TOLD: usize = 5 * LIKELIEST;

pub fn ask(beginning: &Beginning<'_>) -> (&'static str, Map<String, Value>) {
    let (most, told) = match beginning.then {
        Then::Run { most, .. } => (most, 0),
        Then::Next { .. } => (1, TOLD),
    };
    let body = json!({
        "prompt": beginning.tokens,
        "n_predict": most,
        "n_probs": told,
        "post_sampling_probs": false,
        "return_tokens": true,
        "cache_prompt": true,
        "stream": false,
        "temperature": 0,
        "top_k": 1,
        "top_p": 1,
        "min_p": 0,
        "repeat_penalty": 1,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "dry_multiplier": 0,
        "mirostat": 0,
        "grammar": "",
    });
    ("/completion", object(body))
}

pub fn read(body: &Map<String, Value>) -> Result<Told, RemoteError> {
    let garbage = RemoteError::Garbage;
    let tokens = ids(body.get("tokens")).ok_or(garbage("its tokens are no ids"))?;
    let end = match (body.get("stop_type").and_then(Value::as_str), body.get("truncated")) {
        (_, Some(Value::Bool(true))) => End::Cut,
        (Some("limit"), _) => End::Most,
        (Some("eos"), _) => End::Stop,
        (Some(_), _) => return Err(garbage("the model did something else than go on")),
        (None, _) => return Err(garbage("it does not say how it ended")),
    };
    let likely = match body.get("completion_probabilities").and_then(|places| places.pointer("/0/top_logprobs")) {
        None => Vec::new(),
        Some(told) => {
            let one =
                |told: &Value| Some((u32::try_from(told.get("id")?.as_u64()?).ok()?, told.get("logprob")?.as_f64()?));
            let told = told.as_array().and_then(|told| told.iter().map(one).collect());
            told.ok_or(garbage("its log-probabilities are none of token ids"))?
        }
    };
    let member = |name: &str| body.get(name).unwrap_or(&Value::Null);
    let usage = Usage {
        prompt: count(member("tokens_evaluated"), ""),
        cached: count(member("timings"), "/cache_n"),
        answer: count(member("tokens_predicted"), ""),
    };
    Ok(Told { tokens, likely, end, usage })
}

pub fn prove(proof: &Proof) -> (&'static str, Map<String, Value>) {
    let body = json!({ "content": proof.text, "add_special": false, "parse_special": true });
    ("/tokenize", object(body))
}

pub fn proven(body: &Map<String, Value>) -> Result<Vec<u32>, RemoteError> {
    ids(body.get("tokens")).ok_or(RemoteError::Garbage("its tokens are no ids"))
}
