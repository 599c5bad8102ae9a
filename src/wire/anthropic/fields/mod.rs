//! The members of Anthropic's messages, request and answer, and what each carries. After the SDK's types, those in beta too.

mod answer;
mod block;
mod request;

pub use answer::ANSWER;
pub use request::{REQUEST, TOOLS};

use crate::wire::shape::{Object, Rule};
use Rule::*;

const ROLES: Rule = OneOf(&["user", "assistant", "system"]);
const EFFORTS: Rule = OneOf(&["low", "medium", "high", "xhigh", "max"]);
const SPEEDS: Rule = OneOf(&["standard", "fast"]);
const REGIONS: Rule = OneOf(&["global", "us", "not_available"]);

const STOPS: Rule = OneOf(&[
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "compaction",
    "refusal",
    "model_context_window_exceeded",
]);

/// Who has called a tool.
const CALLERS: Rule = OneOf(&["direct", "code_execution_20250825", "code_execution_20260120"]);

/// Where a text quotes another.
const CITATIONS: Rule = OneOf(&[
    "char_location",
    "page_location",
    "content_block_location",
    "search_result_location",
    "web_search_result_location",
]);

/// Whether a text is to quote.
static CITING: Object = Object { required: &[], fields: &[("enabled", Plain)] };

/// What a server's tools answer.
const RESULTS: Rule = OneOf(&[
    "text",
    "document",
    "search_result",
    "tool_reference",
    "web_search_result",
    "web_search_tool_result_error",
    "web_fetch_result",
    "web_fetch_tool_result_error",
    "code_execution_result",
    "encrypted_code_execution_result",
    "code_execution_output",
    "code_execution_tool_result_error",
    "bash_code_execution_result",
    "bash_code_execution_output",
    "bash_code_execution_tool_result_error",
    "text_editor_code_execution_view_result",
    "text_editor_code_execution_create_result",
    "text_editor_code_execution_str_replace_result",
    "text_editor_code_execution_tool_result_error",
    "tool_search_tool_search_result",
    "tool_search_tool_result_error",
    "advisor_result",
    "advisor_redacted_result",
    "advisor_tool_result_error",
]);

const FILES: Rule = OneOf(&["text", "image", "pdf"]);

/// Why a server's tool has failed.
const FAILURES: Rule = OneOf(&[
    "invalid_tool_input",
    "unavailable",
    "too_many_requests",
    "max_uses_exceeded",
    "query_too_long",
    "request_too_large",
    "execution_time_exceeded",
    "output_file_too_large",
    "file_not_found",
    "url_too_long",
    "url_not_allowed",
    "url_not_in_prior_context",
    "url_not_accessible",
    "unsupported_content_type",
    "content_too_large",
    "prompt_too_long",
    "overloaded",
    "model_not_found",
]);

/// A model that gave way to another.
static FALLBACK: Object = Object { required: &[], fields: &[("model", Rule::OPEN_WORD)] };
static TRIGGER: Object = Object { required: &[], fields: &[("type", OneOf(&["refusal"])), ("category", CATEGORIES)] };
const CATEGORIES: Rule = OneOf(&["cyber", "bio", "frontier_llm", "reasoning_extraction", "general_harms"]);
