// The same with the decoders of the Node SDKs; see read_events.py. They lie where tests/sdk/node has them, or in the folder
// that PORTCULLIS_NODE_SDKS names.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const folder = process.env.PORTCULLIS_NODE_SDKS ?? new URL("../sdk/node", import.meta.url).pathname;
const require = createRequire(`${folder}/`);
const load = async (name) => {
  try {
    return await import(pathToFileURL(require.resolve(name)));
  } catch {
    return null;
  }
};

const [openai, anthropic, parser, ollama, smithy] = await Promise.all(
  ["openai/core/streaming", "@anthropic-ai/sdk/core/streaming", "eventsource-parser", "ollama", "@smithy/core/event-streams"].map(load),
);

const body = (chunks) =>
  new Response(
    new ReadableStream({
      start(controller) {
        chunks.forEach((chunk) => controller.enqueue(chunk));
        controller.close();
      },
    }),
  );

async function* messages(sdk, chunks) {
  for await (const event of sdk._iterSSEMessages(body(chunks), new AbortController())) {
    if (event.data.startsWith("[DONE]")) return;
    yield event.data;
  }
}

async function* parsed(_, chunks) {
  const events = [];
  const feed = parser.createParser({ onEvent: (event) => events.push(event.data) });
  const decoder = new TextDecoder();
  for (const chunk of chunks) feed.feed(decoder.decode(chunk, { stream: true }));
  yield* events;
}

async function* lines(_, chunks) {
  const client = new ollama.Ollama({ fetch: async () => body(chunks) });
  for await (const part of await client.chat({ model: "m", messages: [], stream: true })) yield JSON.stringify(part);
}

// What is read of a message: what its headers say that it is, and its payload.
async function* framed(sdk, chunks) {
  const codec = new sdk.EventStreamCodec(
    (bytes) => new TextDecoder().decode(bytes),
    (text) => new TextEncoder().encode(text),
  );
  for await (const bytes of sdk.getChunkedStream(body(chunks).body)) {
    const { headers, body: payload } = codec.decode(bytes);
    const kind = headers[":message-type"].value;
    const names = kind === "error" ? [":error-code", ":error-message"] : [`:${kind}-type`];
    const said = Object.fromEntries(names.map((name) => [name, headers[name]?.value ?? ""]));
    const rest = kind === "error" || payload.length === 0 ? {} : JSON.parse(new TextDecoder().decode(payload));
    if (!["event", "exception", "error"].includes(kind)) throw new Error("no such message");
    yield JSON.stringify({ ...said, ...rest });
  }
}

const events = [
  ["openai-node", openai, messages],
  ["anthropic-node", anthropic, messages],
  ["eventsource-parser", parser, parsed],
];
const readers = { sse: events, gemini: events, lines: [["ollama-node", ollama, lines]], messages: [["smithy-node", smithy, framed]] };

console.warn = () => {};
console.error = () => {};
for await (const line of createInterface({ input: process.stdin })) {
  const { kind, stream, ends } = JSON.parse(line);
  const bytes = Buffer.from(stream, "hex");
  const all = [0, ...ends, bytes.length];
  const chunks = all.slice(1).map((end, at) => new Uint8Array(bytes.subarray(all[at], end)));
  const told = {};
  for (const [name, sdk, read] of readers[kind]) {
    if (sdk === null) continue;
    told[name] = [];
    try {
      for await (const data of read(sdk, chunks)) if (data !== "" && data !== "[DONE]") told[name].push(data);
    } catch {
      // What came before was shown.
    }
  }
  process.stdout.write(JSON.stringify(told) + "\n");
}
