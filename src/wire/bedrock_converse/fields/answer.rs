//! The members of an answer: a whole one, an event of a stream, an error.
//!
//! Clients join the text of all blocks, and so do their readers: it has one place, whatever its block, and so has the
//! reasoning. Everything else has the place of its block, whatever event brings it.

use super::trace::TRACE;
use super::{CALLERS, LOCATION, PERFORMANCE, ROLES, STATUSES, TIER, TTLS};
use crate::text::Kind;
use crate::wire::ids::{is_id, is_opaque};
use crate::wire::shape::{Hop, Object, Rule};
use Rule::*;

const TEXT_ONLY: &str = "this route judges text only, and this says what no detector reads";

const TEXT: Rule = At(&[Hop::Key("content"), Hop::Key("text")], &Text(Kind::Content));
const REASONING: Rule = At(&[Hop::Key("content"), Hop::Key("reasoning")], &Text(Kind::Reasoning));

/// The block that an event of a stream speaks of.
const THE_BLOCK: &[Hop] = &[Hop::Key("content"), Hop::Index("contentBlockIndex")];
const ITS_INPUT: &[Hop] = &[Hop::Key("content"), Hop::Index("contentBlockIndex"), Hop::Key("input")];

/// The types of a stream's events.
pub const EVENTS: &[&str] =
    &["messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"];

/// Any answer.
pub static ANSWER: Object = Object {
    required: &[],
    fields: &[
        // What a message of a stream is.
        (":event-type", OneOf(EVENTS)),
        (":exception-type", OneOf(STREAM_EXCEPTIONS)),
        (":error-code", Rule::OPEN_WORD),
        (":error-message", Text(Kind::Other)),
        // Of an answer.
        ("output", Object(&OUTPUT)),
        ("stopReason", STOPS),
        ("usage", Object(&USAGE)),
        ("metrics", Object(&METRICS)),
        ("additionalModelResponseFields", Any(Kind::Other)),
        ("trace", Object(&TRACE)),
        ("performanceConfig", Object(&PERFORMANCE)),
        ("serviceTier", Object(&TIER)),
        // Of an event.
        ("role", ROLES),
        ("contentBlockIndex", Plain),
        ("start", At(THE_BLOCK, &Object(&START))),
        ("delta", At(THE_BLOCK, &Object(&DELTA))),
        // Of the service's other operations: base64 of what their models say.
        ("bytes", Refuse(TEXT_ONLY)),
        // Random letters, taken out when written.
        ("p", Unread),
        // Of an error.
        ("__type", OneOf(EXCEPTIONS)),
        ("code", OneOf(EXCEPTIONS)),
        ("message", Text(Kind::Other)),
        ("Message", Text(Kind::Other)),
        ("originalMessage", Text(Kind::Other)),
        ("originalStatusCode", Plain),
        ("resourceName", Text(Kind::Other)),
    ],
};

const STREAM_EXCEPTIONS: &[&str] = &[
    "internalServerException",
    "modelStreamErrorException",
    "validationException",
    "throttlingException",
    "serviceUnavailableException",
];

const EXCEPTIONS: &[&str] = &[
    "AccessDeniedException",
    "InternalServerException",
    "ModelErrorException",
    "ModelNotReadyException",
    "ModelStreamErrorException",
    "ModelTimeoutException",
    "ResourceNotFoundException",
    "ServiceUnavailableException",
    "ThrottlingException",
    "ValidationException",
];

const STOPS: Rule = OneOf(&[
    "end_turn",
    "tool_use",
    "max_tokens",
    "stop_sequence",
    "guardrail_intervened",
    "content_filtered",
    "malformed_model_output",
    "malformed_tool_use",
    "model_context_window_exceeded",
]);

static OUTPUT: Object = Object { required: &[], fields: &[("message", Object(&MESSAGE))] };
static MESSAGE: Object = Object { required: &[], fields: &[("role", ROLES), ("content", Each(&Object(&BLOCK)))] };

/// A block of a whole answer.
static BLOCK: Object = Object {
    required: &[],
    fields: &[
        ("text", TEXT),
        ("reasoningContent", Object(&THOUGHT)),
        ("citationsContent", Object(&CITED)),
        ("toolUse", Object(&CALL)),
        ("toolResult", Object(&RESULT)),
        ("searchResult", Object(&FOUND)),
        ("guardContent", Object(&GUARDED)),
        ("cachePoint", Object(&CACHE)),
        ("document", Refuse(TEXT_ONLY)),
        ("image", Refuse(TEXT_ONLY)),
        ("video", Refuse(TEXT_ONLY)),
        ("audio", Refuse(TEXT_ONLY)),
        ("toolAddition", Object(&CHANGE)),
        ("toolRemoval", Object(&CHANGE)),
    ],
};

