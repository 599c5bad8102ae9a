//! What Gemini says of its requests beside their members.

use crate::text::Role;
use crate::wire::WireError;
use crate::wire::gemini::fields::{REQUEST, TOOLS_ONLY};
use crate::wire::json::{Type, Value};
use crate::wire::request::{Head, Requests};
use crate::wire::shape::{member, second_name, unexpected, unsupported};

/// Candidates that a request may ask for, as Google bounds it.
pub const MAX_CANDIDATES: u32 = 8;

const WHOLE_CALLS: &str = "this route judges the arguments of a call whole";

pub static REQUESTS: Requests = Requests { body: REQUEST, role, head };

/// What says nothing of who speaks is the user's, as with Google.
fn role(content: Value<'_>) -> Result<Role, WireError> {
    let role = content.get("role").filter(|role| !role.is_null());
    match role.map(Value::text) {
        None => Ok(Role::User),
        Some(text) => match text.as_deref() {
            Some("" | "user") => Ok(Role::User),
            Some("model") => Ok(Role::Assistant),
            Some("function" | "tool") => Ok(Role::Tool),
            _ => Err(unexpected(role.unwrap_or(content), "a role: user, model or function")),
        },
    }
}

/// The path says the rest: see [`crate::wire::request::Request::at`].
fn head(root: Value<'_>) -> Result<Head, WireError> {
    for tool in member(root, "tools").into_iter().flat_map(Value::elements) {
        let declares = |key: Value<'_>| key.is("functionDeclarations") || key.is("function_declarations");
        if let Some((key, _)) = tool.members().find(|(key, value)| !declares(*key) && !value.is_null()) {
            return Err(unsupported(key, TOOLS_ONLY));
        }
    }
    let calling = member(root, "toolConfig").and_then(|config| member(config, "functionCallingConfig"));
    let pieces = calling.and_then(|config| member(config, "streamFunctionCallArguments"));
    if let Some(pieces) = pieces.filter(|pieces| pieces.bool() == Some(true)) {
        return Err(unsupported(pieces, WHOLE_CALLS));
    }
    let generation = |name| member(root, "generationConfig").and_then(|config| member(config, name));
    if let Some(count) = generation("candidateCount").filter(|count| !count.is_null())
        && !count.u32().is_some_and(|count| (1..=MAX_CANDIDATES).contains(&count))
    {
        return Err(unexpected(count, "a whole number from 1 to 8"));
    }
    Ok(Head { streams: false, model: String::new() })
}

/// The parts of a content: an array, or one.
pub fn parts(content: Value<'_>) -> impl Iterator<Item = Value<'_>> {
    let parts = content.get("parts");
    let one = parts.filter(|parts| parts.kind() == Type::Object);
    parts.into_iter().flat_map(Value::elements).chain(one)
}

/// Both names of a member.
pub fn names(name: &str) -> [String; 2] {
    [name.to_owned(), second_name(name).collect()]
}
