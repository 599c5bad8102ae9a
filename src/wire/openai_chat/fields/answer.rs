//! The members of an answer.

use super::{CALLED, CALLS, REASONING, ROLES, TIERS};
use crate::text::Kind;
use crate::wire::ids::is_id;
use crate::wire::shape::{Object, Rule};
use Rule::*;

/// A whole answer, a chunk of a stream, or an error.
pub static ANSWER: Object = Object {
    required: &[],
    fields: &[
        ("id", Like(is_id)),
        ("object", OneOf(&["chat.completion", "chat.completion.chunk", "error"])),
        ("created", Plain),
        ("model", Rule::OPEN_WORD),
        ("system_fingerprint", Like(is_id)),
        ("service_tier", TIERS),
        ("provider", Rule::OPEN_WORD),
        ("choices", Turns(&Object(&CHOICE))),
        ("usage", Object(&USAGE)),
        ("prompt_filter_results", Each(&Object(&PROMPT_FILTER))),
        ("error", ByType(Some(&Text(Kind::Other)), None, Some(&Object(&ERROR)))),
        // Dropped when written.
        ("obfuscation", Unread),
        ("prompt_logprobs", Unread),
        ("token_ids", Unread),
        ("prompt_token_ids", Unread),
        ("output_token_ids", Unread),
    ],
};

static ERROR: Object = Object {
    required: &[],
    fields: &[
        ("message", Text(Kind::Other)),
        ("type", Rule::OPEN_WORD),
        ("code", ByType(Some(&Rule::OPEN_WORD), None, None)),
        ("param", Text(Kind::Other)),
    ],
};

static CHOICE: Object = Object {
    required: &["index"],
    fields: &[
        ("index", Plain),
        ("delta", Object(&SAID)),
        ("message", Object(&SAID)),
        ("text", Text(Kind::Content)),
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
    ],
};

/// As OpenAI has them, and as others do.
const FINISH: Rule = OneOf(&[
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

/// What the assistant says: a message, or a piece of one.
static SAID: Object = Object {
    required: &[],
    fields: &[
        ("role", ROLES),
        ("content", One(&ByType(Some(&Text(Kind::Content)), Some(&Each(&Object(&SAID_PART))), None))),
        ("refusal", Text(Kind::Refusal)),
        ("reasoning", REASONING),
        ("reasoning_content", REASONING),
        ("reasoning_details", One(&Each(&Object(&DETAIL)))),
        ("tool_calls", Indexed(&Object(&SAID_CALL))),
        ("function_call", Object(&CALLED)),
        ("audio", Object(&AUDIO)),
        ("annotations", Each(&Object(&ANNOTATION))),
        // Dropped when written.
        ("token_ids", Unread),
        ("prompt_token_ids", Unread),
        ("output_token_ids", Unread),
    ],
};

static SAID_PART: Object = Object {
    required: &[],
    fields: &[
        ("type", OneOf(&["text", "output_text", "refusal"])),
        ("text", Text(Kind::Content)),
        ("refusal", Text(Kind::Refusal)),
    ],
};

/// A piece of reasoning, as OpenRouter has it.
static DETAIL: Object = Object {
    required: &[],
    fields: &[
        ("type", OneOf(&["reasoning.text", "reasoning.summary", "reasoning.encrypted"])),
        ("text", Text(Kind::Reasoning)),
        ("summary", Text(Kind::Reasoning)),
        (
            "format",
            OneOf(&[
                "unknown",
                "openai-responses-v1",
                "azure-openai-responses-v1",
                "xai-responses-v1",
                "anthropic-claude-v1",
                "google-gemini-v1",
            ]),
        ),
        ("id", Like(is_id)),
        ("index", Plain),
    ],
};

static SAID_CALL: Object = Object {
    required: &[],
    fields: &[
        ("id", Like(is_id)),
        ("type", CALLS),
        ("index", Plain),
        ("function", Object(&CALLED)),
        ("custom", Object(&CALLED)),
    ],
};

static AUDIO: Object = Object {
    required: &[],
    fields: &[
        ("id", Like(is_id)),
        ("expires_at", Plain),
        ("transcript", Text(Kind::Content)),
        ("data", Refuse("this route judges text only, and sound says what no detector hears")),
    ],
};

static ANNOTATION: Object = Object {
    required: &[],
    fields: &[("type", OneOf(&["url_citation", "file_citation"])), ("url_citation", Object(&CITATION))],
};

static CITATION: Object = Object {
    required: &[],
    fields: &[
        ("start_index", Plain),
        ("end_index", Plain),
        ("title", Text(Kind::Other)),
        ("url", Text(Kind::Other)),
        ("content", Text(Kind::Other)),
    ],
};

static USAGE: Object = Object {
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
        ("audio_tokens", Plain),
        ("text_tokens", Plain),
        ("image_tokens", Plain),
        ("reasoning_tokens", Plain),
        ("accepted_prediction_tokens", Plain),
        ("rejected_prediction_tokens", Plain),
    ],
};

/// Azure's content filter.
static PROMPT_FILTER: Object =
    Object { required: &[], fields: &[("prompt_index", Plain), ("content_filter_results", Object(&FILTERS))] };

static FILTERS: Object = Object {
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
