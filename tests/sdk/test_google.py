"""Drives the running proxy with the real Google GenAI SDK, as its users do. See common.py."""

import asyncio
import json
import unittest
from urllib.request import ProxyHandler, Request, build_opener

from common import CITY, DIRECT, PLAIN, PROXY, REPORT, Case, clean
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

DECLARATION = {"name": "get_weather", "description": "The weather in a city.", "parametersJsonSchema": CITY}
TOOLS = [types.Tool(function_declarations=[DECLARATION])]
BY_HAND = types.AutomaticFunctionCallingConfig(disable=True)


class Report(BaseModel):
    title: str
    lines: list[int]
    final: bool


def client_of(address):
    options = types.HttpOptions(base_url=address, timeout=30_000, retry_options=types.HttpRetryOptions(attempts=1))
    return genai.Client(api_key="key-of-nobody", vertexai=False, http_options=options)


def config(**options):
    return types.GenerateContentConfig(automatic_function_calling=BY_HAND, **options)


def plain(answer):
    """As data, less the header, and less what a guarded one leaves out: the tokens that were not chosen, and their ids."""
    data = answer.model_dump(exclude={"sdk_http_response", "automatic_function_calling_history", "parsed"})
    for candidate in data["candidates"] or []:
        if result := candidate["logprobs_result"]:
            result["top_candidates"] = []
            for token in result["chosen_candidates"]:
                token["token_id"] = None
    return data


def text_of(chunks):
    return "".join(chunk.text or "" for chunk in chunks)


def finish(chunks):
    reasons = [candidate.finish_reason for chunk in chunks for candidate in chunk.candidates or []]
    return [reason.value for reason in reasons if reason]


class Gemini(Case):
    @classmethod
    def setUpClass(cls):
        cls.proxy = client_of(PROXY)
        cls.direct = client_of(DIRECT)

    @classmethod
    def tearDownClass(cls):
        cls.proxy.close()
        cls.direct.close()

    def ask(self, words, client=None, **options):
        models = (client or self.proxy).models
        return models.generate_content(model="stand-in", contents=words, config=config(**options))

    def stream(self, words, client=None, **options):
        models = (client or self.proxy).models
        return list(models.generate_content_stream(model="stand-in", contents=words, config=config(**options)))


class CleanTraffic(Gemini):
    CASES = {
        "plain": {},
        "a system instruction": {"system_instruction": "Be short."},
        "two candidates": {"candidate_count": 2},
        "log-probabilities": {"response_logprobs": True, "logprobs": 1},
        "cut short": {"max_output_tokens": 3},
        "JSON": {"response_mime_type": "application/json"},
        "tools, unused": {"tools": TOOLS},
        "every knob": {
            "temperature": 0.25,
            "top_k": 5,
            "top_p": 0.5,
            "seed": 7,
            "stop_sequences": ["END"],
            "presence_penalty": 0.5,
            "thinking_config": types.ThinkingConfig(include_thoughts=True, thinking_budget=1024),
            "safety_settings": [
                types.SafetySetting(category="HARM_CATEGORY_HATE_SPEECH", threshold="BLOCK_ONLY_HIGH"),
            ],
        },
    }

    def test_unary_answers_are_the_upstreams(self):
        for name, options in self.CASES.items():
            with self.subTest(name):
                through, direct = self.ask(PLAIN, **options), self.ask(PLAIN, self.direct, **options)
                self.assertEqual(plain(through), plain(direct))
                self.assertTrue(through.candidates[0].content.parts[0].text)

    def test_streams_are_the_upstreams_chunk_by_chunk(self):
        for name, options in self.CASES.items():
            with self.subTest(name):
                through, direct = self.stream(PLAIN, **options), self.stream(PLAIN, self.direct, **options)
                self.assertEqual([plain(chunk) for chunk in through], [plain(chunk) for chunk in direct])
                self.assertEqual(len(finish(through)), options.get("candidate_count", 1))

    def test_thoughts_refusals_and_calls(self):
        for words in ("think: hard and long", "refuse", "weather in Paris and Rome"):
            with self.subTest(words):
                options = {"tools": TOOLS}
                self.assertEqual(plain(self.ask(words, **options)), plain(self.ask(words, self.direct, **options)))
                through, direct = self.stream(words, **options), self.stream(words, self.direct, **options)
                self.assertEqual([plain(chunk) for chunk in through], [plain(chunk) for chunk in direct])

    def test_a_functions_call_and_its_response(self):
        said = [types.UserContent("weather in Paris and Rome?")]
        answer = self.ask(said, tools=TOOLS)
        self.assertEqual([call.args for call in answer.function_calls], [{"city": "Paris"}, {"city": "Rome"}])
        responses = [
            types.Part.from_function_response(name=call.name, response={"result": f"{i} degrees"})
            for i, call in enumerate(answer.function_calls)
        ]
        said += [answer.candidates[0].content, types.UserContent(responses)]
        self.assertEqual(self.ask(said, tools=TOOLS).text, "The tool says: 0 degrees; 1 degrees")

    def test_functions_that_the_sdk_calls_itself(self):
        def get_weather(city: str) -> str:
            """The weather in a city."""
            return f"mild in {city}"

        ask = {"model": "stand-in", "contents": "weather in Paris", "config": {"tools": [get_weather]}}
        answers = [client.models.generate_content(**ask).text for client in (self.proxy, self.direct)]
        self.assertEqual(answers, ["The tool says: mild in Paris"] * 2)

    def test_structured_output(self):
        options = {"response_mime_type": "application/json"}
        answer = self.ask("a report", response_schema=Report, **options)
        self.assertEqual(answer.parsed, Report(title="You said: a report", lines=[18], final=True))
        answer = self.ask("a report", response_json_schema=REPORT, **options)
        self.assertEqual(json.loads(answer.text)["title"], "You said: a report")

    def test_a_chat(self):
        chats = [client.chats.create(model="stand-in") for client in (self.proxy, self.direct)]
        for words in ("one", "think: hard", "two"):
            through, direct = (chat.send_message(words) for chat in chats)
            self.assertEqual(plain(through), plain(direct))
        through, direct = ([plain(chunk) for chunk in chat.send_message_stream("three")] for chat in chats)
        self.assertEqual(through, direct)


    def test_the_form_that_the_sdk_does_not_ask_for(self):
        """Without `alt=sse` a stream is one array."""
        answers = []
        for at in (PROXY, DIRECT):
            body = json.dumps({"contents": [{"parts": [{"text": PLAIN}]}]}).encode()
            url = f"{at}/v1beta/models/stand-in:streamGenerateContent"
            request = Request(url, body, {"content-type": "application/json", "x-goog-api-key": "key-of-nobody"})
            with build_opener(ProxyHandler({})).open(request, timeout=30) as answer:
                answers.append(json.load(answer))
        self.assertEqual(*answers)
        self.assertGreater(len(answers[0]), 1)


