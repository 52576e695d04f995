// The last errors: what went wrong, where, how often; the traceback of one is asked for when it is opened.

import { byId, clock, count, ifChanged, keep, make, say } from "./view.js";

const FIRST = 20;
const OUTCOME = { failed: "failed", timed_out: "timed out", crashed: "crashed" };

let limit = FIRST;

export function listErrors(page) {
  byId("more-errors").addEventListener("click", () => { limit = Infinity; page.again(); });
}

// `page` has open, the set of the keys of those that are open; opened, findRoute and showRunning.
export function showErrors(all, tracebacks, withJobs, page) {
  const found = [...all].sort((one, other) => other.last_at - one.last_at), shown = found.slice(0, limit);
  byId("no-errors").hidden = found.length > 0;
  byId("more-errors").hidden = shown.length === found.length;
  say(byId("more-errors"), `Show ${count(found.length - shown.length)} more`);
  const update = ifChanged(updateError);
  keep(byId("error-list"), shown, ({ key }) => key, (error) => createError(error, page), (node, error) => {
    update(node, error);
    node.jobs.hidden = !withJobs || !error.route;
    const told = tracebacks.get(error.key);
    say(node.querySelector(".message"), (node.open && told?.message) || error.message);
    const text = node.querySelector("pre");
    text.hidden = !told;
    if (told) say(text, told.traceback || told.message);
  });
  for (const key of page.open) if (!all.some((error) => error.key === key)) page.open.delete(key);
}

function createError(error, page) {
  const route = error.route, jobs = make("a", { href: `jobs?${new URLSearchParams({ route, state: "failed,lost" })}` }, "Its long jobs that failed");
  const links = !route ? [] : [
    make("a", { href: "#routes", onclick: () => page.findRoute(route) }, "The route"), " ",
    make("button", { type: "button", class: "small", "aria-label": `Where its calls are… ${route}`, onclick: () => page.showRunning(route) }, "Where its calls are…"), " ",
    make("a", { href: `profile#${encodeURIComponent(route)}` }, "Its profile"), " ", jobs];
  const node = make("details", { class: "error", "data-type": error.type_name, ontoggle: () => page.opened(error.key, node.open) },
    make("summary", {}, make("span", { class: "pill bad" }, OUTCOME[error.outcome] ?? error.outcome),
      make("span", { class: "mono type" }, error.type_name), route ? make("span", { class: "mono route" }, route) : "",
      make("span", { class: "message" }, error.message), make("span", { class: "when" })),
    make("p", { class: "quiet where" }), make("p", { class: "links" }, ...links),
    make("pre", { tabindex: 0, role: "group", "aria-label": "Traceback", hidden: true }));
  node.jobs = jobs;
  return node;
}

function updateError(node, error) {
  say(node.querySelector(".when"), `${error.count > 1 ? `${count(error.count)} times, last ` : ""}${clock(error.last_at)}`);
  say(node.querySelector(".where"), `${error.route ? `Route ${error.route}, ` : ""}pool ${error.pool}, ${error.function}; first at ${clock(error.first_at)}`);
}
