// Routes: those that a person looks for, a screen of them at a time, in the order that is wanted.

import { byId, cell, count, ifChanged, keep, make, matches, ms, say, seconds } from "./view.js";

const FIRST = 25, MORE = 100;

const SORTS = {
  path: () => 0, calls: (route) => -route.calls, errors: (route) => -route.errors, refused: (route) => -route.refused,
  p50: (route) => -(route.p50 ?? -1), p95: (route) => -(route.p95 ?? -1),
};

let limit = FIRST;

export function listRoutes(page) {
  const again = () => { limit = FIRST; page.again(); };
  byId("route-search").addEventListener("input", again);
  byId("route-sort").addEventListener("change", again);
  byId("more-routes").addEventListener("click", () => { limit += MORE; page.again(); });
  byId("in-server").addEventListener("toggle", page.again);
}

export function findRoute(path) {
  byId("route-search").value = path;
  limit = FIRST;
}

export function showRoutes(all, page) {
  const offloaded = all.filter(({ pool }) => pool), wanted = byId("route-search").value.trim(), by = SORTS[byId("route-sort").value];
  const found = offloaded.filter((route) => matches(wanted, route.key, route.pool));
  found.sort((one, other) => by(one) - by(other) || (one.key < other.key ? -1 : 1));
  const shown = found.slice(0, limit);
  byId("no-routes").hidden = offloaded.length > 0;
  byId("route-tools").hidden = offloaded.length < 6 && !wanted;
  document.querySelector("#routes table").hidden = !shown.length;
  say(byId("route-count"), found.length === offloaded.length ? `${count(found.length)} routes` : `${count(found.length)} of ${count(offloaded.length)} routes`);
  byId("more-routes").hidden = shown.length === found.length;
  say(byId("more-routes"), `Show ${Math.min(MORE, found.length - shown.length)} more`);
  keep(byId("route-list"), shown, ({ key }) => key, (route) => createRoute(route, page), ifChanged(updateRoute));
  showInServer(all.filter(({ pool }) => !pool), page);
}

function createRoute(route, { act, edit }) {
  const path = route.key;
  const toggle = make("button", { type: "button", role: "switch", class: "switch", "aria-label": `Offload ${path}`, onclick: () => act("route", { route: path, disabled: !row.item.disabled }) });
  const row = make("tr", { role: "row", "data-route": path },
    make("th", { role: "rowheader", scope: "row", class: "mono", "data-label": "Route" }, path),
    cell("Pool", "pool"), make("td", { role: "cell", "data-label": "Offloaded" }, toggle),
    cell("Timeout", "timeout"), cell("When full", "overload"), cell("Calls", "calls", "number"), cell("Errors", "errors", "number"), cell("Refused", "refused", "number"),
    cell("p50", "p50", "number"), cell("p95", "p95", "number"),
    make("td", { role: "cell", class: "action" },
      make("a", { href: `profile#${encodeURIComponent(path)}`, "aria-label": `Profile ${path}` }, "Profile"), " ",
      make("button", { type: "button", class: "small", "aria-label": `Change ${path}`, onclick: () => edit(row.item) }, "Change…")));
  row.toggle = toggle;
  row.texts = Object.fromEntries([...row.querySelectorAll("[data-cell]")].map((one) => [one.dataset.cell, one]));
  return row;
}

function updateRoute(row, route) {
  const put = (name, text, own) => {
    const where = row.texts[name];
    say(where, text);
    if (own !== undefined) {
      where.classList.toggle("inherited", !own);
      where.title = own ? "set for this route" : "as the pool says";
    }
  };
  put("pool", route.pool ?? "–");
  row.toggle.setAttribute("aria-checked", String(!route.disabled));
  put("timeout", seconds(route.timeout), route.options.timeout != null);
  put("overload", route.on_overload === "fail" ? "refuse" : "wait", route.options.on_overload != null);
  for (const name of ["calls", "errors", "refused"]) put(name, route.calls ? count(route[name]) : "–");
  row.texts.refused.classList.toggle("warn", route.refused > 0);
  row.texts.errors.classList.toggle("bad", route.errors > 0);
  put("p50", ms(route.p50));
  put("p95", ms(route.p95));
}

function showInServer(routes, { edit }) {
  const details = byId("in-server");
  details.hidden = !routes.length;
  say(details.querySelector("summary"), `${count(routes.length)} ${routes.length === 1 ? "route runs" : "routes run"} in the server`);
  keep(details.querySelector("ul"), details.open ? routes : [], ({ key }) => key,
    (route) => {
      const item = make("li", { class: "mono" }, route.key, " ",
        make("button", { type: "button", class: "small", "aria-label": `Change ${route.key}`, onclick: () => edit(item.item) }, "Change…"));
      return item;
    }, ifChanged(() => {}));
}
