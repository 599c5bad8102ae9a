//! Unheard: the keys of a remote engine that mean nothing in its API.

use std::ops::Range;

use crate::config::remote::{Api, EffortIn};
use crate::config::shape::EngineShape;

/// A key that is written and has no place in the API.
pub(super) fn unheard(api: Api, shape: &EngineShape) -> Option<(&'static str, Range<usize>, &'static str)> {
    if api == Api::Tokens {
        return rendered(shape);
    }
    let tokenizer = shape.tokenizer.as_ref();
    let policy_in = shape.policy_in.as_ref().filter(|_| api == Api::LmStudio);
    let effort_in = shape.effort_in.as_ref().filter(|effort_in| match effort_in.get_ref() {
        EffortIn::Field => false,
        EffortIn::Policy => api == Api::LmStudio,
        EffortIn::ReasoningEffort | EffortIn::ChatTemplateKwargs => !api.is_openai(),
    });
    let reasoning_in = shape.reasoning_in.as_ref().filter(|_| api != Api::Chat);
    let schema = shape.schema.as_ref().filter(|schema| *schema.get_ref() && api == Api::LmStudio);
    let logprobs = shape.logprobs.as_ref().filter(|logprobs| *logprobs.get_ref() && api != Api::Chat);
    None.or(tokenizer.map(|at| ("tokenizer", at.span(), "it is asked in words")))
        .or(policy_in.map(|at| ("policy_in", at.span(), "it has a member of its own for the policy")))
        .or(effort_in.map(|at| ("effort_in", at.span(), "it has a member of its own for the effort")))
        .or(reasoning_in.map(|at| ("reasoning_in", at.span(), "it has one place for the reasoning")))
        .or(schema.map(|at| ("schema", at.span(), "it takes none")))
        .or(logprobs.map(|at| ("logprobs", at.span(), "it is not asked for them")))
}

/// A key for what the prompt itself says, where it is written in token ids.
fn rendered(shape: &EngineShape) -> Option<(&'static str, Range<usize>, &'static str)> {
    let EngineShape { policy_in, effort_in, reasoning_in, schema, logprobs, .. } = shape;
    let prompt = "the prompt is written here";
    None.or(policy_in.as_ref().map(|at| ("policy_in", at.span(), prompt)))
        .or(effort_in.as_ref().map(|at| ("effort_in", at.span(), prompt)))
        .or(reasoning_in.as_ref().map(|at| ("reasoning_in", at.span(), "the model's channels are read here")))
        .or(schema.as_ref().map(|at| ("schema", at.span(), "the reply is held to its form here")))
        .or(logprobs.as_ref().map(|at| ("logprobs", at.span(), "it is always asked for them")))
}
