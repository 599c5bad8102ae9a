//! The dialect from outside: which texts it finds, what it refuses, what it writes.

mod answers;
mod census;
mod requests;
mod streams;

use serde_json::{Value as Json, json};

use crate::wire::Bounds;
use crate::wire::ollama::{Api, Ollama};

const CHAT: Ollama = Ollama { api: Api::Chat, bounds: Bounds::of(1000) };
const GENERATE: Ollama = Ollama { api: Api::Generate, bounds: Bounds::of(1000) };

/// A line of a chat's stream.
fn said(message: Json) -> Json {
    json!({"model": "llama3.2", "created_at": "2023-08-04T08:52:19.385406455-07:00", "message": message, "done": false})
}

/// The line that ends a chat's stream.
fn done() -> Json {
    json!({"model": "llama3.2", "created_at": "2023-08-04T19:22:45.499127Z", "message": {"role": "assistant", "content": ""},
        "done_reason": "stop", "done": true, "total_duration": 104883583668u64, "load_duration": 1334875, "prompt_eval_count": 26,
        "prompt_eval_duration": 342546000, "eval_count": 282, "eval_duration": 4535599000u64})
}

fn lines(lines: &[Json]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}
