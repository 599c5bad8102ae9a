//! The members of an answer.

use crate::text::Kind;
use crate::wire::ids::is_id;
use crate::wire::openai::fields::{ERROR, FILTERS, FINISH, PROMPT_FILTER, TIERS, USAGE};
use crate::wire::shape::{Object, Rule};
use Rule::*;

/// A whole answer, a chunk of a stream, or an error.
pub static ANSWER: Object = Object {
    required: &[],
    fields: &[
        ("id", Like(is_id)),
        ("object", OneOf(&["text_completion", "text_completion.chunk", "error"])),
        ("created", Plain),
        ("model", Rule::OPEN_WORD),
        ("system_fingerprint", Like(is_id)),
        ("service_tier", TIERS),
        ("provider", Rule::OPEN_WORD),
        ("choices", Turns(&Object(&CHOICE))),
        ("usage", Object(&USAGE)),
        ("prompt_filter_results", Each(&Object(&PROMPT_FILTER))),
        ("error", ERROR),
        // Dropped when written.
        ("prompt_logprobs", Unread),
        ("token_ids", Unread),
        ("prompt_token_ids", Unread),
        ("output_token_ids", Unread),
        ("completion_probabilities", Unread),
        ("tokens", Unread),
    ],
};

static CHOICE: Object = Object {
    required: &["index"],
    fields: &[
        ("index", Plain),
        ("text", Text(Kind::Content)),
        ("reasoning", Text(Kind::Reasoning)),
        ("finish_reason", FINISH),
        ("native_finish_reason", FINISH),
        ("stop_reason", ByType(Some(&FINISH), None, None)),
        ("content_filter_results", Object(&FILTERS)),
        // Checked against the text when written, and dropped where they differ.
        ("logprobs", Unread),
        // Dropped when written.
        ("prompt_logprobs", Unread),
        ("token_ids", Unread),
        ("prompt_token_ids", Unread),
        ("output_token_ids", Unread),
        ("completion_probabilities", Unread),
        ("tokens", Unread),
    ],
};
