"""Drives the running proxy with the real Anthropic SDK, as its users do. See common.py."""

import asyncio
import json
import unittest

import anthropic
from anthropic import Anthropic, AsyncAnthropic
from common import CITY, DIRECT, PLAIN, PROXY, REPORT, Case, clean

SETTINGS = {"api_key": "sk-of-nobody", "max_retries": 0, "timeout": 30}
WEATHER = {"name": "get_weather", "description": "The weather in a city.", "input_schema": CITY}


def user(content):
    return [{"role": "user", "content": content}]


def text_of(events):
    deltas = [event.delta for event in events if event.type == "content_block_delta"]
    return "".join(delta.text for delta in deltas if delta.type == "text_delta")


def stop_reason(events):
    [reason] = [event.delta.stop_reason for event in events if event.type == "message_delta"]
    return reason


class Messages(Case):
    @classmethod
    def setUpClass(cls):
        cls.proxy = Anthropic(base_url=PROXY, **SETTINGS)
        cls.direct = Anthropic(base_url=DIRECT, **SETTINGS)

    @classmethod
    def tearDownClass(cls):
        cls.proxy.close()
        cls.direct.close()

    def ask(self, words, client=None, **options):
        messages = user(words) if isinstance(words, str) else words
        options = {"model": "stand-in", "max_tokens": 4096, "messages": messages} | options
        return (client or self.proxy).messages.create(**options)

    def stream(self, words, client=None, **options):
        return list(self.ask(words, client, stream=True, **options))

    def ordered(self, events):
        """A message begins, its blocks begin and end one after the other, and it ends."""
        kinds = [event.type for event in events if event.type != "ping"]
        self.assertEqual((kinds[0], kinds[-2:]), ("message_start", ["message_delta", "message_stop"]))
        opened = [event.index for event in events if event.type == "content_block_start"]
        closed = [event.index for event in events if event.type == "content_block_stop"]
        self.assertEqual(opened, list(range(len(opened))))
        self.assertEqual(opened, closed)


