// States of all examples as points, one panel for each of the two conditions: a slider over layers, brushing in both
// panels at once, an example that is followed across languages and layers.

// Of labels by number, and of right and wrong; the last is for what is not known, and for labels beyond the others.
const SHADES = {
  light: ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#6a4fb3", "#8a6d00", "#1c1e21", "#888888"],
  dark: ["#56b4e9", "#ff9a4d", "#2fc79a", "#e0a3c4", "#b39df0", "#d9c04a", "#e6e8ea", "#888888"],
};
const REST = SHADES.light.length - 1;

function projectionSection(root, study, choice) {
  root.append(...study.unshown.map(remedy));
  if (!study.clouds) {
    if (!study.unshown.length) root.append(remedy("There are no points: `babelscope probe pca BASE.h5 ALIGNED.h5 --out DIR`, `probe umap` or `probe aligned-umap` makes them."));
    return;
  }
  const examples = makeExamples(study);
  const n = study.languages.length * study.ids.length;
  const view = {
    study, choice, examples, n,
    cloud: study.clouds[0],
    layer: Math.min(study.clouds[0].layers.length - 1, Math.floor(study.clouds[0].layers.length / 2)),
    colorBy: 0,
    hidden: new Set(),
    brush: null, // 1 for each point that was brushed
    current: null, // the point under the pointer or the keys
    order: shuffled(n),
    panels: [],
    key: el("p", { class: "key" }),
  };
  const drawn = () => {
    placeAll(view);
    paintAll(view);
  };
  view.panels = [makePanel(view), makePanel(view)];
  const [quality, frame] = [note(""), el("span", {})];
  const status = el("p", { class: "status", "aria-live": "polite" });
  const followed = el("div", { class: "scroll short" });
  view.tell = () => {
    const { before, after, example } = choice.value;
    [before, after].forEach((name, i) => (view.panels[i].title.textContent = name));
    view.panels[1].figure.hidden = before === after;
    quality.textContent = view.cloud.quality[view.layer];
    frame.textContent = view.cloud.follows ? "Both panels and all layers share one frame. " : "Both panels of a layer share one frame, stretched to fill it; layers do not share theirs. ";
    status.replaceChildren(...statusOf(view));
    followed.hidden = !example;
    followed.replaceChildren(...(example ? [followedTable(study, examples, example.id, choice.value, (to) => choice.set({ example: to }))] : []));
  };
  const layerHolder = el("div", { class: "grow" });
  const layerSlider = () =>
    layerHolder.replaceChildren(
      slider("Layer", view.cloud.layers, view.layer, (layer) => `layer ${layer}`, (i) => {
        view.layer = i;
        view.current = null;
        drawn();
        view.tell();
      }),
    );
  const kind = selection("Projection", study.clouds.map((cloud) => cloud.name), 0, (i) => {
    const layer = view.cloud.layers[view.layer];
    view.cloud = study.clouds[i];
    view.current = null;
    view.layer = Math.max(0, view.cloud.layers.findLastIndex((one) => one <= layer));
    layerSlider();
    drawn();
    view.tell();
  });
  const colors = selection("Colour", examples.known ? ["language", "label", "right or wrong"] : ["language"], 0, (i) => {
    view.colorBy = i;
    paintAll(view);
  });
  const clear = el("button", { type: "button", class: "clear", onclick: () => clearAll(view) }, "Clear (Esc)");
  layerSlider();
  root.append(
    el("div", { class: "controls" }, layerHolder, study.clouds.length > 1 ? kind : null, examples.known ? colors : null, clear),
    languageChips(view, drawn),
    view.key,
    el("div", { class: "panels" }, view.panels.map((panel) => panel.figure)),
    el("p", { class: "unseen", id: "cloud-help" }, "Arrow keys go from point to point, Enter follows the example in all languages, B brushes the points around, Escape clears."),
    status,
    followed,
    quality,
    ...sampleNote(study, examples, frame),
  );
  addEventListener("keydown", (event) => event.key === "Escape" && root.isConnected && clearAll(view));
  choice.on("before", "after", drawn);
  choice.on("example", () => paintAll(view));
  choice.on("before", "after", "example", view.tell);
  const fit = () => view.panels.filter((panel) => !panel.figure.hidden && fitCloud(panel.cloud)).length && drawn();
  new ResizeObserver(fit).observe(view.panels[0].cloud.node);
  repaints.add(() => root.isConnected && paintAll(view));
  view.tell();
}

