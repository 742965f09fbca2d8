// What each layer would say of one example: its likeliest tokens, before and after.

function lensSection(root, study, choice) {
  const { lens } = study;
  if (!lens) {
    root.append(remedy("There is no table of single examples: `babelscope probe logit-lens BASE.h5 ALIGNED.h5 --out DIR` makes it."));
    return;
  }
  const examples = makeExamples(study);
  const decoded = Object.fromEntries(
    Object.entries(lens.found).map(([name, of]) => [
      name,
      { token: unpacked(of.token, Uint32Array), probability: unpacked(of.probability, Uint16Array) },
    ]),
  );
  const shown = { language: 0, at: 0 }; // `at`: place among the lens's own ids
  const english = Math.max(0, study.languages.indexOf("en"));
  const opening = (id) => (examples.known ? `: ${examples.text(english * study.ids.length + id).slice(0, 48)}…` : "");
  const pick = (changes) => {
    Object.assign(shown, changes);
    choice.set({ example: { language: shown.language, id: lens.ids[shown.at] } });
  };
  const text = el("p", { class: "sentence" });
  const holder = el("div", { class: "panels" });
  const idPick = selection("Example", lens.ids.map((id) => `${study.ids[id]}${opening(id)}`), 0, (at) => pick({ at }));
  const languagePick = selection("Language", study.languages, 0, (language) => pick({ language }));
  const draw = () => {
    const { before, after } = choice.value;
    const i = shown.language * study.ids.length + lens.ids[shown.at];
    const code = study.languages[shown.language];
    text.replaceChildren(...(examples.known ? [quoted(examples.text(i), code), " ", el("span", { class: "soft" }, "label: ", el("bdi", {}, examples.label(i) ?? "–"))] : []));
    const names = [...new Set([before, after])].filter((name) => decoded[name]);
    holder.replaceChildren(...names.map((name) => lensPanel(study, decoded[name], name, shown, examples.answer(i, name))));
  };
  root.append(
    el("div", { class: "controls" }, idPick, languagePick),
    text,
    holder,
    note(`Rows are layers, the last on top; columns the ${lens.ranks} likeliest tokens, darker the likelier. ␣ is a space, ␊ a line's end. The table holds ${lens.ids.length} of ${study.n_ids} ids.`),
  );
  tipped(holder, "td", (cell) => cell.facts);
  choice.on("before", "after", draw);
  choice.on("example", ({ example }) => {
    const at = example ? lens.ids.indexOf(example.id) : -1;
    if (at < 0) return;
    Object.assign(shown, { at, language: example.language });
    idPick.querySelector("select").value = at;
    languagePick.querySelector("select").value = example.language;
    draw();
  });
  draw();
}

function visible(token) {
  return token.replace(/^ +| +$/g, (spaces) => "␣".repeat(spaces.length)) || "∅";
}

function lensPanel(study, found, name, shown, answer) {
  const { lens } = study;
  const start = (shown.language * lens.ids.length + shown.at) * lens.layers.length;
  const rows = lens.layers.map((layer, l) => {
    const cells = Array.from({ length: lens.ranks }, (_, rank) => {
      const at = (start + l) * lens.ranks + rank;
      const token = lens.tokens[found.token[at]];
      const p = found.probability[at] / 65535;
      const cell = el("td", { dir: "auto", vars: { "--p": p.toFixed(3) } }, visible(token));
      cell.facts = [facts([["token", el("bdi", {}, visible(token))], ["probability", p.toFixed(3)], ["rank", String(rank + 1)], ["layer", String(layer)]])];
      return cell;
    });
    return el("tr", {}, el("th", { scope: "row" }, String(layer)), cells);
  });
  const body = el("tbody", {}, rows.reverse());
  roving(body, () => [...body.querySelectorAll("td")], lens.ranks);
  const table = el("table", { class: "lens" }, el("caption", { class: "unseen" }, `Likeliest tokens by layer, ${name}`), body);
  return el(
    "figure",
    { class: "panel" },
    el("figcaption", {}, el("bdi", {}, name), answer ? [" answers ", answerText(answer)] : ""),
    el("div", { class: "scroll" }, table),
  );
}
