// The Google GenAI SDK. See common.mjs.

import { ApiError, GoogleGenAI } from "@google/genai";
import assert from "node:assert/strict";
import test from "node:test";
import { CITY, CUT, DIRECT, PLAIN, PROXY, REPORT, all, began, less, quiet, refused } from "./common.mjs";

const [proxy, direct] = [PROXY, DIRECT].map(
  (baseUrl) => new GoogleGenAI({ apiKey: "key-of-nobody", httpOptions: { baseUrl, timeout: 30_000 } }),
);
const TOOLS = [{ functionDeclarations: [{ name: "get_weather", description: "In a city.", parametersJsonSchema: CITY }] }];

const ask = (client, contents, config) => client.models.generateContent({ model: "stand-in", contents, config });
const stream = (client, contents, config) =>
  all(client.models.generateContentStream({ model: "stand-in", contents, config }));

const plain = (answer) => less(answer, "sdkHttpResponse");
const spoken = (chunks) => chunks.map((chunk) => chunk.text ?? "").join("");
const finished = (chunks) => chunks.flatMap((chunk) => chunk.candidates ?? []).map((c) => c.finishReason).filter(Boolean);

test("answers are the upstream's", async () => {
  const json = { responseMimeType: "application/json", responseJsonSchema: REPORT };
  for (const [words, config] of [
    [PLAIN, { systemInstruction: "Be short." }],
    [PLAIN, { candidateCount: 2, maxOutputTokens: 3 }],
    ["think: hard and long", { thinkingConfig: { includeThoughts: true } }],
    ["refuse", {}],
    ["weather in Paris and Rome", { tools: TOOLS }],
    ["a report", json],
  ]) {
    assert.deepEqual(plain(await ask(proxy, words, config)), plain(await ask(direct, words, config)));
    assert.deepEqual(plain(await stream(proxy, words, config)), plain(await stream(direct, words, config)));
  }
});

test("a chat goes on", async () => {
  const chats = [proxy, direct].map((client) => client.chats.create({ model: "stand-in" }));
  for (const message of ["one", "think: hard", "two"]) {
    const [through, there] = await Promise.all(chats.map((chat) => chat.sendMessage({ message })));
    assert.deepEqual(plain(through), plain(there));
  }
});

test("what is blocked is an error or ends the stream", async () => {
  const word = "Project Bluebird";
  await refused(
    [
      () => ask(proxy, word),
      () => stream(proxy, word),
      () => ask(proxy, "hi", { systemInstruction: word }),
      () => ask(proxy, "say: swordfish"),
      () => ask(proxy, "think: of swordfish"),
      () => ask(proxy, "weather in swordfish", { tools: TOOLS }),
    ],
    (error) => {
      assert.ok(error instanceof ApiError, error);
      assert.equal(error.status, 400);
      assert.match(error.message, /content_policy_violation/);
    },
  );
  const chunks = await stream(proxy, CUT);
  began(spoken(chunks));
  quiet(chunks);
  assert.deepEqual(finished(chunks), ["SAFETY"]);
});

test("what is redacted is masked on both ways", async () => {
  assert.equal((await ask(proxy, "I am ada@example.com")).text, "You said: I am [REDACTED:email]");
  const chunks = await stream(proxy, "say: call EMP-123456 now");
  assert.equal(spoken(chunks), "call [REDACTED:employee] now");
  assert.deepEqual(finished(chunks), ["STOP"]);
  const called = await ask(proxy, "weather in EMP-123456", { tools: TOOLS });
  assert.deepEqual(called.functionCalls[0].args, { city: "[REDACTED:employee]" });
});

test("errors of the upstream stay what they are", async () => {
  for (const status of [401, 404, 500]) {
    await assert.rejects(ask(proxy, `fail with ${status}`), { status });
    await assert.rejects(stream(proxy, `fail with ${status}`), { status });
  }
});
