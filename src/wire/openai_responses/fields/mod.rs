//! The members of OpenAI's responses, request, answer and events, and what each carries. After the SDK's types.

mod answer;
mod events;
mod input;
mod items;
mod request;
mod tools;

pub use answer::ANSWER;
#[cfg(test)]
pub use events::EVENTS;
pub use events::{EVENT, event_name};
pub use request::REQUEST;

use crate::text::Kind;
use crate::wire::shape::{Object, Rule};
use Rule::*;

/// All of it text.
const ANY: Rule = Any(Kind::Other);

const STATUS: Rule = OneOf(&[
    "in_progress",
    "completed",
    "incomplete",
    "failed",
    "queued",
    "cancelled",
    "searching",
    "interpreting",
    "generating",
    "calling",
]);
const PHASE: Rule = OneOf(&["commentary", "final_answer"]);
const EXECUTION: &[&str] = &["client"];
const TIERS: Rule = OneOf(&["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"]);
const RETENTION: Rule = OneOf(&["in_memory", "in-memory", "24h"]);
const TRUNCATION: Rule = OneOf(&["auto", "disabled"]);
const LIFETIME: Rule = OneOf(&["30m", "12h"]);

static PROGRAMS: Object =
    Object { required: &[], fields: &[("cyber", OneOf(&["standard", "daybreak_blue", "daybreak_red"]))] };

static IMAGE: Object =
    Object { required: &[], fields: &[("context_compression", OneOf(&["auto", "enabled", "disabled"]))] };

/// How a model is to reason.
static REASONING: Object = Object {
    required: &[],
    fields: &[
        ("effort", OneOf(&["none", "minimal", "low", "medium", "high", "xhigh", "max"])),
        ("summary", OneOf(&["auto", "concise", "detailed"])),
        ("generate_summary", OneOf(&["auto", "concise", "detailed"])),
        ("mode", OneOf(&["standard", "pro"])),
        ("context", OneOf(&["auto", "current_turn", "all_turns"])),
    ],
};

const FORMATS: &[(&str, &Object)] = &[("text", &FORMAT), ("json_object", &FORMAT), ("json_schema", &FORMAT)];

static FORMAT: Object = Object {
    required: &[],
    fields: &[
        ("name", Fixed(Kind::Other)),
        ("description", Text(Kind::Other)),
        ("schema", Schema(Kind::Other)),
        ("strict", Plain),
    ],
};
