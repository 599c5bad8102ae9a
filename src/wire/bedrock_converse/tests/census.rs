//! Every string, key and number of rich bodies says something of its own, and all of it is seen.

use super::DIALECT;
use crate::wire::Framing;
use crate::wire::testing::{answer_is_seen, request_is_seen};

const REQUEST: &str = r#"{
  "messages": [
    {"role": "user", "content": [{"text": "a~"}, {"text": "b~"}, {"cachePoint": {"type": "c~", "ttl": "d~", "e~": "f~"}},
      {"guardContent": {"text": {"text": "g~", "qualifiers": ["h~", "query"], "i~": 0}}},
      {"document": {"format": "a~", "name": "b~", "context": "c~", "citations": {"enabled": true, "d~": 0}, "source": {"text": "e~"}, "f~": "g~"}},
      {"document": {"name": "a~", "source": {"content": [{"text": "b~"}, {"text": "c~"}]}}},
      {"searchResult": {"source": "a~", "title": "b~", "content": [{"text": "c~"}], "d~": "e~"}},
      {"toolResult": {"toolUseId": "a~", "status": "b~", "type": "c~", "content": [{"text": "d~"}, {"json": {"e~": ["f~", 0]}},
        {"searchResult": {"title": "g~"}}, {"document": {"name": "h~", "source": {"text": "i~"}}}], "j~": "k~"}}], "m~": "n~"},
    {"role": "assistant", "content": [{"reasoningContent": {"reasoningText": {"text": "a~", "signature": "b~", "c~": "d~"}}},
      {"toolUse": {"toolUseId": "a~", "name": "b~", "type": "c~", "input": {"d~": ["e~", 0]}, "f~": "g~"}},
      {"citationsContent": {"content": [{"text": "a~"}], "citations": [{"title": "b~", "source": "c~", "sourceContent": [{"text": "d~"}],
        "location": {"web": {"url": "e~", "domain": "f~"}, "documentChar": {"documentIndex": 1, "start": 1, "g~": 0}}, "h~": "i~"}]}}]},
    {"role": "system", "content": [{"text": "a~"}]}],
  "system": [{"text": "a~"}, {"guardContent": {"text": {"text": "b~"}}}, {"cachePoint": {"type": "c~"}}],
  "inferenceConfig": {"maxTokens": 1, "stopSequences": ["a~", "b~"], "c~": 0},
  "toolConfig": {"tools": [{"toolSpec": {"name": "a~", "description": "b~", "inputSchema": {"json": {"type": "c~", "properties": {"d~": {"enum": ["e~", 0]}}}}, "f~": "g~"}},
    {"cachePoint": {"type": "h~"}}], "toolChoice": {"tool": {"name": "a~", "b~": "c~"}}, "d~": "e~"},
  "guardrailConfig": {"guardrailIdentifier": "a~", "guardrailVersion": "b~", "trace": "c~", "streamProcessingMode": "d~", "e~": 0},
  "additionalModelRequestFields": {"a~": {"b~": ["c~", {"d~": 0}]}, "e": 0, "tools": [{"name": "f~", "type": "custom"}]},
  "additionalModelResponseFieldPaths": ["a~"], "requestMetadata": {"a~": "b~"},
  "performanceConfig": {"latency": "a~", "b~": 0}, "serviceTier": {"type": "a~"},
  "outputConfig": {"effort": "a~", "textFormat": {"type": "b~", "structure": {"jsonSchema": {"schema": "c~", "name": "d~", "description": "e~", "f~": 0}}}},
  "a~": [{"b~": "c~"}], "d": 0
}"#;

const BLOCKS: &str = r#"[{"text": "a~", "b~": "c~"},
  {"reasoningContent": {"reasoningText": {"text": "a~", "signature": "b~", "c~": 0}, "redactedContent": "d~", "text": "e~", "signature": "f~"}},
  {"citationsContent": {"content": [{"text": "a~"}, "b~"], "citations": [{"title": "c~", "source": "d~", "sourceContent": [{"text": "e~"}],
    "location": {"web": {"url": "f~", "domain": "g~"}, "documentPage": {"start": 1, "h~": 0}}, "i~": "j~"}]}},
  {"toolUse": {"toolUseId": "a~", "name": "b~", "input": {"c~": ["d~", 0]}, "type": "e~", "f~": "g~"}},
  {"toolResult": {"toolUseId": "a~", "content": [{"text": "b~"}, {"json": {"c~": 0}}, {"searchResult": {"source": "d~", "title": "e~", "content": [{"text": "f~"}]}}], "status": "g~", "type": "h~"}},
  {"searchResult": {"source": "a~", "title": "b~", "content": [{"text": "c~"}]}}, {"guardContent": {"text": {"text": "a~", "qualifiers": ["b~"]}}},
  {"cachePoint": {"type": "a~", "ttl": "b~"}}, {"toolAddition": {"tool": {"name": "a~"}}}, {"toolRemoval": {"tool": {"b~": 0}}}, "c~"]"#;

