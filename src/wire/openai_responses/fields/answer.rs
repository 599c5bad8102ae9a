//! The members of an answer: the `response` of an event, or a whole body.

use super::items::ITEM;
use super::{ANY, FORMATS, IMAGE, LIFETIME, PROGRAMS, REASONING, RETENTION, STATUS, TIERS, TRUNCATION};
use crate::text::Kind;
use crate::wire::ids::is_id;
use crate::wire::shape::{Object, Rule};
use Rule::*;

/// A response, or an error in its place.
pub static ANSWER: Object = Object {
    required: &[],
    fields: &[
        ("id", Like(is_id)),
        ("object", OneOf(&["response", "error"])),
        ("created_at", Plain),
        ("completed_at", Plain),
        ("status", STATUS),
        ("error", ERROR),
        ("incomplete_details", Object(&INCOMPLETE)),
        ("model", Rule::OPEN_WORD),
        ("output", Each(&ITEM)),
        ("output_text", Text(Kind::Content)),
        ("usage", Object(&USAGE)),
        ("tool_usage", Object(&TOOL_USAGE)),
        ("service_tier", TIERS),
        ("moderation", Object(&MODERATION)),
        ("prompt_cache_diagnostics", Object(&DIAGNOSTICS)),
        ("input_transformations", Each(&Object(&TRANSFORMATION))),
        // What the request said.
        ("instructions", Echo(&ByType(Some(&Text(Kind::Other)), Some(&Any(Kind::Other)), None))),
        ("tools", Echo(&Each(&Schema(Kind::ToolDefinition)))),
        ("tool_choice", Echo(&CHOICE_OF_TOOL)),
        ("text", Echo(&Object(&TEXT))),
        ("reasoning", Object(&REASONING)),
        ("metadata", Echo(&Any(Kind::Other))),
        ("user", Echo(&Text(Kind::Other))),
        ("safety_identifier", Echo(&Text(Kind::Other))),
        ("prompt_cache_key", Echo(&Text(Kind::Other))),
        ("prompt_cache_options", Object(&CACHE)),
        ("prompt_cache_retention", RETENTION),
        ("previous_response_id", Like(is_id)),
        ("conversation", Object(&CONVERSATION)),
        ("prompt", Any(Kind::Other)),
        ("access_programs", Object(&PROGRAMS)),
        ("image", Object(&IMAGE)),
        ("truncation", TRUNCATION),
        ("background", Plain),
        ("store", Plain),
        ("parallel_tool_calls", Plain),
        ("max_output_tokens", Plain),
        ("max_tool_calls", Plain),
        ("temperature", Plain),
        ("top_p", Plain),
        ("top_logprobs", Plain),
        ("frequency_penalty", Plain),
        ("presence_penalty", Plain),
    ],
};

const CHOICE_OF_TOOL: Rule =
    ByType(Some(&OneOf(&["none", "auto", "required"])), None, Some(&Schema(Kind::ToolDefinition)));

pub const ERROR: Rule = ByType(Some(&Text(Kind::Other)), None, Some(&Object(&FAILURE)));

static FAILURE: Object = Object {
    required: &[],
    fields: &[
        ("message", Text(Kind::Other)),
        ("type", Rule::OPEN_WORD),
        ("code", ByType(Some(&Rule::OPEN_WORD), None, None)),
        ("param", Text(Kind::Other)),
        ("misalignment", Any(Kind::Other)),
    ],
};

static INCOMPLETE: Object = Object {
    required: &[],
    fields: &[("reason", OneOf(&["max_output_tokens", "max_messages", "content_filter", "steered"]))],
};

static USAGE: Object = Object {
    required: &[],
    fields: &[
        ("input_tokens", Plain),
        ("output_tokens", Plain),
        ("total_tokens", Plain),
        ("input_tokens_details", Object(&TOKENS)),
        ("output_tokens_details", Object(&TOKENS)),
        ("cached_tokens", Plain),
        ("cached_tokens_details", Object(&TOKENS)),
    ],
};

static TOKENS: Object = Object {
    required: &[],
    fields: &[
        ("cached_tokens", Plain),
        ("cache_write_tokens", Plain),
        ("cache_write_tokens_details", Object(&WRITTEN)),
        ("reasoning_tokens", Plain),
        ("text_tokens", Plain),
        ("image_tokens", Plain),
        ("audio_tokens", Plain),
        ("cached_text_tokens", Plain),
        ("cached_image_tokens", Plain),
        // vLLM.
        ("tool_output_tokens", Plain),
    ],
};

static WRITTEN: Object = Object { required: &[], fields: &[("ttl_12h_tokens", Plain), ("ttl_30m_tokens", Plain)] };

static TOOL_USAGE: Object =
    Object { required: &[], fields: &[("image_gen", Object(&USAGE)), ("web_search", Object(&SEARCHES))] };

static SEARCHES: Object = Object { required: &[], fields: &[("num_requests", Plain)] };

static MODERATION: Object =
    Object { required: &[], fields: &[("input", Object(&MODERATED)), ("output", Object(&MODERATED))] };

static MODERATED: Object = Object {
    required: &[],
    fields: &[
        ("type", OneOf(&["moderation_result", "error"])),
        ("flagged", Plain),
        ("model", Rule::OPEN_WORD),
        ("categories", Keyed(is_category, &Plain)),
        ("category_scores", Keyed(is_category, &Plain)),
        ("category_applied_input_types", Keyed(is_category, &Each(&OneOf(&["text", "image"])))),
        ("code", Rule::OPEN_WORD),
        ("message", Text(Kind::Other)),
    ],
};

fn is_category(key: &str) -> bool {
    const CATEGORIES: &[&str] = &[
        "harassment",
        "harassment/threatening",
        "hate",
        "hate/threatening",
        "illicit",
        "illicit/violent",
        "self-harm",
        "self-harm/instructions",
        "self-harm/intent",
        "sexual",
        "sexual/minors",
        "violence",
        "violence/graphic",
    ];
    CATEGORIES.contains(&key)
}

static DIAGNOSTICS: Object = Object {
    required: &[],
    fields: &[
        ("type", OneOf(&["cache_miss", "cache_hit", "comparison_response_not_found", "unavailable"])),
        (
            "reason",
            OneOf(&[
                "model_changed",
                "prompt_cache_key_changed",
                "tools_changed",
                "text_format_changed",
                "reasoning_effort_changed",
                "verbosity_changed",
                "context_compacted",
                "input_changed",
                "service_tier_changed",
            ]),
        ),
        ("cache_missed_tokens", Plain),
        ("comparison_reusable_tokens", Plain),
    ],
};

static TRANSFORMATION: Object = Object {
    required: &[],
    fields: &[
        ("id", Like(is_id)),
        ("action", OneOf(&["removed"])),
        (
            "reason",
            OneOf(&[
                "organization_mismatch",
                "end_user_mismatch",
                "model_mismatch",
                "prefix_mismatch",
                "turn_boundary",
            ]),
        ),
        ("type", OneOf(&["reasoning"])),
    ],
};

static TEXT: Object = Object {
    required: &[],
    fields: &[("format", Typed(FORMATS, &ANY)), ("verbosity", OneOf(&["low", "medium", "high"]))],
};

static CACHE: Object = Object {
    required: &[],
    fields: &[("mode", OneOf(&["implicit", "explicit"])), ("ttl", LIFETIME), ("comparison_response_id", Like(is_id))],
};

static CONVERSATION: Object = Object { required: &[], fields: &[("id", Like(is_id))] };
