//! What the completion APIs' answers come to, told by example and with pieces of them changed at will.

use super::*;
use crate::config::Api;
use crate::remote::form::tests::{anything, pointers};
use crate::remote::testing;
use proptest::prelude::*;

const PRESETS: [Preset; 2] = [Preset::Vllm, Preset::LlamaCpp];
const PROMPT: Beginning<'_> =
    Beginning { tokens: &[5, 6, 7], then: Then::Run { most: 3, stops: &[99, 98] }, urgent: true };
const NEXT: Beginning<'_> = Beginning { tokens: &[5, 6, 7], then: Then::Next { of: &[1, 2] }, urgent: true };

fn settings(preset: Preset) -> Remote {
    testing::settings(preset, Api::Tokens)
}

/// An answer with these tokens.
fn body(preset: Preset, tokens: &[u32], stopped: bool) -> Value {
    let likely = [(1u32, -0.25), (2, -1.5), (4, -9.0)];
    match preset {
        Preset::LlamaCpp => {
            let told: Vec<Value> = likely.iter().map(|(id, logprob)| json!({ "id": id, "logprob": logprob })).collect();
            json!({
                "tokens": tokens, "stop_type": if stopped { "eos" } else { "limit" }, "truncated": false,
                "tokens_evaluated": 3, "tokens_predicted": tokens.len(), "timings": { "cache_n": 2 },
                "completion_probabilities": [{ "id": tokens[0], "logprob": -0.25, "top_logprobs": told }],
            })
        }
        _ => {
            let told: Map<String, Value> =
                likely.iter().map(|(id, logprob)| (format!("token_id:{id}"), json!(logprob))).collect();
            let ids: Vec<String> = tokens.iter().map(|id| format!("token_id:{id}")).collect();
            json!({
                "choices": [{ "index": 0, "text": "?", "finish_reason": if stopped { "stop" } else { "length" },
                    "logprobs": { "tokens": ids, "top_logprobs": [told] } }],
                "usage": { "prompt_tokens": 3, "completion_tokens": tokens.len(),
                    "prompt_tokens_details": { "cached_tokens": 2 } },
            })
        }
    }
}

fn read_as(preset: Preset, beginning: &Beginning<'_>, body: &Value) -> Result<Continuation, RemoteError> {
    read(&settings(preset), beginning, body.to_string().as_bytes())
}

/// A run whose answer is changed in one place: of vLLM, of llama.cpp.
fn with(places: [&str; 2], value: Value) -> [Result<Continuation, RemoteError>; 2] {
    [0, 1].map(|at| {
        let mut body = body(PRESETS[at], &[1, 99], true);
        *body.pointer_mut(places[at]).unwrap_or_else(|| panic!("{:?} has {}", PRESETS[at], places[at])) = value.clone();
        read_as(PRESETS[at], &PROMPT, &body)
    })
}

#[test]
fn an_answer_is_read_in_either_shape() {
    for preset in PRESETS {
        let run = read_as(preset, &PROMPT, &body(preset, &[1, 99], true)).unwrap();
        assert_eq!((&run.tokens[..], &run.likely), (&[1, 99][..], &Likely::default()), "{preset:?}");
        assert_eq!(run.usage, Usage { prompt: 3, cached: 2, answer: 2 }, "{preset:?}");
        assert_eq!(read_as(preset, &PROMPT, &body(preset, &[1, 2, 3], false)).unwrap().tokens, [1, 2, 3]);
        let next = read_as(preset, &NEXT, &body(preset, &[1], false)).unwrap();
        let shares = next.likely.shares(&[1, 2]).unwrap();
        assert!((shares[0] - shares[1] - 1.25).abs() < 1e-6, "{shares:?}");
        // Whatever is likeliest may end a text.
        assert!(read_as(preset, &NEXT, &body(preset, &[99], true)).is_ok());
    }
}

#[test]
fn another_answer_is_an_error() {
    use RemoteError::*;
    for preset in PRESETS {
        let of = |tokens: &[u32], stopped| read_as(preset, &PROMPT, &body(preset, tokens, stopped));
        assert!(matches!(of(&[1, 2, 3, 4], false), Err(Garbage(_))), "{preset:?}: more than asked for");
        assert!(matches!(of(&[1, 2], true), Err(Garbage(_))), "{preset:?}: an end that is none");
        assert_eq!(of(&[1, 2], false), Err(Truncated { tokens: 2 }), "{preset:?}: no room");
        let two = read_as(preset, &NEXT, &body(preset, &[1, 2], false));
        assert!(matches!(two, Err(Garbage(_))), "{preset:?}: two for one");
    }
    for (places, value) in [
        (["/usage/prompt_tokens", "/tokens_evaluated"], json!(2)),
        (["/usage/prompt_tokens", "/tokens_evaluated"], json!("3")),
        (["/usage", "/tokens_evaluated"], Value::Null),
        (["/choices/0/finish_reason", "/stop_type"], Value::Null),
        (["/choices/0/finish_reason", "/stop_type"], json!("abort")),
        (["/choices/0/finish_reason", "/stop_type"], json!("word")),
        (["/choices/0/logprobs/tokens", "/tokens"], json!(["a", "token_id:99"])),
        (["/choices/0/logprobs/tokens", "/tokens"], json!([1.5, 99])),
        (["/choices/0/logprobs/tokens/0", "/tokens/0"], json!(-1)),
        (["/choices/0/logprobs/tokens/0", "/tokens/0"], json!("token_id:4294967296")),
        (["/choices/0/logprobs/tokens/0", "/tokens/0"], json!(4_294_967_296u64)),
        (["/choices/0/logprobs", "/tokens"], Value::Null),
        (["/choices", "/tokens"], json!([])),
        (
            ["/choices/0/logprobs/top_logprobs/0", "/completion_probabilities/0/top_logprobs"],
            json!({ "id": "x", "token_id:x": -1 }),
        ),
    ] {
        for (at, result) in with(places, value.clone()).into_iter().enumerate() {
            assert!(matches!(result, Err(Garbage(_) | Empty)), "{:?} {} {value}: {result:?}", PRESETS[at], places[at]);
        }
    }
    let mut cut = body(Preset::LlamaCpp, &[1, 2, 3], false);
    cut["truncated"] = json!(true);
    assert_eq!(read_as(Preset::LlamaCpp, &PROMPT, &cut), Err(Truncated { tokens: 3 }));
    let mut two = body(Preset::Vllm, &[1, 2, 3], false);
    two["choices"] = json!([two["choices"][0], two["choices"][0]]);
    assert!(matches!(read_as(Preset::Vllm, &PROMPT, &two), Err(Garbage(_))));
    for preset in PRESETS {
        let mut failed = body(preset, &[1, 2, 3], false);
        failed["error"] = json!({ "message": "out of memory" });
        assert_eq!(read_as(preset, &PROMPT, &failed), Err(ErrorBody));
    }
}

