//! Copies of the text that no detector reads: log-probabilities, token ids, padding. Of them only the log-probabilities of
//! the tokens that were written stay, and only where these spell a judged text to the letter; a changed text takes them along.
//!
//! The alternatives in `top_logprobs` are left out always: a client that asks for twenty could read there what the text
//! may not say. Token ids are the text in another form, and `obfuscation` is random letters that nobody can judge.

use crate::wire::json::{Patch, Type, Value};

/// Members, at the top, of a choice and of what it says, that say something of the prompt or the text as numbers.
const TOKENS: &[&str] = &["prompt_logprobs", "token_ids", "prompt_token_ids", "output_token_ids"];

/// Takes out of an answer what repeats its text and must not leave. `changed`: some text of it was replaced.
pub fn strip(root: Value<'_>, changed: bool, patch: &mut Patch) {
    patch.remove(root, "obfuscation");
    remove_tokens(root, patch);
    for choice in root.get("choices").into_iter().flat_map(Value::elements) {
        let said = ["delta", "message"].into_iter().filter_map(|name| choice.get(name));
        said.chain([choice]).for_each(|object| remove_tokens(object, patch));
        let Some(logprobs) = choice.get("logprobs").filter(|logprobs| !logprobs.is_null()) else { continue };
        if changed || !repeats(choice, logprobs) {
            patch.remove(choice, "logprobs");
        } else {
            empty_alternatives(logprobs, patch);
        }
    }
}

fn remove_tokens(object: Value<'_>, patch: &mut Patch) {
    TOKENS.iter().for_each(|name| patch.remove(object, name));
}

/// The arrays stay, empty: the SDKs want them.
fn empty_alternatives(logprobs: Value<'_>, patch: &mut Patch) {
    let entries = logprobs.members().flat_map(|(_, tokens)| tokens.elements());
    for alternatives in entries.filter_map(|entry| entry.get("top_logprobs")) {
        if alternatives.elements().next().is_some() {
            patch.empty(alternatives);
        }
    }
}

/// Whether the tokens of `logprobs`, joined, are what the choice says, and nothing else stands there.
fn repeats(choice: Value<'_>, logprobs: Value<'_>) -> bool {
    let Some(said) = choice.get("delta").or_else(|| choice.get("message")) else { return false };
    logprobs.kind() == Type::Object
        && logprobs.members().all(|(key, tokens)| {
            let texts = match key.text().as_deref() {
                Some("content") => &["content", "reasoning_content", "reasoning"][..],
                Some("refusal") => &["refusal"],
                _ => return false,
            };
            let joined = if tokens.is_null() { Some(String::new()) } else { join(tokens) };
            let same = |name: &&str| {
                said.get(name).and_then(Value::text).unwrap_or_default() == joined.as_deref().unwrap_or_default()
            };
            joined.as_deref().is_some_and(|text| text.is_empty() || texts.iter().any(same))
        })
}

/// The tokens joined; `None` where an entry has anything in it that could carry another text.
fn join(tokens: Value<'_>) -> Option<String> {
    if tokens.kind() != Type::Array {
        return None;
    }
    tokens.elements().map(token).collect()
}

/// The token of one entry, if its other members only say the same. That of an entry without a text is nobody's.
fn token(entry: Value<'_>) -> Option<std::borrow::Cow<'_, str>> {
    let token = entry.get("token")?.text().filter(|token| !token.is_empty())?;
    let sound = entry.members().all(|(key, value)| match key.text().as_deref() {
        Some("token") => true,
        Some("logprob") => value.is_null() || (value.kind() == Type::Number && is_logarithm(value.raw())),
        Some("bytes") => {
            let same = || value.elements().map(|byte| byte.u32()).eq(token.bytes().map(|byte| Some(u32::from(byte))));
            value.is_null() || (value.kind() == Type::Array && same())
        }
        Some("top_logprobs") => matches!(value.kind(), Type::Array | Type::Null),
        _ => false,
    });
    sound.then_some(token)
}

/// Of a probability. OpenAI writes -9999.0 for none, and rounding may lead a little above 0.
fn is_logarithm(number: &str) -> bool {
    number.len() <= 32 && number.parse::<f64>().is_ok_and(|number| (-10_000.0..=1.0).contains(&number))
}
