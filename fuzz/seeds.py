#!/usr/bin/env python3
"""Writes fuzz/seeds: for each target a few inputs that reach far, in letters that no word of an API has.

What a target has found is put beside them by hand, under the name of what was wrong.
"""

import gzip
import json
import pathlib
import zlib

ROOT = pathlib.Path(__file__).parent / "seeds"


def write(target, name, body, kind=None):
    folder = ROOT / target
    folder.mkdir(parents=True, exist_ok=True)
    body = body if isinstance(body, bytes) else body.encode()
    seed = b"ab" if kind is None else kind.encode() + b"abc"
    (folder / name).write_bytes(b"" if target in ("path", "content", "views") else seed)
    with (folder / name).open("ab") as file:
        file.write(body)


def text(value):
    return json.dumps(value, ensure_ascii=False)


def events(*values, named=False, end="data: [DONE]\n\n"):
    def event(value):
        return (f"event: {value['type']}\n" if named else "") + f"data: {text(value)}\n\n"

    return "".join(map(event, values)) + end


def lines(*values):
    return "".join(text(value) + "\n" for value in values)


# Bytes alone.
for name, body in {
    "plain": '{"a":[1,-0.5e+3,true,null,"é"],"b":{}}',
    "escapes": r'{"\u0061\n":"\ud83d\ude00\"\\\/\b\f\r\t\u0000"}',
    "space": ' {\r\n"a" :\t[ 1 , 2 ] , "b":"\u2028\u0085" } \n',
    "many": "{" + ",".join(f'"k{i}":{i}' for i in range(12)) + "}",
    "twice": r'{"a":1,"\u0061":2}',
    "deep": "[" * 64 + "]" * 64,
    "numbers": "[0,-0,1e308,1E-400,123456789012345678901234567890,1.5e400]",
}.items():
    write("json", name, body)
for name, body in {
    "plain": "data: a\n\nevent: x\ndata: b\n\n",
    "ends": "data: a\r\rdata: b\r\n\r\ndata: c\n\r\ndata:d\rdata: e\n\n",
    "fields": ": note\nid: 1\nretry: 5\nfoo: x\ndata\ndata:\ndata:  é\n\n",
    "mark": "\ufeffdata: a\n\n\ufeffdata: b\n\n",
    "open": "data: a\n\n\n\ndata: [DONE]",
    "separators": "data: \u2028\u0085\x0b\x0c\n\n",
}.items():
    write("sse", name, body)
for name, body in {
    "plain": '{"a":1}\n{"b":"é"}\n',
    "ends": '{"a":1}\r\n\n  \n{"b":2}',
}.items():
    write("ndjson", name, body)
for name, body in {
    "plain": "/v1/chat/completions\n/v1/chat/completions\n/v1/*",
    "escapes": "/%76%31/a%3ab%5b\n/v1/{x}",
    "pattern": "/v1beta/models/gemini-2:generateContent\n/v1beta/models/{model}:generateContent\n/v1beta/{kind}/{m}:generateContent",
    "whole": "/model/a.b-v2:1/converse\n/model/{model}/converse\n/Model/{m}/converse",
    "dots": "/v1/..%2f./%2e\n/a-{b}c",
}.items():
    write("path", name, body)
for name, body in {
    "base64": "say Ymx1\n> ZWJp <br> cmQ= or bm54eCB4d252d3c= or VVVVVVVV",
    "hexadecimal": "0x62 6c-75 \\x65 id_626c756562697264z U+0062 aaga bm5uJTIw\nbm5u",
    "letters": "%2562 &#98;&#x6c;&amp;lt; caf%C3%A9 %u0062 \\\\u0062 &bfr;",
    "dump": "00000000: 626c 7565 6269 7264  bluebird\n00000008: 626c 7565 6269 7264  bluebird\n",
    "hidden": "Ｙｍｘ１ b\u200bl\u00adue \U000e0062\U000e006c **b**lue \ufdfa",
}.items():
    write("views", name, body)



