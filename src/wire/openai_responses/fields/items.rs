//! The items of an answer's `output`. What of them a stream tells in pieces has its place by these members' names.

use super::{ANY, PHASE, STATUS};
use crate::text::Kind;
use crate::wire::ids::{is_id, is_opaque};
use crate::wire::shape::{Hop, Object, Rule};
use Hop::Key;
use Rule::*;

const TEXT_ONLY: &str = "this route judges text only, and an image says what no detector sees";

/// An item. Of another type it is all text.
pub const ITEM: Rule = Typed(ITEMS, &ANY);

/// A part of a message or of reasoning.
pub const PART: Rule = Typed(PARTS, &ANY);

/// A part of a summary.
pub const SUMMARY_PART: Rule = Typed(SUMMARIES, &ANY);

/// The SDKs join the text of all parts of all messages (`output_text`), and other readers what was reasoned, and its summaries.
pub const SAID_TEXT: Rule = Joint(&[Key("output"), Key("text")], &Text(Kind::Content));
pub const REASONED_TEXT: Rule = Joint(&[Key("output"), Key("reasoning")], &Text(Kind::Reasoning));
pub const SUMMARY_TEXT: Rule = Joint(&[Key("output"), Key("summary")], &Text(Kind::Reasoning));

const ITEMS: &[(&str, &Object)] = &[
    ("message", &MESSAGE),
    ("reasoning", &REASONED),
    ("function_call", &CALL),
    ("custom_tool_call", &CALL),
    ("mcp_call", &CALL),
    ("mcp_approval_request", &CALL),
    ("tool_search_call", &CALL),
    ("local_shell_call", &CALL),
    ("shell_call", &CALL),
    ("apply_patch_call", &CALL),
    ("computer_call", &CALL),
    ("code_interpreter_call", &CALL),
    ("web_search_call", &CALL),
    ("file_search_call", &CALL),
    ("program", &CALL),
    ("image_generation_call", &IMAGE_CALL),
    ("function_call_output", &OUTPUT),
    ("custom_tool_call_output", &OUTPUT),
    ("local_shell_call_output", &OUTPUT),
    ("shell_call_output", &OUTPUT),
    ("apply_patch_call_output", &OUTPUT),
    ("computer_call_output", &OUTPUT),
    ("program_output", &OUTPUT),
    ("mcp_approval_response", &OUTPUT),
    ("tool_search_output", &TOOLS),
    ("additional_tools", &TOOLS),
    ("mcp_list_tools", &TOOLS),
    ("compaction", &COMPACTION),
];

const OPAQUE: Rule = Like(is_opaque);
const CALLED: Rule = Text(Kind::ToolArguments);

static MESSAGE: Object = Object {
    required: &[],
    fields: &[
        ("id", Like(is_id)),
        ("role", OneOf(&["assistant", "user", "system", "developer"])),
        ("content", ByType(Some(&SAID_TEXT), Some(&Each(&PART)), None)),
        ("status", STATUS),
        ("phase", PHASE),
    ],
};

static REASONED: Object = Object {
    required: &[],
    fields: &[
        ("id", Like(is_id)),
        ("summary", Each(&SUMMARY_PART)),
        ("content", Each(&Typed(REASONS, &ANY))),
        ("encrypted_content", OPAQUE),
        ("status", STATUS),
    ],
};

static COMPACTION: Object = Object {
    required: &[],
    fields: &[("id", Like(is_id)), ("encrypted_content", OPAQUE), ("created_by", Rule::OPEN_WORD)],
};

const PARTS: &[(&str, &Object)] = &[
    ("output_text", &SAID),
    ("input_text", &MORE_SAID),
    ("text", &MORE_SAID),
    ("refusal", &REFUSAL),
    ("summary_text", &REASON),
    ("reasoning_text", &REASON),
    ("input_image", &IMAGE),
    ("output_image", &IMAGE),
    ("input_file", &IMAGE),
];

const REASONS: &[(&str, &Object)] = &[("summary_text", &REASON), ("reasoning_text", &REASON)];
const SUMMARIES: &[(&str, &Object)] = &[("summary_text", &SUMMARY), ("reasoning_text", &SUMMARY)];

static SAID: Object = Object {
    required: &[],
    fields: &[
        ("text", SAID_TEXT),
        ("annotations", Each(&Object(&ANNOTATION))),
        // Checked against the text when written, and emptied where they differ: wherever such a part may stand, `copies` looks.
        ("logprobs", Unread),
    ],
};

