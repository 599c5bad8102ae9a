//! Copies of the text that no detector reads: log-probabilities, token ids, padding. Of them only the log-probabilities of
//! the tokens that were written stay, where these spell a judged text; a changed text takes them along. `obfuscation` is
//! random letters that nobody can judge. What a choice of a stream has said so far, beside its piece, would leave before it is
//! known what of it must not.

use crate::wire::json::{Patch, Type, Value};
use crate::wire::logprobs::{empty_alternatives, spelled};
use crate::wire::openai::tokens;
use crate::wire::openai_chat::fields;

/// Takes out of an answer what repeats its text and must not leave. `changed`: some text of it was replaced.
pub fn strip(root: Value<'_>, changed: bool, is_stream: bool, patch: &mut Patch) {
    patch.remove(root, "obfuscation");
    tokens::remove(root, patch);
    for choice in root.get("choices").into_iter().flat_map(Value::elements) {
        let said = ["delta", "message"].into_iter().filter_map(|name| choice.get(name));
        said.chain([choice]).for_each(|object| tokens::remove(object, patch));
        if is_stream && fields::says_twice(choice) {
            patch.remove(choice, "message");
        }
        let Some(logprobs) = choice.get("logprobs").filter(|logprobs| !logprobs.is_null()) else { continue };
        if changed || !repeats(choice, logprobs) {
            patch.remove(choice, "logprobs");
        } else {
            logprobs.members().for_each(|(_, tokens)| empty_alternatives(tokens, patch));
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
            let joined = if tokens.is_null() { Some(String::new()) } else { spelled(tokens) };
            let same = |name: &&str| {
                said.get(name).and_then(Value::text).unwrap_or_default() == joined.as_deref().unwrap_or_default()
            };
            joined.as_deref().is_some_and(|text| text.is_empty() || texts.iter().any(same))
        })
}