def header(name, value):
    value = value if isinstance(value, bytes) else b"\x07" + len(value.encode()).to_bytes(2) + value.encode()
    return bytes([len(name)]) + name.encode() + value


def binary(headers, payload):
    head = b"".join(header(*item) for item in headers.items())
    lengths = (16 + len(head) + len(payload)).to_bytes(4) + len(head).to_bytes(4)
    message = lengths + zlib.crc32(lengths).to_bytes(4) + head + payload
    return bytes([len(head), len(payload)]), head + payload, message + zlib.crc32(message).to_bytes(4)


JSON = {":content-type": "application/json"}
KINDS = [
    binary({":event-type": "contentBlockDelta", **JSON, ":message-type": "event"}, '{"delta":{"text":"ж"},"p":"ab"}'.encode()),
    binary({":message-type": "event", ":event-type": "messageStop"}, b' { "stopReason" : "end_turn" } \n'),
    binary({":event-type": "metadata", ":message-type": "event"}, b""),
    binary({":exception-type": "throttlingException", **JSON, ":message-type": "exception"}, '{"message":"ж"}'.encode()),
    binary({":error-code": "Odd", ":error-message": "ж \"д\"\n", ":message-type": "error"}, b""),
    binary({":event-type": "x", ":message-type": "event", "a": b"\0", "b": b"\1", "c": b"\2a", "d": b"\3ab", "e": b"\4abcd", "f": b"\5abcdefgh", "g": b"\6\0\1\xff", "h": b"\x08abcdefgh", "i": b"\x09abcdefghijklmnop"}, b"{}"),
]
write("eventstream", "stream", b"".join(message for _, _, message in KINDS), "0")
write("eventstream", "part", KINDS[0][2] + KINDS[1][2][:-1], "0")
write("eventstream", "messages", b"".join(lengths + body for lengths, body, _ in KINDS), "1")
for number, (lengths, body, _) in enumerate(KINDS):
    write("eventstream", f"message_{number}", lengths + body, "1")

# The first byte picks the coding.
for name, body in {
    "gzip": b"0" + gzip.compress(b'{"a":"hello hello hello hello"}', mtime=0),
    "brotli": b"1" + bytes.fromhex("1b1e00f89dc9e3ee3b8a89859c6a1110b6bd1586563a7d59c6f65692081507f483d611"),
    "zstd": b"2" + bytes.fromhex("28b52ffd0458a50000707b2261223a2268656c6c6f20227d0100994b1273f82959"),
    "zstd_raw": b"2" + bytes.fromhex("28b52ffd2005290000") + b"hello",
}.items():
    write("content", name, body)

# OpenAI.
PARAMETERS = {"type": "object", "properties": {"жq": {"type": "string", "description": "д", "enum": ["в"]}}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "get", "arguments": '{"жk": "д\\n\\u0436"}'}}
write("openai_chat", "request", text({
    "model": "gpt-4o", "stream": True, "n": 2,
    "messages": [
        {"role": "system", "content": "ж"},
        {"role": "user", "name": "bob", "content": [{"type": "text", "text": "дé"}, {"type": "text", "text": "жд"}]},
        {"role": "assistant", "content": None, "refusal": "в", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "ю"},
        {"role": "user", "content": "я"}, {"role": "user", "content": "б"},
    ],
    "tools": [{"type": "function", "function": {"name": "get", "description": "ж", "parameters": PARAMETERS}}],
    "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": PARAMETERS}},
    "stop": ["ж", "д"], "metadata": {"жk": "д"}, "odd": {"ж": ["д", 5]},
}), "0")
LOGPROBS = {"content": [{"token": "жд", "logprob": -0.1, "bytes": list("жд".encode()), "top_logprobs": [{"token": "ю", "logprob": -1, "bytes": None}]}], "refusal": None}
write("openai_chat", "answer", text({
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "жд", "refusal": None, "annotations": [{"type": "url_citation", "url_citation": {"title": "в", "url": "http://ж", "start_index": 0, "end_index": 2}}]}, "logprobs": LOGPROBS, "finish_reason": "stop"},
        {"index": 1, "message": {"role": "assistant", "content": None, "reasoning_content": "ю", "tool_calls": [CALL]}, "finish_reason": "tool_calls"},
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}, "odd": ["ж"],
}), "1")


