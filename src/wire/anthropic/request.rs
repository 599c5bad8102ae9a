//! What messages say of their requests beside their members.

use crate::wire::WireError;
use crate::wire::anthropic::fields::{REQUEST, TOOLS};
use crate::wire::json::Value;
use crate::wire::request::{Head, Requests, flag, model_of, role};
use crate::wire::shape::{Rule, unsupported};

const OWN_TOOLS: &str =
    "this route judges the tools that the client runs; what a server's tool brings the model is not seen";

pub static REQUESTS: Requests = Requests { body: Rule::Object(&REQUEST), role, head };

fn head(root: Value<'_>) -> Result<Head, WireError> {
    let tools = root.get("tools").into_iter().flat_map(Value::elements);
    let types = tools.filter_map(|tool| tool.get("type")).filter(|kind| !kind.is_null());
    if let Some(other) = types.into_iter().find(|kind| !TOOLS.iter().any(|own| kind.is(own))) {
        return Err(unsupported(other, OWN_TOOLS));
    }
    Ok(Head { streams: flag(root, "stream")?, model: model_of(root)? })
}
