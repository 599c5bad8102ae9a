"""Drives the proxy with the OpenAI SDK as users of Azure have it: the paths of deployments, and those of the v1 API. The
proxy runs examples/azure.toml; PORTCULLIS_PROXY and PORTCULLIS_DIRECT as in common.py.
"""

import unittest

import openai
from common import DIRECT, PLAIN, PROXY, Case
from openai import AzureOpenAI, OpenAI

SETTINGS = {"api_key": "key-of-nobody", "max_retries": 0, "timeout": 30}
VERSION = "2024-10-21"


def user(text):
    return [{"role": "user", "content": text}]


def text_of(chunks):
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


class Azure(Case):
    @classmethod
    def setUpClass(cls):
        both = (PROXY, DIRECT)
        cls.deployments = [AzureOpenAI(azure_endpoint=at, api_version=VERSION, **SETTINGS) for at in both]
        cls.v1 = [OpenAI(base_url=f"{at}/openai/v1/", **SETTINGS) for at in both]

    @classmethod
    def tearDownClass(cls):
        for client in cls.deployments + cls.v1:
            client.close()

    def test_answers_are_the_upstreams(self):
        for clients in (self.deployments, self.v1):
            ask = {"model": "my-gpt.4", "messages": user(PLAIN)}
            through, direct = (client.chat.completions.create(**ask) for client in clients)
            self.assertEqual(through, direct)
            self.assertEqual(through.model, "my-gpt.4")
            self.assertIn("hate", through.choices[0].content_filter_results)

    def test_streams_are_the_upstreams_chunk_by_chunk(self):
        for clients in (self.deployments, self.v1):
            ask = {"model": "my-gpt", "messages": user(PLAIN), "stream": True}
            through, direct = (list(client.chat.completions.create(**ask)) for client in clients)
            self.assertEqual(through, direct)
            self.assertEqual(through[0].prompt_filter_results[0]["prompt_index"], 0)

    def test_responses_and_embeddings(self):
        through, direct = (client.responses.create(model="my-gpt", input=PLAIN) for client in self.v1)
        self.assertEqual(through, direct)
        through, direct = (client.embeddings.create(model="my-ada", input=PLAIN) for client in self.deployments)
        self.assertEqual(through, direct)

    def test_what_the_header_says(self):
        ask = {"model": "my-gpt", "messages": user("hello")}
        answers = [client.chat.completions.with_raw_response.create(**ask) for client in self.deployments]
        through, direct = (answer.headers["apim-request-id"] for answer in answers)
        self.assertEqual(through, direct)

    def test_what_is_found_is_masked_or_ends_it(self):
        for client in (self.deployments[0], self.v1[0]):
            create = client.chat.completions.create
            answer = create(model="my-gpt", messages=user("I am ada@example.com"))
            self.assertEqual(answer.choices[0].message.content, "You said: I am [REDACTED:email]")
            chunks = list(create(model="my-gpt", messages=user("tell me a secret"), stream=True))
            self.assertIn("The office opens at nine", text_of(chunks))
            self.assertEqual(chunks[-1].choices[0].finish_reason, "content_filter")
            self.quiet(chunks)
            with self.assertRaises(openai.BadRequestError) as caught:
                create(model="my-gpt", messages=user("-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC"))
            self.assertEqual(caught.exception.code, "content_policy_violation")

    def test_errors(self):
        for client in (self.deployments[0], self.v1[0]):
            with self.assertRaises(openai.RateLimitError):
                client.chat.completions.create(model="my-gpt", messages=user("fail with 429"))
        with self.assertRaises(openai.NotFoundError):
            self.deployments[0].images.generate(model="my-dall-e", prompt="a bird")
        with self.assertRaises(openai.BadRequestError):
            self.deployments[0].chat.completions.create(
                model="my-gpt", messages=user("hi"), extra_query={"debug": "1"}
            )


if __name__ == "__main__":
    unittest.main()
