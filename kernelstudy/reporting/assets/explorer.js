// The interactive part of a report. Its data stand in the page as JSON; nothing is fetched.
// Lines of charts are Plotly's; kernels, maps and patches are painted here, pixel by pixel.
"use strict";

const byId = (id) => document.getElementById(id);
const make = (tag, fields = {}) => Object.assign(document.createElement(tag), fields);
const format = (value, digits = 3) =>
  Number.isFinite(value) ? String(Number(value.toPrecision(digits))) : "–";

/** Base64 of gzipped bytes -> ArrayBuffer. */
async function inflate(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

/** An array of `explorer.pack` with its shape; `at(i, j, ...)` is the part, or the value, there. */
async function unpack(packed) {
  const types = { Float32Array, Uint8Array, Int16Array };
  let values = new types[packed.type](await inflate(packed.data));
  const shape = packed.shape;
  if (packed.steps) { // steps last, each as its difference from the one before
    const [outer, steps] = packed.steps, inner = values.length / (outer * steps);
    const whole = new types[packed.type](values.length);
    for (let o = 0, from = 0; o < outer; o++) {
      for (let i = 0; i < inner; i++) {
        for (let s = 0, sum = 0; s < steps; s++) {
          sum += values[from++];
          whole[(o * steps + s) * inner + i] = sum; // wraps
        }
      }
    }
    values = whole;
  }
  if (packed.units) { // whole numbers of a unit, one for each part of as many values
    const units = await unpack(packed.units), each = values.length / units.at().length;
    values = Float32Array.from(values, (v, i) => v * units.at()[Math.floor(i / each)]);
  }
  const at = (...index) => {
    let size = values.length, start = 0;
    index.forEach((i, axis) => { size /= shape[axis]; start += i * size; });
    return index.length === shape.length ? values[start] : values.subarray(start, start + size);
  };
  return { shape, at };
}

/** Paint values (row by row) into a canvas of so many pixels; `colour` gives [r, g, b, a]. */
function paint(canvas, values, width, height, colour) {
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) image.data.set(colour(values[i]), 4 * i);
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Run a script that stands in the page gzipped; the page's policy knows it by its hash. */
async function run(id) {
  const text = new TextDecoder().decode(await inflate(byId(id).textContent.trim()));
  document.head.append(make("script", { textContent: text }));
}

async function explore(data) {
  await run("plotly");
  const names = Object.keys(data.arrays);
  const unpacked = await Promise.all(names.map((name) => unpack(data.arrays[name])));
  const arrays = Object.fromEntries(names.map((name, i) => [name, unpacked[i]]));
  let touched = false; // whether the reader has chosen anything
  document.documentElement.dataset.ready = "true"; // shown from here on, so that charts know their width
  const last = data.steps.length - 1;
  const deep = data.layers.length > 0, size = data.size;
  const state = { step: last, seed: 0, layer: 1, channel: 0, ...data.open };
  readAddress();

  const lut = (name) => (byte) => [...arrays[name].at(byte), 255];
  const diverging = lut("lut_diverging"), magma = lut("lut_maps");
  const grey = (byte) => (byte < 0 ? [128, 128, 128, 90] : [byte, byte, byte, 255]);
  const signed = (scale) => (v) =>
    diverging(Math.max(0, Math.min(255, Math.round(127.5 + (127.5 * v) / (scale || 1)))));

  const kernel = (step, channel, all = arrays.kernels) => all.at(state.arm, state.seed, step, channel);
  const dot = (a, b) => a.reduce((sum, v, i) => sum + v * b[i], 0);
  /** W, the update W - W0, or the new part: W less its projection on W0. */
  const shownKernel = (step, channel, all = arrays.kernels) => {
    const now = kernel(step, channel, all), start = kernel(0, channel, all);
    if (state.part === "W") return now;
    const kept = state.part === "update" ? 1 : dot(now, start) / (dot(start, start) || 1);
    return now.map((v, i) => v - kept * start[i]);
  };
  const pictures = data.colour ? arrays.colour : arrays.kernels; // what is shown of a kernel
  const largest = (values) => Math.max(...values.map(Math.abs));
  /** The largest weight of the network's kernels at a step: kernels that shrink keep their shapes in sight. */
  const scale = (step) =>
    Math.max(...Array.from({ length: data.channels }, (_, channel) => largest(shownKernel(step, channel, pictures))));
  const bank = Object.entries(data.bank).map(([name, rows]) => [name, rows.flat()]);
  /** The hand-crafted kernel nearest to one, turned to its sign. */
  const nearest = (values) => {
    const norm = Math.sqrt(dot(values, values));
    let best = { name: "none", cos: 0, kernel: null };
    for (const [name, entry] of bank) {
      const cos = dot(values, entry) / (norm * Math.sqrt(dot(entry, entry)) || 1);
      if (Math.abs(cos) > Math.abs(best.cos)) best = { name, cos, kernel: entry.map((v) => v * Math.sign(cos)) };
    }
    return best;
  };
  /** A first-layer kernel up to `end`: of a colour network in colour, mid-grey for zero. */
  function paintKernel(canvas, values, end) {
    if (!data.colour) return paint(canvas, values, size, size, signed(end));
    const grey = (v) => Math.max(0, Math.min(255, Math.round(127.5 + (127.5 * v) / (end || 1))));
    const pixels = Array.from({ length: size * size }, (_, i) => [0, 1, 2].map((c) => grey(values[3 * i + c])));
    return paint(canvas, pixels, size, size, (rgb) => [...rgb, 255]);
  }
  const watched = () => deep && state.seed < data.probe_seeds.length;
  const match = (step, channel) => {
    const { name, cos } = nearest(kernel(step, channel));
    return { name, cos: Math.abs(cos), p: arrays.p.at(state.arm, state.seed, step, channel) };
  };
  const label = (layer, channel, step = state.step) =>
    data.labels[arrays[`labels_${layer}`].at(state.arm, state.seed, step, channel)];
  const measure = (layer, channel, step, name) =>
    arrays[`measures_${layer}`].at(state.arm, state.seed, step, channel, data.measures.indexOf(name));

  // ---- controls

  function fill(select, words) {
    select.replaceChildren(...words.map((text, value) => new Option(text, value)));
  }
  fill(byId("arm"), data.arms.map((arm, i) => data.arm_words[i] === arm ? arm : `${data.arm_words[i]} (${arm})`));
  fill(byId("seed"), data.seeds.map((seed) => `seed ${seed}`));
  fill(byId("layer"), deep ? data.layers.map((l) => `layer ${l.number}`) : ["layer 1"]);
  byId("step").max = last;

  function channels() {
    const count = state.layer === 1 ? data.channels : data.layers[state.layer - 1].channels;
    fill(byId("channel"), Array.from({ length: count }, (_, i) => `channel ${i}`));
    state.channel = Math.min(state.channel, count - 1);
  }

  for (const key of ["arm", "seed", "layer", "channel"]) {
    byId(key).addEventListener("change", (event) => {
      touch();
      state[key] = Number(event.target.value) + (key === "layer" ? 1 : 0);
      if (key === "layer") channels();
      if (key === "layer" || key === "channel") fold.open = true;
      if (key === "arm" || key === "seed") rebuild();
      draw();
    });
  }
  byId("step").addEventListener("input", (event) => {
    touch();
    state.step = Number(event.target.value);
    draw();
  });
  for (const button of document.querySelectorAll("[data-part]")) {
    button.addEventListener("click", () => { touch(); state.part = button.dataset.part; draw(); });
  }

  // The address says what is shown, from the first choice on, so that a view can be passed on.
  function readAddress() {
    const given = new URLSearchParams(location.hash.slice(1));
    const counts = {
      arm: data.arms.length, seed: data.seeds.length, step: data.steps.length,
      layer: data.layers.length + 1, channel: data.channels,
    };
    for (const [key, count] of Object.entries(counts)) {
      const value = Number(given.get(key) ?? NaN);
      if (Number.isInteger(value) && value >= 0 && value < count) state[key] = value;
    }
    if (state.layer < 1) state.layer = 1;
    if (given.get("part") in data.prefixes) state.part = given.get("part");
    touched = given.has("step");
  }
  function writeAddress() {
    if (!touched) return;
    const { arm, seed, step, layer, channel, part } = state;
    history.replaceState(null, "", `#${new URLSearchParams({ arm, seed, step, layer, channel, part })}`);
  }
  function touch() {
    touched = true;
    play(false);
  }

  let timer = null;
  function play(on) {
    clearInterval(timer);
    timer = on ? setInterval(() => {
      state.step = (state.step + 1) % data.steps.length;
      draw();
      if (state.step === last) play(false);
    }, 350) : null;
    byId("play").textContent = on ? "❚❚ Pause" : "▶ Play";
    byId("play").setAttribute("aria-pressed", String(on));
  }
  byId("play").addEventListener("click", () => {
    touched = true;
    if (!timer && state.step === last) { state.step = 0; draw(); }
    play(!timer);
  });

  // ---- tiles: a button for each channel, with a canvas in it

  function tiles(place, count, layer) {
    place.replaceChildren(...Array.from({ length: count }, (_, channel) => {
      const tile = make("button", { type: "button", className: "tile" });
      tile.append(make("canvas"));
      if (layer === 1 && place.id === "kernels") tile.append(make("canvas", { className: "match" }));
      tile.addEventListener("click", () => {
        touch();
        Object.assign(state, { layer, channel });
        fold.open = true;
        byId("hover").hidden = true; // its place is no longer beside the tile
        channels();
        draw();
      });
      for (const name of ["mouseenter", "focus"]) {
        tile.addEventListener(name, () => hover(tile, layer, channel));
      }
      for (const name of ["mouseleave", "blur"]) {
        tile.addEventListener(name, () => { byId("hover").hidden = true; });
      }
      return tile;
    }));
  }

  tiles(byId("kernels"), data.channels, 1);
  if (deep) {
    for (const layer of data.layers) {
      const place = make("div", { className: "tiles", id: `maps-${layer.number}` });
      const left = layer.shown < layer.channels ? `, the first ${layer.shown} of ${layer.channels} channels` : "";
      byId("maps").append(
        make("h4", { textContent: `Layer ${layer.number}${left}: sees ${layer.field[0]} × ${layer.field[0]} pixels` }),
        place,
      );
      tiles(place, layer.shown, layer.number);
    }
    fill(byId("probe"), data.probes.map((p) => p.name));
    byId("probe").value = data.probes.findIndex((p) => p.part === "test");
    byId("probe").addEventListener("change", draw);
  }

  function words(layer, channel) {
    if (layer === 1) {
      const m = match(state.step, channel);
      return `kernel ${channel}: nearest ${m.name}, |cos| ${format(m.cos)}, p ${format(m.p, 2)}`;
    }
    return `layer ${layer}, channel ${channel}: ${label(layer, channel)}`;
  }

  function hover(tile, layer, channel) {
    const card = byId("hover");
    card.replaceChildren();
    if (layer === 1) {
      const now = kernel(state.step, channel), m = match(state.step, channel), first = match(0, channel);
      const pair = make("div", { className: "pair" });
      for (const [step, text] of [[state.step, `step ${data.steps[state.step]}`], [0, "step 0"]]) {
        const one = make("figure"), canvas = make("canvas", { className: "large" });
        const whole = kernel(step, channel, pictures);
        paintKernel(canvas, whole, largest(whole));
        one.append(canvas, make("figcaption", { textContent: text }));
        pair.append(one);
      }
      card.append(make("strong", { textContent: `Kernel ${channel}` }), pair);
      if (size <= 5) {
        const table = make("table", { className: "weights" });
        for (let row = 0; row < size; row++) {
          const line = table.insertRow();
          for (let i = 0; i < size; i++) line.insertCell().textContent = now[row * size + i].toFixed(2);
        }
        card.append(table);
      }
      const told = make("p");
      told.append(
        `nearest ${m.name}: |cos| `, make("span", { id: "hover-cos", textContent: format(m.cos) }),
        ", p ", make("span", { id: "hover-p", textContent: format(m.p) }),
        make("br"), `at step 0: ${first.name}, |cos| ${format(first.cos)}, p ${format(first.p)}`,
      );
      card.append(told);
    }
    if (watched()) card.append(make("p", { textContent: `channel: ${label(layer, channel)}` }));
    card.hidden = false;
    const box = tile.getBoundingClientRect(), mine = card.getBoundingClientRect();
    card.style.left = `${Math.max(8, Math.min(box.left, innerWidth - mine.width - 8))}px`;
    const below = box.bottom + 8 + mine.height < innerHeight;
    card.style.top = `${below ? box.bottom + 8 : Math.max(8, box.top - mine.height - 8)}px`;
  }
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") byId("hover").hidden = true;
  });

  function drawKernels() {
    const end = scale(state.step);
    [...byId("kernels").children].forEach((tile, channel) => {
      const values = shownKernel(state.step, channel), alike = nearest(values);
      paintKernel(tile.firstChild, shownKernel(state.step, channel, pictures), end);
      if (alike.kernel) paint(tile.lastChild, alike.kernel, size, size, signed(largest(alike.kernel)));
      tile.lastChild.style.visibility = alike.kernel ? "visible" : "hidden";
      tile.setAttribute("aria-label", words(1, channel));
      tile.title = alike.kernel ? `nearest: ${alike.name}, |cos| ${format(Math.abs(alike.cos), 2)}` : "";
      mark(tile, 1, channel);
    });
    byId("kernel-scale").textContent = `the scale is this step's, ±${format(end, 2)}`;
  }

  const mark = (tile, layer, channel) =>
    tile.classList.toggle("chosen", state.layer === layer && state.channel === channel);

  function drawMaps() {
    if (!deep) return;
    byId("not-watched").hidden = watched();
    byId("maps").hidden = byId("settling-block").hidden = !watched();
    if (!watched()) return;
    const probe = Number(byId("probe").value);
    for (const layer of data.layers) {
      [...byId(`maps-${layer.number}`).children].forEach((tile, channel) => {
        const map = arrays[`maps_${layer.number}`].at(state.arm, state.seed, state.step, probe, channel);
        paint(tile.firstChild, map, layer.width, layer.height, magma);
        tile.setAttribute("aria-label", words(layer.number, channel));
        mark(tile, layer.number, channel);
      });
    }
    drawPicture(byId("probe-picture"), "probes", probe);
  }

  /** A whole image: of the arm's own variant where arms see several. */
  function picture(name, index) {
    const [variants, , height, width] = arrays[name].shape;
    return { values: arrays[name].at(variants > 1 ? state.arm : 0, index), height, width };
  }

  function drawPicture(canvas, name, index) {
    const { values, height, width } = picture(name, index);
    paint(canvas, values, width, height, grey);
  }

  // ---- charts

  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const ticks = [...new Set([0, 0.25, 0.5, 0.75, 1].map((share) => Math.round(share * last)))];

  function layout(more) {
    const axis = { gridcolor: style("--line"), zeroline: false, automargin: true, fixedrange: true };
    const { xaxis, yaxis, lines = 0, ...rest } = more;
    return {
      margin: { l: 48, r: 12, t: 8, b: 40 },
      height: 300 + (innerWidth < 560 ? 30 : 20) * lines, // there a legend has a row for each line
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: style("--text"), family: "system-ui, sans-serif", size: 13 },
      legend: { orientation: "h", yanchor: "top", y: -0.3, font: { size: 13 } },
      hovermode: "x unified",
      hoverlabel: { bgcolor: style("--card"), font: { color: style("--text") } },
      xaxis: { ...axis, ...xaxis },
      yaxis: { ...axis, ...yaxis },
      ...rest,
    };
  }

  const overSteps = (yaxis, lines) => layout({
    lines,
    xaxis: { title: { text: "step", standoff: 6 }, type: "category", tickvals: ticks.map((i) => String(data.steps[i])) },
    yaxis,
    shapes: [{ type: "line", yref: "paper", y0: 0, y1: 1, x0: state.step, x1: state.step, line: { color: style("--accent"), width: 2 } }],
  });

  const options = { displayModeBar: false, responsive: true };
  const line = (name, y, more = {}) => ({
    name, y, x: data.steps.map(String), mode: "lines", hovertemplate: "%{y:.3f}", ...more,
  });
  const dashes = ["solid", "dash", "dot", "dashdot", "longdash"];

  function charts() {
    const prefix = data.prefixes[state.part];
    const shares = data.sectors.map(([name, color], i) => line(
      name, data.steps.map((_, s) => arrays[`${prefix}sectors`].at(state.arm, state.seed, s, i)),
      { line: { color, dash: dashes[i] } },
    ));
    const column = Object.keys(data.prefixes).indexOf(state.part);
    const scores = data.arm_words.map((words, i) => line(
      words, data.steps.map((_, s) => arrays.lines.at(i, state.seed, s, column)),
      { line: { color: data.colours[i], width: i === state.arm ? 3 : 1.8, dash: dashes[i % 5] } },
    ));
    scores.push(line("chance", data.steps.map(() => data.chance[data.metric]), { line: { color: style("--soft"), dash: "dot" } }));
    Plotly.react("sectors", shares, overSteps({ title: { text: "share of energy" }, range: [0, 1] }, scores.length), options);
    Plotly.react("scores", scores, overSteps({ title: { text: data.metric.startsWith("r2") ? "likeness (R²)" : data.metric_words }, range: [0, 1] }, scores.length), options);
    if (!deep || !fold.open || !watched()) return;
    const similar = data.layers.flatMap((layer, l) => [["cka_final", "solid"], ["probe_accuracy", "dot"]].map(([name, dash]) => line(
      `layer ${layer.number}, ${name === "cka_final" ? "CKA with its end" : "linear probe"}`,
      data.steps.map((_, s) => arrays.curves.at(state.arm, state.seed, s, l, data.curves.indexOf(name))),
      { line: { color: data.layer_colours[l], dash } },
    )));
    Plotly.react("settling", similar, overSteps({ title: { text: "CKA, accuracy" }, range: [0, 1.02] }, similar.length), options);
  }

  function moveCursors() {
    for (const id of ["sectors", "scores", "settling", "history-measures"]) {
      const chart = byId(id);
      if (chart && chart.layout && chart.layout.shapes) {
        Plotly.relayout(chart, { "shapes[0].x0": state.step, "shapes[0].x1": state.step });
      }
    }
  }

  // ---- the history of one channel

  // Its charts know their width only while it is open.
  const fold = byId("more");
  fold.addEventListener("toggle", () => { charts(); drawHistory(); });
  byId("to-history").addEventListener("click", (event) => {
    event.preventDefault(); // the address is the view's
    fold.open = true;
    byId("history").scrollIntoView({ block: "start" });
  });

  function drawHistory() {
    if (!fold.open) return;
    const { layer, channel } = state;
    const told = watched() ? `: ${label(layer, channel)}` : "";
    byId("history-title").textContent =
      `${data.arms[state.arm]}, seed ${data.seeds[state.seed]}, layer ${layer}, channel ${channel}${told}`;
    byId("history-words").textContent = layer === 1 ? words(1, channel) : "";
    if (layer === 1) {
      row(byId("history-kernels"), data.strip, (canvas, step) =>
        paintKernel(canvas, shownKernel(step, channel, pictures), scale(step)));
    } else if (hasKernels(layer)) {
      deeperKernels(layer, channel);
    }
    byId("history-kernels-head").hidden = byId("history-kernels").hidden = layer !== 1 && !hasKernels(layer);
    byId("history-kernels-head").textContent = layer === 1
      ? "Kernel over time"
      : `Kernel over time, on the channels of layer ${layer - 1} where it is strongest at the end`;
    byId("history-deep").hidden = !watched();
    if (!watched()) return;
    const info = data.layers[layer - 1], probe = Number(byId("probe").value);
    const inPage = channel < info.shown;
    row(byId("history-maps"), inPage ? data.strip : [], (canvas, step) => paint(
      canvas, arrays[`maps_${layer}`].at(state.arm, state.seed, step, probe, channel), info.width, info.height, magma));
    const curves = data.frequencies.map((f, i) => ({
      name: `${format(f, 2)} cycles/pixel`, x: data.orientations, mode: "lines",
      y: [...arrays[`gratings_${layer}`].at(state.arm, state.seed, state.step, channel, i)].map((b) => b / 255),
      line: { dash: dashes[i], color: data.layer_colours[i % data.layer_colours.length] }, hovertemplate: "%{y:.2f}",
    }));
    Plotly.react("history-tuning", curves, layout({
      xaxis: { title: { text: "direction of the grating, degrees", standoff: 6 }, tickvals: [0, 45, 90, 135] },
      yaxis: { title: { text: "response, of its largest" }, range: [0, 1.02] },
    }), options);
    const lines = [["selectivity", "orientation: 1 − circular variance"], ["class_selectivity", "class selectivity"]];
    Plotly.react("history-measures", lines.map(([name, text], i) => line(
      text, data.steps.map((_, s) => measure(layer, channel, s, name)), { line: { color: data.layer_colours[i], dash: dashes[i] } },
    )), overSteps({ range: [0, 1.02] }), options);
    const now = (name) => format(measure(layer, channel, state.step, name), 2);
    const direction = Math.round(measure(layer, channel, state.step, "orientation")) % 180; // 180° is 0°
    byId("history-now").textContent =
      `At step ${data.steps[state.step]}: brightness changes along ${format(direction)}°, ${now("frequency")} cycles a pixel, ` +
      `selectivity index ${now("osi")}, circular variance ${format(1 - measure(layer, channel, state.step, "selectivity"), 2)}, ` +
      `on-off ${now("on_off")}, class selectivity ${now("class_selectivity")}.`;
    patches(info, layer, channel);
  }

  /** Whether a deeper layer's kernels are in the page: of recordings they are not. */
  function hasKernels(layer) {
    return watched() && `kernels_${layer}` in arrays;
  }

  /** A row for each of the input channels, on one scale. */
  function deeperKernels(layer, channel) {
    const at = (input, i) => {
      const all = arrays[`kernels_${layer}`], now = all.at(state.arm, state.seed, channel, input, i);
      const start = Array.from(all.at(state.arm, state.seed, channel, input, 0), (v) => v - 128);
      const values = Array.from(now, (v) => v - 128);
      if (state.part === "W") return values;
      const kept = state.part === "update" ? 1 : dot(values, start) / (dot(start, start) || 1);
      return values.map((v, j) => v - kept * start[j]);
    };
    const inputs = [...arrays[`inputs_${layer}`].at(state.arm, state.seed, channel)];
    const values = inputs.flatMap((_, input) => data.strip.flatMap((_, i) => at(input, i)));
    const end = largest(values), side = data.layers[layer - 1].kernel;
    byId("history-kernels").replaceChildren(...inputs.map((number, input) => {
      const place = make("div", { className: "row" });
      row(place, data.strip, (canvas, step) =>
        paint(canvas, at(input, data.strip.indexOf(step)), side, side, signed(end)));
      place.prepend(make("span", { className: "input", textContent: `channel ${number}` }));
      return place;
    }));
  }

  function row(place, steps, draw) {
    place.replaceChildren(...steps.map((step) => {
      const one = make("figure"), canvas = make("canvas", { className: "small" });
      draw(canvas, step);
      one.append(canvas, make("figcaption", { textContent: data.steps[step].toLocaleString("en") }));
      return one;
    }));
  }

  /** The patches of test images that excite the channel most, as large as what it sees. */
  function patches(info, layer, channel) {
    const [side, jump, start] = info.field;
    const top = arrays[`top_${layer}`], count = top.shape[4];
    byId("history-patches").replaceChildren(...Array.from({ length: count }, (_, rank) => {
      const [example, y, x] = top.at(state.arm, state.seed, state.step, channel, rank);
      const { values, height, width } = picture("examples", example);
      const patch = new Float32Array(side * side);
      for (let i = 0; i < side * side; i++) {
        const r = start + y * jump + Math.floor(i / side), c = start + x * jump + (i % side);
        patch[i] = r < 0 || c < 0 || r >= height || c >= width ? -1 : values[r * width + c];
      }
      const canvas = make("canvas", { className: "large" });
      const value = format(arrays[`top_value_${layer}`].at(state.arm, state.seed, state.step, channel, rank), 2);
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `patch of test image ${example} at row ${y}, column ${x}: activation ${value}`);
      paint(canvas, patch, side, side, grey);
      const one = make("figure");
      one.append(canvas, make("figcaption", { textContent: value }));
      return one;
    }));
  }

  // ---- all together

  function draw() {
    byId("step").value = state.step;
    byId("step").setAttribute("aria-valuetext", `step ${data.steps[state.step]}`);
    byId("step-now").textContent = `step ${data.steps[state.step].toLocaleString("en")} of ${data.steps[last].toLocaleString("en")}`;
    byId("layer").value = state.layer - 1;
    byId("channel").value = state.channel;
    for (const button of document.querySelectorAll("[data-part]")) {
      const on = button.dataset.part === state.part;
      if (on !== (button.getAttribute("aria-pressed") === "true")) {
        button.setAttribute("aria-pressed", String(on));
        charts();
      }
    }
    byId("arm").value = state.arm;
    byId("seed").value = state.seed;
    drawKernels();
    drawMaps();
    moveCursors();
    drawHistory();
    writeAddress();
  }
  const rebuild = () => charts();

  channels();
  charts();
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { charts(); drawHistory(); });
  window.kernelstudy = { data, arrays, state, draw };
  // Played once by itself when it comes into sight, unless the reader has chosen something or wants no motion.
  if (!touched && !matchMedia("(prefers-reduced-motion: reduce)").matches) {
    const seen = new IntersectionObserver((entries) => {
      if (touched || !entries.some((entry) => entry.isIntersecting)) return;
      seen.disconnect();
      state.step = 0;
      draw();
      play(true);
    }, { threshold: 0.9 });
    seen.observe(byId("kernels"));
  }
  document.documentElement.dataset.drawn = "true";
}

// Printed, nothing is folded.
addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll("details:not([open])")) {
    folded.open = true;
    addEventListener("afterprint", () => { folded.open = false; }, { once: true });
  }
});

// Downloads: files that stand in the page, gzipped.
for (const button of document.querySelectorAll("button[data-file]")) {
  button.addEventListener("click", async () => {
    const source = byId(button.dataset.source);
    const content = source.tagName === "IMG"
      ? [Uint8Array.from(atob(source.src.split(",")[1]), (c) => c.charCodeAt(0))]
      : [await inflate(source.textContent.trim())];
    const url = URL.createObjectURL(new Blob(content, { type: button.dataset.type }));
    make("a", { href: url, download: button.dataset.file }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  });
}

const found = byId("explorer-data");
if (typeof DecompressionStream !== "undefined") { // else the page stays as it is without a script
  if (found) explore(JSON.parse(found.textContent));
  else document.documentElement.dataset.ready = "true";
}
