"""Reads streams with the decoders of the Python SDKs: each line of stdin is JSON, `kind` (`sse`, `gemini` or `lines`), the
stream in hex, and where its chunks end. Each line of stdout is JSON: by SDK, the data of each event up to the end mark, or up to
where the SDK raises. SDKs that are not installed are left out.
"""

import json
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


READERS = {"sse": [openai, anthropic], "gemini": [openai, anthropic, genai], "lines": [ollama]}

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
