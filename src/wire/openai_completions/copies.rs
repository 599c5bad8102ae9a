//! Copies of the text that no detector reads: log-probabilities, as lists of tokens and numbers, and token ids.

use crate::wire::json::{Patch, Type, Value};
use crate::wire::logprobs::is_logarithm;
use crate::wire::openai::tokens;

/// Takes out of an answer what repeats its text and must not leave. `changed`: some text of it was replaced.
pub fn strip(root: Value<'_>, changed: bool, patch: &mut Patch) {
    tokens::remove(root, patch);
    for choice in root.get("choices").into_iter().flat_map(Value::elements) {
        tokens::remove(choice, patch);
        let Some(logprobs) = choice.get("logprobs").filter(|logprobs| !logprobs.is_null()) else { continue };
        if changed || !repeats(choice, logprobs) {
            patch.remove(choice, "logprobs");
        } else if let Some(alternatives) = logprobs.get("top_logprobs").filter(|all| all.kind() == Type::Array) {
            // The array stays, empty: the SDKs want one.
            patch.empty(alternatives);
        }
    }
}

/// Whether the tokens, joined, are what the choice says, and nothing else stands beside them.
fn repeats(choice: Value<'_>, logprobs: Value<'_>) -> bool {
    let Some(tokens) = logprobs.get("tokens").and_then(list) else { return false };
    let text = choice.get("text").and_then(Value::text).unwrap_or_default();
    let fits = |key: Value<'_>, value: Value<'_>| match key.text().as_deref() {
        Some("tokens") => true,
        Some("token_logprobs") => {
            list(value).is_some_and(|all| all.len() == tokens.len() && all.into_iter().all(is_logarithm))
        }
        Some("text_offset") => list(value).is_some_and(|offsets| count_on(&offsets, &tokens)),
        Some("top_logprobs") => list(value).is_some(),
        _ => false,
    };
    spells(&tokens, &text) && logprobs.members().all(|(key, value)| value.is_null() || fits(key, value))
}

/// The elements of an array.
fn list(value: Value<'_>) -> Option<Vec<Value<'_>>> {
    (value.kind() == Type::Array).then(|| value.elements().collect())
}

/// Whether strings, joined, are the text: each the next piece of it.
fn spells(tokens: &[Value<'_>], text: &str) -> bool {
    let rest = tokens.iter().try_fold(text, |rest, token| rest.strip_prefix(&*token.text()?));
    rest == Some("")
}

/// Whether each number is that of the token before and the characters of it: any others could be a text.
fn count_on(offsets: &[Value<'_>], tokens: &[Value<'_>]) -> bool {
    let numbers: Option<Vec<u32>> = offsets.iter().map(|offset| offset.u32()).collect();
    let length = |token: &Value<'_>| token.text().map_or(0, |text| text.chars().count());
    numbers.is_some_and(|numbers| {
        let steps = numbers.windows(2).map(|pair| pair[1].checked_sub(pair[0]).map(|step| step as usize));
        numbers.len() == tokens.len()
            && steps.eq(tokens.iter().take(numbers.len().saturating_sub(1)).map(|token| Some(length(token))))
    })
}
