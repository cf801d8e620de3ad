// The page that explains convolution. Its data stand in the page as JSON; nothing is fetched.
"use strict";

const byId = (id) => document.getElementById(id);
const make = (tag, fields = {}) => Object.assign(document.createElement(tag), fields);
const data = JSON.parse(byId("explain-data").textContent);
const round = (value, digits = 2) => String(Number(value.toFixed(digits)));

/** What a convolutional layer computes: out[y, x] = sum K[i, j] I[y s + i - p, x s + j - p], outside of I zero.
    image: {height, width, values}, kernel: rows of weights; padding 'same' keeps the size at stride 1. */
function correlate(image, kernel, padding = "valid", stride = 1) {
  const { height, width, values } = image, size = kernel.length;
  const before = padding === "same" ? (size - 1) >> 1 : 0;
  const extent = (n) => Math.floor(((padding === "same" ? n - 1 : n - size)) / stride) + 1;
  const rows = Math.max(0, extent(height)), columns = Math.max(0, extent(width));
  const out = new Float64Array(rows * columns);
  for (let y = 0; y < rows; y++) for (let x = 0; x < columns; x++) {
    let sum = 0;
    for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) {
      const r = y * stride + i - before, c = x * stride + j - before;
      if (r >= 0 && c >= 0 && r < height && c < width) sum += kernel[i][j] * values[r * width + c];
    }
    out[y * columns + x] = sum;
  }
  return { height: rows, width: columns, values: out };
}

// ---- painting

const ORANGE = [179, 88, 6], PURPLE = [84, 39, 136], MIDDLE = [247, 247, 247];
function signed(value, end) {
  const share = Math.max(-1, Math.min(1, value / (end || 1))), to = share < 0 ? PURPLE : ORANGE;
  return MIDDLE.map((m, i) => m + (to[i] - m) * Math.abs(share));
}
const largest = (values) => values.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
function paint(canvas, { height, width, values }, colour) {
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) image.data.set([...colour(values[i], i), 255], 4 * i);
  canvas.getContext("2d").putImageData(image, 0, 0);
}
const paintSigned = (canvas, map) => {
  const end = largest(map.values);
  paint(canvas, map, (v) => signed(v, end));
};
const kernelMap = (rows) => ({ height: rows.length, width: rows[0].length, values: rows.flat() });

function decode(picture) {
  const bytes = Uint8Array.from(atob(picture.data), (c) => c.charCodeAt(0));
  const { height, width, channels } = picture;
  const plane = (k) => ({
    height, width,
    values: Float64Array.from({ length: height * width }, (_, i) => bytes[i * channels + k] / 255),
  });
  return Array.from({ length: channels }, (_, k) => plane(k));
}

// ---- 1. one output

const example = data.example;
const at = { y: 0, x: 0 };
const last = example.image.length - example.kernel.length;
function table(place, rows, cell) {
  place.replaceChildren(...rows.map((row, i) => {
    const line = make("tr");
    row.forEach((value, j) => line.append(cell(value, i, j)));
    return line;
  }));
}
function outputAt(y, x, misread) {
  const terms = [];
  example.kernel.forEach((row, i) => row.forEach((weight, j) => {
    const [mi, mj, as] = example.misread, wrong = misread && y + i === mi && x + j === mj;
    terms.push([weight, wrong ? as : example.image[y + i][x + j]]);
  }));
  return { terms, sum: terms.reduce((sum, [a, b]) => sum + a * b, 0) };
}
function drawOne() {
  const inside = (i, j) => i >= at.y && j >= at.x && i < at.y + 3 && j < at.x + 3;
  table(byId("one-image"), example.image, (value, i, j) => {
    const cell = make("td", { textContent: value, className: inside(i, j) ? "on" : "" });
    if (inside(i, j)) cell.append(make("small", { textContent: `× ${example.kernel[i - at.y][j - at.x]}` }));
    return cell;
  });
  table(byId("one-kernel"), example.kernel, (value) => make("td", { textContent: value }));
  const steps = Array.from({ length: last + 1 }, (_, i) => i);
  table(byId("one-result"), steps.map((y) => steps.map((x) => outputAt(y, x).sum)), (value, y, x) =>
    make("td", { textContent: value, className: y === at.y && x === at.x ? "on" : "" }));
  const { terms, sum } = outputAt(at.y, at.x);
  byId("one-sum").textContent =
    `${terms.map(([a, b]) => `${a}·${b}`).join(" + ")} = ${terms.map(([a, b]) => a * b).join(" + ")} = ${sum}`;
  const wrong = outputAt(0, 0, true).sum, [row, column, as] = example.misread;
  byId("one-slip").textContent =
    `A text that this example comes from prints ${wrong} for the corner, where ${outputAt(0, 0).sum} is right: it reads a ${as} ` +
    `where the image has a ${example.image[row][column]} (row ${row + 1}, column ${column + 1}).`;
  for (const button of document.querySelectorAll("[data-move]")) {
    const [dy, dx] = button.dataset.move.split(",").map(Number);
    button.disabled = at.y + dy < 0 || at.x + dx < 0 || at.y + dy > last || at.x + dx > last;
  }
}
function move(dy, dx) {
  at.y = Math.max(0, Math.min(last, at.y + dy));
  at.x = Math.max(0, Math.min(last, at.x + dx));
  drawOne();
}
for (const button of document.querySelectorAll("[data-move]")) {
  button.addEventListener("click", () => move(...button.dataset.move.split(",").map(Number)));
}
byId("one-image").addEventListener("keydown", (event) => {
  const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  if (!(event.key in moves)) return;
  event.preventDefault();
  move(...moves[event.key]);
});