#[test]
fn each_server_is_asked_in_its_own_words() {
    let asked = |preset, beginning: &Beginning<'_>| {
        let asked = ask(&settings(preset), beginning);
        (asked.path, serde_json::from_slice::<Value>(&asked.body).unwrap())
    };
    let (path, run) = asked(Preset::Vllm, &PROMPT);
    assert_eq!((path, &run["prompt"], &run["max_tokens"]), ("/completions", &json!([5, 6, 7]), &json!(3)));
    assert_eq!((&run["stop_token_ids"], &run["return_tokens_as_token_ids"]), (&json!([99, 98]), &json!(true)));
    let (_, next) = asked(Preset::Vllm, &NEXT);
    assert_eq!(
        (&next["max_tokens"], &next["logprobs"], &next["logprob_token_ids"]),
        (&json!(1), &json!(20), &json!([1, 2]))
    );
    let (path, run) = asked(Preset::LlamaCpp, &PROMPT);
    assert_eq!((path, &run["prompt"], &run["n_predict"]), ("/completion", &json!([5, 6, 7]), &json!(3)));
    assert_eq!((&run["return_tokens"], &run["n_probs"]), (&json!(true), &json!(0)));
    assert_eq!(asked(Preset::LlamaCpp, &NEXT).1["n_probs"], json!(100));
    for preset in PRESETS {
        for beginning in [PROMPT, NEXT] {
            let (_, body) = asked(preset, &beginning);
            assert_eq!(
                (&body["temperature"], &body["model"], &body["stream"]),
                (&json!(0), &json!("m"), &json!(false))
            );
        }
    }
}

#[test]
fn a_server_shows_its_tokens() {
    let proof = Proof { text: "<|start|>a".into(), tokens: vec![98, 1] };
    for (preset, shown) in [
        (Preset::LlamaCpp, json!({ "tokens": [98, 1] })),
        (Preset::Vllm, body(Preset::Vllm, &[98, 1, 7], false)),
        (Preset::OpenAiCompatible, body(Preset::Vllm, &[98, 1, 7], false)),
    ] {
        let settings = settings(preset);
        let read = |shown: &Value, proof: &Proof| proves(&settings, proof, shown.to_string().as_bytes());
        assert_eq!(read(&shown, &proof), Ok(()), "{preset:?}");
        for tokens in [&[98, 2][..], &[98], &[98, 1, 1], &[1, 98]] {
            let other = Proof { tokens: tokens.to_vec(), ..proof.clone() };
            assert_eq!(read(&shown, &other), Err(RemoteError::OtherTokens), "{preset:?} {tokens:?}");
        }
        assert!(matches!(read(&json!({}), &proof), Err(RemoteError::Garbage(_))), "{preset:?}");
        let asked = prove(&settings, &proof);
        assert!(String::from_utf8_lossy(&asked.body).contains("\"<|start|>a\"") && !asked.even);
    }
}

proptest! {
    /// Whatever stands in the place of any piece of an answer: what is read is no more than was asked for, and what was said.
    #[test]
    fn nothing_is_read_that_was_not_said(
        preset in prop::sample::select(PRESETS.to_vec()),
        next in any::<bool>(),
        at in any::<prop::sample::Index>(),
        new in anything(),
    ) {
        let beginning = if next { NEXT } else { PROMPT };
        let mut body = body(preset, if next { &[1] } else { &[1, 2, 3] }, false);
        let mut all = Vec::new();
        pointers(&body, String::new(), &mut all);
        *body.pointer_mut(at.get::<String>(&all)).expect("it was found there") = new;
        if let Ok(read) = read_as(preset, &beginning, &body) {
            let most = if next { 1 } else { 3 };
            prop_assert_eq!(read.tokens.len(), most);
            let said = body.to_string();
            prop_assert!(read.tokens.iter().all(|token| said.contains(&token.to_string())));
            prop_assert!(read.likely.shares(&[1, 2]).is_err() || said.contains("-0.25") || next);
        }
    }

    #[test]
    fn no_part_of_an_answer_is_one(preset in prop::sample::select(PRESETS.to_vec()), cut in any::<prop::sample::Index>()) {
        let whole = body(preset, &[1, 2, 3], false).to_string();
        prop_assert!(read(&settings(preset), &PROMPT, &whole.as_bytes()[..cut.index(whole.len())]).is_err());
    }
}
