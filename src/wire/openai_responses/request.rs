//! What responses say of their requests beside their members.

use crate::text::Role;
use crate::wire::WireError;
use crate::wire::json::{Type, Value};
use crate::wire::openai_responses::fields::REQUEST;
use crate::wire::request::{Head, Requests, flag, model_of};
use crate::wire::shape::{Rule, unexpected, unsupported};

const ROLES: &str = "a role: system, developer, user or assistant";

pub static REQUESTS: Requests = Requests { body: Rule::Object(&REQUEST), role, head };

/// Who speaks in an item; a text in place of items is the user's.
fn role(item: Value<'_>) -> Result<Role, WireError> {
    if item.kind() == Type::String {
        return Ok(Role::User);
    }
    match item.get("type").and_then(Value::text).as_deref() {
        None | Some("message") => {
            let role = item.get("role").filter(|role| role.kind() == Type::String);
            match role.and_then(Value::text).as_deref() {
                Some("system") => Ok(Role::System),
                Some("developer") => Ok(Role::Developer),
                Some("user") => Ok(Role::User),
                Some("assistant") => Ok(Role::Assistant),
                _ => Err(unexpected(role.unwrap_or(item), ROLES)),
            }
        }
        Some("additional_tools" | "configuration_update") => Ok(Role::Developer),
        Some(kind) if kind.ends_with("_output") => Ok(Role::Tool),
        Some(_) => Ok(Role::Assistant),
    }
}

fn head(root: Value<'_>) -> Result<Head, WireError> {
    if let Some(background) = root.get("background").filter(|value| value.bool() == Some(true)) {
        return Err(unsupported(
            background,
            "this route judges answers on their way, and this one would be fetched later",
        ));
    }
    Ok(Head { streams: flag(root, "stream")?, model: model_of(root)? })
}
