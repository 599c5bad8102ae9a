//! The members of an answer.

use super::{HARMS, ROLES, THRESHOLDS, call, part, result};
use crate::text::Kind;
use crate::wire::ids::is_opaque;
use crate::wire::shape::{Object, Rule};
use Rule::*;

/// A whole answer, an event of a stream, or an error.
pub const ANSWER: Rule = TwoNames(&Object(&BODY));

static BODY: Object = Object {
    required: &[],
    fields: &[
        ("candidates", Turns(&Object(&CANDIDATE))),
        ("promptFeedback", Apart(&Object(&FEEDBACK))),
        ("usageMetadata", Object(&USAGE)),
        ("modelVersion", Rule::OPEN_WORD),
        ("responseId", Rule::OPEN_WORD),
        ("createTime", Like(is_time)),
        ("modelStatus", Apart(&Object(&MODEL_STATUS))),
        ("error", Apart(&ByType(Some(&Text(Kind::Other)), None, Some(&Object(&ERROR))))),
    ],
};

static ERROR: Object = Object {
    required: &[],
    fields: &[
        ("code", Plain),
        ("message", Text(Kind::Other)),
        ("status", Rule::OPEN_WORD),
        ("details", Any(Kind::Other)),
    ],
};

static CANDIDATE: Object = Object {
    required: &[],
    fields: &[
        ("index", Plain),
        ("content", Object(&CONTENT)),
        ("finishReason", FINISH),
        ("finishMessage", Apart(&Text(Kind::Other))),
        ("tokenCount", Plain),
        ("avgLogprobs", Plain),
        ("safetyRatings", RATINGS),
        ("citationMetadata", Apart(&Object(&CITATIONS))),
        ("groundingMetadata", Apart(&Object(&GROUNDING))),
        ("urlContextMetadata", Apart(&Object(&URLS))),
        ("continuationToken", Like(is_opaque)),
        // Checked against the text when written, and dropped where it differs.
        ("logprobsResult", Unread),
    ],
};

const FINISH: Rule = OneOf(&[
    "FINISH_REASON_UNSPECIFIED",
    "STOP",
    "MAX_TOKENS",
    "SAFETY",
    "RECITATION",
    "LANGUAGE",
    "OTHER",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MALFORMED_FUNCTION_CALL",
    "MALFORMED_RESPONSE",
    "UNEXPECTED_TOOL_CALL",
    "TOO_MANY_TOOL_CALLS",
    "MISSING_THOUGHT_SIGNATURE",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION",
    "IMAGE_OTHER",
    "NO_IMAGE",
    "MODEL_ARMOR",
    "ESCALATION",
    "CONTINUATION",
    "PUP_LIMITED_DISABLED",
]);

/// The texts of all parts are one: the SDK shows them so, over all events, and leaves out what is thought.
static CONTENT: Object = Object {
    required: &[],
    fields: &[("role", ROLES), ("parts", One(&ByType(None, Some(&Each(&PART)), Some(&PART))))],
};

const PART: Rule = If("thought", &Object(&THOUGHT), &Object(&SAID));

static SAID: Object = Object { required: &[], fields: &part(Text(Kind::Content), CALL, RESULT) };
static THOUGHT: Object = Object { required: &[], fields: &part(Text(Kind::Reasoning), CALL, RESULT) };

const CALL: Rule = Apart(&Object(&Object { required: &[], fields: &call(Rule::OPEN_WORD) }));
const RESULT: Rule = Apart(&Object(&Object { required: &[], fields: &result(Rule::OPEN_WORD) }));

const RATINGS: Rule = Each(&Object(&RATING));

static RATING: Object = Object {
    required: &[],
    fields: &[
        ("category", HARMS),
        ("probability", OneOf(&["HARM_PROBABILITY_UNSPECIFIED", "NEGLIGIBLE", "LOW", "MEDIUM", "HIGH"])),
        ("probabilityScore", Plain),
        (
            "severity",
            OneOf(&[
                "HARM_SEVERITY_UNSPECIFIED",
                "HARM_SEVERITY_NEGLIGIBLE",
                "HARM_SEVERITY_LOW",
                "HARM_SEVERITY_MEDIUM",
                "HARM_SEVERITY_HIGH",
            ]),
        ),
        ("severityScore", Plain),
        ("overwrittenThreshold", THRESHOLDS),
        ("blocked", Plain),
    ],
};

static FEEDBACK: Object = Object {
    required: &[],
    fields: &[
        (
            "blockReason",
            OneOf(&[
                "BLOCKED_REASON_UNSPECIFIED",
                "BLOCK_REASON_UNSPECIFIED",
                "SAFETY",
                "OTHER",
                "BLOCKLIST",
                "PROHIBITED_CONTENT",
                "IMAGE_SAFETY",
                "MODEL_ARMOR",
                "JAILBREAK",
            ]),
        ),
        ("blockReasonMessage", Text(Kind::Other)),
        ("safetyRatings", RATINGS),
    ],
};

static USAGE: Object = Object {
    required: &[],
    fields: &[
        ("promptTokenCount", Plain),
        ("candidatesTokenCount", Plain),
        ("totalTokenCount", Plain),
        ("thoughtsTokenCount", Plain),
        ("cachedContentTokenCount", Plain),
        ("toolUsePromptTokenCount", Plain),
        ("promptTokensDetails", TOKENS),
        ("candidatesTokensDetails", TOKENS),
        ("cacheTokensDetails", TOKENS),
        ("toolUsePromptTokensDetails", TOKENS),
        (
            "trafficType",
            OneOf(&[
                "TRAFFIC_TYPE_UNSPECIFIED",
                "ON_DEMAND",
                "ON_DEMAND_PRIORITY",
                "ON_DEMAND_FLEX",
                "ON_DEMAND_OFFPEAK",
                "PROVISIONED_THROUGHPUT",
            ]),
        ),
        ("serviceTier", OneOf(&["unspecified", "flex", "standard", "priority"])),
    ],
};

