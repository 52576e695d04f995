// What the page knows of the server: the whole of it once, and then what has changed of it.

const SECTIONS = ["pools", "routes", "errors", "jobs", "details"];
const KEPT_SECONDS = 300;

export class Model {
  constructor() { this.forget(); }

  forget() {
    this.revision = "";
    this.facts = undefined;
    this.now = 0;
    for (const section of SECTIONS) this[section] = new Map();
    this.samples = new Map();
    this.tracebacks = new Map();
  }

  // What is asked for: the changes since the last answer, more of what is open, all of what is new.
  query(open, errors) {
    const wanted = new URLSearchParams();
    if (this.revision) wanted.set("since", this.revision);
    for (const name of open) wanted.append(this.details.has(name) ? "open" : "new", name);
    for (const key of errors) wanted.append("error", key);
    return wanted;
  }

  // A row that has changed is another object, so that what shows it can tell.
  take(answer) {
    if (answer.complete) this.forget();
    this.revision = answer.revision;
    this.now = answer.now;
    this.facts = { ...this.facts, ...answer.facts };
    for (const section of SECTIONS) {
      for (const key of answer.gone[section] ?? []) this[section].delete(key);
      for (const [key, fields] of Object.entries(answer[section] ?? {})) {
        this[section].set(key, { ...this[section].get(key), ...fields, key });
      }
    }
    for (const [name, found] of Object.entries(answer.samples)) {
      const last = this.samples.get(name)?.at(-1)?.at ?? 0;
      const all = [...(this.samples.get(name) ?? []), ...found.filter(({ at }) => at > last)];
      this.samples.set(name, all.filter(({ at }) => at >= this.now - KEPT_SECONDS));
    }
    for (const [key, text] of Object.entries(answer.tracebacks)) this.tracebacks.set(key, text);
  }

  // What was told of a pool that was closed since is old when it is opened again.
  close(name) {
    this.details.delete(name);
    this.samples.delete(name);
  }
}
