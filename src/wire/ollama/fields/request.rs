//! The members of a request.

use super::time::is_span;
use super::{ARGUMENTS, ROLES};
use crate::text::{Kind, Media, Role};
use crate::wire::shape::{Object, Rule, Sort};
use Rule::*;

const TEXT_ONLY: &str = "this route judges text only, and no pictures";
const NO_CONTEXT: &str = "this route judges text only, and `context` is token ids";

/// The body of `/api/chat`. Without messages it loads or unloads a model.
pub static CHAT_REQUEST: Object = Object {
    required: &[],
    fields: &[
        ("messages", Turns(&Object(&MESSAGE))),
        ("tools", Each(&Group(Kind::ToolDefinition, &Object(&TOOL)))),
        ("model", Rule::OPEN_WORD),
        ("stream", Plain),
        ("format", FORMAT),
        ("keep_alive", KEEP_ALIVE),
        ("options", Object(&OPTIONS)),
        ("think", THINK),
        ("truncate", Plain),
        ("shift", Plain),
        ("_debug_render_only", Plain),
        ("logprobs", Plain),
        ("top_logprobs", Plain),
        ("template", NO_TEMPLATE),
    ],
};

/// The body of `/api/generate`.
pub static GENERATE_REQUEST: Object = Object {
    required: &[],
    fields: &[
        ("system", By(Role::System, &Text(Kind::Content))),
        ("prompt", By(Role::User, &Text(Kind::Content))),
        ("suffix", By(Role::User, &Text(Kind::Content))),
        ("model", Rule::OPEN_WORD),
        ("stream", Plain),
        ("format", FORMAT),
        ("keep_alive", KEEP_ALIVE),
        ("options", Object(&OPTIONS)),
        ("think", THINK),
        ("truncate", Plain),
        ("shift", Plain),
        ("_debug_render_only", Plain),
        ("logprobs", Plain),
        ("top_logprobs", Plain),
        // Of models that make pictures.
        ("width", Plain),
        ("height", Plain),
        ("steps", Plain),
        // Read where the head is.
        ("raw", Plain),
        ("template", NO_TEMPLATE),
        ("context", Each(&Refuse(NO_CONTEXT))),
        ("images", IMAGES),
    ],
};

/// Some clients send an empty list with every message.
const IMAGES: Rule = Each(&Pass(Sort::Is(Media::Image), &Blob, TEXT_ONLY));
/// An empty one is none; what else there is, the head refuses.
const NO_TEMPLATE: Rule = OneOf(&[""]);
const FORMAT: Rule = ByType(Some(&OneOf(&["", "json"])), None, Some(&Schema(Kind::Other)));
const KEEP_ALIVE: Rule = IfNumber(&Plain, &Like(is_span));
const THINK: Rule = IfNumber(&Plain, &OneOf(&["low", "medium", "high", "max"]));

static MESSAGE: Object = Object {
    required: &["role"],
    fields: &[
        ("role", ROLES),
        ("content", Text(Kind::Content)),
        ("thinking", Text(Kind::Reasoning)),
        ("tool_calls", Each(&Object(&CALL))),
        ("tool_name", Fixed(Kind::Name)),
        ("tool_call_id", Fixed(Kind::Other)),
        ("images", IMAGES),
    ],
};

static CALL: Object = Object {
    required: &[],
    fields: &[("id", Fixed(Kind::Other)), ("type", OneOf(&["function"])), ("function", Object(&CALLED))],
};

static CALLED: Object =
    Object { required: &[], fields: &[("index", Plain), ("name", Fixed(Kind::Name)), ("arguments", ARGUMENTS)] };

static TOOL: Object = Object {
    required: &[],
    fields: &[("type", OneOf(&["function"])), ("items", Schema(Kind::ToolDefinition)), ("function", Object(&FUNCTION))],
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

/// Those of today's server, and of older ones and their clients.
static OPTIONS: Object = Object {
    required: &[],
    fields: &[
        ("stop", Any(Kind::Other)),
        ("num_keep", Plain),
        ("seed", Plain),
        ("num_predict", Plain),
        ("draft_num_predict", Plain),
        ("top_k", Plain),
        ("top_p", Plain),
        ("min_p", Plain),
        ("tfs_z", Plain),
        ("typical_p", Plain),
        ("repeat_last_n", Plain),
        ("temperature", Plain),
        ("repeat_penalty", Plain),
        ("presence_penalty", Plain),
        ("frequency_penalty", Plain),
        ("mirostat", Plain),
        ("mirostat_tau", Plain),
        ("mirostat_eta", Plain),
        ("penalize_newline", Plain),
        ("num_ctx", Plain),
        ("num_batch", Plain),
        ("num_gpu", Plain),
        ("main_gpu", Plain),
        ("num_thread", Plain),
        ("numa", Plain),
        ("low_vram", Plain),
        ("f16_kv", Plain),
        ("logits_all", Plain),
        ("vocab_only", Plain),
        ("use_mmap", Plain),
        ("use_mlock", Plain),
        ("embedding_only", Plain),
    ],
};
