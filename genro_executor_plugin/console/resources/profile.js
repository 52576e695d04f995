// The page that makes a profile of a route: it asks the server, shows the flame graph, and saves it.

import { showFlame } from "./flame.js";
import { byId, count, make, say } from "./view.js";

const here = new URL(location.origin + location.pathname);
const form = byId("ask"), { route, seconds, rate, start, stop } = form.elements;
let made = null, asking = null;

const wanted = () => decodeURIComponent(location.hash.slice(1));

async function answerTo(path, options) {
  const answer = await fetch(new URL(path, here), { headers: { accept: "application/json", "content-type": "application/json" }, cache: "no-store", ...options });
  const found = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(answer.status === 401 || answer.status === 403 ? "You have no access to this console any more." : String(found.error ?? found.detail ?? `The server answers ${answer.status}.`));
  return found;
}

function trouble(error) {
  say(byId("trouble"), error instanceof TypeError || error.name === "TimeoutError" ? "The server does not answer." : error.message);
  byId("trouble").hidden = false;
}

async function showRoutes() {
  try {
    const { routes } = await answerTo("snapshot", { signal: AbortSignal.timeout(15000) });
    const paths = routes.filter((one) => one.pool && one.offloaded).map((one) => one.path).sort();
    route.replaceChildren(...paths.map((path) => make("option", { value: path }, path)));
    if (paths.includes(wanted())) route.value = wanted();
    if (!paths.length) say(byId("said"), "No route runs in a pool.");
  } catch (error) {
    trouble(error);
  }
}

async function profile() {
  const asked = { route: route.value, seconds: Number(seconds.value), rate: Number(rate.value) }, began = performance.now();
  asking = new AbortController();
  byId("trouble").hidden = true;
  [start.disabled, stop.hidden] = [true, false];
  const tick = () => say(byId("said"), `Samples are taken for ${Math.max(0, Math.ceil(asked.seconds - (performance.now() - began) / 1000))} s more.`);
  const limit = setTimeout(() => asking.abort(new DOMException("", "TimeoutError")), asked.seconds * 1000 + 30000);
  const ticking = setInterval(tick, 1000);
  tick();
  try {
    show((await answerTo("change/profile", { method: "POST", body: JSON.stringify(asked), signal: asking.signal })).profile);
    say(byId("said"), "");
  } catch (error) {
    say(byId("said"), error.name === "AbortError" ? "It was stopped." : "");
    if (error.name !== "AbortError") trouble(error);
  } finally {
    clearInterval(ticking);
    clearTimeout(limit);
    [start.disabled, stop.hidden] = [false, true];
  }
}

function show(profile) {
  made = profile;
  const samples = profile.processes.reduce((sum, one) => sum + one.samples, 0), missed = profile.processes.reduce((sum, one) => sum + one.missed, 0);
  say(byId("made-title"), `${profile.route}, pool ${profile.pool}: ${count(samples)} samples in ${profile.seconds} s`);
  const notes = profile.processes.filter((one) => one.why_not).map((one) => `Process ${one.pid} has no samples: ${one.why_not}.`);
  if (missed) notes.push(`${count(missed)} looks were late, because native code kept the interpreter or looking would have taken too much of a processor; the next one counts for their time.`);
  if (!samples) notes.unshift("No call of the route ran meanwhile.");
  byId("notes").replaceChildren(...notes.map((note) => make("li", {}, note)));
  for (const name of ["save-page", "save-file", "flame"]) byId(name).hidden = !samples;
  showFlame(byId("flame"), profile.speedscope);
  byId("made").hidden = false;
}

async function save(name, type, text) {
  const link = make("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

const fileName = (ending) => `profile-${made.route.replace(/[^A-Za-z0-9_.-]+/g, "-")}.${ending}`;

// As the command line does it: the page has everything in it.
async function page() {
  const read = async (name) => (await fetch(new URL(`static/${name}`, here))).text();
  const [whole, css, js] = await Promise.all(["flame.html", "flame.css", "flame.js"].map(read));
  const data = JSON.stringify(made.speedscope).replaceAll("<", "\\u003c");
  return whole.replace("/* flame.css */", () => css).replace("/* flame.js */", () => js).replace("null /* profile */", () => data);
}

form.addEventListener("submit", (event) => { event.preventDefault(); profile(); });
stop.addEventListener("click", () => asking?.abort());
addEventListener("hashchange", () => { if ([...route.options].some((one) => one.value === wanted())) route.value = wanted(); });
byId("save-file").addEventListener("click", () => save(fileName("json"), "application/json", JSON.stringify(made.speedscope)));
byId("save-page").addEventListener("click", async () => { try { await save(fileName("html"), "text/html", await page()); } catch (error) { trouble(error); } });
showRoutes();