const TOKENS: Rule = Each(&Object(&Object {
    required: &[],
    fields: &[
        ("modality", OneOf(&["MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "VIDEO", "AUDIO", "DOCUMENT"])),
        ("tokenCount", Plain),
    ],
}));

static MODEL_STATUS: Object = Object {
    required: &[],
    fields: &[
        ("message", Text(Kind::Other)),
        (
            "modelStage",
            OneOf(&[
                "MODEL_STAGE_UNSPECIFIED",
                "UNSTABLE_EXPERIMENTAL",
                "EXPERIMENTAL",
                "PREVIEW",
                "STABLE",
                "LEGACY",
                "DEPRECATED",
                "RETIRED",
            ]),
        ),
        ("retirementTime", Like(is_time)),
    ],
};

/// Under the first name in the Gemini API, under the second in Vertex AI.
static CITATIONS: Object = Object { required: &[], fields: &[("citationSources", SOURCES), ("citations", SOURCES)] };

const SOURCES: Rule = Each(&Object(&Object {
    required: &[],
    fields: &[
        ("startIndex", Plain),
        ("endIndex", Plain),
        ("uri", Text(Kind::Other)),
        ("title", Text(Kind::Other)),
        ("license", Text(Kind::Other)),
        (
            "publicationDate",
            Object(&Object { required: &[], fields: &[("year", Plain), ("month", Plain), ("day", Plain)] }),
        ),
    ],
}));

static GROUNDING: Object = Object {
    required: &[],
    fields: &[
        ("webSearchQueries", Each(&Text(Kind::Other))),
        ("imageSearchQueries", Each(&Text(Kind::Other))),
        ("retrievalQueries", Each(&Text(Kind::Other))),
        ("searchEntryPoint", Object(&ENTRY_POINT)),
        ("groundingChunks", Each(&Object(&CHUNK))),
        ("groundingSupports", Each(&Object(&SUPPORT))),
        (
            "retrievalMetadata",
            Object(&Object { required: &[], fields: &[("googleSearchDynamicRetrievalScore", Plain)] }),
        ),
        ("googleMapsWidgetContextToken", Text(Kind::Other)),
    ],
};

static ENTRY_POINT: Object = Object {
    required: &[],
    fields: &[
        ("renderedContent", Text(Kind::Other)),
        // Dropped when written.
        ("sdkBlob", Unread),
    ],
};

/// A page, a picture, a passage or a place: each says where it is, and some what stands there.
static CHUNK: Object =
    Object { required: &[], fields: &[("web", FOUND), ("image", FOUND), ("retrievedContext", FOUND), ("maps", FOUND)] };

const FOUND: Rule = Object(&Object {
    required: &[],
    fields: &[
        ("uri", Text(Kind::Other)),
        ("sourceUri", Text(Kind::Other)),
        ("imageUri", Text(Kind::Other)),
        ("title", Text(Kind::Other)),
        ("domain", Text(Kind::Other)),
        ("text", Text(Kind::Other)),
        ("placeId", Text(Kind::Other)),
        ("documentName", Text(Kind::Other)),
        ("fileSearchStore", Text(Kind::Other)),
        ("mediaId", Text(Kind::Other)),
        ("pageNumber", Plain),
        ("ragChunk", Any(Kind::Other)),
        ("customMetadata", Any(Kind::Other)),
        ("placeAnswerSources", Any(Kind::Other)),
        ("route", Any(Kind::Other)),
    ],
});

static SUPPORT: Object = Object {
    required: &[],
    fields: &[
        ("segment", Object(&SEGMENT)),
        ("groundingChunkIndices", Each(&Plain)),
        ("confidenceScores", Each(&Plain)),
        ("renderedParts", Each(&Plain)),
    ],
};

static SEGMENT: Object = Object {
    required: &[],
    fields: &[("startIndex", Plain), ("endIndex", Plain), ("partIndex", Plain), ("text", Text(Kind::Other))],
};

static URLS: Object = Object {
    required: &[],
    fields: &[(
        "urlMetadata",
        Each(&Object(&Object {
            required: &[],
            fields: &[
                ("retrievedUrl", Text(Kind::Other)),
                (
                    "urlRetrievalStatus",
                    OneOf(&[
                        "URL_RETRIEVAL_STATUS_UNSPECIFIED",
                        "URL_RETRIEVAL_STATUS_SUCCESS",
                        "URL_RETRIEVAL_STATUS_ERROR",
                        "URL_RETRIEVAL_STATUS_PAYWALL",
                        "URL_RETRIEVAL_STATUS_UNSAFE",
                    ]),
                ),
            ],
        })),
    )],
};

/// `2025-10-21T07:28:00.123456Z`.
fn is_time(text: &str) -> bool {
    let form = "dddd-dd-ddTdd:dd:dd";
    let same = |(byte, form): (u8, u8)| if form == b'd' { byte.is_ascii_digit() } else { byte == form };
    let Some((start, rest)) = text.split_at_checked(form.len()) else { return false };
    let fraction = rest.strip_suffix('Z').map(|rest| rest.strip_prefix('.').unwrap_or(rest));
    start.bytes().zip(form.bytes()).all(same)
        && fraction.is_some_and(|digits| digits.len() <= 9 && digits.bytes().all(|b| b.is_ascii_digit()))
}
