"""Drives the running proxy with the real Ollama client, as its users do. See common.py."""

import asyncio
import json
import unittest

import ollama
from common import CITY, DIRECT, PLAIN, PROXY, REPORT, Case, clean
from ollama import AsyncClient, Client

WEATHER = {
    "type": "function",
    "function": {"name": "get_weather", "description": "The weather in a city.", "parameters": CITY},
}


def user(content):
    return [{"role": "user", "content": content}]


def plain(answer):
    """As data, less what a guarded one leaves out: token ids, and the tokens that were not chosen."""
    data = answer.model_dump(exclude={"context"})
    for token in data["logprobs"] or []:
        token["top_logprobs"] = []
    return data


class Ollama(Case):
    @classmethod
    def setUpClass(cls):
        cls.proxy = Client(host=PROXY)
        cls.direct = Client(host=DIRECT)

    def chat(self, words, client=None, **options):
        messages = user(words) if isinstance(words, str) else words
        return (client or self.proxy).chat(model="stand-in", messages=messages, **options)

    def generate(self, words, client=None, **options):
        return (client or self.proxy).generate(model="stand-in", prompt=words, **options)


class CleanTraffic(Ollama):
    CASES = {
        "plain": {},
        "cut short": {"options": {"num_predict": 3}},
        "JSON": {"format": "json"},
        "a schema": {"format": REPORT},
        "log-probabilities": {"logprobs": True, "top_logprobs": 1},
        "every knob": {
            "options": {"temperature": 0.25, "seed": 7, "stop": ["END"], "num_ctx": 4096},
            "keep_alive": "5m",
            "think": True,
        },
    }

    def test_unary_answers_are_the_upstreams(self):
        for ask in (self.chat, self.generate):
            for name, options in self.CASES.items():
                with self.subTest(name, ask=ask.__name__):
                    through, direct = ask(PLAIN, **options), ask(PLAIN, self.direct, **options)
                    self.assertEqual(plain(through), plain(direct))
                    self.assertTrue(through.done)

    def test_streams_are_the_upstreams_line_by_line(self):
        for ask in (self.chat, self.generate):
            for name, options in self.CASES.items():
                with self.subTest(name, ask=ask.__name__):
                    options = options | {"stream": True}
                    through, direct = list(ask(PLAIN, **options)), list(ask(PLAIN, self.direct, **options))
                    self.assertEqual([plain(part) for part in through], [plain(part) for part in direct])
                    self.assertEqual([part.done for part in through], [False] * (len(through) - 1) + [True])

    def test_thinking(self):
        for ask in (self.chat, self.generate):
            with self.subTest(ask=ask.__name__):
                through, direct = ask("think: hard and long"), ask("think: hard and long", self.direct)
                self.assertEqual(plain(through), plain(direct))
                through = list(ask("think: hard and long", stream=True))
                direct = list(ask("think: hard and long", self.direct, stream=True))
                self.assertEqual([plain(part) for part in through], [plain(part) for part in direct])

    def test_a_tools_call_and_its_result(self):
        said = user("weather in Paris and Rome?")
        for stream in (False, True):
            answers = [self.chat(said, client, tools=[WEATHER], stream=stream) for client in (self.proxy, self.direct)]
            through, direct = (list(answer) if stream else [answer] for answer in answers)
            self.assertEqual([plain(part) for part in through], [plain(part) for part in direct])
            calls = [call for part in through for call in part.message.tool_calls or []]
            self.assertEqual([call.function.arguments for call in calls], [{"city": "Paris"}, {"city": "Rome"}])
        said += [through[0].message]
        said += [{"role": "tool", "tool_name": "get_weather", "content": f"{i} degrees"} for i in range(2)]
        self.assertEqual(self.chat(said, tools=[WEATHER]).message.content, "The tool says: 0 degrees; 1 degrees")

    def test_structured_output(self):
        report = json.loads(self.chat("a report", format=REPORT).message.content)
        self.assertEqual(report, {"title": "You said: a report", "lines": [18], "final": True})

    def test_models_pass(self):
        self.assertEqual(self.proxy.list(), self.direct.list())


