// Recent decisions, as the audit tells them, and their counts.

import { json } from "./api.js";
import { byId, count, el, millis, percent, tell, term } from "./dom.js";

/** Rows on the page, at most. */
const ROWS = 200;

let told = 0;
/** The process has begun anew: the rows are another's, and so is that number. */
let isNew = false;
let paused = false;

export function start() {
  byId("pause").addEventListener("click", () => {
    paused = !paused;
    byId("pause").setAttribute("aria-pressed", String(paused));
    tell("pause", paused ? "Go on" : "Pause");
  });
  byId("found-only").addEventListener("change", sift);
  empty();
}

export function says(content) {
  tell("decisions-note", content
    ? "The audit holds content, so the texts are shown here too."
    : "Without texts: [audit] content = true would show them here too.");
}

/** Lets go what another process has decided. */
export function beginAnew() {
  isNew = true;
}

const after = (number) => json(`/v1/decisions?after=${number}`);

/** Asks for what has been decided since. */
export async function refresh() {
  if (paused) return;
  let latest = await after(isNew ? 0 : told);
  if (latest.told < told && !isNew) {
    isNew = true;
    latest = await after(0);
  }
  // Pressed while they were on the way.
  if (paused) return;
  const rows = byId("decisions").tBodies[0];
  if (isNew) rows.replaceChildren();
  [told, isNew] = [latest.told, false];
  const lines = latest.lines.filter((line) => line !== null);
  if (lines.length > 0) rows.querySelector(".empty")?.closest("tr").remove();
  for (const line of lines) rows.prepend(row(line));
  while (rows.rows.length > ROWS) rows.deleteRow(-1);
  if (rows.rows.length === 0) empty();
  sift();
}

export function counts(metrics) {
  const decided = (action) => metrics.sum("decisions_total", { action, mode: "enforce" });
  const figures = [
    ["allowed", decided("allow"), ""],
    ["annotated", decided("annotate"), ""],
    ["redacted", decided("redact"), ""],
    ["blocked", decided("block"), "bad"],
    ["observed", metrics.sum("decisions_total", { mode: "observe" }), ""],
    ["without a verdict", metrics.sum("guardrail_errors_total"), "warn"],
    ["refused", metrics.sum("refusals_total"), ""],
    ["cut", metrics.sum("cuts_total"), ""],
    ["open now", metrics.sum("open_exchanges"), ""],
  ];
  byId("counts").replaceChildren(...figures.map(([name, value, tone]) => el("div", {}, ...term(name, count(value), value > 0 ? tone : ""))));
}

function empty() {
  const words = "Nothing has been decided since the start.";
  byId("decisions").tBodies[0].replaceChildren(el("tr", {}, el("td", { className: "empty", colSpan: 7 }, words)));
}

/** Leaves out what found nothing, where that is wanted. */
function sift() {
  const all = !byId("found-only").checked;
  for (const row of byId("decisions").tBodies[0].rows) {
    if (row.dataset.found === undefined) continue;
    row.hidden = !all && row.dataset.found === "no";
    if (row.hidden) close(row);
  }
}

function row(line) {
  const applied = line.applied ?? [];
  const [words, tone] = outcome(line);
  const best = applied.map((one) => one.score).filter((score) => score !== undefined).sort((a, b) => b - a)[0];
  const open = el("button", { type: "button", className: "link", "aria-expanded": "false" }, el("span", { className: `chip ${tone}` }, words));
  const found = applied.slice(0, 3).map((one) => el("span", { className: "mono" }, `${one.guardrail}: ${one.label ?? one.error} `));
  const more = applied.length - found.length + (line.applied_left_out ?? 0);
  const made = el("tr", { className: "row-of" },
    el("td", { className: "clock" }, new Date(line.ts).toLocaleTimeString("en-GB")),
    el("td", {}, open),
    el("td", {}, line.route ?? "–"),
    el("td", {}, [line.stage, line.window === undefined ? null : `window ${line.window}`].filter(Boolean).join(", ") || "–"),
    el("td", {}, ...(found.length > 0 ? found : [line.code ?? "–"]), more > 0 ? `and ${more} more` : null),
    el("td", { className: "number" }, percent(best)),
    el("td", { className: "number" }, millis(line.took_ms)));
  made.dataset.found = applied.length > 0 || line.outcome !== "passed" ? "yes" : "no";
  made.addEventListener("click", () => toggle(made, line));
  return made;
}

function outcome({ outcome, action, applied, unjudged }) {
  const observed = (applied ?? []).length > 0 && applied.every((one) => one.mode === "observe");
  if (outcome === "blocked") return ["blocked", "bad"];
  if (outcome === "unavailable") return ["no verdict", "bad"];
  if (outcome === "refused" || outcome === "cut") return [outcome, "warn"];
  if (unjudged || outcome === "unjudged") return ["unjudged", "warn"];
  if (observed) return ["observed", "warn"];
  if (action === "redact") return ["redacted", "warn"];
  if (action === "annotate") return ["annotated", "warn"];
  return ["allowed", ""];
}

function toggle(row, line) {
  if (close(row)) return;
  row.querySelector("button").setAttribute("aria-expanded", "true");
  row.after(el("tr", { className: "more" }, el("td", { colSpan: 7 }, details(line))));
}

/** Whether there were details to take away. */
function close(row) {
  const next = row.nextElementSibling;
  if (!next?.classList.contains("more")) return false;
  row.querySelector("button").setAttribute("aria-expanded", "false");
  next.remove();
  return true;
}

function details(line) {
  const asked = (line.asked ?? []).map((one) => {
    const by = one.policy ? `policy ${one.policy}, effort ${one.effort}` : "patterns";
    const scores = Object.entries(one.scores ?? {}).map(([label, score]) => `${label} ${percent(Math.exp(score))}`).join(", ");
    return `${one.guardrail}: ${by}; ${one.answered} of ${one.segments} texts, ${one.cached} from the cache, ${millis(one.took_ms)}${scores ? `; closest: ${scores}` : ""}`;
  });
  const found = (line.applied ?? []).map((one) => {
    const what = one.label ?? `${one.error}${one.error_detail ? ` (${one.error_detail})` : ""}`;
    const more = [one.score === undefined ? null : percent(one.score), one.category, one.rationale].filter(Boolean).join("; ");
    return `${one.guardrail}: ${what}, ${one.action}${one.mode === "observe" ? " (observed)" : ""}${more ? `; ${more}` : ""}`;
  });
  const texts = (line.texts ?? []).map((one) => `${one.role}, ${one.kind}: ${one.text}`);
  const rows = [
    ["Exchange", line.exchange],
    ["Request", line.request_id],
    ["Time", line.ts],
    ["Generation", String(line.generation)],
    ["Code", line.code && `${line.code}${line.status ? `, status ${line.status}` : ""}`],
    ["Found", found.join("\n")],
    ["Asked", asked.join("\n")],
    ["Texts", texts.join("\n\n")],
  ];
  return el("dl", {}, ...rows.filter(([, value]) => value).flatMap(([name, value]) => term(name, value)));
}
