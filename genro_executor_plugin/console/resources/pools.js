// Pools: a line for each, which opens to its controls, plots and workers.

import { Plot } from "./plots.js";
import { bytes, cell, count, failures, keep, lasting, make, ms, rate, say } from "./view.js";

const TOTALS = [
  ["completed", "completed", "good"], ["failed", "failed", "bad"], ["timed_out", "timed out", "bad"],
  ["crashed", "crashed", "bad"], ["rejected", "refused", "warn"], ["cancelled", "cancelled", ""],
  ["restarts", "workers replaced", ""],
];

// Figures of the line: name, what it is called, its text, and how it stands out.
const FIGURES = [
  ["waiting", "Waiting", (pool) => count(pool.queued + pool.waiting), (pool) => (pool.queued + pool.waiting ? "" : "none")],
  ["done", "Done", (pool) => rate(pool.completed_per_second), (pool) => (pool.completed_per_second ? "" : "none")],
  ["errors", "Errors", (pool) => count(failures(pool)), (pool) => (pool.errors_per_second ? "bad" : failures(pool) ? "" : "none")],
  ["refused", "Refused", (pool) => count(pool.rejected), (pool) => (refuses(pool) ? "warn" : pool.rejected ? "" : "none")],
  ["p95", "Run p95", (pool) => ms(ran(pool) ? pool.run_p95_ms : null), () => ""],
];

export const SORTS = {
  name: () => 0,
  state: (pool) => ["bad", "warn", "good"].indexOf(poolState(pool)[1]),
  busy: (pool) => -pool.busy / Math.max(1, pool.max_workers),
  waiting: (pool) => -pool.queued - pool.waiting,
  done: (pool) => -pool.completed_per_second,
  errors: (pool) => -failures(pool),
  refused: (pool) => -pool.rejected,
  p95: (pool) => (ran(pool) ? -pool.run_p95_ms : 0),
};

// Nothing has run in a pool that was never called, and 0 ms would say that it is fast.
const ran = (pool) => pool.completed + failures(pool) + pool.cancelled > 0;

// Whether calls were refused since the last sample but one.
export const refuses = (pool) => pool.rejected_per_second > 0;

export function poolState(pool) {
  if (pool.draining) return ["draining", "warn"];
  if (pool.paused) return ["paused", "warn"];
  if (pool.unhealthy) return ["unhealthy", "bad"];
  if (refuses(pool)) return ["refuses calls", "warn"];
  return ["healthy", "good"];
}

const part = (tag, name, attributes = {}, ...children) => make(tag, { "data-part": name, ...attributes }, ...children);

// What can be done from a pool: `page` has act, askKill, showStacks and fold.
export function createPool(pool, page) {
  const name = pool.key;
  const size = make("input", { type: "number", min: 1, max: 9999, step: 1, value: pool.max_workers, "aria-label": `Most workers of pool ${name}` });
  const button = (label, part_, run) => make("button", { type: "button", "data-part": part_, "aria-label": `${label} pool ${name}`, onclick: run }, label);
  const node = make("article", { class: "pool", "aria-labelledby": `pool-${name}`, "data-pool": name },
    make("header", {},
      make("h3", { id: `pool-${name}` }, part("button", "fold", { type: "button", class: "fold", "aria-expanded": "false", onclick: () => page.fold(name) }, name)),
      part("span", "kind", { class: "badge" }), part("span", "state", { class: "pill" }),
      part("div", "line", { class: "line" },
        make("span", { class: "load", "data-label": "Busy" }, part("b", "line-busy"), part("meter", "line-meter", { min: 0, "aria-label": `Workers of pool ${name} that are busy` })),
        ...FIGURES.map(([figure, label]) => make("span", { "data-figure": figure, "data-label": label }, make("span", { class: "hidden" }, `${label} `), make("b")))),
      part("div", "controls", { class: "controls", role: "group", "aria-label": `Controls of pool ${name}`, hidden: true },
        make("form", { class: "resize", onsubmit: (event) => { event.preventDefault(); page.act("resize", { pool: name, max_workers: Number(size.value) }); } },
          size, make("button", { "data-part": "resize", "aria-label": `Resize pool ${name}` }, "Resize")),
        button("Pause", "pause", () => page.act(node.state.paused || node.state.draining ? "resume" : "pause", { pool: name })),
        button("Drain", "drain", () => page.act("drain", { pool: name })),
        button("Restart", "restart", () => page.act("restart", { pool: name })))),
    part("p", "reason", { class: "reason", hidden: true }),
    part("div", "inside", { hidden: true }));
  node.parts = parts(node);
  node.figures = Object.fromEntries([...node.querySelectorAll("[data-figure]")].map((one) => [one.dataset.figure, one.lastChild]));
  node.size = size;
  node.page = page;
  return node;
}

