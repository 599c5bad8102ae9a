//! What an answer tells of the service's own guardrails, and of its choice of a model.

use crate::text::Kind;
use crate::wire::shape::{Object, Rule};
use Rule::*;

pub static TRACE: Object = Object {
    required: &[],
    fields: &[
        ("guardrail", Object(&GUARDRAIL)),
        ("promptRouter", Object(&Object { required: &[], fields: &[("invokedModelId", Rule::OPEN_WORD)] })),
    ],
};

static GUARDRAIL: Object = Object {
    required: &[],
    fields: &[
        // What the model said before that guardrail changed it.
        ("modelOutput", Each(&Text(Kind::Content))),
        ("inputAssessment", Keyed(is_guardrail, &Object(&ASSESSMENT))),
        ("outputAssessments", Keyed(is_guardrail, &Each(&Object(&ASSESSMENT)))),
        ("actionReason", Text(Kind::Other)),
    ],
};

static ASSESSMENT: Object = Object {
    required: &[],
    fields: &[
        ("topicPolicy", Object(&Object { required: &[], fields: &[("topics", Each(&Object(&FINDING)))] })),
        ("contentPolicy", FILTERS),
        (
            "wordPolicy",
            Object(&Object {
                required: &[],
                fields: &[("customWords", Each(&Object(&FINDING))), ("managedWordLists", Each(&Object(&FINDING)))],
            }),
        ),
        (
            "sensitiveInformationPolicy",
            Object(&Object {
                required: &[],
                fields: &[("piiEntities", Each(&Object(&FINDING))), ("regexes", Each(&Object(&FINDING)))],
            }),
        ),
        ("contextualGroundingPolicy", FILTERS),
        // Statements in two languages, that of logic and the user's.
        ("automatedReasoningPolicy", Any(Kind::Other)),
        ("invocationMetrics", Object(&METRICS)),
        ("appliedGuardrailDetails", Object(&APPLIED)),
    ],
};

const FILTERS: Rule = Object(&Object { required: &[], fields: &[("filters", Each(&Object(&FINDING)))] });
const STRENGTHS: Rule = OneOf(&["NONE", "LOW", "MEDIUM", "HIGH"]);

/// What was found, whatever the policy.
static FINDING: Object = Object {
    required: &[],
    fields: &[
        ("name", Text(Kind::Other)),
        ("match", Text(Kind::Other)),
        ("regex", Text(Kind::Other)),
        ("type", TYPES),
        ("action", OneOf(&["BLOCKED", "ANONYMIZED", "NONE"])),
        ("detected", Plain),
        ("confidence", STRENGTHS),
        ("filterStrength", STRENGTHS),
        ("threshold", Plain),
        ("score", Plain),
    ],
};

const TYPES: Rule = OneOf(&[
    "DENY",
    "PROFANITY",
    "GROUNDING",
    "RELEVANCE",
    // Content.
    "INSULTS",
    "HATE",
    "SEXUAL",
    "VIOLENCE",
    "MISCONDUCT",
    "PROMPT_ATTACK",
    // Sensitive information.
    "ADDRESS",
    "AGE",
    "AWS_ACCESS_KEY",
    "AWS_SECRET_KEY",
    "CA_HEALTH_NUMBER",
    "CA_SOCIAL_INSURANCE_NUMBER",
    "CREDIT_DEBIT_CARD_CVV",
    "CREDIT_DEBIT_CARD_EXPIRY",
    "CREDIT_DEBIT_CARD_NUMBER",
    "DRIVER_ID",
    "EMAIL",
    "INTERNATIONAL_BANK_ACCOUNT_NUMBER",
    "IP_ADDRESS",
    "LICENSE_PLATE",
    "MAC_ADDRESS",
    "NAME",
    "PASSWORD",
    "PHONE",
    "PIN",
    "SWIFT_CODE",
    "UK_NATIONAL_HEALTH_SERVICE_NUMBER",
    "UK_NATIONAL_INSURANCE_NUMBER",
    "UK_UNIQUE_TAXPAYER_REFERENCE_NUMBER",
    "URL",
    "USERNAME",
    "US_BANK_ACCOUNT_NUMBER",
    "US_BANK_ROUTING_NUMBER",
    "US_INDIVIDUAL_TAX_IDENTIFICATION_NUMBER",
    "US_PASSPORT_NUMBER",
    "US_SOCIAL_SECURITY_NUMBER",
    "VEHICLE_IDENTIFICATION_NUMBER",
]);

static METRICS: Object = Object {
    required: &[],
    fields: &[
        ("guardrailProcessingLatency", Plain),
        ("usage", Object(&USAGE)),
        (
            "guardrailCoverage",
            Object(&Object { required: &[], fields: &[("textCharacters", COVERED), ("images", COVERED)] }),
        ),
    ],
};

const COVERED: Rule = Object(&Object { required: &[], fields: &[("guarded", Plain), ("total", Plain)] });

static USAGE: Object = Object {
    required: &[],
    fields: &[
        ("topicPolicyUnits", Plain),
        ("contentPolicyUnits", Plain),
        ("wordPolicyUnits", Plain),
        ("sensitiveInformationPolicyUnits", Plain),
        ("sensitiveInformationPolicyFreeUnits", Plain),
        ("contextualGroundingPolicyUnits", Plain),
        ("contentPolicyImageUnits", Plain),
        ("automatedReasoningPolicyUnits", Plain),
        ("automatedReasoningPolicies", Plain),
    ],
};

static APPLIED: Object = Object {
    required: &[],
    fields: &[
        ("guardrailId", Fixed(Kind::Other)),
        ("guardrailVersion", Fixed(Kind::Other)),
        ("guardrailArn", Fixed(Kind::Other)),
        ("guardrailOrigin", Each(&OneOf(&["REQUEST", "ACCOUNT_ENFORCED", "ORGANIZATION_ENFORCED"]))),
        ("guardrailOwnership", OneOf(&["SELF", "CROSS_ACCOUNT"])),
    ],
};

/// The id of a guardrail, as a key: twelve letters and digits. Any other key is judged.
fn is_guardrail(key: &str) -> bool {
    let (letters, digits) = (key.bytes().filter(u8::is_ascii_lowercase), key.bytes().filter(u8::is_ascii_digit));
    let (letters, digits) = (letters.count(), digits.count());
    key.len() == 12 && letters + digits == 12 && letters > 0 && digits > 0
}
