"""Drives the running proxy with the real OpenAI SDK's chat completions, as its users do. See common.py."""

import asyncio
import json
import unittest

import common
import openai
from common import CITY, REPORT
from common import clean as spoken_words
from openai import AsyncOpenAI, OpenAI

PROXY = f"{common.PROXY}/v1"
DIRECT = f"{common.DIRECT}/v1"
SETTINGS = {"api_key": "sk-of-nobody", "max_retries": 0, "timeout": 30}

WEATHER = {
    "type": "function",
    "function": {"name": "get_weather", "description": "The weather in a city.", "parameters": CITY},
}


def user(text):
    return [{"role": "user", "content": text}]


def content(chunks, choice=0):
    """The text of one choice over all chunks of a stream."""
    choices = [c for chunk in chunks for c in chunk.choices if c.index == choice]
    return "".join(c.delta.content or "" for c in choices)


def finish(chunks, choice=0):
    reasons = [c.finish_reason for chunk in chunks for c in chunk.choices if c.index == choice]
    return [reason for reason in reasons if reason]


def without_alternatives(answer):
    """What a guarded answer leaves out: the tokens that were not chosen."""
    for choice in answer.choices:
        for token in (choice.logprobs and choice.logprobs.content) or []:
            token.top_logprobs = []
    return answer


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.proxy = OpenAI(base_url=PROXY, **SETTINGS)
        cls.direct = OpenAI(base_url=DIRECT, **SETTINGS)

    @classmethod
    def tearDownClass(cls):
        cls.proxy.close()
        cls.direct.close()

    def ask(self, prompt, client=None, **options):
        client = client or self.proxy
        return client.chat.completions.create(model="stand-in", messages=user(prompt), **options)

    def stream(self, prompt, client=None, **options):
        return list(self.ask(prompt, client, stream=True, **options))

    def refused(self, ask):
        """The policy violation that `ask` must be refused for; it must not repeat what was found."""
        with self.assertRaises(openai.BadRequestError) as caught:
            ask()
        error = caught.exception
        self.assertEqual(error.code, "content_policy_violation")
        self.assertEqual(error.response.headers["x-portcullis-decision"], "block")
        for word in ("bluebird", "swordfish"):
            self.assertNotIn(word, error.response.text.lower())
        return error

    def cut(self, prompt, choices=1, **options):
        """The chunks of a stream that must be cut. Where nothing had left, there is a refusal and no chunk."""
        try:
            chunks = self.stream(prompt, n=choices, **options)
        except openai.BadRequestError as error:
            self.assertEqual(error.code, "content_policy_violation")
            return []
        for choice in range(choices):
            self.assertEqual(finish(chunks, choice), ["content_filter"])
        self.assertNotIn("swordfish", repr(chunks))
        return chunks


