// A flame graph of a file in speedscope's format, and the lines that took the time. It needs nothing else:
// the page that is saved has this file inside.

const SMALLEST = 0.0005, MOST_LINES = 25, ROW = 22;

export function showFlame(place, file) {
  const root = treeOf(file), all = root.weight;
  const graph = make("div", { className: "flame-graph" });
  const said = make("p", { className: "flame-said", role: "status" });
  const search = make("input", { type: "search", ariaLabel: "Find functions and files", placeholder: "function or file" });
  const reset = make("button", { type: "button", textContent: "Show all", hidden: true });
  let shown = root;

  function zoom(node) {
    shown = node;
    reset.hidden = node === root;
    graph.replaceChildren();
    let depth = 0;
    for (const one of pathTo(node)) draw(one, 0, 1, depth++, one !== node);
    children(node, 0, 1, depth);
    graph.style.height = `${(deepest + 1) * ROW}px`;
    mark();
    describe(node);
  }

  let deepest = 0;
  function draw(node, left, width, depth, above) {
    deepest = depth === 0 ? 0 : Math.max(deepest, depth);
    const box = make("button", { type: "button", className: `flame-box${above ? " above" : ""}`, textContent: node.frame.name, title: text(node, all) });
    box.ariaLabel = text(node, all);
    box.style.left = `${left * 100}%`;
    box.style.width = `${width * 100}%`;
    box.style.top = `${depth * ROW}px`;
    box.dataset.tone = toneOf(node.frame);
    box.node = node;
    box.addEventListener("click", () => zoom(node));
    box.addEventListener("mouseenter", () => describe(node));
    box.addEventListener("focus", () => describe(node));
    graph.append(box);
  }

  function children(node, left, width, depth) {
    for (const child of node.sorted()) {
      const share = (child.weight / node.weight) * width;
      if (share < SMALLEST) continue;
      draw(child, left, share, depth, false);
      children(child, left, share, depth + 1);
      left += share;
    }
  }

  const describe = (node) => { said.textContent = text(node, all); };
  function mark() {
    const wanted = search.value.trim().toLowerCase();
    for (const box of graph.children) box.classList.toggle("found", wanted !== "" && placeOf(box.node.frame).toLowerCase().includes(wanted));
  }
  search.addEventListener("input", mark);
  reset.addEventListener("click", () => zoom(root));

  place.replaceChildren(
    make("div", { className: "flame-tools" }, search, reset),
    said, graph, linesOf(file, all));
  zoom(root);
  return () => shown;
}

function treeOf(file) {
  const frames = file.shared.frames, [profile] = file.profiles;
  const root = new Node({ name: file.name }, null);
  profile.samples.forEach((stack, index) => {
    const weight = profile.weights[index];
    let node = root;
    node.weight += weight;
    for (const number of stack) {
      node = node.child(number, frames[number]);
      node.weight += weight;
    }
    node.own += weight;
  });
  return root;
}

class Node {
  constructor(frame, parent) {
    this.frame = frame;
    this.parent = parent;
    this.weight = this.own = 0;
    this.below = new Map();
  }

  child(number, frame) {
    if (!this.below.has(number)) this.below.set(number, new Node(frame, this));
    return this.below.get(number);
  }

  sorted() {
    return [...this.below.values()].sort((one, other) => other.weight - one.weight);
  }
}

function pathTo(node) {
  const path = [];
  for (let one = node; one; one = one.parent) path.unshift(one);
  return path;
}

function linesOf(file, all) {
  const own = new Map(), [profile] = file.profiles;
  profile.samples.forEach((stack, index) => own.set(stack.at(-1), (own.get(stack.at(-1)) ?? 0) + profile.weights[index]));
  const rows = [...own].sort((one, other) => other[1] - one[1]).slice(0, MOST_LINES).map(([number, weight]) => {
    const frame = file.shared.frames[number];
    return make("tr", {}, make("td", { className: "number", textContent: percent(weight, all) }), make("td", { className: "number", textContent: `${weight.toFixed(2)} s` }),
      make("td", { textContent: frame.name }), make("td", { textContent: frame.file ? `${frame.file}:${frame.line}` : "" }));
  });
  const head = make("tr", {}, ...["Share", "Time", "Function", "Line"].map((name, index) => make("th", { scope: "col", className: index < 2 ? "number" : "", textContent: name })));
  return make("div", { className: "flame-lines", tabIndex: 0, role: "region", ariaLabel: "Lines that took the time" },
    make("table", {}, make("caption", { textContent: "Lines that took the time themselves" }), make("thead", {}, head), make("tbody", {}, ...rows)));
}

const percent = (weight, all) => `${all ? ((weight / all) * 100).toFixed(1) : 0} %`;
const placeOf = (frame) => (frame.file ? `${frame.name} ${frame.file}:${frame.line}` : frame.name);
const text = (node, all) => `${placeOf(node.frame)}: ${percent(node.weight, all)}, ${node.weight.toFixed(2)} s; itself ${percent(node.own, all)}`;

// The same file has the same tone; libraries are paler than what is not installed.
function toneOf(frame) {
  if (!frame.file) return "none";
  if (/[\\/](site-packages|lib[\\/]python[\d.]+)[\\/]/.test(frame.file)) return "library";
  let sum = 0;
  for (const character of frame.file) sum = (sum * 31 + character.codePointAt(0)) % 997;
  return String(sum % 5);
}

function make(tag, properties, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  if (properties.role) node.setAttribute("role", properties.role);
  if (properties.ariaLabel) node.setAttribute("aria-label", properties.ariaLabel);
  node.append(...children);
  return node;
}
