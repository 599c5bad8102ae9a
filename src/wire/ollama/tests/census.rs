//! Every string, key and number of rich bodies says something of its own, and all of it is seen.

use super::{CHAT, GENERATE};
use crate::wire::Framing;
use crate::wire::testing::{answer_is_seen, request_is_seen};

const CHAT_REQUEST: &str = r#"{
  "model": "m", "stream": true, "format": {"type": "object", "title": "a~", "properties": {"b~": {"enum": ["c~", 0]}}}, "keep_alive": "d~", "think": "e~",
  "options": {"temperature": 1, "stop": ["f~", "g~"], "h~": "i~", "j": 0, "k": {"l~": ["m~"]}}, "truncate": true, "x~": "y~", "z": 0, "template": null,
  "messages": [
    {"role": "system", "content": "a~", "b~": "c~"},
    {"role": "user", "content": "d~", "images": [], "thinking": "e~", "name": "f~", "g": {"h~": ["i~", {"n": 0}]}},
    {"role": "user", "content": "j~"},
    {"role": "assistant", "content": "k~", "thinking": "l~", "tool_calls": [
      {"id": "m~", "type": "n~", "o~": "p~", "function": {"index": 1, "name": "q~", "arguments": {"r~": "s~", "n": 0, "t": [ 0, "u~"]}, "v~": "w~"}},
      {"function": {"name": "x~", "arguments": "{\"y~\":\"z~\"}"}}]},
    {"role": "tool", "content": "a~", "tool_name": "b~", "tool_call_id": "c~"}],
  "tools": [{"type": "d~", "items": {"e~": "f~"}, "g~": "h~", "function": {"name": "i~", "description": "j~", "k~": "l~", "parameters":
    {"type": "m~", "$defs": {"n~": "o~"}, "required": ["p~"], "properties": {"q~": {"type": ["string", "r~"], "description": "s~", "enum": ["t~", 0], "Type": "u~"}}}}}]
}"#;

const GENERATE_REQUEST: &str = r#"{
  "model": "m", "prompt": "a~", "suffix": "b~", "system": "c~", "template": "", "context": [], "raw": false, "stream": false, "images": [],
  "format": "d~", "keep_alive": "e~", "think": "f~", "options": {"seed": 1, "stop": "g~", "h~": 0}, "width": 1, "messages": [{"role": "i~", "content": "j~"}],
  "tools": [{"k~": "l~"}], "m~": [[{"n~": "o~"}]], "suffixes": "p~"
}"#;

/// Of either API, whole or a line.
const ANSWER: &str = r#"{
  "model": "a~", "remote_model": "b~", "remote_host": "c~", "created_at": "d~", "response": "e~", "thinking": "f~", "error": "g~", "signin_url": "h~",
  "message": {"role": "i~", "content": "j~", "thinking": "k~", "images": [], "tool_name": "l~", "tool_call_id": "m~", "n~": {"o~": 0},
    "tool_calls": [{"id": "p~", "type": "q~", "r~": "s~", "function": {"index": 1, "name": "t~", "arguments": {"u~": "v~", "n": 0, "w": [ 0, "x~"]}, "y~": "z~"}},
                   {"function": {"name": "a~", "arguments": "{\"b~\": \"c~\"}"}}]},
  "tool_calls": [{"id": "d~", "function": {"name": "e~", "arguments": {"f~": "g~"}}}, "h~", 0],
  "done": false, "done_reason": "i~", "_debug_info": {"rendered_template": "j~", "image_count": 1, "k~": "l~"}, "prompt_eval_count": 1, "eval_count": 1,
  "total_duration": 1, "load_duration": "m~", "eval_duration": 1, "prompt_eval_duration": 1, "completed": 1, "total": 1, "o": 0, "p~": ["q~"],
  "context": [ 0, 0, "r~"], "logprobs": [{"token": "s~", "logprob": -1, "bytes": [ 0], "top_logprobs": [{"token": "t~", "logprob": 0}]}]
}"#;

#[test]
fn every_text_of_a_request_is_seen_or_refused() {
    let numbers = ["/options/temperature", "/messages/3/tool_calls/0/function/index", "/keep_alive", "/think"];
    request_is_seen(&CHAT, CHAT_REQUEST, &numbers);
    request_is_seen(&GENERATE, GENERATE_REQUEST, &["/options/seed", "/width", "/keep_alive", "/think"]);
}

#[test]
fn every_text_of_an_answer_is_seen_or_not_written() {
    for dialect in [CHAT, GENERATE] {
        for framing in [Framing::Json, Framing::Ndjson] {
            // What goes: a duration that is none, the context, the log-probabilities.
            answer_is_seen(&dialect, framing, ANSWER, 8);
        }
    }
}