const parts = (node) => Object.fromEntries([...node.querySelectorAll("[data-part]")].map((one) => [one.dataset.part, one]));

export function updatePool(node, pool) {
  const found = node.parts, [state, tone] = poolState(pool), stopped = pool.paused || pool.draining;
  node.state = pool;
  say(found.kind, pool.mode === pool.kind ? pool.kind : `${pool.kind}, ${pool.mode}`);
  say(found.state, state);
  found.state.className = `pill ${tone}`;
  found.reason.hidden = !pool.unhealthy || stopped;
  say(found.reason, pool.unhealthy ?? "");
  say(found.pause, stopped ? "Resume" : "Pause");
  found.pause.setAttribute("aria-label", `${stopped ? "Resume" : "Pause"} pool ${pool.key}`);
  found.pause.hidden = !stopped && !pool.controls.includes("pause");
  found.drain.disabled = pool.draining;
  found.restart.hidden = !pool.controls.includes("restart");
  found.resize.form.hidden = !pool.controls.includes("resize");
  if (document.activeElement !== node.size && node.shownSize !== pool.max_workers) {
    node.size.value = node.shownSize = pool.max_workers;
  }
  fill(found, "line-busy", "line-meter", pool.busy, pool.max_workers);
  for (const [name, , text, tone_] of FIGURES) {
    say(node.figures[name], text(pool));
    node.figures[name].className = tone_(pool);
  }
}

export function foldPool(node, open) {
  if (node.open === open) return;
  node.open = open;
  node.classList.toggle("open", open);
  node.parts.fold.setAttribute("aria-expanded", String(open));
  node.parts.line.hidden = open;
  node.parts.controls.hidden = !open;
  node.parts.inside.hidden = !open;
}

function fill(found, name, bar, value, most) {
  say(found[name], `${count(value)} of ${count(most)}`);
  const meter = found[bar];
  meter.max = Math.max(1, most);
  meter.high = most * 0.8;
  meter.low = most * 0.8;
  meter.optimum = 0;
  meter.value = Math.min(value, most);
}

// -- what is inside of a pool that is open ----------------------------------------------------

const meter = (name, label) => make("div", { class: "fact" }, make("span", { class: "label" }, label), part("b", name), part("meter", `${name}-meter`, { min: 0, "aria-label": label }));
const fact = (name, label) => make("div", { class: "fact" }, make("span", { class: "label" }, label), part("b", name));

function createInside(node, name) {
  node.parts.inside.append(
    make("div", { class: "meters" },
      meter("busy", "Workers busy"), meter("queue", "Calls admitted"), meter("waiting", "Waiting"), meter("outside", "Waiting for a place"),
      fact("p50", "Run p50"), fact("p95", "Run p95"), fact("p99", "Run p99"), fact("wait", "Wait p95")),
    part("div", "plots", { class: "plots" }),
    part("ul", "totals", { class: "outcomes", "aria-label": `Calls of pool ${name} since the start` }),
    part("table", "workers", { class: "rows", role: "table", "aria-label": `Workers of pool ${name}` },
      make("thead", { role: "rowgroup" }, make("tr", { role: "row" },
        ...["Worker", "State", "Runs", "For", "Memory", "Calls"].map((head, index) => make("th", { role: "columnheader", scope: "col", class: index > 2 ? "number" : "" }, head)),
        make("th", { role: "columnheader", scope: "col" }, make("span", { class: "hidden" }, "Actions")))),
      make("tbody", { role: "rowgroup" })),
    make("details", {}, make("summary", {}, "Options"), part("dl", "options", { class: "options" })));
  node.parts = parts(node);
  node.plots = [
    new Plot("Throughput", [{ key: "completed_per_second", label: "done", kind: "area", tone: "one" }, { key: "errors_per_second", label: "errors", kind: "line", tone: "alarm", rare: true }, { key: "rejected_per_second", label: "refused", kind: "line", tone: "three", rare: true }], rate, 5),
    new Plot("Run and queue time", [{ key: "run_p95_ms", label: "p95", kind: "area", tone: "two" }, { key: "run_p50_ms", label: "p50", kind: "line", tone: "one" }, { key: "wait_p95_ms", label: "queue p95", kind: "line", tone: "three" }], ms, 5),
    new Plot("Load", [{ key: "queued", label: "waiting", kind: "area", tone: "three" }, { key: "busy", label: "busy", kind: "line", tone: "one" }], (value) => String(Math.round(value * 10) / 10), 5),
  ];
  node.parts.plots.append(...node.plots.map((plot) => plot.node));
  seen.observe(node);
}

