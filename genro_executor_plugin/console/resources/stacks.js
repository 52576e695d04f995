// Where calls are: asked of the server when a person wants to know, and not before.

import { byId, lasting, make } from "./view.js";

const here = new URL(location.origin + location.pathname);

export async function showStacks(pool, pid) {
  const dialog = byId("stack");
  for (const node of dialog.querySelectorAll("[data-field=pid]")) node.textContent = String(pid);
  const again = dialog.querySelector("[data-part=again]");
  again.onclick = () => fill(dialog, pool, pid);
  dialog.showModal();
  await fill(dialog, pool, pid);
}

async function fill(dialog, pool, pid) {
  const place = dialog.querySelector("[data-part=calls]");
  place.setAttribute("aria-busy", "true");
  let parts;
  try {
    const answer = await fetch(new URL(`stacks/${pid}`, here), { headers: { accept: "application/json" }, cache: "no-store", signal: AbortSignal.timeout(10000) });
    const told = await answer.json();
    const calls = answer.ok ? told.calls.filter((call) => call.pool === pool) : [];
    parts = answer.ok ? calls.map(shown) : [make("p", { class: "reason" }, told.error ?? `The server answers ${answer.status}.`)];
    if (answer.ok && !calls.length) parts = [make("p", { class: "quiet" }, "No call runs there now.")];
  } catch {
    parts = [make("p", { class: "reason" }, "The server does not answer.")];
  }
  place.replaceChildren(...parts);
  place.removeAttribute("aria-busy");
}

function shown(call) {
  return make("section", {},
    make("h3", { class: "mono" }, call.route ?? call.function),
    make("p", { class: "quiet" }, `for ${lasting(call.running_seconds)}; the most recent call is the last one`),
    make("pre", { tabindex: 0 }, call.stack));
}
