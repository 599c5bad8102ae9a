//! Whole answers, errors, and what the dialect says itself.

use http::StatusCode;
use serde_json::{Value as Json, json};

use super::{BLOB, DIALECT, events_of};
use crate::wire::bedrock_converse::BedrockConverse;
use crate::wire::testing::{encoded, run, texts_of, unary};
use crate::wire::{Dialect, Framing, Refusal};

fn refusal(status: u16) -> Refusal {
    let status = StatusCode::from_u16(status).unwrap();
    Refusal { status, code: "a_code", message: "what \"and\" why".into(), param: Some("messages[0]".into()) }
}

#[test]
fn finds_the_texts_of_a_message() {
    let body = json!({
        "metrics": {"latencyMs": 551},
        "output": {"message": {"content": [
            {"reasoningContent": {"reasoningText": {"text": "hm", "signature": BLOB}}},
            {"reasoningContent": {"redactedContent": BLOB}},
            {"text": "one "},
            {"citationsContent": {"content": [{"text": "two"}], "citations": [{"title": "t", "source": "s",
                "sourceContent": [{"text": "q"}], "location": {"documentChar": {"documentIndex": 0, "start": 1, "end": 5}}}]}},
            {"toolUse": {"toolUseId": "tooluse_kZJMlvQmRJ6eAyJE5GIl7Q", "name": "get", "input": {"city": "Oslo"}}},
            {"toolResult": {"toolUseId": "tooluse_1", "status": "success", "content": [{"text": "r"}, {"json": {"k": "v"}}]}}],
            "role": "assistant"}},
        "stopReason": "tool_use",
        "usage": {"inputTokens": 5, "outputTokens": 7, "totalTokens": 12, "cacheReadInputTokens": 0, "cacheDetails": [{"ttl": "5m", "inputTokens": 0}]},
        "serviceTier": {"type": "default"}, "performanceConfig": {"latency": "standard"},
        "additionalModelResponseFields": {"stop_sequence": "END"},
    });
    let (codec, event) = unary(&DIALECT, &body);
    let expected = [
        "0 reasoning 0 hm",
        "0 content 0 one ",
        "0 content 0 two",
        "0 other 0 t",
        "0 other 1 s",
        "0 other 2 q",
        "0 name 0 !get",
        "0 tool_arguments 0 !city",
        "0 tool_arguments 1 Oslo",
        "0 content 1 r",
        "0 content 2 !k",
        "0 content 3 v",
        "0 other 3 !stop_sequence",
        "0 other 4 END",
    ];
    assert_eq!(texts_of(&event), expected);
    assert_eq!(encoded(&*codec, &event, &[]).unwrap(), body.to_string());
    let edits = [&[None; 2][..], &[Some("2")], &[None; 5], &[Some("#\n")]].concat();
    let out = encoded(&*codec, &event, &edits).unwrap();
    assert_eq!(out, body.to_string().replace("Oslo", "#\\n").replace("two", "2"));
}

#[test]
fn the_trace_of_a_guardrail_is_judged_and_its_own_words_are_not() {
    let finding =
        json!({"name": "n", "match": "m", "regex": "r", "type": "EMAIL", "action": "ANONYMIZED", "detected": true});
    let assessment = json!({
        "topicPolicy": {"topics": [{"name": "topic", "type": "DENY", "action": "BLOCKED"}]},
        "contentPolicy": {"filters": [{"type": "HATE", "confidence": "HIGH", "filterStrength": "LOW", "action": "NONE"}]},
        "sensitiveInformationPolicy": {"piiEntities": [finding], "regexes": []},
        "contextualGroundingPolicy": {"filters": [{"type": "GROUNDING", "threshold": 0.5, "score": 0.25, "action": "NONE"}]},
        "invocationMetrics": {"guardrailProcessingLatency": 5, "usage": {"topicPolicyUnits": 1}, "guardrailCoverage": {"textCharacters": {"guarded": 1, "total": 2}}},
        "automatedReasoningPolicy": {"findings": [{"tooComplex": {}}]}});
    let body = json!({"trace": {"promptRouter": {"invokedModelId": "m"}, "guardrail": {
        "modelOutput": ["said before"], "actionReason": "why", "inputAssessment": {"abc123def456": assessment},
        "outputAssessments": {"odd key": [{"a": 1}]}}}});
    let (_, event) = unary(&DIALECT, &body);
    let expected = [
        "0 word 0 !m",
        "0 content 0 said before",
        "0 other 0 why",
        "0 other 1 topic",
        "0 other 2 n",
        "0 other 3 m",
        "0 other 4 r",
        "0 other 5 !findings",
        "0 other 6 !tooComplex",
        "0 other 7 !odd key",
        "0 other 8 !a",
        "0 other 9 !1",
    ];
    assert_eq!(texts_of(&event), expected);
}

