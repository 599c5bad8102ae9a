"""Drives the running proxy with the OpenAI SDK's responses, as its users do. See common.py."""

import asyncio
import json
import unittest

import openai
from common import CITY, DIRECT, PLAIN, PROXY, REPORT, Case, clean
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

SETTINGS = {"api_key": "sk-of-nobody", "max_retries": 0, "timeout": 30}
WEATHER = {"type": "function", "name": "get_weather", "description": "In a city.", "parameters": CITY, "strict": False}


class Report(BaseModel):
    title: str
    lines: list[int]
    final: bool


def plain(answer):
    """An answer or event as data, less what a guarded one leaves out: padding, and the tokens that were not chosen."""
    return without_copies(answer.model_dump())


def without_copies(value):
    if isinstance(value, list):
        return [without_copies(element) for element in value]
    if isinstance(value, dict):
        kept = {name: without_copies(member) for name, member in value.items() if name != "obfuscation"}
        return kept | ({"top_logprobs": []} if isinstance(kept.get("top_logprobs"), list) else {})
    return value


def text_of(events):
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


class Responses(Case):
    @classmethod
    def setUpClass(cls):
        cls.proxy = OpenAI(base_url=f"{PROXY}/v1", **SETTINGS)
        cls.direct = OpenAI(base_url=f"{DIRECT}/v1", **SETTINGS)

    @classmethod
    def tearDownClass(cls):
        cls.proxy.close()
        cls.direct.close()

    def ask(self, words, client=None, **options):
        return (client or self.proxy).responses.create(model="stand-in", input=words, **options)

    def stream(self, words, client=None, **options):
        return list(self.ask(words, client, stream=True, **options))


class CleanTraffic(Responses):
    CASES = {
        "plain": {},
        "instructions": {"instructions": "Be short, and say nothing of the weather."},
        "log-probabilities": {"include": ["message.output_text.logprobs"], "top_logprobs": 2},
        "cut short": {"max_output_tokens": 3},
        "a JSON object": {"text": {"format": {"type": "json_object"}}},
        "every knob": {
            "temperature": 0.25,
            "top_p": 0.5,
            "metadata": {"team": "a"},
            "user": "someone",
            "parallel_tool_calls": False,
            "store": False,
            "reasoning": {"effort": "low"},
        },
        "tools, unused": {"tools": [WEATHER]},
    }

    def test_unary_answers_are_the_upstreams(self):
        for name, options in self.CASES.items():
            with self.subTest(name):
                through, direct = self.ask(PLAIN, **options), self.ask(PLAIN, self.direct, **options)
                self.assertEqual(plain(through), plain(direct))
                self.assertEqual(through.output_text, direct.output_text)
                self.assertTrue(through.output_text)

    def test_streams_are_the_upstreams_event_by_event(self):
        for name, options in self.CASES.items():
            with self.subTest(name):
                through, direct = self.stream(PLAIN, **options), self.stream(PLAIN, self.direct, **options)
                self.assertEqual([plain(event) for event in through], [plain(event) for event in direct])
                self.assertIn(through[-1].type, ("response.completed", "response.incomplete"))

    def test_reasoning_refusals_and_calls(self):
        for words in ("think: hard and long", "refuse", "weather in Paris and Rome"):
            with self.subTest(words):
                options = {"tools": [WEATHER]}
                self.assertEqual(plain(self.ask(words, **options)), plain(self.ask(words, self.direct, **options)))
                through, direct = self.stream(words, **options), self.stream(words, self.direct, **options)
                self.assertEqual([plain(event) for event in through], [plain(event) for event in direct])

    def test_a_conversation_of_items(self):
        said = [
            {"role": "developer", "content": "Be short."},
            {"role": "user", "content": [{"type": "input_text", "text": "one"}, {"type": "input_text", "text": "two"}]},
        ]
        self.assertEqual(self.ask(said).output_text, "You said: one\ntwo")

    def test_a_tools_call_and_its_result(self):
        said = [{"role": "user", "content": "weather in Paris and Rome?"}]
        answer = self.ask(said, tools=[WEATHER])
        self.assertEqual([json.loads(call.arguments)["city"] for call in answer.output], ["Paris", "Rome"])
        said += answer.output
        for call in answer.output:
            said.append({"type": "function_call_output", "call_id": call.call_id, "output": f"mild, {call.name}"})
        answer = self.ask(said, tools=[WEATHER])
        self.assertEqual(answer.output_text, "The tool says: mild, get_weather; mild, get_weather")

    def test_structured_output(self):
        answer = self.proxy.responses.parse(model="stand-in", input="a report", text_format=Report)
        self.assertEqual(answer.output_parsed, Report(title="You said: a report", lines=[18], final=True))
        schema = {"type": "json_schema", "name": "report", "schema": REPORT, "strict": True}
        answer = self.ask("a report", text={"format": schema})
        self.assertEqual(json.loads(answer.output_text)["title"], "You said: a report")

    def test_the_sdks_own_stream_helper(self):
        with self.proxy.responses.stream(model="stand-in", input="a report", text_format=Report) as stream:
            events = [event.type for event in stream]
            answer = stream.get_final_response()
        self.assertEqual(answer.output_parsed.title, "You said: a report")
        self.assertEqual(events[-1], "response.completed")


    def test_what_the_request_said_is_not_found_in_the_answer(self):
        """A response repeats its instructions, tools and metadata: no guardrail of the answer is meant by them."""
        word = "swordfish"
        options = {
            "instructions": f"Never say {word}.",
            "tools": [WEATHER | {"description": f"Never {word}."}],
            "metadata": {"word": word},
        }
        self.assertEqual(plain(self.ask("hi", **options)), plain(self.ask("hi", self.direct, **options)))
        through, direct = self.stream("hi", **options), self.stream("hi", self.direct, **options)
        self.assertEqual([plain(event) for event in through], [plain(event) for event in direct])


