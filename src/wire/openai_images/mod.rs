//! OpenAI's images from a text: `POST /v1/images/generations`. After the SDK's types.
//!
//! The prompt is judged. A picture is not, so where answers are judged, one that brings a picture is refused: this dialect is
//! for guardrails at the input. An error, and a revised prompt without a picture, pass once they are judged.

use crate::text::{Kind, Media, Role};
use crate::wire::openai::fields::ERROR;
use crate::wire::openai::whole::Whole;
use crate::wire::shape::{Bounds, NO_PICTURE, Object, Rule, Sort};
use Rule::*;

/// The dialect.
pub const fn dialect(bounds: Bounds) -> Whole {
    Whole { name: "openai_images", request: &REQUEST, answer: &ANSWER, bounds }
}

const PROMPT_ONLY: &str = "this route judges text only: a `prompt`";

/// The body of a request.
static REQUEST: Object = Object {
    required: &["prompt"],
    fields: &[
        ("prompt", By(Role::User, &Text(Kind::Content))),
        ("model", Rule::OPEN_WORD),
        ("stream", Plain),
        ("n", Plain),
        ("background", BACKGROUNDS),
        ("complexity", OneOf(&["low", "medium", "high"])),
        ("frame_count", Plain),
        ("frame_duration_ms", Plain),
        ("moderation", OneOf(&["low", "auto"])),
        ("output_compression", Plain),
        ("output_format", FORMATS),
        ("partial_images", Plain),
        ("quality", QUALITIES),
        ("response_format", OneOf(&["url", "b64_json"])),
        ("safety_identifier", Text(Kind::Other)),
        ("size", Like(is_size)),
        ("style", OneOf(&["vivid", "natural"])),
        ("svg", Object(&SVG)),
        ("user", Text(Kind::Other)),
        ("image", Refuse(PROMPT_ONLY)),
        ("images", Refuse(PROMPT_ONLY)),
        ("mask", Refuse(PROMPT_ONLY)),
    ],
};

static SVG: Object =
    Object { required: &[], fields: &[("model", Rule::OPEN_WORD), ("reasoning", Object(&SVG_REASONING))] };

static SVG_REASONING: Object = Object {
    required: &[],
    fields: &[("effort", OneOf(&["none", "minimal", "low", "medium", "high", "xhigh", "max"]))],
};

/// An answer, or an error.
static ANSWER: Object = Object {
    required: &[],
    fields: &[
        ("created", Plain),
        ("background", BACKGROUNDS),
        ("data", Each(&Object(&IMAGE))),
        ("output_format", FORMATS),
        ("quality", QUALITIES),
        ("safety_identifier", Text(Kind::Other)),
        ("size", Like(is_size)),
        ("svg_usage", Object(&USAGE)),
        ("usage", Object(&USAGE)),
        ("error", ERROR),
    ],
};

const PICTURE: Rule = Pass(Sort::Is(Media::Image), &Blob, NO_PICTURE);

static IMAGE: Object = Object {
    required: &[],
    fields: &[("b64_json", PICTURE), ("url", PICTURE), ("revised_prompt", Text(Kind::Content))],
};

static USAGE: Object = Object {
    required: &[],
    fields: &[
        ("model", Rule::OPEN_WORD),
        ("input_tokens", Plain),
        ("output_tokens", Plain),
        ("reasoning_tokens", Plain),
        ("total_tokens", Plain),
        ("input_tokens_details", Object(&TOKENS)),
        ("output_tokens_details", Object(&TOKENS)),
    ],
};

static TOKENS: Object = Object { required: &[], fields: &[("image_tokens", Plain), ("text_tokens", Plain)] };

const BACKGROUNDS: Rule = OneOf(&["transparent", "opaque", "auto"]);
const FORMATS: Rule = OneOf(&["png", "webp", "jpeg", "gif", "svg"]);
const QUALITIES: Rule = OneOf(&["low", "medium", "high", "xhigh", "max", "auto", "standard", "hd"]);

/// `auto`, or width and height: `1024x1536`.
fn is_size(text: &str) -> bool {
    let is_number = |digits: &str| (1..=5).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    text == "auto" || text.split_once('x').is_some_and(|(width, height)| is_number(width) && is_number(height))
}

#[cfg(test)]
mod tests;
