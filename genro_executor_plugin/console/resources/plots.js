// Plots of the last minutes, as SVG. A plot has one or two series over the same time, an axis
// that begins at zero, and words that say the same to those who do not see it.

const SVG = "http://www.w3.org/2000/svg";
export const WIDTH = 320;
const HEIGHT = 92, LEFT = 40, BOTTOM = 16, TOP = 6;

export function shape(name, attributes, parent) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (parent) parent.append(node);
  return node;
}

// A number not below `value` that is easy to read on an axis: 1, 2 or 5 times a power of ten.
export function roundUp(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((bound) => bound >= value * 0.999);
}

export class Plot {
  // series: [{key, label, kind: "area" | "line", tone}]; format: number -> text.
  constructor(title, series, format, minutes) {
    this.title = title;
    this.series = series;
    this.format = format;
    this.most = minutes * 60;
    this.seconds = 60;
    this.samples = [];
    this.node = document.createElement("figure");
    this.node.className = "plot";
    const caption = document.createElement("figcaption");
    const name = document.createElement("span");
    name.textContent = title;
    this.legend = document.createElement("span");
    this.legend.className = "legend";
    this.values = series.map(({ label, tone }) => {
      const item = document.createElement("span");
      item.className = `key ${tone}`;
      const value = document.createElement("b");
      item.append(`${label} `, value);
      this.legend.append(item);
      return value;
    });
    caption.append(name, this.legend);
    this.svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title });
    this.node.append(caption, this.svg);
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => { this.pointed = undefined; this.draw(); });
  }

  update(samples, now) {
    this.now = now;
    this.samples = samples.filter(({ at }) => at >= now - this.most);
    // A server that has just started fills its plots, too: whole minutes, as many as there are.
    const span = this.samples.length ? now - this.samples[0].at : 0;
    this.seconds = Math.min(this.most, 60 * Math.max(1, Math.ceil(span / 60)));
    this.draw();
  }

  x(at) { return LEFT + (WIDTH - LEFT) * (1 - (this.now - at) / this.seconds); }

  point(event) {
    if (!this.samples.length) return;
    const box = this.svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * WIDTH;
    const away = (sample) => Math.abs(this.x(sample.at) - x);
    this.pointed = this.samples.reduce((best, one) => (away(one) < away(best) ? one : best)).at;
    this.draw();
  }

  draw() {
    const samples = this.samples;
    const all = samples.flatMap((one) => this.series.map(({ key }) => one[key] ?? 0));
    const top = roundUp(Math.max(0, ...all));
    const floor = HEIGHT - BOTTOM;
    const y = (value) => floor - (floor - TOP) * (value / top);
    this.svg.replaceChildren();
    for (const value of [0, top / 2, top]) {
      shape("line", { x1: LEFT, x2: WIDTH, y1: y(value), y2: y(value), class: "grid" }, this.svg);
      if (value === top / 2) continue;
      const text = shape("text", { x: LEFT - 5, y: y(value) + 3.5, class: "end" }, this.svg);
      text.textContent = this.format(value);
    }
    this.ends().forEach((words, index) => {
      const text = shape("text", { x: index ? WIDTH : LEFT, y: HEIGHT - 3, class: index ? "end" : "start" }, this.svg);
      text.textContent = words;
    });
    this.drawBehind(TOP, floor);
    for (const { key, kind, tone, rare } of this.series) {
      if (!rare || samples.some((one) => one[key])) this.drawSeries(key, kind, tone, y, floor);
    }
    const shown = samples.find(({ at }) => at === this.pointed) ?? samples.at(-1);
    if (this.pointed && shown) {
      shape("line", { x1: this.x(shown.at), x2: this.x(shown.at), y1: TOP, y2: floor, class: "cursor" }, this.svg);
    }
    this.series.forEach(({ key }, index) => {
      const value = shown?.[key];
      this.values[index].textContent = value == null ? "–" : this.format(value);
    });
    this.svg.setAttribute("aria-label", this.words(samples));
  }

  // What the axis says at its begin and at its end.
  ends() { return [`${this.seconds / 60} min ago`, "now"]; }

  // For what others draw behind the series.
  drawBehind() {}

  drawSeries(key, kind, tone, y, floor) {
    // Where nothing was measured the line is broken.
    let piece = [];
    const pieces = [piece];
    for (const sample of this.samples) {
      if (sample[key] == null) pieces.push((piece = []));
      else piece.push([this.x(sample.at), y(sample[key])]);
    }
    for (const points of pieces.filter(({ length }) => length)) {
      const path = points.map(([x, at]) => `${x.toFixed(1)},${at.toFixed(1)}`).join(" L");
      if (kind === "area") {
        const last = points.at(-1)[0].toFixed(1), first = points[0][0].toFixed(1);
        shape("path", { d: `M${path} L${last},${floor} L${first},${floor} Z`, class: `area ${tone}` }, this.svg);
      }
      if (points.length === 1) {
        shape("circle", { cx: points[0][0], cy: points[0][1], r: 1.6, class: `dot ${tone}` }, this.svg);
      } else {
        shape("path", { d: `M${path}`, class: `line ${tone}` }, this.svg);
      }
    }
  }

  words(samples) {
    const told = this.series.map(({ key, label }) => {
      const values = samples.map((one) => one[key]).filter((value) => value != null);
      if (!values.length) return `${label}: nothing`;
      return `${label}: now ${this.format(values.at(-1))}, at most ${this.format(Math.max(...values))}`;
    });
    return `${this.title} over the last minutes. ${told.join("; ")}.`;
  }
}
