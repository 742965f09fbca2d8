// Read the page's data, and build its sections: for the first test, and again when another one is chosen.

const record = document.getElementById("data");
const data = record ? JSON.parse(record.textContent) : { languages: [], conditions: [], studies: [] };
const LANGUAGES = new Map(data.languages.map((one, i) => [one.code, { ...one, css: `var(--language-${i})` }]));
const CONDITIONS = new Map(data.conditions.map((one, i) => [one.name, { ...one, css: `var(--condition-${i})` }]));

const SECTIONS = {
  accuracy: accuracySection,
  states: projectionSection,
  lens: lensSection,
  alignment: alignmentSection,
  training: trainingSection,
};

function open(study) {
  const choice = makeChoice(study);
  compared(document.querySelector("#compared .conditions"), study, choice);
  for (const [name, build] of Object.entries(SECTIONS)) {
    const root = el("div", { class: "interactive" });
    document.querySelector(`#${name} .interactive`).replaceWith(root);
    build(root, study, choice, data.scales);
  }
}

// Which two conditions the sections show; with two there is nothing to choose.
function compared(root, study, choice) {
  const pick = (label, key) => selection(label, study.conditions, study.conditions.indexOf(choice.value[key]), (i) => choice.set({ [key]: study.conditions[i] }));
  root.replaceChildren(...(study.conditions.length > 2 ? [pick("Before", "before"), pick("After", "after")] : []));
}

if (data.studies.length) {
  const bar = document.getElementById("compared");
  const tests = data.studies.map((study) => study.name);
  if (tests.length > 1) bar.querySelector(".tests").append(selection("Test", tests, 0, (i) => open(data.studies[i])));
  open(data.studies[0]);
  bar.hidden = tests.length < 2 && data.studies[0].conditions.length < 3;
}
