//! The items of a request's `input`.

use super::request::{STATE, TEXT};
use super::tools::{ENVIRONMENT, TOOL};
use super::{EXECUTION, LIFETIME, PHASE, REASONING, STATUS};
use crate::text::{Kind, Media};
use crate::wire::json::Value;
use crate::wire::shape::{Object, Rule, Sort};
use Rule::*;
use Sort::Is;

const ITEMS_ONLY: &str =
    "this route judges messages, reasoning, tools, and calls and outputs of the client's own tools";
const TEXT_ONLY: &str =
    "this route judges text only: `input_text`, `output_text`, `text` and, from the assistant, `refusal`";
const BY_CLIENT: &str = "this route judges searches for tools by the client only";
const REASONS_ONLY: &str = "this route judges reasoning as `summary_text` and `reasoning_text`";

/// An item. One that has an id and says nothing itself stands for what the upstream keeps under the id.
pub const ITEM: Rule = Where(refers, &Object(&REFERRED), &Tagged(ITEMS, ITEMS_ONLY));

/// By type; a message needs none. What is not here stands for something that never passes here, is no text, or comes from a tool
/// that the upstream runs.
const ITEMS: &[(&str, &Object)] = &[
    ("", &MESSAGE),
    ("message", &MESSAGE),
    ("function_call", &FUNCTION_CALL),
    ("function_call_output", &OUTPUT),
    ("custom_tool_call", &CUSTOM_CALL),
    ("custom_tool_call_output", &OUTPUT),
    ("local_shell_call", &LOCAL_SHELL_CALL),
    ("local_shell_call_output", &OUTPUT),
    ("shell_call", &SHELL_CALL),
    ("shell_call_output", &SHELL_OUTPUT),
    ("apply_patch_call", &PATCH_CALL),
    ("apply_patch_call_output", &OUTPUT),
    ("tool_search_call", &SEARCH_CALL),
    ("tool_search_output", &SEARCH_OUTPUT),
    ("additional_tools", &ADDITIONAL_TOOLS),
    ("configuration_update", &CONFIGURATION),
    ("reasoning", &REASONED),
    ("item_reference", &REFERENCE),
];

const ID: Rule = Fixed(Kind::Other);
const CALLED: Rule = Text(Kind::ToolArguments);
const CONTENT: Rule = ByType(Some(&Text(Kind::Content)), Some(&Joined(&PART)), None);
const PART: Rule = PassTyped(MEDIA_PARTS, &Tagged(PARTS, TEXT_ONLY));

/// What the upstream keeps of an answer.
static REFERENCE: Object = Object { required: &["id"], fields: &[("id", Kept(STATE))] };

/// The same without being called so.
static REFERRED: Object = Object {
    required: &["id"],
    fields: &[
        // One of the list.
        ("type", Unread),
        ("id", Kept(STATE)),
        ("call_id", ID),
        ("role", OneOf(ROLES)),
        ("summary", Joined(&Tagged(REASONS, REASONS_ONLY))),
        ("execution", Only(EXECUTION, BY_CLIENT)),
        ("status", STATUS),
        ("phase", PHASE),
    ],
};

/// The types of items, less that of no type.
const TYPES: [&str; ITEMS.len() - 1] = {
    let mut types = [""; ITEMS.len() - 1];
    let mut at = 0;
    while at < types.len() {
        types[at] = ITEMS[at + 1].0;
        at += 1;
    }
    types
};

/// Whether an item has an id and lacks what an item of its type has to say. A summary is not what was reasoned.
fn refers(item: Value<'_>) -> bool {
    let has = |name: &str| item.get(name).is_some_and(|value| !value.is_null());
    let kind = item.get("type").filter(|kind| !kind.is_null()).map(|kind| kind.text().unwrap_or_default());
    let says = match kind.as_deref() {
        Some("item_reference") => return false,
        Some(kind) if !TYPES.contains(&kind) => return false,
        None | Some("message") => has("content"),
        Some("reasoning") => {
            let reasoned = item.get("content").into_iter().flat_map(Value::elements);
            reasoned.count() > 0 || has("encrypted_content")
        }
        Some("additional_tools" | "tool_search_output") => has("tools"),
        Some("configuration_update") => has("reasoning") || has("text"),
        Some("apply_patch_call_output") => has("status") || has("output"),
        Some(kind) if kind.ends_with("_output") => has("output"),
        Some(_) => ["arguments", "input", "action", "operation"].into_iter().any(has),
    };
    has("id") && !says
}

