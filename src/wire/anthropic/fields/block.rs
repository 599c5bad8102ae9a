//! The blocks of a request's messages.
//!
//! All types have one table: a reader that goes by the members and not by the type sees nothing else. What is said stands bare,
//! so that the texts of a message are joined; what stands around it is in groups of its own, and parts nothing.

use super::request::TOOL;
use super::{CALLERS, CITATIONS, CITING, FAILURES, FALLBACK, FILES, STOPS, TRIGGER};
use crate::text::{Kind, Media};
use crate::wire::ids::is_opaque;
use crate::wire::shape::{Object, Rule, Sort};
use Rule::*;

const BLOCKS_ONLY: &str =
    "this route judges text: `text`, `thinking`, calls of tools and their results, and documents of text";
const RESULTS_ONLY: &str = "this route judges results of text: `text`, `search_result` and documents of text";
const DOCUMENTS_ONLY: &str = "this route judges documents of text only: `text` and `content`";
const IMAGES_ONLY: &str = "this route takes an image that stands in the request, or its address: `base64` and `url`";
const SYSTEM_ONLY: &str = "this route judges text only: a system prompt is `text`";
const TEXT_ONLY: &str = "this route judges text only";
const OPAQUE: &str = "this route judges what it can read, and this is encrypted";
const KEPT: &str = "this route judges what stands in the request, and not a file that the upstream keeps";
const TOOL_CHANGES: &str = "this route judges the tools in `tools` only";

/// What a message says.
pub const CONTENT: Rule = ByType(Some(&Text(Kind::Content)), Some(&Joined(&SAID)), None);

const SAID: Rule = PassTyped(&[("image", Media::Image, &PICTURE)], &Tagged(BLOCKS, BLOCKS_ONLY));

/// What the system's prompt says.
pub const SYSTEM: Rule =
    ByType(Some(&Text(Kind::Content)), Some(&Joined(&Tagged(&[("text", &BLOCK)], SYSTEM_ONLY))), None);

pub const CACHE_CONTROL: Rule = Object(&CACHE);

static CACHE: Object =
    Object { required: &[], fields: &[("type", OneOf(&["ephemeral"])), ("ttl", OneOf(&["5m", "1h"]))] };

/// Blocks of media in a result.
static PICTURES: &[(&str, Media, &Object)] = &[("image", Media::Image, &PICTURE)];

/// The types of blocks in a message. Not there: `redacted_thinking`, `container_upload`, and what changes the tools.
pub const BLOCKS: &[(&str, &Object)] = &[
    ("text", &BLOCK),
    ("thinking", &BLOCK),
    ("tool_use", &BLOCK),
    ("tool_result", &BLOCK),
    ("search_result", &BLOCK),
    ("document", &BLOCK),
    ("server_tool_use", &BLOCK),
    ("web_search_tool_result", &BLOCK),
    ("web_fetch_tool_result", &BLOCK),
    ("code_execution_tool_result", &BLOCK),
    ("bash_code_execution_tool_result", &BLOCK),
    ("text_editor_code_execution_tool_result", &BLOCK),
    ("tool_search_tool_result", &BLOCK),
    ("advisor_tool_result", &BLOCK),
    ("mcp_tool_use", &BLOCK),
    ("mcp_tool_result", &BLOCK),
    ("mcp_tool_listing", &BLOCK),
    ("compaction", &BLOCK),
    ("fallback", &BLOCK),
];

/// What stands in such a block.
static WITHIN: Rule = PassTyped(PICTURES, &Tagged(RESULTS, RESULTS_ONLY));
static RESULTS: &[(&str, &Object)] = &[
    ("text", &BLOCK),
    ("document", &BLOCK),
    ("search_result", &BLOCK),
    ("tool_reference", &BLOCK),
    ("browser_state", &BLOCK),
    ("web_search_result", &BLOCK),
    ("web_search_tool_result_error", &BLOCK),
    ("web_fetch_result", &BLOCK),
    ("web_fetch_tool_result_error", &BLOCK),
    ("code_execution_result", &BLOCK),
    ("code_execution_output", &OUTPUT),
    ("code_execution_tool_result_error", &BLOCK),
    ("bash_code_execution_result", &BLOCK),
    ("bash_code_execution_output", &OUTPUT),
    ("bash_code_execution_tool_result_error", &BLOCK),
    ("text_editor_code_execution_view_result", &BLOCK),
    ("text_editor_code_execution_create_result", &BLOCK),
    ("text_editor_code_execution_str_replace_result", &BLOCK),
    ("text_editor_code_execution_tool_result_error", &BLOCK),
    ("tool_search_tool_search_result", &BLOCK),
    ("tool_search_tool_result_error", &BLOCK),
    ("advisor_result", &BLOCK),
    ("advisor_tool_result_error", &BLOCK),
];

