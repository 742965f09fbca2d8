// Texts, labels and answers of single examples. An example's number is language * ids + id, as its points are numbered.

function makeExamples(study) {
  const { examples, ids, languages } = study;
  const english = languages.indexOf("en");
  const about = (i) => ({ language: Math.floor(i / ids.length), id: i % ids.length });
  if (!examples) return { about, known: false, text: () => "", answer: () => null, label: () => null };
  const labels = unpacked(examples.label, Uint8Array);
  const answers = Object.fromEntries(
    Object.entries(examples.answers).map(([name, of]) => [
      name,
      { predicted: unpacked(of.predicted, Uint8Array), probability: unpacked(of.probability, Uint8Array) },
    ]),
  );
  return {
    about,
    known: true,
    labels: examples.labels,
    text: (i) => examples.text[about(i).language][about(i).id],
    english: (i) => (english < 0 || about(i).language === english ? null : examples.text[english][about(i).id]),
    label: (i) => examples.labels[labels[i]] ?? null,
    labelNumber: (i) => labels[i],
    answer(i, condition) {
      const of = answers[condition];
      if (!of || of.predicted[i] === 255) return null;
      return { label: examples.labels[of.predicted[i]], probability: of.probability[i] / 255, right: of.predicted[i] === labels[i] };
    },
  };
}

function answerText(answer) {
  if (!answer) return "–";
  return el("span", { class: answer.right ? "right" : "wrong" }, `${answer.right ? "✓" : "✗"} `, el("bdi", {}, answer.label), ` ${percent(answer.probability)}`);
}

// What a tooltip says of an example.
function exampleFacts(study, examples, i, { before, after }) {
  const { language, id } = examples.about(i);
  const code = study.languages[language];
  const pairs = [["", el("strong", {}, markerIcon(LANGUAGES.get(code)), el("bdi", {}, code), " · ", el("bdi", {}, study.ids[id]))]];
  if (!examples.known) return [facts(pairs)];
  pairs.push(["text", quoted(examples.text(i), code)]);
  const english = examples.english(i);
  if (english) pairs.push(["English", quoted(english, "en")]);
  pairs.push(["label", el("bdi", {}, examples.label(i) ?? "–")], [before, answerText(examples.answer(i, before))]);
  if (after !== before) pairs.push([after, answerText(examples.answer(i, after))]);
  return [facts(pairs)];
}

// The example that is followed, in every language.
function followedTable(study, examples, id, choice, onPick) {
  const { before, after } = choice;
  const conditions = before === after ? [before] : [before, after];
  const head = ["language", ...(examples.known ? ["text", "label", ...conditions] : [])];
  const rows = study.languages.map((code, language) => {
    const i = language * study.ids.length + id;
    const button = el(
      "button",
      { type: "button", "aria-pressed": String(language === choice.example.language), onclick: () => onPick({ language, id }) },
      markerIcon(LANGUAGES.get(code)),
      el("bdi", {}, code),
    );
    const cells = examples.known
      ? [
          el("td", { class: "long" }, quoted(examples.text(i), code)),
          el("td", {}, el("bdi", {}, examples.label(i) ?? "–")),
          ...conditions.map((name) => el("td", {}, answerText(examples.answer(i, name)))),
        ]
      : [];
    return el("tr", {}, el("th", { scope: "row" }, button), cells);
  });
  return el(
    "table",
    { class: "followed" },
    el("thead", {}, el("tr", {}, head.map((name) => el("th", { scope: "col" }, el("bdi", {}, name))))),
    el("tbody", {}, rows),
  );
}