class CleanTraffic(Case):
    """What no guardrail objects to arrives as if the proxy were not there."""

    CASES = {
        "plain": {},
        "two choices": {"n": 2},
        "log-probabilities": {"logprobs": True, "top_logprobs": 1},
        "cut short": {"max_completion_tokens": 3},
        "a JSON object": {"response_format": {"type": "json_object"}},
        "every knob": {
            "temperature": 0.25,
            "top_p": 1e-3,
            "seed": 12345678901234567,
            "stop": ["\n\n"],
            "user": "someone",
            "metadata": {"team": "a"},
            "logit_bias": {"50256": -100},
        },
    }

    def test_unary_answers_are_the_upstreams(self):
        for name, options in self.CASES.items():
            with self.subTest(name):
                prompt = "Grüße, 世界 🐦 \u2028 \"quoted\" \\ back"
                through = self.ask(prompt, **options)
                self.assertEqual(through, without_alternatives(self.ask(prompt, self.direct, **options)))
                self.assertEqual(len(through.choices), options.get("n", 1))

    def test_streams_are_the_upstreams_chunk_by_chunk(self):
        for name, options in self.CASES.items():
            with self.subTest(name):
                prompt = "Grüße, 世界 🐦 \u2028 a few words more"
                usage = {"stream_options": {"include_usage": True}}
                through = self.stream(prompt, **options, **usage)
                direct = self.stream(prompt, self.direct, **options, **usage)
                self.assertEqual(through, [without_alternatives(chunk) for chunk in direct])
                self.assertGreater(through[-1].usage.total_tokens, 0)

    def test_reasoning_and_refusals(self):
        for prompt in ("think: hard and long", "refuse"):
            with self.subTest(prompt):
                self.assertEqual(self.ask(prompt), self.ask(prompt, self.direct))
                self.assertEqual(self.stream(prompt), self.stream(prompt, self.direct))

    def test_structured_output(self):
        schema = {"name": "report", "strict": True, "schema": REPORT}
        answer = self.ask("a report", response_format={"type": "json_schema", "json_schema": schema})
        report = json.loads(answer.choices[0].message.content)
        self.assertEqual(report["title"], "You said: a report")
        self.assertIs(report["final"], True)

    def test_a_tools_call_and_its_result(self):
        question = user("What is the weather in Paris and Rome?")
        create = self.proxy.chat.completions.create
        answer = create(model="stand-in", messages=question, tools=[WEATHER])
        self.assertEqual(answer.choices[0].finish_reason, "tool_calls")
        calls = answer.choices[0].message.tool_calls
        self.assertEqual([json.loads(c.function.arguments) for c in calls], [{"city": "Paris"}, {"city": "Rome"}])
        results = [{"role": "tool", "tool_call_id": c.id, "content": f"{i} degrees"} for i, c in enumerate(calls)]
        messages = question + [answer.choices[0].message] + results
        answer = create(model="stand-in", messages=messages, tools=[WEATHER])
        self.assertEqual(answer.choices[0].message.content, "The tool says: 0 degrees; 1 degrees")

    def test_a_streamed_tool_call(self):
        chunks = self.stream("weather in Paris and Rome", tools=[WEATHER])
        arguments = {}
        for chunk in chunks:
            for call in chunk.choices[0].delta.tool_calls or []:
                arguments[call.index] = arguments.get(call.index, "") + (call.function.arguments or "")
        self.assertEqual([json.loads(a) for a in arguments.values()], [{"city": "Paris"}, {"city": "Rome"}])
        self.assertEqual(finish(chunks), ["tool_calls"])
        self.assertEqual(chunks, self.stream("weather in Paris and Rome", self.direct, tools=[WEATHER]))

    def test_content_parts(self):
        parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
        answer = self.proxy.chat.completions.create(model="stand-in", messages=user(parts))
        self.assertEqual(answer.choices[0].message.content, "You said: one\ntwo")

    def test_the_sdks_own_stream_helper(self):
        with self.proxy.chat.completions.stream(model="stand-in", messages=user("hello")) as stream:
            for _ in stream:
                pass
            completion = stream.get_final_completion()
        self.assertEqual(completion.choices[0].message.content, "You said: hello")

    def test_what_the_header_says(self):
        names = ("x-request-id", "openai-processing-ms", "openai-version", "x-ratelimit-remaining-requests")
        ask = {"model": "stand-in", "messages": user("hello")}
        answers = [client.chat.completions.with_raw_response.create(**ask) for client in (self.proxy, self.direct)]
        through, direct = ([answer.headers[name] for name in names] for answer in answers)
        self.assertEqual(through, direct)

    def test_models_pass(self):
        self.assertEqual(self.proxy.models.list().data, self.direct.models.list().data)


