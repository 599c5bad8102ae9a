//! The dialect from outside: which texts it finds, what it refuses, what it writes.

mod answers;
mod census;
mod requests;

use crate::wire::openai_completions::OpenAiCompletions;

const DIALECT: OpenAiCompletions = OpenAiCompletions { max_segments: 1000 };
