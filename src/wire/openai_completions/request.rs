//! What completions say of their requests beside their members.

use crate::text::Role;
use crate::wire::WireError;
use crate::wire::json::{Type, Value};
use crate::wire::openai_completions::fields::REQUEST;
use crate::wire::request::{Head, Requests, flag, model_of};
use crate::wire::shape::{Rule, TOKEN_IDS, unexpected, unsupported};

/// Completions that a prompt may ask for, as OpenAI bounds it.
const MAX_EACH: u32 = 128;

pub static REQUESTS: Requests = Requests { body: Rule::Object(&REQUEST), role, head };

/// One of several prompts.
fn role(prompt: Value<'_>) -> Result<Role, WireError> {
    match prompt.kind() {
        Type::String => Ok(Role::User),
        Type::Number | Type::Array => Err(unsupported(prompt, TOKEN_IDS)),
        _ => Err(unexpected(prompt, "a string")),
    }
}

fn head(root: Value<'_>) -> Result<Head, WireError> {
    for name in ["n", "best_of"] {
        if let Some(n) = root.get(name).filter(|value| !value.is_null())
            && !n.u32().is_some_and(|n| (1..=MAX_EACH).contains(&n))
        {
            return Err(unexpected(n, "a whole number from 1 to 128"));
        }
    }
    Ok(Head { streams: flag(root, "stream")?, model: model_of(root)? })
}
