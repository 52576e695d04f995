// The list of long jobs and the page of each: what is shown is what the URL of the page names.

import { byId, clock, count, keep, lasting, make, say } from "./view.js";
import { TONES } from "./jobs.js";

const here = new URL(location.origin + location.pathname);
const FILTERS = ["search", "route", "pool", "submitter", "since", "until"];
const FIELDS = [...FILTERS, "state", "seen", "sort", "order", "after"];
const TABS = [["", "All"], ["failed,lost", "Wait for somebody", "no"], ["failed,lost", "Failed"], ["running", "Running"], ["queued", "Queued"], ["succeeded", "Succeeded"], ["cancelled", "Cancelled"]];
const FAILED = { failed: true, lost: true };
const EVERY = 5000;

// What can be done: its name here, which jobs it is for, what it is called when it is asked, and what follows.
const ACTIONS = {
  retry: ["Run again", (job) => job.can_be_repeated, "Run again", "What they raised or returned is forgotten; they run again under their ids and their keys."],
  again: ["Run as new", (job) => job.can_be_repeated, "Run as new jobs", "Their calls run as new jobs of the same submitters, with new ids."],
  cancel: ["Cancel", (job) => !job.ended_at, "Cancel", "Those that wait never begin. Those that run are asked to end; a worker process that does not end one is killed."],
  seen: ["Mark as seen", (job) => job.state in FAILED && !job.seen_at, "Mark as seen", "They stay as they are, and wait for nobody any more. It is noted that you have seen them."],
  unseen: ["Not seen", (job) => job.state in FAILED && job.seen_at, "Mark as not seen", "They wait for somebody again."],
  forget: ["Delete", (job) => job.ended_at, "Delete", "They are gone then, with their results, failures and arguments."],
};

let asking = 0;
let pending = 0; // what is asked and not answered yet: nothing is asked by itself meanwhile
let matches = 0;
let unseen = 0;
let following = "";
const before = []; // where the pages before this one began
const chosen = new Set();
let shown = [];

const query = () => {
  const found = new URLSearchParams();
  for (const [name, value] of new URLSearchParams(location.search)) if (FIELDS.includes(name) && value) found.set(name, value);
  return found;
};
const wantedJob = () => new URLSearchParams(location.search).get("job");

// -- the server ------------------------------------------------------------------------------

async function get(path) {
  const answer = await fetch(new URL(path, here), { headers: { accept: "application/json" }, cache: "no-store", signal: AbortSignal.timeout(15000) });
  const found = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(answer.status === 401 || answer.status === 403 ? "You have no access to this console any more." : String(found.error ?? `The server answers ${answer.status}.`));
  return found;
}

async function refresh() {
  const number = ++asking, job = wantedJob();
  pending += 1;
  try {
    const found = await get(job ? `jobs/show/${encodeURIComponent(job)}` : `jobs/list?${query()}`);
    if (number !== asking) return;
    byId("trouble").hidden = true;
    say(byId("freshness"), clock(Date.now() / 1000));
    if (job) showOne(found);
    else showList(found);
  } catch (error) {
    if (number !== asking) return;
    const text = error instanceof TypeError || error.name === "TimeoutError" ? "The server does not answer. What is shown is from before." : error.message;
    say(byId("trouble"), text);
    byId("trouble").hidden = false;
  } finally {
    pending -= 1;
  }
}

async function post(wanted) {
  const answer = await fetch(new URL("change/jobs", here), {
    method: "POST", headers: { "content-type": "application/json", accept: "application/json" }, body: JSON.stringify(wanted),
  });
  const found = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(String(found.error ?? `The server answers ${answer.status}.`));
  return found;
}

// -- doing something -------------------------------------------------------------------------

let quiet;
function tell(text, failed) {
  const place = byId("said");
  place.className = `said shown ${failed ? "bad" : "good"}`;
  place.textContent = text;
  clearTimeout(quiet);
  quiet = setTimeout(() => place.classList.remove("shown"), failed ? 12000 : 5000);
}

