//! A request, items, a response and events that have every member of the SDK's types.

use serde_json::{Value as Json, json};

fn read(text: &str) -> Json {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// What a guarded request may have. Strings that say something hold a space.
pub fn request() -> Json {
    read(
        r#"{
  "model": "gpt-x", "instructions": "a b", "stream": true, "store": true, "background": false, "truncation": "auto", "service_tier": "auto",
  "temperature": 1, "top_p": 1, "top_logprobs": 1, "max_output_tokens": 1, "max_tool_calls": 1, "parallel_tool_calls": true,
  "include": ["message.output_text.logprobs"], "metadata": {"k k": "v v"}, "user": "u u", "safety_identifier": "s s", "prompt_cache_key": "p p",
  "prompt_cache_options": {"mode": "explicit", "ttl": "30m", "prewarm": true}, "prompt_cache_retention": "24h",
  "moderation": {"model": "m", "policy": {"input": {"mode": "score"}, "output": {"mode": "block"}}}, "stop": ["s s"],
  "access_programs": {"cyber": "standard"}, "image": {"context_compression": "auto"}, "stream_options": {"include_obfuscation": true},
  "reasoning": {"effort": "low", "summary": "auto", "generate_summary": "auto", "mode": "pro", "context": "auto"},
  "text": {"verbosity": "low", "format": {"type": "json_schema", "name": "n", "description": "d d", "strict": true, "schema": {"enum": ["e e"], "q q": "r"}}},
  "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "n"}]},
  "tools": [
    {"type": "function", "name": "f", "description": "d d", "strict": true, "async": true, "defer_loading": true, "allowed_callers": ["direct"],
     "parameters": {"type": "object", "properties": {"p p": {"type": "string", "description": "d d", "default": "x x"}}}, "output_schema": {"title": "t t"}},
    {"type": "custom", "name": "c", "description": "d d", "format": {"type": "text"}, "async": true, "defer_loading": true, "allowed_callers": ["direct"]},
    {"type": "namespace", "name": "n", "description": "d d", "tools": [{"type": "function", "name": "f", "description": "d d"}, {"type": "custom", "name": "c"}]},
    {"type": "local_shell"}, {"type": "apply_patch", "allowed_callers": ["programmatic"]},
    {"type": "shell", "allowed_callers": ["direct"], "environment": {"type": "local", "skills": [{"name": "n", "description": "d d", "path": "/p"}]}},
    {"type": "tool_search", "execution": "client", "description": "d d", "parameters": {"title": "t t"}}],
  "input": [
    {"role": "user", "content": "a a", "phase": "commentary"},
    {"type": "message", "role": "system", "status": "completed", "content": [
      {"type": "input_text", "text": "a a", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}}, {"type": "text", "text": "b b"}]},
    {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "phase": "final_answer", "content": [
      {"type": "output_text", "text": "c c", "logprobs": [{"token": "c c", "logprob": -1, "top_logprobs": [{"token": "t t"}]}], "annotations": [
        {"type": "file_citation", "file_id": "f", "filename": "n n", "index": 1},
        {"type": "url_citation", "url": "u u", "title": "t t", "start_index": 1, "end_index": 1},
        {"type": "container_file_citation", "container_id": "c", "file_id": "f", "filename": "n n", "start_index": 1, "end_index": 1}]},
      {"type": "refusal", "refusal": "r r"}]},
    {"type": "reasoning", "id": "rs_1", "status": "completed", "summary": [{"type": "summary_text", "text": "s s"}], "content": [{"type": "reasoning_text", "text": "r r"}]},
    {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "n", "namespace": "ns", "arguments": "{\"a\":\"b b\"}", "async": true,
     "caller": {"type": "program", "caller_id": "c"}, "status": "completed", "created_by": "c"},
    {"type": "function_call_output", "id": "fco_1", "call_id": "call_1", "name": "n", "namespace": "ns", "output": "o o", "caller": {"type": "direct"}, "status": "completed"},
    {"type": "function_call_output", "output": [{"type": "input_text", "text": "o o", "prompt_cache_breakpoint": {"mode": "explicit"}}]},
    {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_1", "name": "n", "namespace": "ns", "input": "i i", "async": true, "caller": {"type": "direct"}},
    {"type": "custom_tool_call_output", "id": "i", "call_id": "call_1", "output": "o o", "caller": {"type": "direct"}},
    {"type": "local_shell_call", "id": "lsh_1", "call_id": "call_1", "status": "completed",
     "action": {"type": "exec", "command": ["c c"], "env": {"k k": "v v"}, "timeout_ms": 1, "user": "u", "working_directory": "/w"}},
    {"type": "local_shell_call_output", "id": "i", "output": "o o", "status": "completed"},
    {"type": "shell_call", "id": "sh_1", "call_id": "call_1", "status": "completed", "caller": {"type": "direct"},
     "action": {"commands": ["c c"], "max_output_length": 1, "timeout_ms": 1}, "environment": {"type": "local", "skills": []}},
    {"type": "shell_call_output", "id": "i", "call_id": "call_1", "max_output_length": 1, "status": "completed", "caller": {"type": "direct"},
     "output": [{"stdout": "o o", "stderr": "e e", "outcome": {"type": "exit", "exit_code": 1}, "created_by": "c"}]},
    {"type": "apply_patch_call", "id": "apc_1", "call_id": "call_1", "status": "completed", "caller": {"type": "direct"},
     "operation": {"type": "update_file", "path": "p p", "diff": "d d"}},
    {"type": "apply_patch_call_output", "id": "i", "call_id": "call_1", "output": "o o", "status": "failed", "caller": {"type": "direct"}},
    {"type": "tool_search_call", "id": "tsc_1", "call_id": "call_1", "execution": "client", "arguments": {"k k": "v v"}, "status": "completed"},
    {"type": "tool_search_output", "id": "i", "call_id": "call_1", "execution": "client", "status": "completed", "tools": [{"type": "function", "name": "n", "description": "d d"}]},
    {"type": "additional_tools", "id": "i", "role": "developer", "tools": [{"type": "function", "name": "n", "description": "d d"}]},
    {"type": "configuration_update", "id": "i", "reasoning": {"effort": "low"}, "text": {"verbosity": "low", "format": {"type": "text"}}}]
}"#,
    )
}

