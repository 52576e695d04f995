// Asks every few seconds what has changed, shows it, and posts what the person wants changed.

import { listErrors, showErrors } from "./errors.js";
import { createJob, jobCounts, updateJob } from "./jobs.js";
import { Model } from "./model.js";
import { createPool, foldPool, refuses, SORTS, updateInside, updatePool } from "./pools.js";
import { showProcesses } from "./processes.js";
import { findRoute, listRoutes, showRoutes } from "./routes.js";
import { showRunning, showStacks } from "./stacks.js";
import { byId, clock, count, failures, ifChanged, keep, lasting, make, matches, rate, say } from "./view.js";

// Without the name and password a person may have written into the address: fetch refuses those.
const here = new URL(location.origin + location.pathname);

// After how many intervals without an answer what is shown is old.
const STALE = 3;

// As many pools as this are open until somebody closes them.
const FEW = 4;

const model = new Model();
const folds = new Map(remembered()); // whether a pool is open, as was chosen in this tab
const openErrors = new Set();
const page = { act, askKill, edit, showStacks, showRunning, again: show, fold, open: openErrors, opened: openError, findRoute: (path) => { findRoute(path); show(); } };
let received = 0;
let every = 2000;
let asking = 0;

// -- the server ------------------------------------------------------------------------------

// It never throws: what goes wrong is shown, and asked again.
async function refresh() {
  const number = ++asking;
  let answer, changes;
  try {
    // An answer that does not come to its end is given up: the next one may.
    const signal = AbortSignal.timeout(Math.max(5000, STALE * every));
    const url = new URL(`updates?${model.query(openPools(), openErrors)}`, here);
    answer = await fetch(url, { headers: { accept: "application/json" }, cache: "no-store", signal });
    if (answer.ok) changes = await answer.json();
  } catch {
    if (number === asking) trouble("The server does not answer. What is shown below is from before. It is asked again and again.");
    return undefined;
  }
  if (answer.status === 401 || answer.status === 403) {
    document.querySelector("main").hidden = true;
    return trouble("You have no access to this console any more. Sign in, or open the link in the server's log, and load the page again.");
  }
  if (!answer.ok) return trouble(`The server answers ${answer.status}. What is shown below is from before.`);
  if (number !== asking) return undefined; // a later one was asked for, after a change
  received = performance.now();
  const begun = performance.now();
  model.take(changes);
  every = model.facts.sample_seconds * 1000;
  document.querySelector("main").hidden = false;
  byId("trouble").hidden = true;
  show();
  lookAtAge();
  performance.clearMeasures("refresh");
  performance.measure("refresh", { start: begun });
  // A pool that has just come may be open.
  return openPools().some((name) => !model.details.has(name)) ? refresh() : undefined;
}

function trouble(text) {
  say(byId("trouble"), text);
  byId("trouble").hidden = false;
  lookAtAge();
}

// What is older than three intervals says nothing of now, and has no colour that would.
function lookAtAge() {
  const age = received ? performance.now() - received : 0;
  const stale = age > STALE * every;
  document.documentElement.classList.toggle("stale", stale);
  say(byId("freshness"), !received ? "" : age < 4000 ? "· live" : `· ${lasting(Math.round(age / 1000)).replace(".0", "")} old`);
  if (!stale) return;
  say(byId("health"), "not known");
  document.title = "Executors: no answer";
  if (byId("trouble").hidden) trouble("Nothing was heard of the server for a while. What is shown below is from before.");
}

// Resolves with what was wrong, empty if it was done.
async function act(change, wanted) {
  let text, failed = true;
  try {
    const answer = await fetch(new URL(`change/${change}`, here), {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/json" },
      body: JSON.stringify(wanted),
    });
    const document_ = await answer.json();
    failed = !answer.ok;
    text = failed ? document_.error : `Done: ${document_.done}`;
  } catch {
    text = "The server does not answer; nothing was changed.";
  }
  tell(text, failed);
  await refresh();
  return failed ? text : "";
}

let quiet;
function tell(text, failed) {
  const place = byId("said");
  place.className = `said shown ${failed ? "bad" : "good"}`;
  place.textContent = text;
  clearTimeout(quiet);
  quiet = setTimeout(() => place.classList.remove("shown"), failed ? 12000 : 5000);
}

// -- the page --------------------------------------------------------------------------------

