// Every language against every other at one layer: before, after, and the change.

function alignmentSection(root, study, choice, scales) {
  const { alignment } = study;
  if (!alignment) {
    root.append(remedy("There is no table of all pairs: `babelscope probe alignment BASE.h5 ALIGNED.h5 --out DIR` makes it."));
    return;
  }
  const state = { measure: alignment.measures[0], layer: Math.floor(alignment.layers.length / 2), own: false };
  const matrices = [0, 1, 2].map(() => makeMatrix(alignment.languages));
  const values = () => {
    const n = alignment.languages.length ** 2;
    const { low, high, values: of } = state.measure;
    return [choice.value.before, choice.value.after].map((name) => {
      if (!of[name]) return null;
      const whole = unpacked(of[name], Int16Array).subarray(state.layer * n, (state.layer + 1) * n);
      return Float64Array.from(whole, (x) => (x === -32768 ? NaN : low + ((high - low) * x) / 32767));
    });
  };
  const draw = () => {
    const { before, after } = choice.value;
    const { name } = state.measure;
    const [a, b] = values();
    const known = state.own ? [...(a || []), ...(b || [])].filter(Number.isFinite) : [];
    const [low, high] = known.length ? [Math.min(...known), Math.max(...known)] : [state.measure.low, state.measure.high];
    const change = a && b && before !== after ? b.map((x, i) => x - a[i]) : null;
    const most = Math.max(1e-9, ...[...(change || [])].filter(Number.isFinite).map(Math.abs));
    fillMatrix(matrices[0], before, a, scales.value, low, high);
    fillMatrix(matrices[1], after, before === after ? null : b, scales.value, low, high);
    fillMatrix(matrices[2], `${after} − ${before}`, change, scales.change, -most, most);
    for (const matrix of matrices) matrix.measure = `${name}, layer ${alignment.layers[state.layer]}`;
  };
  const measures = selection("Measure", alignment.measures.map((one) => one.name), 0, (i) => {
    state.measure = alignment.measures[i];
    draw();
  });
  const scale = selection("Colours", ["one scale for all layers", "each layer its own"], 0, (i) => {
    state.own = i === 1;
    draw();
  });
  const layers = slider("Layer", alignment.layers, state.layer, (layer) => `layer ${layer}`, (i) => {
    state.layer = i;
    draw();
  });
  root.append(
    el("div", { class: "controls" }, el("div", { class: "grow" }, layers), measures, scale),
    el("div", { class: "panels three" }, matrices.map((matrix) => matrix.figure)),
    note("Down: the language that searches; across: the one searched. Measures without a direction are the same both ways. The scale of the change is always the layer's own."),
  );
  choice.on("before", "after", draw);
  draw();
}

function makeMatrix(languages) {
  const n = languages.length;
  const [room, side] = [22, 12];
  const cells = [];
  const picture = svg("svg", { class: "matrix", viewBox: `0 0 ${room + n * side} ${room + n * side}`, role: "group" });
  languages.forEach((code, i) => {
    const at = room + (i + 0.5) * side;
    picture.append(svg("text", { x: room - 3, y: at + 3, "text-anchor": "end" }, code));
    picture.append(svg("text", { x: 0, y: 0, transform: `translate(${at + 3} ${room - 3}) rotate(-90)` }, code));
  });
  for (let i = 0; i < n * n; i++) {
    const [row, column] = [Math.floor(i / n), i % n];
    const cell = svg("rect", { x: room + column * side, y: room + row * side, width: side, height: side, role: "img" });
    cell.at = i;
    cells.push(cell);
  }
  picture.append(...cells);
  roving(picture, () => cells, n);
  const [title, scale] = [el("figcaption", {}), el("div", { class: "scale", "aria-hidden": "true" })];
  const matrix = { figure: el("figure", { class: "panel" }, title, picture, scale), title, scale, cells, languages, values: null };
  tipped(picture, "rect", (cell) => {
    const [row, column] = [languages[Math.floor(cell.at / n)], languages[cell.at % n]];
    return [facts([["from", el("bdi", {}, row)], ["to", el("bdi", {}, column)], [matrix.measure, textOf(matrix.values[cell.at])]])];
  });
  return matrix;
}

function textOf(value) {
  return Number.isFinite(value) ? number(value) : "–";
}

function fillMatrix(matrix, name, values, shades, low, high) {
  matrix.figure.hidden = !values;
  matrix.values = values;
  if (!values) return;
  matrix.title.replaceChildren(el("bdi", {}, name));
  const last = shades.length - 1;
  matrix.cells.forEach((cell, i) => {
    const value = values[i];
    const shade = Math.round((last * (value - low)) / (high - low || 1));
    if (Number.isFinite(value)) cell.setAttribute("fill", shades[Math.max(0, Math.min(last, shade))]);
    else cell.removeAttribute("fill");
    const n = matrix.languages.length;
    cell.setAttribute("aria-label", `${matrix.languages[Math.floor(i / n)]} to ${matrix.languages[i % n]}: ${textOf(value)}`);
  });
  const bar = el("span", { class: "bar", vars: { background: `linear-gradient(to right, ${shades.join()})` } });
  matrix.scale.replaceChildren(number(low, 2), bar, number(high, 2));
}
