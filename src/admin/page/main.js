// Starts the page, and keeps what moves up to date while somebody looks.

import { json, text } from "./api.js";
import { byId, tell } from "./dom.js";
import * as engine from "./engine.js";
import * as judge from "./judge.js";
import { Metrics } from "./metrics.js";
import * as traffic from "./traffic.js";

const EVERY = 2000;

/** The configuration that serves, as it was last told. */
let serves = null;

function state(words, tone) {
  tell("state", words);
  byId("state").className = `state ${tone}`;
}

/** Whether traffic should be sent here. */
async function isReady() {
  try {
    await text("/readyz");
    return true;
  } catch (error) {
    if (error.status === 503) return false;
    throw error;
  }
}

async function status() {
  const [ready, told] = await Promise.all([isReady(), json("/status")]);
  const error = told.last_reload_error;
  const words = error ? "reload refused" : "ready";
  state(`${ready ? words : "not ready"}, generation ${told.generation}, ${told.version}`, ready && !error ? "well" : "ill");
  byId("reload-fault").hidden = !error;
  tell("reload-fault", error ?? "");
  return told;
}

async function refresh() {
  try {
    const told = await status();
    const isOther = serves?.generation !== told.generation || serves.loaded_at !== told.loaded_at;
    // Generations are counted from the start of the process.
    if (serves !== null && isOther && told.generation <= serves.generation) traffic.beginAnew();
    const metrics = new Metrics(await text("/metrics"));
    traffic.counts(metrics);
    engine.show(metrics, performance.now());
    await traffic.refresh();
    if (isOther) traffic.says((await judge.list()).content);
    serves = told;
  } catch (error) {
    state(`not reached: ${error.message}`, "ill");
  }
}

async function keepUpToDate() {
  for (;;) {
    if (serves === null || document.visibilityState === "visible") await refresh();
    await new Promise((resume) => setTimeout(resume, EVERY));
  }
}

traffic.start();
judge.start();
keepUpToDate();
