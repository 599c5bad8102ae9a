//! The members of an answer.

use super::{CALLED, CALLS, REASONING, ROLES};
use crate::text::{Kind, Media};
use crate::wire::ids::{is_id, is_opaque};
use crate::wire::json::Value;
use crate::wire::openai::fields::{ERROR, FILTERS, FINISH, PROMPT_FILTER, TIERS, USAGE};
use crate::wire::shape::{NO_PICTURE, Object, Rule, Sort};
use Rule::*;

/// A whole answer, or an error.
pub static ANSWER: Object = Object { required: &[], fields: &answer(&Object(&CHOICE)) };

/// A chunk of a stream, or an error.
pub static CHUNK: Object =
    Object { required: &[], fields: &answer(&Where(says_twice, &Object(&PIECE), &Object(&CHOICE))) };

/// Whether a choice of a chunk has a message beside its piece: Perplexity's says there what it has said so far.
pub fn says_twice(choice: Value<'_>) -> bool {
    choice.get("delta").is_some_and(|delta| !delta.is_null()) && choice.get("message").is_some()
}

const fn answer(choice: &'static Rule) -> [(&'static str, Rule<'static>); 18] {
    [
        ("id", Like(is_id)),
        ("object", OneOf(&["chat.completion", "chat.completion.chunk", "error"])),
        ("created", Plain),
        ("model", Rule::OPEN_WORD),
        ("system_fingerprint", Like(is_id)),
        ("service_tier", TIERS),
        ("provider", Rule::OPEN_WORD),
        ("choices", Turns(choice)),
        ("usage", Object(&USAGE)),
        ("prompt_filter_results", PROMPT_FILTERS),
        ("error", ERROR),
        // Dropped when written.
        ("obfuscation", Unread),
        ("prompt_logprobs", Unread),
        ("token_ids", Unread),
        ("prompt_token_ids", Unread),
        ("output_token_ids", Unread),
        ("completion_probabilities", Unread),
        ("tokens", Unread),
    ]
}

const PROMPT_FILTERS: Rule = Each(&Object(&PROMPT_FILTER));

static CHOICE: Object = Object { required: &["index"], fields: &choice(Object(&SAID)) };

/// Its message is dropped when written.
static PIECE: Object = Object { required: &["index"], fields: &choice(Unread) };

const fn choice(message: Rule<'static>) -> [(&'static str, Rule<'static>); 15] {
    [
        ("index", Plain),
        ("delta", Object(&SAID)),
        ("message", message),
        ("text", Text(Kind::Content)),
        ("finish_reason", FINISH),
        ("native_finish_reason", FINISH),
        ("stop_reason", ByType(Some(&FINISH), None, None)),
        ("content_filter_results", Object(&FILTERS)),
        // Checked against the text when written, and dropped where they differ.
        ("logprobs", Unread),
        // Dropped when written.
        ("prompt_logprobs", Unread),
        ("token_ids", Unread),
        ("prompt_token_ids", Unread),
        ("output_token_ids", Unread),
        ("completion_probabilities", Unread),
        ("tokens", Unread),
    ]
}

/// What the assistant says: a message, or a piece of one.
static SAID: Object = Object {
    required: &[],
    fields: &[
        ("role", ROLES),
        ("content", One(&ByType(Some(&Text(Kind::Content)), Some(&Each(&SAID_IN_PARTS)), None))),
        ("refusal", Text(Kind::Refusal)),
        ("reasoning", REASONING),
        ("reasoning_content", REASONING),
        ("reasoning_details", One(&Each(&Object(&DETAIL)))),
        ("tool_calls", Indexed(&Object(&SAID_CALL))),
        ("function_call", Object(&CALLED)),
        ("audio", Object(&AUDIO)),
        ("images", Each(&ByType(Some(&PICTURE), None, Some(&Object(&SAID_PART))))),
        ("image", PICTURE),
        ("annotations", Each(&Object(&ANNOTATION))),
        // What is signed or encrypted: of LiteLLM, xAI, Gemini's own such API.
        ("thinking_blocks", One(&Each(&Object(&THOUGHT)))),
        ("encrypted_content", Like(is_opaque)),
        ("extra_content", Object(&EXTRA)),
        ("provider_specific_fields", Object(&SPECIFIC)),
        // Dropped when written.
        ("token_ids", Unread),
        ("prompt_token_ids", Unread),
        ("output_token_ids", Unread),
        ("tokens", Unread),
    ],
};

