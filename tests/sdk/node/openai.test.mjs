// The OpenAI SDK: chat completions, responses, embeddings. See common.mjs.

import assert from "node:assert/strict";
import test from "node:test";
import OpenAI from "openai";
import { CITY, CUT, DIRECT, PLAIN, PROXY, REPORT, all, began, less, quiet, refused } from "./common.mjs";

const [proxy, direct] = [PROXY, DIRECT].map(
  (at) => new OpenAI({ baseURL: `${at}/v1`, apiKey: "sk-of-nobody", maxRetries: 0, timeout: 30_000 }),
);
const SCHEMA = { name: "report", schema: REPORT, strict: true };
const FUNCTION = { name: "get_weather", description: "The weather in a city.", parameters: CITY };
const TOOL = { type: "function", function: FUNCTION };

const chat = (client, content, options) =>
  client.chat.completions.create({ model: "stand-in", messages: [{ role: "user", content }], ...options });
const respond = (client, input, options) => client.responses.create({ model: "stand-in", input, ...options });

const spoken = (chunks) => chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
const deltas = (events) =>
  events.filter((event) => event.type === "response.output_text.delta").map((event) => event.delta).join("");
const violation = (error) => {
  assert.ok(error instanceof OpenAI.BadRequestError, error);
  assert.equal(error.code, "content_policy_violation");
};

test("chats are the upstream's", async () => {
  const format = { response_format: { type: "json_schema", json_schema: SCHEMA } };
  for (const [words, options] of [
    [PLAIN, {}],
    [PLAIN, { n: 2, max_completion_tokens: 3 }],
    ["think: hard and long", {}],
    ["refuse", {}],
    ["weather in Paris and Rome", { tools: [TOOL] }],
    ["a report", format],
  ]) {
    assert.deepEqual(await chat(proxy, words, options), await chat(direct, words, options));
    const stream = { ...options, stream: true, stream_options: { include_usage: true } };
    assert.deepEqual(await all(chat(proxy, words, stream)), await all(chat(direct, words, stream)));
  }
});

test("the stream helpers come to the upstream's answers", async () => {
  const messages = [{ role: "user", content: "weather in Paris" }];
  const stream = proxy.chat.completions.stream({ model: "stand-in", messages, tools: [TOOL] });
  const [call] = (await stream.finalChatCompletion()).choices[0].message.tool_calls;
  assert.deepEqual(JSON.parse(call.function.arguments), { city: "Paris" });
  const response = await proxy.responses.stream({ model: "stand-in", input: PLAIN }).finalResponse();
  assert.equal(response.output_text, `You said: ${PLAIN}`);
});

test("responses are the upstream's", async () => {
  const format = { text: { format: { type: "json_schema", ...SCHEMA } } };
  for (const [words, options] of [
    [PLAIN, { instructions: "Be short." }],
    [PLAIN, { max_output_tokens: 3 }],
    ["think: hard and long", {}],
    ["refuse", {}],
    ["weather in Paris and Rome", { tools: [{ type: "function", ...FUNCTION, strict: false }] }],
    ["a report", format],
  ]) {
    assert.deepEqual(await respond(proxy, words, options), await respond(direct, words, options));
    const [through, there] = await Promise.all(
      [proxy, direct].map((client) => all(respond(client, words, { ...options, stream: true }))),
    );
    assert.deepEqual(less(through, "obfuscation"), less(there, "obfuscation"));
  }
});

test("structured output is parsed", async () => {
  const format = { type: "json_schema", json_schema: SCHEMA };
  const messages = [{ role: "user", content: "a report" }];
  const answer = await proxy.chat.completions.parse({ model: "stand-in", messages, response_format: format });
  assert.deepEqual(answer.choices[0].message.parsed, { title: "You said: a report", final: true });
});

test("embeddings are the upstream's", async () => {
  for (const options of [{}, { encoding_format: "float" }]) {
    const embed = (client) => client.embeddings.create({ model: "stand-in", input: ["one", PLAIN], ...options });
    assert.deepEqual(await embed(proxy), await embed(direct));
  }
});

test("what is blocked is an error or ends the stream", async () => {
  const word = "Project Bluebird";
  await refused(
    [
      () => chat(proxy, word),
      () => chat(proxy, word, { stream: true }),
      () => respond(proxy, word),
      () => respond(proxy, "hi", { instructions: word, stream: true }),
      () => chat(proxy, "say: swordfish"),
      () => respond(proxy, "say: swordfish"),
      () => proxy.embeddings.create({ model: "stand-in", input: word }),
    ],
    violation,
  );
  const chunks = await all(chat(proxy, CUT, { stream: true }));
  began(spoken(chunks));
  quiet(chunks);
  assert.equal(chunks.at(-1).choices[0].finish_reason, "content_filter");
  const events = await all(respond(proxy, CUT, { stream: true }));
  began(deltas(events));
  quiet(events);
  assert.equal(events.at(-1).type, "response.incomplete");
  assert.equal(events.at(-1).response.incomplete_details.reason, "content_filter");
});

test("what is redacted is masked on both ways", async () => {
  const answer = await chat(proxy, "I am ada@example.com");
  assert.equal(answer.choices[0].message.content, "You said: I am [REDACTED:email]");
  const words = "say: call EMP-123456 now";
  const chunks = await all(chat(proxy, words, { stream: true }));
  assert.equal(spoken(chunks), "call [REDACTED:employee] now");
  const events = await all(respond(proxy, words, { stream: true }));
  assert.equal(deltas(events), "call [REDACTED:employee] now");
  quiet([chunks, events]);
});

test("errors of the upstream stay what they are", async () => {
  for (const [status, kind] of [[429, OpenAI.RateLimitError], [500, OpenAI.InternalServerError]]) {
    for (const ask of [chat, respond]) {
      await assert.rejects(ask(proxy, `fail with ${status}`, { stream: true }), kind);
    }
  }
  await assert.rejects(proxy.files.list(), OpenAI.NotFoundError);
});
