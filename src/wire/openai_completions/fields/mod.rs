//! The members of OpenAI's completions, request and answer, and what each carries. After the SDK's types, with what vLLM and
//! others add.

mod answer;
mod request;

pub use answer::ANSWER;
pub use request::REQUEST;
