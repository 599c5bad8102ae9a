//! The members of Converse, request and answer, and what each carries. After the service's model.

mod answer;
mod block;
mod request;
mod trace;

pub use answer::{ANSWER, EVENTS};
pub use request::REQUEST;

use crate::wire::shape::{Object, Rule};
use Rule::*;

const ROLES: Rule = OneOf(&["user", "assistant", "system"]);
const TTLS: Rule = OneOf(&["5m", "1h"]);
/// Of a result.
const STATUSES: Rule = OneOf(&["success", "error"]);
/// Of a call: one that the service runs.
const CALLERS: Rule = OneOf(&["server_tool_use"]);

static PERFORMANCE: Object = Object { required: &[], fields: &[("latency", OneOf(&["standard", "optimized"]))] };
static TIER: Object =
    Object { required: &[], fields: &[("type", OneOf(&["priority", "default", "flex", "reserved"]))] };

/// Whether a text is to quote.
static CITING: Object = Object { required: &[], fields: &[("enabled", Plain)] };

/// Where a quote stands.
static LOCATION: Object = Object {
    required: &[],
    fields: &[
        ("web", Object(&WEB)),
        ("documentChar", Object(&SPAN)),
        ("documentPage", Object(&SPAN)),
        ("documentChunk", Object(&SPAN)),
        ("searchResultLocation", Object(&SPAN)),
    ],
};

static WEB: Object = Object {
    required: &[],
    fields: &[("url", Text(crate::text::Kind::Other)), ("domain", Text(crate::text::Kind::Other))],
};

static SPAN: Object = Object {
    required: &[],
    fields: &[("documentIndex", Plain), ("searchResultIndex", Plain), ("start", Plain), ("end", Plain)],
};