static MORE_SAID: Object = Object { required: &[], fields: &[("text", SAID_TEXT)] };
static TEXT: Object = Object { required: &[], fields: &[("text", Text(Kind::Content))] };
static REFUSAL: Object = Object { required: &[], fields: &[("refusal", Text(Kind::Refusal))] };
static REASON: Object = Object { required: &[], fields: &[("text", REASONED_TEXT)] };
static SUMMARY: Object = Object { required: &[], fields: &[("text", SUMMARY_TEXT)] };

static IMAGE: Object = Object {
    required: &[],
    fields: &[
        ("image_url", Refuse(TEXT_ONLY)),
        ("file_id", Refuse(TEXT_ONLY)),
        ("file_url", Refuse(TEXT_ONLY)),
        ("file_data", Refuse(TEXT_ONLY)),
        ("filename", Text(Kind::Other)),
        ("detail", OneOf(&["low", "high", "auto", "original"])),
    ],
};

/// What a text refers to.
pub static ANNOTATION: Object = Object {
    required: &[],
    fields: &[
        ("type", OneOf(&["file_citation", "url_citation", "container_file_citation", "file_path"])),
        ("file_id", Rule::OPEN_WORD),
        ("container_id", Like(is_id)),
        ("filename", Text(Kind::Other)),
        ("title", Text(Kind::Other)),
        ("url", Text(Kind::Other)),
        ("index", Plain),
        ("start_index", Plain),
        ("end_index", Plain),
    ],
};

/// A call of any tool: each has some of these.
static CALL: Object = Object {
    required: &[],
    fields: &[
        ("id", Like(is_id)),
        ("call_id", Like(is_id)),
        ("name", Fixed(Kind::Name)),
        ("namespace", Fixed(Kind::Name)),
        ("server_label", Fixed(Kind::Name)),
        ("arguments", ByType(Some(&Arguments), Some(&Any(Kind::ToolArguments)), Some(&Any(Kind::ToolArguments)))),
        ("input", CALLED),
        ("code", CALLED),
        ("queries", Each(&CALLED)),
        ("action", Object(&ACTION)),
        ("actions", Each(&Object(&ACTION))),
        ("operation", Object(&PATCH)),
        ("environment", Object(&ENVIRONMENT)),
        ("container_id", Like(is_id)),
        ("approval_request_id", Like(is_id)),
        ("fingerprint", OPAQUE),
        ("async", Plain),
        ("caller", Object(&CALLER)),
        ("execution", OneOf(&["server", "client"])),
        ("status", STATUS),
        ("created_by", Rule::OPEN_WORD),
        ("pending_safety_checks", Each(&Object(&CHECK))),
        // What the upstream's own tools gave back.
        ("output", Text(Kind::Content)),
        ("outputs", Each(&Typed(OUTPUTS, &ANY))),
        ("results", Each(&Object(&RESULT))),
        ("error", ERROR),
    ],
};

const ERROR: Rule = ByType(Some(&Text(Kind::Other)), None, Some(&Object(&FAILURE)));

static FAILURE: Object = Object {
    required: &[],
    fields: &[
        ("type", OneOf(&["mcp_protocol_error", "mcp_tool_execution_error", "http_error"])),
        ("code", ByType(Some(&Rule::OPEN_WORD), None, None)),
        ("message", Text(Kind::Other)),
        ("content", Any(Kind::Content)),
        ("param", Text(Kind::Other)),
        ("moderation_details", Any(Kind::Other)),
    ],
};

static CALLER: Object =
    Object { required: &[], fields: &[("type", OneOf(&["direct", "program"])), ("caller_id", Like(is_id))] };

static CHECK: Object =
    Object { required: &[], fields: &[("id", Like(is_id)), ("code", Rule::OPEN_WORD), ("message", Text(Kind::Other))] };

/// Of a shell, a search or a computer.
static ACTION: Object = Object {
    required: &[],
    fields: &[
        (
            "type",
            OneOf(&[
                "exec",
                "search",
                "open_page",
                "find_in_page",
                "find",
                "click",
                "double_click",
                "drag",
                "keypress",
                "move",
                "screenshot",
                "scroll",
                "type",
                "wait",
            ]),
        ),
        ("command", Each(&CALLED)),
        ("commands", Each(&CALLED)),
        ("env", Any(Kind::ToolArguments)),
        ("user", CALLED),
        ("working_directory", CALLED),
        ("timeout_ms", Plain),
        ("max_output_length", Plain),
        ("query", CALLED),
        ("queries", Each(&CALLED)),
        ("pattern", CALLED),
        ("url", CALLED),
        ("sources", Each(&Object(&SOURCE))),
        ("text", CALLED),
        ("keys", Each(&CALLED)),
        ("button", OneOf(&["left", "right", "wheel", "back", "forward"])),
        ("path", Each(&Object(&POINT))),
        ("x", Plain),
        ("y", Plain),
        ("scroll_x", Plain),
        ("scroll_y", Plain),
    ],
};

