"""The surfaces of the APIs: for each dialect and side the SDK's types, and what has to stand around them to be valid."""

from dataclasses import dataclass, field

import anthropic.types as anthropic
import anthropic.types.beta as beta
import botocore.loaders
import botocore.model
import openai.types as openai
from anthropic.types import message_create_params as messages
from anthropic.types.beta import message_create_params as beta_messages
from google.genai import models as gemini_wire
from google.genai import types as gemini
from ollama import _types as ollama
from openai.types import chat, responses
from openai.types import completion_create_params as completions
from openai.types import embedding_create_params as embeddings
from openai.types import image_generate_params as images
from openai.types import moderation_create_params as moderations
from openai.types.chat import completion_create_params as chats
from openai.types.responses import response_create_params as responding

from walk import Walk


@dataclass
class Surface:
    #: The dialect and the side: `openai_chat.request`.
    name: str
    #: The types, one after the other. Of a later one only what the earlier do not have counts.
    types: tuple
    walk: Walk = field(default_factory=Walk)
    #: Gives a value its place in the body.
    wrap: object = lambda value: value
    #: Of a stream: the frames by name, and the name for an event. An event takes the place of `{event}`.
    frames: dict = field(default_factory=dict)
    frame: object = None
    #: What a type's name begins with where it is the same type in another version of the API.
    version: str = ""

    def unversioned(self, at):
        return at.replace(self.version, "").replace(f"{self.version.lower()}_", "") if self.version else at


def surfaces():
    yield from _openai()
    yield from _responses()
    yield from _anthropic()
    yield from _gemini()
    yield from _ollama()
    yield from _bedrock()


EVENT = "{event}"


_CHAT_CHUNK = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
_TEXT_CHUNK = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m"}


def _openai():
    least = {"ChatCompletionMessageFunctionToolCallParam": {"type": "function"}}
    yield Surface("openai_chat.request", (chats.CompletionCreateParamsNonStreaming,), Walk(least))
    yield Surface("openai_chat.answer", (chat.ChatCompletion,))
    yield Surface(
        "openai_chat.stream",
        (chat.ChatCompletionChunk,),
        frames={"chat": [EVENT, _CHAT_CHUNK | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}, "[DONE]"]},
        frame=lambda _: "chat",
    )
    yield Surface("openai_completions.request", (completions.CompletionCreateParamsNonStreaming,))
    yield Surface("openai_completions.answer", (openai.Completion,))
    yield Surface(
        "openai_completions.stream",
        (openai.Completion,),
        frames={"text": [EVENT, _TEXT_CHUNK | {"choices": [{"index": 0, "text": "", "finish_reason": "stop"}]}, "[DONE]"]},
        frame=lambda _: "text",
    )
    yield Surface("openai_embeddings.request", (embeddings.EmbeddingCreateParams,))
    yield Surface("openai_embeddings.answer", (openai.CreateEmbeddingResponse,))
    yield Surface("openai_moderations.request", (moderations.ModerationCreateParams,))
    yield Surface("openai_moderations.answer", (openai.ModerationCreateResponse,))
    yield Surface("openai_images.request", (images.ImageGenerateParamsNonStreaming, images.ImageGenerateParamsStreaming))
    yield Surface("openai_images.answer", (openai.ImagesResponse,))
    yield Surface(
        "openai_images.stream", (openai.ImageGenStreamEvent,), frames={"image": [EVENT]}, frame=lambda _: "image"
    )


