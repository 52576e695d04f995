// What the snapshot looks like. Nodes are made once and then kept up to date in place, so that
// focus, selection and open details survive every refresh.

import { Plot } from "./plots.js";

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

// -- pools -----------------------------------------------------------------------------------

const TOTALS = [
  ["completed", "completed", "good"], ["failed", "failed", "bad"], ["timed_out", "timed out", "bad"],
  ["crashed", "crashed", "bad"], ["rejected", "refused", "warn"], ["cancelled", "cancelled", ""],
  ["restarts", "workers replaced", ""],
];

// Whether calls were refused since the last sample but one.
export const refuses = (pool) => (pool.history.at(-1)?.rejected_per_second ?? 0) > 0;

export function poolState(pool) {
  if (pool.draining) return ["draining", "warn"];
  if (pool.paused) return ["paused", "warn"];
  if (pool.unhealthy) return ["unhealthy", "bad"];
  if (refuses(pool)) return ["refuses calls", "warn"];
  return ["healthy", "good"];
}

export function createPool(pool, act) {
  const name = pool.name;
  const part = (tag, part, attributes = {}, ...children) => make(tag, { "data-part": part, ...attributes }, ...children);
  const size = make("input", { type: "number", min: 1, max: 9999, step: 1, value: pool.max_workers, "aria-label": `Most workers of pool ${name}` });
  const button = (label, part, run) => make("button", { type: "button", "data-part": part, "aria-label": `${label} pool ${name}`, onclick: run }, label);
  const node = make("article", { class: "card pool", "aria-labelledby": `pool-${name}`, "data-pool": name },
    make("header", {},
      make("h3", { id: `pool-${name}` }, name),
      part("span", "kind", { class: "badge" }), part("span", "state", { class: "pill" }),
      make("div", { class: "controls", role: "group", "aria-label": `Controls of pool ${name}` },
        make("form", { class: "resize", onsubmit: (event) => { event.preventDefault(); act("resize", { pool: name, max_workers: Number(size.value) }); } },
          size, make("button", { "data-part": "resize", "aria-label": `Resize pool ${name}` }, "Resize")),
        button("Pause", "pause", () => act(node.state.paused || node.state.draining ? "resume" : "pause", { pool: name })),
        button("Drain", "drain", () => act("drain", { pool: name })),
        button("Restart", "restart", () => act("restart", { pool: name })))),
    part("p", "reason", { class: "reason", hidden: true }),
    make("div", { class: "meters" },
      meter(part, "busy", "Workers busy"), meter(part, "queue", "Calls admitted"), meter(part, "waiting", "Waiting"), meter(part, "outside", "Waiting for a place"),
      fact(part, "p50", "Run p50"), fact(part, "p95", "Run p95"), fact(part, "p99", "Run p99"), fact(part, "wait", "Wait p95")),
    part("div", "plots", { class: "plots" }),
    part("ul", "totals", { class: "outcomes", "aria-label": `Calls of pool ${name} since the start` }),
    part("table", "workers", { class: "rows", role: "table", "aria-label": `Workers of pool ${name}` },
      make("thead", { role: "rowgroup" }, make("tr", { role: "row" },
        ...["Worker", "State", "Runs", "For", "Memory", "Calls"].map((head, index) => make("th", { role: "columnheader", scope: "col", class: index > 2 ? "number" : "" }, head)),
        make("th", { role: "columnheader", scope: "col" }, make("span", { class: "hidden" }, "Kill")))),
      make("tbody", { role: "rowgroup" })),
    make("details", {}, make("summary", {}, "Options"), part("dl", "options", { class: "options" })));
  node.parts = Object.fromEntries([...node.querySelectorAll("[data-part]")].map((one) => [one.dataset.part, one]));
  node.size = size;
  node.plots = [
    new Plot("Throughput", [{ key: "completed_per_second", label: "done", kind: "area", tone: "one" }, { key: "errors_per_second", label: "errors", kind: "line", tone: "alarm", rare: true }, { key: "rejected_per_second", label: "refused", kind: "line", tone: "three", rare: true }], rate, 5),
    new Plot("Run and queue time", [{ key: "run_p95_ms", label: "p95", kind: "area", tone: "two" }, { key: "run_p50_ms", label: "p50", kind: "line", tone: "one" }, { key: "wait_p95_ms", label: "queue p95", kind: "line", tone: "three" }], ms, 5),
    new Plot("Load", [{ key: "queued", label: "waiting", kind: "area", tone: "three" }, { key: "busy", label: "busy", kind: "line", tone: "one" }], (value) => String(Math.round(value * 10) / 10), 5),
  ];
  node.parts.plots.append(...node.plots.map((plot) => plot.node));
  return node;
}

function meter(part, name, label) {
  return make("div", { class: "fact" }, make("span", { class: "label" }, label), part("b", name), part("meter", `${name}-meter`, { min: 0, "aria-label": label }));
}

function fact(part, name, label) {
  return make("div", { class: "fact" }, make("span", { class: "label" }, label), part("b", name));
}

