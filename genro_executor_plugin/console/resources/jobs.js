// Long jobs as rows of a table: what each is, how far it is, and a way to end it.

import { count, lasting, make, say } from "./view.js";

export const TONES = { running: "", queued: "", succeeded: "good", failed: "bad", lost: "bad", cancelled: "warn" };

export function jobCounts(counts) {
  const found = Object.entries(counts).filter(([, number]) => number);
  return found.map(([state, number]) => `${count(number)} ${state}`).join(", ") || "None is kept.";
}

export function createJob(job, askCancel) {
  const cell = (label, name, extra = "") => make("td", { role: "cell", "data-label": label, "data-cell": name, class: extra });
  const row = make("tr", { role: "row", "data-job": job.id },
    make("th", { role: "rowheader", scope: "row", "data-label": "Job" }, make("a", { class: "mono", href: `jobs?job=${encodeURIComponent(job.id)}` }, job.what), make("span", { class: "quiet mono job-id" }, job.id)),
    cell("Pool", "pool"),
    make("td", { role: "cell", "data-label": "State" }, make("span", { "data-cell": "state" })),
    make("td", { role: "cell", "data-label": "Progress" }, make("div", { class: "progress" },
      make("div", { role: "progressbar", "aria-label": `Progress of job ${job.id}`, "aria-valuemin": 0, "aria-valuemax": 100 }, make("span")),
      make("span", { "data-cell": "message", class: "quiet" }))),
    cell("For", "seconds", "number"), cell("Attempts", "attempts", "number"),
    make("td", { role: "cell", class: "action" },
      make("button", { type: "button", class: "small", "aria-label": `Cancel job ${job.id}`, onclick: () => askCancel(row.state) }, "Cancel…")));
  return row;
}

export function updateJob(row, job, now) {
  row.state = job;
  const put = (name, text) => say(row.querySelector(`[data-cell=${name}]`), text);
  const goesOn = job.state === "running" || job.state === "queued";
  put("pool", job.pool);
  put("state", goesOn && job.cancel_requested ? "asked to end" : job.state);
  row.querySelector("[data-cell=state]").className = `pill ${TONES[job.state] ?? ""}`;
  const bar = row.querySelector("[role=progressbar]");
  const known = job.fraction != null;
  bar.hidden = !known && job.state !== "running";
  const percent = known ? Math.round(job.fraction * 100) : 0;
  // Without a value a progress bar says that it cannot tell how far it is.
  if (known) bar.setAttribute("aria-valuenow", percent);
  else bar.removeAttribute("aria-valuenow");
  bar.firstChild.style.width = `${percent}%`;
  put("message", [known ? `${percent} %` : "", job.message].filter(Boolean).join(" · "));
  put("seconds", lasting(job.seconds ?? Math.max(0, now - job.since)));
  put("attempts", count(job.attempts));
  row.querySelector("button").hidden = !goesOn;
}