function show() {
  if (!model.facts) return;
  const { server, changes, unused_pools: unused, processes, together } = model.facts, pools = [...model.pools.values()];
  const health = byId("health");
  const refusing = pools.some(refuses);
  say(health, !server.healthy ? "not healthy" : refusing ? "healthy, refuses calls" : "healthy");
  health.className = `pill ${!server.healthy ? "bad" : refusing ? "warn" : "good"}`;
  say(byId("server"), `${server.host}, process ${server.pid}, version ${server.version}, Python ${server.python} ${server.gil ? "with" : "without"} the GIL, up for ${lasting(model.now - server.started_at).replace(/\.\d s$/, " s")} since ${clock(server.started_at)}`);
  document.title = server.healthy ? "Executors" : "Executors: not healthy";
  showTotals(pools);
  showPools(pools);
  byId("unused").hidden = !unused.length;
  say(byId("unused"), `Not used yet: ${unused.join(", ")}`);
  showProcesses(processes, together);
  showJobs(model.facts);
  showRoutes([...model.routes.values()], page);
  showErrors([...model.errors.values()], model.tracebacks, Boolean(model.facts.job_counts), page);
  byId("no-changes").hidden = changes.length > 0;
  keep(byId("change-list"), changes, ({ at, what }) => `${at} ${what}`,
    ({ at, who, what }) => make("li", {}, make("time", {}, clock(at)), " ", make("b", {}, what), " ", make("span", { class: "quiet" }, `by ${who}`)), () => {});
}

function showTotals(pools) {
  const sum = (of) => pools.reduce((total, pool) => total + of(pool), 0);
  const errors = sum((pool) => pool.errors_per_second), refused = sum((pool) => pool.rejected_per_second);
  const facts = [
    ["Calls done", rate(sum((pool) => pool.completed_per_second)), ""],
    ["Running", count(sum(({ running }) => running)), ""],
    ["Waiting", count(sum(({ queued, waiting }) => queued + waiting)), ""],
    ["Workers", count(sum(({ workers }) => workers)), ""],
    ["Errors", rate(errors), errors ? "bad" : ""],
    ["Refused", rate(refused), refused ? "warn" : ""],
    ["Errors so far", count(sum(failures)), sum(failures) ? "bad" : ""],
    ["Refused so far", count(sum(({ rejected }) => rejected)), sum(({ rejected }) => rejected) ? "warn" : ""],
  ];
  keep(byId("totals"), facts, ([label]) => label,
    ([label]) => make("div", {}, make("dt", {}, label), make("dd")),
    (node, [, value, tone]) => { say(node.lastChild, value); node.lastChild.className = tone; });
}

// -- pools -----------------------------------------------------------------------------------

function remembered() {
  try {
    return JSON.parse(sessionStorage.getItem("pools") ?? "[]");
  } catch {
    return []; // a browser may keep nothing
  }
}

const isOpen = (name) => folds.get(name) ?? model.pools.size <= FEW;
const openPools = () => [...model.pools.keys()].filter(isOpen);

function showPools(pools) {
  const wanted = byId("pool-search").value.trim(), by = SORTS[byId("pool-sort").value];
  const found = pools.filter(({ key, kind, mode }) => matches(wanted, key, kind, mode));
  found.sort((one, other) => by(one) - by(other) || (one.key < other.key ? -1 : 1));
  byId("pool-tools").hidden = pools.length <= FEW;
  byId("pools").classList.toggle("lots", pools.length > FEW);
  say(byId("pool-count"), found.length === pools.length ? `${count(pools.length)} pools` : `${count(found.length)} of ${count(pools.length)} pools`);
  say(byId("fold-all"), pools.some(({ key }) => isOpen(key)) ? "Close all" : "Open all");
  const update = ifChanged(updatePool), later = [];
  keep(byId("pool-list"), found, ({ key }) => key, (pool) => createPool(pool, page), (node, pool) => {
    update(node, pool);
    foldPool(node, isOpen(pool.key));
    const details = model.details.get(pool.key);
    if (!node.open || !details) return;
    const inside = () => updateInside(node, pool, details, model.samples.get(pool.key) ?? [], model.now);
    if (node.isSeen) inside();
    else later.push(inside);
  });
  inTurns(later);
}

// Does what nobody sees yet piece by piece, so that the page is never busy for long.
let turn = 0;
function inTurns(work) {
  const mine = ++turn;
  const next = () => {
    if (mine !== turn || !work.length) return;
    work.shift()();
    setTimeout(next);
  };
  if (work.length) setTimeout(next);
}

