//! The members of a request.

use super::{CALLED, CALLS, REASONING, ROLES};
use crate::text::{Kind, Media};
use crate::wire::openai::fields::{
    DEFINITION, NO_GRAMMAR, RESPONSE_FORMAT, STREAM_OPTIONS, SYNTAXES, TIERS, is_token_id,
};
use crate::wire::shape::{Object, Rule, Sort};
use Rule::*;
use Sort::Is;

const TEXT_ONLY: &str = "this route judges text only: `text` and, from the assistant, `refusal`";
const NO_OTHER: &str = "this route judges text only: `text`";
const FILES_HERE: &str = "this route takes a file that stands in the request, and not one that the upstream keeps";
const TOOLS_ONLY: &str = "this route judges calls of the client's own tools only: `function` and `custom`";
const OWN_TEMPLATE: &str =
    "this route judges messages, and a template of the request's own could say anything beside them";

/// The body of a request.
pub static REQUEST: Object = Object {
    required: &["messages"],
    fields: &[
        ("messages", Turns(&Object(&MESSAGE))),
        ("model", Rule::OPEN_WORD),
        ("stream", Plain),
        ("stream_options", Object(&STREAM_OPTIONS)),
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
        ("logit_bias", Keyed(is_token_id, &Plain)),
        (
            "modalities",
            Each(&PassWords(&[("audio", Media::Audio), ("image", Media::Image)], &Only(&["text"], NO_OTHER))),
        ),
        ("reasoning_effort", OneOf(&["none", "minimal", "low", "medium", "high", "xhigh"])),
        ("service_tier", TIERS),
        ("verbosity", OneOf(&["low", "medium", "high"])),
        ("prompt_cache_retention", OneOf(&["in-memory", "in_memory", "24h"])),
        ("tools", Each(&Group(Kind::ToolDefinition, &Tagged(TOOLS, TOOLS_ONLY)))),
        ("functions", Each(&Group(Kind::ToolDefinition, &Object(&FUNCTION)))),
        ("tool_choice", CHOICE_OF_TOOL),
        ("function_call", CHOICE_OF_TOOL),
        ("response_format", RESPONSE_FORMAT),
        ("stop", Any(Kind::Other)),
        ("user", Text(Kind::Other)),
        ("metadata", Any(Kind::Other)),
        ("prediction", Object(&PREDICTION)),
        ("safety_identifier", Text(Kind::Other)),
        ("prompt_cache_key", Text(Kind::Other)),
        ("audio", Pass(Is(Media::Audio), &Object(&VOICE), TEXT_ONLY)),
        // Sampling, as vLLM, SGLang, llama.cpp and OpenRouter extend it.
        ("top_k", Plain),
        ("min_p", Plain),
        ("top_a", Plain),
        ("repetition_penalty", Plain),
        ("length_penalty", Plain),
        ("min_tokens", Plain),
        ("ignore_eos", Plain),
        ("skip_special_tokens", Plain),
        ("include_stop_str_in_output", Plain),
        ("stop_token_ids", Each(&Plain)),
        ("allowed_token_ids", Each(&Plain)),
        // Prompts in a form that only the upstream's tokenizer can read.
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
        ("guided_whitespace_pattern", Refuse(NO_GRAMMAR)),
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
        ("name", Text(Kind::Name)),
        ("refusal", Text(Kind::Refusal)),
        ("reasoning", REASONING),
        ("reasoning_content", REASONING),
        ("reasoning_details", Any(Kind::Reasoning)),
        ("tool_calls", Each(&Object(&CALL))),
        ("function_call", Object(&CALLED)),
        ("tool_call_id", Fixed(Kind::Other)),
        ("cache_control", CACHE_CONTROL),
        ("audio", Refuse(TEXT_ONLY)),
        ("images", Refuse(TEXT_ONLY)),
    ],
};

const CONTENT: Rule = ByType(Some(&Text(Kind::Content)), Some(&Joined(&PART)), None);
const PART: Rule = PassTyped(MEDIA_PARTS, &Tagged(PARTS, TEXT_ONLY));
const CHOICE_OF_TOOL: Rule =
    ByType(Some(&OneOf(&["none", "auto", "required", "any"])), None, Some(&Schema(Kind::ToolDefinition)));
const CACHE_CONTROL: Rule = Object(&CACHE);

static CACHE: Object =
    Object { required: &[], fields: &[("type", OneOf(&["ephemeral"])), ("ttl", OneOf(&["5m", "1h"]))] };