/// Items of an answer.
pub fn items() -> Vec<Json> {
    let items = read(
        r#"[
  {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "phase": "commentary", "content": [
    {"type": "output_text", "text": "a a", "logprobs": [{"token": "a", "bytes": [97], "logprob": -1, "top_logprobs": [{"token": "b", "bytes": [98], "logprob": -1}]}],
     "annotations": [{"type": "file_citation", "file_id": "file-1", "filename": "n n", "index": 1},
       {"type": "url_citation", "url": "u u", "title": "t t", "start_index": 1, "end_index": 1},
       {"type": "container_file_citation", "container_id": "cntr_1", "file_id": "f", "filename": "n n", "start_index": 1, "end_index": 1},
       {"type": "file_path", "file_id": "f", "index": 1}]},
    {"type": "refusal", "refusal": "r r"}]},
  {"type": "reasoning", "id": "rs_1", "status": "completed", "encrypted_content": "e e", "summary": [{"type": "summary_text", "text": "s s"}],
   "content": [{"type": "reasoning_text", "text": "r r"}]},
  {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "n", "namespace": "ns", "arguments": "{\"a\":\"b b\"}", "async": true,
   "caller": {"type": "program", "caller_id": "c"}, "status": "completed"},
  {"type": "function_call_output", "id": "fco_1", "call_id": "call_1", "name": "n", "namespace": "ns", "output": "o o", "caller": {"type": "direct"}, "status": "completed", "created_by": "c"},
  {"type": "function_call_output", "id": "fco_1", "output": [{"type": "input_text", "text": "o o"}, {"type": "input_file", "filename": "n n", "detail": "low"}]},
  {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_1", "name": "n", "namespace": "ns", "input": "i i", "async": true, "caller": {"type": "direct"}},
  {"type": "custom_tool_call_output", "id": "i", "call_id": "call_1", "output": "o o", "caller": {"type": "direct"}, "status": "completed", "created_by": "c"},
  {"type": "file_search_call", "id": "fs_1", "queries": ["q q"], "status": "searching", "results": [
    {"attributes": {"k k": "v v", "n": 5}, "file_id": "f", "filename": "n n", "score": 0.5, "text": "t t"}]},
  {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q q", "queries": ["q q"], "sources": [{"type": "url", "url": "u u"}]}},
  {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "find_in_page", "pattern": "p p", "url": "u u"}},
  {"type": "computer_call", "id": "cu_1", "call_id": "call_1", "status": "completed", "pending_safety_checks": [{"id": "cu_1", "code": "c", "message": "m m"}],
   "action": {"type": "click", "button": "left", "x": 1, "y": 1, "keys": ["k k"]},
   "actions": [{"type": "drag", "path": [{"x": 1, "y": 1}]}, {"type": "scroll", "scroll_x": 1, "scroll_y": 1, "x": 1, "y": 1}, {"type": "type", "text": "t t"}]},
  {"type": "computer_call_output", "id": "i", "call_id": "call_1", "output": {"type": "computer_screenshot"}, "status": "failed", "created_by": "c",
   "acknowledged_safety_checks": [{"id": "cu_1", "code": "c", "message": "m m"}]},
  {"type": "program", "id": "i", "call_id": "call_1", "code": "c c", "fingerprint": "f f"},
  {"type": "program_output", "id": "i", "call_id": "call_1", "result": "r r", "status": "completed"},
  {"type": "tool_search_call", "id": "tsc_1", "call_id": "call_1", "execution": "client", "arguments": {"k k": "v v", "n": 5}, "status": "completed", "created_by": "c"},
  {"type": "tool_search_output", "id": "i", "call_id": "call_1", "execution": "server", "status": "completed", "created_by": "c", "tools": [
    {"type": "function", "name": "n", "description": "d d", "parameters": {"type": "object", "properties": {"p p": {"type": "string"}}}}]},
  {"type": "additional_tools", "id": "i", "role": "developer", "tools": [{"type": "mcp", "server_label": "l", "server_url": "u u", "headers": {"k k": "v v"}}]},
  {"type": "compaction", "id": "cmp_1", "encrypted_content": "e e", "created_by": "c"},
  {"type": "image_generation_call", "id": "i", "status": "generating", "revised_prompt": "p p", "action": "edit", "background": "opaque", "output_format": "png",
   "quality": "low", "size": "1024x1024", "svg_usage": {"model": "m", "input_tokens": 1, "output_tokens": 1, "reasoning_tokens": 1, "total_tokens": 1},
   "error": {"code": "c", "message": "m m", "param": "p p", "type": "t", "moderation_details": {"categories": ["c c"], "moderation_stage": "input"}}},
  {"type": "code_interpreter_call", "id": "ci_1", "code": "c c", "container_id": "cntr_1", "outputs": [{"type": "logs", "logs": "l l"}], "status": "interpreting"},
  {"type": "local_shell_call", "id": "lsh_1", "call_id": "call_1", "status": "completed",
   "action": {"type": "exec", "command": ["c c"], "env": {"k k": "v v"}, "timeout_ms": 1, "user": "u", "working_directory": "/w"}},
  {"type": "local_shell_call_output", "id": "i", "output": "o o", "status": "completed"},
  {"type": "shell_call", "id": "sh_1", "call_id": "call_1", "status": "completed", "caller": {"type": "direct"}, "created_by": "c",
   "action": {"commands": ["c c"], "max_output_length": 1, "timeout_ms": 1}, "environment": {"type": "container_reference", "container_id": "cntr_1"}},
  {"type": "shell_call_output", "id": "i", "call_id": "call_1", "max_output_length": 1, "status": "completed", "caller": {"type": "direct"},
   "output": [{"stdout": "o o", "stderr": "e e", "outcome": {"type": "exit", "exit_code": 1}, "created_by": "c"}]},
  {"type": "apply_patch_call", "id": "apc_1", "call_id": "call_1", "status": "completed", "operation": {"type": "create_file", "path": "p p", "diff": "d d"}},
  {"type": "apply_patch_call_output", "id": "i", "call_id": "call_1", "output": "o o", "status": "failed", "created_by": "c"},
  {"type": "mcp_call", "id": "mcp_1", "arguments": "{\"a\":\"b b\"}", "name": "n", "server_label": "l", "approval_request_id": "mcpr_1", "output": "o o", "status": "calling",
   "error": {"type": "mcp_tool_execution_error", "content": [{"text": "t t"}], "code": 1, "message": "m m"}},
  {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "l", "error": "e e", "tools": [
    {"name": "n", "description": "d d", "input_schema": {"type": "object"}, "annotations": {"a a": "b b"}}]},
  {"type": "mcp_approval_request", "id": "mcpr_1", "arguments": "a a", "name": "n", "server_label": "l"},
  {"type": "mcp_approval_response", "id": "i", "approval_request_id": "mcpr_1", "approve": true, "reason": "r r"},
  {"type": "an item to come", "id": "i", "note": {"a a": ["b b", 5]}}
]"#,
    );
    items.as_array().cloned().unwrap_or_default()
}

