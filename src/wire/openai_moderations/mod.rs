//! OpenAI's moderations: `POST /v1/moderations`. After the SDK's types.
//!
//! The texts of a request are judged joined: they may be parts of one. An answer is flags and scores of known categories.

use crate::text::{Kind, Media, Role};
use crate::wire::ids::is_id;
use crate::wire::openai::fields::ERROR;
use crate::wire::openai::whole::Whole;
use crate::wire::shape::{Bounds, Object, Rule, Sort, TOKEN_IDS};
use Rule::*;

/// The dialect.
pub const fn dialect(bounds: Bounds) -> Whole {
    Whole { name: "openai_moderations", request: &REQUEST, answer: &ANSWER, bounds }
}

const TEXT_ONLY: &str = "this route judges text only: `text`";

/// The body of a request.
static REQUEST: Object =
    Object { required: &["input"], fields: &[("input", By(Role::User, &INPUT)), ("model", Rule::OPEN_WORD)] };

/// One text, several, or parts of one.
const INPUT: Rule = IfNumber(&NO_TOKENS, &ByType(Some(&Text(Kind::Content)), Some(&Joined(&PART)), None));
const PART: Rule = IfNumber(&NO_TOKENS, &ByType(Some(&Text(Kind::Content)), Some(&NO_TOKENS), Some(&OBJECT)));
const NO_TOKENS: Rule = Refuse(TOKEN_IDS);

const OBJECT: Rule =
    PassTyped(&[("image_url", Media::Image, &IMAGE_PART)], &Tagged(&[("text", &TEXT_PART)], TEXT_ONLY));

static TEXT_PART: Object = Object { required: &["text"], fields: PART_FIELDS };
static IMAGE_PART: Object = Object { required: &["image_url"], fields: PART_FIELDS };

/// Of both types: a reader that goes by the members and not by the type sees nothing else.
const PART_FIELDS: &[(&str, Rule)] = &[
    ("type", OneOf(&["text", "image_url"])),
    ("text", Text(Kind::Content)),
    ("image_url", Pass(Sort::Is(Media::Image), &Object(&ADDRESS), TEXT_ONLY)),
];

static ADDRESS: Object = Object { required: &["url"], fields: &[("url", Blob)] };

/// An answer, or an error.
static ANSWER: Object = Object {
    required: &[],
    fields: &[("id", Like(is_id)), ("model", Rule::OPEN_WORD), ("results", Each(&Object(&RESULT))), ("error", ERROR)],
};

static RESULT: Object = Object {
    required: &[],
    fields: &[
        ("flagged", Plain),
        ("categories", Keyed(is_category, &Plain)),
        ("category_scores", Keyed(is_category, &Plain)),
        ("category_applied_input_types", Keyed(is_category, &Each(&OneOf(&["text", "image"])))),
    ],
};

fn is_category(name: &str) -> bool {
    CATEGORIES.contains(&name)
}

const CATEGORIES: &[&str] = &[
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
];

#[cfg(test)]
mod tests;