/// How a block of a stream begins.
static START: Object = Object {
    required: &[],
    fields: &[("toolUse", Object(&CALL)), ("toolResult", Object(&RESULT)), ("image", Refuse(TEXT_ONLY))],
};

/// What an event adds to a block.
static DELTA: Object = Object {
    required: &[],
    fields: &[
        ("text", TEXT),
        ("toolUse", Object(&Object { required: &[], fields: &[("input", At(ITS_INPUT, &Arguments))] })),
        // The pieces of a result are one text.
        ("toolResult", One(&Each(&Object(&WITHIN)))),
        ("reasoningContent", Object(&THOUGHT)),
        ("citation", Object(&CITATION)),
        ("image", Refuse(TEXT_ONLY)),
    ],
};

static CALL: Object = Object {
    required: &[],
    fields: &[
        ("toolUseId", Like(is_id)),
        ("name", Fixed(Kind::Name)),
        ("input", Any(Kind::ToolArguments)),
        ("type", CALLERS),
    ],
};

/// What a tool of the service answers.
static RESULT: Object = Object {
    required: &[],
    fields: &[
        ("toolUseId", Like(is_id)),
        ("content", Each(&Object(&WITHIN))),
        ("status", STATUSES),
        ("type", Rule::OPEN_WORD),
    ],
};

static WITHIN: Object = Object {
    required: &[],
    fields: &[
        ("text", Text(Kind::Content)),
        ("json", Any(Kind::Content)),
        ("searchResult", Object(&FOUND)),
        ("document", Refuse(TEXT_ONLY)),
        ("image", Refuse(TEXT_ONLY)),
        ("video", Refuse(TEXT_ONLY)),
    ],
};

static FOUND: Object = Object {
    required: &[],
    fields: &[
        ("source", Text(Kind::Other)),
        ("title", Text(Kind::Other)),
        ("content", Each(&Object(&QUOTE))),
        ("citations", Object(&super::CITING)),
    ],
};

/// Whole, and in pieces.
static THOUGHT: Object = Object {
    required: &[],
    fields: &[
        ("reasoningText", Object(&THOUGHT_TEXT)),
        ("text", REASONING),
        ("signature", Like(is_opaque)),
        ("redactedContent", Like(is_opaque)),
    ],
};
static THOUGHT_TEXT: Object = Object { required: &[], fields: &[("text", REASONING), ("signature", Like(is_opaque))] };

static CITED: Object = Object {
    required: &[],
    fields: &[
        ("content", Each(&Object(&Object { required: &[], fields: &[("text", TEXT)] }))),
        ("citations", Each(&Object(&CITATION))),
    ],
};

static CITATION: Object = Object {
    required: &[],
    fields: &[
        ("title", Text(Kind::Other)),
        ("source", Text(Kind::Other)),
        ("sourceContent", Each(&Object(&QUOTE))),
        ("location", Object(&LOCATION)),
    ],
};
static QUOTE: Object = Object { required: &[], fields: &[("text", Text(Kind::Other))] };

static GUARDED: Object = Object {
    required: &[],
    fields: &[
        (
            "text",
            Object(&Object {
                required: &[],
                fields: &[
                    ("text", Text(Kind::Content)),
                    ("qualifiers", Each(&OneOf(&["grounding_source", "query", "guard_content"]))),
                ],
            }),
        ),
        ("image", Refuse(TEXT_ONLY)),
    ],
};
static CACHE: Object = Object { required: &[], fields: &[("type", OneOf(&["default"])), ("ttl", TTLS)] };
static CHANGE: Object = Object { required: &[], fields: &[("tool", Any(Kind::ToolDefinition))] };

static USAGE: Object = Object {
    required: &[],
    fields: &[
        ("inputTokens", Plain),
        ("outputTokens", Plain),
        ("totalTokens", Plain),
        ("cacheReadInputTokens", Plain),
        ("cacheWriteInputTokens", Plain),
        ("cacheDetails", Each(&Object(&Object { required: &[], fields: &[("ttl", TTLS), ("inputTokens", Plain)] }))),
    ],
};

static METRICS: Object = Object { required: &[], fields: &[("latencyMs", Plain)] };