def _responses():
    least = {"FunctionShellToolParam": {"environment": {"type": "local"}}, "ToolSearchToolParam": {"execution": "client"}}
    least |= {name: {"execution": "client"} for name in ("ToolSearchCall", "ResponseToolSearchOutputItemParamParam")}
    least |= {"ItemReference": {"type": "item_reference"}}
    yield Surface(
        "openai_responses.request",
        (responding.ResponseCreateParamsNonStreaming,),
        Walk(least),
        wrap=lambda value: {"input": "a"} | value,
    )
    # All of it is one text, whatever it is.
    told = {"Response.instructions": 1}
    yield Surface("openai_responses.answer", (responses.Response,), Walk(shallow=told))
    whole = {
        "id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "in_progress", "output": [],
        "tools": [], "tool_choice": "auto", "parallel_tool_calls": True,
    }  # fmt: skip
    created = {"type": "response.created", "sequence_number": 0, "response": whole}
    completed = {"type": "response.completed", "sequence_number": 9, "response": whole | {"status": "completed"}}
    items = {
        "message": {"type": "message", "id": "msg_1", "role": "assistant", "status": "in_progress", "content": []},
        "reasoning": {"type": "reasoning", "id": "rs_1", "summary": []},
        "function_call": {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": ""},
        "mcp_call": {"type": "mcp_call", "id": "mcp_1", "server_label": "s", "name": "f", "arguments": ""},
        "custom_tool_call": {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_1", "name": "f", "input": ""},
        "code_interpreter_call": {"type": "code_interpreter_call", "id": "ci_1", "container_id": "cntr_1", "status": "in_progress"},
    }
    added = lambda item: {"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": item}
    parts = {
        "text": {"type": "output_text", "text": "", "annotations": []},
        "refusal": {"type": "refusal", "refusal": ""},
    }
    part = lambda part: {
        "type": "response.content_part.added", "sequence_number": 2, "item_id": "msg_1", "output_index": 0,
        "content_index": 0, "part": part,
    }  # fmt: skip
    frames = {
        "first": [EVENT, completed],
        "last": [created, EVENT],
        "between": [created, EVENT, completed],
        "text": [created, added(items["message"]), part(parts["text"]), EVENT, completed],
        "refusal": [created, added(items["message"]), part(parts["refusal"]), EVENT, completed],
    } | {name: [created, added(item), EVENT, completed] for name, item in items.items()}

    def frame(event):
        kind = event["type"].removeprefix("response.")
        if kind in ("created", "queued"):
            return "first"
        if kind in ("completed", "failed", "incomplete"):
            return "last"
        families = {
            "content_part": "message", "output_text": "text", "refusal": "refusal", "reasoning": "reasoning",
            "function_call_arguments": "function_call", "mcp_call_arguments": "mcp_call",
            "custom_tool_call_input": "custom_tool_call", "code_interpreter_call_code": "code_interpreter_call",
        }  # fmt: skip
        return next((frame for start, frame in families.items() if kind.startswith(start)), "between")

    # `response.completed` has all of a response. Of those that say it before, one member of each item and tool is enough.
    events = ("Created", "InProgress", "Queued", "Incomplete", "Failed")
    yield Surface(
        "openai_responses.stream",
        (responses.ResponseStreamEvent,),
        Walk(shallow=told | {f"Response{event}Event.response": 1 for event in events}),
        frames=frames,
        frame=frame,
    )


def _anthropic():
    # Headers, and not of the body.
    left_out = ("MessageCreateParamsNonStreaming.anthropic-beta",)
    # The user's messages have all blocks, and so have the others.
    shallow = {"BetaAssistantMessageParam.content": 1, "BetaSystemMessageParam.content": 1}
    shallow |= {"BetaCompactionBlockParam.tool_changes": 1}
    # Documents of text: others are refused whole.
    document = {"source": {"type": "text", "media_type": "text/plain", "data": "a"}}
    least = {name: document for name in ("DocumentBlockParam", "DocumentBlock", "BetaRequestDocumentBlockParam", "BetaDocumentBlock")}
    yield Surface(
        "anthropic.request",
        (messages.MessageCreateParamsNonStreaming, beta_messages.MessageCreateParamsNonStreaming),
        Walk(least, left_out, shallow=shallow),
        version="Beta",
    )
    yield Surface("anthropic.answer", (anthropic.Message, beta.BetaMessage), Walk(least), version="Beta")
    message = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None,
        "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1},
    }  # fmt: skip
    start = {"type": "message_start", "message": message}
    end = [
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ]
    stop = {"type": "content_block_stop", "index": 0}
    blocks = {
        "text": {"type": "text", "text": ""},
        "thinking": {"type": "thinking", "thinking": "", "signature": ""},
        "tool_use": {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}},
        "compaction": {"type": "compaction", "content": None},
    }
    opened = lambda block: {"type": "content_block_start", "index": 0, "content_block": block}
    frames = {
        "start": [EVENT, *end],
        "block": [start, EVENT, stop, *end],
        "end": [start, EVENT, end[1]],
        "stop": [start, EVENT],
        "closed": [start, opened(blocks["text"]), EVENT, *end],
    } | {name: [start, opened(block), EVENT, stop, *end] for name, block in blocks.items()}
    of_delta = {
        "text_delta": "text", "citations_delta": "text", "thinking_delta": "thinking", "signature_delta": "thinking",
        "input_json_delta": "tool_use", "compaction_delta": "compaction",
    }  # fmt: skip
    of_event = {
        "message_start": "start", "content_block_start": "block", "message_delta": "end", "message_stop": "stop",
        "content_block_stop": "closed",
    }  # fmt: skip

    def frame(event):
        kind = event["type"]
        return of_delta.get(event["delta"]["type"], "text") if kind == "content_block_delta" else of_event.get(kind, "text")

    yield Surface(
        "anthropic.stream",
        (anthropic.RawMessageStreamEvent, beta.BetaRawMessageStreamEvent),
        # The message that starts is empty.
        Walk(least, shallow={f"{version}RawMessageStartEvent.message": 1 for version in ("", "Beta")}),
        frames=frames,
        frame=frame,
        version="Beta",
    )


