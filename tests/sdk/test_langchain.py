"""Drives the running proxy as LangChain's users do: the same chains over OpenAI, Anthropic, Gemini and Ollama. See common.py.
"""

import asyncio
import unittest

import anthropic
import ollama
import openai
from common import DIRECT, PLAIN, PROXY, Case, clean
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.tools import tool
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_google_genai.chat_models import ChatGoogleGenerativeAIError
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

KEY = {"api_key": "key-of-nobody", "max_retries": 0}


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"mild in {city}"


class Report(BaseModel):
    """A report."""

    title: str
    final: bool


def chat(at):
    return ChatOpenAI(model="stand-in", base_url=f"{at}/v1", **KEY)


def responses(at):
    return ChatOpenAI(model="stand-in", base_url=f"{at}/v1", use_responses_api=True, **KEY)


def messages(at):
    return ChatAnthropic(model="stand-in", base_url=at, max_tokens=4096, **KEY)


def gemini(at):
    # Its own count starts at one.
    return ChatGoogleGenerativeAI(model="stand-in", base_url=at, **(KEY | {"max_retries": 1}))


def local(at):
    return ChatOllama(model="stand-in", base_url=at)


# What their users catch where a prompt is not taken, and how a stream says that it was cut.
MODELS = {
    chat: (openai.BadRequestError, ("finish_reason", "content_filter")),
    responses: (openai.BadRequestError, ("incomplete_details", {"reason": "content_filter"})),
    messages: (anthropic.BadRequestError, ("stop_reason", "refusal")),
    gemini: (ChatGoogleGenerativeAIError, ("finish_reason", "SAFETY")),
    local: (ollama.ResponseError, ("done_reason", "content_filter")),
}


# What LangChain or a client makes up for each answer, and random padding.
OWN = ("id", "created_at", "headers", "obfuscation", "__gemini_function_call_thought_signatures__")


def plain(value):
    """A message as data, less what differs from one answer to the next, whatever stands between."""
    if not isinstance(value, (dict, list)):
        return plain(value.model_dump()) if isinstance(value, BaseModel) else value
    if isinstance(value, list):
        return [plain(element) for element in value]
    return {name: plain(member) for name, member in value.items() if name not in OWN}


def whole(chunks):
    message, *rest = chunks
    for chunk in rest:
        message = message + chunk
    return message


def with_each_model(test):
    """Runs a test with each model through the proxy and directly, and what to expect where something is found."""

    def run(self):
        for make, (error, end) in MODELS.items():
            with self.subTest(make.__name__):
                test(self, make(PROXY), make(DIRECT), error, end)

    return run


class Chains(Case):
    @with_each_model
    def test_answers_are_the_upstreams(self, proxy, direct, *_):
        for words in (PLAIN, "think: hard and long"):
            said = [SystemMessage("Be short."), HumanMessage(words)]
            through = proxy.invoke(said)
            self.assertEqual(plain(through), plain(direct.invoke(said)))
            self.assertTrue(through.text)

    @with_each_model
    def test_streams_are_the_upstreams_chunk_by_chunk(self, proxy, direct, *_):
        for words in (PLAIN, "think: hard and long"):
            through, there = list(proxy.stream(words)), list(direct.stream(words))
            self.assertEqual([plain(chunk) for chunk in through], [plain(chunk) for chunk in there])

    @with_each_model
    def test_tools(self, proxy, direct, *_):
        said = [HumanMessage("weather in Paris and Rome")]
        through, there = (client.bind_tools([get_weather]) for client in (proxy, direct))
        answer = through.invoke(said)
        self.assertEqual(plain(answer), plain(there.invoke(said)))
        cities = [{"city": "Paris"}, {"city": "Rome"}]
        self.assertEqual([call["args"] for call in answer.tool_calls], cities)
        chunks = list(through.stream(said))
        self.assertEqual([plain(chunk) for chunk in chunks], [plain(chunk) for chunk in there.stream(said)])
        self.assertEqual([call["args"] for call in whole(chunks).tool_calls], cities)
        said += [answer, *(get_weather.invoke(call) for call in answer.tool_calls)]
        self.assertEqual(through.invoke(said).text, "The tool says: mild in Paris; mild in Rome")

    @with_each_model
    def test_structured_output(self, proxy, direct, *_):
        reports = [client.with_structured_output(Report).invoke("a report") for client in (proxy, direct)]
        self.assertEqual(*reports)
        self.assertIn("a report", reports[0].title)

    @with_each_model
    def test_what_is_blocked(self, proxy, _, error, end):
        for ask in (proxy.invoke, lambda words: list(proxy.stream(words))):
            with self.assertRaises(error) as caught:
                ask("tell me of Project Bluebird")
            self.quiet(caught.exception)
        with self.assertRaises(error):
            proxy.invoke("say: the word is swordfish")
        chunks = list(proxy.stream(f"say: {clean()} swordfish and more"))
        message = whole(chunks)
        self.began(message.text)
        name, value = end
        self.assertEqual(message.response_metadata[name], value)
        self.quiet(chunks)

    @with_each_model
    def test_what_is_redacted(self, proxy, *_):
        self.assertEqual(proxy.invoke("I am ada@example.com").text, "You said: I am [REDACTED:email]")
        message = whole(list(proxy.stream("say: call EMP-123456 now")))
        self.assertEqual(message.text, "call [REDACTED:employee] now")
        self.quiet(message.content)

    def test_embeddings(self):
        options = {"model": "stand-in", "check_embedding_ctx_length": False} | KEY
        through, direct = (OpenAIEmbeddings(base_url=f"{at}/v1", **options) for at in (PROXY, DIRECT))
        self.assertEqual(through.embed_documents(["one", "two"]), direct.embed_documents(["one", "two"]))


class Together(unittest.IsolatedAsyncioTestCase):
    async def test_many_at_once(self):
        for make in MODELS:
            with self.subTest(make.__name__):
                model = make(PROXY)
                answers = await asyncio.gather(*(model.ainvoke(f"say: {i}") for i in range(10)))
                self.assertEqual([answer.text for answer in answers], [str(i) for i in range(10)])


if __name__ == "__main__":
    unittest.main()
