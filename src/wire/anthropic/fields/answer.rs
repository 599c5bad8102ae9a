//! The members of an answer: a whole message, an event of a stream, an error, a number of tokens.
//!
//! Clients join the text of all blocks, and so do their readers: it has one place, whatever its block, and so has the thinking.
//! Everything else has the place of its block, whatever event brings it.

use super::{
    CALLERS, CATEGORIES, CITATIONS, CITING, FAILURES, FALLBACK, FILES, REGIONS, RESULTS, ROLES, SPEEDS, STOPS, TRIGGER,
};
use crate::text::Kind;
use crate::wire::ids::{is_id, is_opaque};
use crate::wire::shape::{Hop, Object, Rule};
use Rule::*;

const TEXT: Rule = At(&[Hop::Key("content"), Hop::Key("text")], &Text(Kind::Content));
const THINKING: Rule = At(&[Hop::Key("content"), Hop::Key("thinking")], &Text(Kind::Reasoning));

/// The block that an event of a stream speaks of.
const THE_BLOCK: &[Hop] = &[Hop::Key("content"), Hop::Index("index")];
const ITS_INPUT: &[Hop] = &[Hop::Key("content"), Hop::Index("index"), Hop::Key("input")];
const ITS_CITATIONS: &[Hop] = &[Hop::Key("content"), Hop::Index("index"), Hop::Key("citations")];
const ITS_CONTENT: &[Hop] = &[Hop::Key("content"), Hop::Index("index"), Hop::Key("content")];

/// Any answer.
pub static ANSWER: Object = Object {
    required: &[],
    fields: &[
        ("type", TYPES),
        // Of a message.
        ("id", Like(is_id)),
        ("role", ROLES),
        ("model", Rule::OPEN_WORD),
        ("content", Each(&Object(&BLOCK))),
        ("stop_reason", STOPS),
        ("stop_sequence", Text(Kind::Other)),
        ("stop_details", Object(&STOP_DETAILS)),
        ("usage", Object(&USAGE)),
        ("container", Object(&CONTAINER)),
        ("diagnostics", Object(&DIAGNOSTICS)),
        ("context_management", Object(&CONTEXT_MANAGEMENT)),
        ("input_transformations", Each(&Object(&TRANSFORMATION))),
        // Of an event.
        ("index", Plain),
        ("message", ByType(Some(&Text(Kind::Other)), None, Some(&Object(&ANSWER)))),
        ("content_block", At(THE_BLOCK, &Object(&BLOCK))),
        ("delta", Object(&DELTA)),
        // Of an error.
        ("error", ByType(Some(&Text(Kind::Other)), None, Some(&Object(&ERROR)))),
        ("request_id", Like(is_id)),
        // Of a count.
        ("input_tokens", Plain),
    ],
};

const TYPES: Rule = OneOf(&[
    "message",
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "ping",
    "error",
]);

/// What an event adds to a block, or to the message.
static DELTA: Object = Object {
    required: &[],
    fields: &[
        (
            "type",
            OneOf(&[
                "text_delta",
                "input_json_delta",
                "thinking_delta",
                "signature_delta",
                "citations_delta",
                "compaction_delta",
            ]),
        ),
        ("text", TEXT),
        ("thinking", THINKING),
        ("estimated_tokens", Plain),
        ("signature", Like(is_opaque)),
        ("partial_json", At(ITS_INPUT, &Arguments)),
        ("citation", At(ITS_CITATIONS, &Object(&CITATION))),
        ("content", At(ITS_CONTENT, &Text(Kind::Content))),
        ("encrypted_content", Like(is_opaque)),
        ("stop_reason", STOPS),
        ("stop_sequence", Text(Kind::Other)),
        ("stop_details", Object(&STOP_DETAILS)),
        ("container", Object(&CONTAINER)),
    ],
};