def chunk(delta, finish=None, index=0, **more):
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": index, "delta": delta, "finish_reason": finish, **more}]}


write("openai_chat", "stream", events(
    chunk({"role": "assistant", "content": ""}), chunk({"reasoning_content": "ж"}), chunk({"content": "жд"}, logprobs=LOGPROBS),
    chunk({"content": "ю"}, index=1), chunk({"refusal": "в"}),
    chunk({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "get", "arguments": ""}}]}),
    chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"ж": "\\'}}]}), chunk({"tool_calls": [{"index": 0, "function": {"arguments": 'nд"}'}}]}),
    chunk({}, "stop"), chunk({}, "stop", 1), {"id": "c", "choices": [], "usage": {"total_tokens": 5}},
), "2")
write("openai_chat", "failed", events(chunk({"content": "ж"}), {"error": {"message": "ж д", "code": "x"}}, end=""), "2")

write("openai_completions", "request", text({
    "model": "m", "prompt": ["ж", "д"], "suffix": "в", "stop": ["ж"], "user": "ю", "stream": True, "logprobs": 1, "odd": {"ж": "д"},
}), "0")


def completion(said, finish=None, index=0, logprobs=None):
    return {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m",
            "choices": [{"index": index, "text": said, "finish_reason": finish, "logprobs": logprobs}]}


TOKENS = {"tokens": ["ж", "д"], "token_logprobs": [-1, -0.5], "top_logprobs": [{"ж": -1}, {"ю": -2}], "text_offset": [0, 1]}
write("openai_completions", "answer", text(completion("жд", "stop", 0, TOKENS)), "1")
write("openai_completions", "stream", events(completion("жд", None, 0, TOKENS), completion("ю"), completion("ж", None, 1), completion("", "stop"), completion("", "length", 1)), "2")
write("openai_embeddings", "request", text({"model": "m", "input": ["ж", "д"], "user": "ю"}), "0")
write("openai_embeddings", "answer", text({"object": "list", "model": "m", "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}, {"index": 1, "embedding": "ж"}], "usage": {"prompt_tokens": 1, "total_tokens": 1}}), "1")
write("openai_moderations", "request", text({"model": "m", "input": [{"type": "text", "text": "ж"}, {"type": "text", "text": "д"}]}), "0")
write("openai_moderations", "answer", text({"id": "modr-1", "model": "m", "results": [{"flagged": True, "categories": {"hate": True, "ж": False}, "category_scores": {"hate": 0.5}, "category_applied_input_types": {"hate": ["text", "ж"]}}]}), "1")
write("openai_images", "request", text({"model": "m", "prompt": "ж", "user": "д", "size": "1024x1024", "n": 1}), "0")
write("openai_images", "answer", text({"created": 1, "data": [{"revised_prompt": "ж"}], "usage": {"total_tokens": 5}}), "1")

write("openai_responses", "request", text({
    "model": "m", "instructions": "ж", "stream": True, "metadata": {"k": "д"},
    "input": [
        {"role": "user", "content": "ж"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "д"}, {"type": "input_text", "text": "в"}]},
        {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "ю", "annotations": []}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "б"}]},
        {"type": "function_call", "call_id": "call_1", "name": "get", "arguments": '{"ж": "д\\n"}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "я"},
    ],
    "tools": [{"type": "function", "name": "get", "description": "ж", "parameters": PARAMETERS, "strict": True}],
    "text": {"format": {"type": "json_schema", "name": "s", "schema": PARAMETERS}},
}), "0")
PART = {"type": "output_text", "text": "жд", "annotations": [], "logprobs": []}
MESSAGE = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [PART]}
CALLED = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "get", "arguments": '{"ж": "д\\n"}', "status": "completed"}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "ю"}], "content": [{"type": "reasoning_text", "text": "в"}]}


