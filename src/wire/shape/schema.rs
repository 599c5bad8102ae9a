//! The words of JSON Schema and of tool definitions: what of a schema is form and not text.

/// Whether a key is one of JSON Schema itself, or of what stands around one.
pub fn is_key(name: &str) -> bool {
    KEYS.contains(&name)
}

/// Whether this is a value of `type`.
pub fn is_type(name: &str) -> bool {
    TYPES.contains(&name)
}

/// Whether under this key a text stands that nothing refers to.
pub fn is_prose(name: &str) -> bool {
    PROSE.contains(&name)
}

const KEYS: &[&str] = &[
    "$defs",
    "$ref",
    "$schema",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "default",
    "description",
    "enum",
    "examples",
    "format",
    "function",
    "items",
    "json_schema",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "name",
    "not",
    "oneOf",
    "parameters",
    "pattern",
    "properties",
    "required",
    "schema",
    "strict",
    "title",
    "type",
];

const TYPES: &[&str] = &[
    "array",
    "boolean",
    "function",
    "integer",
    "json_object",
    "json_schema",
    "null",
    "number",
    "object",
    "string",
    "text",
];

const PROSE: &[&str] = &["$comment", "description", "title"];
