//! Servers of the safeguard model, simulated: what each answers in its own shape, and what it must have been asked.

// Each test file is a crate of its own and uses a part of this.
#![allow(dead_code)]

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::Answer;

#[cfg(feature = "libtorch")]
pub mod tokens;

pub const BINARY: &str = "+++\nform = \"binary\"\nlabels = [{ label = \"BAD\", reply = \"1\" }, \
    { label = \"FINE\", reply = \"0\", safe = true }]\n+++\nAnswer 1 where the text is bad, else 0.";

pub const JSON: &str = "+++\nform = \"json\"\ncategories = [\"H1\"]\nlabels = [{ label = \"BAD\", reply = \"1\" }, \
    { label = \"FINE\", reply = \"0\", safe = true }]\n+++\nAnswer in JSON.";

/// A server in one of its APIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    LmStudio,
    LmStudioNative,
    Docker,
    Ollama,
    OllamaChat,
    LlamaCpp,
    Vllm,
    VllmResponses,
    Sglang,
    Groq,
    HfRouter,
    Compatible,
}

impl Kind {
    pub const ALL: [Kind; 12] = [
        Kind::LmStudio,
        Kind::LmStudioNative,
        Kind::Docker,
        Kind::Ollama,
        Kind::OllamaChat,
        Kind::LlamaCpp,
        Kind::Vllm,
        Kind::VllmResponses,
        Kind::Sglang,
        Kind::Groq,
        Kind::HfRouter,
        Kind::Compatible,
    ];

