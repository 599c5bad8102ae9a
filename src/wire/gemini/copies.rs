//! Copies of the text that no detector reads: log-probabilities, and what Google's own widgets show. Of them only the
//! log-probabilities of the tokens that were written stay, and only where these spell the text of the same event.
//!
//! The tokens that were not chosen are left out always, and so are token ids: the text in another form.

use crate::wire::gemini::request::{names, parts};
use crate::wire::json::{Patch, Type, Value};
use crate::wire::logprobs::is_logarithm;
use crate::wire::shape::member;

/// Takes out of an answer, or an event, what repeats its text and must not leave. `changed`: some text of it was replaced.
pub fn strip(root: Value<'_>, changed: bool, patch: &mut Patch) {
    for candidate in root.get("candidates").into_iter().flat_map(Value::elements) {
        if let Some(grounding) = member(candidate, "groundingMetadata") {
            if let Some(entry) = member(grounding, "searchEntryPoint") {
                remove(entry, "sdkBlob", patch);
            }
            if changed {
                // They quote the text, and point into it.
                remove(grounding, "groundingSupports", patch);
            }
        }
        let Some(logprobs) = member(candidate, "logprobsResult").filter(|logprobs| !logprobs.is_null()) else {
            continue;
        };
        if changed || !spells(candidate, logprobs) {
            remove(candidate, "logprobsResult", patch);
            continue;
        }
        chosen(logprobs).for_each(|token| remove(token, "tokenId", patch));
        under(logprobs, "topCandidates")
            .filter(|others| others.elements().next().is_some())
            .for_each(|others| patch.empty(others));
    }
}

fn remove(object: Value<'_>, name: &str, patch: &mut Patch) {
    names(name).iter().for_each(|name| patch.remove(object, name));
}

/// The members of this name, or of its other one: no table has refused both at once.
fn under<'d>(object: Value<'d>, name: &str) -> impl Iterator<Item = Value<'d>> + use<'d> {
    let names = names(name);
    object.members().filter(move |(key, _)| names.iter().any(|name| key.is(name))).map(|(_, value)| value)
}

fn chosen(logprobs: Value<'_>) -> impl Iterator<Item = Value<'_>> {
    under(logprobs, "chosenCandidates").flat_map(Value::elements)
}

/// Whether the tokens of `logprobs`, joined, are what the candidate says, with or without what it thinks, and nothing else
/// stands there.
fn spells(candidate: Value<'_>, logprobs: Value<'_>) -> bool {
    let is = |key: Value<'_>, name: &str| names(name).iter().any(|name| key.is(name));
    let tokens = |key| is(key, "chosenCandidates") || is(key, "topCandidates");
    let sound = logprobs.members().all(|(key, value)| match tokens(key) {
        true => matches!(value.kind(), Type::Array | Type::Null),
        false => is(key, "logProbabilitySum") && is_logarithm(value),
    }) && chosen(logprobs).all(|token| {
        token.kind() == Type::Object
            && token.members().all(|(key, value)| match is(key, "token") {
                true => value.kind() == Type::String,
                // The id is dropped when written.
                false => is(key, "tokenId") || (is(key, "logProbability") && is_logarithm(value)),
            })
    });
    let tokens: String = chosen(logprobs).filter_map(|token| token.get("token")?.text()).collect();
    let said = |thoughts: bool| -> String {
        let parts = candidate.get("content").into_iter().flat_map(parts);
        let parts = parts.filter(|part| thoughts || part.get("thought").and_then(Value::bool) != Some(true));
        parts.filter_map(|part| part.get("text")?.text()).collect()
    };
    logprobs.kind() == Type::Object && sound && (tokens == said(false) || tokens == said(true))
}
