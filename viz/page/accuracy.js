// Accuracy by language: a table to sort, with intervals drawn and told in full on hover.

function accuracySection(root, study, choice) {
  if (!study.accuracy) {
    root.append(remedy("There is no table of accuracy: `babelscope probe accuracy BASE.h5 ALIGNED.h5 --out DIR` makes it."));
    return;
  }
  const order = { key: "language", down: true };
  let quantity = study.accuracy[0];
  const holder = el("div", { class: "wide" });
  const names = study.accuracy.map((one) => one.name);
  const draw = () => holder.replaceChildren(accuracyTable(study, choice.value, quantity, order, draw));
  const pick = selection("Quantity", names, 0, (i) => {
    quantity = study.accuracy[i];
    draw();
  });
  root.append(
    el("div", { class: "controls" }, names.length > 1 ? pick : null),
    holder,
    note("Bars: 95% interval of each condition. The second mark is filled where the difference is significant after Holm over languages. † in a training pair."),
  );
  tipped(holder, "tbody tr", (row) => row.facts);
  choice.on("before", "after", draw);
  draw();
}

function accuracyRows(study, { before, after }, quantity) {
  const [first, second] = [quantity.values[before] || {}, quantity.values[after] || {}];
  // Tests are of a condition against the base; other pairs have values and intervals alone.
  const deltas = (before === study.conditions[0] && quantity.deltas[after]) || {};
  return study.languages
    .filter((code) => first[code] || second[code])
    .map((code, i) => {
      const of = second[code] || first[code];
      const [delta, low, high, p, holm] = deltas[code] || [null, null, null, null, null];
      const [a, b] = [first[code]?.value || [null, null, null], second[code]?.value || [null, null, null]];
      return { i, language: LANGUAGES.get(code), n: of.n, trained: of.trained, a, b, delta, low, high, p, holm };
    });
}

// Without a test (null, which JavaScript takes for 0) nothing is significant.
function significant({ holm }) {
  return holm !== null && holm < 0.05;
}

const ACCURACY_KEYS = {
  language: (row) => row.i,
  n: (row) => row.n,
  before: (row) => row.a[0],
  after: (row) => row.b[0],
  difference: (row) => row.delta,
  p: (row) => row.holm,
};

function accuracyTable(study, choice, quantity, order, redraw) {
  const rows = accuracyRows(study, choice, quantity);
  const value = ACCURACY_KEYS[order.key];
  rows.sort((a, b) => (order.down ? 1 : -1) * ((value(a) ?? Infinity) - (value(b) ?? Infinity)));
  const alone = choice.before === choice.after;
  const heads = [
    ["language", "Language"],
    ["n", "n"],
    ["before", choice.before],
    ...(alone ? [] : [["after", choice.after]]),
    [null, null],
    ...(alone ? [] : [["difference", "Difference"], ["p", "Holm p"]]),
  ];
  const ends = rows.flatMap((row) => [...row.a, ...row.b]).filter((x) => x !== null);
  const range = [Math.min(0.5, ...ends), Math.max(...ends, 0.5)];
  const head = heads.map(([key, label]) => {
    if (!key) return el("th", { scope: "col" }, el("span", { class: "unseen" }, quantity.name), dumbbellAxis(range));
    const sorted = key === order.key ? (order.down ? "ascending" : "descending") : null;
    const sort = () => {
      order.down = key === order.key ? !order.down : true;
      order.key = key;
      redraw();
      document.querySelector(`#accuracy [data-key="${key}"]`).focus();
    };
    const swatch = label === choice[key] ? el("span", { class: "swatch", vars: { background: CONDITIONS.get(label).css } }) : null;
    const button = el("button", { type: "button", "data-key": key, onclick: sort }, swatch, el("bdi", {}, label));
    return el("th", { scope: "col", "aria-sort": sorted, class: key === "language" ? "text" : `number ${key}` }, button);
  });
  const body = el("tbody", {}, rows.map((row) => accuracyRow(row, choice, alone, range)));
  roving(body, () => [...body.children], 1);
  return el("table", { class: "accuracy" }, el("thead", {}, el("tr", {}, head)), body);
}

function accuracyRow(row, { before, after }, alone, range) {
  const name = [markerIcon(row.language), el("bdi", {}, row.language.code), row.trained === true ? " †" : ""];
  const node = el(
    "tr",
    {},
    el("th", { scope: "row" }, name),
    el("td", { class: "number n" }, String(row.n)),
    el("td", { class: "number" }, number(row.a[0])),
    alone ? null : el("td", { class: "number" }, number(row.b[0])),
    el("td", {}, dumbbell(row, before, after, range)),
    alone ? null : el("td", { class: significant(row) ? "number sure" : "number" }, signed(row.delta)),
    alone ? null : el("td", { class: "number" }, small(row.holm)),
  );
  const interval = ([value, low, high]) => `${number(value)} [${number(low)}, ${number(high)}]`;
  node.facts = [
    facts([
      ["language", el("bdi", {}, row.language.code)],
      ["n", String(row.n)],
      [before, interval(row.a)],
      ...(alone ? [] : [[after, interval(row.b)]]),
      ...(row.delta === null ? [] : [["difference", `${signed(row.delta)} [${signed(row.low)}, ${signed(row.high)}]`], ["p", `${small(row.p)}, Holm ${small(row.holm)}`]]),
    ]),
  ];
  return node;
}

const [WIDE, HIGH] = [280, 22];

function dumbbellPlace([low, high]) {
  return (value) => 14 + ((WIDE - 28) * (value - low)) / (high - low || 1);
}

function dumbbellAxis(range) {
  const x = dumbbellPlace(range);
  const labels = ticks(...range).map(([at, text]) => svg("text", { x: x(at), y: 15, "text-anchor": "middle" }, text));
  return svg("svg", { class: "dumbbell", viewBox: `0 0 ${WIDE} ${HIGH}`, "aria-hidden": "true" }, labels);
}

function dumbbell(row, before, after, range) {
  const x = dumbbellPlace(range);
  const lines = ticks(...range).map(([at]) => svg("line", { class: "grid", x1: x(at), x2: x(at), y1: 0, y2: HIGH }));
  const picture = svg("svg", { class: "dumbbell", viewBox: `0 0 ${WIDE} ${HIGH}`, "aria-hidden": "true" }, lines);
  const ends = [[row.a, before, 7], ...(before === after ? [] : [[row.b, after, 15]])];
  for (const [[value, from, to], name, y] of ends) {
    if (value === null) continue;
    const vars = { color: CONDITIONS.get(name).css };
    if (from !== null) picture.append(svg("line", { class: "interval", x1: x(from), x2: x(to), y1: y, y2: y, vars }));
    const hollow = name === after && before !== after && !significant(row);
    picture.append(svg("circle", { class: hollow ? "end hollow" : "end", cx: x(value), cy: y, r: 3.4, vars }));
  }
  return picture;
}