const MEDIA_PARTS: &[(&str, Media, &Object)] = &[
    ("image_url", Media::Image, &IMAGE_PART),
    ("input_audio", Media::Audio, &AUDIO_PART),
    ("audio_url", Media::Audio, &AUDIO_URL_PART),
    ("video_url", Media::Video, &VIDEO_PART),
    ("file", Media::File, &FILE_PART),
];

static IMAGE_PART: Object = Object { required: &["image_url"], fields: PART_FIELDS };
static AUDIO_PART: Object = Object { required: &["input_audio"], fields: PART_FIELDS };
static AUDIO_URL_PART: Object = Object { required: &["audio_url"], fields: PART_FIELDS };
static VIDEO_PART: Object = Object { required: &["video_url"], fields: PART_FIELDS };
static FILE_PART: Object = Object { required: &["file"], fields: PART_FIELDS };

const PARTS: &[(&str, &Object)] = &[("text", &TEXT_PART), ("refusal", &REFUSAL_PART)];

static TEXT_PART: Object = Object { required: &["text"], fields: PART_FIELDS };
static REFUSAL_PART: Object = Object { required: &["refusal"], fields: PART_FIELDS };

/// Of all types: a reader that goes by the members and not by the type sees nothing else.
const PART_FIELDS: &[(&str, Rule)] = &[
    ("type", OneOf(&["text", "refusal"])),
    ("text", Text(Kind::Content)),
    ("refusal", Text(Kind::Refusal)),
    ("cache_control", CACHE_CONTROL),
    ("image_url", Pass(Is(Media::Image), &URL, TEXT_ONLY)),
    ("image", Refuse(TEXT_ONLY)),
    ("image_embeds", Refuse(TEXT_ONLY)),
    ("input_audio", Pass(Is(Media::Audio), &Object(&SOUND), TEXT_ONLY)),
    ("audio_url", Pass(Is(Media::Audio), &URL, TEXT_ONLY)),
    ("video_url", Pass(Is(Media::Video), &URL, TEXT_ONLY)),
    ("file", Pass(Is(Media::File), &Object(&FILE), TEXT_ONLY)),
];

/// Some upstreams take the address alone.
const URL: Rule = ByType(Some(&Blob), None, Some(&Object(&ADDRESS)));
static ADDRESS: Object =
    Object { required: &["url"], fields: &[("url", Blob), ("detail", OneOf(&["auto", "low", "high"]))] };
static SOUND: Object = Object { required: &["data"], fields: &[("data", Blob), ("format", SOUNDS)] };
const SOUNDS: Rule = OneOf(&["wav", "mp3", "flac", "opus", "aac", "pcm16"]);

static FILE: Object = Object {
    required: &[],
    fields: &[
        ("file_data", Blob),
        ("file_id", Refuse(FILES_HERE)),
        ("filename", Group(Kind::Other, &Text(Kind::Other))),
    ],
};

/// How an answer is to sound.
static VOICE: Object = Object {
    required: &[],
    fields: &[("voice", ByType(Some(&Rule::OPEN_WORD), None, Some(&Any(Kind::Other)))), ("format", SOUNDS)],
};

static CALL: Object = Object {
    required: &[],
    fields: &[
        ("id", Fixed(Kind::Other)),
        ("type", CALLS),
        ("index", Plain),
        ("function", Object(&CALLED)),
        ("custom", Object(&CALLED)),
    ],
};

const TOOLS: &[(&str, &Object)] = &[("function", &TOOL), ("custom", &TOOL)];

static TOOL: Object = Object {
    required: &[],
    fields: &[
        ("type", CALLS),
        ("function", Object(&FUNCTION)),
        ("custom", Object(&CUSTOM)),
        ("cache_control", CACHE_CONTROL),
    ],
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
        ("format", Tagged(&[("text", &INPUT), ("grammar", &INPUT)], NO_GRAMMAR)),
    ],
};

/// What a custom tool takes: any text, or one of a grammar, here or one level down.
static INPUT: Object = Object {
    required: &[],
    fields: &[
        ("type", OneOf(&["text", "grammar"])),
        ("syntax", SYNTAXES),
        ("definition", DEFINITION),
        ("grammar", Object(&GRAMMAR)),
    ],
};
static GRAMMAR: Object = Object { required: &[], fields: &[("syntax", SYNTAXES), ("definition", DEFINITION)] };

static PREDICTION: Object = Object { required: &[], fields: &[("type", OneOf(&["content"])), ("content", CONTENT)] };