const ROLES: &[&str] = &["user", "assistant", "system", "developer"];

static MESSAGE: Object = Object {
    required: &["role"],
    fields: &[
        ("type", OneOf(&["message"])),
        ("id", ID),
        ("role", OneOf(ROLES)),
        ("content", CONTENT),
        ("status", STATUS),
        ("phase", PHASE),
    ],
};

const PARTS: &[(&str, &Object)] =
    &[("input_text", &TEXT_PART), ("output_text", &TEXT_PART), ("text", &TEXT_PART), ("refusal", &REFUSAL_PART)];

const MEDIA_PARTS: &[(&str, Media, &Object)] = &[
    ("input_image", Media::Image, &MEDIA_PART),
    ("input_audio", Media::Audio, &MEDIA_PART),
    ("input_file", Media::File, &MEDIA_PART),
];

static MEDIA_PART: Object = Object { required: &[], fields: PART_FIELDS };
static TEXT_PART: Object = Object { required: &["text"], fields: PART_FIELDS };
static REFUSAL_PART: Object = Object { required: &["refusal"], fields: PART_FIELDS };

/// Of all types: a reader that goes by the members and not by the type sees nothing else.
const PART_FIELDS: &[(&str, Rule)] = &[
    ("text", Text(Kind::Content)),
    ("refusal", Text(Kind::Refusal)),
    // Apart from the texts around them, which they must not part.
    ("annotations", Group(Kind::Other, &Each(&Object(&ANNOTATION)))),
    ("logprobs", Any(Kind::Other)),
    ("prompt_cache_breakpoint", Object(&BREAKPOINT)),
    ("detail", OneOf(&["low", "high", "auto", "original"])),
    ("filename", Group(Kind::Other, &Text(Kind::Other))),
    ("image_url", Pass(Is(Media::Image), &Blob, TEXT_ONLY)),
    ("input_audio", Pass(Is(Media::Audio), &Object(&SOUND), TEXT_ONLY)),
    ("file_id", Refuse(TEXT_ONLY)),
    ("file_data", Pass(Is(Media::File), &Blob, TEXT_ONLY)),
    ("file_url", Pass(Is(Media::File), &Blob, TEXT_ONLY)),
    ("encrypted_content", Refuse(STATE)),
];

static SOUND: Object = Object { required: &["data"], fields: &[("data", Blob), ("format", OneOf(&["wav", "mp3"]))] };

static BREAKPOINT: Object = Object { required: &[], fields: &[("mode", OneOf(&["explicit"])), ("ttl", LIFETIME)] };

static ANNOTATION: Object = Object {
    required: &[],
    fields: &[
        ("type", OneOf(&["file_citation", "url_citation", "container_file_citation", "file_path"])),
        ("file_id", ID),
        ("container_id", ID),
        ("filename", Text(Kind::Other)),
        ("title", Text(Kind::Other)),
        ("url", Text(Kind::Other)),
        ("index", Plain),
        ("start_index", Plain),
        ("end_index", Plain),
    ],
};

static FUNCTION_CALL: Object = Object {
    required: &[],
    fields: &[
        ("id", ID),
        ("call_id", ID),
        ("name", Fixed(Kind::Name)),
        ("namespace", Fixed(Kind::Name)),
        ("arguments", Arguments),
        ("async", Plain),
        ("caller", Object(&CALLER)),
        ("status", STATUS),
        ("created_by", ID),
    ],
};

static CUSTOM_CALL: Object = Object {
    required: &[],
    fields: &[
        ("id", ID),
        ("call_id", ID),
        ("name", Fixed(Kind::Name)),
        ("namespace", Fixed(Kind::Name)),
        ("input", CALLED),
        ("async", Plain),
        ("caller", Object(&CALLER)),
        ("status", STATUS),
        ("created_by", ID),
    ],
};

static CALLER: Object = Object { required: &[], fields: &[("type", OneOf(&["direct", "program"])), ("caller_id", ID)] };

