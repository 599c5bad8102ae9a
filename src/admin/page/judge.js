// Judging: a policy, a text, and the verdict on it.

import { events, json, Refused } from "./api.js";
import { byId, el, millis, tell } from "./dom.js";
import * as verdict from "./verdict.js";

const EFFORTS = ["none", "low", "medium", "high", "adaptive"];
/** Judged texts that are listed. */
const TRIES = 20;

/** By id: what the listener says of a policy. */
let policies = new Map();
/** By id: the file as it was last read, as text and digest; or the problem with it. */
const files = new Map();
/** By id: the text as it was edited. */
const drafts = new Map();
/** The policy whose text is in the field. */
let shown = null;
/** Ends the judging that is under way. */
let running = null;

export function start() {
  byId("policy").addEventListener("change", () => reached(choose()));
  byId("source").addEventListener("input", edited);
  byId("revert").addEventListener("click", revert);
  byId("fault-place").addEventListener("click", goToFault);
  byId("run").addEventListener("click", () => (running ? running.abort() : judge()));
  for (const id of ["source", "content"]) {
    byId(id).addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !running) judge();
    });
  }
}

/** The policies, anew: a reload may have changed them. What was edited stays. */
export async function list() {
  const told = await json("/v1/policies");
  policies = new Map(told.policies.map((policy) => [policy.id, policy]));
  for (const id of files.keys()) if (!policies.has(id)) files.delete(id);
  offer();
  await choose();
  return told;
}

/** The policies, and the drafts that have none any more: a reload may have removed it. */
function offer() {
  const before = chosen();
  const [all, left] = [[...policies.values()], [...drafts.keys()].filter((id) => !policies.has(id))];
  const group = (label, ids) => {
    const options = ids.map((id) => el("option", { value: id }, id || "no name"));
    return options.length === 0 ? null : el("optgroup", { label }, ...options);
  };
  const ids = (fits) => all.filter(fits).map((policy) => policy.id);
  const groups = [
    group("asked by a guardrail", ids((policy) => policy.guardrails.length > 0)),
    group("in the folder", ids((policy) => policy.guardrails.length === 0)),
    group("drafts without a policy", left),
  ];
  byId("policy").replaceChildren(...groups.filter(Boolean));
  if (policies.has(before) || left.includes(before)) byId("policy").value = before;
}

const chosen = () => byId("policy").value;

/** Shows the chosen policy, its file read anew: it may have been saved meanwhile. */
async function choose() {
  const [id, source] = [chosen(), byId("source")];
  const isOther = shown !== id;
  shown = id;
  // What is typed before there is a text would belong to none.
  if (isOther) source.readOnly = policies.has(id) && !files.has(id);
  show(id, isOther);
  if (!policies.has(id)) return;
  await read(id);
  if (chosen() !== id) return;
  source.readOnly = false;
  if (drafts.get(id) === files.get(id).text) drafts.delete(id);
  show(id, false);
}

/** What is known of a policy so far. */
function show(id, isOther) {
  const [policy, source] = [policies.get(id), byId("source")];
  const text = drafts.get(id) ?? files.get(id)?.text ?? "";
  if (source.value !== text) source.value = text;
  if (isOther) source.scrollTop = 0;
  tell("about", about(id));
  const effort = byId("effort").value;
  const own = policy?.guardrails.length > 0 ? `as guarded: ${policy.effort}` : `as usual: ${policy?.effort ?? "low"}`;
  byId("effort").replaceChildren(el("option", { value: "" }, own), ...EFFORTS.map((effort) => el("option", { value: effort }, effort)));
  byId("effort").value = effort;
  if (isOther) fault(null);
  mark();
}

/** Reads a policy's file. Why it can't be shown is told with it, and stops nothing else. */
async function read(id) {
  try {
    const { text, digest } = await json(`/v1/policies/${encodeURIComponent(id)}`);
    // As a text field has it.
    files.set(id, { text: text.replace(/\r\n?/g, "\n"), digest });
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const problem = error.told.code === "policy_not_found" ? "it is not there" : error.message;
    files.set(id, { text: "", problem });
  }
}

function about(id) {
  const policy = policies.get(id);
  if (!policy && id) return "The policy is no longer there: this draft is all that is left of it.";
  if (!policy) return policies.size === 0 ? "There is no policy yet: write one here, front matter first." : "This draft is of no policy.";
  const { guardrails, engine, problem } = policy;
  if (problem) return problem;
  const by = guardrails.length === 0 ? "No guardrail asks it" : `${guardrails.length === 1 ? "Guardrail" : "Guardrails"} ${guardrails.join(", ")}`;
  return `${by}. ${engine ? `Engine ${engine}.` : "There is no engine to judge by it."}${unlike(policy, files.get(id))}`;
}

/** Where the file is not what judges. Of a policy without a guardrail it is what judges, as it is at that moment. */
function unlike({ guardrails, digest }, file) {
  if (!file) return "";
  const loaded = guardrails.length > 0 ? " What judges is the version that was loaded last." : "";
  if (file.problem) return ` Its file can’t be shown: ${file.problem}.${loaded}`;
  return loaded && file.digest !== digest ? ` The file below differs from what judges.${loaded}` : "";
}

function edited() {
  const [id, text] = [chosen(), byId("source").value];
  if (text === files.get(id)?.text) drafts.delete(id);
  else drafts.set(id, text);
  fault(null);
  mark();
}

function revert() {
  drafts.delete(chosen());
  // Of a policy that is gone nothing is left to choose.
  if (!policies.has(chosen())) offer();
  byId("source").focus();
  fault(null);
  reached(choose());
}

function mark() {
  for (const id of ["edited", "revert"]) byId(id).hidden = !drafts.has(chosen());
}

/** Shows what is wrong with the draft, and where. */
function fault(told) {
  byId("fault").hidden = told === null;
  byId("source").setAttribute("aria-invalid", String(told !== null));
  if (told === null) return;
  tell("fault-message", [told.message, told.help].filter(Boolean).join("\n"));
  byId("fault-place").hidden = !told.line;
  tell("fault-place", `Go to line ${told.line}`);
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
  const [id, text, draft] = [chosen(), byId("content").value, drafts.get(chosen())];
  const body = { text, stage: document.querySelector("input[name=stage]:checked").value, stream: true };
  if (id) body.policy = id;
  if (draft !== undefined) body.policy_text = draft;
  if (byId("effort").value) body.effort = byId("effort").value;
  running = new AbortController();
  tell("run", "Stop");
  fault(null);
  verdict.begin("Waiting for the engine");
  let [last, found] = [null, null];
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
      found = last[1];
      verdict.show(found);
      remember(found, text, draft !== undefined);
    }
  } catch (error) {
    failed(error);
  } finally {
    running = null;
    tell("run", "Judge");
  }
  if (found !== null && draft === undefined) await reached(compare(id, found.policy_digest));
}

/** Reads the file again where it is not what judged: it may have been saved since it was read. */
async function compare(id, digest) {
  if (policies.has(id)) policies.get(id).digest = digest;
  if (chosen() === id && files.get(id)?.digest !== digest) await choose();
}

function failed(error) {
  if (error.name === "AbortError") return verdict.say("Stopped.", true);
  if (error instanceof Refused && error.told.code === "invalid_policy") {
    fault(error.told);
    return verdict.say("The draft has a mistake: it is shown below its text.", true);
  }
  verdict.say(error instanceof Refused ? error.message : unreached(error), true);
}

const unreached = (error) => `The listener can’t be reached: ${error.message}`;

/** Says beside the policy where it could not be. */
const reached = (asking) => asking.catch((error) => tell("about", unreached(error)));

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
