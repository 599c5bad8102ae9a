//! The tools of a request: those whose calls the client makes, and nobody else.

use super::EXECUTION;
use crate::text::Kind;
use crate::wire::openai::fields::{DEFINITION, SYNTAXES};
use crate::wire::shape::{Object, Rule};
use Rule::*;

const TOOLS_ONLY: &str = "this route judges the client's own tools only: `function`, `custom`, `namespace`, `local_shell`, \
     `apply_patch`, a local `shell` and a `tool_search` by the client; others bring text that never passes here";
const NO_GRAMMAR: &str = "this route judges no grammars; a schema may stand in `text.format`";

/// The definition of a tool. One text.
pub const TOOL: Rule = Group(Kind::ToolDefinition, &Tagged(TOOLS, TOOLS_ONLY));

/// Where a shell runs. In a container its outputs would go to the model unseen.
pub const ENVIRONMENT: Rule = Tagged(&[("local", &LOCAL)], TOOLS_ONLY);

const TOOLS: &[(&str, &Object)] = &[
    ("function", &FUNCTION),
    ("custom", &CUSTOM),
    ("namespace", &NAMESPACE),
    ("local_shell", &BARE),
    ("apply_patch", &BARE),
    ("shell", &SHELL),
    ("tool_search", &SEARCH),
];

const NAME: Rule = Fixed(Kind::ToolDefinition);
const PROSE: Rule = Text(Kind::ToolDefinition);
const CALLERS: Rule = Each(&OneOf(&["direct", "programmatic"]));

static FUNCTION: Object = Object {
    required: &["name"],
    fields: &[
        ("name", NAME),
        ("description", PROSE),
        ("parameters", Schema(Kind::ToolDefinition)),
        ("output_schema", Schema(Kind::ToolDefinition)),
        ("strict", Plain),
        ("async", Plain),
        ("defer_loading", Plain),
        ("allowed_callers", CALLERS),
    ],
};

static CUSTOM: Object = Object {
    required: &["name"],
    fields: &[
        ("name", NAME),
        ("description", PROSE),
        ("format", Tagged(&[("text", &INPUT), ("grammar", &INPUT)], NO_GRAMMAR)),
        ("async", Plain),
        ("defer_loading", Plain),
        ("allowed_callers", CALLERS),
    ],
};

/// What a custom tool takes: any text, or one of a grammar.
static INPUT: Object = Object { required: &[], fields: &[("syntax", SYNTAXES), ("definition", DEFINITION)] };

static NAMESPACE: Object = Object {
    required: &["name"],
    fields: &[
        ("name", NAME),
        ("description", PROSE),
        ("tools", Each(&Tagged(&[("function", &FUNCTION), ("custom", &CUSTOM)], TOOLS_ONLY))),
    ],
};

static BARE: Object = Object { required: &[], fields: &[("allowed_callers", CALLERS)] };

static SHELL: Object =
    Object { required: &["environment"], fields: &[("allowed_callers", CALLERS), ("environment", ENVIRONMENT)] };

static LOCAL: Object = Object { required: &[], fields: &[("skills", Each(&Object(&SKILL)))] };

static SKILL: Object = Object { required: &[], fields: &[("name", NAME), ("description", PROSE), ("path", NAME)] };

/// By the client, or the tools that it finds would go to the model unseen.
static SEARCH: Object = Object {
    required: &["execution"],
    fields: &[
        ("execution", Only(EXECUTION, TOOLS_ONLY)),
        ("description", PROSE),
        ("parameters", Schema(Kind::ToolDefinition)),
    ],
};
