//! What two APIs send and take, with something at every place that their examples name.

use serde_json::{Value as Json, json};

/// The bodies of one API, with something at every place that its example names.
pub struct Api {
    pub example: &'static str,
    pub path: &'static str,
    pub request: Json,
    pub whole: Vec<Json>,
    pub events: Vec<Json>,
}

pub fn cohere() -> Api {
    let event =
        |kind: &str, index: u32, message: Json| json!({"type": kind, "index": index, "delta": {"message": message}});
    let usage = json!({"billed_units": {"input_tokens": 5, "output_tokens": 7}, "tokens": {"input_tokens": 5, "output_tokens": 7}});
    let source = json!({"type": "document", "id": "doc 1", "document": {"title": "t", "snippet": "s"}});
    Api {
        example: "cohere.toml",
        path: "/v2/chat",
        request: json!({
            "model": "command-a-03-2025", "stream": true, "max_tokens": 100, "temperature": 0.3, "safety_mode": "CONTEXTUAL",
            "stop_sequences": ["END"], "strict_tools": true, "thinking": {"type": "enabled", "token_budget": 10},
            "messages": [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": [{"type": "text", "text": "What is"}, {"type": "text", "text": "an LLM?"}]},
                {"role": "assistant", "tool_plan": "I look it up.", "tool_calls": [{"id": "call_1", "type": "function",
                    "function": {"name": "search", "arguments": "{\"q\":\"LLM\"}"}}], "citations": [{"start": 0, "text": "x"}]},
                {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "document", "document": {"id": "a", "data": "found"}}]},
            ],
            "tools": [{"type": "function", "function": {"name": "search", "description": "Searches.",
                "parameters": {"type": "object", "properties": {"q": {"type": "string", "description": "What for."}}}}}],
            "documents": ["one", {"id": "two", "data": {"title": "T", "snippet": "S"}}],
            "citation_options": {"mode": "FAST"}, "response_format": {"type": "json_object", "json_schema": {"type": "object"}},
            "unheard_of": {"a": ["b", {"c": "d"}]},
        }),
        whole: vec![
            json!({
                "id": "c14c80c3-18eb-4519-9460-6c92edd8cfb4", "finish_reason": "COMPLETE", "usage": usage,
                "logprobs": [{"text": "An", "token_ids": [1], "logprobs": [-0.5]}], "unheard_of": [1, {"a": "b"}],
                "message": {"role": "assistant", "tool_plan": "plan", "content": [{"type": "thinking", "thinking": "hm"},
                    {"type": "text", "text": "An LLM"}, {"type": "text", "text": " is large."}],
                    "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}],
                    "citations": [{"start": 0, "end": 6, "text": "An LLM", "type": "TEXT_CONTENT", "sources": [source]}]},
            }),
            json!({"id": "c14c80c3-18eb-4519-9460-6c92edd8cfb4", "message": "invalid api token"}),
        ],
        events: vec![
            json!({"type": "message-start", "id": "c14c80c3-18eb-4519-9460-6c92edd8cfb4", "delta": {"message":
                {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}}}),
            event("content-start", 0, json!({"content": {"type": "text", "text": ""}})),
            event("content-delta", 0, json!({"content": {"text": "An "}})),
            event("content-delta", 0, json!({"content": {"text": "LLM is large."}})),
            event(
                "citation-start",
                3,
                json!({"citations": {"start": 0, "end": 6, "text": "An LLM", "sources": [source]}}),
            ),
            event("citation-end", 3, json!({})),
            event("content-end", 0, json!({})),
            event("tool-plan-delta", 0, json!({"tool_plan": "I call."})),
            event(
                "tool-call-start",
                0,
                json!({"tool_calls": {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}}),
            ),
            event("tool-call-delta", 0, json!({"tool_calls": {"function": {"arguments": "{\"a\":1}"}}})),
            event("tool-call-end", 0, json!({})),
            json!({"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": usage}}),
        ],
    }
}

pub fn tgi() -> Api {
    let token = |text: &str, special: bool| json!({"id": 1, "text": text, "logprob": -0.5, "special": special});
    let details = json!({"finish_reason": "eos_token", "generated_tokens": 3, "seed": 7});
    let mut rich = details.clone();
    rich["prefill"] = json!([{"id": 1, "text": "a", "logprob": null}]);
    rich["tokens"] = json!([token("Deep", false)]);
    rich["top_tokens"] = json!([[token("Deep", false)]]);
    rich["best_of_sequences"] = json!([{"generated_text": "other", "finish_reason": "length", "generated_tokens": 2, "seed": 8,
        "prefill": [], "tokens": [token("other", false)]}]);
    let event = |index: u32, token: Json, whole: Json, details: Json| json!({"index": index, "token": token, "top_tokens": [token], "generated_text": whole, "details": details});
    Api {
        example: "tgi.toml",
        path: "/generate_stream",
        request: json!({"inputs": "What is deep learning?", "parameters": {"max_new_tokens": 20, "temperature": 0.5, "do_sample": true,
            "stop": ["END"], "details": true, "seed": 7, "adapter_id": "predibase/customer_support"}}),
        whole: vec![
            json!({"generated_text": "Deep learning", "details": rich}),
            json!({"error": "Input validation error", "error_type": "validation"}),
        ],
        events: vec![
            event(1, token("Deep", false), json!(null), json!(null)),
            event(2, token(" learning", false), json!(null), json!(null)),
            event(3, token("</s>", true), json!("Deep learning"), details),
        ],
    }
}
