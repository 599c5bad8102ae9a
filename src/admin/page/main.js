// Starts the page, and keeps what moves up to date while somebody looks.

import { json, text } from "./api.js";
import { byId } from "./dom.js";
import * as engine from "./engine.js";
import * as judge from "./judge.js";
import { Metrics } from "./metrics.js";
import * as traffic from "./traffic.js";

const EVERY = 2000;

let generation = null;

function state(words, tone) {
  byId("state").textContent = words;
  byId("state").className = `state ${tone}`;
}

async function status() {
  const told = await json("/status");
  const error = told.last_reload_error;
  state(`${error ? "reload refused" : "ready"}, generation ${told.generation}, ${told.version}`, error ? "ill" : "well");
  byId("reload-fault").hidden = !error;
  byId("reload-fault").textContent = error ?? "";
  if (generation !== null && generation !== told.generation) await judge.list();
  generation = told.generation;
}

async function refresh() {
  try {
    await status();
    const metrics = new Metrics(await text("/metrics"));
    traffic.counts(metrics);
    engine.show(metrics, performance.now());
    await traffic.refresh();
  } catch (error) {
    state(`not reached: ${error.message}`, "ill");
  }
}

async function keepUpToDate() {
  for (;;) {
    if (document.visibilityState === "visible") await refresh();
    await new Promise((resume) => setTimeout(resume, EVERY));
  }
}

traffic.start();
try {
  traffic.says((await judge.start()).content);
} catch (error) {
  state(`not reached: ${error.message}`, "ill");
}
keepUpToDate();
