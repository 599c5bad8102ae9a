// Elements. Whatever comes from elsewhere becomes text, never HTML, and nothing in it acts or hides.

export const byId = (id) => document.getElementById(id);

/** Controls, marks of direction, characters without a width: those of `visible` in the workbench's shown.rs. */
const ACTS =
  /(?![\n\t])[\p{Cc}\u{ad}\u{34f}\u{61c}\u{115f}-\u{1160}\u{17b4}-\u{17b5}\u{180b}-\u{180f}\u{200b}-\u{200f}\u{2028}-\u{202e}\u{2060}-\u{206f}\u{2800}\u{3164}\u{fe00}-\u{fe0e}\u{feff}\u{ffa0}\u{fff0}-\u{fffc}\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]/gu;

/** The text with every character that would not be seen, or would move what is around it, as its number. */
export const visible = (text) => text.replace(ACTS, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);

/** Says these words in an element. */
export const tell = (id, words) => {
  byId(id).textContent = visible(words);
};

/** An element with these properties and children; strings become text that is seen. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "scope" || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  const there = children.filter((child) => child !== null && child !== undefined);
  element.append(...there.map((child) => (typeof child === "string" ? visible(child) : child)));
  return element;
}

/** A term and what it says, for a list of them. */
export const term = (name, value, className = "") => [el("dt", {}, name), el("dd", { className }, value)];

export const millis = (ms) => {
  if (ms === null || ms === undefined) return "–";
  if (ms < 0.1) return `${Math.round(ms * 1000)} µs`;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return ms < 100_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`;
};

export const percent = (share) => {
  if (share === null || share === undefined) return "–";
  const points = share * 100;
  return `${points >= 99.95 || points < 0.05 ? Math.round(points) : points.toFixed(1)} %`;
};

export const count = (number) => Math.round(number).toLocaleString("en");

export function bytes(number) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (number >= 1023.5 && at < units.length - 1) {
    number /= 1024;
    at += 1;
  }
  return `${number < 10 && at > 0 ? number.toFixed(1) : Math.round(number)} ${units[at]}`;
}
