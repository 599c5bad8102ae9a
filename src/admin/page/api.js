// The admin listener: what it is asked, and the token that it may want.

import { askForToken } from "./token.js";

const KEPT = "portcullis-token";
/** An event: its name, and its data in one line. A dot would end at line separators, which stand in JSON as they are. */
const EVENT = /^event: ([^\n]*)\ndata: ([^\n]*)$/;

/** What the listener refused, with what it says of it: code, line, column, help. */
export class Refused extends Error {
  constructor(status, told) {
    super(told.message ?? `status ${status}`);
    this.status = status;
    this.told = told;
  }
}

export const json = async (path) => (await ask(path)).json();
export const text = async (path) => (await ask(path)).text();

/** Posts `body`, and tells `hear` each event of the answer: its name and its data. */
export async function events(path, body, hear, signal) {
  const response = await ask(path, { method: "POST", body: JSON.stringify(body), signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const whole = (rest + value).split("\n\n");
    rest = whole.pop();
    for (const event of whole) {
      const [, name, data] = EVENT.exec(event);
      hear(name, JSON.parse(data));
    }
  }
}

async function ask(path, options = {}) {
  for (;;) {
    const headers = new Headers({ "content-type": "application/json" });
    let token = sessionStorage.getItem(KEPT);
    try {
      if (token) headers.set("authorization", `Bearer ${token}`);
    } catch {
      // It can't stand in a header, so it is none. Without one the listener has it asked for.
      sessionStorage.removeItem(KEPT);
      token = null;
    }
    const response = await fetch(path, { ...options, headers, credentials: "omit", cache: "no-store" });
    if (response.ok) return response;
    if (response.status !== 401) throw new Refused(response.status, await told(response));
    // Another request may have brought a new one meanwhile.
    if (token === sessionStorage.getItem(KEPT)) sessionStorage.setItem(KEPT, await askForToken(Boolean(token)));
  }
}

async function told(response) {
  try {
    return (await response.json()).error ?? {};
  } catch {
    return {};
  }
}