export function updatePool(node, pool, now, act, askKill, showStacks) {
  const parts = node.parts;
  node.state = pool;
  const [state, tone] = poolState(pool);
  say(parts.kind, pool.mode === pool.kind ? pool.kind : `${pool.kind}, ${pool.mode}`);
  say(parts.state, state);
  parts.state.className = `pill ${tone}`;
  parts.reason.hidden = !pool.unhealthy || pool.paused || pool.draining;
  say(parts.reason, pool.unhealthy ?? "");
  const stopped = pool.paused || pool.draining;
  say(parts.pause, stopped ? "Resume" : "Pause");
  parts.pause.setAttribute("aria-label", `${stopped ? "Resume" : "Pause"} pool ${pool.name}`);
  parts.pause.hidden = !stopped && !pool.controls.includes("pause");
  parts.drain.disabled = pool.draining;
  parts.restart.hidden = !pool.controls.includes("restart");
  parts.resize.form.hidden = !pool.controls.includes("resize");
  if (document.activeElement !== node.size && node.shownSize !== pool.max_workers) {
    node.size.value = node.shownSize = pool.max_workers;
  }
  fill(parts, "busy", pool.busy, pool.max_workers);
  fill(parts, "queue", pool.pending, pool.max_pending);
  fill(parts, "waiting", pool.queued, pool.max_pending);
  fill(parts, "outside", pool.waiting, pool.max_waiting);
  // Nothing has run in a pool that was never called, and 0 ms would say that it is fast.
  const ran = pool.completed + failures(pool) + pool.cancelled > 0;
  for (const [part, value] of [["p50", pool.run_p50_ms], ["p95", pool.run_p95_ms], ["p99", pool.run_p99_ms], ["wait", pool.wait_p95_ms]]) say(parts[part], ms(ran ? value : null));
  for (const plot of node.plots) plot.update(pool.history, now);
  const why = { rejected: pool.rejections, restarts: pool.restarts_by_reason };
  keep(parts.totals, TOTALS.filter(([key]) => key === "completed" || pool[key]), ([key]) => key,
    ([key, , tone]) => make("li", { "data-outcome": key, class: tone }, make("b"), " ", make("span"), " ", make("small")),
    (item, [key, label]) => {
      say(item.querySelector("b"), count(pool[key]));
      say(item.querySelector("span"), key === "restarts" && pool[key] === 1 ? "worker replaced" : label);
      say(item.querySelector("small"), Object.entries(why[key] ?? {}).map(([reason, number]) => `${reason.replaceAll("_", " ")} ${count(number)}`).join(", "));
    });
  const kills = pool.controls.includes("kill_worker");
  parts.workers.hidden = !pool.worker_states.length;
  keep(parts.workers.tBodies[0], pool.worker_states, (worker) => worker.agent || (kills && worker.pid) || `one${pool.worker_states.indexOf(worker)}`,
    (worker) => workerRow(worker, kills, (pid) => showStacks(pool.name, pid), kills && worker.pid ? () => askKill(pool.name, worker.pid) : undefined,
      pool.controls.includes("end_agent") ? (action) => act("agent", { pool: pool.name, agent: worker.agent, action }) : undefined), updateWorker);
  const options = Object.entries(pool.options).filter(([, value]) => value !== null && value !== false && !(Array.isArray(value) && !value.length));
  keep(parts.options, options, ([key]) => key,
    ([key]) => make("div", {}, make("dt", {}, key), make("dd")),
    (item, [, value]) => say(item.lastChild, Array.isArray(value) ? value.join(", ") : String(value)));
}

function fill(parts, name, value, most) {
  say(parts[name], `${count(value)} of ${count(most)}`);
  const bar = parts[`${name}-meter`];
  bar.max = Math.max(1, most);
  bar.high = most * 0.8;
  bar.low = most * 0.8;
  bar.optimum = 0;
  bar.value = Math.min(value, most);
}

const cell = (label, name, extra = "") => make("td", { role: "cell", "data-label": label, "data-cell": name, class: extra });

function workerRow(worker, kills, showStacks, ask, steer) {
  const end = (label, action) => make("button", { type: "button", class: "small", "data-part": action, "aria-label": `${label} agent ${worker.host} ${worker.pid}`, onclick: () => steer(action) }, label);
  const row = make("tr", { role: "row", "data-pid": worker.pid ?? "" },
    cell("Worker", "pid", "mono"),
    make("td", { role: "cell", "data-label": "State" }, make("span", { "data-cell": "state" })), cell("Runs", "runs", "mono"), cell("For", "running", "number"),
    cell("Memory", "memory", "number"), cell("Calls", "calls", "number"),
    make("td", { role: "cell", class: "action" },
      make("button", { type: "button", class: "small", "data-part": "stack", "aria-label": `Stack in process ${worker.pid}`, onclick: () => showStacks(row.state.pid) }, "Stack…"), " ",
      ask ? make("button", { type: "button", class: "small", "aria-label": `Kill worker ${worker.pid}`, onclick: ask }, "Kill…") : "",
      ...(steer ? [end("Drain", "drain"), " ", end("Restart", "restart")] : [])));
  row.killable = kills;
  return row;
}

