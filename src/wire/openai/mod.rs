//! What OpenAI's APIs have in common: errors, the choices of a stream and its end, members, answers that are never streams.

pub mod choices;
pub mod fields;
pub mod reply;
pub mod tokens;
pub mod whole;