function sure(title, consequence, label) {
  const dialog = byId("sure");
  say(byId("sure-title"), title);
  say(dialog.querySelector("[data-part=consequence]"), consequence);
  say(dialog.querySelector("[data-part=do]"), label);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "do"), { once: true }));
}

const jobsOf = (number) => `${count(number)} ${number === 1 ? "job" : "jobs"}`;

async function act(action, which) {
  const [, , label, consequence] = ACTIONS[action];
  try {
    const asked = { action, ...which };
    const number = (await post(asked)).count;
    if (!number) return tell("There is no job to which that can be done.", true);
    if (!(await sure(`${label}: ${jobsOf(number)}?`, consequence, label))) return undefined;
    let done = [], refused = {}, after = "";
    do {
      const step = await post({ ...asked, after, confirm: true });
      done = done.concat(step.done);
      refused = { ...refused, ...step.refused };
      after = step.next;
      tell(`${label}: ${jobsOf(done.length)} done …`, false);
    } while (after);
    const reasons = Object.values(refused);
    tell(`${label}: ${jobsOf(done.length)} done${reasons.length ? `, refused for ${count(reasons.length)}: ${reasons[0]}` : ""}`, reasons.length > 0);
    chosen.clear();
    if (wantedJob() && done.length && (action === "forget" || action === "again")) go(action === "again" ? `?job=${encodeURIComponent(done[0])}` : "");
  } catch (error) {
    tell(error instanceof TypeError ? "The server does not answer." : error.message, true);
  }
  return refresh();
}

function buttons(place, which) {
  for (const [action, [label]] of Object.entries(ACTIONS)) {
    place.append(make("button", { type: "button", "data-action": action, onclick: () => act(action, which()) }, `${label}…`));
  }
}

// -- the list --------------------------------------------------------------------------------