/// Some clients join strings, too.
const SAID_IN_PARTS: Rule = ByType(Some(&Text(Kind::Content)), None, Some(&Object(&SAID_PART)));

static SAID_PART: Object = Object {
    required: &[],
    fields: &[
        ("type", OneOf(&["text", "output_text", "refusal", "image_url"])),
        ("index", Plain),
        ("text", Text(Kind::Content)),
        ("refusal", Text(Kind::Refusal)),
        ("image_url", PICTURE),
    ],
};

const PICTURE: Rule = Pass(Sort::Is(Media::Image), &ByType(Some(&Blob), None, Some(&Object(&DRAWN))), NO_PICTURE);

static DRAWN: Object = Object {
    required: &[],
    fields: &[
        ("url", Blob),
        ("b64_json", Blob),
        ("detail", OneOf(&["auto", "low", "high"])),
        ("revised_prompt", Text(Kind::Other)),
    ],
};

/// Thinking, as Anthropic has it.
static THOUGHT: Object = Object {
    required: &[],
    fields: &[
        ("type", OneOf(&["thinking", "redacted_thinking"])),
        ("thinking", Text(Kind::Reasoning)),
        ("signature", Like(is_opaque)),
        ("data", Like(is_opaque)),
    ],
};

static EXTRA: Object = Object { required: &[], fields: &[("google", Object(&SPECIFIC))] };

static SPECIFIC: Object = Object {
    required: &[],
    fields: &[
        ("thought_signature", Like(is_opaque)),
        ("thought_signatures", Each(&Like(is_opaque))),
        ("thinking_blocks", One(&Each(&Object(&THOUGHT)))),
    ],
};

/// A piece of reasoning, as OpenRouter has it.
static DETAIL: Object = Object {
    required: &[],
    fields: &[
        ("type", OneOf(&["reasoning.text", "reasoning.summary", "reasoning.encrypted"])),
        ("text", Text(Kind::Reasoning)),
        ("summary", Text(Kind::Reasoning)),
        ("signature", Like(is_opaque)),
        ("data", Like(is_opaque)),
        (
            "format",
            OneOf(&[
                "unknown",
                "openai-responses-v1",
                "azure-openai-responses-v1",
                "xai-responses-v1",
                "anthropic-claude-v1",
                "google-gemini-v1",
            ]),
        ),
        ("id", Like(is_id)),
        ("index", Plain),
    ],
};

static SAID_CALL: Object = Object {
    required: &[],
    fields: &[
        ("id", Like(is_id)),
        ("type", CALLS),
        ("index", Plain),
        ("function", Object(&CALLED)),
        ("custom", Object(&CALLED)),
        ("extra_content", Object(&EXTRA)),
        ("provider_specific_fields", Object(&SPECIFIC)),
    ],
};

const NO_SOUND: &str = "this route judges text only, and sound says what no detector hears";

static AUDIO: Object = Object {
    required: &[],
    fields: &[
        ("id", Like(is_id)),
        ("expires_at", Plain),
        ("transcript", Text(Kind::Content)),
        ("data", Pass(Sort::Is(Media::Audio), &Blob, NO_SOUND)),
    ],
};

static ANNOTATION: Object = Object {
    required: &[],
    fields: &[("type", OneOf(&["url_citation", "file_citation"])), ("url_citation", Object(&CITATION))],
};

static CITATION: Object = Object {
    required: &[],
    fields: &[
        ("start_index", Plain),
        ("end_index", Plain),
        ("title", Text(Kind::Other)),
        ("url", Text(Kind::Other)),
        ("content", Text(Kind::Other)),
    ],
};
