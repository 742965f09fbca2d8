// Elements, numbers and colours. Text from data becomes text nodes only, and is never parsed.

const SVG = "http://www.w3.org/2000/svg";

function el(name, attributes, ...children) {
  return filled(document.createElement(name), attributes, children);
}

function svg(name, attributes, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "vars") for (const [name, to] of Object.entries(value)) node.style.setProperty(name, to);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

// Text in a language of its own: its direction is its own, and nothing in it reaches the text around.
function quoted(text, language) {
  return el("bdi", { dir: "auto", lang: language }, text);
}

function number(value, digits = 3) {
  return value === null || value === undefined ? "–" : value.toFixed(digits).replace("-", "−");
}

function signed(value, digits = 3) {
  return value === null || value === undefined ? "–" : (value > 0 ? "+" : "") + number(value, digits);
}

function percent(value) {
  return `${Math.round(100 * value)}%`;
}

function small(p) {
  if (p === null || p === undefined) return "–";
  return p < 0.001 ? p.toExponential(0).replace("-", "−") : p.toPrecision(2);
}

// Round numbers from low to high, about six of them, each with its text.
function ticks(low, high) {
  const rough = (high - low) / 6 || 1;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * unit).find((n) => n >= rough);
  const found = [];
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  for (let at = Math.ceil(low / step) * step; at <= high + 1e-9; at += step) found.push([at, number(at, digits)]);
  return found;
}

// Base64 to an array of numbers, little-endian as written.
function unpacked(text, Kind) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new Kind(bytes.buffer);
}

// Whether to draw for a dark page. Canvases do not follow style sheets, and are drawn again when this changes.
const darkPage = matchMedia("(prefers-color-scheme: dark)");
const repaints = new Set();
let onPaper = false;

function isDark() {
  return darkPage.matches && !onPaper;
}

function repaintAll() {
  for (const repaint of repaints) repaint();
}

darkPage.addEventListener("change", repaintAll);
for (const [event, paper] of [["beforeprint", true], ["afterprint", false]]) {
  addEventListener(event, () => {
    onPaper = paper;
    repaintAll();
  });
}
