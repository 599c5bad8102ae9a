//! Every string, key and number of rich bodies says something of its own, and all of it is seen.

use super::DIALECT;
use crate::wire::Framing;
use crate::wire::testing::{answer_is_seen, request_is_seen};

const REQUEST: &str = r#"{
  "model": "m", "prompt": ["a~", "b~"], "suffix": "c~", "stream": true, "stream_options": {"include_usage": true, "d~": "e~"}, "logit_bias": {"50256": -1, "f~": 0},
  "stop": ["g~", 0], "user": "h~", "service_tier": "i~", "response_format": {"type": "json_schema", "json_schema": {"name": "j~", "schema": {"k~": ["l~"]}}},
  "temperature": 1, "messages": [{"role": "m~", "content": "n~", "at": 0}], "input_prefix": "o~", "input_extra": [{"p~": "q~"}], "r~": {"s~": [{"t~": "u~"}]}, "n": 2, "v": 0
}"#;

const ANSWER: &str = r#"{
  "id": "a~", "object": "b~", "created": 1, "model": "c~", "system_fingerprint": "d~", "service_tier": "e~", "provider": "f~", "usage": {"total_tokens": 1, "g~": "h~", "n": 0},
  "prompt_filter_results": [{"content_filter_results": {"hate": {"severity": "i~"}}}], "error": {"message": "j~", "type": "k~", "code": "l~", "param": "m~"},
  "prompt_token_ids": [ 0], "prompt_logprobs": ["a~"], "detail": {"n~": ["o~", 0]},
  "choices": [{"index":0, "text": "p~", "reasoning": "q~", "finish_reason": "r~", "native_finish_reason": "s~", "stop_reason": "t~", "token_ids": [ 0],
     "content_filter_results": {"u~": {"severity": "v~"}}, "message": {"w~": "x~"}, "y~": 0, "logprobs": {"tokens": ["a~"], "top_logprobs": [{"b~": 0}], "text_offset": [ 0]}},
    {"index": 1, "text": ["z~", 0], "logprobs": "a~"}]
}"#;

#[test]
fn every_text_of_a_request_is_seen_or_refused() {
    // What numbers are the API's own, whatever their size.
    request_is_seen(&DIALECT, REQUEST, &["/temperature", "/logit_bias/50256", "/stream_options/include_usage"]);
}

#[test]
fn every_text_of_an_answer_is_seen_or_not_written() {
    for framing in [Framing::Json, Framing::Sse] {
        // What goes: log-probabilities and token ids.
        answer_is_seen(&DIALECT, framing, ANSWER, 8);
    }
}
