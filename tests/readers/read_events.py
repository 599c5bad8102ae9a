"""Reads streams with the decoders of the Python SDKs: each line of stdin is JSON, `kind` (`sse`, `gemini`, `lines` or `messages`),
the stream in hex, and where its chunks end. Each line of stdout is JSON: by SDK, the data of each event up to the end mark, or up to
where the SDK raises. SDKs that are not installed are left out.
"""

import json
import struct
import sys


def openai(chunks):
    from openai._streaming import SSEDecoder

    for event in SSEDecoder().iter_bytes(chunks):
        if event.data.startswith("[DONE]"):
            return
        yield event.data


def anthropic(chunks):
    from anthropic._streaming import SSEDecoder

    for event in SSEDecoder().iter_bytes(chunks):
        yield event.data


def genai(chunks):
    import httpx
    from google.genai._api_client import HttpResponse

    yield from HttpResponse({}, response_stream=httpx.Response(200, content=chunks))._iter_response_stream()


def ollama(chunks):
    import httpx
    import ollama as _

    for line in httpx.Response(200, content=chunks).iter_lines():
        json.loads(line)
        yield line


def botocore(chunks):
    from botocore.eventstream import EventStreamBuffer, ParserError

    buffer = EventStreamBuffer()
    try:
        for chunk in chunks:
            buffer.add_data(chunk)
            for message in buffer:
                yield json.dumps(members(message.headers, message.payload))
    except (ParserError, KeyError, struct.error):
        return


def members(headers, payload):
    """What is read of a message: what its headers say that it is, and its payload."""
    match headers[":message-type"]:
        case "error":
            return {":error-code": headers[":error-code"], ":error-message": headers.get(":error-message", "")}
        case "event" | "exception" as kind:
            return {f":{kind}-type": headers[f":{kind}-type"]} | json.loads(payload or b"{}")
    raise ValueError("no such message")


READERS = {"sse": [openai, anthropic], "gemini": [openai, anthropic, genai], "lines": [ollama], "messages": [botocore]}

for line in sys.stdin:
    case = json.loads(line)
    stream = bytes.fromhex(case["stream"])
    ends = [0, *case["ends"], len(stream)]
    chunks = [stream[start:end] for start, end in zip(ends, ends[1:])]
    told = {}
    for reader in READERS[case["kind"]]:
        found = []
        try:
            for data in reader(iter(chunks)):
                found.append(data)
        except ImportError:
            continue
        except (ValueError, TypeError):
            # As the SDK's caller has it: what came before was shown.
            pass
        told[f"{reader.__name__}-python"] = [data for data in found if data and data != "[DONE]"]
    print(json.dumps(told))
