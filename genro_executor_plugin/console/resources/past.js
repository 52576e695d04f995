// The history: what a pool, or all of them, did in the last minutes, hours or days, with the moments
// at which something happened to the server. It is asked for only while it is open and visible.

import { Plot, WIDTH, shape } from "./plots.js";
import { byId, clock, count, keep, make, ms, rate, say } from "./view.js";

// It is written twice a minute; a point of a long range takes longer.
const pause = () => Math.max(30, (shown?.step ?? 0) / 2) * 1000;
const MOST_MARKS = 30;

const LETTER = { start: "S", end: "E", change: "C", crash: "X" };
const TONE = { start: "good", end: "", change: "", crash: "bad" };
const COLUMNS = [
  ["completed_per_second", "Done", rate], ["errors_per_second", "Errors", rate], ["rejected_per_second", "Refused", rate],
  ["run_p50_ms", "Run p50", ms], ["run_p95_ms", "Run p95", ms], ["wait_p95_ms", "Queue p95", ms],
  ["busy", "Busy", (value) => String(Math.round(value * 100) / 100)], ["queued_most", "Waited at most", count],
];

const here = new URL(location.origin + location.pathname);
const section = byId("past");
const details = section.querySelector("details");
const form = section.querySelector("form");
const part = (name) => section.querySelector(`[data-part=${name}]`);

// A moment without its seconds, and with its day where that is not today's.
const moment = (at) => clock(at).replace(/:\d\d$/, "");

class PastPlot extends Plot {
  constructor(title, series, format) {
    super(title, series, format, 0);
    this.marks = [];
  }

  show(samples, marks, since, until) {
    this.samples = samples;
    this.marks = marks;
    this.now = until;
    this.seconds = until - since;
    this.draw();
  }

  ends() { return [moment(this.now - this.seconds), moment(this.now)]; }

  drawBehind(top, floor) {
    let last = -100;
    for (const { at, kind, what } of this.marks) {
      const x = this.x(at);
      // Of several that would lie on each other, the first one has a letter.
      const line = shape("line", { x1: x, x2: x, y1: top, y2: floor, class: `mark is-${kind}` }, this.svg);
      shape("title", {}, line).textContent = `${moment(at)} ${what}`;
      if (x - last < 7) continue;
      last = x;
      const left = x > WIDTH - 10;
      shape("text", { x: left ? x - 8 : x + 1.5, y: top + 6, class: `mark is-${kind}` }, this.svg).textContent = LETTER[kind] ?? "";
    }
  }

  draw() {
    super.draw();
    if (!this.pointed) return;
    const x = Math.max(70, Math.min(this.x(this.pointed), WIDTH - 50));
    shape("text", { x, y: 4, class: "pointed" }, this.svg).textContent = moment(this.pointed);
  }

  words(samples) {
    const told = this.series.map(({ key, label }) => {
      const values = samples.map((one) => one[key]).filter((value) => value != null);
      return values.length ? `${label}: at most ${this.format(Math.max(...values))}` : `${label}: nothing`;
    });
    return `${this.title} from ${this.ends().join(" to ")}. ${told.join("; ")}.`;
  }
}

const plots = [
  new PastPlot("Throughput", [{ key: "completed_per_second", label: "done", kind: "area", tone: "one" }, { key: "errors_per_second", label: "errors", kind: "line", tone: "alarm", rare: true }, { key: "rejected_per_second", label: "refused", kind: "line", tone: "three", rare: true }], rate),
  new PastPlot("Run and queue time", [{ key: "run_p95_ms", label: "p95", kind: "area", tone: "two" }, { key: "run_p50_ms", label: "p50", kind: "line", tone: "one" }, { key: "wait_p95_ms", label: "queue p95", kind: "line", tone: "three" }], ms),
  new PastPlot("Load", [{ key: "queued_most", label: "waiting at most", kind: "area", tone: "three" }, { key: "busy", label: "busy", kind: "line", tone: "one" }], (value) => String(Math.round(value * 10) / 10)),
];
part("plots").append(...plots.map(({ node }) => node));

// -- asking ----------------------------------------------------------------------------------

let asking = 0;
let shown;