class CleanTraffic(Messages):
    CASES = {
        "plain": {},
        "a system prompt": {"system": [{"type": "text", "text": "Be short."}]},
        "cut short": {"max_tokens": 3},
        "tools, unused": {"tools": [WEATHER]},
        "every knob": {
            "extra_body": {"temperature": 0.25, "top_k": 5, "top_p": 0.5},
            "stop_sequences": ["\n\nHuman:"],
            "metadata": {"user_id": "someone"},
            "service_tier": "auto",
            "thinking": {"type": "enabled", "budget_tokens": 1024},
        },
    }

    def test_unary_answers_are_the_upstreams(self):
        for name, options in self.CASES.items():
            with self.subTest(name):
                through, direct = self.ask(PLAIN, **options), self.ask(PLAIN, self.direct, **options)
                self.assertEqual(through, direct)
                self.assertTrue(through.content[0].text)

    def test_streams_are_the_upstreams_event_by_event(self):
        for name, options in self.CASES.items():
            with self.subTest(name):
                through = self.stream(PLAIN, **options)
                self.assertEqual(through, self.stream(PLAIN, self.direct, **options))
                self.ordered(through)

    def test_thinking_refusals_and_calls(self):
        for words in ("think: hard and long", "refuse", "weather in Paris and Rome"):
            with self.subTest(words):
                options = {"tools": [WEATHER]}
                self.assertEqual(self.ask(words, **options), self.ask(words, self.direct, **options))
                through = self.stream(words, **options)
                self.assertEqual(through, self.stream(words, self.direct, **options))
                self.ordered(through)

    def test_a_tools_call_and_its_result(self):
        said = user("weather in Paris and Rome?")
        answer = self.ask(said, tools=[WEATHER])
        self.assertEqual(answer.stop_reason, "tool_use")
        self.assertEqual([call.input for call in answer.content], [{"city": "Paris"}, {"city": "Rome"}])
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": f"{i} degrees"}
            for i, call in enumerate(answer.content)
        ]
        said += [{"role": "assistant", "content": answer.content}, {"role": "user", "content": results}]
        answer = self.ask(said, tools=[WEATHER])
        self.assertEqual(answer.content[0].text, "The tool says: 0 degrees; 1 degrees")

    def test_thoughts_are_sent_back(self):
        answer = self.ask("think: hard and long")
        self.assertEqual([block.type for block in answer.content], ["thinking", "text"])
        said = user("think: hard and long") + [{"role": "assistant", "content": answer.content}] + user("and now?")
        self.assertEqual(self.ask(said).content[0].text, "You said: and now?")

    def test_structured_output(self):
        schema = {"format": {"type": "json_schema", "schema": REPORT}}
        answer = self.ask("a report", output_config=schema)
        self.assertEqual(json.loads(answer.content[0].text)["title"], "You said: a report")
        choice = {"type": "tool", "name": "report"}
        tools = [{"name": "report", "input_schema": REPORT}]
        answer = self.ask("a report", tools=tools, tool_choice=choice)
        self.assertEqual(answer.content[0].input, {"title": "a report", "lines": [8], "final": True})

    def test_the_sdks_own_stream_helper(self):
        for words in ("hello", "think: hard", "weather in Paris"):
            with self.subTest(words):
                ask = {"model": "stand-in", "max_tokens": 100, "messages": user(words), "tools": [WEATHER]}
                finals = []
                for client in (self.proxy, self.direct):
                    with client.messages.stream(**ask) as stream:
                        for _ in stream:
                            pass
                        finals.append(stream.get_final_message())
                self.assertEqual(*finals)

    def test_the_beta(self):
        options = {"model": "stand-in", "max_tokens": 9, "betas": ["interleaved-thinking-2025-05-14"]}
        through = self.proxy.beta.messages.create(messages=user("hello"), **options)
        self.assertEqual(through, self.direct.beta.messages.create(messages=user("hello"), **options))

    def test_what_the_header_says(self):
        names = ("request-id", "anthropic-organization-id", "anthropic-ratelimit-requests-remaining")
        ask = {"model": "stand-in", "max_tokens": 9, "messages": user("hello")}
        answers = [client.messages.with_raw_response.create(**ask) for client in (self.proxy, self.direct)]
        through, direct = ([answer.headers[name] for name in names] for answer in answers)
        self.assertEqual(through, direct)
        self.assertEqual(self.ask("hello")._request_id, "req_011CSHoEeqs5C35K2UUqR7Fy")

    def test_tokens_are_counted(self):
        count = self.proxy.messages.count_tokens(model="stand-in", messages=user("one two three"))
        self.assertEqual(count.input_tokens, 3)


class Blocked(Messages):
    def refused(self, ask):
        with self.assertRaises(anthropic.BadRequestError) as caught:
            ask()
        error = caught.exception
        self.assertEqual(error.body["error"]["type"], "invalid_request_error")
        self.assertEqual(error.response.headers["x-portcullis-decision"], "block")
        self.quiet(error.response.text)

    def test_a_prompt_in_any_place(self):
        word = "Project Bluebird"
        tool = WEATHER | {"description": f"About {word}."}
        result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": word}]}
        for name, options in {
            "the message": {"words": word},
            "streamed": {"words": word, "stream": True},
            "the system prompt": {"words": "hi", "system": word},
            "an old turn": {"words": [*user(word), {"role": "assistant", "content": "?"}, *user("hi")]},
            "a block": {"words": user([{"type": "text", "text": word}])},
            "a result": {"words": user([result])},
            "a tool": {"words": "hi", "tools": [tool]},
            "a stop sequence": {"words": "hi", "stop_sequences": [word]},
            "metadata": {"words": "hi", "metadata": {"user_id": word}},
        }.items():
            with self.subTest(name):
                self.refused(lambda: self.ask(**options))

    def test_tokens_are_counted_of_what_may_pass(self):
        count = self.proxy.messages.count_tokens
        self.refused(lambda: count(model="stand-in", messages=user("Project Bluebird")))

    def test_an_answer(self):
        self.refused(lambda: self.ask("say: the word is swordfish"))
        self.refused(lambda: self.ask("think: of swordfish"))
        self.refused(lambda: self.ask("weather in swordfish", tools=[WEATHER]))

    def test_a_stream(self):
        events = self.stream(f"say: {clean()} swordfish and more")
        self.began(text_of(events))
        self.ordered(events)
        self.assertEqual(stop_reason(events), "refusal")
        self.quiet(events)

    def test_the_stream_helper_gives_a_refusal(self):
        ask = {"model": "stand-in", "max_tokens": 4096, "messages": user(f"say: {clean()} swordfish")}
        with self.proxy.messages.stream(**ask) as stream:
            text = "".join(stream.text_stream)
            message = stream.get_final_message()
        self.began(text)
        self.assertEqual(message.content[0].text, text)
        self.assertEqual(message.stop_reason, "refusal")

    def test_a_streamed_thought_and_call(self):
        for words in ("think: of swordfish", "weather in swordfish"):
            with self.subTest(words):
                try:
                    events = self.stream(words, tools=[WEATHER])
                except anthropic.BadRequestError as error:
                    self.quiet(error.response.text)
                else:
                    self.ordered(events)
                    self.assertEqual(stop_reason(events), "refusal")
                    self.quiet(events)

    def test_a_picture(self):
        source = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
        with self.assertRaises(anthropic.BadRequestError):
            self.ask(user([{"type": "image", "source": source}]))

    def test_batches_have_no_route(self):
        with self.assertRaises(anthropic.NotFoundError):
            self.proxy.messages.batches.list()