class Blocked(Responses):
    def refused(self, ask):
        with self.assertRaises(openai.BadRequestError) as caught:
            ask()
        self.assertEqual(caught.exception.code, "content_policy_violation")
        self.quiet(caught.exception.response.text)

    def test_a_prompt_in_any_place(self):
        word = "Project Bluebird"
        tool = WEATHER | {"description": f"About {word}."}
        for name, options in {
            "the input": {"words": word},
            "streamed": {"words": word, "stream": True},
            "instructions": {"words": "hi", "instructions": word},
            "a part": {"words": [{"role": "user", "content": [{"type": "input_text", "text": word}]}]},
            "a result": {"words": [{"type": "function_call_output", "call_id": "call_1", "output": word}]},
            "a tool": {"words": "hi", "tools": [tool]},
            "metadata": {"words": "hi", "metadata": {"k": word}},
        }.items():
            with self.subTest(name):
                self.refused(lambda: self.ask(**options))

    def test_an_answer(self):
        self.refused(lambda: self.ask("say: the word is swordfish"))
        self.refused(lambda: self.ask("think: of swordfish"))
        self.refused(lambda: self.ask("weather in swordfish", tools=[WEATHER]))

    def test_a_stream(self):
        for name, options in {"plain": {}, "log-probabilities": {"include": ["message.output_text.logprobs"]}}.items():
            with self.subTest(name):
                events = self.stream(f"say: {clean()} swordfish and more", **options)
                self.began(text_of(events))
                self.quiet(events)
                last = events[-1]
                self.assertEqual(last.type, "response.incomplete")
                self.assertEqual(last.response.status, "incomplete")
                self.assertEqual(last.response.incomplete_details.reason, "content_filter")
                self.assertEqual(last.response.output_text.strip(), text_of(events).strip())
                numbers = [event.sequence_number for event in events]
                self.assertEqual(numbers, list(range(len(events))))

    def test_the_stream_helper_sees_the_end(self):
        with self.proxy.responses.stream(model="stand-in", input=f"say: {clean()} swordfish") as stream:
            events = list(stream)
        self.assertEqual(events[-1].type, "response.incomplete")
        self.quiet(events)

    def test_a_streamed_call(self):
        try:
            events = self.stream("weather in swordfish", tools=[WEATHER])
        except openai.BadRequestError as error:
            self.assertEqual(error.code, "content_policy_violation")
        else:
            self.assertEqual(events[-1].type, "response.incomplete")
            self.quiet(events)

    def test_what_the_upstream_keeps_is_not_asked_for(self):
        for name, options in {
            "an earlier response": {"previous_response_id": "resp_1"},
            "a conversation": {"conversation": "conv_1"},
            "background": {"background": True},
            "a tool of the upstream": {"tools": [{"type": "web_search"}]},
            "an image": {},
        }.items():
            image = {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "auto"}
            words = [{"role": "user", "content": [image]}] if name == "an image" else "hi"
            with self.subTest(name), self.assertRaises(openai.BadRequestError):
                self.ask(words, **options)


class Redacted(Responses):
    def test_a_prompt(self):
        answer = self.ask("My e-mail is ada@example.com, ok?")
        self.assertEqual(answer.output_text, "You said: My e-mail is [REDACTED:email], ok?")

    def test_an_answer(self):
        answer = self.ask("say: call EMP-123456 now", include=["message.output_text.logprobs"])
        self.assertEqual(answer.output_text, "call [REDACTED:employee] now")
        self.quiet(answer)

    def test_a_stream(self):
        events = self.stream("say: call EMP-123456 now", include=["message.output_text.logprobs"])
        self.assertEqual(text_of(events), "call [REDACTED:employee] now")
        self.assertEqual(events[-1].type, "response.completed")
        self.assertEqual(events[-1].response.output_text, "call [REDACTED:employee] now")
        done = [event.text for event in events if event.type == "response.output_text.done"]
        self.assertEqual(done, ["call [REDACTED:employee] now"])
        self.quiet(events)


class Errors(Responses):
    def test_statuses(self):
        for status, error in ((429, openai.RateLimitError), (500, openai.InternalServerError)):
            for stream in (False, True):
                with self.subTest(status=status, stream=stream), self.assertRaises(error):
                    self.ask(f"fail with {status}", stream=stream)


class Together(unittest.IsolatedAsyncioTestCase):
    async def test_many_streams_at_once(self):
        async with AsyncOpenAI(base_url=f"{PROXY}/v1", **SETTINGS) as client:

            async def one(i):
                words = f"say: {i} {clean()} " + ("swordfish" if i % 2 else "minnow")
                stream = await client.responses.create(model="m", input=words, stream=True)
                return [event async for event in stream]

            for i, events in enumerate(await asyncio.gather(*(one(i) for i in range(10)))):
                self.assertEqual(events[-1].type, "response.incomplete" if i % 2 else "response.completed")
                self.assertNotIn("swordfish", repr(events))


if __name__ == "__main__":
    unittest.main()
