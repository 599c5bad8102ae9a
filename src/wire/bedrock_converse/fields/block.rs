//! The blocks of a request's messages.
//!
//! What is said stands bare, so that the texts of a message are joined; what stands around it is in groups of its own, and
//! parts nothing.

use super::{CALLERS, CITING, LOCATION, STATUSES, TTLS};
use crate::text::Kind;
use crate::wire::ids::is_opaque;
use crate::wire::shape::{Object, Rule};
use Rule::*;

const BLOCKS_ONLY: &str = "this route judges text: `text`, `reasoningContent`, `guardContent`, `citationsContent`, calls of \
                           tools and their results, `searchResult` and documents of text";
const RESULTS_ONLY: &str = "this route judges results of text: `text`, `json`, `searchResult` and documents of text";
const DOCUMENTS_ONLY: &str = "this route judges documents of text only: `text` and `content`";
const SYSTEM_ONLY: &str = "this route judges text only: a system prompt is `text` or `guardContent`";
const TEXT_ONLY: &str = "this route judges text only";
const OPAQUE: &str = "this route judges what it can read, and this is encrypted";

/// What a message says.
pub const CONTENT: Rule = Joined(&Union(&BLOCK, BLOCKS_ONLY));

/// What the system's prompt says.
pub const SYSTEM: Rule = Joined(&Union(&SYSTEM_BLOCK, SYSTEM_ONLY));

pub const CACHE_POINT: Rule = Object(&CACHE);
static CACHE: Object = Object { required: &[], fields: &[("type", OneOf(&["default"])), ("ttl", TTLS)] };

static SYSTEM_BLOCK: Object = Object {
    required: &[],
    fields: &[("text", Text(Kind::Content)), ("guardContent", GUARDED), ("cachePoint", CACHE_POINT)],
};

/// Not there: `image`, `video`, `audio`, and what changes the tools.
static BLOCK: Object = Object {
    required: &[],
    fields: &[
        ("text", Text(Kind::Content)),
        ("guardContent", GUARDED),
        ("cachePoint", CACHE_POINT),
        ("reasoningContent", Union(&REASONING, OPAQUE)),
        ("citationsContent", Object(&CITED)),
        ("toolUse", Object(&CALL)),
        ("toolResult", Object(&RESULT)),
        ("document", Object(&DOCUMENT)),
        ("searchResult", Object(&SEARCH_RESULT)),
    ],
};

/// What the service's own guardrails are to look at.
const GUARDED: Rule = Union(&GUARDED_KINDS, TEXT_ONLY);
static GUARDED_KINDS: Object = Object { required: &[], fields: &[("text", Object(&GUARDED_TEXT))] };
static GUARDED_TEXT: Object = Object {
    required: &[],
    fields: &[
        ("text", Text(Kind::Content)),
        ("qualifiers", Each(&OneOf(&["grounding_source", "query", "guard_content"]))),
    ],
};

static REASONING: Object = Object { required: &[], fields: &[("reasoningText", Object(&REASONING_TEXT))] };
static REASONING_TEXT: Object = Object {
    required: &[],
    fields: &[("text", Group(Kind::Reasoning, &Text(Kind::Reasoning))), ("signature", Like(is_opaque))],
};

static CALL: Object = Object {
    required: &[],
    fields: &[("toolUseId", ID), ("name", NAME), ("input", Any(Kind::ToolArguments)), ("type", CALLERS)],
};

static RESULT: Object = Object {
    required: &[],
    fields: &[
        ("toolUseId", ID),
        ("content", Each(&Union(&WITHIN, RESULTS_ONLY))),
        ("status", STATUSES),
        ("type", Rule::OPEN_WORD),
    ],
};

/// What stands in a result.
static WITHIN: Object = Object {
    required: &[],
    fields: &[
        ("text", Text(Kind::Content)),
        ("json", Any(Kind::Content)),
        ("document", Object(&DOCUMENT)),
        ("searchResult", Object(&SEARCH_RESULT)),
    ],
};

static DOCUMENT: Object = Object {
    required: &[],
    fields: &[
        ("format", OneOf(&["pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"])),
        ("name", ASIDE),
        ("source", Union(&SOURCE, DOCUMENTS_ONLY)),
        ("context", ASIDE),
        ("citations", Object(&CITING)),
    ],
};

/// Not there: `bytes` and `s3Location`.
static SOURCE: Object = Object { required: &[], fields: &[("text", Text(Kind::Content)), ("content", TEXTS)] };

static SEARCH_RESULT: Object = Object {
    required: &[],
    fields: &[("source", ASIDE), ("title", ASIDE), ("content", TEXTS), ("citations", Object(&CITING))],
};

static CITED: Object = Object {
    required: &[],
    fields: &[("content", TEXTS), ("citations", Group(Kind::Other, &Each(&Object(&CITATION))))],
};

static CITATION: Object = Object {
    required: &[],
    fields: &[
        ("title", Text(Kind::Other)),
        ("source", Text(Kind::Other)),
        ("sourceContent", Each(&Union(&QUOTE, TEXT_ONLY))),
        ("location", Object(&LOCATION)),
    ],
};
static QUOTE: Object = Object { required: &[], fields: &[("text", Text(Kind::Other))] };

const TEXTS: Rule = Each(&Union(&ONE_TEXT, TEXT_ONLY));
static ONE_TEXT: Object = Object { required: &[], fields: &[("text", Text(Kind::Content))] };

const ID: Rule = Group(Kind::Other, &Fixed(Kind::Other));
const NAME: Rule = Group(Kind::Name, &Fixed(Kind::Name));
/// A text that stands beside what is said.
const ASIDE: Rule = Group(Kind::Other, &Text(Kind::Other));
