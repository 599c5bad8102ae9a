// The Anthropic SDK. See common.mjs.

import Anthropic from "@anthropic-ai/sdk";
import assert from "node:assert/strict";
import test from "node:test";
import { CITY, CUT, DIRECT, PLAIN, PROXY, REPORT, all, began, quiet, refused } from "./common.mjs";

const [proxy, direct] = [PROXY, DIRECT].map(
  (baseURL) => new Anthropic({ baseURL, apiKey: "sk-of-nobody", maxRetries: 0, timeout: 30_000 }),
);
const TOOL = { name: "get_weather", description: "The weather in a city.", input_schema: CITY };

const body = (content, options) => ({
  model: "stand-in",
  max_tokens: 4096,
  messages: [{ role: "user", content }],
  ...options,
});
const ask = (client, content, options) => client.messages.create(body(content, options));

const spoken = (events) => events.map((event) => event.delta?.text ?? "").join("");
const stopped = (events) => events.find((event) => event.type === "message_delta").delta.stop_reason;

test("messages are the upstream's", async () => {
  const format = { output_config: { format: { type: "json_schema", schema: REPORT } } };
  for (const [words, options] of [
    [PLAIN, { system: "Be short." }],
    [PLAIN, { max_tokens: 3 }],
    ["think: hard and long", { thinking: { type: "enabled", budget_tokens: 1024 } }],
    ["refuse", {}],
    ["weather in Paris and Rome", { tools: [TOOL] }],
    ["a report", format],
  ]) {
    assert.deepEqual(await ask(proxy, words, options), await ask(direct, words, options));
    const stream = { ...options, stream: true };
    assert.deepEqual(await all(ask(proxy, words, stream)), await all(ask(direct, words, stream)));
    const finals = [proxy, direct].map((client) => client.messages.stream(body(words, options)).finalMessage());
    assert.deepEqual(await finals[0], await finals[1]);
  }
});

test("tokens are counted", async () => {
  const { model, messages } = body("one two three");
  assert.deepEqual(await proxy.messages.countTokens({ model, messages }), { input_tokens: 3 });
});

test("what is blocked is an error or ends the stream", async () => {
  const word = "Project Bluebird";
  await refused(
    [
      () => ask(proxy, word),
      () => ask(proxy, word, { stream: true }),
      () => ask(proxy, "hi", { system: word }),
      () => ask(proxy, "say: swordfish"),
      () => ask(proxy, "think: of swordfish"),
      () => ask(proxy, "weather in swordfish", { tools: [TOOL] }),
    ],
    (error) => {
      assert.ok(error instanceof Anthropic.BadRequestError, error);
      assert.equal(error.error.error.type, "invalid_request_error");
    },
  );
  const events = await all(ask(proxy, CUT, { stream: true }));
  began(spoken(events));
  quiet(events);
  assert.equal(stopped(events), "refusal");
  const message = await proxy.messages.stream(body(CUT)).finalMessage();
  began(message.content[0].text);
  assert.equal(message.stop_reason, "refusal");
});

test("what is redacted is masked on both ways", async () => {
  const answer = await ask(proxy, "I am ada@example.com");
  assert.equal(answer.content[0].text, "You said: I am [REDACTED:email]");
  const events = await all(ask(proxy, "say: call EMP-123456 now", { stream: true }));
  assert.equal(spoken(events), "call [REDACTED:employee] now");
  assert.equal(stopped(events), "end_turn");
  const called = await proxy.messages.stream(body("weather in EMP-123456", { tools: [TOOL] })).finalMessage();
  assert.deepEqual(called.content[0].input, { city: "[REDACTED:employee]" });
});

test("errors of the upstream stay what they are", async () => {
  for (const [status, kind] of [[429, Anthropic.RateLimitError], [529, Anthropic.InternalServerError]]) {
    await assert.rejects(ask(proxy, `fail with ${status}`), kind);
    await assert.rejects(ask(proxy, `fail with ${status}`, { stream: true }), kind);
  }
});
