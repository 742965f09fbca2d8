// Points of one condition on a canvas, and a second canvas above it for what moves: the point under the pointer, the
// rectangle of a brush, the example that is followed. Knows places on the screen, and nothing of languages or texts.

const REACH = 14; // pixels within which a point is found
const CELL = 16; // pixels; side of the squares in which points are looked up

function makeCloud(label) {
  const ground = el("canvas", { "aria-hidden": "true" });
  const top = el("canvas", { class: "top", tabindex: "0", role: "application", "aria-label": label, "aria-describedby": "cloud-help" });
  const node = el("div", { class: "cloud" }, ground, top);
  return { node, ground, top, side: 0, ratio: 1, xy: null, grid: null };
}

// Fit the canvases to the page. Returns whether there is any room.
function fitCloud(cloud) {
  cloud.side = cloud.node.clientWidth;
  cloud.ratio = Math.min(devicePixelRatio || 1, 2);
  for (const canvas of [cloud.ground, cloud.top]) {
    canvas.width = canvas.height = Math.round(cloud.side * cloud.ratio);
  }
  return cloud.side > 0;
}

// Where the points of a layer are on the screen; `shown` is 1 for those that are drawn.
function placePoints(cloud, points, shown) {
  const n = points.length / 2;
  const [margin, room] = [10, cloud.side - 20];
  cloud.xy = new Float32Array(2 * n);
  for (let i = 0; i < n; i++) {
    const there = shown[i] && points[2 * i] !== -32768;
    cloud.xy[2 * i] = there ? margin + (room * (points[2 * i] + 32767)) / 65534 : NaN;
    cloud.xy[2 * i + 1] = there ? margin + room * (1 - (points[2 * i + 1] + 32767) / 65534) : NaN;
  }
  const across = Math.ceil(cloud.side / CELL) + 1;
  cloud.grid = { across, cells: Array.from({ length: across * across }, () => []) };
  for (let i = 0; i < n; i++) {
    if (cloud.xy[2 * i] === cloud.xy[2 * i]) cloud.grid.cells[cellOf(cloud, i)].push(i);
  }
}

function cellOf(cloud, i) {
  return Math.floor(cloud.xy[2 * i + 1] / CELL) * cloud.grid.across + Math.floor(cloud.xy[2 * i] / CELL);
}

// Draw all points. `looks` are markers with colours, `lookOf[i]` the number of a point's; points that are not `strong`
// are faint where some are.
function paintPoints(cloud, order, looks, lookOf, strong) {
  const context = cloud.ground.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, cloud.ground.width, cloud.ground.height);
  const radius = cloud.side < 260 ? 2.2 : 3;
  const images = looks.map((look) => stamp(...look, radius, cloud.ratio));
  const pass = (wanted, alpha) => {
    context.globalAlpha = alpha;
    for (const i of order) {
      if (cloud.xy[2 * i] !== cloud.xy[2 * i] || (strong && strong[i] !== wanted)) continue;
      if (onPaper) {
        paperPoint(context, cloud, i, looks[lookOf[i]], radius);
        continue;
      }
      const image = images[lookOf[i]];
      context.drawImage(
        image,
        Math.round(cloud.xy[2 * i] * cloud.ratio - image.width / 2),
        Math.round(cloud.xy[2 * i + 1] * cloud.ratio - image.height / 2),
      );
    }
  };
  if (strong) pass(0, isDark() ? 0.16 : 0.12);
  pass(1, strong ? 0.95 : 0.6);
}

// Printers take shapes; stamps are lost on the way.
function paperPoint(context, cloud, i, [marker, color], radius) {
  context.fillStyle = color;
  markerPath(context, marker, cloud.xy[2 * i] * cloud.ratio, cloud.xy[2 * i + 1] * cloud.ratio, radius * cloud.ratio);
  context.fill();
}

// The upper canvas, cleared and in pixels of the page.
function topOf(cloud) {
  const context = cloud.top.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, cloud.top.width, cloud.top.height);
  context.setTransform(cloud.ratio, 0, 0, cloud.ratio, 0, 0);
  return context;
}

// The point nearest to a place, or null if none is in reach.
function pointNear(cloud, x, y, reach = REACH) {
  const { across, cells } = cloud.grid;
  const around = Math.ceil(reach / CELL);
  const [column, row] = [Math.floor(x / CELL), Math.floor(y / CELL)];
  let [best, least] = [null, reach * reach];
  for (let r = Math.max(0, row - around); r <= Math.min(across - 1, row + around); r++) {
    for (let c = Math.max(0, column - around); c <= Math.min(across - 1, column + around); c++) {
      for (const i of cells[r * across + c]) {
        const away = (cloud.xy[2 * i] - x) ** 2 + (cloud.xy[2 * i + 1] - y) ** 2;
        if (away <= least) [best, least] = [i, away];
      }
    }
  }
  return best;
}

// The next point in a direction, for the arrow keys; from nowhere, the one in the middle.
function pointTowards(cloud, from, dx, dy) {
  if (from === null) return pointNear(cloud, cloud.side / 2, cloud.side / 2, cloud.side);
  let [best, least] = [from, Infinity];
  for (let i = 0; i < cloud.xy.length / 2; i++) {
    const [x, y] = [cloud.xy[2 * i] - cloud.xy[2 * from], cloud.xy[2 * i + 1] - cloud.xy[2 * from + 1]];
    const [along, aside] = [x * dx + y * dy, Math.abs(x * dy) + Math.abs(y * dx)];
    if (along > 0.5 && aside <= along && along + 2 * aside < least) [best, least] = [i, along + 2 * aside];
  }
  return best;
}

function pointsWithin(cloud, left, top, right, bottom) {
  const inside = new Uint8Array(cloud.xy.length / 2);
  for (let i = 0; i < inside.length; i++) {
    const [x, y] = [cloud.xy[2 * i], cloud.xy[2 * i + 1]];
    inside[i] = x >= left && x <= right && y >= top && y <= bottom ? 1 : 0;
  }
  return inside;
}