async function refresh() {
  if (!details.open || document.hidden) return;
  const number = ++asking;
  const url = new URL("history", here);
  url.searchParams.set("range", form.elements.range.value);
  if (form.elements.pool.value) url.searchParams.set("pool", form.elements.pool.value);
  else url.searchParams.set("together", "yes");
  let answer, found;
  try {
    answer = await fetch(url, { headers: { accept: "application/json" }, cache: "no-store", signal: AbortSignal.timeout(20000) });
    found = await answer.json();
  } catch {
    if (number === asking) trouble("The server does not answer. What is shown is from before.");
    return;
  }
  if (number !== asking) return; // another range was chosen meanwhile
  if (!answer.ok) return trouble(found.error ?? `The server answers ${answer.status}.`);
  trouble(found.trouble);
  show(found);
}

function trouble(text) {
  part("trouble").hidden = !text;
  say(part("trouble"), text);
}

// -- what is shown ---------------------------------------------------------------------------

function show(found) {
  shown = found;
  const { since, until, step, at, series: [only], markers } = found;
  const samples = at.map((begin, place) => {
    const sample = { at: Math.max(since, Math.min(begin + step / 2, until)) };
    for (const [key] of COLUMNS) sample[key] = only?.points[key][place] ?? null;
    return sample;
  });
  for (const plot of plots) plot.show(samples, markers, since, until);
  say(part("says"), only ? told(only.totals, step) : "Nothing was written of this time.");
  showPools(found.pools);
  const older = Math.max(0, markers.length - MOST_MARKS) + found.markers_left_out;
  part("no-marks").hidden = markers.length > 0 && !older;
  say(part("no-marks"), older ? `The newest ${count(MOST_MARKS)} of ${count(older + MOST_MARKS)}.` : "None in this time.");
  keep(part("marks"), markers.slice(-MOST_MARKS).reverse(), ({ at: when, kind, what }) => `${when} ${kind} ${what}`,
    (mark) => make("li", {}, make("time", {}, clock(mark.at)), make("span", { class: `pill ${TONE[mark.kind] ?? ""}` }, mark.kind), make("span", {}, mark.what), make("span", { class: "quiet" }, mark.who && `by ${mark.who}`)), () => {});
  showFigures();
}

function told({ completed, failed, timed_out: late, crashed, rejected, cancelled }, step) {
  const others = [[failed, "failed"], [late, "timed out"], [crashed, "crashed"], [rejected, "refused"], [cancelled, "cancelled"]];
  return [`${count(completed)} calls completed`, ...others.filter(([number]) => number).map(([number, how]) => `${count(number)} ${how}`)].join(", ")
    + `. Each point stands for ${step / 60} min.`;
}

function showPools(names) {
  const choice = form.elements.pool;
  const known = [...choice.options].slice(1).map(({ value }) => value);
  if (known.join("\n") === names.join("\n")) return;
  const chosen = choice.value;
  const wanted = chosen && !names.includes(chosen) ? [...names, chosen] : names;
  choice.replaceChildren(choice.options[0], ...wanted.map((name) => make("option", { value: name }, name)));
  choice.value = chosen;
}

// It has hundreds of rows, so it is made only where somebody reads it.
function showFigures() {
  const place = part("figures");
  place.querySelector("div")?.remove();
  if (!place.open || !shown) return;
  const [only] = shown.series;
  const rows = shown.at.map((begin, index) => [begin, COLUMNS.map(([key, , format]) => {
    const value = only?.points[key][index];
    return value == null ? "–" : format(value);
  })]).reverse();
  place.append(make("div", { class: "figures", tabindex: 0, role: "region", "aria-label": "The figures of the history" },
    make("table", { class: "rows", role: "table", "aria-label": "The history" },
      make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, make("th", { role: "columnheader", scope: "col" }, "From"),
        ...COLUMNS.map(([, label]) => make("th", { role: "columnheader", scope: "col", class: "number" }, label)))),
      make("tbody", { role: "rowgroup" }, ...rows.map(([begin, values]) => make("tr", { role: "row" },
        make("th", { role: "rowheader", scope: "row" }, moment(begin)),
        ...values.map((value, index) => make("td", { role: "cell", class: "number", "data-label": COLUMNS[index][1] }, value))))))));
}

// -- what a person does ----------------------------------------------------------------------

form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("change", refresh);
details.addEventListener("toggle", (event) => { if (event.target === details) refresh(); });
part("figures").addEventListener("toggle", showFigures);
document.addEventListener("visibilitychange", refresh);
async function poll() {
  try {
    await refresh(); // a browser may have opened it again
  } finally {
    setTimeout(poll, pause());
  }
}
poll();
