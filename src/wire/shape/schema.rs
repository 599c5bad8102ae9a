//! The words of JSON Schema, as Google writes it too, and of tool definitions: what of a schema is form and not text.

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
    "additional_properties",
    "additionalProperties",
    "allOf",
    "any_of",
    "anyOf",
    "const",
    "default",
    "description",
    "enum",
    "example",
    "examples",
    "format",
    "function",
    "items",
    "json_schema",
    "max_items",
    "max_length",
    "max_properties",
    "maximum",
    "maxItems",
    "maxLength",
    "maxProperties",
    "min_items",
    "min_length",
    "min_properties",
    "minimum",
    "minItems",
    "minLength",
    "minProperties",
    "name",
    "not",
    "nullable",
    "oneOf",
    "parameters",
    "pattern",
    "properties",
    "property_ordering",
    "propertyOrdering",
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
    "ARRAY",
    "BOOLEAN",
    "INTEGER",
    "NULL",
    "NUMBER",
    "OBJECT",
    "STRING",
];

const PROSE: &[&str] = &["$comment", "description", "title"];