    /// Of the engine's section.
    fn settings(self) -> &'static str {
        match self {
            Kind::LmStudio => "preset = \"lm-studio\"",
            Kind::LmStudioNative => "preset = \"lm-studio\"\napi = \"lm-studio\"",
            Kind::Docker => "preset = \"docker-model-runner\"",
            Kind::Ollama => "preset = \"ollama\"",
            Kind::OllamaChat => "preset = \"ollama\"\napi = \"chat\"",
            Kind::LlamaCpp => "preset = \"llama-cpp\"",
            Kind::Vllm => "preset = \"vllm\"",
            Kind::VllmResponses => "preset = \"vllm\"\napi = \"responses\"",
            Kind::Sglang => "preset = \"sglang\"",
            Kind::Groq => {
                "preset = \"groq\"\ncredential = { header = \"authorization\", prefix = \"Bearer \", file = \"key\" }"
            }
            Kind::HfRouter => {
                "preset = \"hf-router\"\ncredential = { header = \"authorization\", prefix = \"Bearer \", file = \"key\" }"
            }
            Kind::Compatible => {
                "preset = \"openai-compatible\"\nmodel = \"m\"\npolicy_in = \"developer\"\neffort_in = \"policy\""
            }
        }
    }

    pub fn model(self) -> &'static str {
        match self {
            Kind::Docker => "ai/gpt-oss-safeguard",
            Kind::Ollama | Kind::OllamaChat => "gpt-oss-safeguard:20b",
            Kind::LlamaCpp => "gpt-oss-safeguard-20b",
            Kind::HfRouter => "openai/gpt-oss-safeguard-20b:groq",
            Kind::Compatible => "m",
            _ => "openai/gpt-oss-safeguard-20b",
        }
    }

    pub fn path(self) -> &'static str {
        match self {
            Kind::LmStudio | Kind::VllmResponses => "/v1/responses",
            Kind::LmStudioNative => "/api/v1/chat",
            Kind::Docker => "/engines/v1/chat/completions",
            Kind::Ollama => "/api/chat",
            Kind::Groq => "/openai/v1/chat/completions",
            _ => "/v1/chat/completions",
        }
    }

    /// A whole answer with this content and reasoning, in the members where this server has them.
    pub fn answer(self, content: &str, reasoning: &str) -> Answer {
        Answer::json(self.body(content, reasoning).to_string())
    }

    pub fn body(self, content: &str, reasoning: &str) -> Value {
        let chat = |member: &str| {
            json!({
                "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": self.model(),
                "choices": [{ "index": 0, "finish_reason": "stop", "logprobs": null,
                    "message": { "role": "assistant", "content": content, member: reasoning, "tool_calls": [] } }],
                "usage": { "prompt_tokens": 700, "completion_tokens": 40, "total_tokens": 740,
                    "prompt_tokens_details": { "cached_tokens": 640 } },
            })
        };
        let responses = |reasoned: Value| {
            json!({
                "id": "resp_1", "object": "response", "status": "completed", "error": null, "incomplete_details": null,
                "output": [reasoned, { "type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                    "content": [{ "type": "output_text", "text": content, "annotations": [] }] }],
                "usage": { "input_tokens": 700, "output_tokens": 40, "total_tokens": 740 },
            })
        };
        match self {
            Kind::LmStudio | Kind::VllmResponses => {
                responses(json!({ "type": "reasoning", "id": "rs_1", "summary": [],
                "content": [{ "type": "reasoning_text", "text": reasoning }] }))
            }
            Kind::LmStudioNative => json!({
                "model_instance_id": self.model(),
                "output": [{ "type": "reasoning", "content": reasoning }, { "type": "message", "content": content }],
                "stats": { "input_tokens": 700, "total_output_tokens": 40, "reasoning_output_tokens": 38,
                    "tokens_per_second": 90.5, "time_to_first_token_seconds": 0.2 },
            }),
            Kind::Ollama => json!({
                "model": self.model(), "created_at": "2026-01-01T00:00:00Z", "done": true, "done_reason": "stop",
                "message": { "role": "assistant", "content": content, "thinking": reasoning },
                "total_duration": 1, "prompt_eval_count": 700, "eval_count": 40,
            }),
            Kind::Docker | Kind::LlamaCpp | Kind::Sglang => chat("reasoning_content"),
            _ => chat("reasoning"),
        }
    }

    /// What every question to this server has: one message above the user's, our own sampling, an effort where it is heard.
    pub fn check(self, asked: &Value) {
        assert_eq!((&asked["model"], &asked["stream"]), (&json!(self.model()), &json!(false)));
        let sampling = if self == Kind::Ollama { &asked["options"] } else { asked };
        assert_eq!((&sampling["temperature"], &sampling["top_p"]), (&json!(0), &json!(1)), "{asked}");
        let policy = "Answer 1 where the text is bad, else 0.";
        let roles: Vec<&str> =
            asked["messages"].as_array().into_iter().flatten().filter_map(|message| message["role"].as_str()).collect();
        match self {
            Kind::LmStudio | Kind::VllmResponses => {
                assert_eq!((&asked["instructions"], &asked["store"]), (&json!(policy), &json!(false)));
                assert_eq!(asked["input"].as_array().map(Vec::len), Some(1));
                assert_eq!((&asked["reasoning"]["effort"], &asked["max_output_tokens"]), (&json!("low"), &json!(576)));
            }
            Kind::LmStudioNative => {
                assert_eq!((&asked["system_prompt"], &asked["store"]), (&json!(policy), &json!(false)));
                assert_eq!((&asked["reasoning"], &asked["max_output_tokens"]), (&json!("low"), &json!(576)));
            }
            Kind::Ollama => {
                assert_eq!(roles, ["system", "user"]);
                assert_eq!((&asked["think"], &asked["options"]["num_predict"]), (&json!("low"), &json!(576)));
                assert_eq!(asked["options"]["num_ctx"], 16384);
            }
            Kind::LlamaCpp => {
                assert_eq!(roles, ["system", "user"]);
                assert_eq!(asked["chat_template_kwargs"]["reasoning_effort"], "low");
                assert_eq!((&asked["repeat_penalty"], &asked["max_tokens"]), (&json!(1), &json!(576)));
            }
            Kind::Compatible => {
                assert_eq!(roles, ["developer", "user"]);
                assert_eq!(asked["messages"][0]["content"], format!("Reasoning: low\n\n{policy}"));
                assert_eq!(asked.get("reasoning_effort"), None);
            }
            _ => {
                assert_eq!(roles, ["system", "user"]);
                assert_eq!(asked["messages"][0]["content"], policy);
                assert_eq!((&asked["reasoning_effort"], &asked["max_tokens"]), (&json!("low"), &json!(576)));
            }
        }
    }
}

/// An engine called `default` on this server, with further lines.
pub fn engine(kind: Kind, server: SocketAddr, more: &str) -> String {
    let settings = kind.settings();
    format!("[engine.default]\n{settings}\nurl = \"http://{server}\"\n{more}\n")
}

/// A guardrail on prompts by the policy `p`.
pub fn guardrail(action: &str, on_error: &str) -> String {
    format!(
        "stage = [\"input\"]\npolicy = \"p\"\non_error = {on_error:?}\ndeadline = \"15s\"\n[actions]\nBAD = {action:?}\n"
    )
}

/// The text that a chat question is about.
pub fn judged(asked: &Value) -> String {
    asked["messages"][1]["content"].as_str().expect("a text").to_owned()
}
