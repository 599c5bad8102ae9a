//! The members of OpenAI's chat completions, request and answer, and what each carries. After the SDK's types, with what
//! vLLM, Azure, OpenRouter and others add.

use crate::text::Kind;
use crate::wire::shape::{Object, Rule};
use Rule::*;

const TEXT_ONLY: &str = "this route judges text only: `text` and, from the assistant, `refusal`";
const TOOLS_ONLY: &str = "this route judges calls of the client's own tools only: `function` and `custom`";

/// The body of a request.
pub static REQUEST: Object = Object {
    required: &["messages"],
    fields: &[
        ("messages", Turns(&Object(&MESSAGE))),
        ("model", Word),
        ("stream", Plain),
        ("stream_options", Words),
        ("n", Plain),
        ("max_tokens", Plain),
        ("max_completion_tokens", Plain),
        ("temperature", Plain),
        ("top_p", Plain),
        ("frequency_penalty", Plain),
        ("presence_penalty", Plain),
        ("seed", Plain),
        ("logprobs", Plain),
        ("top_logprobs", Plain),
        ("parallel_tool_calls", Plain),
        ("store", Plain),
        ("logit_bias", Words),
        ("modalities", ByType(None, Some(&Words), None)),
        ("reasoning_effort", Word),
        ("service_tier", Word),
        ("verbosity", Word),
        ("prompt_cache_retention", Word),
        ("tools", Each(&Group(Kind::ToolDefinition, &Tagged(TOOLS, TOOLS_ONLY)))),
        ("functions", Each(&Group(Kind::ToolDefinition, &Object(&FUNCTION)))),
        ("tool_choice", CHOICE_OF_TOOL),
        ("function_call", CHOICE_OF_TOOL),
        ("response_format", Schema(Kind::Other)),
        ("stop", Any(Kind::Other)),
        ("user", Text(Kind::Other)),
        ("metadata", Any(Kind::Other)),
        ("prediction", Object(&PREDICTION)),
        ("safety_identifier", Text(Kind::Other)),
        ("prompt_cache_key", Text(Kind::Other)),
        ("web_search_options", Any(Kind::Other)),
        ("audio", Refuse(TEXT_ONLY)),
        // Prompts in a form that only the upstream's tokenizer can read.
        ("prompt_token_ids", Refuse(TEXT_ONLY)),
        ("input_ids", Refuse(TEXT_ONLY)),
        ("prompt_embeds", Refuse(TEXT_ONLY)),
        ("input_embeds", Refuse(TEXT_ONLY)),
        ("image_data", Refuse(TEXT_ONLY)),
        ("audio_data", Refuse(TEXT_ONLY)),
        ("video_data", Refuse(TEXT_ONLY)),
        ("multi_modal_data", Refuse(TEXT_ONLY)),
    ],
};

static MESSAGE: Object = Object {
    required: &["role"],
    fields: &[
        ("role", Word),
        ("content", CONTENT),
        ("name", Text(Kind::Name)),
        ("refusal", Text(Kind::Refusal)),
        ("reasoning", REASONING),
        ("reasoning_content", REASONING),
        ("reasoning_details", Any(Kind::Reasoning)),
        ("tool_calls", Each(&Object(&CALL))),
        ("function_call", Object(&CALLED)),
        ("tool_call_id", Fixed(Kind::Other)),
        ("cache_control", Words),
        ("audio", Refuse(TEXT_ONLY)),
        ("images", Refuse(TEXT_ONLY)),
    ],
};

const CONTENT: Rule = ByType(Some(&Text(Kind::Content)), Some(&Joined(&Tagged(PARTS, TEXT_ONLY))), None);
const REASONING: Rule = ByType(Some(&Text(Kind::Reasoning)), Some(&Any(Kind::Reasoning)), Some(&Any(Kind::Reasoning)));
const CHOICE_OF_TOOL: Rule = ByType(Some(&Word), None, Some(&Schema(Kind::ToolDefinition)));
const ARGUMENTS: Rule = ByType(Some(&Arguments), Some(&Any(Kind::ToolArguments)), Some(&Any(Kind::ToolArguments)));

const PARTS: &[(&str, &Object)] = &[("text", &TEXT_PART), ("refusal", &REFUSAL_PART)];

static TEXT_PART: Object = Object { required: &["text"], fields: PART_FIELDS };
static REFUSAL_PART: Object = Object { required: &["refusal"], fields: PART_FIELDS };

