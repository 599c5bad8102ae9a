//! What Ollama says of its requests beside their members.

use crate::text::Role;
use crate::wire::WireError;
use crate::wire::json::{Type, Value};
use crate::wire::ollama::fields::{CHAT_REQUEST, GENERATE_REQUEST};
use crate::wire::request::{Head, Requests, flag, model_of};
use crate::wire::shape::{Rule, unexpected, unsupported};

const NOT_RAW: &str = "this route judges prompts that the model's own template frames: `raw` may only be false";

const OWN_TEMPLATE: &str =
    "this route judges prompts, and a template of the request's own could say anything beside them";

pub static CHAT: Requests = Requests { body: Rule::Object(&CHAT_REQUEST), role, head };
pub static GENERATE: Requests = Requests { body: Rule::Object(&GENERATE_REQUEST), role, head };

fn role(message: Value<'_>) -> Result<Role, WireError> {
    let role = message.get("role").filter(|role| role.kind() == Type::String);
    match role.and_then(Value::text).as_deref() {
        Some("system") => Ok(Role::System),
        Some("user") => Ok(Role::User),
        Some("assistant") => Ok(Role::Assistant),
        Some("tool") => Ok(Role::Tool),
        _ => Err(unexpected(role.unwrap_or(message), "a role: system, user, assistant or tool")),
    }
}

fn head(root: Value<'_>) -> Result<Head, WireError> {
    if flag(root, "raw")?
        && let Some(raw) = root.get("raw")
    {
        return Err(unsupported(raw, NOT_RAW));
    }
    if let Some(template) = root.get("template").filter(|template| !template.is_null() && !template.is("")) {
        return Err(unsupported(template, OWN_TEMPLATE));
    }
    let asks = root.get("stream").is_some_and(|value| !value.is_null());
    Ok(Head { streams: !asks || flag(root, "stream")?, model: model_of(root)? })
}
