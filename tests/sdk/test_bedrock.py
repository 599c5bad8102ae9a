"""Drives the running proxy with boto3, as Bedrock's users do: Converse and ConverseStream. See common.py."""

import json
import unittest
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from common import CITY, DIRECT, PLAIN, PROXY, REPORT, Case, clean

MODEL = "us.anthropic.claude-3-5-sonnet-20240620-v1:0"
TOOLS = {"tools": [{"toolSpec": {"name": "get_weather", "description": "The weather in a city.", "inputSchema": {"json": CITY}}}]}


def client_of(address):
    """An API key would need TLS: it signs, with nobody's."""
    keys = {"aws_access_key_id": "nobody", "aws_secret_access_key": "key-of-nobody", "region_name": "us-east-1"}
    config = Config(retries={"total_max_attempts": 1}, read_timeout=30, max_pool_connections=20)
    return boto3.client("bedrock-runtime", endpoint_url=address, config=config, **keys)


def user(text):
    return {"role": "user", "content": [{"text": text}]}


def plain(answer):
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def text_of(events):
    return "".join(event.get("contentBlockDelta", {}).get("delta", {}).get("text", "") for event in events)


def reasons(events):
    return [event["messageStop"]["stopReason"] for event in events if "messageStop" in event]


class Bedrock(Case):
    @classmethod
    def setUpClass(cls):
        cls.proxy = client_of(PROXY)
        cls.direct = client_of(DIRECT)

    @classmethod
    def tearDownClass(cls):
        cls.proxy.close()
        cls.direct.close()

    def ask(self, words, client=None, **options):
        messages = [user(words)] if isinstance(words, str) else words
        return (client or self.proxy).converse(modelId=MODEL, messages=messages, **options)

    def stream(self, words, client=None, **options):
        messages = [user(words)] if isinstance(words, str) else words
        return list((client or self.proxy).converse_stream(modelId=MODEL, messages=messages, **options)["stream"])

    def refused(self, ask, error="ValidationException"):
        with self.assertRaises(ClientError) as caught:
            ask()
        self.assertIsInstance(caught.exception, getattr(self.proxy.exceptions, error))
        self.quiet(caught.exception.response)
        return caught.exception.response


class CleanTraffic(Bedrock):
    CASES = {
        "plain": {},
        "a system prompt": {"system": [{"text": "Be short."}, {"cachePoint": {"type": "default"}}]},
        "cut short": {"inferenceConfig": {"maxTokens": 3}},
        "tools, unused": {"toolConfig": TOOLS},
        "every knob": {
            "inferenceConfig": {"temperature": 0.25, "topP": 0.5, "maxTokens": 999, "stopSequences": ["END"]},
            "additionalModelRequestFields": {"top_k": 5, "thinking": {"type": "enabled", "budget_tokens": 1024}},
            "additionalModelResponseFieldPaths": ["/stop_sequence"],
            "performanceConfig": {"latency": "standard"},
            "requestMetadata": {"team": "a"},
        },
    }

    def test_unary_answers_are_the_upstreams(self):
        for name, options in self.CASES.items():
            with self.subTest(name):
                through, direct = self.ask(PLAIN, **options), self.ask(PLAIN, self.direct, **options)
                self.assertEqual(plain(through), plain(direct))
                self.assertTrue(through["output"]["message"]["content"][0]["text"])

    def test_streams_are_the_upstreams_event_by_event(self):
        for name, options in self.CASES.items():
            with self.subTest(name):
                through, direct = self.stream(PLAIN, **options), self.stream(PLAIN, self.direct, **options)
                self.assertEqual(through, direct)
                self.assertEqual(len(reasons(through)), 1)

    def test_thoughts_refusals_and_calls(self):
        for words in ("think: hard and long", "refuse", "weather in Paris and Rome"):
            with self.subTest(words):
                options = {"toolConfig": TOOLS}
                self.assertEqual(plain(self.ask(words, **options)), plain(self.ask(words, self.direct, **options)))
                self.assertEqual(self.stream(words, **options), self.stream(words, self.direct, **options))

    def test_a_tools_call_and_its_result(self):
        said = [user("weather in Paris and Rome?")]
        message = self.ask(said, toolConfig=TOOLS)["output"]["message"]
        calls = [block["toolUse"] for block in message["content"]]
        self.assertEqual([call["input"] for call in calls], [{"city": "Paris"}, {"city": "Rome"}])
        contents = ([{"text": "0 degrees"}], [{"json": {"degrees": 1}}])
        results = [
            {"toolResult": {"toolUseId": call["toolUseId"], "content": content, "status": "success"}}
            for call, content in zip(calls, contents)
        ]
        said += [message, {"role": "user", "content": results}]
        answer = self.ask(said, toolConfig=TOOLS)
        self.assertEqual(answer["output"]["message"]["content"], [{"text": 'The tool says: 0 degrees; {"degrees":1}'}])

    def test_a_conversation_with_what_was_thought(self):
        answer = self.ask("think: hard")
        said = [user("think: hard"), answer["output"]["message"], user("two")]
        self.assertEqual(plain(self.ask(said)), plain(self.ask(said, self.direct)))

    def test_structured_output(self):
        schema = {"name": "report", "schema": json.dumps(REPORT)}
        form = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}
        answer = self.ask("a report", outputConfig=form)
        self.assertEqual(json.loads(answer["output"]["message"]["content"][0]["text"])["title"], "You said: a report")


