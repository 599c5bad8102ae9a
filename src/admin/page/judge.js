// Judging: a policy, a text, and the verdict on it.

import { events, json, Refused } from "./api.js";
import { byId, el, millis } from "./dom.js";
import * as verdict from "./verdict.js";

const EFFORTS = ["none", "low", "medium", "high", "adaptive"];
/** Judged texts that are listed. */
const TRIES = 20;

/** By id: what the listener says of a policy. */
let policies = new Map();
/** By id: the text as it is in the file, and as it was edited. */
const sources = new Map();
const drafts = new Map();
/** Ends the judging that is under way. */
let running = null;

export async function start() {
  byId("policy").addEventListener("change", choose);
  byId("source").addEventListener("input", edited);
  byId("revert").addEventListener("click", revert);
  byId("fault-place").addEventListener("click", goToFault);
  byId("run").addEventListener("click", () => (running ? running.abort() : judge()));
  for (const id of ["source", "content"]) {
    byId(id).addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !running) judge();
    });
  }
  return list();
}

/** The policies, anew: a reload may have changed them. What was edited stays. */
export async function list() {
  const told = await json("/v1/policies");
  const before = byId("policy").value;
  policies = new Map(told.policies.map((policy) => [policy.id, policy]));
  sources.clear();
  const group = (name, fits) => {
    const options = told.policies.filter(fits).map(({ id }) => el("option", { value: id }, id));
    return options.length === 0 ? null : el("optgroup", { label: name }, ...options);
  };
  const groups = [group("asked by a guardrail", (policy) => policy.guardrails.length > 0), group("in the folder", (policy) => policy.guardrails.length === 0)];
  byId("policy").replaceChildren(...groups.filter(Boolean));
  if (policies.has(before)) byId("policy").value = before;
  if (policies.size === 0) byId("about").textContent = "There is no policy yet: write one here, front matter first.";
  else await choose();
  return told;
}

const chosen = () => byId("policy").value;

async function choose() {
  const id = chosen();
  const policy = policies.get(id);
  if (!sources.has(id)) sources.set(id, (await json(`/v1/policies/${encodeURIComponent(id)}`)).text);
  if (chosen() !== id) return;
  byId("source").value = drafts.get(id) ?? sources.get(id);
  byId("source").scrollTop = 0;
  byId("about").textContent = about(policy);
  const effort = byId("effort").value;
  const own = policy.guardrails.length > 0 ? `as guarded: ${policy.effort}` : `as usual: ${policy.effort}`;
  byId("effort").replaceChildren(el("option", { value: "" }, own), ...EFFORTS.map((effort) => el("option", { value: effort }, effort)));
  byId("effort").value = effort;
  fault(null);
  mark();
}

function about({ guardrails, engine, problem }) {
  if (problem) return problem;
  const by = guardrails.length === 0 ? "No guardrail asks it" : `${guardrails.length === 1 ? "Guardrail" : "Guardrails"} ${guardrails.join(", ")}`;
  return `${by}. ${engine ? `Engine ${engine}.` : "There is no engine to judge by it."}`;
}

function edited() {
  const [id, text] = [chosen(), byId("source").value];
  if (text === sources.get(id)) drafts.delete(id);
  else drafts.set(id, text);
  fault(null);
  mark();
}

function revert() {
  drafts.delete(chosen());
  byId("source").value = sources.get(chosen()) ?? "";
  byId("source").focus();
  fault(null);
  mark();
}

function mark() {
  for (const id of ["edited", "revert"]) byId(id).hidden = !drafts.has(chosen());
}

/** Shows what is wrong with the draft, and where. */
function fault(told) {
  byId("fault").hidden = told === null;
  byId("source").setAttribute("aria-invalid", String(told !== null));
  if (told === null) return;
  byId("fault-message").textContent = [told.message, told.help].filter(Boolean).join("\n");
  byId("fault-place").hidden = !told.line;
  byId("fault-place").textContent = `Go to line ${told.line}`;
  Object.assign(byId("fault-place").dataset, { line: told.line, column: told.column });
}

function goToFault() {
  const { line, column } = byId("fault-place").dataset;
  const source = byId("source");
  const lines = source.value.split("\n");
  const begins = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0);
  const text = lines[line - 1] ?? "";
  // The listener counts characters, a text field half of some.
  const at = begins + [...text].slice(0, column - 1).join("").length;
  source.focus();
  source.setSelectionRange(at, begins + text.length);
  source.scrollTop = (line - 4) * parseFloat(getComputedStyle(source).lineHeight);
}

async function judge() {
  const [id, text] = [chosen(), byId("content").value];
  const body = { text, stage: document.querySelector("input[name=stage]:checked").value, stream: true };
  if (id) body.policy = id;
  if (drafts.has(id)) body.policy_text = drafts.get(id);
  if (byId("effort").value) body.effort = byId("effort").value;
  running = new AbortController();
  byId("run").textContent = "Stop";
  fault(null);
  verdict.begin("Waiting for the engine");
  let last = null;
  try {
    await events("/v1/classify", body, (name, data) => {
      if (name === "begun") verdict.say("The model reads");
      if (name === "read") verdict.say("The model answers");
      if (name === "reasoning") verdict.reasoned(data);
      if (name === "verdict" || name === "error") last = [name, data];
    }, running.signal);
    if (last === null) verdict.say("The connection broke off before there was a verdict.", true);
    else if (last[0] === "error") verdict.say(last[1].error.message, true);
    else {
      verdict.show(last[1]);
      remember(last[1], text, drafts.has(id));
    }
  } catch (error) {
    failed(error);
  } finally {
    running = null;
    byId("run").textContent = "Judge";
  }
}

function failed(error) {
  if (error.name === "AbortError") return verdict.say("Stopped.", true);
  if (error instanceof Refused && error.told.code === "invalid_policy") {
    fault(error.told);
    return verdict.say("The draft has a mistake: it is shown below its text.", true);
  }
  verdict.say(error instanceof Refused ? error.message : `The listener can’t be reached: ${error.message}`, true);
}

function remember(found, text, isDraft) {
  const rows = byId("tries").querySelector("tbody");
  const chip = el("span", { className: `chip ${found.safe ? "safe" : "bad"}` }, found.label ?? "safe");
  const row = el("tr", {},
    el("td", {}, chip),
    el("td", { className: "mono" }, `${found.policy} `, isDraft ? el("span", { className: "chip draft" }, "draft") : null),
    el("td", { className: "clip" }, text.slice(0, 200)),
    el("td", { className: "number" }, millis(found.times.total)));
  rows.prepend(row);
  while (rows.rows.length > TRIES) rows.deleteRow(-1);
  byId("tries").hidden = false;
}