/// What a tool of the client gave back.
static OUTPUT: Object = Object {
    required: &[],
    fields: &[
        ("id", ID),
        ("call_id", ID),
        ("name", Text(Kind::Name)),
        ("namespace", Fixed(Kind::Name)),
        ("output", CONTENT),
        ("caller", Object(&CALLER)),
        ("status", STATUS),
        ("created_by", ID),
    ],
};

static LOCAL_SHELL_CALL: Object = Object {
    required: &[],
    fields: &[
        ("id", ID),
        ("call_id", ID),
        ("action", Group(Kind::ToolArguments, &Object(&COMMAND))),
        ("status", STATUS),
        ("created_by", ID),
    ],
};

static COMMAND: Object = Object {
    required: &[],
    fields: &[
        ("type", OneOf(&["exec"])),
        ("command", Each(&CALLED)),
        ("env", Any(Kind::ToolArguments)),
        ("timeout_ms", Plain),
        ("user", CALLED),
        ("working_directory", CALLED),
    ],
};

static SHELL_CALL: Object = Object {
    required: &[],
    fields: &[
        ("id", ID),
        ("call_id", ID),
        ("action", Group(Kind::ToolArguments, &Object(&COMMANDS))),
        ("environment", ENVIRONMENT),
        ("caller", Object(&CALLER)),
        ("status", STATUS),
        ("created_by", ID),
    ],
};

static COMMANDS: Object = Object {
    required: &[],
    fields: &[("commands", Each(&CALLED)), ("max_output_length", Plain), ("timeout_ms", Plain)],
};

static SHELL_OUTPUT: Object = Object {
    required: &[],
    fields: &[
        ("id", ID),
        ("call_id", ID),
        ("output", Joined(&Object(&PRINTED))),
        ("max_output_length", Plain),
        ("caller", Object(&CALLER)),
        ("status", STATUS),
        ("created_by", ID),
    ],
};

static PRINTED: Object = Object {
    required: &[],
    fields: &[
        ("stdout", Text(Kind::Content)),
        ("stderr", Text(Kind::Content)),
        ("outcome", Object(&OUTCOME)),
        ("created_by", Group(Kind::Other, &ID)),
    ],
};

static OUTCOME: Object =
    Object { required: &[], fields: &[("type", OneOf(&["timeout", "exit"])), ("exit_code", Plain)] };

static PATCH_CALL: Object = Object {
    required: &[],
    fields: &[
        ("id", ID),
        ("call_id", ID),
        ("operation", Group(Kind::ToolArguments, &Object(&PATCH))),
        ("caller", Object(&CALLER)),
        ("status", STATUS),
        ("created_by", ID),
    ],
};

static PATCH: Object = Object {
    required: &[],
    fields: &[("type", OneOf(&["create_file", "delete_file", "update_file"])), ("path", CALLED), ("diff", CALLED)],
};

static SEARCH_CALL: Object = Object {
    required: &["execution"],
    fields: &[
        ("id", ID),
        ("call_id", ID),
        ("arguments", Any(Kind::ToolArguments)),
        ("execution", Only(EXECUTION, BY_CLIENT)),
        ("status", STATUS),
        ("created_by", ID),
    ],
};

static SEARCH_OUTPUT: Object = Object {
    required: &["execution"],
    fields: &[
        ("id", ID),
        ("call_id", ID),
        ("tools", Each(&TOOL)),
        ("execution", Only(EXECUTION, BY_CLIENT)),
        ("status", STATUS),
        ("created_by", ID),
    ],
};

static ADDITIONAL_TOOLS: Object =
    Object { required: &[], fields: &[("id", ID), ("role", OneOf(&["developer"])), ("tools", Each(&TOOL))] };

static CONFIGURATION: Object =
    Object { required: &[], fields: &[("id", ID), ("reasoning", Object(&REASONING)), ("text", Object(&TEXT))] };

static REASONED: Object = Object {
    required: &[],
    fields: &[
        ("id", ID),
        ("summary", Joined(&Tagged(REASONS, REASONS_ONLY))),
        ("content", Joined(&Tagged(REASONS, REASONS_ONLY))),
        ("encrypted_content", Kept(STATE)),
        ("status", STATUS),
    ],
};

const REASONS: &[(&str, &Object)] = &[("summary_text", &REASON), ("reasoning_text", &REASON)];

static REASON: Object = Object { required: &["text"], fields: &[("text", Text(Kind::Reasoning))] };
