// Elements. Whatever comes from elsewhere becomes text, never HTML.

export const byId = (id) => document.getElementById(id);

/** An element with these properties and children; strings become text. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "scope" || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
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