def response(status, output, **more):
    return {"id": "resp_1", "object": "response", "created_at": 1, "status": status, "model": "m", "output": output,
            "instructions": "ж", "metadata": {"k": "д"}, "tools": [], "usage": None, **more}


write("openai_responses", "answer", text(response("completed", [THOUGHT, MESSAGE, CALLED])), "1")
at = {"item_id": "msg_1", "output_index": 1, "content_index": 0}
told = [
    {"type": "response.created", "response": response("in_progress", [])},
    {"type": "response.output_item.added", "output_index": 0, "item": {**THOUGHT, "summary": [], "content": []}},
    {"type": "response.reasoning_summary_part.added", "item_id": "rs_1", "output_index": 0, "summary_index": 0, "part": {"type": "summary_text", "text": ""}},
    {"type": "response.reasoning_summary_text.delta", "item_id": "rs_1", "output_index": 0, "summary_index": 0, "delta": "ю"},
    {"type": "response.reasoning_summary_text.done", "item_id": "rs_1", "output_index": 0, "summary_index": 0, "text": "ю"},
    {"type": "response.reasoning_text.delta", "item_id": "rs_1", "output_index": 0, "content_index": 0, "delta": "в"},
    {"type": "response.output_item.done", "output_index": 0, "item": THOUGHT},
    {"type": "response.output_item.added", "output_index": 1, "item": {**MESSAGE, "status": "in_progress", "content": []}},
    {"type": "response.content_part.added", **at, "part": {**PART, "text": ""}},
    {"type": "response.output_text.delta", **at, "delta": "ж", "logprobs": []},
    {"type": "response.output_text.delta", **at, "delta": "д", "logprobs": []},
    {"type": "response.output_text.done", **at, "text": "жд", "logprobs": []},
    {"type": "response.content_part.done", **at, "part": PART},
    {"type": "response.output_item.done", "output_index": 1, "item": MESSAGE},
    {"type": "response.output_item.added", "output_index": 2, "item": {**CALLED, "arguments": ""}},
    {"type": "response.function_call_arguments.delta", "item_id": "fc_1", "output_index": 2, "delta": '{"ж": "д\\'},
    {"type": "response.function_call_arguments.delta", "item_id": "fc_1", "output_index": 2, "delta": 'n"}'},
    {"type": "response.function_call_arguments.done", "item_id": "fc_1", "output_index": 2, "name": "get", "arguments": CALLED["arguments"]},
    {"type": "response.output_item.done", "output_index": 2, "item": CALLED},
    {"type": "response.completed", "response": response("completed", [THOUGHT, MESSAGE, CALLED])},
]
told = [{**event, "sequence_number": number} for number, event in enumerate(told)]
write("openai_responses", "stream", events(*told, named=True, end=""), "2")
write("openai_responses", "text", events(*told[7:14], told[-1], end=""), "2")

# Anthropic.
write("anthropic", "request", text({
    "model": "claude-1", "max_tokens": 5, "stream": True, "system": [{"type": "text", "text": "ж"}],
    "messages": [
        {"role": "user", "content": "д"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "в", "signature": "EqQB"}, {"type": "text", "text": "ю"}, {"type": "tool_use", "id": "toolu_1", "name": "get", "input": {"ж": ["д", 5]}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "я"}]}, {"type": "text", "text": "б"}]},
    ],
    "tools": [{"name": "get", "description": "ж", "input_schema": PARAMETERS}], "stop_sequences": ["ж"],
}), "0")


def message(content, reason=None):
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-1", "content": content,
            "stop_reason": reason, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}}