function sampleNote(study, examples, frame) {
  const shown = study.ids.length < study.n_ids ? `A sample of ${study.ids.length} of ${study.n_ids} ids is shown, drawn by chance. ` : "";
  const ways = "Click a point to follow its example, drag over points (not with a finger) to brush them.";
  const missing = remedy("Texts and answers come from the caches: `babelscope report DIR BASE.h5 ALIGNED.h5` shows them.");
  return [note([shown, frame, ways]), examples.known ? null : missing].filter(Boolean);
}

// Languages over one another in a fixed random order, so that none hides the others.
function shuffled(n) {
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  let seed = 1;
  for (let i = n - 1; i > 0; i--) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    const j = seed % (i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

function languageChips(view, drawn) {
  const chips = view.study.languages.map((code, language) => {
    const toggle = () => {
      view.hidden.has(language) ? view.hidden.delete(language) : view.hidden.add(language);
      chips[language].setAttribute("aria-pressed", String(!view.hidden.has(language)));
      drawn();
    };
    return el("button", { type: "button", class: "chip", "aria-pressed": "true", onclick: toggle }, markerIcon(LANGUAGES.get(code)), el("bdi", {}, code));
  });
  const all = (show) => () => {
    view.hidden = new Set(show ? [] : chips.keys());
    for (const chip of chips) chip.setAttribute("aria-pressed", String(show));
    drawn();
  };
  return el(
    "div",
    { class: "chips", role: "group", "aria-label": "Languages that are shown" },
    chips,
    el("button", { type: "button", class: "chip plain", onclick: all(true) }, "all"),
    el("button", { type: "button", class: "chip plain", onclick: all(false) }, "none"),
  );
}

function placeAll(view) {
  const { before, after } = view.choice.value;
  const ids = view.study.ids.length;
  const shown = Uint8Array.from({ length: view.n }, (_, i) => (view.hidden.has(Math.floor(i / ids)) ? 0 : 1));
  [before, after].forEach((name, i) => {
    const points = view.cloud.points[name]?.[view.layer];
    const { cloud } = view.panels[i];
    if (!cloud.side && !fitCloud(cloud)) return;
    placePoints(cloud, points ? unpacked(points, Int16Array) : new Int16Array(2 * view.n).fill(-32768), shown);
  });
}

function paintAll(view) {
  const shade = isDark() ? "dark" : "light";
  const palette = view.study.languages.map((code) => [LANGUAGES.get(code).marker, LANGUAGES.get(code)[shade]]);
  const ids = view.study.ids.length;
  const { example } = view.choice.value;
  const strong = view.brush || (example && Uint8Array.from({ length: view.n }, (_, i) => (i % ids === example.id ? 1 : 0)));
  const numbers = [view.choice.value.before, view.choice.value.after].map((condition) => lookNumbers(view, condition));
  view.key.hidden = !view.colorBy;
  view.key.replaceChildren(...(view.colorBy ? keyEntries(view, SHADES[shade], numbers) : []));
  view.panels.forEach((panel, side) => {
    if (!panel.cloud.xy) return;
    const looks = view.colorBy ? palette.flatMap(([marker]) => SHADES[shade].map((color) => [marker, color])) : palette;
    paintPoints(panel.cloud, view.order, looks, numbers[side], strong);
    paintTop(view, panel, palette);
  });
}

// What the colours mean; languages have their chips.
function keyEntries({ colorBy, examples }, shades, numbers) {
  const named = colorBy === 1 ? examples.labels.slice(0, REST) : ["right", "wrong"];
  const rest = colorBy === 2 ? "no answer" : examples.labels.length > REST ? "other labels, or none" : "no label";
  const some = numbers.some((of) => of.some((look) => look % (REST + 1) === REST));
  const entry = (name, color) => el("span", {}, el("span", { class: "swatch", vars: { background: color } }), el("bdi", {}, name));
  return [...named.map((name, i) => entry(name, shades[i])), some ? entry(rest, shades[REST]) : null].filter(Boolean);
}

function lookNumbers(view, condition) {
  const ids = view.study.ids.length;
  const shades = REST + 1;
  const shadeOf = (i) => {
    if (view.colorBy === 1) return Math.min(view.examples.labelNumber(i), REST);
    const answer = view.examples.answer(i, condition);
    return answer ? (answer.right ? 0 : 1) : REST;
  };
  return Uint16Array.from({ length: view.n }, (_, i) => {
    const language = Math.floor(i / ids);
    return view.colorBy ? language * shades + shadeOf(i) : language;
  });
}

// What lies above the points: the followed example with its languages' codes, the current point, a brush being drawn.
function paintTop(view, panel, palette) {
  const { cloud } = panel;
  const context = topOf(cloud);
  const ink = isDark() ? "#e6e8ea" : "#1c1e21";
  const { example } = view.choice.value;
  const ids = view.study.ids.length;
  const at = (i) => [cloud.xy[2 * i], cloud.xy[2 * i + 1]];
  const mark = (i, radius) => {
    const [marker, color] = palette[Math.floor(i / ids)];
    const [x, y] = at(i);
    if (Number.isNaN(x)) return;
    context.fillStyle = color;
    context.strokeStyle = ink;
    context.lineWidth = 1.2;
    markerPath(context, marker, x, y, radius);
    context.fill();
    context.stroke();
  };
  if (example) {
    const named = [];
    view.study.languages.forEach((code, language) => {
      const i = language * ids + example.id;
      mark(i, language === example.language ? 7 : 5);
      named.push([code, at(i)[0] + 7, at(i)[1] - 5]);
    });
    labels(context, named, ink);
  }
  if (!example && !view.brush && !panel.box) nameClouds(view, cloud, context, ink);
  if (view.current !== null) mark(view.current, 6.5);
  if (panel.box) {
    const [left, top, right, bottom] = panel.box;
    context.setLineDash([4, 3]);
    context.lineWidth = 1;
    context.strokeStyle = ink;
    context.strokeRect(left, top, right - left, bottom - top);
    context.setLineDash([]);
  }
}

// Short texts at places; one that would cover another is left out.
function labels(context, named, ink) {
  context.font = "600 11px system-ui, sans-serif";
  context.lineWidth = 3;
  context.strokeStyle = isDark() ? "#15171a" : "#ffffff";
  context.fillStyle = ink;
  const taken = [];
  for (const [text, x, y] of named) {
    if (Number.isNaN(x) || taken.some(([a, b]) => Math.abs(a - x) < 18 && Math.abs(b - y) < 12)) continue;
    taken.push([x, y]);
    context.strokeText(text, x, y);
    context.fillText(text, x, y);
  }
}

// Languages' codes at the middle of their points.
function nameClouds(view, cloud, context, ink) {
  const ids = view.study.ids.length;
  const named = [];
  view.study.languages.forEach((code, language) => {
    let [sumX, sumY, n] = [0, 0, 0];
    for (let i = language * ids; i < (language + 1) * ids; i++) {
      if (Number.isNaN(cloud.xy[2 * i])) continue;
      [sumX, sumY, n] = [sumX + cloud.xy[2 * i], sumY + cloud.xy[2 * i + 1], n + 1];
    }
    named.push([code, sumX / n - 7, sumY / n + 4]);
  });
  labels(context, named, ink);
}

function statusOf(view) {
  const { study, examples, choice } = view;
  const { before, after, example } = choice.value;
  if (example) {
    return ["Following ", el("bdi", {}, study.ids[example.id]), ` in ${study.languages.length} languages, through all layers. Esc clears.`];
  }
  if (!view.brush) return ["Nothing is brushed or followed."];
  const inside = [...view.brush.keys()].filter((i) => view.brush[i]);
  const ids = new Set(inside.map((i) => examples.about(i).id)).size;
  const languages = new Set(inside.map((i) => examples.about(i).language)).size;
  const right = (name) => percent(inside.filter((i) => examples.answer(i, name)?.right).length / inside.length);
  const answered = examples.known && inside.length ? `; right: ${before} ${right(before)}` + (before === after ? "" : `, ${after} ${right(after)}`) : "";
  return [`${inside.length} points brushed: ${ids} ids in ${languages} languages${answered}.`];
}

function clearAll(view) {
  view.brush = null;
  view.current = null;
  hideTip();
  view.choice.set({ example: null });
}
