//! What moderations say of their requests beside their members.

use crate::text::Role;
use crate::wire::WireError;
use crate::wire::json::Value;
use crate::wire::openai_moderations::fields::REQUEST;
use crate::wire::request::{Head, Requests, model_of};
use crate::wire::shape::Rule;

pub static REQUESTS: Requests = Requests { body: Rule::Object(&REQUEST), role, head };

/// Nobody's: there are no messages.
fn role(_: Value<'_>) -> Result<Role, WireError> {
    Ok(Role::None)
}

fn head(root: Value<'_>) -> Result<Head, WireError> {
    Ok(Head { streams: false, model: model_of(root)? })
}