write("anthropic", "answer", text(message([
    {"type": "thinking", "thinking": "в", "signature": "EqQB"}, {"type": "text", "text": "ж", "citations": [{"type": "char_location", "cited_text": "д", "document_index": 0, "document_title": "ю", "start_char_index": 0, "end_char_index": 1}]},
    {"type": "tool_use", "id": "toolu_1", "name": "get", "input": {"ж": "д"}},
], "end_turn")), "1")


def block(index, start, *deltas):
    return [{"type": "content_block_start", "index": index, "content_block": start},
            *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
            {"type": "content_block_stop", "index": index}]


write("anthropic", "stream", events(
    {"type": "message_start", "message": message([])}, {"type": "ping"},
    *block(0, {"type": "thinking", "thinking": "", "signature": ""}, {"type": "thinking_delta", "thinking": "в"}, {"type": "signature_delta", "signature": "EqQB"}),
    *block(1, {"type": "text", "text": ""}, {"type": "text_delta", "text": "ж"}, {"type": "text_delta", "text": "д"}),
    *block(2, {"type": "tool_use", "id": "toolu_1", "name": "get", "input": {}}, {"type": "input_json_delta", "partial_json": '{"ж": "\\'}, {"type": "input_json_delta", "partial_json": 'nд"}'}),
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 5}},
    {"type": "message_stop"}, named=True, end=""), "2")
write("anthropic", "failed", events({"type": "message_start", "message": message([])}, {"type": "error", "error": {"type": "api_error", "message": "ж"}}, named=True, end=""), "2")

# Ollama.
write("ollama_chat", "request", text({
    "model": "m", "stream": True, "format": PARAMETERS, "options": {"stop": ["ж"], "temperature": 0.5}, "keep_alive": "5m",
    "messages": [{"role": "system", "content": "ж"}, {"role": "user", "content": "д"},
                 {"role": "assistant", "content": "", "thinking": "в", "tool_calls": [{"function": {"name": "get", "arguments": {"ж": "д"}}}]},
                 {"role": "tool", "tool_name": "get", "content": "ю"}],
    "tools": [{"type": "function", "function": {"name": "get", "description": "ж", "parameters": PARAMETERS}}],
}), "0")
write("ollama_generate", "request", text({"model": "m", "prompt": "ж", "suffix": "д", "system": "в", "format": "json", "options": {"stop": ["ю"]}}), "0")


def said(done=False, **more):
    return {"model": "m", "created_at": "2023-08-04T08:52:19.385406455-07:00", "done": done, **more}


END = {"done_reason": "stop", "context": [1, 2], "total_duration": 5043500667, "eval_count": 5}
CALLS = [{"function": {"name": "get", "arguments": {"ж": "д"}}}]
write("ollama_chat", "answer", text(said(True, message={"role": "assistant", "content": "ж", "thinking": "д", "tool_calls": CALLS}, **END)), "1")
write("ollama_chat", "stream", lines(
    said(message={"role": "assistant", "content": "", "thinking": "ж"}), said(message={"role": "assistant", "content": "д"}, logprobs=[{"token": "д", "logprob": -1}]),
    said(message={"role": "assistant", "content": "в"}), said(message={"role": "assistant", "content": "", "tool_calls": CALLS}),
    said(True, message={"role": "assistant", "content": ""}, **END)), "3")
write("ollama_generate", "answer", text(said(True, response="ж", thinking="д", **END)), "1")
write("ollama_generate", "stream", lines(said(response="ж"), said(response="", thinking="д"), said(True, response="", **END)), "3")
for api in "ollama_chat", "ollama_generate":
    write(api, "failed", lines(said(), {"error": "ж"}), "3")

# Gemini.
write("gemini", "request", text({
    "systemInstruction": {"parts": [{"text": "ж"}]},
    "contents": [
        {"role": "user", "parts": [{"text": "д"}, {"text": "в"}]},
        {"role": "model", "parts": [{"text": "ю", "thought": True}, {"functionCall": {"name": "get", "args": {"ж": ["д", 5]}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "get", "response": {"ж": "я"}}}]},
    ],
    "tools": [{"function_declarations": [{"name": "get", "description": "ж", "parameters": {"type": "OBJECT", "properties": {"ж": {"type": "STRING", "description": "д"}}}}]}],
    "generationConfig": {"stopSequences": ["ж"], "candidateCount": 2, "response_mime_type": "application/json", "responseSchema": {"type": "STRING", "description": "д"}},
}), "0")


