//! Copies of the text that no detector reads: log-probabilities and padding. Of them only the log-probabilities of the tokens
//! that were written stay, and only where these spell a judged text to the letter; with a changed text they are emptied, as
//! are the alternatives always. `obfuscation` is random letters that nobody can judge.

use crate::wire::json::{Patch, Value};
use crate::wire::logprobs::{empty_alternatives, spelled};

/// Takes out of an answer or event what repeats its text and must not leave. `changed`: some text of it was replaced.
pub fn strip(root: Value<'_>, changed: bool, patch: &mut Patch) {
    patch.remove(root, "obfuscation");
    let response = root.get("response").unwrap_or(root);
    let items = response.get("output").into_iter().flat_map(Value::elements).chain(root.get("item"));
    let parts = items.filter_map(|item| item.get("content")).flat_map(Value::elements).chain(root.get("part"));
    parts.chain([root]).for_each(|said| logprobs(said, changed, patch));
}

/// Those of a part, or of an event that has its text. The array stays: the SDKs want it.
fn logprobs(said: Value<'_>, changed: bool, patch: &mut Patch) {
    let Some(tokens) = said.get("logprobs").filter(|tokens| !tokens.is_null()) else { return };
    let text = ["text", "delta"].into_iter().find_map(|name| said.get(name)?.text());
    match spelled(tokens).filter(|spelled| !changed && *spelled == text.unwrap_or_default()) {
        Some(_) => empty_alternatives(tokens, patch),
        None => patch.empty(tokens),
    }
}