/// A whole answer, with the first of [`items`].
pub fn response() -> Json {
    let mut response = read(
        r#"{
  "id": "resp_1", "object": "response", "created_at": 1741569952.5, "completed_at": 1741569953, "status": "completed", "model": "gpt-x",
  "error": {"code": "c", "message": "m m", "type": "t", "param": "p p", "misalignment": {"detailed_explanation": "e e", "steer": {"message": "m m"}}},
  "incomplete_details": {"reason": "max_output_tokens"}, "instructions": "i i", "metadata": {"k k": "v v"}, "output_text": "t t",
  "parallel_tool_calls": true, "temperature": 1.0, "top_p": 1, "top_logprobs": 1, "max_output_tokens": 1, "max_tool_calls": 1,
  "frequency_penalty": 0, "presence_penalty": 0, "background": false, "store": true, "truncation": "auto", "service_tier": "flex", "user": "u u",
  "tool_choice": {"type": "function", "name": "n"}, "safety_identifier": "s s", "prompt_cache_key": "p p", "prompt_cache_retention": "24h",
  "prompt_cache_options": {"mode": "implicit", "ttl": "30m", "comparison_response_id": "resp_1"},
  "prompt_cache_diagnostics": {"type": "cache_miss", "reason": "tools_changed", "cache_missed_tokens": 1, "comparison_reusable_tokens": 1},
  "previous_response_id": "resp_1", "conversation": {"id": "conv_1"}, "prompt": {"id": "pmpt_1", "version": "1", "variables": {"k k": {"type": "input_text", "text": "t t"}}},
  "access_programs": {"cyber": "standard"}, "image": {"context_compression": "enabled"},
  "input_transformations": [{"id": "rs_1", "action": "removed", "reason": "turn_boundary", "type": "reasoning"}],
  "moderation": {"input": {"type": "moderation_result", "flagged": true, "model": "m", "categories": {"self-harm/intent": true},
      "category_scores": {"hate": 0.5, "a a": 0.5}, "category_applied_input_types": {"violence": ["text"]}},
    "output": {"type": "error", "code": "c", "message": "m m"}},
  "reasoning": {"effort": "low", "summary": "auto", "generate_summary": "auto", "mode": "standard", "context": "auto"},
  "text": {"verbosity": "low", "format": {"type": "json_schema", "name": "n", "description": "d d", "strict": true, "schema": {"enum": ["e e"]}}},
  "tools": [{"type": "function", "name": "f", "description": "d d", "strict": true, "parameters": {"properties": {"p p": {"default": 5}}}}],
  "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2, "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 1,
      "cache_write_tokens_details": {"ttl_12h_tokens": 1, "ttl_30m_tokens": 1}}, "output_tokens_details": {"reasoning_tokens": 1}},
  "tool_usage": {"web_search": {"num_requests": 1}, "image_gen": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 1, "cached_tokens": 1,
    "input_tokens_details": {"image_tokens": 1, "text_tokens": 1}, "cached_tokens_details": {"cached_image_tokens": 1, "cached_text_tokens": 1},
    "output_tokens_details": {"image_tokens": 1, "text_tokens": 1}}}
}"#,
    );
    response["output"] = items().into_iter().take(3).collect();
    response
}