#[test]
fn errors_are_read_whatever_their_shape() {
    for (body, expected) in [
        (json!({"message": "the prompt said x"}), &["0 other 0 the prompt said x"][..]),
        (json!({"__type": "ValidationException", "Message": "m"}), &["0 other 0 m"]),
        (json!({"__type": "sk-1", "code": "a b"}), &["0 word 0 !sk-1", "0 other 0 !a b"]),
        (
            json!({"originalStatusCode": 500, "originalMessage": "m", "resourceName": "r"}),
            &["0 other 0 m", "0 other 1 r"],
        ),
        (json!("Not found"), &["0 other 0 Not found"]),
    ] {
        let (_, event) = unary(&DIALECT, &body);
        assert_eq!(texts_of(&event), expected, "{body}");
    }
}

#[test]
fn a_picture_in_an_answer_is_refused() {
    let picture = json!({"format": "png", "source": {"bytes": "aGk="}});
    for block in [
        json!({"image": picture}),
        json!({"video": {}}),
        json!({"audio": {}}),
        json!({"document": {"source": {"bytes": "aGk="}}}),
        json!({"toolResult": {"content": [{"image": picture}]}}),
        json!({"guardContent": {"image": picture}}),
    ] {
        let body = json!({"output": {"message": {"content": [block]}}}).to_string();
        let (_, events, error) = run(&DIALECT, Framing::Json, &[body.as_bytes()]);
        assert!(events.is_empty() && error.unwrap().to_string().contains("this route judges text only"), "{body}");
    }
}

#[test]
fn refusals_are_errors_of_the_api() {
    for (status, kind) in [
        (400, "ValidationException"),
        (401, "AccessDeniedException"),
        (403, "AccessDeniedException"),
        (404, "ResourceNotFoundException"),
        (408, "ModelTimeoutException"),
        (413, "ValidationException"),
        (429, "ThrottlingException"),
        (500, "InternalServerException"),
        (502, "InternalServerException"),
        (503, "ServiceUnavailableException"),
        (504, "ModelTimeoutException"),
    ] {
        let body: Json = serde_json::from_slice(&DIALECT.refuse(&refusal(status))).unwrap();
        let expected =
            json!({"__type": kind, "message": "what \"and\" why", "reason": "a_code", "param": "messages[0]"});
        assert_eq!(body, expected, "{status}");
    }
}

#[test]
fn a_message_of_ours_is_an_answer_of_the_api() {
    let prompt = |path: &str| BedrockConverse::new(10).parse_request("{}".into(), path).unwrap();
    let (framing, body) = DIALECT.answer_with(&*prompt("/model/m/converse"), "No \"way\".");
    assert_eq!(framing, Framing::Json);
    let usage = json!({"inputTokens": 0, "outputTokens": 0, "totalTokens": 0});
    let expected = json!({
        "output": {"message": {"role": "assistant", "content": [{"text": "No \"way\"."}]}},
        "stopReason": "guardrail_intervened", "usage": usage, "metrics": {"latencyMs": 0}});
    assert_eq!(serde_json::from_slice::<Json>(&body).unwrap(), expected);
    let (framing, body) = DIALECT.answer_with(&*prompt("/model/m/converse-stream"), "No.");
    assert_eq!(framing, Framing::EventStream);
    let expected = [
        json!({":event-type": "messageStart", "role": "assistant"}),
        json!({":event-type": "contentBlockDelta", "contentBlockIndex": 0, "delta": {"text": "No."}}),
        json!({":event-type": "contentBlockStop", "contentBlockIndex": 0}),
        json!({":event-type": "messageStop", "stopReason": "guardrail_intervened"}),
        json!({":event-type": "metadata", "usage": usage, "metrics": {"latencyMs": 0}}),
    ];
    assert_eq!(events_of(&body), expected);
}

#[test]
fn answers_come_in_two_framings() {
    let framing = |media_type| BedrockConverse::new(1).framing(media_type);
    assert_eq!(framing("application/json"), Some(Framing::Json));
    assert_eq!(framing("application/vnd.amazon.eventstream"), Some(Framing::EventStream));
    assert_eq!(framing("text/event-stream"), None);
    // Of the dialects that are text none takes it: in other operations of Bedrock such payloads are base64.
    let chat = crate::wire::openai_chat::OpenAiChat::new(1);
    assert_eq!(chat.framing("application/vnd.amazon.eventstream"), None);
    for framing in [Framing::Sse, Framing::Ndjson] {
        let (_, events, error) = run(&DIALECT, framing, &[b"data: {}\n\n", b"{}\n"]);
        assert!(events.is_empty() && error.is_some());
    }
}
