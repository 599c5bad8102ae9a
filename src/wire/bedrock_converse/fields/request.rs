//! The members of a request.

use super::block::{CACHE_POINT, CONTENT, SYSTEM};
use super::{PERFORMANCE, ROLES, TIER};
use crate::text::{Kind, Role};
use crate::wire::shape::{Object, Rule};
use Rule::*;

const UNSEEN: &str = "this route judges what stands in the request, and this names a context that does not";
const TOOLS_ONLY: &str = "this route judges the tools that the client runs: `toolSpec`";
const SCHEMAS_ONLY: &str = "this route judges schemas as `json` or `jsonSchema`";
const CHOICES_ONLY: &str = "this route judges the choices `auto`, `any` and `tool`";
const OTHERWISE: &str = "this route judges what is said in `messages` and `system`";
const TEXT_ONLY: &str = "this route judges text only: prompts that are no text can't be read";
const OWN_TEMPLATE: &str =
    "this route judges messages, and a template of the request's own could say anything beside them";
const NO_GRAMMAR: &str = "this route judges no grammars; a schema may stand in `outputConfig`";

/// The body of a request; its path names the model.
pub static REQUEST: Object = Object {
    required: &[],
    fields: &[
        ("messages", Turns(&Object(&MESSAGE))),
        ("system", By(Role::System, &SYSTEM)),
        ("inferenceConfig", Object(&INFERENCE)),
        ("toolConfig", Object(&TOOL_CONFIG)),
        ("guardrailConfig", Object(&GUARDRAIL)),
        ("additionalModelRequestFields", Object(&ADDITIONAL)),
        ("additionalModelResponseFieldPaths", Any(Kind::Other)),
        ("requestMetadata", Any(Kind::Other)),
        ("performanceConfig", Object(&PERFORMANCE)),
        ("serviceTier", Object(&TIER)),
        ("outputConfig", Object(&OUTPUT)),
        // Of a stored prompt: its own text comes from elsewhere.
        ("promptVariables", Refuse(UNSEEN)),
    ],
};

static MESSAGE: Object = Object { required: &["role"], fields: &[("role", ROLES), ("content", CONTENT)] };

static INFERENCE: Object = Object {
    required: &[],
    fields: &[("maxTokens", Plain), ("temperature", Plain), ("topP", Plain), ("stopSequences", Any(Kind::Other))],
};

static TOOL_CONFIG: Object = Object {
    required: &[],
    fields: &[
        ("tools", Each(&Group(Kind::ToolDefinition, &Union(&TOOL, TOOLS_ONLY)))),
        ("toolChoice", Union(&CHOICE, CHOICES_ONLY)),
    ],
};

/// Not there: `systemTool`, which the service runs.
static TOOL: Object = Object { required: &[], fields: &[("toolSpec", Object(&SPEC)), ("cachePoint", CACHE_POINT)] };

static SPEC: Object = Object {
    required: &["name"],
    fields: &[
        ("name", Fixed(Kind::ToolDefinition)),
        ("description", Text(Kind::ToolDefinition)),
        ("inputSchema", Union(&INPUT_SCHEMA, SCHEMAS_ONLY)),
        ("strict", Plain),
    ],
};

static INPUT_SCHEMA: Object = Object { required: &[], fields: &[("json", Schema(Kind::ToolDefinition))] };

static CHOICE: Object = Object {
    required: &[],
    fields: &[("auto", Object(&NOTHING)), ("any", Object(&NOTHING)), ("tool", Object(&NAMED))],
};
static NOTHING: Object = Object { required: &[], fields: &[] };
static NAMED: Object = Object { required: &[], fields: &[("name", Fixed(Kind::ToolDefinition))] };

/// The service's own guardrails.
static GUARDRAIL: Object = Object {
    required: &[],
    fields: &[
        ("guardrailIdentifier", Fixed(Kind::Other)),
        ("guardrailVersion", Fixed(Kind::Other)),
        ("trace", OneOf(&["enabled", "disabled", "enabled_full"])),
        ("streamProcessingMode", OneOf(&["sync", "async"])),
    ],
};

static OUTPUT: Object = Object {
    required: &[],
    fields: &[
        ("textFormat", Object(&FORMAT)),
        ("effort", OneOf(&["none", "minimal", "low", "medium", "high", "xhigh", "max"])),
    ],
};

static FORMAT: Object = Object {
    required: &[],
    fields: &[("type", OneOf(&["json_schema"])), ("structure", Union(&STRUCTURE, SCHEMAS_ONLY))],
};

static STRUCTURE: Object = Object { required: &[], fields: &[("jsonSchema", Object(&JSON_SCHEMA))] };

static JSON_SCHEMA: Object = Object {
    required: &[],
    // The schema is JSON in a string.
    fields: &[("schema", Arguments), ("name", Fixed(Kind::Other)), ("description", Text(Kind::Other))],
};

/// What joins the native request of the model, whatever that is: judged as text, but for what is not read as its text says.
static ADDITIONAL: Object = Object {
    required: &[],
    fields: &[
        ("messages", Refuse(OTHERWISE)),
        ("system", Refuse(OTHERWISE)),
        ("prompt", Refuse(OTHERWISE)),
        ("inputText", Refuse(OTHERWISE)),
        ("container", Refuse(UNSEEN)),
        ("mcp_servers", Refuse(UNSEEN)),
        ("thread", Refuse(UNSEEN)),
        ("previous_response_id", Refuse(UNSEEN)),
        ("conversation", Refuse(UNSEEN)),
        ("connectors", Refuse(UNSEEN)),
        ("images", Refuse(TEXT_ONLY)),
        ("image_data", Refuse(TEXT_ONLY)),
        ("audio_data", Refuse(TEXT_ONLY)),
        ("video_data", Refuse(TEXT_ONLY)),
        ("multi_modal_data", Refuse(TEXT_ONLY)),
        ("prompt_token_ids", Refuse(TEXT_ONLY)),
        ("input_ids", Refuse(TEXT_ONLY)),
        ("prompt_embeds", Refuse(TEXT_ONLY)),
        ("input_embeds", Refuse(TEXT_ONLY)),
        ("raw_prompting", Refuse(OWN_TEMPLATE)),
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