/// A block of any type: a reader that goes by the members and not by the type sees nothing else.
static BLOCK: Object = Object {
    required: &[],
    fields: &[
        (
            "type",
            OneOf(&[
                "text",
                "thinking",
                "redacted_thinking",
                "tool_use",
                "server_tool_use",
                "web_search_tool_result",
                "web_fetch_tool_result",
                "code_execution_tool_result",
                "bash_code_execution_tool_result",
                "text_editor_code_execution_tool_result",
                "tool_search_tool_result",
                "advisor_tool_result",
                "mcp_tool_use",
                "mcp_tool_result",
                "mcp_tool_listing",
                "container_upload",
                "compaction",
                "fallback",
            ]),
        ),
        ("text", TEXT),
        ("citations", Each(&Object(&CITATION))),
        ("thinking", THINKING),
        ("signature", Like(is_opaque)),
        ("data", Like(is_opaque)),
        // Calls.
        ("id", Like(is_id)),
        ("name", Fixed(Kind::Name)),
        ("input", Any(Kind::ToolArguments)),
        ("caller", Object(&CALLER)),
        ("toolset_name", Fixed(Kind::Name)),
        ("server_name", Fixed(Kind::Name)),
        ("mcp_server_name", Fixed(Kind::Name)),
        ("tools", Any(Kind::ToolDefinition)),
        // Results.
        ("tool_use_id", Like(is_id)),
        ("content", ByType(Some(&Text(Kind::Content)), Some(&Each(&Object(&RESULT))), Some(&Object(&RESULT)))),
        ("is_error", Plain),
        ("file_id", Like(is_id)),
        ("encrypted_content", Like(is_opaque)),
        ("source", SOURCE_OF),
        // Models that gave way to others.
        ("from", Object(&FALLBACK)),
        ("to", Object(&FALLBACK)),
        ("trigger", Object(&TRIGGER)),
    ],
};

static CALLER: Object = Object { required: &[], fields: &[("type", CALLERS), ("tool_id", Like(is_id))] };

/// What a server's tool answers.
static RESULT: Object = Object {
    required: &[],
    fields: &[
        ("type", RESULTS),
        ("text", Text(Kind::Content)),
        ("content", ByType(Some(&Text(Kind::Content)), Some(&Each(&Object(&RESULT))), Some(&Object(&RESULT)))),
        ("citations", ByType(None, Some(&Each(&Object(&CITATION))), Some(&Object(&CITING)))),
        ("title", Text(Kind::Other)),
        ("url", Text(Kind::Other)),
        ("page_age", Text(Kind::Other)),
        ("retrieved_at", Text(Kind::Other)),
        ("source", SOURCE_OF),
        ("encrypted_content", Like(is_opaque)),
        ("encrypted_stdout", Like(is_opaque)),
        ("error_code", FAILURES),
        ("stdout", Text(Kind::Content)),
        ("stderr", Text(Kind::Content)),
        ("return_code", Plain),
        ("file_id", Like(is_id)),
        ("file_type", FILES),
        ("is_file_update", Plain),
        ("lines", Each(&Text(Kind::Content))),
        ("num_lines", Plain),
        ("start_line", Plain),
        ("total_lines", Plain),
        ("new_lines", Plain),
        ("new_start", Plain),
        ("old_lines", Plain),
        ("old_start", Plain),
        ("tool_references", Each(&Object(&RESULT))),
        ("tool_name", Fixed(Kind::Name)),
        ("stop_reason", STOPS),
    ],
};

const DOCUMENTS_ONLY: &str = "this route judges text only, and a file says what no detector reads";
const SOURCE_OF: Rule = ByType(Some(&Text(Kind::Other)), None, Some(&Tagged(SOURCES, DOCUMENTS_ONLY)));
const SOURCES: &[(&str, &Object)] = &[("text", &SOURCE)];

static SOURCE: Object = Object {
    required: &[],
    fields: &[("type", Unread), ("media_type", OneOf(&["text/plain"])), ("data", Text(Kind::Content))],
};

static CITATION: Object = Object {
    required: &[],
    fields: &[
        ("type", CITATIONS),
        ("cited_text", Text(Kind::Other)),
        ("document_title", Text(Kind::Other)),
        ("title", Text(Kind::Other)),
        ("source", Text(Kind::Other)),
        ("url", Text(Kind::Other)),
        ("file_id", Like(is_id)),
        ("encrypted_index", Like(is_opaque)),
        ("document_index", Plain),
        ("search_result_index", Plain),
        ("start_char_index", Plain),
        ("end_char_index", Plain),
        ("start_page_number", Plain),
        ("end_page_number", Plain),
        ("start_block_index", Plain),
        ("end_block_index", Plain),
    ],
};

