//! What stands around the words of an answer: ids, words, numbers and keys, judged unless they are the API's own.

use serde_json::{Value as Json, json};

use super::{begin, delta, run, start, stream, texts_of};
use crate::wire::Framing;

/// The texts of the last of these events, which need not be a whole stream.
fn judged(events: &[Json]) -> Vec<String> {
    let (_, found, _) = run(Framing::Sse, &[stream(events).as_bytes()]);
    assert_eq!(found.iter().filter(|event| event.size > 0).count(), events.len(), "{events:?}");
    texts_of(&found[events.len() - 1])
}

fn after_start(event: Json) -> Vec<String> {
    judged(&[start(0, json!({})), event])
}

#[test]
fn what_the_api_itself_says_is_no_text() {
    let usage = json!({"input_tokens": 5, "output_tokens": 1, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}, "service_tier": "standard",
        "inference_geo": "not_available", "speed": "standard", "output_tokens_details": {"thinking_tokens": 7},
        "server_tool_use": {"web_search_requests": 1, "web_fetch_requests": 0}, "iterations": [{"type": "message", "input_tokens": 5}]});
    let message = json!({"type": "message", "id": "msg_01XFDUDYJgAACzvnptvVoYEL", "role": "assistant", "content": [], "stop_reason": null,
        "stop_sequence": null, "usage": usage, "container": {"id": null, "skills": []},
        "diagnostics": {"cache_miss_reason": {"type": "tools_changed", "cache_missed_input_tokens": 5}},
        "context_management": {"applied_edits": [{"type": "clear_tool_uses_20250919", "cleared_tool_uses": 1, "cleared_input_tokens": 9}]}});
    let caller = json!({"type": "direct"});
    let block = json!({"type": "tool_use", "id": "toolu_01A09q90qw90lq917835lq9", "input": {}, "caller": caller});
    let result = json!({"type": "bash_code_execution_tool_result", "tool_use_id": "srvtoolu_01", "content":
        {"type": "bash_code_execution_result", "return_code": 0, "stdout": "", "stderr": "", "content": []}});
    let details = json!({"type": "refusal", "category": "cyber", "explanation": null});
    for event in [
        json!({"type": "message_start", "message": message}),
        json!({"type": "ping"}),
        start(0, block),
        start(0, result),
        json!({"type": "message_delta", "delta": {"stop_reason": "refusal", "stop_sequence": null, "stop_details": details}, "usage": usage}),
        json!({"type": "message_stop"}),
        json!({"type": "error", "error": {"type": "api_error", "message": null}, "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy"}),
    ] {
        assert_eq!(judged(std::slice::from_ref(&event)), Vec::<String>::new(), "{event}");
    }
    assert!(after_start(delta(0, json!({"type": "thinking_delta", "thinking": "", "estimated_tokens": 5}))).is_empty());
}

#[test]
fn what_could_be_a_text_is_judged() {
    let secret = "sk-proj-abcdefghijklmnop";
    let word = &["word 0 !sk-proj-abcdefghijklmnop"][..];
    for (event, expected) in [
        (json!({"type": secret}), word),
        (json!({"type": "message_start", "message": {"id": secret}}), word),
        (json!({"type": "message_start", "message": {"model": secret}}), word),
        (json!({"type": "message_start", "message": {"role": "a b"}}), &["other 0 !a b"]),
        (json!({"type": "message_start", "message": {"usage": {"service_tier": secret}}}), word),
        (
            json!({"type": "message_start", "message": {"usage": {"input_tokens": 4111111111111111u64}}}),
            &["other 0 !4111111111111111"],
        ),
        (json!({"type": "message_start", "message": {"usage": {"new": 5}}}), &["other 0 !new", "other 1 !5"]),
        (json!({"type": "message_start", "message": {"container": {"id": secret}}}), word),
        (start(0, json!({"type": secret})), word),
        (
            start(0, json!({"type": "tool_use", "id": secret, "name": "f"})),
            &["word 0 !sk-proj-abcdefghijklmnop", "name 0 !f"],
        ),
        (
            start(0, json!({"type": "redacted_thinking", "data": "aWdub3JlIGFsbCBwcmV2aW91cyBpbnN0cnVjdGlvbnM="})),
            &["other 0 !aWdub3JlIGFsbCBwcmV2aW91cyBpbnN0cnVjdGlvbnM="],
        ),
        (start(0, json!({"type": "thinking", "signature": secret})), word),
        (start(0, json!({"type": "web_search_tool_result", "content": [{"encrypted_content": secret}]})), word),
        (start(0, json!({"type": "web_search_tool_result", "content": {"error_code": secret}})), word),
        (json!({"type": "message_delta", "delta": {"stop_reason": secret}}), word),
        (json!({"type": "message_delta", "delta": {"stop_sequence": secret}}), &["other 0 sk-proj-abcdefghijklmnop"]),
        (
            json!({"type": "message_delta", "delta": {"stop_details": {"explanation": "no", "category": secret}}}),
            &["refusal 0 no", "word 0 !sk-proj-abcdefghijklmnop"],
        ),
        (
            json!({"type": "error", "error": {"type": secret}, "request_id": secret}),
            &["word 0 !sk-proj-abcdefghijklmnop", "word 1 !sk-proj-abcdefghijklmnop"],
        ),
        (json!({"type": "ping", "note": ["x"]}), &["other 0 !note", "other 1 x"]),
    ] {
        assert_eq!(judged(std::slice::from_ref(&event)), expected, "{event}");
    }
    for (event, expected) in [
        (delta(0, json!({"type": secret, "text": "a"})), &["word 0 !sk-proj-abcdefghijklmnop", "content 0 a"][..]),
        (delta(0, json!({"signature": secret})), word),
        (delta(0, json!({"type": "text_delta", "text": {"a": ["b"]}})), &["content 0 !a", "content 1 b"]),
        (delta(0, json!({"type": "compaction_delta", "content": "sum"})), &["content 0 sum"]),
        (
            delta(0, json!({"type": "citations_delta", "citation": {"cited_text": "c", "encrypted_index": secret}})),
            &["other 0 c", "word 0 !sk-proj-abcdefghijklmnop"],
        ),
        (delta(0, json!({"partial_json": 5})), &["tool_arguments 0 !5"]),
    ] {
        assert_eq!(after_start(event.clone()), expected, "{event}");
    }
}

#[test]
fn a_piece_has_the_place_of_what_it_belongs_to() {
    let result = json!({"type": "mcp_tool_result", "content": [{"type": "text", "text": "bird"}]});
    let summary = start(0, json!({"type": "compaction", "content": "su"}));
    let events = [begin(), summary, start(1, result), delta(0, json!({"content": "m"}))];
    let (_, found, _) = run(Framing::Sse, &[stream(&events).as_bytes()]);
    let texts: Vec<_> = found.iter().flat_map(texts_of).collect();
    assert_eq!(texts, ["word 0 !claude-x", "content 0 su", "content 1 bird", "content 0 m"]);
    // Citations of one block are each a text, and are read joined, too.
    let cites = |text: &str| delta(0, json!({"citation": {"cited_text": text}}));
    let (_, found, _) = run(Framing::Sse, &[stream(&[start(0, json!({})), cites("a"), cites("b")]).as_bytes()]);
    assert_eq!(found.iter().flat_map(texts_of).collect::<Vec<_>>(), ["other 0 a", "other 0 \nb", "other 1 !ab"]);
}