class Blocked(Bedrock):
    def blocked(self, ask):
        """boto3 shows of an error what its model of the service has, and the headers."""
        response = self.refused(ask)
        self.assertRegex(response["Error"]["Message"], "^the (request|answer) was blocked by guardrail `")
        self.assertEqual(response["ResponseMetadata"]["HTTPStatusCode"], 400)
        self.assertEqual(response["ResponseMetadata"]["HTTPHeaders"]["x-portcullis-decision"], "block")

    def test_a_prompt_in_any_place(self):
        word = "Project Bluebird"
        spec = TOOLS["tools"][0]["toolSpec"]
        call = {"toolUse": {"toolUseId": "tooluse_1", "name": "f", "input": {"of": word}}}
        result = {"toolResult": {"toolUseId": "tooluse_1", "content": [{"json": {"of": word}}]}}
        document = {"document": {"format": "txt", "name": "a", "source": {"text": word}}}
        for name, options in {
            "a message": {"words": word},
            "the system prompt": {"words": "hi", "system": [{"text": word}]},
            "an old turn": {"words": [user(word), {"role": "assistant", "content": [{"text": "?"}]}, user("hi")]},
            "a call": {"words": [user("hi"), {"role": "assistant", "content": [call]}, user("hi")]},
            "a result": {"words": [{"role": "user", "content": [result]}]},
            "a document": {"words": [{"role": "user", "content": [document, {"text": "hi"}]}]},
            "a tool": {"words": "hi", "toolConfig": {"tools": [{"toolSpec": spec | {"description": f"About {word}."}}]}},
            "a stop sequence": {"words": "hi", "inferenceConfig": {"stopSequences": [word]}},
            "a field of the model's": {"words": "hi", "additionalModelRequestFields": {"odd": [word]}},
        }.items():
            with self.subTest(name):
                self.blocked(lambda: self.ask(**options))
                self.blocked(lambda: self.stream(**options))

    def test_an_answer(self):
        self.blocked(lambda: self.ask("say: the word is swordfish"))
        self.blocked(lambda: self.ask("think: of swordfish"))
        self.blocked(lambda: self.ask("weather in swordfish", toolConfig=TOOLS))

    def test_a_stream(self):
        events = self.stream(f"say: {clean()} swordfish and more")
        self.began(text_of(events))
        self.assertEqual(reasons(events), ["guardrail_intervened"])
        self.quiet(events)

    def test_a_streamed_thought_and_call(self):
        for words in ("think: of swordfish", "weather in swordfish"):
            with self.subTest(words):
                try:
                    events = self.stream(words, toolConfig=TOOLS)
                except ClientError as error:
                    self.quiet(error.response)
                else:
                    self.assertEqual(reasons(events), ["guardrail_intervened"])
                    self.quiet(events)

    def test_what_no_detector_sees(self):
        for name, options in {
            "a picture": {"words": [{"role": "user", "content": [{"image": {"format": "png", "source": {"bytes": b"\x89PNG"}}}]}]},
            "a kept prompt": {"words": "hi", "promptVariables": {"a": {"text": "b"}}},
            "a tool of the service's": {"words": "hi", "toolConfig": {"tools": [{"systemTool": {"name": "nova_grounding"}}]}},
        }.items():
            with self.subTest(name):
                self.refused(lambda: self.ask(**options))
                self.refused(lambda: self.stream(**options))


class Redacted(Bedrock):
    def test_a_prompt(self):
        content = self.ask("My e-mail is ada@example.com, ok?")["output"]["message"]["content"]
        self.assertEqual(content, [{"text": "You said: My e-mail is [REDACTED:email], ok?"}])

    def test_an_answer(self):
        content = self.ask("say: call EMP-123456 now")["output"]["message"]["content"]
        self.assertEqual(content, [{"text": "call [REDACTED:employee] now"}])

    def test_a_stream(self):
        events = self.stream("say: call EMP-123456 now")
        self.assertEqual(text_of(events), "call [REDACTED:employee] now")
        self.assertEqual(reasons(events), ["end_turn"])
        self.assertIn("metadata", events[-1])
        self.quiet(events)

    def test_arguments(self):
        [block] = self.ask("weather in EMP-123456", toolConfig=TOOLS)["output"]["message"]["content"]
        self.assertEqual(block["toolUse"]["input"], {"city": "[REDACTED:employee]"})
        self.quiet(block)


class Errors(Bedrock):
    def test_statuses(self):
        for status, error in (
            (403, "AccessDeniedException"),
            (429, "ThrottlingException"),
            (500, "InternalServerException"),
            (503, "ServiceUnavailableException"),
        ):
            for ask in (self.ask, self.stream):
                with self.subTest(status=status, ask=ask.__name__):
                    response = self.refused(lambda: ask(f"fail with {status}"), error)
                    self.assertEqual(response["ResponseMetadata"]["HTTPStatusCode"], status)
                    self.assertEqual(response["Error"], {"Code": error, "Message": "failing, as asked"})


class Together(Bedrock):
    def test_many_streams_at_once(self):
        def one(i):
            return self.stream(f"say: {i} {clean()} " + ("swordfish" if i % 2 else "minnow"))

        with ThreadPoolExecutor(10) as pool:
            for i, events in enumerate(pool.map(one, range(10))):
                self.assertEqual(reasons(events), ["guardrail_intervened" if i % 2 else "end_turn"])
                self.assertNotIn("swordfish", repr(events))


if __name__ == "__main__":
    unittest.main()