class Blocked(Case):
    """What a guardrail blocks arrives as what SDK users handle."""

    def test_a_prompt(self):
        for stream in (False, True):
            with self.subTest(stream=stream):
                self.refused(lambda: self.ask("tell me of project bluebird", stream=stream))

    def test_a_prompt_in_any_place(self):
        word = "Project Bluebird"
        tool = json.loads(json.dumps(WEATHER).replace("The weather in a city.", f"About {word}."))
        for name, options in {
            "system": {"messages": [{"role": "system", "content": word}, *user("hi")]},
            "an old turn": {"messages": [*user(word), {"role": "assistant", "content": "?"}, *user("hi")]},
            "a part": {"messages": user([{"type": "text", "text": word}])},
            "a name": {"messages": [{"role": "user", "name": word, "content": "hi"}]},
            "a tool": {"messages": user("hi"), "tools": [tool]},
            "metadata": {"messages": user("hi"), "metadata": {"k": word}},
        }.items():
            with self.subTest(name):
                self.refused(lambda: self.proxy.chat.completions.create(model="stand-in", **options))

    def test_an_answer(self):
        self.refused(lambda: self.ask("say: the word is swordfish"))

    def test_a_stream(self):
        clean = spoken_words(60)
        for name, choices, options in (
            ("content", 1, {}),
            ("log-probabilities", 1, {"logprobs": True}),
            ("two choices", 2, {}),
        ):
            with self.subTest(name):
                chunks = self.cut(f"say: {clean} swordfish and more", choices, **options)
                for choice in range(choices):
                    text = content(chunks, choice)
                    # The middle of it: words had left before the cut, and only such as were judged.
                    self.assertIn("clean0", text)
                    self.assertTrue(clean.startswith(text.strip()), text)

    def test_tool_arguments(self):
        self.refused(lambda: self.ask("weather in swordfish", tools=[WEATHER]))
        chunks = self.cut("weather in swordfish", tools=[WEATHER])
        self.assertFalse([c for c in chunks if c.choices and c.choices[0].delta.tool_calls])

    def test_reasoning(self):
        self.refused(lambda: self.ask("think: of swordfish"))
        self.cut("think: of swordfish")

    def test_the_client_goes_on(self):
        self.refused(lambda: self.ask("project bluebird"))
        self.assertEqual(self.ask("hello").choices[0].message.content, "You said: hello")


class Redacted(Case):
    def test_a_prompt(self):
        answer = self.ask("My e-mail is ada@example.com, ok?")
        self.assertEqual(answer.choices[0].message.content, "You said: My e-mail is [REDACTED:email], ok?")

    def test_an_answer(self):
        answer = self.ask("say: call EMP-123456 now", logprobs=True)
        self.assertEqual(answer.choices[0].message.content, "call [REDACTED:employee] now")
        self.assertNotIn("123456", repr(answer))

    def test_a_stream(self):
        chunks = self.stream("say: call EMP-123456 now", logprobs=True)
        self.assertEqual(content(chunks), "call [REDACTED:employee] now")
        self.assertEqual(finish(chunks), ["stop"])
        self.assertNotIn("123456", repr(chunks))


class Errors(Case):
    """The upstream's own errors stay what they are."""

    def test_statuses(self):
        for status, error in (
            (429, openai.RateLimitError),
            (500, openai.InternalServerError),
            (401, openai.AuthenticationError),
        ):
            for stream in (False, True):
                with self.subTest(status=status, stream=stream), self.assertRaises(error) as caught:
                    self.ask(f"fail with {status}", stream=stream)
                self.assertEqual(caught.exception.status_code, status)

    def test_a_path_of_no_route(self):
        with self.assertRaises(openai.NotFoundError):
            self.proxy.files.list()

    def test_a_body_of_no_use(self):
        with self.assertRaises(openai.BadRequestError):
            self.proxy.chat.completions.create(model="stand-in", messages="not a list")


class Together(unittest.IsolatedAsyncioTestCase):
    async def test_many_streams_at_once(self):
        async with AsyncOpenAI(base_url=PROXY, **SETTINGS) as client:

            async def one(i):
                text = f"say: {i} {spoken_words(40)} " + ("swordfish" if i % 2 else "minnow")
                stream = await client.chat.completions.create(model="m", messages=user(text), stream=True)
                return [chunk async for chunk in stream]

            for i, chunks in enumerate(await asyncio.gather(*(one(i) for i in range(20)))):
                if i % 2:
                    self.assertEqual(finish(chunks), ["content_filter"])
                    self.assertNotIn("swordfish", repr(chunks))
                else:
                    self.assertEqual(content(chunks), f"{i} {spoken_words(40)} minnow")

    async def test_a_client_that_leaves(self):
        async with AsyncOpenAI(base_url=PROXY, **SETTINGS) as client:
            stream = await client.chat.completions.create(model="m", messages=user("count to 500"), stream=True)
            async for _ in stream:
                break
            await stream.close()
            answer = await client.chat.completions.create(model="m", messages=user("still there?"))
            self.assertEqual(answer.choices[0].message.content, "You said: still there?")


if __name__ == "__main__":
    unittest.main()
