// What the tests of all SDKs share; see ../common.py, of which this is the same in JavaScript.

import assert from "node:assert/strict";

export const PROXY = process.env.PORTCULLIS_PROXY;
export const DIRECT = process.env.PORTCULLIS_DIRECT;

export const PLAIN = 'Grüße, 世界 🐦 \u2028 "quoted" \\ back';

export const CITY = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
};

export const REPORT = {
  type: "object",
  properties: { title: { type: "string" }, final: { type: "boolean" } },
  required: ["title", "final"],
  additionalProperties: false,
};

const WORDS = Array.from({ length: 60 }, (_, i) => `clean${i}`).join(" ");
export const CUT = `say: ${WORDS} swordfish and more`;

export async function all(stream) {
  const parts = [];
  for await (const part of await stream) parts.push(part);
  return parts;
}

/** A cut text: it has a beginning, and only of what was judged. */
export function began(text) {
  assert.ok(text.includes("clean0"), text);
  assert.ok(WORDS.startsWith(text.trim()), text);
}

/** What leaves must not hold what was found. */
export function quiet(what) {
  const text = (what instanceof Error ? what.message : JSON.stringify(what)).toLowerCase();
  for (const word of ["bluebird", "swordfish", "123456"]) assert.ok(!text.includes(word), text);
}

/** As data, less these members, wherever they stand. */
export function less(value, ...names) {
  return JSON.parse(JSON.stringify(value, (name, member) => (names.includes(name) ? undefined : member)));
}

/** Each prompt must be refused; the errors must hold to `check`. */
export async function refused(asks, check) {
  for (const ask of asks) {
    await assert.rejects(ask, (error) => {
      quiet(error);
      check(error);
      return true;
    });
  }
}
