"""How answers end in the SDKs where a route tells a blocked prompt as an ordinary message, and where something fails in the
middle of a stream: an event that is larger than the proxy reads. See common.py.
"""

import unittest

import anthropic
import boto3
import ollama
import openai
from botocore.config import Config
from botocore.exceptions import EventStreamError
from common import PROXY, Case, clean
from google import genai
from google.genai import errors, types

WORD = "Project Bluebird"
TOLD = "I can't help with that."
HUGE = f"say: {clean()} {'x' * 9000}"
SETTINGS = {"api_key": "key-of-nobody", "max_retries": 0, "timeout": 30}


def user(content):
    return [{"role": "user", "content": content}]


class Ends(Case):
    @classmethod
    def setUpClass(cls):
        cls.openai = openai.OpenAI(base_url=f"{PROXY}/v1", **SETTINGS)
        cls.anthropic = anthropic.Anthropic(base_url=PROXY, **SETTINGS)
        options = types.HttpOptions(base_url=PROXY, timeout=30_000, retry_options=types.HttpRetryOptions(attempts=1))
        cls.google = genai.Client(api_key="key-of-nobody", vertexai=False, http_options=options)
        cls.ollama = ollama.Client(host=PROXY)
        keys = {"aws_access_key_id": "nobody", "aws_secret_access_key": "key-of-nobody", "region_name": "us-east-1"}
        config = Config(retries={"total_max_attempts": 1}, read_timeout=30)
        cls.bedrock = boto3.client("bedrock-runtime", endpoint_url=PROXY, config=config, **keys)

    @classmethod
    def tearDownClass(cls):
        cls.openai.close()
        cls.anthropic.close()
        cls.google.close()
        cls.bedrock.close()

    def told(self, text, reason, expected="stop"):
        self.assertEqual((text, reason), (TOLD, expected))


class Told(Ends):
    """Where the prompt is blocked, the client reads a message."""

    def test_chat(self):
        ask = {"model": "m", "messages": user(WORD)}
        choice = self.openai.chat.completions.create(**ask).choices[0]
        self.told(choice.message.content, choice.finish_reason)
        with self.openai.chat.completions.stream(**ask) as stream:
            choice = stream.get_final_completion().choices[0]
        self.told(choice.message.content, choice.finish_reason)

    def test_responses(self):
        answer = self.openai.responses.create(model="m", input=WORD)
        self.told(answer.output_text, answer.status, "completed")
        with self.openai.responses.stream(model="m", input=WORD) as stream:
            answer = stream.get_final_response()
        self.told(answer.output_text, answer.status, "completed")

    def test_completions(self):
        for answers in (
            [self.openai.completions.create(model="m", prompt=WORD)],
            list(self.openai.completions.create(model="m", prompt=WORD, stream=True)),
        ):
            self.told("".join(answer.choices[0].text for answer in answers), answers[-1].choices[0].finish_reason)

    def test_messages(self):
        ask = {"model": "m", "max_tokens": 9, "messages": user(WORD)}
        message = self.anthropic.messages.create(**ask)
        self.told(message.content[0].text, message.stop_reason, "end_turn")
        with self.anthropic.messages.stream(**ask) as stream:
            message = stream.get_final_message()
        self.told(message.content[0].text, message.stop_reason, "end_turn")

    def test_gemini(self):
        models = self.google.models
        answer = models.generate_content(model="m", contents=WORD)
        self.told(answer.text, answer.candidates[0].finish_reason.value, "STOP")
        chunks = list(models.generate_content_stream(model="m", contents=WORD))
        text = "".join(chunk.text or "" for chunk in chunks)
        self.told(text, chunks[-1].candidates[0].finish_reason.value, "STOP")

    def test_bedrock(self):
        ask = {"modelId": "m", "messages": user([{"text": WORD}])}
        answer = self.bedrock.converse(**ask)
        self.told(answer["output"]["message"]["content"][0]["text"], answer["stopReason"], "guardrail_intervened")
        events = list(self.bedrock.converse_stream(**ask)["stream"])
        self.assertEqual([list(event) for event in events[:3]], [["messageStart"], ["contentBlockDelta"], ["contentBlockStop"]])
        reason = events[3]["messageStop"]["stopReason"]
        self.told(events[1]["contentBlockDelta"]["delta"]["text"], reason, "guardrail_intervened")

    def test_ollama(self):
        for ask, prompt, text in (
            (self.ollama.chat, {"messages": user(WORD)}, lambda part: part.message.content),
            (self.ollama.generate, {"prompt": WORD}, lambda part: part.response),
        ):
            for parts in ([ask(model="m", **prompt)], list(ask(model="m", stream=True, **prompt))):
                self.told("".join(text(part) for part in parts), parts[-1].done_reason)


class Failed(Ends):
    """What had left is followed by an error that the SDK raises, or tells as it tells those of the API."""

    def fails(self, stream, text, error):
        said = ""
        with self.assertRaises(error) as caught:
            for part in stream:
                said += text(part) or ""
        self.began(said)
        return caught.exception

    def test_chat(self):
        stream = self.openai.chat.completions.create(model="m", messages=user(HUGE), stream=True)
        error = self.fails(stream, lambda chunk: chunk.choices[0].delta.content, openai.APIError)
        self.assertEqual(error.code, "answer_too_large")

    def test_responses(self):
        events = list(self.openai.responses.create(model="m", input=HUGE, stream=True))
        self.began("".join(event.delta for event in events if event.type == "response.output_text.delta"))
        self.assertEqual([event.type for event in events[-2:]], ["error", "response.failed"])
        self.assertEqual(events[-1].response.error.code, events[-2].code)

    def test_completions(self):
        stream = self.openai.completions.create(model="m", prompt=HUGE, stream=True)
        self.fails(stream, lambda chunk: chunk.choices[0].text, openai.APIError)

    def test_messages(self):
        stream = self.anthropic.messages.create(model="m", max_tokens=9999, messages=user(HUGE), stream=True)

        def text(event):
            return event.delta.text if event.type == "content_block_delta" else ""

        self.fails(stream, text, anthropic.APIError)

    def test_gemini(self):
        stream = self.google.models.generate_content_stream(model="m", contents=HUGE)
        self.fails(stream, lambda chunk: chunk.text, errors.APIError)

    def test_bedrock(self):
        stream = self.bedrock.converse_stream(modelId="m", messages=user([{"text": HUGE}]))["stream"]

        def text(event):
            return event.get("contentBlockDelta", {}).get("delta", {}).get("text")

        error = self.fails(stream, text, EventStreamError)
        self.assertEqual(error.response["Error"]["Code"], "modelStreamErrorException")

    def test_ollama(self):
        stream = self.ollama.chat(model="m", messages=user(HUGE), stream=True)
        self.fails(stream, lambda part: part.message.content, ollama.ResponseError)


if __name__ == "__main__":
    unittest.main()
