// The Ollama client. See common.mjs.

import assert from "node:assert/strict";
import test from "node:test";
import { Ollama } from "ollama";
import { CITY, CUT, DIRECT, PLAIN, PROXY, REPORT, all, began, less, quiet, refused } from "./common.mjs";

const [proxy, direct] = [PROXY, DIRECT].map((host) => new Ollama({ host }));
const TOOLS = [{ type: "function", function: { name: "get_weather", description: "In a city.", parameters: CITY } }];

const chat = (client, content, options) =>
  client.chat({ model: "stand-in", messages: [{ role: "user", content }], ...options });
const generate = (client, prompt, options) => client.generate({ model: "stand-in", prompt, ...options });

// A guarded answer leaves token ids out.
const plain = (answer) => less(answer, "context");
const spoken = (parts) => parts.map((part) => part.message?.content ?? part.response).join("");

test("answers are the upstream's", async () => {
  for (const ask of [chat, generate]) {
    for (const [words, options] of [
      [PLAIN, {}],
      [PLAIN, { options: { num_predict: 3 }, keep_alive: "5m" }],
      ["think: hard and long", { think: true }],
      ["weather in Paris and Rome", ask === chat ? { tools: TOOLS } : {}],
      ["a report", { format: REPORT }],
    ]) {
      assert.deepEqual(plain(await ask(proxy, words, options)), plain(await ask(direct, words, options)));
      const [through, there] = [proxy, direct].map((client) => all(ask(client, words, { ...options, stream: true })));
      assert.deepEqual(plain(await through), plain(await there));
    }
  }
});

test("what is blocked is an error or ends the stream", async () => {
  await refused(
    [
      () => chat(proxy, "Project Bluebird"),
      () => chat(proxy, "Project Bluebird", { stream: true }),
      () => generate(proxy, "hi", { system: "Project Bluebird" }),
      () => chat(proxy, "say: swordfish"),
      () => generate(proxy, "say: swordfish"),
      () => chat(proxy, "weather in swordfish", { tools: TOOLS }),
    ],
    (error) => {
      assert.equal(error.name, "ResponseError");
      assert.equal(error.status_code, 400);
    },
  );
  for (const ask of [chat, generate]) {
    const parts = await all(ask(proxy, CUT, { stream: true }));
    began(spoken(parts));
    quiet(parts);
    assert.equal(parts.at(-1).done_reason, "content_filter");
  }
});

test("what is redacted is masked on both ways", async () => {
  const answer = await chat(proxy, "I am ada@example.com");
  assert.equal(answer.message.content, "You said: I am [REDACTED:email]");
  const parts = await all(generate(proxy, "say: call EMP-123456 now", { stream: true }));
  assert.equal(spoken(parts), "call [REDACTED:employee] now");
});

test("errors of the upstream stay what they are", async () => {
  for (const status_code of [404, 500]) {
    await assert.rejects(chat(proxy, `fail with ${status_code}`), { status_code, error: "failing, as asked" });
  }
});

test("models pass", async () => {
  assert.deepEqual(await proxy.list(), await direct.list());
});
