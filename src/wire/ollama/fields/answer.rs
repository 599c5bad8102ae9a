//! The members of an answer.

use super::time::is_timestamp;
use super::{ARGUMENTS, ROLES};
use crate::text::{Kind, Media};
use crate::wire::ids::is_id;
use crate::wire::shape::{NO_PICTURE, Object, Rule, Sort};
use Rule::*;

/// A whole answer, a line of a stream, or an error; of either API.
pub static ANSWER: Object = Object {
    required: &[],
    fields: &[
        ("model", Rule::OPEN_WORD),
        ("remote_model", Rule::OPEN_WORD),
        ("remote_host", Rule::OPEN_WORD),
        ("created_at", Like(is_timestamp)),
        ("message", Object(&MESSAGE)),
        ("response", Text(Kind::Content)),
        ("thinking", Text(Kind::Reasoning)),
        ("tool_calls", CALLS),
        ("done", Plain),
        ("done_reason", OneOf(&["", "stop", "length", "load", "unload", "content_filter"])),
        ("prompt_eval_count", Plain),
        ("prompt_eval_cached_count", Plain),
        ("eval_count", Plain),
        ("error", Text(Kind::Other)),
        ("signin_url", Text(Kind::Other)),
        ("_debug_info", Object(&DEBUG)),
        // Of models that make pictures.
        ("completed", Plain),
        ("total", Plain),
        ("image", PICTURE),
        // Longer than a count: looked at when written, and dropped where they are no such number.
        ("total_duration", Unread),
        ("load_duration", Unread),
        ("prompt_eval_duration", Unread),
        ("eval_duration", Unread),
        // Checked against the text when written, and dropped where they differ.
        ("logprobs", Unread),
        // Dropped when written.
        ("context", Unread),
    ],
};

/// Members in nanoseconds.
pub const DURATIONS: &[&str] = &["total_duration", "load_duration", "prompt_eval_duration", "eval_duration"];

const PICTURE: Rule = Pass(Sort::Is(Media::Image), &Blob, NO_PICTURE);

static MESSAGE: Object = Object {
    required: &[],
    fields: &[
        ("role", ROLES),
        ("content", Text(Kind::Content)),
        ("thinking", Text(Kind::Reasoning)),
        ("tool_calls", CALLS),
        ("tool_name", Fixed(Kind::Name)),
        ("tool_call_id", Like(is_id)),
        ("images", Each(&PICTURE)),
    ],
};

/// A line brings whole calls: those of the next are others.
const CALLS: Rule = Apart(&Each(&Object(&CALL)));

static CALL: Object = Object {
    required: &[],
    fields: &[("id", Like(is_id)), ("type", OneOf(&["function"])), ("function", Object(&CALLED))],
};

static CALLED: Object =
    Object { required: &[], fields: &[("index", Plain), ("name", Fixed(Kind::Name)), ("arguments", ARGUMENTS)] };

/// What the server shows of its own work.
static DEBUG: Object =
    Object { required: &[], fields: &[("rendered_template", Text(Kind::Other)), ("image_count", Plain)] };