// ---- 2. a whole photo

const [photo] = decode(data.photo);
const chosen = { kernel: data.bank.sobel_x.kernel.map((row) => [...row]), source: data.bank.sobel_x.source };
byId("preset").replaceChildren(
  ...Object.keys(data.bank).map((name) => new Option(name, name)), new Option("your own", "own"));
byId("preset").value = "sobel_x";
byId("pair").replaceChildren(...Object.keys(data.pairs).map((name) => new Option(name, name)));

function drawPhoto() {
  const padding = byId("padding").value, stride = Number(byId("stride").value);
  const map = correlate(photo, chosen.kernel, padding, stride);
  paintSigned(byId("photo-out"), map);
  const of = (n) => (padding === "same" ? `⌊(${n} − 1) / ${stride}⌋ + 1` : `⌊(${n} − 3) / ${stride}⌋ + 1`);
  byId("photo-size").textContent =
    `${photo.height} × ${photo.width} pixels in, ${map.height} × ${map.width} numbers out: rows ${of(photo.height)}, columns ${of(photo.width)}.`;
  byId("photo-source").textContent = chosen.source;
}
function fillKernel() {
  table(byId("photo-kernel"), chosen.kernel, (value, i, j) => {
    const field = make("input", { type: "number", step: "any", value: round(value, 3) });
    field.setAttribute("aria-label", `weight in row ${i + 1}, column ${j + 1}`);
    field.addEventListener("input", () => {
      chosen.kernel[i][j] = Number(field.value) || 0;
      chosen.source = "your own weights";
      byId("preset").value = "own";
      drawPhoto();
    });
    const cell = make("td");
    cell.append(field);
    return cell;
  });
  drawPhoto();
}
function choose(kernel, source, name) {
  chosen.kernel = kernel.map((row) => [...row]);
  chosen.source = source;
  byId("preset").value = name;
  fillKernel();
}
byId("preset").addEventListener("change", (event) => {
  const name = event.target.value;
  if (name !== "own") choose(data.bank[name].kernel, data.bank[name].source, name);
});
function steer() {
  const name = byId("pair").value, degrees = Number(byId("angle").value), angle = (degrees * Math.PI) / 180;
  const [gx, gy] = data.pairs[name];
  byId("angle-now").textContent = `${degrees}°`;
  choose(
    gx.map((row, i) => row.map((v, j) => Math.cos(angle) * v + Math.sin(angle) * gy[i][j])),
    `${name}, turned to ${degrees}°`, "own");
}
byId("angle").addEventListener("input", steer);
byId("pair").addEventListener("change", steer);
byId("padding").addEventListener("change", drawPhoto);
byId("stride").addEventListener("change", drawPhoto);
/** A number of the standard normal law (Box & Muller 1958). */
const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
const randomKernel = () => Array.from({ length: 3 }, () => Array.from({ length: 3 }, normal));
byId("random").addEventListener("click", () => choose(randomKernel(), "nine random numbers", "own"));