def _gemini():
    config = gemini.GenerateContentConfig
    # What the SDK keeps for itself, and what goes into other places than the body.
    left_out = [
        f"GenerateContentConfig.{name}" for name in ("httpOptions", "shouldReturnHttpResponse", "automaticFunctionCalling", "automaticContinuation")
    ]
    as_type = {
        "GenerateContentConfig.systemInstruction": SystemInstruction,
        "GenerateContentConfig.tools": list[gemini.Tool],
        "GenerateContentConfig.responseSchema": gemini.Schema,
        "GenerateContentConfig.speechConfig": gemini.SpeechConfig,
        "_GenerateContentParameters.contents": list[gemini.Content],
    }
    own = {"_GenerateContentParameters.model"}
    least = {name: {"name": "f"} for name in ("FunctionDeclaration", "FunctionCall", "FunctionResponse")}
    words = {"Content.role": "user", "GenerateContentConfig.responseModalities": "TEXT"}
    roots = _gemini_roots(config)

    def wrap(value):
        members = value.get("config") or {}
        generation = {name: member for name, member in members.items() if name not in roots}
        body = {"contents": value.get("contents") or [{"role": "user", "parts": [{"text": "a"}]}]}
        body |= {name: member for name, member in members.items() if name in roots}
        return body | ({"generationConfig": generation} if generation else {})

    yield Surface(
        "gemini.request",
        (gemini._GenerateContentParameters,),
        Walk(least, own.union(left_out), as_type, words=words),
        wrap=wrap,
    )
    # What the SDK adds to what it was told.
    added = [f"GenerateContentResponse.{name}" for name in ("sdkHttpResponse", "parsed", "automaticFunctionCallingHistory")]
    yield Surface("gemini.answer", (gemini.GenerateContentResponse,), Walk(left_out=added))
    last = {"candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": "b"}]}, "finishReason": "STOP"}]}
    yield Surface(
        "gemini.stream",
        (gemini.GenerateContentResponse,),
        Walk(left_out=added),
        frames={"gemini": [EVENT, last]},
        frame=lambda _: "gemini",
    )


class SystemInstruction(gemini.Content):
    """A content of which nobody says who speaks."""