static SOURCE: Object = Object { required: &[], fields: &[("type", OneOf(&["url"])), ("url", Text(Kind::Other))] };
static POINT: Object = Object { required: &[], fields: &[("x", Plain), ("y", Plain)] };

static PATCH: Object = Object {
    required: &[],
    fields: &[("type", OneOf(&["create_file", "delete_file", "update_file"])), ("path", CALLED), ("diff", CALLED)],
};

static ENVIRONMENT: Object = Object {
    required: &[],
    fields: &[("type", OneOf(&["local", "container_reference"])), ("container_id", Like(is_id))],
};

const OUTPUTS: &[(&str, &Object)] = &[("logs", &LOGS), ("image", &DRAWN)];

static LOGS: Object = Object { required: &[], fields: &[("logs", Text(Kind::Content))] };
static DRAWN: Object = Object { required: &[], fields: &[("url", Refuse(TEXT_ONLY))] };

static RESULT: Object = Object {
    required: &[],
    fields: &[
        ("attributes", Any(Kind::Other)),
        ("file_id", Rule::OPEN_WORD),
        ("filename", Text(Kind::Other)),
        ("score", Plain),
        ("text", Text(Kind::Content)),
    ],
};

static IMAGE_CALL: Object = Object {
    required: &[],
    fields: &[
        ("id", Like(is_id)),
        ("status", STATUS),
        ("result", Refuse(TEXT_ONLY)),
        ("revised_prompt", CALLED),
        ("action", OneOf(&["generate", "edit", "auto"])),
        ("background", OneOf(&["transparent", "opaque", "auto"])),
        ("output_format", OneOf(&["png", "webp", "jpeg", "gif", "svg"])),
        ("quality", OneOf(&["low", "medium", "high", "xhigh", "max", "auto"])),
        ("size", OneOf(&["1024x1024", "1024x1536", "1536x1024", "auto"])),
        ("svg_usage", Object(&SVG)),
        ("error", ERROR),
    ],
};

static SVG: Object = Object {
    required: &[],
    fields: &[
        ("model", Rule::OPEN_WORD),
        ("input_tokens", Plain),
        ("output_tokens", Plain),
        ("reasoning_tokens", Plain),
        ("total_tokens", Plain),
    ],
};

/// What a tool gave back.
static OUTPUT: Object = Object {
    required: &[],
    fields: &[
        ("id", Like(is_id)),
        ("call_id", Like(is_id)),
        ("name", Fixed(Kind::Name)),
        ("namespace", Fixed(Kind::Name)),
        ("output", ByType(Some(&Text(Kind::Content)), Some(&Each(&GIVEN)), Some(&GIVEN))),
        ("result", Text(Kind::Content)),
        ("max_output_length", Plain),
        ("acknowledged_safety_checks", Each(&Object(&CHECK))),
        ("approval_request_id", Like(is_id)),
        ("approve", Plain),
        ("reason", Text(Kind::Other)),
        ("caller", Object(&CALLER)),
        ("status", STATUS),
        ("created_by", Rule::OPEN_WORD),
    ],
};

/// What a command printed, or a part without log-probabilities.
pub const GIVEN: Rule = Typed(GIVENS, &ANY);

const GIVENS: &[(&str, &Object)] = &[
    ("", &PRINTED),
    ("input_text", &TEXT),
    ("output_text", &TEXT),
    ("input_image", &IMAGE),
    ("input_file", &IMAGE),
    ("computer_screenshot", &IMAGE),
];

/// What one command printed.
pub static PRINTED: Object = Object {
    required: &[],
    fields: &[
        ("stdout", Text(Kind::Content)),
        ("stderr", Text(Kind::Content)),
        ("outcome", Object(&OUTCOME)),
        ("created_by", Rule::OPEN_WORD),
    ],
};

static OUTCOME: Object =
    Object { required: &[], fields: &[("type", OneOf(&["timeout", "exit"])), ("exit_code", Plain)] };

static TOOLS: Object = Object {
    required: &[],
    fields: &[
        ("id", Like(is_id)),
        ("call_id", Like(is_id)),
        ("server_label", Fixed(Kind::Name)),
        ("role", OneOf(&["developer"])),
        ("tools", Each(&Schema(Kind::ToolDefinition))),
        ("execution", OneOf(&["server", "client"])),
        ("error", ERROR),
        ("status", STATUS),
        ("created_by", Rule::OPEN_WORD),
    ],
};
