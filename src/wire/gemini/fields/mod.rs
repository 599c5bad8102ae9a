//! The members of Gemini's `generateContent`, request and answer, and what each carries. After the SDK's types, those of
//! Vertex AI included. Each stands under the first of its two names.

mod answer;
mod request;

pub use answer::ANSWER;
pub use request::{REQUEST, TOOLS_ONLY};

use crate::text::{Kind, Media};
use crate::wire::ids::is_opaque;
use crate::wire::shape::{Object, Rule, Sort};
use Rule::*;

const TEXT_ONLY: &str = "this route judges text only, and calls of the client's own functions";
const WHOLE_ARGUMENTS: &str = "this route judges the arguments of a call whole";

const ROLES: Rule = OneOf(&["", "user", "model", "function", "tool", "system"]);
const NAME: Rule = Group(Kind::Name, &Fixed(Kind::Name));

const HARMS: Rule = OneOf(&[
    "HARM_CATEGORY_UNSPECIFIED",
    "HARM_CATEGORY_HARASSMENT",
    "HARM_CATEGORY_HATE_SPEECH",
    "HARM_CATEGORY_SEXUALLY_EXPLICIT",
    "HARM_CATEGORY_DANGEROUS_CONTENT",
    "HARM_CATEGORY_CIVIC_INTEGRITY",
    "HARM_CATEGORY_JAILBREAK",
    "HARM_CATEGORY_IMAGE_HATE",
    "HARM_CATEGORY_IMAGE_HARASSMENT",
    "HARM_CATEGORY_IMAGE_DANGEROUS_CONTENT",
    "HARM_CATEGORY_IMAGE_SEXUALLY_EXPLICIT",
]);

const THRESHOLDS: Rule = OneOf(&[
    "HARM_BLOCK_THRESHOLD_UNSPECIFIED",
    "BLOCK_LOW_AND_ABOVE",
    "BLOCK_MEDIUM_AND_ABOVE",
    "BLOCK_ONLY_HIGH",
    "BLOCK_NONE",
    "OFF",
]);

const RESOLUTIONS: Rule = OneOf(&[
    "MEDIA_RESOLUTION_UNSPECIFIED",
    "MEDIA_RESOLUTION_LOW",
    "MEDIA_RESOLUTION_MEDIUM",
    "MEDIA_RESOLUTION_HIGH",
    "MEDIA_RESOLUTION_ULTRA_HIGH",
]);

/// A part of a content. Of the same type are what is thought and what is said, and `thought` tells them apart.
const fn part<'t>(text: Rule<'t>, call: Rule<'t>, result: Rule<'t>) -> [(&'t str, Rule<'t>); 20] {
    [
        ("text", text),
        ("thought", Plain),
        ("thoughtSignature", Like(is_opaque)),
        ("functionCall", call),
        ("functionResponse", result),
        ("executableCode", CODE),
        ("codeExecutionResult", OUTPUT),
        // What the API's own tools were asked and have said.
        ("toolCall", Apart(&Any(Kind::ToolArguments))),
        ("toolResponse", Apart(&Any(Kind::Content))),
        ("partMetadata", Apart(&Any(Kind::Other))),
        ("inlineData", INLINE),
        ("fileData", ADDRESS),
        ("videoMetadata", Pass(Sort::Is(Media::Video), &Apart(&Any(Kind::Other)), TEXT_ONLY)),
        ("mediaResolution", Object(&RESOLUTION)),
        ("mediaProcessing", Refuse(TEXT_ONLY)),
        ("audioTranscription", Refuse(TEXT_ONLY)),
        ("speechMetadata", Refuse(TEXT_ONLY)),
        ("audioMetadata", Refuse(TEXT_ONLY)),
        ("documentMetadata", Refuse(TEXT_ONLY)),
        ("spreadsheetMetadata", Refuse(TEXT_ONLY)),
    ]
}

/// A call of a function.
const fn call(id: Rule) -> [(&'static str, Rule); 5] {
    [
        ("id", id),
        ("name", NAME),
        ("args", Any(Kind::ToolArguments)),
        ("partialArgs", Refuse(WHOLE_ARGUMENTS)),
        ("willContinue", Plain),
    ]
}

/// What a function has said.
const fn result(id: Rule) -> [(&'static str, Rule); 6] {
    [
        ("id", id),
        ("name", NAME),
        ("response", Any(Kind::Content)),
        ("willContinue", Plain),
        ("scheduling", OneOf(&["SCHEDULING_UNSPECIFIED", "SILENT", "WHEN_IDLE", "INTERRUPT"])),
        // Pictures and files.
        ("parts", Refuse(TEXT_ONLY)),
    ]
}

const CODE: Rule = Apart(&Object(&EXECUTABLE));
const OUTPUT: Rule = Apart(&Object(&EXECUTED));

static EXECUTABLE: Object = Object {
    required: &[],
    fields: &[
        ("id", Group(Kind::Other, &Fixed(Kind::Other))),
        ("language", OneOf(&["LANGUAGE_UNSPECIFIED", "PYTHON"])),
        ("code", Group(Kind::ToolArguments, &Text(Kind::ToolArguments))),
    ],
};

static EXECUTED: Object = Object {
    required: &[],
    fields: &[
        ("id", Group(Kind::Other, &Fixed(Kind::Other))),
        ("outcome", OneOf(&["OUTCOME_UNSPECIFIED", "OUTCOME_OK", "OUTCOME_FAILED", "OUTCOME_DEADLINE_EXCEEDED"])),
        // Not of the kind of what is said: no reader joins the two.
        ("output", Group(Kind::Other, &Text(Kind::Other))),
    ],
};

const INLINE: Rule = Pass(Sort::By("mimeType"), &Object(&BYTES), TEXT_ONLY);
const ADDRESS: Rule = Pass(Sort::By("mimeType"), &Object(&STORED), TEXT_ONLY);

static BYTES: Object =
    Object { required: &[], fields: &[("mimeType", BlobType), ("data", Blob), ("displayName", TITLE)] };
static STORED: Object =
    Object { required: &[], fields: &[("mimeType", BlobType), ("fileUri", Blob), ("displayName", TITLE)] };
const TITLE: Rule = Apart(&Group(Kind::Other, &Text(Kind::Other)));

static RESOLUTION: Object = Object { required: &[], fields: &[("level", RESOLUTIONS), ("numTokens", Plain)] };