/// Events of each type.
pub fn events() -> Vec<Json> {
    let logprobs = r#"[{"token": "d d", "logprob": -1, "top_logprobs": [{"token": "b", "logprob": -1}]}]"#;
    let mut events = vec![
        json!({"type": "response.completed", "response": response()}),
        read(
            r#"{"type": "error", "code": "c", "message": "m m", "param": "p p", "error": {"message": "m m", "code": "c"}}"#,
        ),
        read(
            r#"{"type": "an event to come", "delta": "d d", "note": {"a a": ["b b", 5]}, "error": {"message": "m m", "type": "t"}}"#,
        ),
        read(r#"{"error": "e e"}"#),
        read(
            r#"{"type": "response.output_text.annotation.added", "annotation": {"type": "url_citation", "url": "u u", "title": "t t", "start_index": 1, "end_index": 1}}"#,
        ),
        read(&format!(r#"{{"type": "response.output_text.delta", "delta": "d d", "logprobs": {logprobs}}}"#)),
        read(&format!(r#"{{"type": "response.output_text.done", "text": "d d", "logprobs": {logprobs}}}"#)),
        read(r#"{"type": "response.refusal.delta", "delta": "d d"}"#),
        read(r#"{"type": "response.refusal.done", "refusal": "d d"}"#),
        read(r#"{"type": "response.reasoning_text.delta", "delta": "d d"}"#),
        read(r#"{"type": "response.reasoning_text.done", "text": "d d"}"#),
        read(r#"{"type": "response.reasoning_summary_text.delta", "delta": "d d"}"#),
        read(r#"{"type": "response.reasoning_summary_text.done", "text": "d d"}"#),
        read(
            r#"{"type": "response.reasoning_summary_part.done", "part": {"type": "summary_text", "text": "d d"}, "status": "incomplete"}"#,
        ),
        read(r#"{"type": "response.function_call_arguments.delta", "delta": "{\"a\":\"b b"}"#),
        read(r#"{"type": "response.function_call_arguments.done", "arguments": "{\"a\":\"b b\"}", "name": "n"}"#),
        read(r#"{"type": "response.mcp_call_arguments.delta", "delta": "d d"}"#),
        read(r#"{"type": "response.mcp_call_arguments.done", "arguments": "d d"}"#),
        read(r#"{"type": "response.custom_tool_call_input.delta", "delta": "d d"}"#),
        read(r#"{"type": "response.custom_tool_call_input.done", "input": "d d"}"#),
        read(r#"{"type": "response.code_interpreter_call_code.delta", "delta": "d d"}"#),
        read(r#"{"type": "response.code_interpreter_call_code.done", "code": "d d"}"#),
        read(r#"{"type": "response.shell_call_command.added", "command": "d d"}"#),
        read(r#"{"type": "response.shell_call_command.delta", "delta": "d d"}"#),
        read(r#"{"type": "response.shell_call_command.done", "command": "d d"}"#),
        read(r#"{"type": "response.shell_call_output_content.delta", "delta": {"stdout": "o o", "stderr": "e e"}}"#),
        read(
            r#"{"type": "response.shell_call_output_content.done", "output": [{"stdout": "o o", "stderr": "e e", "outcome": {"type": "timeout"}, "created_by": "c"}]}"#,
        ),
        read(r#"{"type": "response.audio.transcript.delta", "delta": "d d"}"#),
        read(r#"{"type": "response.mcp_call.in_progress"}"#),
        read(r#"{"type": "response.image_generation_call.partial_image", "partial_image_index": 1}"#),
    ];
    for item in items() {
        for part in item["content"].as_array().into_iter().flatten() {
            events.push(json!({"type": "response.content_part.done", "part": part}));
        }
        events.push(json!({"type": "response.output_item.done", "item": item}));
    }
    for event in &mut events {
        event["sequence_number"] = json!(3);
        event["item_id"] = json!("msg_1");
        event["obfuscation"] = json!("Lw3uPqsVHK");
        for index in ["output_index", "content_index", "summary_index", "annotation_index", "command_index"] {
            event[index] = json!(1);
        }
    }
    events
}
