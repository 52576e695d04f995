// Where calls are: asked of the server when a person wants to know, and not before.

import { byId, lasting, make, say } from "./view.js";

const here = new URL(location.origin + location.pathname);

// The calls of `pool` in one of its processes.
export function showStacks(pool, pid) {
  return ask(`Where the calls in process ${pid} are`, `stacks/${pid}`, (call) => call.pool === pool, "No call runs there now.");
}

// The calls of a route, wherever they run.
export function showRunning(route) {
  return ask(`Where the calls of ${route} are`, "stacks", (call) => call.route === route, "No call of it runs now.");
}

async function ask(title, path, isMeant, none) {
  const dialog = byId("stack");
  say(byId("stack-title"), title);
  dialog.querySelector("[data-part=calls]").replaceChildren();
  dialog.querySelector("[data-part=again]").onclick = () => fill(dialog, path, isMeant, none);
  dialog.showModal();
  await fill(dialog, path, isMeant, none);
}

async function fill(dialog, path, isMeant, none) {
  const place = dialog.querySelector("[data-part=calls]");
  place.setAttribute("aria-busy", "true");
  let parts;
  try {
    const answer = await fetch(new URL(path, here), { headers: { accept: "application/json" }, cache: "no-store", signal: AbortSignal.timeout(10000) });
    const told = await answer.json();
    const calls = answer.ok ? told.calls.filter(isMeant) : [];
    parts = answer.ok ? calls.map(shown) : [make("p", { class: "reason" }, told.error ?? `The server answers ${answer.status}.`)];
    if (answer.ok && !calls.length) parts = [make("p", { class: "quiet" }, none)];
  } catch {
    parts = [make("p", { class: "reason" }, "The server does not answer.")];
  }
  place.replaceChildren(...parts);
  place.removeAttribute("aria-busy");
}

function shown(call) {
  return make("section", {},
    make("h3", { class: "mono" }, call.route ?? call.function),
    make("p", { class: "quiet" }, `process ${call.pid}, for ${lasting(call.running_seconds)}; the most recent call is the last one`),
    make("pre", { tabindex: 0 }, call.stack));
}
