//! OpenAI's embeddings: `POST /v1/embeddings`. After the SDK's types.
//!
//! Each text of a request is judged by itself, as the model reads it. An answer is numbers, as JSON or as base64: what has the
//! shape of a vector is not judged, whatever else stands in its place is.

mod vector;

use crate::text::{Kind, Role};
use crate::wire::ids::is_id;
use crate::wire::openai::fields::{ERROR, USAGE};
use crate::wire::openai::whole::Whole;
use crate::wire::openai_embeddings::vector::is_vector;
use crate::wire::shape::{Bounds, Object, Rule, TOKEN_IDS};
use Rule::*;

/// The dialect.
pub const fn dialect(bounds: Bounds) -> Whole {
    Whole { name: "openai_embeddings", request: &REQUEST, answer: &ANSWER, bounds }
}

const INPUT_ONLY: &str = "this route judges text only: an `input` that is a string or several";

/// The body of a request.
static REQUEST: Object = Object {
    required: &["input"],
    fields: &[
        ("input", INPUT),
        ("model", Rule::OPEN_WORD),
        ("dimensions", Plain),
        ("encoding_format", OneOf(&["float", "base64"])),
        ("user", Text(Kind::Other)),
        ("add_special_tokens", Plain),
        ("truncate_prompt_tokens", Plain),
        ("normalize", Plain),
        // Whole conversations, with pictures and templates.
        ("messages", Refuse(INPUT_ONLY)),
        ("chat_template", Refuse(INPUT_ONLY)),
        ("image", Refuse(INPUT_ONLY)),
        ("images", Refuse(INPUT_ONLY)),
        ("prompt_token_ids", Refuse(INPUT_ONLY)),
        ("input_ids", Refuse(INPUT_ONLY)),
        ("input_embeds", Refuse(INPUT_ONLY)),
        ("prompt_embeds", Refuse(INPUT_ONLY)),
        ("multi_modal_data", Refuse(INPUT_ONLY)),
    ],
};

/// One text, or several that have a vector each.
const INPUT: Rule = IfNumber(&NO_TOKENS, &ByType(Some(&SAID), Some(&Each(&IfNumber(&NO_TOKENS, &ONE))), None));
const ONE: Rule = ByType(Some(&SAID), Some(&NO_TOKENS), None);
const SAID: Rule = By(Role::User, &Text(Kind::Content));
const NO_TOKENS: Rule = Refuse(TOKEN_IDS);

/// An answer, or an error.
static ANSWER: Object = Object {
    required: &[],
    fields: &[
        ("id", Like(is_id)),
        ("object", OneOf(&["list", "error"])),
        ("created", Plain),
        ("model", Rule::OPEN_WORD),
        ("data", Each(&Object(&EMBEDDING))),
        ("usage", Object(&USAGE)),
        ("error", ERROR),
    ],
};

static EMBEDDING: Object = Object {
    required: &[],
    fields: &[
        ("object", OneOf(&["embedding"])),
        ("index", Plain),
        ("embedding", ByType(Some(&Like(is_vector)), Some(&Each(&Float)), None)),
    ],
};

#[cfg(test)]
mod tests;
