// The CSV files that the page carries, compressed: a button each.

async function inflated(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Blob([await new Response(stream).arrayBuffer()], { type: "text/csv;charset=utf-8" });
}

for (const button of document.querySelectorAll("button.download")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const url = URL.createObjectURL(await inflated(document.getElementById(button.dataset.file).textContent));
    el("a", { href: url, download: button.dataset.name.replaceAll("/", "-") }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
  });
}