class Blocked(Gemini):
    def refused(self, ask):
        with self.assertRaises(errors.ClientError) as caught:
            ask()
        error = caught.exception
        self.assertEqual((error.code, error.status), (400, "INVALID_ARGUMENT"))
        [detail] = error.details["error"]["details"]
        self.assertEqual(detail["reason"], "content_policy_violation")
        self.quiet(error)

    def test_a_prompt_in_any_place(self):
        word = "Project Bluebird"
        tool = types.Tool(function_declarations=[DECLARATION | {"description": f"About {word}."}])
        response = types.Part.from_function_response(name="f", response={"result": word})
        for name, options in {
            "the contents": {"words": word},
            "the system instruction": {"words": "hi", "system_instruction": word},
            "an old turn": {"words": [types.UserContent(word), types.ModelContent("?"), types.UserContent("hi")]},
            "a response": {"words": [types.UserContent([response])]},
            "a tool": {"words": "hi", "tools": [tool]},
            "a stop sequence": {"words": "hi", "stop_sequences": [word]},
        }.items():
            with self.subTest(name):
                self.refused(lambda: self.ask(**options))
                self.refused(lambda: self.stream(**options))

    def test_an_answer(self):
        self.refused(lambda: self.ask("say: the word is swordfish"))
        self.refused(lambda: self.ask("think: of swordfish"))
        self.refused(lambda: self.ask("weather in swordfish", tools=TOOLS))

    def test_a_stream(self):
        chunks = self.stream(f"say: {clean()} swordfish and more")
        self.began(text_of(chunks))
        self.assertEqual(finish(chunks), ["SAFETY"])
        self.quiet(chunks)

    def test_a_streamed_thought_and_call(self):
        for words in ("think: of swordfish", "weather in swordfish"):
            with self.subTest(words):
                try:
                    chunks = self.stream(words, tools=TOOLS)
                except errors.ClientError as error:
                    self.quiet(error)
                else:
                    self.assertEqual(finish(chunks), ["SAFETY"])
                    self.quiet(chunks)

    def test_what_no_detector_sees(self):
        image = types.Part.from_bytes(data=b"\x89PNG", mime_type="image/png")
        for name, options in {
            "a picture": {"words": [types.UserContent([image])]},
            "a search": {"words": "hi", "tools": [types.Tool(google_search=types.GoogleSearch())]},
            "kept content": {"words": "hi", "cached_content": "cachedContents/1"},
        }.items():
            with self.subTest(name), self.assertRaises(errors.ClientError):
                self.ask(**options)


class Redacted(Gemini):
    def test_a_prompt(self):
        answer = self.ask("My e-mail is ada@example.com, ok?")
        self.assertEqual(answer.text, "You said: My e-mail is [REDACTED:email], ok?")

    def test_an_answer(self):
        answer = self.ask("say: call EMP-123456 now", response_logprobs=True)
        self.assertEqual(answer.text, "call [REDACTED:employee] now")
        self.quiet(answer.candidates)

    def test_a_stream(self):
        chunks = self.stream("say: call EMP-123456 now", response_logprobs=True)
        self.assertEqual(text_of(chunks), "call [REDACTED:employee] now")
        self.assertEqual(finish(chunks), ["STOP"])
        self.quiet([chunk.candidates for chunk in chunks])

    def test_arguments(self):
        for answer in (self.ask("weather in EMP-123456", tools=TOOLS), self.stream("weather in EMP-123456", tools=TOOLS)[0]):
            self.assertEqual(answer.function_calls[0].args, {"city": "[REDACTED:employee]"})


class Errors(Gemini):
    def test_statuses(self):
        for status, error in ((401, errors.ClientError), (429, errors.ClientError), (503, errors.ServerError)):
            for ask in (self.ask, self.stream):
                with self.subTest(status=status, ask=ask.__name__), self.assertRaises(error) as caught:
                    ask(f"fail with {status}")
                self.assertEqual((caught.exception.code, caught.exception.message), (status, "failing, as asked"))


class Together(unittest.IsolatedAsyncioTestCase):
    async def test_many_streams_at_once(self):
        client = client_of(PROXY)

        async def one(i):
            words = f"say: {i} {clean()} " + ("swordfish" if i % 2 else "minnow")
            return [chunk async for chunk in await client.aio.models.generate_content_stream(model="m", contents=words)]

        for i, chunks in enumerate(await asyncio.gather(*(one(i) for i in range(10)))):
            self.assertEqual(finish(chunks), ["SAFETY" if i % 2 else "STOP"])
            self.assertNotIn("swordfish", repr(chunks))


if __name__ == "__main__":
    unittest.main()
