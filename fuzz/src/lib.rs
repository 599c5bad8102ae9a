//! What the fuzz targets assert, each as a function of some bytes. `tests/seeds.rs` runs the seeds through the same.

pub mod answer;
pub mod content;
pub mod dialect;
pub mod eventstream;
pub mod form;
pub mod json;
pub mod ndjson;
pub mod path;
pub mod random;
pub mod request;
pub mod sse;
pub mod views;

/// A target and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// Every target, by name.
pub const TARGETS: &[Target] = &[
    ("json", json::check),
    ("sse", sse::check),
    ("ndjson", ndjson::check),
    ("eventstream", eventstream::check),
    ("path", path::check),
    ("content", content::check),
    ("views", views::check),
    ("openai_chat", dialect::openai_chat),
    ("openai_completions", dialect::openai_completions),
    ("openai_responses", dialect::openai_responses),
    ("openai_embeddings", dialect::openai_embeddings),
    ("openai_moderations", dialect::openai_moderations),
    ("openai_images", dialect::openai_images),
    ("anthropic", dialect::anthropic),
    ("ollama_chat", dialect::ollama_chat),
    ("ollama_generate", dialect::ollama_generate),
    ("gemini", dialect::gemini),
    ("bedrock_converse", dialect::bedrock_converse),
    ("custom", dialect::custom),
];
