//! The members of a request.

use super::block::{CACHE_CONTROL, CONTENT, SYSTEM};
use super::{EFFORTS, REGIONS, ROLES, SPEEDS};
use crate::text::{Kind, Role};
use crate::wire::shape::{Object, Rule};
use Rule::*;

const TEXT_ONLY: &str = "this route judges text only: prompts that are no text can't be read";
const UNSEEN: &str = "this route judges what stands in the request, and this names a context that does not";
const OWN_TEMPLATE: &str =
    "this route judges messages, and a template of the request's own could say anything beside them";
const NO_GRAMMAR: &str = "this route judges no grammars; a schema may stand in `output_config`";
const FORMATS_ONLY: &str = "this route judges the format `json_schema`";

/// The types of the tools that say all they have to say to the proxy: the client runs them or, for the search of tools, they
/// look at nothing but the request. The others bring texts to the model that the proxy never sees.
pub const TOOLS: &[&str] = &[
    "custom",
    "bash_20241022",
    "bash_20250124",
    "text_editor_20241022",
    "text_editor_20250124",
    "text_editor_20250429",
    "text_editor_20250728",
    "memory_20250818",
    "computer_20241022",
    "computer_20250124",
    "computer_20251124",
    "computer_toolset_20260801",
    "browser_toolset_20260801",
    "tool_search_tool_bm25",
    "tool_search_tool_bm25_20251119",
    "tool_search_tool_regex",
    "tool_search_tool_regex_20251119",
];

/// The body of a request, also of one that only counts its tokens.
pub static REQUEST: Object = Object {
    required: &["messages"],
    fields: &[
        ("messages", Turns(&Object(&MESSAGE))),
        ("system", By(Role::System, &SYSTEM)),
        ("model", Rule::OPEN_WORD),
        ("stream", Plain),
        ("max_tokens", Plain),
        ("temperature", Plain),
        ("top_p", Plain),
        ("top_k", Plain),
        ("tools", Each(&Group(Kind::ToolDefinition, &Object(&TOOL)))),
        ("tool_choice", Object(&TOOL_CHOICE)),
        ("stop_sequences", Any(Kind::Other)),
        ("metadata", Any(Kind::Other)),
        ("service_tier", OneOf(&["auto", "standard_only"])),
        ("speed", SPEEDS),
        ("inference_geo", REGIONS),
        ("thinking", Object(&THINKING)),
        ("output_config", Object(&OUTPUT)),
        ("output_format", FORMAT),
        ("cache_control", CACHE_CONTROL),
        ("context_management", Any(Kind::Other)),
        ("compaction", Any(Kind::Other)),
        ("diagnostics", Object(&DIAGNOSTICS)),
        // Requests to other models, as far as they differ.
        ("fallbacks", Unlisted),
        ("fallback_credit_token", Any(Kind::Other)),
        ("billing_policy", Any(Kind::Other)),
        ("user_profile_id", Fixed(Kind::Other)),
        ("workspace_id", Fixed(Kind::Other)),
        // In the body on Bedrock and Vertex; headers elsewhere.
        ("anthropic_version", Rule::OPEN_WORD),
        ("anthropic_beta", Each(&Rule::OPEN_WORD)),
        ("betas", Each(&Rule::OPEN_WORD)),
        ("container", Refuse(UNSEEN)),
        ("mcp_servers", Refuse(UNSEEN)),
        ("thread", Refuse(UNSEEN)),
        // Of other servers of this API: prompts in a form that only the upstream can read.
        ("prompt_token_ids", Refuse(TEXT_ONLY)),
        ("input_ids", Refuse(TEXT_ONLY)),
        ("prompt_embeds", Refuse(TEXT_ONLY)),
        ("input_embeds", Refuse(TEXT_ONLY)),
        ("image_data", Refuse(TEXT_ONLY)),
        ("audio_data", Refuse(TEXT_ONLY)),
        ("video_data", Refuse(TEXT_ONLY)),
        ("multi_modal_data", Refuse(TEXT_ONLY)),
        // Programs, which say more than their text does.
        ("chat_template", Refuse(OWN_TEMPLATE)),
        ("template", Refuse(OWN_TEMPLATE)),
        ("grammar", Refuse(NO_GRAMMAR)),
        ("guided_choice", Refuse(NO_GRAMMAR)),
        ("guided_grammar", Refuse(NO_GRAMMAR)),
        ("guided_json", Refuse(NO_GRAMMAR)),
        ("guided_regex", Refuse(NO_GRAMMAR)),
        ("structured_outputs", Refuse(NO_GRAMMAR)),
        ("structural_tag", Refuse(NO_GRAMMAR)),
        ("ebnf", Refuse(NO_GRAMMAR)),
        ("regex", Refuse(NO_GRAMMAR)),
    ],
};

static MESSAGE: Object = Object {
    required: &["role"],
    fields: &[
        ("role", ROLES),
        ("content", CONTENT),
        ("clear_at", OneOf(&["next_user_message", "never"])),
        ("output_config", Object(&OUTPUT)),
    ],
};

/// A tool's definition. Those with a type of their own bring theirs along.
pub static TOOL: Object = Object {
    required: &[],
    fields: &[
        ("type", OneOf(TOOLS)),
        ("name", Fixed(Kind::ToolDefinition)),
        ("description", Text(Kind::ToolDefinition)),
        ("input_schema", Schema(Kind::ToolDefinition)),
        ("input_examples", Any(Kind::ToolDefinition)),
        ("allowed_callers", Each(&OneOf(&["direct"]))),
        ("configs", Any(Kind::ToolDefinition)),
        ("cache_control", CACHE_CONTROL),
        ("strict", Plain),
        ("defer_loading", Plain),
        ("eager_input_streaming", Plain),
        ("max_characters", Plain),
        ("display_width_px", Plain),
        ("display_height_px", Plain),
        ("display_number", Plain),
        ("enable_zoom", Plain),
    ],
};

static TOOL_CHOICE: Object = Object {
    required: &[],
    fields: &[
        ("type", OneOf(&["auto", "any", "tool", "none"])),
        ("name", Fixed(Kind::ToolDefinition)),
        ("disable_parallel_tool_use", Plain),
    ],
};

static THINKING: Object = Object {
    required: &[],
    fields: &[
        ("type", OneOf(&["enabled", "disabled", "adaptive", "between_tools"])),
        ("budget_tokens", Plain),
        ("display", OneOf(&["summarized", "omitted"])),
    ],
};

static OUTPUT: Object =
    Object { required: &[], fields: &[("effort", EFFORTS), ("format", FORMAT), ("task_budget", Object(&BUDGET))] };

static BUDGET: Object =
    Object { required: &[], fields: &[("type", OneOf(&["tokens"])), ("total", Plain), ("remaining", Plain)] };

const FORMAT: Rule = Group(Kind::Other, &Tagged(&[("json_schema", &JSON_SCHEMA)], FORMATS_ONLY));

static JSON_SCHEMA: Object =
    Object { required: &[], fields: &[("type", OneOf(&["json_schema"])), ("schema", Schema(Kind::Other))] };

/// Why the prompt's cache was missed: compared with an answer before, whose texts it does not bring back.
static DIAGNOSTICS: Object = Object { required: &[], fields: &[("previous_message_id", Fixed(Kind::Other))] };
