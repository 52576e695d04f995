// The console in genro-asgi's monitor: one line per pool, and a way to the page.

export const panel = "executors";

export function render(root, snapshot) {
  const document_ = root.ownerDocument;
  const make = (name, text) => {
    const node = document_.createElement(name);
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const table = make("table");
  const head = table.createTHead().insertRow();
  for (const title of ["Pool", "State", "Busy", "Waiting", "Completed", "Errors", "Run p95"]) {
    const cell = make("th", title);
    cell.scope = "col";
    head.append(cell);
  }
  const body = table.createTBody();
  for (const [name, pool] of Object.entries(snapshot.pools)) {
    const row = body.insertRow();
    const errors = pool.failed + pool.timed_out + pool.crashed;
    for (const value of [
      name, pool.unhealthy ?? "healthy", `${pool.busy} of ${pool.max_workers}`, pool.queued,
      pool.completed, errors, `${pool.run_p95_ms} ms`,
    ]) {
      row.append(make("td", String(value)));
    }
  }
  const link = make("a", "Open the console");
  link.href = `/${snapshot.mount}/`;
  root.replaceChildren(table, link);
}

export default { panel, render };