const MEMBERS: &str = r#"
  "stopReason": "a~", "usage": {"inputTokens": 1, "cacheDetails": [{"ttl": "b~", "inputTokens": 1, "c~": 0}], "d~": 0}, "metrics": {"latencyMs": 1, "e~": "f~"},
  "additionalModelResponseFields": {"g~": ["h~", 0]}, "performanceConfig": {"latency": "i~"}, "serviceTier": {"type": "j~"}, "role": "k~",
  "trace": {"promptRouter": {"invokedModelId": "a~"}, "guardrail": {"modelOutput": ["b~"], "actionReason": "c~", "inputAssessment": {"abc123def456": {
      "topicPolicy": {"topics": [{"name": "d~", "type": "e~", "action": "f~", "detected": true, "g~": 0}]},
      "contentPolicy": {"filters": [{"type": "h~", "confidence": "i~", "filterStrength": "j~", "action": "k~"}]},
      "wordPolicy": {"customWords": [{"match": "l~"}], "managedWordLists": [{"match": "m~", "type": "n~"}]},
      "sensitiveInformationPolicy": {"piiEntities": [{"match": "o~"}], "regexes": [{"regex": "p~", "name": "q~"}]},
      "contextualGroundingPolicy": {"filters": [{"threshold": 1, "score": 1}]}, "automatedReasoningPolicy": {"findings": [{"valid": {"r~": 0}}]},
      "invocationMetrics": {"guardrailProcessingLatency": 1, "usage": {"topicPolicyUnits": 1, "s~": 0}, "guardrailCoverage": {"images": {"guarded": 1, "t~": 0}}},
      "appliedGuardrailDetails": {"guardrailId": "u~", "guardrailVersion": "v~", "guardrailArn": "w~", "guardrailOrigin": ["x~"], "guardrailOwnership": "y~"}}},
    "outputAssessments": {"z~": [{"a~": 0}], "abc123def456": [{"b~": "c~"}]}, "d~": "e~"}},
  "__type": "a~", "code": "b~", "message": "c~", "Message": "d~", "originalMessage": "e~", "originalStatusCode": 1, "resourceName": "f~", "reason": "g~",
  ":error-code": "h~", ":error-message": "i~", "j~": {"k~": ["l~", 0]}, "m": 0"#;

/// What stands in a stream's events, of whatever type.
const EVENT: &str = r#""contentBlockIndex":0, "p": "~",
  "start": {"toolUse": {"toolUseId": "a~", "name": "b~", "type": "c~", "input": "d~"}, "toolResult": {"toolUseId": "e~", "type": "f~", "status": "g~"}, "h~": 0},
  "delta": {"text": "a~", "toolUse": {"input": "b~", "c~": "d~"}, "toolResult": [{"text": "e~"}, {"json": {"f~": 0}}, {"g~": "h~"}],
    "reasoningContent": {"text": "i~", "redactedContent": "j~", "signature": "k~", "l~": 0},
    "citation": {"title": "m~", "source": "n~", "sourceContent": [{"text": "o~"}], "location": {"web": {"url": "p~"}}}, "q~": 0}"#;

#[test]
fn every_text_of_a_request_is_seen_or_refused() {
    // What numbers are the API's own, whatever their size.
    let numbers = [
        "/inferenceConfig/maxTokens",
        "/messages/1/content/2/citationsContent/citations/0/location/documentChar/documentIndex",
        "/messages/1/content/2/citationsContent/citations/0/location/documentChar/start",
    ];
    request_is_seen(&DIALECT, REQUEST, &numbers);
}

#[test]
fn every_text_of_an_answer_is_seen_or_not_written() {
    let whole =
        format!(r#"{{"output": {{"message": {{"role": "a~", "content": {BLOCKS}, "b~": 0}}, "c~": 0}}, {MEMBERS}}}"#);
    answer_is_seen(&DIALECT, Framing::Json, &whole, 0);
    for kind in ["contentBlockStart", "contentBlockDelta", "new"] {
        // What goes: the padding.
        let event = format!(r#"{{":event-type":"{kind}", {EVENT}, {MEMBERS}}}"#);
        answer_is_seen(&DIALECT, Framing::EventStream, &event, 1);
    }
    let exception = format!(r#"{{":exception-type":"validationException", {EVENT}, {MEMBERS}}}"#);
    answer_is_seen(&DIALECT, Framing::EventStream, &exception, 1);
    // Of an error nothing leaves but these.
    answer_is_seen(&DIALECT, Framing::EventStream, r#"{":error-code":"a",":error-message": "b~"}"#, 0);
}
