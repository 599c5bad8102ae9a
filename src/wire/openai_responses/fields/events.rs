//! The events of a stream. What they tell in pieces has the place that it has in the whole response, and what says it whole is
//! said again.

use super::answer::{ANSWER, ERROR};
use super::items::{ANNOTATION, GIVEN, ITEM, PART, PRINTED, REASONED_TEXT, SAID_TEXT, SUMMARY_PART, SUMMARY_TEXT};
use crate::text::Kind;
use crate::wire::ids::is_id;
use crate::wire::shape::{Hop, Object, Rule};
use Hop::{Index, Key};
use Rule::*;

const TEXT_ONLY: &str = "this route judges text only, and images and sound say what no detector sees or hears";

/// The name of an event of this type, if there is one.
pub fn event_name(kind: &str) -> Option<&'static str> {
    EVENTS.iter().map(|(name, _)| *name).find(|name| *name == kind)
}

/// An event with these members, beside those that events have in common.
macro_rules! event {
    ($(($name:literal, $rule:expr)),*) => {
        &Object {
            required: &[],
            fields: &[
                $(($name, $rule),)*
                ("sequence_number", Plain),
                ("output_index", Plain),
                ("content_index", Plain),
                ("summary_index", Plain),
                ("annotation_index", Plain),
                ("command_index", Plain),
                ("item_id", Like(is_id)),
                ("status", OneOf(&["incomplete"])),
                // Dropped when written.
                ("obfuscation", Unread),
            ],
        }
    };
}

/// A path in the response.
macro_rules! at {
    ($rule:expr $(, $hop:expr)*) => {
        At(&[Key("response"), Key("output"), Index("output_index") $(, $hop)*], &$rule)
    };
}

const CONTENT: Hop = Key("content");
const CONTENT_INDEX: Hop = Index("content_index");
const SUMMARY: Hop = Key("summary");
const SUMMARY_INDEX: Hop = Index("summary_index");
const COMMAND_INDEX: Hop = Index("command_index");

const WHOLE: &Object = event![("response", Again(&Object(&ANSWER)))];
const ABOUT_ITEM: &Object = event![("item", at!(Again(&ITEM)))];
const ABOUT_PART: &Object = event![("part", at!(Again(&PART), CONTENT, CONTENT_INDEX))];
const ABOUT_SUMMARY: &Object = event![("part", at!(Again(&SUMMARY_PART), SUMMARY, SUMMARY_INDEX))];
const ARGUMENTS: &Object = event![("delta", at!(Arguments, Key("arguments")))];
const ALL_ARGUMENTS: &Object = event![
    ("arguments", at!(Again(&Arguments), Key("arguments"))),
    ("name", at!(Again(&Fixed(Kind::Name)), Key("name")))
];
const COMMAND: Rule = at!(Text(Kind::ToolArguments), Key("action"), Key("commands"), COMMAND_INDEX);
const ALL_OF_COMMAND: Rule = at!(Again(&Text(Kind::ToolArguments)), Key("action"), Key("commands"), COMMAND_INDEX);
const STATE: &Object = event![];

/// An event. Of another type all members but the common ones are judged.
pub const EVENT: Rule = Typed(EVENTS, &Object(event![("type", Rule::OPEN_WORD), ("error", ERROR)]));

