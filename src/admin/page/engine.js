// The engines, in process and remote: what waits and runs, what their caches save, and how long verdicts take.

import { byId, bytes, count, el, millis, percent, term } from "./dom.js";
import { quantile } from "./metrics.js";

/** Tokens computed when they were last read, and when that was. */
let before = new Map();

export function show(metrics, now) {
  const named = (metric) => [...new Set(metrics.all(metric).map((sample) => sample.labels.engine))];
  const engines = [
    ...named("engine_steps_total").map((engine) => figures(engine, metrics, now)),
    ...named("endpoint_up").map((engine) => endpoints(engine, metrics)),
  ];
  const none = el("p", { className: "note" }, "No engine runs: no guardrail judges by a policy, and nothing was judged on this page.");
  byId("engines").replaceChildren(...(engines.length > 0 ? engines : [none]), verdicts(metrics));
  latency(metrics);
}

function figures(engine, metrics, now) {
  const of = (name) => metrics.sum(name, { engine });
  const computed = of("engine_computed_tokens_total");
  const last = before.get(engine);
  before.set(engine, { computed, now });
  // A process that has begun anew has computed less.
  const rate = last && now > last.now && computed >= last.computed ? (computed - last.computed) / ((now - last.now) / 1000) : null;
  const [prompts, hits] = [of("engine_prompt_tokens_total"), of("engine_hit_tokens_total")];
  const [held, room] = [of("engine_kv_bytes"), of("engine_kv_capacity_bytes")];
  return block(engine, [
    ["running", count(of("engine_running"))],
    ["waiting", count(of("engine_waiting"))],
    ["tokens per second", rate === null ? "–" : count(rate)],
    ["of the prompts found kept", prompts === 0 ? "–" : percent(hits / prompts)],
    ["keys and values", bytes(held), ` of ${bytes(room)}`],
    ["evictions", count(of("engine_evictions_total"))],
    ["begun again", count(of("engine_preemptions_total"))],
  ]);
}

/** Of a remote engine: each of its endpoints. */
function endpoints(engine, metrics) {
  const all = metrics.all("endpoint_up").filter((sample) => sample.labels.engine === engine);
  const rows = all.map(({ labels: { endpoint }, value: up }) => {
    const of = (name) => el("td", { className: "number" }, count(metrics.sum(name, { engine, endpoint })));
    return el("tr", {},
      el("td", { className: "mono" }, endpoint),
      el("td", {}, el("span", { className: `chip ${up ? "safe" : "bad"}` }, up ? "up" : "passed over")),
      of("endpoint_running"),
      of("endpoint_asks_total"),
      of("endpoint_failures_total"));
  });
  const head = ["Endpoint", "State", "Running", "Asked", "Failed"].map((name, at) => el("th", { scope: "col", className: at > 1 ? "number" : "" }, name));
  const table = el("table", {}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows));
  return el("div", {}, el("h3", {}, engine), el("div", { className: "scroll" }, table));
}

function verdicts(metrics) {
  const [hits, misses] = [metrics.sum("verdict_cache_hits_total"), metrics.sum("verdict_cache_misses_total")];
  return block("verdict cache", [
    ["found", hits + misses === 0 ? "–" : percent(hits / (hits + misses))],
    ["kept", count(metrics.sum("verdict_cache_entries"))],
    ["held for a verdict", bytes(metrics.sum("held_bytes"))],
  ]);
}

function block(name, list) {
  const figure = ([what, value, small]) => {
    const [dt, dd] = term(what, value);
    if (small) dd.append(el("span", { className: "small" }, small));
    return el("div", {}, dt, dd);
  };
  return el("div", {}, el("h3", {}, name), el("dl", { className: "figures" }, ...list.map(figure)));
}

function latency(metrics) {
  const guardrails = [...new Set(metrics.all("verdict_seconds_count").map((sample) => sample.labels.guardrail))].sort();
  const rows = guardrails.map((guardrail) => {
    const buckets = metrics.buckets("verdict_seconds", { guardrail });
    const at = (share) => {
      const seconds = quantile(buckets, share);
      return millis(seconds === null ? null : seconds * 1000);
    };
    return el("tr", {},
      el("td", { className: "mono" }, guardrail),
      el("td", { className: "number" }, count(metrics.sum("verdict_seconds_count", { guardrail }))),
      el("td", { className: "number" }, at(0.5)),
      el("td", { className: "number" }, at(0.95)),
      el("td", {}, spread(buckets)));
  });
  byId("latency").tBodies[0].replaceChildren(...rows);
  byId("latency").hidden = rows.length === 0;
}

/** The histogram, drawn. The numbers beside it say the same. */
function spread(buckets) {
  const most = Math.max(1, ...buckets.map((bucket) => bucket.count));
  const bars = buckets.map(({ count, upTo }) => {
    const bar = el("i", { title: `${count} up to ${upTo === Infinity ? "any time" : millis(upTo * 1000)}` });
    bar.style.height = `${(count / most) * 100}%`;
    return bar;
  });
  return el("div", { className: "spread", "aria-hidden": "true" }, ...bars);
}