def candidates(*parts, finish=None, **more):
    candidate = {"content": {"role": "model", "parts": list(parts)}, "index": 0, **more}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "g", "responseId": "r1", "usageMetadata": {"totalTokenCount": 5}}


TOKENS = {"chosenCandidates": [{"token": "ж", "tokenId": 5, "logProbability": -1}], "topCandidates": [{"candidates": [{"token": "ю", "logProbability": -2}]}]}
ANSWER = candidates({"text": "ж"}, finish="STOP", logprobsResult=TOKENS, groundingMetadata={"webSearchQueries": ["д"], "searchEntryPoint": {"renderedContent": "в", "sdkBlob": "aGk="}, "groundingSupports": [{"segment": {"text": "ж"}}]}, citationMetadata={"citationSources": [{"uri": "ж"}]})
STREAM = [candidates({"text": "д", "thought": True}), candidates({"text": "ж"}, {"text": "ю"}), candidates({"functionCall": {"name": "get", "args": {"ж": "д"}}}), candidates({"executable_code": {"code": "ж"}}), candidates(finish="STOP")]
write("gemini", "answer", text(ANSWER), "1")
write("gemini", "array", text(STREAM), "1")
write("gemini", "stream", events(*STREAM, end=""), "2")
write("gemini", "failed", events(STREAM[0], {"error": {"code": 500, "message": "ж", "status": "INTERNAL"}}, end=""), "2")

# Bedrock's Converse: of a stream each line becomes a message.
SPEC = {"toolSpec": {"name": "get", "description": "ж", "inputSchema": {"json": PARAMETERS}}}
write("bedrock_converse", "request", text({
    "system": [{"text": "ж"}, {"cachePoint": {"type": "default"}}],
    "messages": [
        {"role": "user", "content": [{"text": "д"}, {"text": "в"}, {"guardContent": {"text": {"text": "ю", "qualifiers": ["query"]}}}]},
        {"role": "assistant", "content": [{"reasoningContent": {"reasoningText": {"text": "я", "signature": "EqQB"}}}, {"text": "б"}, {"toolUse": {"toolUseId": "tooluse_1", "name": "get", "input": {"ж": ["д", 5]}}}]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "tooluse_1", "status": "success", "content": [{"text": "ю"}, {"json": {"ж": "в"}}]}}, {"document": {"format": "txt", "name": "д", "source": {"text": "ж"}, "citations": {"enabled": True}}}, {"searchResult": {"source": "ж", "title": "д", "content": [{"text": "в"}], "citations": {"enabled": True}}}]},
    ],
    "toolConfig": {"tools": [SPEC, {"cachePoint": {"type": "default"}}], "toolChoice": {"tool": {"name": "get"}}},
    "inferenceConfig": {"maxTokens": 5, "stopSequences": ["ж"]}, "requestMetadata": {"ж": "д"},
    "outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"name": "s", "schema": '{"type": "string", "description": "д\\n"}'}}}},
    "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1", "trace": "enabled"},
    "additionalModelRequestFields": {"top_k": 5, "odd": ["ж"]}, "additionalModelResponseFieldPaths": ["/ж"],
}), "0")
THOUGHT = {"reasoningText": {"text": "я", "signature": "EqQB"}}
CITATION = {"title": "д", "sourceContent": [{"text": "в"}], "location": {"documentPage": {"documentIndex": 0, "start": 1, "end": 2}}}
COUNTS = {"usage": {"inputTokens": 5, "outputTokens": 7, "totalTokens": 12}, "metrics": {"latencyMs": 9}}
TRACE = {"trace": {"guardrail": {"modelOutput": ["ж"], "inputAssessment": {"abcdef012345": {"wordPolicy": {"customWords": [{"match": "д", "action": "BLOCKED"}]}}}}}}
write("bedrock_converse", "answer", text({
    "output": {"message": {"role": "assistant", "content": [
        {"reasoningContent": THOUGHT}, {"text": "ж"}, {"citationsContent": {"content": [{"text": "д"}], "citations": [CITATION]}},
        {"toolUse": {"toolUseId": "tooluse_1", "name": "get", "input": {"ж": "д"}}}, {"guardContent": {"text": {"text": "ю"}}},
    ]}},
    "stopReason": "tool_use", "additionalModelResponseFields": {"ж": "д"}, **COUNTS, **TRACE,
}), "1")
write("bedrock_converse", "error", text({"__type": "ValidationException", "message": "ж"}), "1")