class Blocked(Ollama):
    def refused(self, ask):
        with self.assertRaises(ollama.ResponseError) as caught:
            ask()
        self.assertEqual(caught.exception.status_code, 400)
        self.assertIn("was blocked by guardrail", caught.exception.error)
        self.quiet(caught.exception)

    def test_a_prompt_in_any_place(self):
        word = "Project Bluebird"
        tool = json.loads(json.dumps(WEATHER).replace("The weather in a city.", f"About {word}."))
        for name, ask in {
            "the message": lambda: self.chat(word),
            "streamed": lambda: list(self.chat(word, stream=True)),
            "the system's": lambda: self.chat([{"role": "system", "content": word}, *user("hi")]),
            "a result": lambda: self.chat([{"role": "tool", "tool_name": "f", "content": word}]),
            "a tool": lambda: self.chat("hi", tools=[tool]),
            "a stop sequence": lambda: self.chat("hi", options={"stop": [word]}),
            "the prompt": lambda: self.generate(word),
            "the prompt, streamed": lambda: list(self.generate(word, stream=True)),
            "the system prompt": lambda: self.generate("hi", system=word),
            "the suffix": lambda: self.generate("hi", suffix=word),
        }.items():
            with self.subTest(name):
                self.refused(ask)

    def test_an_answer(self):
        self.refused(lambda: self.chat("say: the word is swordfish"))
        self.refused(lambda: self.generate("say: the word is swordfish"))
        self.refused(lambda: self.chat("think: of swordfish"))
        self.refused(lambda: self.chat("weather in swordfish", tools=[WEATHER]))

    def test_a_stream(self):
        for ask, text in ((self.chat, lambda part: part.message.content), (self.generate, lambda part: part.response)):
            with self.subTest(ask=ask.__name__):
                parts = list(ask(f"say: {clean()} swordfish and more", stream=True))
                self.began("".join(text(part) for part in parts))
                self.assertEqual((parts[-1].done, parts[-1].done_reason), (True, "content_filter"))
                self.quiet(parts)

    def test_what_no_detector_sees(self):
        for name, ask in {
            "a picture": lambda: self.chat([{"role": "user", "content": "hi", "images": [b"\x89PNG"]}]),
            "token ids": lambda: self.generate("hi", context=[1, 2, 3]),
            "a template": lambda: self.generate("hi", template="{{ .Prompt }}"),
            "no template": lambda: self.generate("hi", raw=True),
        }.items():
            with self.subTest(name), self.assertRaises(ollama.ResponseError):
                ask()

    def test_what_has_no_route(self):
        with self.assertRaises(ollama.ResponseError) as caught:
            self.proxy.delete("stand-in")
        self.assertEqual(caught.exception.status_code, 404)


class Redacted(Ollama):
    def test_a_prompt(self):
        answer = self.chat("My e-mail is ada@example.com, ok?")
        self.assertEqual(answer.message.content, "You said: My e-mail is [REDACTED:email], ok?")

    def test_an_answer(self):
        said = self.generate("say: call EMP-123456 now").response
        self.assertEqual(said, "call [REDACTED:employee] now")
        call = self.chat("weather in EMP-123456", tools=[WEATHER]).message.tool_calls[0]
        self.assertEqual(call.function.arguments, {"city": "[REDACTED:employee]"})

    def test_a_stream(self):
        parts = list(self.chat("say: call EMP-123456 now", stream=True))
        self.assertEqual("".join(part.message.content for part in parts), "call [REDACTED:employee] now")
        self.assertEqual(parts[-1].done_reason, "stop")
        self.quiet(parts)


class Errors(Ollama):
    def test_statuses(self):
        for status in (404, 429, 500):
            for stream in (False, True):
                with self.subTest(status=status, stream=stream), self.assertRaises(ollama.ResponseError) as caught:
                    list(self.chat(f"fail with {status}", stream=stream))
                self.assertEqual((caught.exception.status_code, caught.exception.error), (status, "failing, as asked"))


class Together(unittest.IsolatedAsyncioTestCase):
    async def test_many_streams_at_once(self):
        client = AsyncClient(host=PROXY)

        async def one(i):
            words = f"say: {i} {clean()} " + ("swordfish" if i % 2 else "minnow")
            return [part async for part in await client.chat(model="m", messages=user(words), stream=True)]

        for i, parts in enumerate(await asyncio.gather(*(one(i) for i in range(10)))):
            self.assertEqual(parts[-1].done_reason, "content_filter" if i % 2 else "stop")
            self.assertNotIn("swordfish", repr(parts))


if __name__ == "__main__":
    unittest.main()
