"""Drives the running proxy with those APIs of the OpenAI SDK that are no conversation: completions, embeddings, moderations,
pictures. See common.py.
"""

import unittest

import openai
from common import DIRECT, PLAIN, PROXY, Case, clean
from openai import OpenAI

SETTINGS = {"api_key": "sk-of-nobody", "max_retries": 0, "timeout": 30}


def plain(answer):
    """As data, less what a guarded one leaves out: the tokens that were not chosen."""
    data = answer.model_dump()
    for choice in data["choices"]:
        if choice["logprobs"]:
            choice["logprobs"].pop("top_logprobs")
    return data


def text_of(chunks):
    return "".join(choice.text for chunk in chunks for choice in chunk.choices if choice.index == 0)


def finish(chunks):
    reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices]
    return [reason for reason in reasons if reason]


class Both(Case):
    @classmethod
    def setUpClass(cls):
        cls.proxy = OpenAI(base_url=f"{PROXY}/v1", **SETTINGS)
        cls.direct = OpenAI(base_url=f"{DIRECT}/v1", **SETTINGS)

    @classmethod
    def tearDownClass(cls):
        cls.proxy.close()
        cls.direct.close()

    def refused(self, ask):
        with self.assertRaises(openai.BadRequestError) as caught:
            ask()
        self.assertEqual(caught.exception.code, "content_policy_violation")
        self.quiet(caught.exception.response.text)


class Completions(Both):
    CASES = {
        "plain": {},
        "two choices": {"n": 2},
        "log-probabilities": {"logprobs": 1},
        "cut short": {"max_tokens": 3},
        "every knob": {"temperature": 0.25, "seed": 7, "stop": ["\n\n"], "user": "someone", "suffix": "the end"},
    }

    def ask(self, prompt, client=None, **options):
        return (client or self.proxy).completions.create(model="stand-in", prompt=prompt, **options)

    def stream(self, prompt, client=None, **options):
        return list(self.ask(prompt, client, stream=True, **options))

    def test_answers_are_the_upstreams(self):
        for name, options in self.CASES.items():
            for prompt in (PLAIN, ["one", "two"]):
                with self.subTest(name, prompt=prompt):
                    through, direct = self.ask(prompt, **options), self.ask(prompt, self.direct, **options)
                    self.assertEqual(plain(through), plain(direct))
                    self.assertTrue(through.choices[0].text)

    def test_streams_are_the_upstreams_chunk_by_chunk(self):
        for name, options in self.CASES.items():
            with self.subTest(name):
                options = options | {"stream_options": {"include_usage": True}}
                through, direct = self.stream(PLAIN, **options), self.stream(PLAIN, self.direct, **options)
                self.assertEqual([plain(chunk) for chunk in through], [plain(chunk) for chunk in direct])
                self.assertGreater(through[-1].usage.total_tokens, 0)

    def test_prompts_are_blocked(self):
        for name, options in {
            "a text": {"prompt": "Project Bluebird"},
            "streamed": {"prompt": "Project Bluebird", "stream": True},
            "one of several": {"prompt": ["hi", "Project Bluebird"]},
            "the suffix": {"prompt": "hi", "suffix": "Project Bluebird"},
        }.items():
            with self.subTest(name):
                self.refused(lambda: self.ask(**options))

    def test_token_ids_are_refused(self):
        for prompt in ([1, 2, 3], [[1, 2], [3]]):
            with self.subTest(prompt=prompt), self.assertRaises(openai.BadRequestError):
                self.ask(prompt)

    def test_answers_are_blocked(self):
        self.refused(lambda: self.ask("say: the word is swordfish"))
        chunks = self.stream(f"say: {clean()} swordfish and more")
        self.began(text_of(chunks))
        self.assertEqual(finish(chunks), ["content_filter"])
        self.quiet(chunks)

    def test_both_are_redacted(self):
        self.assertEqual(self.ask("I am ada@example.com").choices[0].text, "You said: I am [REDACTED:email]")
        chunks = self.stream("say: call EMP-123456 now", logprobs=1)
        self.assertEqual(text_of(chunks), "call [REDACTED:employee] now")
        self.quiet(chunks)


class Embeddings(Both):
    def test_vectors_are_the_upstreams(self):
        for options in ({}, {"encoding_format": "float"}, {"dimensions": 8}):
            for words in (PLAIN, ["one", "two"]):
                with self.subTest(words=words, **options):
                    ask = {"model": "stand-in", "input": words, **options}
                    through, direct = self.proxy.embeddings.create(**ask), self.direct.embeddings.create(**ask)
                    self.assertEqual(through, direct)
                    self.assertEqual(len(through.data[0].embedding), 8)

    def test_texts_are_blocked_and_redacted(self):
        embed = self.proxy.embeddings.create
        self.refused(lambda: embed(model="stand-in", input=["hi", "Project Bluebird"]))
        through = embed(model="stand-in", input="I am ada@example.com")
        direct = self.direct.embeddings.create(model="stand-in", input="I am [REDACTED:email]")
        self.assertEqual(through, direct)

    def test_token_ids_are_refused(self):
        with self.assertRaises(openai.BadRequestError):
            self.proxy.embeddings.create(model="stand-in", input=[1, 2, 3])


class Others(Both):
    def test_moderations(self):
        for words in (PLAIN, ["one", "two"], [{"type": "text", "text": "three"}]):
            with self.subTest(words=words):
                through, direct = (client.moderations.create(input=words) for client in (self.proxy, self.direct))
                self.assertEqual(through, direct)
        self.refused(lambda: self.proxy.moderations.create(input=["hi", "Project Bluebird"]))

    def test_pictures(self):
        through, direct = (client.images.generate(prompt="a dot") for client in (self.proxy, self.direct))
        self.assertEqual(through, direct)
        self.refused(lambda: self.proxy.images.generate(prompt="Project Bluebird"))


if __name__ == "__main__":
    unittest.main()