static STOP_DETAILS: Object = Object {
    required: &[],
    fields: &[
        ("type", OneOf(&["refusal"])),
        ("category", CATEGORIES),
        ("explanation", Text(Kind::Refusal)),
        ("fallback_credit_token", Like(is_opaque)),
        ("fallback_has_prefill_claim", Plain),
        ("recommended_model", Rule::OPEN_WORD),
    ],
};

/// Of a message, and of each of the model's goes at it.
static USAGE: Object = Object {
    required: &[],
    fields: &[
        ("input_tokens", Plain),
        ("output_tokens", Plain),
        ("cache_creation_input_tokens", Plain),
        ("cache_read_input_tokens", Plain),
        ("cache_creation", Object(&CACHE_CREATION)),
        ("output_tokens_details", Object(&DETAILS)),
        ("server_tool_use", Object(&SERVER_TOOLS)),
        ("service_tier", OneOf(&["standard", "priority", "batch"])),
        ("inference_geo", REGIONS),
        ("speed", SPEEDS),
        ("iterations", Each(&Object(&USAGE))),
        ("type", OneOf(&["message", "compaction", "advisor_message", "fallback_message"])),
        ("model", Rule::OPEN_WORD),
        ("fallback_credit", Any(Kind::Other)),
    ],
};

static CACHE_CREATION: Object =
    Object { required: &[], fields: &[("ephemeral_1h_input_tokens", Plain), ("ephemeral_5m_input_tokens", Plain)] };
static DETAILS: Object = Object { required: &[], fields: &[("thinking_tokens", Plain)] };
static SERVER_TOOLS: Object =
    Object { required: &[], fields: &[("web_fetch_requests", Plain), ("web_search_requests", Plain)] };

static CONTAINER: Object = Object {
    required: &[],
    fields: &[("id", Like(is_id)), ("expires_at", Rule::OPEN_WORD), ("skills", Each(&Object(&SKILL)))],
};

static SKILL: Object = Object {
    required: &[],
    fields: &[("type", OneOf(&["anthropic", "custom"])), ("skill_id", Like(is_id)), ("version", Rule::OPEN_WORD)],
};

static DIAGNOSTICS: Object = Object { required: &[], fields: &[("cache_miss_reason", Object(&CACHE_MISS))] };

static CACHE_MISS: Object = Object {
    required: &[],
    fields: &[
        (
            "type",
            OneOf(&[
                "messages_changed",
                "model_changed",
                "previous_message_not_found",
                "system_changed",
                "tools_changed",
                "unavailable",
            ]),
        ),
        ("cache_missed_input_tokens", Plain),
    ],
};

static CONTEXT_MANAGEMENT: Object =
    Object { required: &[], fields: &[("applied_edits", Each(&Object(&EDIT))), ("original_input_tokens", Plain)] };

static EDIT: Object = Object {
    required: &[],
    fields: &[
        ("type", OneOf(&["clear_thinking_20251015", "clear_tool_uses_20250919"])),
        ("cleared_input_tokens", Plain),
        ("cleared_thinking_turns", Plain),
        ("cleared_tool_uses", Plain),
    ],
};

static TRANSFORMATION: Object = Object {
    required: &[],
    fields: &[
        ("type", OneOf(&["thinking_dropped", "thinking_mismatch_allowed"])),
        ("path", Text(Kind::Other)),
        (
            "reason",
            OneOf(&[
                "model_binding_mismatch",
                "prefix_binding_mismatch",
                "organization_binding_mismatch",
                "end_user_binding_mismatch",
            ]),
        ),
    ],
};

static ERROR: Object = Object {
    required: &[],
    fields: &[
        (
            "type",
            OneOf(&[
                "invalid_request_error",
                "authentication_error",
                "billing_error",
                "permission_error",
                "not_found_error",
                "conflict_error",
                "request_too_large",
                "rate_limit_error",
                "timeout_error",
                "api_error",
                "overloaded_error",
            ]),
        ),
        ("message", Text(Kind::Other)),
        ("details", Any(Kind::Other)),
    ],
};