class Redacted(Messages):
    def test_a_prompt(self):
        answer = self.ask("My e-mail is ada@example.com, ok?")
        self.assertEqual(answer.content[0].text, "You said: My e-mail is [REDACTED:email], ok?")

    def test_an_answer(self):
        answer = self.ask("say: call EMP-123456 now")
        self.assertEqual(answer.content[0].text, "call [REDACTED:employee] now")

    def test_a_stream(self):
        for words, text in {"say: call EMP-123456 now": "call [REDACTED:employee] now"}.items():
            events = self.stream(words)
            self.ordered(events)
            self.assertEqual(text_of(events), text)
            self.assertEqual(stop_reason(events), "end_turn")
            self.quiet(events)

    def test_arguments(self):
        answer = self.ask("weather in EMP-123456", tools=[WEATHER])
        self.assertEqual(answer.content[0].input, {"city": "[REDACTED:employee]"})
        with self.proxy.messages.stream(
            model="stand-in", max_tokens=100, messages=user("weather in EMP-123456"), tools=[WEATHER]
        ) as stream:
            message = stream.get_final_message()
        self.assertEqual(message.content[0].input, {"city": "[REDACTED:employee]"})


class Errors(Messages):
    def test_statuses(self):
        for status, error in (
            (401, anthropic.AuthenticationError),
            (429, anthropic.RateLimitError),
            (500, anthropic.InternalServerError),
            (529, anthropic.InternalServerError),
        ):
            for stream in (False, True):
                with self.subTest(status=status, stream=stream), self.assertRaises(error) as caught:
                    self.ask(f"fail with {status}", stream=stream)
                self.assertEqual(caught.exception.status_code, status)
                self.assertEqual(caught.exception.body["error"]["message"], "failing, as asked")
                self.assertEqual(caught.exception.request_id, "req_011CSHoEeqs5C35K2UUqR7Fy")


class Together(unittest.IsolatedAsyncioTestCase):
    async def test_many_streams_at_once(self):
        async with AsyncAnthropic(base_url=PROXY, **SETTINGS) as client:

            async def one(i):
                words = f"say: {i} {clean()} " + ("swordfish" if i % 2 else "minnow")
                stream = await client.messages.create(model="m", max_tokens=999, messages=user(words), stream=True)
                return [event async for event in stream]

            for i, events in enumerate(await asyncio.gather(*(one(i) for i in range(10)))):
                self.assertEqual(stop_reason(events), "refusal" if i % 2 else "end_turn")
                self.assertNotIn("swordfish", repr(events))


if __name__ == "__main__":
    unittest.main()