// Plots that nobody sees are not drawn: those of twenty pools would hold the page up.
const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    target.isSeen = isIntersecting;
    if (isIntersecting) target.drawPlots?.();
  }
});

export function updateInside(node, pool, details, samples, now) {
  if (!node.plots) createInside(node, pool.key);
  const found = node.parts, { act, askKill, showStacks } = node.page;
  fill(found, "busy", "busy-meter", pool.busy, pool.max_workers);
  fill(found, "queue", "queue-meter", pool.pending, pool.max_pending);
  fill(found, "waiting", "waiting-meter", pool.queued, pool.max_pending);
  fill(found, "outside", "outside-meter", pool.waiting, pool.max_waiting);
  const run = ran(pool);
  for (const [name, value] of [["p50", pool.run_p50_ms], ["p95", pool.run_p95_ms], ["p99", pool.run_p99_ms], ["wait", pool.wait_p95_ms]]) say(found[name], ms(run ? value : null));
  node.drawPlots = () => { for (const plot of node.plots) plot.update(samples, now); };
  if (node.isSeen) node.drawPlots();
  const why = { rejected: pool.rejections, restarts: pool.restarts_by_reason };
  keep(found.totals, TOTALS.filter(([key]) => key === "completed" || pool[key]), ([key]) => key,
    ([key, , tone]) => make("li", { "data-outcome": key, class: tone }, make("b"), " ", make("span"), " ", make("small")),
    (item, [key, label]) => {
      say(item.querySelector("b"), count(pool[key]));
      say(item.querySelector("span"), key === "restarts" && pool[key] === 1 ? "worker replaced" : label);
      say(item.querySelector("small"), Object.entries(why[key] ?? {}).map(([reason, number]) => `${reason.replaceAll("_", " ")} ${count(number)}`).join(", "));
    });
  const workers = details.worker_states, kills = pool.controls.includes("kill_worker");
  found.workers.hidden = !workers.length;
  keep(found.workers.tBodies[0], workers, (worker) => worker.agent || (kills && worker.pid) || `one${workers.indexOf(worker)}`,
    (worker) => workerRow(worker, kills, (pid) => showStacks(pool.key, pid), kills && worker.pid ? () => askKill(pool.key, worker.pid) : undefined,
      pool.controls.includes("end_agent") ? (action) => act("agent", { pool: pool.key, agent: worker.agent, action }) : undefined),
    (row, worker) => updateWorker(row, worker, now));
  const options = Object.entries(details.options).filter(([, value]) => value !== null && value !== false && !(Array.isArray(value) && !value.length));
  keep(found.options, options, ([key]) => key,
    ([key]) => make("div", {}, make("dt", {}, key), make("dd")),
    (item, [, value]) => say(item.lastChild, Array.isArray(value) ? value.join(", ") : String(value)));
}

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

function updateWorker(row, worker, now) {
  row.state = worker;
  const put = (name, text) => say(row.querySelector(`[data-cell=${name}]`), text);
  put("pid", worker.host ? `${worker.host} ${worker.pid}` : row.killable ? String(worker.pid ?? "–") : "thread");
  row.title = worker.host ? agentFacts(worker) : "";
  put("state", worker.state);
  row.querySelector("[data-cell=state]").className = `state ${worker.state}`;
  put("runs", worker.route ?? worker.function ?? "");
  put("running", worker.running_since == null ? "" : lasting(Math.max(0, now - worker.running_since)));
  put("memory", bytes(worker.memory_bytes));
  put("calls", worker.calls == null ? "–" : count(worker.calls));
  for (const button of row.querySelectorAll("[data-part=drain], [data-part=restart]")) button.disabled = worker.state === "leaving";
  row.querySelector("[data-part=stack]").hidden = !worker.running || Boolean(worker.host);
}

function agentFacts({ agent, version, places, round_trip: trip, clock, load }) {
  if (agent == null) return `version ${version ?? "not told"}; load of each CPU ${load == null ? "not told" : load.toFixed(2)}`;
  const seconds = (value) => (value == null ? "not measured" : `${(value * 1000).toFixed(1)} ms`);
  return `agent ${agent} with ${places} places, version ${version}; round trip ${seconds(trip)}, clock ahead ${seconds(clock)}`;
}
