// The marker of each language as a polygon of radius 1, for canvas and SVG alike. Names are matplotlib's.

function ring(corners, turn = 0, inner = 1) {
  return Array.from({ length: corners }, (_, i) => {
    const angle = (2 * Math.PI * i) / corners - Math.PI / 2 + turn;
    const radius = i % 2 ? inner : 1;
    return [radius * Math.cos(angle), radius * Math.sin(angle)];
  });
}

function cross(turn) {
  const a = 0.36;
  const corners = [[-a, -1], [a, -1], [a, -a], [1, -a], [1, a], [a, a], [a, 1], [-a, 1], [-a, a], [-1, a], [-1, -a], [-a, -a]];
  return corners.map(([x, y]) => [x * Math.cos(turn) - y * Math.sin(turn), x * Math.sin(turn) + y * Math.cos(turn)]);
}

const MARKERS = {
  o: ring(20),
  s: ring(4, Math.PI / 4),
  D: ring(4),
  d: ring(4).map(([x, y]) => [0.62 * x, y]),
  "^": ring(3),
  v: ring(3, Math.PI),
  "<": ring(3, -Math.PI / 2),
  ">": ring(3, Math.PI / 2),
  P: cross(0),
  X: cross(Math.PI / 4),
  "*": ring(10, 0, 0.42),
  p: ring(5),
  h: ring(6),
  8: ring(8, Math.PI / 8),
};

function markerPath(context, marker, x, y, radius) {
  context.beginPath();
  for (const [dx, dy] of MARKERS[marker]) context.lineTo(x + radius * dx, y + radius * dy);
  context.closePath();
}

// Drawn once and stamped many times: thousands of points are then moved in milliseconds.
const stamps = new Map();

function stamp(marker, color, radius, ratio) {
  const key = [marker, color, radius, ratio].join();
  if (!stamps.has(key)) {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = Math.ceil(2 * (radius + 1) * ratio);
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    context.fillStyle = color;
    markerPath(context, marker, radius + 1, radius + 1, radius);
    context.fill();
    stamps.set(key, canvas);
  }
  return stamps.get(key);
}

// A language's marker beside its name.
function markerIcon(language) {
  const points = MARKERS[language.marker].map(([x, y]) => `${(6 + 5 * x).toFixed(2)},${(6 + 5 * y).toFixed(2)}`);
  return svg(
    "svg",
    { class: "marker", viewBox: "0 0 12 12", "aria-hidden": "true", vars: { color: language.css } },
    svg("polygon", { points: points.join(" "), fill: "currentColor" }),
  );
}
