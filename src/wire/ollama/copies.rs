//! What of an answer is no text and could be one: log-probabilities, token ids, long numbers. They go where they are not what
//! they should be; token ids always.

use crate::wire::json::{Patch, Type, Value};
use crate::wire::logprobs::{empty_alternatives, spelled};
use crate::wire::ollama::fields::DURATIONS;

/// Digits of a time in nanoseconds, at most: two hours and a half.
const MAX_DIGITS: usize = 13;

/// Takes out of an answer what must not leave. `changed`: some text of it was replaced.
pub fn strip(root: Value<'_>, changed: bool, patch: &mut Patch) {
    patch.remove(root, "context");
    for name in DURATIONS {
        if root.get(name).is_some_and(|value| !is_duration(value)) {
            patch.remove(root, name);
        }
    }
    let Some(logprobs) = root.get("logprobs").filter(|logprobs| !logprobs.is_null()) else { return };
    if changed || !repeats(root, logprobs) {
        patch.remove(root, "logprobs");
    } else {
        empty_alternatives(logprobs, patch);
    }
}

fn is_duration(value: Value<'_>) -> bool {
    let digits = value.raw();
    value.kind() == Type::Number && digits.len() <= MAX_DIGITS && digits.bytes().all(|b| b.is_ascii_digit())
}

/// Whether the tokens, joined, are what this body or line says.
fn repeats(root: Value<'_>, logprobs: Value<'_>) -> bool {
    let said = [Some(root), root.get("message")].into_iter().flatten();
    let mut texts =
        said.flat_map(|said| ["content", "response", "thinking"].into_iter().filter_map(move |name| said.get(name)));
    spelled(logprobs).is_some_and(|joined| joined.is_empty() || texts.any(|text| text.is(&joined)))
}
