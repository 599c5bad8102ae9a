//! The harness of the black-box tests: the real binary, an upstream that follows a script, and clients that see every
//! byte. No test here waits for a time to pass to learn what happened: it waits for the event, within [`PATIENCE`].

// Each test file is a crate of its own and uses a part of this.
#![allow(dead_code, unused_imports)]

pub mod client;
pub mod config;
pub mod frames;
pub mod h2;
pub mod message;
pub mod proxy;
pub mod script;
pub mod tls;
pub mod upstream;

pub use client::{Client, Response};
pub use config::Config;
pub use frames::Frames;
pub use proxy::Proxy;
pub use script::{Answer, Cue};
pub use tls::Authority;
pub use upstream::{Recorded, Upstream};

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long an event may take before the test gives up. Generous: a debug build on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The value of `event`, or a panic that says what did not happen.
pub async fn within<T>(what: &str, event: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, event).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

/// What `make sdks` has put at this path, or another that the variable names.
pub fn installed(variable: &str, path: &str) -> PathBuf {
    if let Some(own) = std::env::var_os(variable) {
        return own.into();
    }
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    assert!(program.exists(), "{path} is missing: run `make sdks`, once");
    program
}

/// A chat request with one user message; `stream` as given.
pub fn chat(prompt: &str, stream: bool) -> String {
    serde_json::json!({ "model": "m", "messages": [{ "role": "user", "content": prompt }], "stream": stream })
        .to_string()
}

/// The body of a unary chat answer with one choice.
pub fn completion(text: &str) -> String {
    serde_json::json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 },
    })
    .to_string()
}

/// The data of a stream's chunk with this piece of content.
pub fn chunk(text: &str) -> String {
    serde_json::json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{ "index": 0, "delta": { "content": text }, "finish_reason": null }],
    })
    .to_string()
}

/// The data of a stream's last chunk.
pub fn last_chunk(finish_reason: &str) -> String {
    serde_json::json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{ "index": 0, "delta": {}, "finish_reason": finish_reason }],
    })
    .to_string()
}
