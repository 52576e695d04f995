// Asks for the snapshot every few seconds, shows it, and posts what the person wants changed.

import { showProcesses } from "./processes.js";
import { showStacks } from "./stacks.js";
import { createJob, jobCounts, updateJob } from "./jobs.js";
import {
  byId, clock, count, createError, createPool, createRoute, errorKey, failures, keep, lasting, make, rate, refuses,
  say, updateError, updatePool, updateRoute,
} from "./view.js";

// Without the name and password a person may have written into the address: fetch refuses those.
const here = new URL(location.origin + location.pathname);

// After how many intervals without an answer what is shown is old.
const STALE = 3;

let shown;
let received = 0;
let every = 2000;
let asking = 0;

// -- the server ------------------------------------------------------------------------------

// It never throws: what goes wrong is shown, and asked again.
async function refresh() {
  const number = ++asking;
  let answer, snapshot;
  try {
    // An answer that does not come to its end is given up: the next one may.
    const signal = AbortSignal.timeout(Math.max(5000, STALE * every));
    answer = await fetch(new URL("snapshot", here), { headers: { accept: "application/json" }, cache: "no-store", signal });
    if (answer.ok) snapshot = await answer.json();
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
  every = snapshot.sample_seconds * 1000;
  document.querySelector("main").hidden = false;
  byId("trouble").hidden = true;
  show(snapshot);
  lookAtAge();
  return undefined;
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

function show(snapshot) {
  shown = snapshot;
  const { server, pools, routes, errors, changes } = snapshot;
  const health = byId("health");
  const refusing = pools.some(refuses);
  say(health, !server.healthy ? "not healthy" : refusing ? "healthy, refuses calls" : "healthy");
  health.className = `pill ${!server.healthy ? "bad" : refusing ? "warn" : "good"}`;
  say(byId("server"), `${server.host}, process ${server.pid}, version ${server.version}, up for ${lasting(snapshot.now - server.started_at).replace(/\.\d s$/, " s")} since ${clock(server.started_at)}`);
  document.title = server.healthy ? "Executors" : "Executors: not healthy";
  showTotals(pools);
  keep(byId("pool-list"), pools, ({ name }) => name, (pool) => createPool(pool, act),
    (node, pool) => updatePool(node, pool, snapshot.now, act, askKill, showStacks));
  const unused = byId("unused");
  unused.hidden = !snapshot.unused_pools.length;
  say(unused, `Not used yet: ${snapshot.unused_pools.join(", ")}`);
  showProcesses(snapshot.processes, snapshot.together);
  showJobs(snapshot.long_jobs);
  const offloaded = routes.filter(({ pool }) => pool);
  const here = routes.filter(({ pool }) => !pool);
  byId("no-routes").hidden = offloaded.length > 0;
  document.querySelector("#routes table").hidden = !offloaded.length;
  keep(byId("route-list"), offloaded, ({ path }) => path, (route) => createRoute(route, act, edit), updateRoute);
  showInServer(here);
  byId("no-errors").hidden = errors.length > 0;
  keep(byId("error-list"), errors, errorKey, createError, updateError);
  byId("no-changes").hidden = changes.length > 0;
  keep(byId("change-list"), changes, ({ at, what }) => `${at} ${what}`,
    ({ at, who, what }) => make("li", {}, make("time", {}, clock(at)), " ", make("b", {}, what), " ", make("span", { class: "quiet" }, `by ${who}`)), () => {});
}

function showTotals(pools) {
  const sum = (of) => pools.reduce((total, pool) => total + of(pool), 0);
  const last = (pool, key) => pool.history.at(-1)?.[key] ?? 0;
  const facts = [
    ["Calls done", rate(sum((pool) => last(pool, "completed_per_second"))), ""],
    ["Running", count(sum(({ running }) => running)), ""],
    ["Waiting", count(sum(({ queued }) => queued)), ""],
    ["Workers", count(sum(({ workers }) => workers)), ""],
    ["Errors", rate(sum((pool) => last(pool, "errors_per_second"))), sum((pool) => last(pool, "errors_per_second")) ? "bad" : ""],
    ["Refused", rate(sum((pool) => last(pool, "rejected_per_second"))), sum((pool) => last(pool, "rejected_per_second")) ? "warn" : ""],
    ["Errors so far", count(sum(failures)), sum(failures) ? "bad" : ""],
    ["Refused so far", count(sum(({ rejected }) => rejected)), sum(({ rejected }) => rejected) ? "warn" : ""],
  ];
  keep(byId("totals"), facts, ([label]) => label,
    ([label]) => make("div", {}, make("dt", {}, label), make("dd")),
    (node, [, value, tone]) => { say(node.lastChild, value); node.lastChild.className = tone; });
}

function showJobs(jobs) {
  byId("jobs").hidden = !jobs; // no long job was ever used
  if (!jobs) return;
  byId("jobs-trouble").hidden = !jobs.trouble;
  say(byId("jobs-trouble"), jobs.trouble ?? "");
  say(byId("job-counts"), jobCounts(jobs.counts));
  document.querySelector("#jobs table").hidden = !jobs.latest.length;
  keep(byId("job-list"), jobs.latest, ({ id }) => id, (job) => createJob(job, askCancel), updateJob);
}

function showInServer(routes) {
  const details = byId("in-server");
  details.hidden = !routes.length;
  say(details.querySelector("summary"), `${count(routes.length)} ${routes.length === 1 ? "route runs" : "routes run"} in the server`);
  keep(details.querySelector("ul"), routes, ({ path }) => path,
    (route) => make("li", { class: "mono" }, route.path, " ",
      make("button", { type: "button", class: "small", "aria-label": `Change ${route.path}`, onclick: () => edit(route) }, "Change…")), () => {});
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
  const worker = shown.pools.find(({ name }) => name === pool)?.worker_states.find((one) => one.pid === pid);
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
  put(dialog, "path", route.path);
  const names = [...shown.pools.map(({ name }) => name), ...shown.unused_pools].sort();
  form.elements.pool.replaceChildren(...(route.pool ? [] : [make("option", { value: "" }, "none: in the server")]),
    ...names.map((name) => make("option", { value: name, selected: name === route.pool }, name)));
  for (const option of ["timeout", "queue_timeout", "on_overload", "retries"]) form.elements[option].value = route.options[option] ?? "";
  const refused = dialog.querySelector("[data-part=refused]");
  refused.hidden = true;
  while ((await ask(dialog)) === "save") {
    const wanted = { route: route.path };
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