def _gemini_roots(config):
    """The members of the configuration that the SDK writes beside `generationConfig`."""
    roots = set()
    for name, info in config.model_fields.items():
        for write in (gemini_wire._GenerateContentConfig_to_mldev, gemini_wire._GenerateContentConfig_to_vertex):
            body = {}
            try:
                write(None, {name: "a"}, body)
            except (AttributeError, KeyError, TypeError, ValueError):
                # What it wrote before it saw that this is no such member is what counts.
                pass
            roots.update([info.alias] if info.alias in body else [])
    return roots | {"systemInstruction", "tools", "toolConfig", "safetySettings", "cachedContent", "labels"}


def _ollama():
    for name, request, answer in (
        ("chat", ollama.ChatRequest, ollama.ChatResponse),
        ("generate", ollama.GenerateRequest, ollama.GenerateResponse),
    ):
        last = {"model": "m", "created_at": "2026-01-02T03:04:05Z", "done": True, "done_reason": "stop"}
        last |= {"message": {"role": "assistant", "content": ""}} if name == "chat" else {"response": ""}
        walk = Walk(
            {"Function": {"name": "f"}, "Message": {"role": "user"}},
            # Any JSON, and a message.
            as_type={"ChatRequest.messages": list[ollama.Message]},
            words={"Message.role": "user"},
        )
        yield Surface(f"ollama_{name}.request", (request,), walk, lambda value: value | {"stream": False})
        yield Surface(f"ollama_{name}.answer", (answer,), wrap=lambda value: value | {"done": True})
        yield Surface(
            f"ollama_{name}.stream",
            (answer,),
            wrap=lambda value: value | {"done": False},
            frames={f"ollama_{name}": [EVENT, last]},
            frame=lambda _, name=name: f"ollama_{name}",
        )


def _bedrock():
    service = botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model("bedrock-runtime", "service-2"))
    whole, streamed = service.operation_model("Converse"), service.operation_model("ConverseStream")
    # Of a union one member.
    text, picture = {"text": "a"}, {"bytes": "AAAA"}
    least = {"DocumentBlock": {"source": text}, "ToolSpecification": {"inputSchema": {"json": {}}}}
    least |= {name: {"source": picture} for name in ("ImageBlock", "VideoBlock", "AudioBlock", "GuardrailConverseImageBlock")}
    least |= {"ContentBlockStartEvent": {"start": {"toolUse": {"toolUseId": "tooluse_1", "name": "f"}}}}
    least |= {"ContentBlockDeltaEvent": {"delta": text}, "OutputFormat": {"structure": {"jsonSchema": {"schema": "{}"}}}}
    yield Surface("bedrock_converse.request", (whole.input_shape, streamed.input_shape), Walk(least), version="Stream")
    yield Surface("bedrock_converse.answer", (whole.output_shape, *whole.error_shapes), Walk(least))
    start = {":event-type": "messageStart", "role": "assistant"}
    tool = {":event-type": "contentBlockStart", "contentBlockIndex": 0, "start": least["ContentBlockStartEvent"]["start"]}
    said = {":event-type": "contentBlockDelta", "contentBlockIndex": 0, "delta": text}
    stopped = {":event-type": "contentBlockStop", "contentBlockIndex": 0}
    end = {":event-type": "messageStop", "stopReason": "end_turn"}
    frames = {
        "messageStart": [EVENT, said, stopped, end],
        "contentBlockStart": [start, EVENT, stopped, end],
        "contentBlockDelta": [start, EVENT, stopped, end],
        "input": [start, tool, EVENT, stopped, end],
        "messageStop": [start, said, stopped, EVENT],
        "metadata": [start, said, stopped, end, EVENT],
        "exception": [start, said, EVENT],
    }

    def frame(event):
        name = event.get(":event-type", "exception")
        return "input" if "toolUse" in event.get("delta", {}) else name

    yield Surface(
        "bedrock_converse.stream",
        (streamed.output_shape.members["stream"],),
        Walk(least),
        wrap=_bedrock_message,
        frames=frames,
        frame=frame,
    )


def _bedrock_message(value):
    """A message as one object: first the header that says what it is."""
    ((name, payload),) = value.items()
    return {":exception-type" if name.endswith("Exception") else ":event-type": name} | payload
