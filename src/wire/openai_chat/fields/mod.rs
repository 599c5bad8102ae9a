//! The members of OpenAI's chat completions, request and answer, and what each carries. After the SDK's types, with what
//! vLLM, Azure, OpenRouter and others add.

mod answer;
mod request;

pub use answer::{ANSWER, CHUNK, says_twice};
pub use request::REQUEST;

use crate::text::Kind;
use crate::wire::shape::{Object, Rule};
use Rule::*;

const REASONING: Rule = ByType(Some(&Text(Kind::Reasoning)), Some(&Any(Kind::Reasoning)), Some(&Any(Kind::Reasoning)));
const ARGUMENTS: Rule = ByType(Some(&Arguments), Some(&Any(Kind::ToolArguments)), Some(&Any(Kind::ToolArguments)));

const ROLES: Rule = OneOf(&["system", "developer", "user", "assistant", "tool", "function"]);
const CALLS: Rule = OneOf(&["function", "custom"]);

/// A function with `arguments`, or a custom tool with `input`.
static CALLED: Object = Object {
    required: &[],
    fields: &[("name", Fixed(Kind::Name)), ("arguments", ARGUMENTS), ("input", Text(Kind::ToolArguments))],
};