// ---- 3. channels

const colours = decode(data.colour);
const SOBEL = data.bank.sobel_x.kernel, BLUR = [[1, 2, 1], [2, 4, 2], [1, 2, 1]].map((row) => row.map((v) => v / 16));
const times = (kernel, factor) => kernel.map((row) => row.map((v) => v * factor));
const FILTERS = {
  "edge in brightness": { kernels: [SOBEL, SOBEL, SOBEL], words: "The same kernel in each channel: the sum answers to edges of brightness." },
  "red against green": { kernels: [BLUR, times(BLUR, -1), times(BLUR, 0)], words: "Blurs of opposite sign: what is red answers up, what is green down, grey not at all." },
  "blue against yellow": { kernels: [times(BLUR, -0.5), times(BLUR, -0.5), BLUR], words: "Blue less the mean of red and green." },
  "edge in colour": { kernels: [SOBEL, times(SOBEL, -1), times(SOBEL, 0)], words: "Edges between red and green; edges of brightness cancel." },
};
let filter = Object.keys(FILTERS)[0];
function drawChannels() {
  const { kernels, words } = FILTERS[filter];
  const maps = colours.map((plane, k) => correlate(plane, kernels[k], "same"));
  const sum = { ...maps[0], values: maps[0].values.map((_, i) => maps.reduce((total, map) => total + map.values[i], 0)) };
  const end = largest(maps.flatMap((map) => [largest(map.values)])), weights = largest(kernels.flat(2));
  const figure = (caption, draw, className = "") => {
    const one = make("figure"), canvas = make("canvas", { className });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", caption);
    draw(canvas);
    one.append(canvas, make("figcaption", { textContent: caption }));
    return one;
  };
  const tint = (k) => (v) => [0, 1, 2].map((i) => (i === k ? 255 * v : 40 * v));
  byId("channel-rows").replaceChildren(...["red", "green", "blue"].map((name, k) => {
    const line = make("div");
    line.append(
      figure(`${name} channel`, (canvas) => paint(canvas, colours[k], tint(k))), make("span", { className: "op", textContent: "∗" }),
      figure(`its kernel`, (canvas) => paint(canvas, kernelMap(kernels[k]), (v) => signed(v, weights)), "k"),
      make("span", { className: "op", textContent: "=" }),
      figure(`from ${name}`, (canvas) => paint(canvas, maps[k], (v) => signed(v, end))),
      make("span", { className: "op", textContent: k < 2 ? "+" : "→" }),
      ...(k < 2 ? [] : [figure("the filter's map", (canvas) => paintSigned(canvas, sum))]));
    return line;
  }));
  byId("channel-words").textContent = words;
  for (const button of byId("filters").children) button.setAttribute("aria-pressed", String(button.textContent === filter));
}
byId("filters").replaceChildren(...Object.keys(FILTERS).map((name) => {
  const button = make("button", { type: "button", textContent: name });
  button.addEventListener("click", () => { filter = name; drawChannels(); });
  return button;
}));

// ---- 4. the matrix

function drawMatrix(chosenWeight = null) {
  const side = example.image.length, size = example.kernel.length, outs = [];
  for (let y = 0; y <= last; y++) for (let x = 0; x <= last; x++) {
    const row = new Array(side * side).fill(null);
    example.kernel.forEach((weights, i) => weights.forEach((_, j) => { row[(y + i) * side + x + j] = i * size + j; }));
    outs.push(row);
  }
  const flat = example.kernel.flat();
  table(byId("matrix-kernel"), example.kernel, (value, i, j) => {
    const index = i * size + j, cell = make("td", { textContent: value, tabIndex: 0, className: index === chosenWeight ? "on" : "" });
    for (const name of ["mouseenter", "focus"]) cell.addEventListener(name, () => { if (chosenWeight !== index) light(index); });
    return cell;
  });
  table(byId("matrix-grid"), outs, (index) =>
    make("td", { textContent: index === null ? 0 : flat[index], className: index === null ? "zero" : index === chosenWeight ? "on" : "" }));
  const used = outs.flat().filter((index) => index !== null).length, all = outs.flat().length;
  byId("matrix-words").textContent =
    `${all} weights as a dense layer, ${used} of them not zero, and these are ${flat.length} numbers: ${Math.round((100 * flat.length) / all)}% as many parameters.`;
}
function light(index) {
  for (const [place, test] of [["matrix-kernel", (_, k) => k === index], ["matrix-grid", (cell) => cell.dataset.of === String(index)]]) {
    [...byId(place).querySelectorAll("td")].forEach((cell, k) => {
      if (!cell.classList.contains("zero")) cell.classList.toggle("on", test(cell, k));
    });
  }
}
drawMatrix();
{ // which weight stands in which cell
  const side = example.image.length, size = example.kernel.length;
  [...byId("matrix-grid").rows].forEach((row, out) => [...row.cells].forEach((cell, pixel) => {
    const i = Math.floor(pixel / side) - Math.floor(out / (last + 1)), j = (pixel % side) - (out % (last + 1));
    if (i >= 0 && j >= 0 && i < size && j < size) cell.dataset.of = String(i * size + j);
  }));
}

