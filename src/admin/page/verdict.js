// A verdict on the page, while it comes and when it is there.

import { byId, count, el, millis, percent, tell, term, visible } from "./dom.js";

/** What the model reasons, by window. */
let windows = new Map();

export function begin(words) {
  windows = new Map();
  byId("result").setAttribute("aria-busy", "true");
  for (const id of ["verdict", "reasoning"]) byId(id).hidden = true;
  byId("thoughts").replaceChildren();
  tell("times", "");
  say(words);
}

/** How it stands; `isFault` where nothing more will come. */
export function say(words, isFault = false) {
  tell("progress", words);
  byId("progress").classList.toggle("fault", isFault);
  if (isFault) byId("result").setAttribute("aria-busy", "false");
}

export function reasoned({ window, text }) {
  const thoughts = byId("thoughts");
  byId("reasoning").hidden = false;
  const atEnd = thoughts.scrollTop + thoughts.clientHeight >= thoughts.scrollHeight - 4;
  if (!windows.has(window)) {
    const part = el("span");
    if (windows.size > 0) thoughts.append("\n\n");
    thoughts.append(part);
    windows.set(window, part);
  }
  windows.get(window).append(visible(text));
  if (atEnd) thoughts.scrollTop = thoughts.scrollHeight;
}

export function show(found) {
  byId("result").setAttribute("aria-busy", "false");
  const tone = found.safe ? "safe" : "bad";
  tell("label", found.label ?? "safe");
  byId("label").className = `label ${tone}`;
  const of = found.score === null ? "" : `, ${percent(found.score)} of the score`;
  tell("share", (found.safe ? "nothing was found" : "violates the policy") + of);
  byId("scores").tBodies[0].replaceChildren(...Object.entries(found.scores).map(([name, share]) => bar(name, share, name === found.label ? tone : "")));
  byId("scores").hidden = Object.keys(found.scores).length === 0;
  const grounds = [
    ["Also found", (found.others ?? []).join(", ")],
    ["Category", found.category],
    ["Confidence", found.confidence],
    ["Rationale", found.rationale],
    ["Not judged", found.failed],
  ].filter(([, value]) => value);
  byId("grounds").replaceChildren(...grounds.flatMap(([name, value]) => term(name, value)));
  if (found.reasoning && windows.size === 0) reasoned({ window: 0, text: found.reasoning });
  const { total, queue, prompt, prompt_tokens: tokens, kept_tokens: kept } = found.times;
  const times = [
    `${millis(total)} in all`,
    queue === null ? "" : `${millis(queue)} in the queue`,
    prompt === null ? "" : `${millis(prompt)} for ${count(tokens)} tokens of prompt, ${count(kept)} of them kept`,
    `effort ${found.effort}`,
  ];
  tell("times", times.filter(Boolean).join(" · "));
  byId("verdict").hidden = false;
  say("");
}

function bar(name, share, tone) {
  const fill = el("div", { className: `fill ${tone}` });
  fill.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
  return el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, el("div", { className: "track" }, fill)), el("td", { className: "number" }, percent(share)));
}
