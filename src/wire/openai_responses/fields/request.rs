//! The members of a request.

use super::input::ITEM;
use super::tools::TOOL;
use super::{FORMATS, IMAGE, LIFETIME, PROGRAMS, REASONING, RETENTION, TIERS, TRUNCATION};
use crate::text::{Kind, Role};
use crate::wire::shape::{Object, Rule};
use Rule::*;

/// Why what the upstream keeps can't stand in a request.
pub const STATE: &str =
    "this route judges what stands in the request, and this stands for what the upstream keeps and never passes here";
const TEXT_ONLY: &str = "this route judges text only";
const INCLUDED: &str = "this route judges answers without server-side tools: `reasoning.encrypted_content` and `message.output_text.logprobs`";
const OWN_TEMPLATE: &str =
    "this route judges messages, and a template of the request's own could say anything beside them";
const NO_GRAMMAR: &str = "this route judges no grammars; a schema may stand in `text.format`";
const FORMATS_ONLY: &str = "this route judges the formats `text`, `json_object` and `json_schema`";

/// The body of a request.
pub static REQUEST: Object = Object {
    required: &["input"],
    fields: &[
        ("input", ByType(Some(&Turn(&Text(Kind::Content))), Some(&Turns(&ITEM)), None)),
        ("instructions", By(Role::System, &Text(Kind::Content))),
        ("tools", Each(&TOOL)),
        ("tool_choice", ByType(Some(&OneOf(&["none", "auto", "required"])), None, Some(&Schema(Kind::ToolDefinition)))),
        ("text", Object(&TEXT)),
        ("model", Rule::OPEN_WORD),
        ("stream", Plain),
        ("stream_options", Object(&STREAM_OPTIONS)),
        ("include", Each(&Only(&["reasoning.encrypted_content", "message.output_text.logprobs"], INCLUDED))),
        ("reasoning", Object(&REASONING)),
        ("metadata", Any(Kind::Other)),
        ("user", Text(Kind::Other)),
        ("safety_identifier", Text(Kind::Other)),
        ("prompt_cache_key", Text(Kind::Other)),
        ("prompt_cache_options", Object(&CACHE)),
        ("prompt_cache_retention", RETENTION),
        ("moderation", Object(&MODERATION)),
        ("access_programs", Object(&PROGRAMS)),
        ("image", Object(&IMAGE)),
        ("service_tier", TIERS),
        ("truncation", TRUNCATION),
        ("store", Plain),
        ("background", Plain),
        ("parallel_tool_calls", Plain),
        ("max_output_tokens", Plain),
        ("max_tool_calls", Plain),
        ("temperature", Plain),
        ("top_p", Plain),
        ("top_logprobs", Plain),
        // What the upstream keeps, or makes of it.
        ("previous_response_id", Kept(STATE)),
        ("conversation", Refuse(STATE)),
        ("prompt", Refuse(STATE)),
        ("context_management", Refuse(STATE)),
        // Sampling and the like, as vLLM and SGLang extend it.
        ("stop", Any(Kind::Other)),
        ("seed", Plain),
        ("top_k", Plain),
        ("min_p", Plain),
        ("frequency_penalty", Plain),
        ("presence_penalty", Plain),
        ("repetition_penalty", Plain),
        ("ignore_eos", Plain),
        ("priority", Plain),
        ("previous_input_messages", Refuse(STATE)),
        // Prompts in a form that only the upstream's tokenizer can read.
        ("prompt_token_ids", Refuse(TEXT_ONLY)),
        ("input_ids", Refuse(TEXT_ONLY)),
        ("prompt_embeds", Refuse(TEXT_ONLY)),
        ("input_embeds", Refuse(TEXT_ONLY)),
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

/// How the answer's text is to look.
pub static TEXT: Object = Object {
    required: &[],
    fields: &[
        ("format", Group(Kind::Other, &Tagged(FORMATS, FORMATS_ONLY))),
        ("verbosity", OneOf(&["low", "medium", "high"])),
    ],
};

static STREAM_OPTIONS: Object = Object { required: &[], fields: &[("include_obfuscation", Plain)] };

static CACHE: Object = Object {
    required: &[],
    fields: &[
        ("mode", OneOf(&["implicit", "explicit"])),
        ("ttl", LIFETIME),
        ("prewarm", Plain),
        ("comparison_response_id", Kept(STATE)),
    ],
};

static MODERATION: Object =
    Object { required: &[], fields: &[("model", Rule::OPEN_WORD), ("policy", Object(&POLICY))] };

static POLICY: Object = Object { required: &[], fields: &[("input", Object(&MODE)), ("output", Object(&MODE))] };

static MODE: Object = Object { required: &[], fields: &[("mode", OneOf(&["score", "block"]))] };
