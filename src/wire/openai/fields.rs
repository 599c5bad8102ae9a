//! Members that several of OpenAI's APIs have. After the SDK's types, with what vLLM, Azure, OpenRouter and others add.

use crate::text::Kind;
use crate::wire::shape::{Object, Rule};
use Rule::*;

pub const NO_GRAMMAR: &str = "this route judges no grammars; a schema may stand in `response_format`";
const FORMATS_ONLY: &str = "this route judges the formats `text`, `json_object` and `json_schema`";

/// The grammar of what a custom tool takes. With a part replaced it would be another's.
pub const DEFINITION: Rule = Fixed(Kind::ToolDefinition);
pub const SYNTAXES: Rule = OneOf(&["lark", "regex"]);

pub const TIERS: Rule =
    OneOf(&["auto", "default", "flex", "priority", "scale", "standard", "on_demand", "performance"]);

/// Of an answer.
pub const ERROR: Rule = ByType(Some(&Text(Kind::Other)), None, Some(&Object(&ERROR_OBJECT)));

static ERROR_OBJECT: Object = Object {
    required: &[],
    fields: &[
        ("message", Text(Kind::Other)),
        ("type", Rule::OPEN_WORD),
        ("code", ByType(Some(&Rule::OPEN_WORD), None, None)),
        ("param", Text(Kind::Other)),
    ],
};

/// As OpenAI has them, and as others do.
pub const FINISH: Rule = OneOf(&[
    "stop",
    "length",
    "tool_calls",
    "content_filter",
    "function_call",
    "error",
    "abort",
    "completed",
    "end_turn",
    "eos",
    "max_tokens",
    "refusal",
    "stop_sequence",
    "tool_use",
    "MAX_TOKENS",
    "SAFETY",
    "STOP",
]);

pub static USAGE: Object = Object {
    required: &[],
    fields: &[
        ("prompt_tokens", Plain),
        ("completion_tokens", Plain),
        ("total_tokens", Plain),
        ("prompt_tokens_details", Object(&TOKENS)),
        ("completion_tokens_details", Object(&TOKENS)),
        // DeepSeek, Groq, OpenRouter.
        ("prompt_cache_hit_tokens", Plain),
        ("prompt_cache_miss_tokens", Plain),
        ("queue_time", Plain),
        ("prompt_time", Plain),
        ("completion_time", Plain),
        ("total_time", Plain),
        ("cost", Plain),
        ("is_byok", Plain),
    ],
};

static TOKENS: Object = Object {
    required: &[],
    fields: &[
        ("cached_tokens", Plain),
        ("cache_write_tokens", Plain),
        ("audio_tokens", Plain),
        ("text_tokens", Plain),
        ("image_tokens", Plain),
        ("reasoning_tokens", Plain),
        ("accepted_prediction_tokens", Plain),
        ("rejected_prediction_tokens", Plain),
    ],
};

/// Azure's content filter.
pub static PROMPT_FILTER: Object =
    Object { required: &[], fields: &[("prompt_index", Plain), ("content_filter_results", Object(&FILTERS))] };

pub static FILTERS: Object = Object {
    required: &[],
    fields: &[
        ("hate", Object(&FILTER)),
        ("self_harm", Object(&FILTER)),
        ("sexual", Object(&FILTER)),
        ("violence", Object(&FILTER)),
        ("profanity", Object(&FILTER)),
        ("jailbreak", Object(&FILTER)),
        ("indirect_attack", Object(&FILTER)),
        ("protected_material_text", Object(&FILTER)),
        ("protected_material_code", Object(&FILTER)),
    ],
};

static FILTER: Object = Object {
    required: &[],
    fields: &[("filtered", Plain), ("detected", Plain), ("severity", OneOf(&["safe", "low", "medium", "high"]))],
};

pub const RESPONSE_FORMAT: Rule = Group(Kind::Other, &Tagged(FORMATS, FORMATS_ONLY));

const FORMATS: &[(&str, &Object)] = &[("text", &FORMAT), ("json_object", &FORMAT), ("json_schema", &FORMAT)];

static FORMAT: Object = Object {
    required: &[],
    fields: &[
        ("type", OneOf(&["text", "json_object", "json_schema"])),
        ("json_schema", Object(&JSON_SCHEMA)),
        ("schema", Schema(Kind::Other)),
    ],
};

static JSON_SCHEMA: Object = Object {
    required: &[],
    fields: &[
        ("name", Fixed(Kind::Other)),
        ("description", Text(Kind::Other)),
        ("schema", Schema(Kind::Other)),
        ("strict", Plain),
    ],
};

pub static STREAM_OPTIONS: Object = Object {
    required: &[],
    fields: &[("include_usage", Plain), ("include_obfuscation", Plain), ("continuous_usage_stats", Plain)],
};

/// No vocabulary has ten million tokens.
pub fn is_token_id(key: &str) -> bool {
    (1..=7).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_digit())
}
