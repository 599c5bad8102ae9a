//! The members of Ollama's chat and generate, requests and answers, and what each carries. After the server's own types and
//! those of its Python client.

mod answer;
mod request;
mod time;

pub use answer::{ANSWER, DURATIONS};
pub use request::{CHAT_REQUEST, GENERATE_REQUEST};

use crate::text::Kind;
use crate::wire::shape::Rule;
use Rule::*;

const ROLES: Rule = OneOf(&["system", "user", "assistant", "tool"]);
/// An object; a string only from who does not know the API well.
const ARGUMENTS: Rule = ByType(Some(&Arguments), Some(&Any(Kind::ToolArguments)), Some(&Any(Kind::ToolArguments)));
