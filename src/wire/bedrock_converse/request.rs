//! What Converse says of its requests beside their members.

use crate::wire::WireError;
use crate::wire::bedrock_converse::fields::REQUEST;
use crate::wire::json::{Type, Value};
use crate::wire::request::{Head, Requests, role};
use crate::wire::shape::{Rule, unexpected, unsupported};

const OWN_TOOLS: &str =
    "this route judges the tools that the client runs; what a server's tool brings the model is not seen";

/// What the types of tools begin with that the client runs: in the native requests of the models.
const OWN: [&str; 7] = ["custom", "function", "bash_", "computer_", "memory_", "text_editor_", "tool_search_tool_"];

pub static REQUESTS: Requests = Requests { body: Rule::Object(&REQUEST), role, head };

/// The path says the rest: see [`crate::wire::request::Request::at`].
fn head(root: Value<'_>) -> Result<Head, WireError> {
    let tools = root.get("additionalModelRequestFields").and_then(|fields| fields.get("tools"));
    let tools = tools.filter(|tools| !tools.is_null());
    if let Some(odd) = tools.filter(|tools| tools.kind() != Type::Array) {
        return Err(unexpected(odd, "an array"));
    }
    for tool in tools.into_iter().flat_map(Value::elements) {
        let Some(kind) = tool.get("type").filter(|kind| !kind.is_null()) else { continue };
        if !kind.text().is_some_and(|kind| OWN.iter().any(|own| kind.starts_with(own))) {
            return Err(unsupported(kind, OWN_TOOLS));
        }
    }
    Ok(Head { streams: false, model: String::new() })
}
