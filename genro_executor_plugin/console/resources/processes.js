// The processes of one server as rows of a table, and the sums of all of them.

import { byId, count, failures, keep, make, say } from "./view.js";

const sum = (pools, value) => pools.reduce((total, pool) => total + value(pool), 0);

const COLUMNS = [
  ["Workers busy", (pools) => `${count(sum(pools, (pool) => pool.busy))} of ${count(sum(pools, (pool) => pool.max_workers))}`],
  ["Waiting", (pools) => count(sum(pools, (pool) => pool.queued))],
  ["Completed", (pools) => count(sum(pools, (pool) => pool.completed))],
  ["Errors", (pools) => count(sum(pools, failures))],
  ["Refused", (pools) => count(sum(pools, (pool) => pool.rejected))],
];

export function showProcesses(processes, together) {
  byId("processes").hidden = processes.length < 2;
  if (processes.length < 2) return;
  say(byId("this-process"), String(processes.find((one) => one.this).pid));
  const rows = [...processes, { name: "together", pid: "together", pools: together, healthy: processes.every((one) => one.healthy), unhealthy: {} }];
  keep(byId("process-list"), rows, (one) => one.name, createProcess, updateProcess);
}

function createProcess(process) {
  return make("tr", { role: "row", "data-process": process.pid },
    make("th", { role: "rowheader", scope: "row", "data-label": "Process" }),
    make("td", { role: "cell", "data-label": "Health" }, make("span", { "data-cell": "health" })),
    ...COLUMNS.map(([label]) => make("td", { role: "cell", "data-label": label, class: "number" })));
}

function updateProcess(row, process) {
  const health = row.querySelector("[data-cell=health]");
  say(row.firstChild, process.this ? `${process.pid}, this one` : String(process.pid));
  say(health, process.healthy ? "healthy" : "unhealthy");
  health.className = `pill ${process.healthy ? "good" : "bad"}`;
  health.title = Object.entries(process.unhealthy).map(([pool, why]) => `pool ${pool}: ${why}`).join("; ");
  COLUMNS.forEach(([, value], number) => say(row.children[number + 2], value(process.pools)));
}