/// The members of a block, by what its source and the id of a file may be.
macro_rules! block {
    ($source:expr, $file:expr) => {
        &[
            // One of the lists, or the block is refused.
            ("type", Unread),
            ("text", Text(Kind::Content)),
            ("content", ByType(Some(&Text(Kind::Content)), Some(&Each(&WITHIN)), Some(&WITHIN))),
            ("cache_control", CACHE_CONTROL),
            ("citations", ByType(None, Some(&Group(Kind::Other, &Each(&Object(&CITATION)))), Some(&Object(&CITING)))),
            ("thinking", Group(Kind::Reasoning, &Text(Kind::Reasoning))),
            ("signature", Like(is_opaque)),
            // Calls and what names them.
            ("id", ID),
            ("tool_use_id", ID),
            ("name", NAME),
            ("input", Any(Kind::ToolArguments)),
            ("caller", Group(Kind::Other, &Object(&CALLER))),
            ("toolset_name", NAME),
            ("server_name", NAME),
            ("mcp_server_name", NAME),
            ("tool_name", NAME),
            ("tools", Each(&Group(Kind::ToolDefinition, &Object(&TOOL)))),
            ("tool_references", Each(&WITHIN)),
            // Results.
            ("is_error", Plain),
            ("error_code", FAILURES),
            ("stdout", Text(Kind::Content)),
            ("stderr", Text(Kind::Content)),
            ("return_code", Plain),
            ("file_id", $file),
            ("file_type", FILES),
            ("is_file_update", Plain),
            ("lines", Each(&Text(Kind::Content))),
            ("num_lines", Plain),
            ("start_line", Plain),
            ("total_lines", Plain),
            ("new_lines", Plain),
            ("new_start", Plain),
            ("old_lines", Plain),
            ("old_start", Plain),
            ("stop_reason", STOPS),
            ("tabs", Any(Kind::Content)),
            ("state_changes", Any(Kind::Content)),
            // Documents, and what is found.
            ("source", $source),
            ("title", ASIDE),
            ("context", ASIDE),
            ("url", ASIDE),
            ("page_age", ASIDE),
            ("retrieved_at", ASIDE),
            // Models that gave way to others.
            ("from", Object(&FALLBACK)),
            ("to", Object(&FALLBACK)),
            ("trigger", Object(&TRIGGER)),
            // What nobody here can read.
            ("data", Refuse(OPAQUE)),
            ("encrypted_content", Refuse(OPAQUE)),
            ("encrypted_stdout", Refuse(OPAQUE)),
            ("tool_changes", Refuse(TOOL_CHANGES)),
            ("image", Refuse(TEXT_ONLY)),
            ("image_url", Refuse(TEXT_ONLY)),
            ("input_audio", Refuse(TEXT_ONLY)),
            ("audio_url", Refuse(TEXT_ONLY)),
            ("video_url", Refuse(TEXT_ONLY)),
            ("file", Refuse(TEXT_ONLY)),
        ]
    };
}

static BLOCK: Object =
    Object { required: &[], fields: block!(ByType(Some(&ASIDE), None, Some(&DOCUMENT)), Refuse(KEPT)) };
/// A file that a server's tool has written: its id brings nothing.
static OUTPUT: Object = Object { required: &[], fields: block!(ByType(Some(&ASIDE), None, Some(&DOCUMENT)), ID) };
static PICTURE: Object =
    Object { required: &["source"], fields: block!(ByType(None, None, Some(&IMAGE)), Refuse(KEPT)) };

static CALLER: Object = Object { required: &[], fields: &[("type", CALLERS), ("tool_id", Fixed(Kind::Other))] };

const ID: Rule = Group(Kind::Other, &Fixed(Kind::Other));
const NAME: Rule = Group(Kind::Name, &Fixed(Kind::Name));
/// A text that stands beside what is said.
const ASIDE: Rule = Group(Kind::Other, &Text(Kind::Other));

static CITATION: Object = Object {
    required: &[],
    fields: &[
        ("type", CITATIONS),
        ("cited_text", Text(Kind::Other)),
        ("document_title", Text(Kind::Other)),
        ("title", Text(Kind::Other)),
        ("source", Text(Kind::Other)),
        ("url", Text(Kind::Other)),
        ("file_id", Fixed(Kind::Other)),
        ("encrypted_index", Like(is_opaque)),
        ("document_index", Plain),
        ("search_result_index", Plain),
        ("start_char_index", Plain),
        ("end_char_index", Plain),
        ("start_page_number", Plain),
        ("end_page_number", Plain),
        ("start_block_index", Plain),
        ("end_block_index", Plain),
    ],
};

static DOCUMENT: Rule = PassTyped(FILES_HERE, &Tagged(SOURCES, DOCUMENTS_ONLY));
static IMAGE: Rule = PassTyped(IMAGES_HERE, &Tagged(&[], IMAGES_ONLY));

const FILES_HERE: &[(&str, Media, &Object)] = &[("base64", Media::File, &FILE), ("url", Media::File, &FILE)];
const IMAGES_HERE: &[(&str, Media, &Object)] = &[("base64", Media::Image, &BYTES), ("url", Media::Image, &BYTES)];

static FILE: Object = Object { required: &[], fields: &bytes(Sort::Is(Media::File)) };
static BYTES: Object = Object { required: &[], fields: &bytes(Sort::Is(Media::Image)) };

/// A source that is no text.
const fn bytes(sort: Sort) -> [(&'static str, Rule<'static>); 5] {
    [
        ("media_type", BlobType),
        ("data", Pass(sort, &Blob, DOCUMENTS_ONLY)),
        ("url", Pass(sort, &Blob, DOCUMENTS_ONLY)),
        ("content", ASIDE),
        ("file_id", Refuse(DOCUMENTS_ONLY)),
    ]
}

static SOURCES: &[(&str, &Object)] = &[("text", &SOURCE), ("content", &SOURCE)];

static SOURCE: Object = Object {
    required: &[],
    fields: &[
        // One of the list, or the document is refused.
        ("type", Unread),
        ("media_type", OneOf(&["text/plain"])),
        ("data", Text(Kind::Content)),
        ("content", ByType(Some(&Text(Kind::Content)), Some(&Each(&WITHIN)), Some(&WITHIN))),
        ("url", Refuse(DOCUMENTS_ONLY)),
        ("file_id", Refuse(DOCUMENTS_ONLY)),
    ],
};