// What a job says may hold characters that turn the direction of what is read.
const plain = (text) => String(text).replace(/[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
const took = (job) => (job.started_at == null ? null : Math.max(0, (job.ended_at ?? Date.now() / 1000) - job.started_at));
const percent = (fraction) => Math.round(Math.min(1, Math.max(0, fraction)) * 100);

function stateOf(node, job) {
  say(node, job.cancel_requested && !job.ended_at ? "asked to end" : job.seen_at ? `${job.state}, seen` : job.state);
  node.className = `pill ${TONES[job.state] ?? ""}`;
}

function createRow(job) {
  const cell = (label, name, extra = "") => make("td", { role: "cell", "data-label": label, "data-cell": name, class: extra });
  const link = `?job=${encodeURIComponent(job.id)}`;
  return make("tr", { role: "row", "data-job": job.id },
    make("td", { role: "cell", class: "choose" }, make("input", { type: "checkbox", "aria-label": `Choose job ${job.id}`, onchange: (event) => { if (event.target.checked) chosen.add(job.id); else chosen.delete(job.id); showChosen(); } })),
    make("th", { role: "rowheader", scope: "row", "data-label": "Job" },
      make("a", { class: "mono", href: link, onclick: (event) => { if (event.ctrlKey || event.metaKey || event.shiftKey) return; event.preventDefault(); go(link); } }, job.what),
      make("span", { class: "quiet mono job-id" }, job.id)),
    make("td", { role: "cell", "data-label": "State" }, make("span", { "data-cell": "state" })),
    cell("Submitter", "submitter"), cell("Submitted", "submitted"), cell("Took", "took", "number"), cell("Attempts", "attempts", "number"), cell("", "says", "says"));
}

function updateRow(row, job) {
  const put = (name, text) => say(row.querySelector(`[data-cell=${name}]`), text);
  row.querySelector("input").checked = chosen.has(job.id);
  stateOf(row.querySelector("[data-cell=state]"), job);
  put("submitter", plain(job.submitter || "–"));
  put("submitted", clock(job.submitted_at));
  put("took", took(job) == null ? "–" : lasting(took(job)));
  put("attempts", count(job.attempts));
  const progress = job.ended_at ? "" : [job.fraction == null ? "" : `${percent(job.fraction)} %`, job.message].filter(Boolean).join(" · ");
  put("says", plain(progress || (job.error ? `${job.error.type}: ${job.error.message}` : "")));
}

function showList(found) {
  byId("one").hidden = true;
  byId("list").hidden = false;
  document.title = "Long jobs";
  shown = found.jobs;
  following = found.next;
  unseen = found.unseen;
  if (found.count != null) matches = found.count;
  say(byId("count"), matches ? `${jobsOf(matches)} ${matches === 1 ? "matches" : "match"}` : "No job matches.");
  keep(byId("job-list"), shown, ({ id }) => id, createRow, updateRow);
  byId("on").disabled = !following;
  byId("back").disabled = !query().get("after");
  byId("json").href = `jobs/list?${query()}`;
  showTabs();
  showChosen();
}

function showTabs() {
  const state = query().get("state") ?? "", mark = query().get("seen") ?? "";
  keep(byId("tabs"), TABS, ([, label]) => label,
    ([value, label, seen = ""]) => make("a", { href: value ? `?state=${value}${seen && `&seen=${seen}`}` : "jobs", onclick: (event) => { event.preventDefault(); find({ state: value, seen }); } }, label),
    (node, [value, label, seen = ""]) => {
      say(node, seen && unseen ? `${label} (${count(unseen)})` : label);
      if (value === state && seen === mark) node.setAttribute("aria-current", "page");
      else node.removeAttribute("aria-current");
    });
}

function showChosen() {
  say(byId("chosen"), `${count(chosen.size)} chosen`);
  say(byId("matching"), `all ${count(matches)} that match`);
  byId("all-here").checked = shown.length > 0 && shown.every(({ id }) => chosen.has(id));
  const all = document.querySelector("[name=which][value=matching]").checked;
  for (const button of byId("actions").children) button.disabled = all ? !matches : !chosen.size;
}

function whichOfList() {
  if (!document.querySelector("[name=which][value=matching]").checked) return { jobs: [...chosen].slice(0, 100) };
  const matching = {};
  for (const [name, value] of query()) if (FILTERS.includes(name) || name === "state" || name === "seen") matching[name] = value;
  return { matching };
}

// -- one job ---------------------------------------------------------------------------------

let current;
function showOne(job) {
  current = job;
  byId("list").hidden = true;
  byId("one").hidden = false;
  document.title = `${job.state}: ${job.title}`;
  byId("json").href = `jobs/show/${encodeURIComponent(job.task_id)}`;
  say(byId("one-title"), job.title);
  stateOf(byId("one-state"), job);
  const progress = job.progress, known = progress?.fraction != null;
  say(byId("one-progress"), plain(progress ? [known ? `${percent(progress.fraction)} %` : "", progress.message].filter(Boolean).join(" · ") : ""));
  const bar = byId("one-bar");
  bar.hidden = !known;
  if (known) {
    bar.setAttribute("aria-valuenow", percent(progress.fraction));
    bar.firstChild.style.width = `${percent(progress.fraction)}%`;
  }
  const moment = (at) => (at == null ? "–" : clock(at));
  const facts = [
    ["id", job.task_id], ["pool", job.pool], ["submitter", job.submitter || "–"], ["submitted", moment(job.submitted_at)], ["not before", moment(job.eta)],
    ["started", moment(job.started_at)], ["ended", moment(job.ended_at)], ["took", took(job) == null ? "–" : lasting(took(job))],
    ["attempts", `${count(job.attempts)} of ${count(job.retries + 1)}`], ["priority", String(job.priority)], ["timeout", job.timeout == null ? "as its pool" : lasting(job.timeout)],
    ["kept until", job.ended_at == null ? "–" : moment(job.ended_at + job.keep)], ["run again", job.can_be_repeated ? "possible" : "not possible"],
  ];
  if (job.seen_at) facts.push(["seen", `${moment(job.seen_at)} by ${job.seen_by}`]);
  if (progress && Object.keys(progress.data ?? {}).length) facts.push(["reported", JSON.stringify(progress.data).slice(0, 2000)]);
  if (job.arguments_trouble) facts.push(["arguments", job.arguments_trouble]);
  pairs(byId("one-facts"), facts);
  byId("one-arguments").hidden = !job.arguments;
  pairs(byId("one-arguments").lastElementChild, (job.arguments ?? []).length ? job.arguments : [["none", ""]]);
  byId("one-runs").hidden = !(job.runs ?? []).length;
  keep(byId("one-runs").querySelector("tbody"), [...(job.runs ?? [])].reverse(), ({ number }) => String(number), createRun, updateRun);
  if (byId("one-log").open) log();
  const failure = job.failure;
  byId("one-failure").hidden = !failure;
  say(byId("one-failure").querySelector(".reason"), plain(failure ? `${failure.type_name}: ${failure.message}` : ""));
  const traceback = byId("one-failure").querySelector("pre"), text = plain(failure?.traceback ?? "");
  traceback.hidden = !text;
  if (traceback.textContent !== text) {
    traceback.textContent = text;
    traceback.scrollTop = traceback.scrollHeight; // where it was raised
  }
  if (byId("one-stacks").dataset.job !== job.task_id) document.querySelector("#one-stacks [data-part=calls]").replaceChildren();
  byId("one-stacks").dataset.job = job.task_id;
  byId("one-stacks").hidden = job.state !== "running";
  for (const button of byId("one-actions").children) button.hidden = !ACTIONS[button.dataset.action][1](job);
}

// Asked for while it is open: it may be long.
async function log() {
  const place = byId("one-log"), wanted = current.task_id, least = Number(byId("log-level").value);
  let told = "", text = "";
  try {
    const { lines, missing } = await get(`jobs/log/${encodeURIComponent(wanted)}`);
    const shown = lines.filter(({ level }) => level >= least);
    told = [shown.length ? "" : "No line is kept.", missing ? `${count(missing)} earlier lines are not kept.` : ""].filter(Boolean).join(" ");
    text = shown.map((line) => `${clock(line.at)} ${line.level_name} ${line.logger}: ${line.text}`).join("\n");
  } catch (error) {
    told = error instanceof TypeError ? "The server does not answer." : error.message;
  }
  if (wanted !== wantedJob()) return;
  say(place.querySelector("[data-part=told]"), told);
  const lines = place.querySelector("pre");
  lines.hidden = !text;
  if (lines.textContent === plain(text)) return;
  lines.textContent = plain(text);
  lines.scrollTop = lines.scrollHeight;
}

function createRun(run) {
  const cell = (label, name, extra = "") => make("td", { role: "cell", "data-label": label, "data-cell": name, class: extra });
  return make("tr", { role: "row" }, make("th", { role: "rowheader", scope: "row", "data-label": "Attempt" }, String(run.number)),
    cell("Began", "began"), cell("Took", "took", "number"), make("td", { role: "cell", "data-label": "Ended as" }, make("span", { "data-cell": "as" })), cell("Where", "where"),
    make("td", { role: "cell", "data-label": "What it says", class: "says" }, make("details", {}, make("summary", {}), make("pre", { tabindex: 0, role: "group", "aria-label": `Remote traceback of attempt ${run.number}` }))));
}

function updateRun(row, run) {
  const put = (name, text) => say(row.querySelector(`[data-cell=${name}]`), text);
  put("began", run.began_at == null ? "–" : clock(run.began_at));
  put("took", run.began_at == null ? "–" : lasting(Math.max(0, (run.ended_at ?? Date.now() / 1000) - run.began_at)));
  put("as", run.ended_as);
  row.querySelector("[data-cell=as]").className = `pill ${TONES[run.ended_as] ?? "warn"}`;
  put("where", plain([run.agent && `agent ${run.agent}`, run.pid && `process ${run.pid}`].filter(Boolean).join(", ") || "–"));
  const { failure } = run, details = row.querySelector("details");
  details.hidden = !failure;
  say(details.querySelector("summary"), plain(failure ? `${failure.type_name}: ${failure.message}`.split("\n")[0].slice(0, 300) : ""));
  say(details.querySelector("pre"), plain(failure?.traceback ?? ""));
}

// Asked when a person wants to know, and not before. A process does not know which job a call is of.
async function where() {
  const place = document.querySelector("#one-stacks [data-part=calls]"), job = current;
  let parts;
  try {
    const { calls } = await get("stacks");
    const found = calls.filter((call) => call.pool === job.pool && (call.route ?? call.function) === job.title);
    parts = found.map((call) => make("div", {}, make("p", { class: "quiet" }, `process ${call.pid}, for ${lasting(call.running_seconds)}; the most recent call is the last one`), make("pre", { tabindex: 0 }, call.stack)));
    if (!found.length) parts = [make("p", { class: "quiet" }, "No such call runs in this process now.")];
  } catch (error) {
    parts = [make("p", { class: "reason" }, error instanceof TypeError ? "The server does not answer." : error.message)];
  }
  if (job.task_id === wantedJob()) place.replaceChildren(...parts);
}

function pairs(place, facts) {
  keep(place, facts, ([name]) => name, ([name]) => make("div", {}, make("dt", {}, name), make("dd")), (node, [, value]) => say(node.lastChild, plain(value)));
}

// -- the URL ---------------------------------------------------------------------------------

function go(search) {
  history.pushState(null, "", `${here.pathname}${search}`);
  arrive();
}

function find(changes) {
  const wanted = query();
  for (const [name, value] of Object.entries(changes)) {
    if (value) wanted.set(name, value);
    else wanted.delete(name);
  }
  if (!("after" in changes)) {
    wanted.delete("after");
    before.length = 0;
  }
  chosen.clear();
  const text = String(wanted);
  go(text && `?${text}`);
}

const local = (seconds) => { // as an input for a local date and time has it
  const moment = new Date(seconds * 1000);
  return Number.isNaN(moment.getTime()) ? "" : new Date(moment - moment.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
};

function arrive() {
  const form = byId("filters"), wanted = query();
  for (const name of [...FILTERS, "sort", "order"]) {
    const value = wanted.get(name) ?? { sort: "submitted", order: "desc" }[name] ?? "";
    form.elements[name].value = form.elements[name].type === "datetime-local" && value ? local(Number(value)) : value;
  }
  refresh();
}

byId("filters").addEventListener("submit", (event) => {
  event.preventDefault();
  const changes = {};
  for (const name of [...FILTERS, "sort", "order"]) {
    const field = event.target.elements[name];
    changes[name] = field.type === "datetime-local" ? (field.value ? String(new Date(field.value).getTime() / 1000) : "") : field.value;
  }
  find(changes);
});
byId("filters").addEventListener("reset", (event) => { event.preventDefault(); before.length = 0; chosen.clear(); go(""); });
byId("on").addEventListener("click", () => { before.push(query().get("after") ?? ""); find({ after: following }); });
byId("back").addEventListener("click", () => find({ after: before.pop() ?? "" }));
byId("all-here").addEventListener("change", (event) => {
  for (const { id } of shown) if (event.target.checked) chosen.add(id); else chosen.delete(id);
  keep(byId("job-list"), shown, ({ id }) => id, createRow, updateRow);
  showChosen();
});
for (const radio of document.querySelectorAll("[name=which]")) radio.addEventListener("change", showChosen);
byId("to-list").addEventListener("click", (event) => { event.preventDefault(); go(""); });
byId("where").addEventListener("click", where);
byId("one-log").addEventListener("toggle", () => { if (byId("one-log").open) log(); });
byId("log-level").addEventListener("change", log);
buttons(byId("actions"), whichOfList);
buttons(byId("one-actions"), () => ({ jobs: [current.task_id] }));
addEventListener("popstate", arrive);
document.addEventListener("visibilitychange", () => { if (!document.hidden && !pending) refresh(); });
setInterval(() => { if (!document.hidden && !pending && !byId("sure").open && !(wantedJob() && current?.ended_at)) refresh(); }, EVERY);
arrive();
