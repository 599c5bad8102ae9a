//! Token ids and what else says something of the text in numbers: never written.

use crate::wire::json::{Patch, Value};

/// Members, at the top, of a choice and of what it says, that say something of the prompt or the text as numbers, or token by
/// token: of vLLM, SGLang and llama.cpp.
const TOKENS: &[&str] =
    &["prompt_logprobs", "token_ids", "prompt_token_ids", "output_token_ids", "completion_probabilities", "tokens"];

/// Takes them out of an object.
pub fn remove(object: Value<'_>, patch: &mut Patch) {
    TOKENS.iter().for_each(|name| patch.remove(object, name));
}