// ---- 5. a network

const network = data.network;
const steps = network.steps.length;
const shown = { step: 0 };
const dot = (a, b) => a.reduce((sum, v, i) => sum + v * b[i], 0);
const bank = Object.entries(data.bank).map(([name, { kernel }]) => [name, kernel.flat()]);
function nearest(values) {
  let best = { name: "", cos: 0, kernel: null };
  for (const [name, entry] of bank) {
    if (entry.length !== values.length) continue;
    const cos = dot(values, entry) / (Math.sqrt(dot(values, values) * dot(entry, entry)) || 1);
    if (Math.abs(cos) > Math.abs(best.cos)) best = { name, cos, kernel: entry.map((v) => v * Math.sign(cos)) };
  }
  return best;
}
function drawNetwork() {
  const kernels = network.kernels[shown.step], size = network.size;
  const square = (values) => ({ height: size, width: size, values });
  const end = largest(kernels.flat(2));
  byId("network-kernels").replaceChildren(...kernels.map((rows, channel) => {
    const tile = make("div", { className: "tile" }), canvas = make("canvas"), small = make("canvas", { className: "match" });
    const values = rows.flat(), alike = nearest(values);
    paint(canvas, square(values), (v) => signed(v, end));
    tile.append(canvas);
    if (alike.kernel) { paintSigned(small, square(alike.kernel)); tile.append(small); }
    tile.setAttribute("role", "img");
    tile.setAttribute("aria-label", `kernel ${channel}: nearest ${alike.name}, |cos| ${round(Math.abs(alike.cos))}`);
    tile.title = tile.getAttribute("aria-label");
    return tile;
  }));
  byId("network-step").value = shown.step;
  const accuracy = network.accuracy[shown.step];
  byId("network-now").textContent =
    `step ${network.steps[shown.step].toLocaleString("en")}` + (accuracy ? `, accuracy ${round(100 * accuracy, 1)}%` : "");
  byId("second").hidden = !network.second.length;
  if (!network.second.length) return;
  const gap = (k) => Math.abs(network.patch_steps[k] - shown.step);
  const near = network.patch_steps.map((_, k) => k).reduce((a, b) => (gap(b) < gap(a) ? b : a));
  byId("second-rows").replaceChildren(...network.second.map(({ channel, labels, patches }) => {
    const line = make("div");
    line.append(make("span", { className: "input", textContent: `channel ${channel}` }));
    for (const values of patches[near]) {
      const canvas = make("canvas", { className: "patch" }), side = network.patch_side;
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `a patch that excites channel ${channel}`);
      paint(canvas, { height: side, width: side, values }, (v) => (v < 0 ? [128, 128, 128] : [v, v, v]));
      line.append(canvas);
    }
    line.append(make("span", { textContent: labels[shown.step] }));
    return line;
  }));
}
byId("network-intro").textContent =
  `The first layer of a small network (${network.words}) from its first step to step ${network.steps[steps - 1].toLocaleString("en")}. It starts as noise: press Play.`;
byId("network-step").max = steps - 1;
byId("network-step").addEventListener("input", (event) => { play(false); shown.step = Number(event.target.value); drawNetwork(); });
let timer = null;
function play(on) {
  clearInterval(timer);
  timer = on ? setInterval(() => {
    shown.step = (shown.step + 1) % steps;
    drawNetwork();
    if (shown.step === steps - 1) play(false);
  }, 350) : null;
  byId("network-play").textContent = on ? "❚❚ Pause" : "▶ Play";
  byId("network-play").setAttribute("aria-pressed", String(on));
}
byId("network-play").addEventListener("click", () => {
  if (!timer && shown.step === steps - 1) shown.step = 0;
  play(!timer);
});

