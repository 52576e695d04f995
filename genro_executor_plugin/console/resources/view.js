// What all pages share. Nodes are made once and then kept up to date in place, so that focus,
// selection and open details survive every refresh.

export const byId = (id) => document.getElementById(id);

export function make(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// Keeps the children of `parent` in step with `items`, each made once for its key.
export function keep(parent, items, keyOf, create, update) {
  parent.kept ??= new Map();
  const seen = new Set();
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    seen.add(key);
    let node = parent.kept.get(key);
    if (!node) parent.kept.set(key, (node = create(item)));
    update(node, item);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
  for (const [key, node] of parent.kept) {
    if (!seen.has(key)) {
      node.remove();
      parent.kept.delete(key);
    }
  }
}

// An update that does nothing for a row that is the same object as before.
export const ifChanged = (update) => (node, item) => {
  if (node.item === item) return;
  node.item = item;
  update(node, item);
};

export const cell = (label, name, extra = "") => make("td", { role: "cell", "data-label": label, "data-cell": name, class: extra });

// Whether every word of what a person looks for is in one of the texts.
export const matches = (wanted, ...texts) => {
  const text = texts.join(" ").toLowerCase();
  return wanted.toLowerCase().split(/\s+/).every((word) => text.includes(word));
};

// -- numbers as people read them ------------------------------------------------------------

export const ms = (value) => {
  if (value == null) return "–";
  if (value >= 60000) return `${(value / 60000).toFixed(1)} min`;
  if (value >= 1000) return `${(value / 1000).toFixed(value >= 10000 ? 0 : 1)} s`;
  if (value > 0 && value < 0.1) return "< 0.1 ms";
  return `${value >= 10 ? Math.round(value) : Number(value.toPrecision(2))} ms`;
};
export const count = (value) => Number(value).toLocaleString("en");
export const rate = (value) => `${value >= 10 ? Math.round(value) : Number(value.toPrecision(2))}/s`;
export const bytes = (value) => {
  if (value == null) return "–";
  return value >= 1e9 ? `${(value / 1e9).toFixed(1)} GB` : `${Math.round(value / 1e6)} MB`;
};
export const lasting = (seconds) => {
  if (seconds == null) return "";
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.floor(seconds);
  return whole < 3600 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
};
export const seconds = (value) => (value == null ? "none" : `${Number(value)} s`);
export const clock = (at) => {
  const moment = new Date(at * 1000), time = moment.toLocaleTimeString("en-GB");
  return moment.toDateString() === new Date().toDateString() ? time : `${moment.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" })} ${time}`;
};

export const failures = (outcomes) => outcomes.failed + outcomes.timed_out + outcomes.crashed;
