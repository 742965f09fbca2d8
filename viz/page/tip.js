// One tooltip for the whole page, beside the pointer or beside what has the focus; and what a screen reader is told.

const tip = el("div", { class: "tip", role: "tooltip", id: "tip", hidden: true });
const spoken = el("div", { class: "unseen", "aria-live": "polite", id: "spoken" });
document.body.append(tip, spoken);

function showTip(content, x, y) {
  tip.replaceChildren(...content);
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const [right, bottom] = [document.documentElement.clientWidth, innerHeight];
  const left = x + 14 + width > right - 8 ? x - 14 - width : x + 14;
  const top = y + 14 + height > bottom - 8 ? y - 14 - height : y + 14;
  tip.style.left = `${Math.max(8, Math.min(left, right - width - 8))}px`;
  tip.style.top = `${Math.max(8, Math.min(top, bottom - height - 8))}px`;
}

function hideTip() {
  tip.hidden = true;
}

function say(text) {
  spoken.textContent = text;
}

// A list of names and values, as tooltips show them.
function facts(pairs) {
  return el("dl", { class: "facts" }, pairs.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

// Give each of some elements a tooltip, under the pointer and with the focus.
function tipped(container, selector, content) {
  const show = (event) => {
    const target = event.target.closest(selector);
    if (!target || !container.contains(target)) return hideTip();
    const box = target.getBoundingClientRect();
    const byPointer = event.type === "pointermove";
    showTip(content(target), byPointer ? event.clientX : box.right, byPointer ? event.clientY : box.top);
  };
  container.addEventListener("pointermove", show);
  container.addEventListener("pointerleave", hideTip);
  container.addEventListener("focusin", show);
  container.addEventListener("focusout", hideTip);
}

// One stop for the tabulator in a grid of elements, and arrow keys within it.
function roving(container, elements, columns) {
  const all = elements();
  all.forEach((element, i) => element.setAttribute("tabindex", i === 0 ? "0" : "-1"));
  container.addEventListener("keydown", (event) => {
    const now = elements();
    const at = now.indexOf(event.target);
    const step = { ArrowRight: columns > 1 ? 1 : 0, ArrowLeft: columns > 1 ? -1 : 0, ArrowDown: columns, ArrowUp: -columns };
    const to = now[at + step[event.key]];
    if (at < 0 || !step[event.key]) return;
    event.preventDefault();
    if (!to) return;
    now[at].setAttribute("tabindex", "-1");
    to.setAttribute("tabindex", "0");
    to.focus();
  });
}

addEventListener("scroll", hideTip, { passive: true });
addEventListener("keydown", (event) => {
  if (event.key === "Escape") hideTip();
});