// ---- 6. chance

const [GX, GY] = data.pairs.sobel.map((kernel) => kernel.flat());
/** R² of a kernel, its mean removed, with the plane of Sobel's two directions, and the nearest member of the plane. */
function steeredR2(values) {
  const mean = values.reduce((a, b) => a + b) / values.length, centred = values.map((v) => v - mean);
  const a = dot(centred, GX) / dot(GX, GX), b = dot(centred, GY) / dot(GY, GY); // the two are orthogonal
  const alike = GX.map((v, i) => a * v + b * GY[i]);
  return { r2: dot(alike, alike) / dot(centred, centred), alike };
}
const drawnSoFar = [];
/** Of isotropic kernels, less their mean: P(R² >= r) = (1 − r)³, for the plane has 2 of 8 dimensions. */
const byChance = (r) => (1 - r) ** 3;
function drawRandom() {
  const kernel = randomKernel(), values = kernel.flat(), found = steeredR2(values);
  drawnSoFar.push(found.r2);
  return { kernel, ...found };
}
function showDrawn({ kernel, r2, alike }) {
  paintSigned(byId("drawn"), kernelMap(kernel));
  paintSigned(byId("alike"), { height: 3, width: 3, values: alike });
  const threshold = Number(byId("threshold").value), count = drawnSoFar.filter((r) => r >= threshold).length;
  byId("chance-words").textContent =
    `R² ${round(r2)}. ${drawnSoFar.length.toLocaleString("en")} drawn, ${count} of them with R² of ${threshold} and more; ` +
    `theory says one in ${Math.round(1 / byChance(threshold)).toLocaleString("en")}. ` +
    `Among 16 kernels of a layer, at least one: ${Math.round(100 * (1 - (1 - byChance(threshold)) ** 16))}% of random layers.`;
  histogram(threshold);
}
function histogram(threshold) {
  const canvas = byId("histogram"), bins = 25, style = getComputedStyle(document.documentElement);
  canvas.width = 500;
  canvas.height = 250;
  const draw = canvas.getContext("2d"), counts = new Array(bins).fill(0);
  for (const r of drawnSoFar) counts[Math.min(bins - 1, Math.floor(r * bins))]++;
  const most = Math.max(1, ...counts);
  counts.forEach((count, i) => {
    draw.fillStyle = (i + 0.5) / bins >= threshold ? "#b35806" : style.getPropertyValue("--soft");
    draw.fillRect(i * 20 + 1, 220 - (210 * count) / most, 18, (210 * count) / most);
  });
  draw.fillStyle = style.getPropertyValue("--text");
  draw.font = "16px system-ui, sans-serif";
  ["0", "R²", "1"].forEach((text, i) => draw.fillText(text, [0, 240, 488][i], 242));
}
let drawing = null;
function drawMany(on) {
  clearInterval(drawing);
  drawing = on ? setInterval(() => {
    const one = drawRandom();
    showDrawn(one);
    if (one.r2 >= Number(byId("threshold").value)) drawMany(false);
  }, 60) : null;
  byId("draw-many").textContent = on ? "Stop" : "Draw until one looks like Sobel";
}
byId("draw").addEventListener("click", () => { drawMany(false); showDrawn(drawRandom()); });
byId("draw-many").addEventListener("click", () => drawMany(!drawing));
byId("threshold").addEventListener("change", () => { if (drawnSoFar.length) histogram(Number(byId("threshold").value)); });
byId("clear").addEventListener("click", () => {
  drawMany(false);
  drawnSoFar.length = 0;
  byId("chance-words").textContent = "";
  histogram(Number(byId("threshold").value));
});

// ---- all together

paint(byId("photo-in"), photo, (v) => [255 * v, 255 * v, 255 * v]);
drawOne();
fillKernel();
drawChannels();
drawNetwork();
showDrawn(drawRandom());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => histogram(Number(byId("threshold").value)));
window.kernelstudyExplain = { correlate, steeredR2, data, photo, chosen, drawnSoFar };
document.documentElement.dataset.drawn = "true";