function fold(...names) {
  const open = !isOpen(names[0]);
  for (const name of names) {
    folds.set(name, open);
    if (!open) model.close(name);
  }
  try {
    sessionStorage.setItem("pools", JSON.stringify([...folds]));
  } catch { /* it is forgotten with the page */ }
  show();
  if (open) refresh();
}

byId("pool-search").addEventListener("input", show);
byId("pool-sort").addEventListener("change", show);
byId("fold-all").addEventListener("click", () => {
  const open = openPools();
  if (open.length) fold(...open);
  else fold(...model.pools.keys());
});
listRoutes(page);
listErrors(page);

function openError(key, open) {
  if (open) openErrors.add(key);
  else openErrors.delete(key);
  if (open && !model.tracebacks.has(key)) refresh();
  else show();
}

// -- long jobs -------------------------------------------------------------------------------

function showJobs({ job_counts: counts, job_trouble: trouble, job_order: order }) {
  byId("jobs").hidden = !counts; // no long job was ever used
  if (!counts) return;
  byId("jobs-trouble").hidden = !trouble;
  say(byId("jobs-trouble"), trouble ?? "");
  say(byId("job-counts"), jobCounts(counts));
  const latest = order.map((id) => model.jobs.get(id)).filter(Boolean);
  document.querySelector("#jobs table").hidden = !latest.length;
  keep(byId("job-list"), latest, ({ id }) => id, (job) => createJob(job, askCancel), (row, job) => updateJob(row, job, model.now));
}

// -- dialogs ---------------------------------------------------------------------------------

function ask(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true }));
}

function put(dialog, name, text) {
  for (const node of dialog.querySelectorAll(`[data-field=${name}]`)) node.textContent = text;
}

async function askKill(pool, pid) {
  const worker = model.details.get(pool)?.worker_states.find((one) => one.pid === pid);
  const runs = worker?.route ?? worker?.function;
  const dialog = byId("kill");
  put(dialog, "pid", String(pid));
  put(dialog, "consequence", runs ? `It runs ${runs} of pool ${pool}. That call fails; another worker takes its place.` : `It belongs to pool ${pool} and runs nothing just now. Another worker takes its place when one is needed.`);
  if ((await ask(dialog)) === "kill") await act("kill", { pool, pid, confirm: true });
}

async function askCancel(job) {
  const dialog = byId("cancel");
  put(dialog, "job", job.id);
  put(dialog, "consequence", job.state === "running" ? `It runs ${job.what} in pool ${job.pool}. It is asked to end; a worker process that does not end it is killed.` : `It is ${job.what}, and waits for pool ${job.pool}. It will never begin.`);
  if ((await ask(dialog)) === "cancel") await act("cancel", { job: job.id, confirm: true });
}

async function edit(route) {
  const dialog = byId("edit");
  const form = dialog.querySelector("form");
  put(dialog, "path", route.key);
  const names = [...model.pools.keys(), ...model.facts.unused_pools].sort();
  form.elements.pool.replaceChildren(...(route.pool ? [] : [make("option", { value: "" }, "none: in the server")]),
    ...names.map((name) => make("option", { value: name, selected: name === route.pool }, name)));
  for (const option of ["timeout", "queue_timeout", "on_overload", "retries"]) form.elements[option].value = route.options[option] ?? "";
  const refused = dialog.querySelector("[data-part=refused]");
  refused.hidden = true;
  while ((await ask(dialog)) === "save") {
    const wanted = { route: route.key };
    if (form.elements.pool.value && form.elements.pool.value !== route.pool) wanted.pool = form.elements.pool.value;
    for (const option of ["timeout", "queue_timeout", "on_overload", "retries"]) {
      const text = form.elements[option].value;
      const value = text === "" ? null : option === "on_overload" ? text : Number(text);
      if (value !== (route.options[option] ?? null)) wanted[option] = value;
    }
    const wrong = Object.keys(wanted).length > 1 ? await act("route", wanted) : "";
    if (!wrong) return;
    // What was typed stays, to be put right.
    say(refused, wrong);
    refused.hidden = false;
  }
}

// -- time ------------------------------------------------------------------------------------

async function poll() {
  try {
    if (!document.hidden) await refresh();
  } finally {
    setTimeout(poll, every);
  }
}

setInterval(lookAtAge, 1000);
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
poll();