def converse(name, index=None, **more):
    place = {} if index is None else {"contentBlockIndex": index}
    return {":event-type": name, **more, **place, "p": "abcd"}


def messages(*values):
    return "".join(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n" for value in values)


def pieces(index, *deltas, start=None):
    return [*([converse("contentBlockStart", index, start=start)] if start else []),
            *(converse("contentBlockDelta", index, delta=delta) for delta in deltas), converse("contentBlockStop", index)]


SAID = [
    converse("messageStart", role="assistant"),
    *pieces(0, {"reasoningContent": {"text": "я"}}, {"reasoningContent": {"signature": "EqQB"}}, {"reasoningContent": {"redactedContent": "EqQB"}}),
    *pieces(1, {"text": "ж"}, {"text": "д"}, {"citation": CITATION}), *pieces(2, {"text": "в"}),
    *pieces(3, {"toolUse": {"input": '{"ж": "\\'}}, {"toolUse": {"input": 'nд"}'}}, start={"toolUse": {"toolUseId": "tooluse_1", "name": "get"}}),
    *pieces(4, {"toolResult": [{"text": "ю"}, {"json": {"ж": "б"}}]}, {"toolResult": [{"text": "д"}]}, start={"toolResult": {"toolUseId": "tooluse_2", "status": "success"}}),
    converse("messageStop", stopReason="tool_use", additionalModelResponseFields={"ж": "д"}), converse("metadata", **COUNTS, **TRACE),
]
write("bedrock_converse", "stream", messages(*SAID), "3")
write("bedrock_converse", "text", messages(SAID[0], *pieces(0, {"text": "ж"}, {"text": "ju"}, {"text": "д"}), *SAID[-2:]), "3")
write("bedrock_converse", "exception", messages(*SAID[:3], {":exception-type": "modelStreamErrorException", "message": "ж", "originalMessage": "д"}), "3")
write("bedrock_converse", "failed", messages(SAID[0], {":error-code": "Odd", ":error-message": "ж"}), "3")
write("bedrock_converse", "part", messages(*SAID[:3]) + "rubbish", "3")

# Two dialects that a file describes: examples/cohere.toml, and from `4` on examples/tgi.toml.
CALL = {"id": "get_1", "type": "function", "function": {"name": "get", "arguments": '{"ж": "д\\n"}'}}
write("custom", "cohere_request", text({
    "model": "command-1", "stream": True, "stop_sequences": ["ж"], "safety_mode": "STRICT", "temperature": 0.5,
    "messages": [
        {"role": "system", "content": "ж"}, {"role": "user", "content": [{"type": "text", "text": "д"}, {"type": "text", "text": "в"}]},
        {"role": "assistant", "tool_plan": "ю", "tool_calls": [CALL], "citations": [{"text": "ж", "sources": [{"id": "д"}]}]},
        {"role": "tool", "tool_call_id": "get_1", "content": [{"type": "document", "document": {"data": "я"}}]},
    ],
    "documents": ["б", {"id": "ж", "data": {"title": "д"}}], "tools": [{"type": "function", "function": {"name": "get", "description": "ж", "parameters": PARAMETERS}}],
    "response_format": {"type": "json_object", "schema": PARAMETERS}, "odd": {"ж": "д"},
}), "0")
write("custom", "cohere_answer", text({
    "id": "c1", "finish_reason": "COMPLETE", "usage": {"tokens": {"input_tokens": 5, "output_tokens": 7}}, "logprobs": [{"text": "ж"}],
    "message": {"role": "assistant", "tool_plan": "ю", "tool_calls": [CALL], "content": [{"type": "thinking", "thinking": "д"}, {"type": "text", "text": "ж"}, {"type": "text", "text": "в"}],
                "citations": [{"start": 0, "end": 1, "text": "ж", "sources": [{"type": "document", "document": {"ж": "д"}}], "type": "TEXT_CONTENT"}]}, "odd": ["ж"],
}), "1")


def cohere(kind, index=None, message=None, **more):
    place = {} if index is None else {"index": index}
    return {"type": kind, **place, **({} if message is None else {"delta": {"message": message}}), **more}


THOUGHT = [
    cohere("message-start", message={"role": "assistant", "content": []}, id="c1"), cohere("tool-plan-delta", message={"tool_plan": "ю"}),
    cohere("content-start", 0, {"content": {"type": "thinking", "thinking": ""}}), cohere("content-delta", 0, {"content": {"thinking": "д"}}), cohere("content-end", 0),
    cohere("content-start", 1, {"content": {"type": "text", "text": ""}}), cohere("content-delta", 1, {"content": {"text": "ж"}}), cohere("content-delta", 1, {"content": {"text": "в"}}),
    cohere("citation-start", 0, {"citations": {"start": 0, "end": 1, "text": "ж", "sources": [{"ж": "д"}]}}), cohere("citation-end", 0), cohere("content-end", 1),
    cohere("tool-call-start", 0, {"tool_calls": {**CALL, "function": {"name": "get", "arguments": ""}}}),
    cohere("tool-call-delta", 0, {"tool_calls": {"function": {"arguments": '{"ж": "\\'}}}), cohere("tool-call-delta", 0, {"tool_calls": {"function": {"arguments": 'nд"}'}}}), cohere("tool-call-end", 0),
    cohere("message-end", delta={"finish_reason": "TOOL_CALL", "usage": {"tokens": {"input_tokens": 5}}}),
]
write("custom", "cohere_stream", "".join(f"event: {event['type']}\ndata: {text(event)}\n\n" for event in THOUGHT), "2")
write("custom", "cohere_failed", events(THOUGHT[0], THOUGHT[6], cohere("message-end", delta={"finish_reason": "ERROR", "error": "ж"}), end=""), "2")
write("custom", "tgi_request", text({"inputs": "ж", "parameters": {"max_new_tokens": 5, "stop": ["д", "в"], "details": True, "adapter_id": "ю"}}), "4")
DETAILS = {"finish_reason": "eos_token", "generated_tokens": 2, "seed": None, "prefill": [{"text": "ж"}], "tokens": [{"text": "д"}], "best_of_sequences": [{"generated_text": "в", "finish_reason": "length", "generated_tokens": 1, "tokens": [{"text": "в"}]}]}
write("custom", "tgi_answer", text({"generated_text": "жд", "details": DETAILS}), "5")


def token(index, said, special=False, whole=None, details=None):
    return {"index": index, "token": {"id": 5, "text": said, "logprob": -0.5, "special": special}, "top_tokens": [{"text": "ю"}], "generated_text": whole, "details": details}


write("custom", "tgi_stream", events(token(1, "ж"), token(2, "д"), token(3, " ю"), token(4, "</s>", True, "жд ю", {"finish_reason": "eos_token", "generated_tokens": 4, "input_length": 5, "seed": None}), end=""), "6")
write("custom", "tgi_failed", events(token(1, "ж"), {"error": "д", "error_type": "generation"}, end=""), "6")
