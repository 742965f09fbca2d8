// One panel of points under pointer and keys. What it finds is drawn in both panels.

function makePanel(view) {
  const cloud = makeCloud("States as points");
  const title = el("figcaption", {});
  const panel = { cloud, title, figure: el("figure", { class: "panel" }, title, cloud.node), box: null };
  const { top } = cloud;
  top.addEventListener("pointermove", (event) => pointerMoved(view, panel, event));
  top.addEventListener("pointerdown", (event) => pointerDown(view, panel, event));
  top.addEventListener("pointerup", (event) => pointerUp(view, panel, event));
  top.addEventListener("pointercancel", () => (panel.box = panel.from = null));
  top.addEventListener("pointerleave", () => panel.from || leave(view));
  top.addEventListener("blur", () => leave(view));
  top.addEventListener("keydown", (event) => keyPressed(view, panel, event));
  return panel;
}

function placeOf(panel, event) {
  const box = panel.cloud.top.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

function pointerMoved(view, panel, event) {
  const [x, y] = placeOf(panel, event);
  if (panel.from && Math.hypot(x - panel.from[0], y - panel.from[1]) > 4) {
    const [a, b] = panel.from;
    panel.box = [Math.min(a, x), Math.min(b, y), Math.max(a, x), Math.max(b, y)];
    brush(view, pointsWithin(panel.cloud, ...panel.box));
    return;
  }
  hover(view, panel, pointNear(panel.cloud, x, y), event.clientX, event.clientY);
}

function pointerDown(view, panel, event) {
  if (event.button !== 0) return;
  panel.from = event.pointerType === "touch" ? null : placeOf(panel, event); // a finger that moves is scrolling
  if (panel.from) panel.cloud.top.setPointerCapture(event.pointerId);
}

function pointerUp(view, panel, event) {
  const brushed = panel.box;
  panel.from = panel.box = null;
  if (brushed) return paintAll(view);
  if (event.button !== 0) return;
  const [x, y] = placeOf(panel, event);
  const i = pointNear(panel.cloud, x, y);
  i === null ? clearAll(view) : follow(view, i);
}

function keyPressed(view, panel, event) {
  const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (step) {
    event.preventDefault();
    const box = panel.cloud.top.getBoundingClientRect();
    const i = pointTowards(panel.cloud, view.current, ...step);
    if (i === null) return;
    hover(view, panel, i, box.left + panel.cloud.xy[2 * i], box.top + panel.cloud.xy[2 * i + 1]);
    say(tip.textContent);
  } else if ((event.key === "Enter" || event.key === " ") && view.current !== null) {
    event.preventDefault();
    follow(view, view.current);
  } else if (event.key.toLowerCase() === "b" && view.current !== null) {
    const [x, y] = [panel.cloud.xy[2 * view.current], panel.cloud.xy[2 * view.current + 1]];
    const reach = panel.cloud.side / 8;
    brush(view, pointsWithin(panel.cloud, x - reach, y - reach, x + reach, y + reach));
  }
}

function hover(view, panel, i, x, y) {
  if (i !== view.current) {
    view.current = i;
    paintTops(view);
  }
  if (i === null) return hideTip();
  showTip(exampleFacts(view.study, view.examples, i, view.choice.value), x, y);
}

function leave(view) {
  view.current = null;
  hideTip();
  paintTops(view);
}

function paintTops(view) {
  const shade = isDark() ? "dark" : "light";
  const palette = view.study.languages.map((code) => [LANGUAGES.get(code).marker, LANGUAGES.get(code)[shade]]);
  for (const panel of view.panels) if (panel.cloud.xy) paintTop(view, panel, palette);
}

function brush(view, inside) {
  view.brush = inside;
  hideTip();
  if (view.choice.value.example) view.choice.set({ example: null });
  else {
    paintAll(view);
    view.tell();
  }
}

function follow(view, i) {
  view.brush = null;
  hideTip();
  view.choice.set({ example: view.examples.about(i) });
}