function updateWorker(row, worker) {
  row.state = worker;
  const put = (name, text) => say(row.querySelector(`[data-cell=${name}]`), text);
  put("pid", worker.host ? `${worker.host} ${worker.pid}` : row.killable ? String(worker.pid ?? "–") : "thread");
  row.title = worker.host ? agentFacts(worker) : "";
  put("state", worker.state);
  row.querySelector("[data-cell=state]").className = `state ${worker.state}`;
  put("runs", worker.route ?? worker.function ?? "");
  put("running", lasting(worker.running_seconds));
  put("memory", bytes(worker.memory_bytes));
  put("calls", worker.calls == null ? "–" : count(worker.calls));
  for (const button of row.querySelectorAll("[data-part=drain], [data-part=restart]")) button.disabled = worker.state === "leaving";
  row.querySelector("[data-part=stack]").hidden = !worker.running || Boolean(worker.host);
}

function agentFacts({ agent, version, places, round_trip: trip, clock }) {
  const seconds = (value) => (value == null ? "not measured" : `${(value * 1000).toFixed(1)} ms`);
  return `agent ${agent} with ${places} places, version ${version}; round trip ${seconds(trip)}, clock ahead ${seconds(clock)}`;
}

// -- routes, errors, changes -----------------------------------------------------------------

export function createRoute(route, act, edit) {
  const path = route.path;
  const toggle = make("button", { type: "button", role: "switch", class: "switch", "aria-label": `Offload ${path}`, onclick: () => act("route", { route: path, disabled: !row.state.disabled }) });
  const row = make("tr", { role: "row", "data-route": path },
    make("th", { role: "rowheader", scope: "row", class: "mono", "data-label": "Route" }, path),
    cell("Pool", "pool"), make("td", { role: "cell", "data-label": "Offloaded" }, toggle),
    cell("Timeout", "timeout"), cell("When full", "overload"), cell("Calls", "calls", "number"), cell("Errors", "errors", "number"), cell("Refused", "refused", "number"),
    cell("p50", "p50", "number"), cell("p95", "p95", "number"),
    make("td", { role: "cell", class: "action" },
      make("a", { href: `profile#${encodeURIComponent(path)}`, "aria-label": `Profile ${path}` }, "Profile"), " ",
      make("button", { type: "button", class: "small", "aria-label": `Change ${path}`, onclick: () => edit(row.state) }, "Change…")));
  row.toggle = toggle;
  return row;
}

export function updateRoute(row, route) {
  row.state = route;
  const put = (name, text, own) => {
    const where = row.querySelector(`[data-cell=${name}]`);
    say(where, text);
    if (own !== undefined) {
      where.classList.toggle("inherited", !own);
      where.title = own ? "set for this route" : "as the pool says";
    }
  };
  put("pool", route.pool ?? "–");
  row.toggle.setAttribute("aria-checked", String(!route.disabled));
  put("timeout", seconds(route.effective.timeout), route.options.timeout != null);
  put("overload", route.effective.on_overload === "fail" ? "refuse" : "wait", route.options.on_overload != null);
  const done = Object.values(route.outcomes).reduce((sum, value) => sum + value, 0);
  put("calls", done ? count(done) : "–");
  put("errors", done ? count(failures(route.outcomes)) : "–");
  put("refused", done ? count(route.outcomes.rejected) : "–");
  row.querySelector("[data-cell=refused]").classList.toggle("warn", route.outcomes.rejected > 0);
  row.querySelector("[data-cell=errors]").classList.toggle("bad", failures(route.outcomes) > 0);
  put("p50", ms(route.run_p50_ms));
  put("p95", ms(route.run_p95_ms));
}

const OUTCOME = { failed: "failed", timed_out: "timed out", crashed: "crashed" };

// The server counts errors that differ in numbers only as one; so does the page.
export const errorKey = (error) => [error.pool, error.route, error.function, error.outcome, error.type_name, error.message.replace(/\d+/g, "#")].join("\n");

export function createError(error) {
  return make("details", { class: "error", "data-type": error.type_name },
    make("summary", {}, make("span", { class: "pill bad" }, OUTCOME[error.outcome] ?? error.outcome),
      make("span", { class: "mono type" }, error.type_name), make("span", { class: "message" }, error.message), make("span", { class: "when" })),
    make("p", { class: "quiet where" }), make("pre", { tabindex: 0 }));
}

export function updateError(node, error) {
  say(node.querySelector(".when"), `${error.count > 1 ? `${count(error.count)} times, last ` : ""}${clock(error.last_at)}`);
  say(node.querySelector(".where"), `${error.route ? `Route ${error.route}, ` : ""}pool ${error.pool}, ${error.function}; first at ${clock(error.first_at)}`);
  say(node.querySelector(".message"), error.message);
  const text = node.querySelector("pre");
  say(text, error.traceback || error.message);
}
