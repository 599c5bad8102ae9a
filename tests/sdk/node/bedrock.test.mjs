// The AWS SDK's client of Bedrock, over HTTP/2. See common.mjs.

import {
  BedrockRuntimeClient,
  ConverseCommand,
  ConverseStreamCommand,
  ValidationException,
} from "@aws-sdk/client-bedrock-runtime";
import assert from "node:assert/strict";
import test, { after } from "node:test";
import { CITY, CUT, DIRECT, PLAIN, PROXY, REPORT, all, began, less, quiet, refused } from "./common.mjs";

const credentials = { accessKeyId: "nobody", secretAccessKey: "key-of-nobody" };
const [proxy, direct] = [PROXY, DIRECT].map(
  (endpoint) => new BedrockRuntimeClient({ endpoint, region: "us-east-1", credentials, maxAttempts: 1 }),
);
after(() => [proxy, direct].forEach((client) => client.destroy()));

const spec = { name: "get_weather", description: "In a city.", inputSchema: { json: CITY } };
const TOOLS = { toolConfig: { tools: [{ toolSpec: spec }] } };

const input = (text, options) => ({
  modelId: "us.anthropic.claude-3-5-sonnet-20240620-v1:0",
  messages: [{ role: "user", content: [{ text }] }],
  ...options,
});
const ask = (client, text, options) => client.send(new ConverseCommand(input(text, options)));
const stream = async (client, text, options) =>
  all((await client.send(new ConverseStreamCommand(input(text, options)))).stream);

const plain = (answer) => less(answer, "$metadata");
const spoken = (events) => events.map((event) => event.contentBlockDelta?.delta?.text ?? "").join("");
const stopped = (events) => events.flatMap((event) => event.messageStop ?? []).map((stop) => stop.stopReason);

test("answers are the upstream's", async () => {
  const jsonSchema = { name: "report", schema: JSON.stringify(REPORT) };
  const outputConfig = { textFormat: { type: "json_schema", structure: { jsonSchema } } };
  for (const [words, options] of [
    [PLAIN, { system: [{ text: "Be short." }] }],
    [PLAIN, { inferenceConfig: { maxTokens: 3 } }],
    ["think: hard and long", {}],
    ["refuse", {}],
    ["weather in Paris and Rome", TOOLS],
    ["a report", { outputConfig }],
  ]) {
    assert.deepEqual(plain(await ask(proxy, words, options)), plain(await ask(direct, words, options)));
    assert.deepEqual(await stream(proxy, words, options), await stream(direct, words, options));
  }
});

test("what is blocked is an error or ends the stream", async () => {
  const word = "Project Bluebird";
  await refused(
    [
      () => ask(proxy, word),
      () => stream(proxy, word),
      () => ask(proxy, "hi", { system: [{ text: word }] }),
      () => ask(proxy, "say: swordfish"),
      () => ask(proxy, "think: of swordfish"),
      () => ask(proxy, "weather in swordfish", TOOLS),
    ],
    (error) => {
      assert.ok(error instanceof ValidationException, error);
      assert.equal(error.$metadata.httpStatusCode, 400);
      assert.match(error.message, /was blocked by guardrail/);
    },
  );
  const events = await stream(proxy, CUT);
  began(spoken(events));
  quiet(events);
  assert.deepEqual(stopped(events), ["guardrail_intervened"]);
});

test("what is redacted is masked on both ways", async () => {
  const answer = await ask(proxy, "I am ada@example.com");
  assert.equal(answer.output.message.content[0].text, "You said: I am [REDACTED:email]");
  const events = await stream(proxy, "say: call EMP-123456 now");
  assert.equal(spoken(events), "call [REDACTED:employee] now");
  assert.deepEqual(stopped(events), ["end_turn"]);
  const called = await ask(proxy, "weather in EMP-123456", TOOLS);
  assert.deepEqual(called.output.message.content[0].toolUse.input, { city: "[REDACTED:employee]" });
});

test("errors of the upstream stay what they are", async () => {
  for (const [status, name] of [
    [403, "AccessDeniedException"],
    [429, "ThrottlingException"],
    [500, "InternalServerException"],
  ]) {
    await assert.rejects(ask(proxy, `fail with ${status}`), { name, message: "failing, as asked" });
    await assert.rejects(stream(proxy, `fail with ${status}`), { name });
  }
});
