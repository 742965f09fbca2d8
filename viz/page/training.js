// Loss over the steps of training, one curve for each adapter.

function trainingSection(root, study) {
  if (!study.training) {
    root.append(remedy("There is no training curve: `babelscope report DIR BASE.h5 ALIGNED.h5` shows those of the adapters behind the caches, if they are still in place."));
    return;
  }
  const all = study.training.flatMap((curve) => [...curve.training, ...curve.validation]).filter(([, loss]) => loss !== null);
  const [steps, losses] = [all.map(([step]) => step), all.map(([, loss]) => loss)];
  const [width, height, left, bottom] = [640, 260, 46, 38];
  const [most, low, high] = [Math.max(1, ...steps), Math.min(...losses), Math.max(...losses)];
  const x = (step) => left + ((width - left - 90) * step) / most;
  const y = (loss) => 12 + ((height - bottom - 12) * (high - loss)) / (high - low || 1);
  const picture = svg("svg", {
    class: "curve", viewBox: `0 0 ${width} ${height}`, tabindex: "0", role: "img",
    "aria-label": "Training and validation loss by step; left and right arrow keys read the steps.",
  });
  for (const [loss, text] of ticks(low, high)) {
    picture.append(svg("line", { class: "grid", x1: left, x2: width - 90, y1: y(loss), y2: y(loss) }));
    picture.append(svg("text", { x: left - 6, y: y(loss) + 4, "text-anchor": "end" }, text));
  }
  for (const [step, text] of ticks(0, most)) picture.append(svg("text", { x: x(step), y: height - 17, "text-anchor": "middle" }, text));
  picture.append(svg("text", { x: (left + width - 90) / 2, y: height - 3, "text-anchor": "middle" }, "step"));
  for (const curve of study.training) {
    const vars = { color: CONDITIONS.get(curve.name).css };
    const path = (points) => points.filter(([, loss]) => loss !== null).map(([step, loss]) => `${x(step).toFixed(1)},${y(loss).toFixed(1)}`).join(" ");
    picture.append(svg("polyline", { class: "thin", points: path(curve.training), vars }));
    picture.append(svg("polyline", { class: "thick", points: path(curve.validation), vars }));
    for (const [step, loss] of curve.validation) picture.append(svg("circle", { cx: x(step), cy: y(loss), r: 3.5, vars }));
    const end = curve.validation.at(-1) || curve.training.at(-1);
    if (end) picture.append(svg("text", { class: "label", x: x(end[0]) + 8, y: y(end[1]) + 4, vars }, curve.name));
  }
  const cursor = svg("line", { class: "cursor", y1: 12, y2: height - bottom, x1: -9, x2: -9 });
  picture.append(cursor);
  readSteps(picture, cursor, study.training, x, width, most);
  root.append(picture, note("Loss in nats per answer token: thin, of each step's training batch; with dots, of the validation pairs."));
}

function readSteps(picture, cursor, curves, x, width, most) {
  const steps = [...new Set(curves.flatMap((curve) => [...curve.training, ...curve.validation].map(([step]) => step)))].sort((a, b) => a - b);
  let at = 0;
  const show = (clientX, clientY) => {
    const step = steps[at];
    cursor.setAttribute("x1", x(step));
    cursor.setAttribute("x2", x(step));
    const of = (points) => points.find(([one]) => one === step)?.[1] ?? null;
    const lines = curves.flatMap((curve) => [["training", of(curve.training)], ["validation", of(curve.validation)]].filter(([, loss]) => loss !== null).map(([name, loss]) => [`${curve.name}, ${name}`, number(loss)]));
    showTip([facts([["step", String(step)], ...lines])], clientX, clientY);
    say(tip.textContent);
  };
  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    const wanted = ((event.clientX - box.left) * width) / box.width;
    at = steps.reduce((best, step, i) => (Math.abs(x(step) - wanted) < Math.abs(x(steps[best]) - wanted) ? i : best), 0);
    show(event.clientX, event.clientY);
  });
  picture.addEventListener("keydown", (event) => {
    const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!move) return;
    event.preventDefault();
    at = Math.max(0, Math.min(steps.length - 1, at + move));
    const box = picture.getBoundingClientRect();
    show(box.left + (x(steps[at]) * box.width) / width, box.top + box.height / 2);
  });
  for (const event of ["pointerleave", "blur"]) {
    picture.addEventListener(event, () => {
      hideTip();
      cursor.setAttribute("x1", -9);
      cursor.setAttribute("x2", -9);
    });
  }
}
