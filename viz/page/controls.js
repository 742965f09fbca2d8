// Sliders, selections and notes, all of them the browser's own controls: keys and screen readers know them.

let controls = 0;

function slider(label, values, start, name, onChange) {
  const id = `control-${controls++}`;
  const shown = el("output", { for: id });
  const input = el("input", { type: "range", id, min: 0, max: values.length - 1, step: 1, value: start });
  const tell = () => {
    shown.textContent = name(values[input.value]);
    input.setAttribute("aria-valuetext", shown.textContent);
  };
  input.addEventListener("input", () => {
    tell();
    onChange(Number(input.value));
  });
  tell();
  return el("div", { class: "control slider" }, el("label", { for: id }, label), input, shown);
}

function selection(label, options, start, onChange) {
  const id = `control-${controls++}`;
  const input = el(
    "select",
    { id, onchange: () => onChange(Number(input.value)) },
    options.map((text, i) => el("option", { value: i, selected: i === start }, text)),
  );
  return el("div", { class: "control" }, el("label", { for: id }, label), input);
}

function note(text) {
  return el("p", { class: "note" }, text);
}

// What stands where a section has no data: the command that makes them, in `code`.
function remedy(text) {
  const parts = text.split("`").map((part, i) => (i % 2 ? el("code", {}, part) : part));
  return el("p", { class: "remedy" }, parts);
}
