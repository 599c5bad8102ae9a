//! What chat completions say of their requests beside their members.

use crate::text::Role;
use crate::wire::WireError;
use crate::wire::json::{Type, Value};
use crate::wire::openai_chat::fields::REQUEST;
use crate::wire::request::{Head, Requests, flag, model_of};
use crate::wire::shape::{Rule, unexpected};

/// Choices that a request may ask for, as OpenAI bounds it.
pub const MAX_CHOICES: u32 = 128;

pub static REQUESTS: Requests = Requests { body: Rule::Object(&REQUEST), role, head };

fn role(message: Value<'_>) -> Result<Role, WireError> {
    let role = message.get("role").filter(|role| role.kind() == Type::String);
    match role.and_then(Value::text).as_deref() {
        Some("system") => Ok(Role::System),
        Some("developer") => Ok(Role::Developer),
        Some("user") => Ok(Role::User),
        Some("assistant") => Ok(Role::Assistant),
        Some("tool" | "function") => Ok(Role::Tool),
        _ => {
            let expected = "a role: system, developer, user, assistant, tool or function";
            Err(unexpected(role.unwrap_or(message), expected))
        }
    }
}

fn head(root: Value<'_>) -> Result<Head, WireError> {
    if let Some(n) = root.get("n").filter(|value| !value.is_null())
        && !n.u32().is_some_and(|n| (1..=MAX_CHOICES).contains(&n))
    {
        return Err(unexpected(n, "a whole number from 1 to 128"));
    }
    Ok(Head { streams: flag(root, "stream")?, model: model_of(root)? })
}
