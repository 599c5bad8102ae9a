//! The members of a request.

use super::{HARMS, RESOLUTIONS, ROLES, TEXT_ONLY, THRESHOLDS, call, part, result};
use crate::text::{Kind, Media, Role};
use crate::wire::shape::{Object, Rule, Sort};
use Rule::*;
use Sort::Is;

pub const TOOLS_ONLY: &str = "this route judges calls of the client's own functions only: `functionDeclarations`";
const STATE: &str = "this route judges what a request says itself, and not what the upstream has kept";
const NO_OTHER: &str = "this route judges text only: `TEXT`";
const ELSEWHERE: &str = "this route judges answers, and not what goes elsewhere";

pub const REQUEST: Rule = TwoNames(&Object(&BODY));

static BODY: Object = Object {
    required: &["contents"],
    fields: &[
        ("contents", Turns(&Object(&CONTENT))),
        ("systemInstruction", By(Role::System, &Object(&CONTENT))),
        ("model", Rule::OPEN_WORD),
        ("tools", Each(&Group(Kind::ToolDefinition, &Object(&TOOL)))),
        ("toolConfig", Object(&TOOL_CONFIG)),
        ("safetySettings", Each(&Object(&SAFETY))),
        ("generationConfig", Object(&GENERATION)),
        ("cachedContent", Refuse(STATE)),
        ("continuationToken", Refuse(STATE)),
        ("labels", Any(Kind::Other)),
        ("serviceTier", OneOf(&["unspecified", "flex", "standard", "priority"])),
        ("store", Plain),
        ("modelArmorConfig", Any(Kind::Other)),
        ("generationOutputConfig", Refuse(ELSEWHERE)),
    ],
};

static CONTENT: Object = Object { required: &[], fields: &[("role", ROLES), ("parts", PARTS)] };

/// Google's reader takes one part for an array of it.
const PARTS: Rule = ByType(None, Some(&Joined(&PART)), Some(&PART));
const PART: Rule = If("thought", &Object(&THOUGHT), &Object(&SAID));

static SAID: Object = Object { required: &[], fields: &part(Text(Kind::Content), CALL, RESULT) };
static THOUGHT: Object = Object { required: &[], fields: &part(Text(Kind::Reasoning), CALL, RESULT) };

const CALL: Rule = Object(&Object { required: &["name"], fields: &call(ID) });
const RESULT: Rule = Object(&Object { required: &["name"], fields: &result(ID) });
/// The client's to choose, and so a text.
const ID: Rule = Group(Kind::Other, &Fixed(Kind::Other));

static TOOL: Object = Object {
    required: &[],
    fields: &[
        ("functionDeclarations", Each(&Object(&FUNCTION))),
        // What the API's own tools find joins the context behind the proxy.
        ("googleSearch", Refuse(TOOLS_ONLY)),
        ("googleSearchRetrieval", Refuse(TOOLS_ONLY)),
        ("googleMaps", Refuse(TOOLS_ONLY)),
        ("urlContext", Refuse(TOOLS_ONLY)),
        ("codeExecution", Refuse(TOOLS_ONLY)),
        ("fileSearch", Refuse(TOOLS_ONLY)),
        ("computerUse", Refuse(TOOLS_ONLY)),
        ("retrieval", Refuse(TOOLS_ONLY)),
        ("enterpriseWebSearch", Refuse(TOOLS_ONLY)),
        ("parallelAiSearch", Refuse(TOOLS_ONLY)),
        ("exaAiSearch", Refuse(TOOLS_ONLY)),
        ("mcpServers", Refuse(TOOLS_ONLY)),
    ],
};

static FUNCTION: Object = Object {
    required: &["name"],
    fields: &[
        ("name", Fixed(Kind::ToolDefinition)),
        ("description", Text(Kind::ToolDefinition)),
        ("parameters", Schema(Kind::ToolDefinition)),
        ("parametersJsonSchema", Schema(Kind::ToolDefinition)),
        ("response", Schema(Kind::ToolDefinition)),
        ("responseJsonSchema", Schema(Kind::ToolDefinition)),
        ("behavior", OneOf(&["UNSPECIFIED", "BLOCKING", "NON_BLOCKING"])),
    ],
};

static TOOL_CONFIG: Object = Object {
    required: &[],
    fields: &[
        ("functionCallingConfig", Object(&CALLING)),
        ("retrievalConfig", Object(&RETRIEVAL)),
        ("includeServerSideToolInvocations", Plain),
    ],
};

static CALLING: Object = Object {
    required: &[],
    fields: &[
        ("mode", OneOf(&["MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"])),
        ("allowedFunctionNames", Group(Kind::ToolDefinition, &Each(&Fixed(Kind::ToolDefinition)))),
        ("streamFunctionCallArguments", Plain),
    ],
};

static RETRIEVAL: Object = Object {
    required: &[],
    fields: &[
        ("latLng", Object(&Object { required: &[], fields: &[("latitude", Plain), ("longitude", Plain)] })),
        ("languageCode", Text(Kind::Other)),
    ],
};

static SAFETY: Object = Object {
    required: &[],
    fields: &[
        ("category", HARMS),
        ("threshold", THRESHOLDS),
        ("method", OneOf(&["HARM_BLOCK_METHOD_UNSPECIFIED", "SEVERITY", "PROBABILITY"])),
    ],
};

static GENERATION: Object = Object {
    required: &[],
    fields: &[
        ("temperature", Plain),
        ("topP", Plain),
        ("topK", Plain),
        ("candidateCount", Plain),
        ("maxOutputTokens", Plain),
        ("presencePenalty", Plain),
        ("frequencyPenalty", Plain),
        ("seed", Plain),
        ("logprobs", Plain),
        ("responseLogprobs", Plain),
        ("stopSequences", Any(Kind::Other)),
        ("responseMimeType", OneOf(&["text/plain", "application/json", "text/x.enum"])),
        ("responseSchema", Group(Kind::Other, &Schema(Kind::Other))),
        ("responseJsonSchema", Group(Kind::Other, &Schema(Kind::Other))),
        ("_responseJsonSchema", Group(Kind::Other, &Schema(Kind::Other))),
        ("responseFormat", Each(&Object(&FORMAT))),
        (
            "responseModalities",
            Each(&PassWords(&[("IMAGE", Media::Image), ("AUDIO", Media::Audio)], &Only(&["TEXT"], NO_OTHER))),
        ),
        ("thinkingConfig", Object(&THINKING)),
        ("mediaResolution", RESOLUTIONS),
        ("speechConfig", Pass(Is(Media::Audio), &Any(Kind::Other), TEXT_ONLY)),
        ("imageConfig", Pass(Is(Media::Image), &Any(Kind::Other), TEXT_ONLY)),
        ("audioTimestamp", Plain),
        ("audioTranscriptionConfig", Refuse(TEXT_ONLY)),
        ("enableAffectiveDialog", Plain),
        ("enableEnhancedCivicAnswers", Plain),
        ("translationConfig", Any(Kind::Other)),
        ("routingConfig", Any(Kind::Other)),
        ("modelSelectionConfig", Any(Kind::Other)),
    ],
};

static FORMAT: Object = Object {
    required: &[],
    fields: &[
        ("text", Schema(Kind::Other)),
        ("audio", Refuse(TEXT_ONLY)),
        ("image", Refuse(TEXT_ONLY)),
        ("video", Refuse(TEXT_ONLY)),
    ],
};

static THINKING: Object = Object {
    required: &[],
    fields: &[
        ("includeThoughts", Plain),
        ("thinkingBudget", Plain),
        ("thinkingLevel", OneOf(&["THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"])),
    ],
};