/// By type.
pub const EVENTS: &[(&str, &Object)] = &[
    (
        "error",
        event![
            ("code", ByType(Some(&Rule::OPEN_WORD), None, None)),
            ("message", Text(Kind::Other)),
            ("param", Text(Kind::Other)),
            ("error", ERROR)
        ],
    ),
    ("response.queued", WHOLE),
    ("response.created", WHOLE),
    ("response.in_progress", WHOLE),
    ("response.completed", WHOLE),
    ("response.incomplete", WHOLE),
    ("response.failed", WHOLE),
    ("response.output_item.added", ABOUT_ITEM),
    ("response.output_item.done", ABOUT_ITEM),
    ("response.content_part.added", ABOUT_PART),
    ("response.content_part.done", ABOUT_PART),
    (
        "response.output_text.delta",
        event![
            ("delta", at!(SAID_TEXT, CONTENT, CONTENT_INDEX, Key("text"))),
            // Checked against the text when written, and emptied where they differ.
            ("logprobs", Unread)
        ],
    ),
    (
        "response.output_text.done",
        event![("text", at!(Again(&SAID_TEXT), CONTENT, CONTENT_INDEX, Key("text"))), ("logprobs", Unread)],
    ),
    (
        "response.output_text.annotation.added",
        event![(
            "annotation",
            at!(Again(&Object(&ANNOTATION)), CONTENT, CONTENT_INDEX, Key("annotations"), Index("annotation_index"))
        )],
    ),
    ("response.refusal.delta", event![("delta", at!(Text(Kind::Refusal), CONTENT, CONTENT_INDEX, Key("refusal")))]),
    (
        "response.refusal.done",
        event![("refusal", at!(Again(&Text(Kind::Refusal)), CONTENT, CONTENT_INDEX, Key("refusal")))],
    ),
    ("response.reasoning_text.delta", event![("delta", at!(REASONED_TEXT, CONTENT, CONTENT_INDEX, Key("text")))]),
    ("response.reasoning_text.done", event![("text", at!(Again(&REASONED_TEXT), CONTENT, CONTENT_INDEX, Key("text")))]),
    ("response.reasoning_summary_part.added", ABOUT_SUMMARY),
    ("response.reasoning_summary_part.done", ABOUT_SUMMARY),
    (
        "response.reasoning_summary_text.delta",
        event![("delta", at!(SUMMARY_TEXT, SUMMARY, SUMMARY_INDEX, Key("text")))],
    ),
    (
        "response.reasoning_summary_text.done",
        event![("text", at!(Again(&SUMMARY_TEXT), SUMMARY, SUMMARY_INDEX, Key("text")))],
    ),
    ("response.function_call_arguments.delta", ARGUMENTS),
    ("response.function_call_arguments.done", ALL_ARGUMENTS),
    ("response.mcp_call_arguments.delta", ARGUMENTS),
    ("response.mcp_call_arguments.done", ALL_ARGUMENTS),
    ("response.custom_tool_call_input.delta", event![("delta", at!(Text(Kind::ToolArguments), Key("input")))]),
    ("response.custom_tool_call_input.done", event![("input", at!(Again(&Text(Kind::ToolArguments)), Key("input")))]),
    ("response.code_interpreter_call_code.delta", event![("delta", at!(Text(Kind::ToolArguments), Key("code")))]),
    ("response.code_interpreter_call_code.done", event![("code", at!(Again(&Text(Kind::ToolArguments)), Key("code")))]),
    ("response.shell_call_command.added", event![("command", ALL_OF_COMMAND)]),
    ("response.shell_call_command.delta", event![("delta", COMMAND)]),
    ("response.shell_call_command.done", event![("command", ALL_OF_COMMAND)]),
    (
        "response.shell_call_output_content.delta",
        event![("delta", at!(Object(&PRINTED), Key("output"), COMMAND_INDEX))],
    ),
    ("response.shell_call_output_content.done", event![("output", at!(Again(&Each(&GIVEN)), Key("output")))]),
    ("response.audio.delta", event![("delta", Refuse(TEXT_ONLY))]),
    ("response.audio.done", STATE),
    ("response.audio.transcript.delta", event![("delta", At(&[Key("transcript")], &Text(Kind::Content)))]),
    ("response.audio.transcript.done", STATE),
    (
        "response.image_generation_call.partial_image",
        event![("partial_image_b64", Refuse(TEXT_ONLY)), ("partial_image_index", Plain)],
    ),
    ("response.image_generation_call.in_progress", STATE),
    ("response.image_generation_call.generating", STATE),
    ("response.image_generation_call.completed", STATE),
    ("response.code_interpreter_call.in_progress", STATE),
    ("response.code_interpreter_call.interpreting", STATE),
    ("response.code_interpreter_call.completed", STATE),
    ("response.file_search_call.in_progress", STATE),
    ("response.file_search_call.searching", STATE),
    ("response.file_search_call.completed", STATE),
    ("response.web_search_call.in_progress", STATE),
    ("response.web_search_call.searching", STATE),
    ("response.web_search_call.completed", STATE),
    ("response.mcp_call.in_progress", STATE),
    ("response.mcp_call.completed", STATE),
    ("response.mcp_call.failed", STATE),
    ("response.mcp_list_tools.in_progress", STATE),
    ("response.mcp_list_tools.completed", STATE),
    ("response.mcp_list_tools.failed", STATE),
    ("response.compaction.compacting", STATE),
];
