// Builds elements, and writes numbers as the page shows them.

const SVG = "http://www.w3.org/2000/svg";

/** Return an HTML element; `properties` are attributes, `children` nodes or text. */
export function html(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** Return an SVG element. */
export function svg(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Write a text only where it changed, so that screen readers and selections are left alone. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const keys = new WeakMap();

/** Replace an element's children only where `key` changed. */
export function refresh(element, key, children) {
  const text = JSON.stringify(key);
  if (keys.get(element) === text) return;
  keys.set(element, text);
  element.replaceChildren(...children());
}

export const count = (value) => Math.round(value).toLocaleString("en-US");

/** Return a number with about three digits, or a dash where there is none. */
export function number(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size >= 1000) return count(value);
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : 2;
  const text = size >= 0.1 || size === 0 ? value.toFixed(digits) : value.toPrecision(2);
  return `${Number(text)}`.replace("-", "−");
}

/** Return a ratio to the teacher, always with two decimals. */
export const ratio = (value) => (value === undefined ? "–" : value.toFixed(2).replace("-", "−"));

/** Return a large count in short: 453.6k. */
export function short(value) {
  if (value >= 1e6) return `${(value / 1e6).toFixed(value >= 1e7 ? 0 : 1)}M`;
  if (value >= 1e3) return `${(value / 1e3).toFixed(value >= 1e5 ? 0 : 1)}k`;
  return number(value);
}

export const percent = (share) => `${Math.round(100 * share)} %`;

/** Return a span of seconds in its largest unit. */
export function span(seconds) {
  const value = Math.max(0, seconds);
  if (value < 90) return `${Math.round(value)} s`;
  if (value < 5400) return `${Math.round(value / 60)} min`;
  if (value < 172800) return `${(value / 3600).toFixed(1)} h`;
  return `${Math.round(value / 86400)} days`;
}

/** Return minutes of training as an axis shows them. */
export function minutes(value) {
  if (value >= 120) return `${number(value / 60)} h`;
  return value < 3 ? `${Math.round(value * 60)} s` : `${value.toFixed(value < 10 ? 1 : 0)} min`;
}

export const title = (game) =>
  game
    .split("_")
    .map((word) => word[0].toUpperCase() + word.slice(1))
    .join(" ");
