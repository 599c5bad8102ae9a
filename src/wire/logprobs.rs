//! Log-probabilities of tokens: a copy of the text, token by token, that no detector reads. Of them only those of the tokens
//! that were written stay, and only where these spell a judged text to the letter.
//!
//! The alternatives in `top_logprobs` are left out always: a client that asks for twenty could read there what the text
//! may not say.

use std::borrow::Cow;

use crate::wire::json::{Patch, Type, Value};

/// The tokens joined, of entries with `token`, `logprob`, `bytes` and `top_logprobs`; `None` where an entry has anything in it
/// that could carry another text.
pub fn join(tokens: Value<'_>) -> Option<String> {
    if tokens.kind() != Type::Array {
        return None;
    }
    tokens.elements().map(token).collect()
}

/// Takes the alternatives out of entries. The arrays stay, empty: the SDKs want them.
pub fn empty_alternatives(tokens: Value<'_>, patch: &mut Patch) {
    for alternatives in tokens.elements().filter_map(|entry| entry.get("top_logprobs")) {
        if alternatives.elements().next().is_some() {
            patch.empty(alternatives);
        }
    }
}

/// Of a probability, or none. OpenAI writes -9999.0 for none, and rounding may lead a little above 0.
pub fn is_logarithm(value: Value<'_>) -> bool {
    let in_range = |number: &str| number.parse::<f64>().is_ok_and(|number| (-10_000.0..=1.0).contains(&number));
    match value.kind() {
        Type::Null => true,
        Type::Number => value.raw().len() <= 32 && in_range(value.raw()),
        _ => false,
    }
}

/// The token of one entry, if its other members only say the same. That of an entry without a text is nobody's.
fn token(entry: Value<'_>) -> Option<Cow<'_, str>> {
    let token = entry.get("token")?.text().filter(|token| !token.is_empty())?;
    let sound = entry.members().all(|(key, value)| match key.text().as_deref() {
        Some("token") => true,
        Some("logprob") => is_logarithm(value),
        Some("bytes") => {
            let same = || value.elements().map(|byte| byte.u32()).eq(token.bytes().map(|byte| Some(u32::from(byte))));
            value.is_null() || (value.kind() == Type::Array && same())
        }
        Some("top_logprobs") => matches!(value.kind(), Type::Array | Type::Null),
        _ => false,
    });
    sound.then_some(token)
}
