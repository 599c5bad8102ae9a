//! The members of OpenAI's moderations, request and answer, and what each carries. After the SDK's types.

use crate::text::{Kind, Role};
use crate::wire::ids::is_id;
use crate::wire::openai::fields::ERROR;
use crate::wire::shape::{Object, Rule, TOKEN_IDS};
use Rule::*;

const TEXT_ONLY: &str = "this route judges text only: `text`";

/// The body of a request.
pub static REQUEST: Object =
    Object { required: &["input"], fields: &[("input", By(Role::User, &INPUT)), ("model", Rule::OPEN_WORD)] };

/// One text, several, or parts of one.
const INPUT: Rule = IfNumber(&NO_TOKENS, &ByType(Some(&Text(Kind::Content)), Some(&Joined(&PART)), None));
const PART: Rule = IfNumber(
    &NO_TOKENS,
    &ByType(Some(&Text(Kind::Content)), Some(&NO_TOKENS), Some(&Tagged(&[("text", &TEXT_PART)], TEXT_ONLY))),
);
const NO_TOKENS: Rule = Refuse(TOKEN_IDS);

static TEXT_PART: Object = Object {
    required: &["text"],
    fields: &[("type", OneOf(&["text"])), ("text", Text(Kind::Content)), ("image_url", Refuse(TEXT_ONLY))],
};

/// An answer, or an error.
pub static ANSWER: Object = Object {
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
