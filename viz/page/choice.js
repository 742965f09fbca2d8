// What the reader has chosen, shared by all sections: the two conditions that are compared, and the example that is
// followed. Sections listen, and draw again when it changes.

function makeChoice(study) {
  const [base, first] = study.conditions;
  const value = { before: base, after: first || base, example: null };
  const listeners = [];
  return {
    get value() {
      return value;
    },
    set(changes) {
      Object.assign(value, changes);
      for (const listener of listeners) listener(changes);
    },
    on(...keys) {
      const listener = keys.pop();
      listeners.push((changes) => keys.some((key) => key in changes) && listener(value));
    },
  };
}