/// Of both types: a reader that goes by the members and not by the type sees nothing else.
const PART_FIELDS: &[(&str, Rule)] = &[
    ("type", Word),
    ("text", Text(Kind::Content)),
    ("refusal", Text(Kind::Refusal)),
    ("cache_control", Words),
    ("image_url", Refuse(TEXT_ONLY)),
    ("image", Refuse(TEXT_ONLY)),
    ("image_embeds", Refuse(TEXT_ONLY)),
    ("input_audio", Refuse(TEXT_ONLY)),
    ("audio_url", Refuse(TEXT_ONLY)),
    ("video_url", Refuse(TEXT_ONLY)),
    ("file", Refuse(TEXT_ONLY)),
];

static CALL: Object = Object {
    required: &[],
    fields: &[
        ("id", Fixed(Kind::Other)),
        ("type", Word),
        ("index", Plain),
        ("function", Object(&CALLED)),
        ("custom", Object(&CALLED)),
    ],
};

/// A function with `arguments`, or a custom tool with `input`.
static CALLED: Object = Object {
    required: &[],
    fields: &[("name", Fixed(Kind::Name)), ("arguments", ARGUMENTS), ("input", Text(Kind::ToolArguments))],
};

const TOOLS: &[(&str, &Object)] = &[("function", &TOOL), ("custom", &TOOL)];

static TOOL: Object = Object {
    required: &[],
    fields: &[("type", Word), ("function", Object(&FUNCTION)), ("custom", Object(&CUSTOM)), ("cache_control", Words)],
};

static FUNCTION: Object = Object {
    required: &["name"],
    fields: &[
        ("name", Fixed(Kind::ToolDefinition)),
        ("description", Text(Kind::ToolDefinition)),
        ("parameters", Schema(Kind::ToolDefinition)),
        ("strict", Plain),
    ],
};

static CUSTOM: Object = Object {
    required: &["name"],
    fields: &[
        ("name", Fixed(Kind::ToolDefinition)),
        ("description", Text(Kind::ToolDefinition)),
        ("format", Any(Kind::ToolDefinition)),
    ],
};

static PREDICTION: Object = Object { required: &[], fields: &[("type", Word), ("content", CONTENT)] };

/// The names that stand for ids and enumerations wherever they occur in an answer.
pub const ENUMERATIONS: &[&str] =
    &["id", "object", "model", "system_fingerprint", "finish_reason", "service_tier", "role", "type", "format"];

/// A whole answer, a chunk of a stream, or an error.
pub static ANSWER: Object = Object {
    required: &[],
    fields: &[
        ("id", Word),
        ("object", Word),
        ("created", Plain),
        ("model", Word),
        ("system_fingerprint", Word),
        ("service_tier", Word),
        ("provider", Word),
        ("obfuscation", Word),
        ("choices", Turns(&Object(&CHOICE))),
        ("usage", Words),
        ("prompt_filter_results", Words),
        ("error", ByType(Some(&Text(Kind::Other)), None, Some(&Object(&ERROR)))),
        // Dropped when written.
        ("prompt_logprobs", Unread),
    ],
};

static ERROR: Object = Object {
    required: &[],
    fields: &[
        ("message", Text(Kind::Other)),
        ("type", Word),
        ("code", ByType(Some(&Word), None, None)),
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
        ("finish_reason", Word),
        ("native_finish_reason", Word),
        ("content_filter_results", Words),
        // Checked against the text when written, and dropped where they differ.
        ("logprobs", Unread),
        ("prompt_logprobs", Unread),
    ],
};

/// What the assistant says: a message, or a piece of one.
static SAID: Object = Object {
    required: &[],
    fields: &[
        ("role", Word),
        ("content", ByType(Some(&Text(Kind::Content)), Some(&Each(&Object(&SAID_PART))), None)),
        ("refusal", Text(Kind::Refusal)),
        ("reasoning", REASONING),
        ("reasoning_content", REASONING),
        ("reasoning_details", Any(Kind::Reasoning)),
        ("tool_calls", Indexed(&Object(&SAID_CALL))),
        ("function_call", Object(&CALLED)),
        ("audio", Object(&AUDIO)),
        ("annotations", Any(Kind::Other)),
    ],
};

static SAID_PART: Object = Object {
    required: &[],
    fields: &[("type", Word), ("text", Text(Kind::Content)), ("refusal", Text(Kind::Refusal))],
};

static SAID_CALL: Object = Object {
    required: &[],
    fields: &[
        ("id", Word),
        ("type", Word),
        ("index", Plain),
        ("function", Object(&CALLED)),
        ("custom", Object(&CALLED)),
    ],
};

static AUDIO: Object = Object {
    required: &[],
    fields: &[
        ("id", Word),
        ("expires_at", Plain),
        ("transcript", Text(Kind::Content)),
        ("data", Refuse("this route judges text only, and sound says what no detector hears")),
    ],
};
