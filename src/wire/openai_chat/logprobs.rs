//! Log-probabilities and token ids: copies of the text that are not judged. They stay only where they repeat a judged text
//! to the letter; a changed text takes them along.
//!
//! One thing is let through on its own: the alternatives of `top_logprobs`, each one token of at most 64 bytes. An
//! upstream would have to lie to make a text of them.

use crate::wire::json::{Patch, Type, Value};

/// Bytes of one token, at most.
const TOKEN: usize = 64;

/// Members, at the top, of a choice and of what it says, that repeat the text as numbers.
const TOKEN_IDS: &[&str] = &["token_ids", "prompt_token_ids", "output_token_ids"];

/// Takes out of an answer what repeats its text and must not leave. `changed`: some text of it was replaced.
pub fn strip(root: Value<'_>, changed: bool, patch: &mut Patch) {
    // What the prompt was cut into: the client has it, and this copy of it is not judged.
    patch.remove(root, "prompt_logprobs");
    let choices = root.get("choices");
    for choice in choices.into_iter().flat_map(Value::elements) {
        patch.remove(choice, "prompt_logprobs");
        let logprobs = choice.get("logprobs").filter(|logprobs| !logprobs.is_null());
        if logprobs.is_some_and(|logprobs| changed || !repeats(choice, logprobs)) {
            patch.remove(choice, "logprobs");
        }
        if changed {
            let said = ["delta", "message"].into_iter().filter_map(|name| choice.get(name));
            said.chain([choice]).for_each(|object| remove_ids(object, patch));
        }
    }
    if changed {
        remove_ids(root, patch);
    }
}

fn remove_ids(object: Value<'_>, patch: &mut Patch) {
    TOKEN_IDS.iter().for_each(|name| patch.remove(object, name));
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
    let mut text = String::new();
    for entry in tokens.elements() {
        text.push_str(&token(entry, true)?);
    }
    Some(text)
}

/// The token of one entry, if its other members only say the same.
fn token<'d>(entry: Value<'d>, alternatives: bool) -> Option<std::borrow::Cow<'d, str>> {
    let token = entry.get("token")?.text()?;
    let sound = entry.members().all(|(key, value)| match key.text().as_deref() {
        Some("token") => alternatives || token.len() <= TOKEN,
        Some("logprob") => matches!(value.kind(), Type::Number | Type::Null),
        Some("bytes") => {
            let same = || value.elements().map(|byte| byte.u32()).eq(token.bytes().map(|byte| Some(u32::from(byte))));
            value.is_null() || (value.kind() == Type::Array && same())
        }
        Some("top_logprobs") => {
            let alone =
                || value.elements().count() <= 20 && value.elements().all(|other| self::token(other, false).is_some());
            alternatives && (value.is_null() || (value.kind() == Type::Array && alone()))
        }
        _ => false,
    });
    sound.then_some(token)
}
