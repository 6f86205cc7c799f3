"use strict";
// The interactive part of the report: scatter plots of all pairs, marks that follow an
// architecture through them, and training curves. It reads one JSON text of the page, computes
// no statistics, and asks for nothing from outside.
(() => {
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const INK = "#222222", FAINT = "#d9dde2", GREY = "#555555";
  const BLUE_GREY = "#5b7a9d", ORANGE = "#e69f00", RED = "#b3001b";
  const MARKS = ["#0072b2", "#b3001b", "#007a5a", "#8a4f7d", "#a05a00", "#222222"];
  const DASHES = [[], [6, 3], [2, 2], [8, 3, 2, 3], [4, 4], [1, 3]];
  const MISSING = -1;
  const FONT = '11px system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif';

  const columns = new Map(data.columns.map((column) => [column.key, column]));
  for (const column of data.columns) column.ranks = column.error ? rank(column.values) : null;
  const state = { hover: -1, picked: [], panels: [] };

  const byId = (id) => document.getElementById(id);

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  // Ranks from 1 at the lowest; equal values share the lower rank. [ranks, how many values].
  function rank(values) {
    const known = values.filter((value) => value !== null).sort((a, b) => a - b);
    const first = new Map();
    known.forEach((value, place) => { if (!first.has(value)) first.set(value, place + 1); });
    return { of: values.map((value) => (value === null ? null : first.get(value))), n: known.length };
  }

  function format(value) {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    const text = Number.isInteger(value) && size >= 1000 ? value.toLocaleString("en") :
      String(Number(value.toPrecision(size >= 100 ? 4 : 3)));
    return text.replace("-", "−");
  }

  function axisNumber(value) {
    const size = Math.abs(value);
    if (size >= 1e9) return `${format(value / 1e9)}G`;
    if (size >= 1e6) return `${format(value / 1e6)}M`;
    if (size >= 1e4) return `${format(value / 1e3)}k`;
    return String(Number(value.toPrecision(6))).replace("-", "−");
  }

  // ---- axes ----

  function makeScale(values, log, from, to) {
    let low = Infinity, high = -Infinity;
    for (const value of values) {
      if (value === null || Number.isNaN(value)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
    if (low > high) return null;
    if (low <= 0) log = false;
    const turn = log ? Math.log10 : (value) => value;
    let a = turn(low), b = turn(high);
    if (a === b) { a -= log ? 0.1 : 0.5; b += log ? 0.1 : 0.5; }
    const room = 0.06 * (b - a);
    a -= room; b += room;
    const place = (value) => from + ((turn(value) - a) / (b - a)) * (to - from);
    const count = Math.max(2, Math.floor(Math.abs(to - from) / 55));
    const ticks = log ? logTicks(a, b, count) : linearTicks(a, b, count);
    return { place, ticks, log };
  }

  function linearTicks(a, b, count) {
    const raw = (b - a) / count, power = 10 ** Math.floor(Math.log10(raw));
    const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw);
    const ticks = [];
    for (let tick = Math.ceil(a / step); tick * step <= b; tick++) ticks.push(tick * step);
    return ticks;
  }

  function logTicks(a, b, count) {
    const collect = (factors) => {
      const ticks = [];
      for (let power = Math.floor(a); power <= Math.ceil(b); power++) {
        for (const factor of factors) {
          const tick = factor * 10 ** power;
          if (Math.log10(tick) >= a && Math.log10(tick) <= b) ticks.push(tick);
        }
      }
      return ticks;
    };
    const sets = [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 4, 5, 6, 8]].map(collect);
    const fitting = sets.filter((ticks) => ticks.length <= count + 2);
    const best = fitting.length ? fitting[fitting.length - 1] : sets[0];
    return best.length > 1 ? best : linearTicks(10 ** a, 10 ** b, count).filter((t) => t > 0);
  }

  // ---- canvases ----

  function fit(canvas, width, height) {
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.height = `${height}px`;
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.font = FONT;
    return context;
  }

  function shorten(context, text, width) {
    if (context.measureText(text).width <= width) return text;
    while (text && context.measureText(`${text}…`).width > width) text = text.slice(0, -1);
    return `${text.trimEnd()}…`;
  }

  // Draws grid, ticks and labels; returns nothing. `area`: left, top, right, bottom in pixels.
  function drawAxes(context, area, x, y, xLabel, yLabel) {
    context.lineWidth = 1;
    context.textBaseline = "top";
    context.textAlign = "center";
    for (const tick of x.ticks) {
      const at = Math.round(x.place(tick)) + 0.5;
      context.strokeStyle = FAINT;
      line(context, at, area.top, at, area.bottom);
      context.fillStyle = GREY;
      context.fillText(axisNumber(tick), at, area.bottom + 4);
    }
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (const tick of y.ticks) {
      const at = Math.round(y.place(tick)) + 0.5;
      context.strokeStyle = FAINT;
      line(context, area.left, at, area.right, at);
      context.fillStyle = GREY;
      context.fillText(axisNumber(tick), area.left - 5, at);
    }
    context.strokeStyle = "#777777";
    line(context, area.left + 0.5, area.top, area.left + 0.5, area.bottom + 0.5);
    line(context, area.left, area.bottom + 0.5, area.right, area.bottom + 0.5);
    context.fillStyle = INK;
    context.textAlign = "center";
    context.textBaseline = "bottom";
    const middle = (area.left + area.right) / 2;
    context.fillText(axisLabel(context, xLabel, x, 2 * Math.min(middle, area.right - middle + 8)),
      middle, area.bottom + 34);
    context.save();
    context.translate(2, (area.top + area.bottom) / 2);
    context.rotate(-Math.PI / 2);
    context.textBaseline = "top";
    context.fillText(axisLabel(context, yLabel, y, area.bottom - area.top + 12), 0, 0);
    context.restore();
  }

  // A label cut to a width; that the axis is logarithmic is never cut off.
  function axisLabel(context, text, scale, width) {
    const mark = scale.log ? ", log" : "";
    return shorten(context, text, width - context.measureText(mark).width) + mark;
  }

  function line(context, x1, y1, x2, y2) {
    context.beginPath();
    context.moveTo(x1, y1);
    context.lineTo(x2, y2);
    context.stroke();
  }

  function drawPoint(context, x, y, size, shape, colour) {
    context.fillStyle = colour;
    context.beginPath();
    if (shape === "circle") {
      context.arc(x, y, size, 0, 2 * Math.PI);
    } else {
      const up = shape === "up" ? -1 : 1, half = size * 1.25;
      context.moveTo(x - half, y - up * half * 0.8);
      context.lineTo(x + half, y - up * half * 0.8);
      context.lineTo(x, y + up * half);
      context.closePath();
    }
    context.fill();
  }

  function label(context, text, x, y, colour) {
    context.font = `bold ${FONT}`;
    context.textAlign = "left";
    context.textBaseline = "bottom";
    context.lineWidth = 3;
    context.strokeStyle = "#ffffff";
    context.strokeText(text, x, y);
    context.fillStyle = colour;
    context.fillText(text, x, y);
    context.font = FONT;
  }

  // ---- one scatter plot ----

  class Scatter {
    constructor(host, axes) {
      this.axes = axes;  // () => [key of x, key of y]
      this.title = make("strong");
      this.detail = make("span", { class: "soft" });
      this.base = make("canvas", { "aria-hidden": "true" });
      this.top = make("canvas", {
        tabindex: "0", role: "application", "aria-roledescription": "scatter plot",
      });
      this.plot = make("div", { class: "plot" }, this.base, this.top);
      this.figure = make("figure", { class: "panel" },
        make("figcaption", {}, this.title, this.detail), this.plot);
      host.append(this.figure);
      this.top.addEventListener("pointermove", (event) => {
        if (event.pointerType !== "touch") setHover(this.nearest(event, 24), this);
      });
      this.top.addEventListener("pointerleave", (event) => {
        if (event.pointerType !== "touch") setHover(-1, this);
      });
      this.top.addEventListener("click", (event) => {
        const found = this.nearest(event, 32);
        setHover(found, this);
        if (found >= 0) togglePick(found);
      });
      this.top.addEventListener("keydown", (event) => this.onKey(event));
      this.top.addEventListener("blur", () => setHover(-1, this));
      new ResizeObserver(() => {
        if (this.plot.clientWidth && this.plot.clientWidth !== this.width) this.draw();
      }).observe(this.plot);
      state.panels.push(this);
    }

    remove() {
      this.figure.remove();
      state.panels.splice(state.panels.indexOf(this), 1);
    }

    draw() {
      const [xKey, yKey] = this.axes();
      const x = columns.get(xKey), y = columns.get(yKey);
      this.width = this.plot.clientWidth;
      if (!this.width) return;
      const height = Math.round(Math.min(420, Math.max(190, 0.72 * this.width)));
      this.title.textContent = x.error && this.small ? y.title : `${y.title} and ${x.title}`;
      const found = data.rho[`${xKey}\t${yKey}`] || data.rho[`${yKey}\t${xKey}`];
      this.detail.textContent = found ? found.join(", ") : "";
      this.top.setAttribute("aria-label", `${y.label} against ${x.label}. ` +
        `${this.detail.textContent}. Arrow keys go from point to point, Enter marks one.`);
      const context = fit(this.base, this.width, height);
      this.overlay = fit(this.top, this.width, height);
      const area = { left: 46, top: 8, right: this.width - 8, bottom: height - 38 };
      const both = data.archs.map((_, i) => i)
        .filter((i) => x.values[i] !== null && y.values[i] !== null);
      this.order = both;
      this.x = new Float64Array(data.archs.length).fill(NaN);
      this.y = new Float64Array(data.archs.length).fill(NaN);
      if (!both.length) {
        context.fillStyle = GREY;
        context.textAlign = "center";
        context.fillText("no architecture has both values", this.width / 2, height / 2);
        return;
      }
      const xScale = makeScale(both.map((i) => x.values[i]), x.log, area.left + 2, area.right);
      const yScale = makeScale(both.map((i) => y.values[i]), y.log, area.bottom - 2, area.top);
      drawAxes(context, area, xScale, yScale, x.label, y.label);
      for (const i of both) {
        this.x[i] = xScale.place(x.values[i]);
        this.y[i] = yScale.place(y.values[i]);
      }
      this.order = both.slice().sort((a, b) => this.x[a] - this.x[b] || this.y[b] - this.y[a]);
      this.size = Math.min(4.2, Math.max(1.9, 4.2 * (50 / both.length) ** 0.25));
      this.drawPoints(context, both, y.values);
      this.drawTop();
    }

    drawPoints(context, both, values) {
      const ends = Math.min(data.coloured, Math.floor(both.length / 2));
      const sorted = both.slice().sort((a, b) => values[a] - values[b]);
      context.globalAlpha = Math.min(0.85, Math.max(0.4, 0.85 * (50 / both.length) ** 0.15));
      for (const i of sorted.slice(ends, sorted.length - ends)) {
        drawPoint(context, this.x[i], this.y[i], this.size, "circle", BLUE_GREY);
      }
      context.globalAlpha = 1;
      const size = Math.max(3.2, this.size);
      for (const i of sorted.slice(0, ends)) {
        drawPoint(context, this.x[i], this.y[i], size, "down", ORANGE);
      }
      for (const i of sorted.slice(sorted.length - ends)) {
        drawPoint(context, this.x[i], this.y[i], size, "up", RED);
      }
    }

    // Marks and the point under the pointer, on a canvas of their own: the points stay.
    drawTop() {
      const context = this.overlay;
      if (!context) return;
      context.clearRect(0, 0, this.width, this.top.height);
      state.picked.forEach((arch, place) => {
        if (!this.ring(context, arch, 5, MARKS[place])) return;
        label(context, String(place + 1), this.x[arch] + 6, this.y[arch] - 3, MARKS[place]);
      });
      if (state.hover >= 0) this.ring(context, state.hover, 7, INK);
    }

    ring(context, arch, radius, colour) {
      if (Number.isNaN(this.x[arch])) return false;
      context.beginPath();
      context.arc(this.x[arch], this.y[arch], radius, 0, 2 * Math.PI);
      context.lineWidth = 4;
      context.strokeStyle = "#ffffff";
      context.stroke();
      context.lineWidth = 2;
      context.strokeStyle = colour;
      context.stroke();
      return true;
    }

    nearest(event, within) {
      const box = this.top.getBoundingClientRect();
      const px = event.clientX - box.left, py = event.clientY - box.top;
      let best = -1, least = within * within;
      for (const i of this.order || []) {
        const distance = (this.x[i] - px) ** 2 + (this.y[i] - py) ** 2;
        if (distance < least) { least = distance; best = i; }
      }
      return best;
    }

    onKey(event) {
      const along = { ArrowRight: [this.x, 1], ArrowLeft: [this.x, -1],
        ArrowUp: [this.y, -1], ArrowDown: [this.y, 1] }[event.key];
      if (along && this.order.length) {
        const sorted = this.order.slice().sort((a, b) => along[0][a] - along[0][b] || a - b);
        const at = sorted.indexOf(state.hover);
        const next = at < 0 ? 0 : Math.min(sorted.length - 1, Math.max(0, at + along[1]));
        setHover(sorted[next], this);
      } else if ((event.key === "Enter" || event.key === " ") && state.hover >= 0) {
        togglePick(state.hover);
      } else if (event.key === "Escape") {
        state.picked = [];
        setHover(-1, this);
        picksChanged();
      } else {
        return;
      }
      event.preventDefault();
    }
  }

  // ---- hovering and marking ----

  const tip = make("div", { id: "tip", role: "status", hidden: "" });
  document.body.append(tip);

  function setHover(arch, panel) {
    if (arch === state.hover && (arch < 0 || tip.panel === panel)) return;
    state.hover = arch;
    tip.panel = panel;
    for (const each of state.panels) each.drawTop();
    showTip(arch, panel);
  }

  function showTip(arch, panel) {
    tip.hidden = arch < 0 || Number.isNaN(panel.x[arch]);
    if (tip.hidden) return;
    const lines = panel.axes().map((key) => columns.get(key)).map((column) =>
      make("div", {}, `${column.title}: ${format(column.values[arch])}` + (column.error ?
        `${column.unit ?? " %"}, rank ${column.ranks.of[arch]} of ${column.ranks.n}` : "")));
    tip.replaceChildren(make("strong", {}, data.archs[arch]),
      make("div", { class: "soft" }, data.about[arch]), ...lines.reverse());
    const box = panel.top.getBoundingClientRect();
    const wide = tip.offsetWidth, high = tip.offsetHeight;
    const page = document.documentElement.clientWidth;
    const x = box.left + panel.x[arch], y = box.top + panel.y[arch];
    const left = Math.max(4, Math.min(page - wide - 4, x + 14));
    const top = y - high - 12 > 4 ? y - high - 12 : y + 14;
    tip.style.transform = `translate(${Math.round(left + window.scrollX)}px, ` +
      `${Math.round(top + window.scrollY)}px)`;
  }

  function togglePick(arch) {
    const place = state.picked.indexOf(arch);
    if (place >= 0) state.picked.splice(place, 1);
    else state.picked = [...state.picked, arch].slice(-MARKS.length);
    picksChanged();
  }

  function picksChanged() {
    for (const panel of state.panels) panel.drawTop();
    byId("explore-clear").disabled = !state.picked.length;
    showPicked();
    drawCurves();
  }

  function showPicked() {
    const host = byId("explore-picked");
    if (!state.picked.length) return host.replaceChildren();
    const errors = data.columns.filter((column) => column.error);
    const head = make("tr", {}, make("th", { class: "text" }, "marked"),
      make("th", { class: "text" }, "parameters by stage"),
      ...errors.map((column) => make("th", {}, column.title)));
    const rows = state.picked.map((arch, place) => {
      const mark = make("button", { type: "button", class: "pick", title: "Remove this mark" },
        `${place + 1}  ${data.archs[arch]}`);
      mark.style.borderColor = MARKS[place];
      mark.addEventListener("click", () => togglePick(arch));
      return make("tr", {}, make("td", { class: "text" }, mark),
        make("td", { class: "text wide" }, data.about[arch]),
        ...errors.map((column) => make("td", {}, column.values[arch] === null ? "–" :
          `${format(column.values[arch])} % (${column.ranks.of[arch]})`)));
    });
    host.replaceChildren(
      make("p", { class: "caption" }, "Marked architectures: test error, and in brackets the " +
        "rank among the architectures of that data set (1 is the lowest error)."),
      make("div", { class: "scroll", tabindex: "0", role: "region",
        "aria-label": "Marked architectures" },
      make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows))));
  }

  // ---- training curves ----

  const unpacked = new Map();

  // Two characters of base64 an error, a share of the way from the lowest to the highest one.
  function unpack({ low, high, codes }) {
    const bytes = atob(codes), values = new Float32Array(codes.length / 2);
    for (let i = 0, at = 0; i < values.length; i += 2, at += 3) {
      const three = (bytes.charCodeAt(at) << 16) | (bytes.charCodeAt(at + 1) << 8) |
        bytes.charCodeAt(at + 2);
      for (const [place, code] of [[i, three >> 12], [i + 1, three & 4095]]) {
        values[place] = code === 4095 ? MISSING : low + code / 4094 * (high - low);
      }
    }
    return values;
  }

  function curvesOf(key) {
    if (!unpacked.has(key)) {
      const packed = data.curves[key];
      unpacked.set(key, { epochs: packed.epochs, test: unpack(packed.test),
        train: unpack(packed.train) });
    }
    return unpacked.get(key);
  }

  function path(context, curves, side, arch, x, y) {
    const count = curves.epochs.length;
    let open = false;
    context.beginPath();
    for (let i = 0; i < count; i++) {
      const value = curves[side][arch * count + i];
      if (value === MISSING) { open = false; continue; }
      const at = [x.place(curves.epochs[i]), y.place(value)];
      if (open) context.lineTo(...at); else context.moveTo(...at);
      open = true;
    }
    context.stroke();
  }

  // Without marks: the best, the middle and the worst architecture of the data set.
  function chosenCurves(column) {
    if (state.picked.length) {
      return state.picked.map((arch, place) => [arch, place, `${place + 1}  ${data.archs[arch]}`]);
    }
    const known = data.archs.map((_, i) => i).filter((i) => column.values[i] !== null)
      .sort((a, b) => column.values[a] - column.values[b]);
    const places = [0, Math.floor((known.length - 1) / 2), known.length - 1];
    const names = ["lowest error", "middle", "highest error"];
    return [...new Set(places)].filter((place) => place >= 0).map((place, i) =>
      [known[place], i, `${names[i]}: ${data.archs[known[place]]}`]);
  }

  function drawCurves() {
    const section = byId("curve-explorer");
    if (!section || section.hidden) return;
    const canvas = byId("curve-canvas"), width = canvas.parentElement.clientWidth;
    if (!width) return;
    const height = Math.round(Math.min(400, Math.max(220, 0.5 * width)));
    const column = columns.get(byId("curve-dataset").value);
    const curves = curvesOf(column.key), sides = byId("curve-train").checked ? ["test", "train"] :
      ["test"];
    const chosen = chosenCurves(column);
    const context = fit(canvas, width, height);
    const area = { left: 46, top: 8, right: width - 10, bottom: height - 38 };
    const seen = [0];
    for (const side of sides) for (const v of curves[side]) if (v !== MISSING) seen.push(v);
    const x = makeScale(curves.epochs, false, area.left, area.right);
    const y = makeScale(seen, false, area.bottom, area.top);
    drawAxes(context, area, x, y, "epoch", `error (${column.metric}, %)`);
    context.lineWidth = 0.6;
    context.strokeStyle = BLUE_GREY;
    context.globalAlpha = Math.min(0.5, Math.max(0.12, 10 / data.archs.length));
    data.archs.forEach((_, arch) => path(context, curves, "test", arch, x, y));
    context.globalAlpha = 1;
    for (const [arch, place] of chosen) {
      context.strokeStyle = MARKS[place];
      for (const side of sides) {
        context.lineWidth = side === "test" ? 2.2 : 1;
        context.setLineDash(side === "test" ? DASHES[place] : [2, 3]);
        path(context, curves, side, arch, x, y);
      }
      context.setLineDash([]);
    }
    byId("curve-key").replaceChildren(...chosen.map(([, place, name]) => {
      const swatch = make("canvas", { width: 34, height: 10, "aria-hidden": "true" });
      const pen = swatch.getContext("2d");
      pen.strokeStyle = MARKS[place];
      pen.lineWidth = 2.2;
      pen.setLineDash(DASHES[place]);
      line(pen, 0, 5, 34, 5);
      return make("span", {}, swatch, ` ${name}`);
    }));
  }

  // ---- putting it together ----

  const GROUPS = { targets: "the targets", family: "the family members", all: "all data sets" };

  function buildExplorer() {
    const group = byId("explore-group"), against = byId("explore-x");
    for (const name of Object.keys(data.groups)) {
      group.append(make("option", { value: name }, GROUPS[name]));
    }
    const build = () => {
      for (const panel of state.panels.slice()) if (panel.small) panel.remove();
      for (const key of data.groups[group.value] || []) {
        if (key === against.value) continue;
        const axes = () => [against.value === "closest" ? data.closest[key] || data.reference :
          against.value, key];
        const panel = new Scatter(byId("explore-panels"), axes);
        panel.small = true;
        panel.draw();
      }
      setHover(-1, null);
    };
    const offer = () => {
      const before = against.value, options = [];
      const add = (key, text) => options.push(make("option", { value: key }, text));
      const titled = (key) => columns.get(key).title;
      if (data.reference) add(data.reference, `the reference, ${titled(data.reference)}`);
      if (group.value === "targets" && Object.keys(data.closest).length) {
        add("closest", "the closest family member");
      }
      for (const column of data.columns) {
        if (column.key !== data.reference) add(column.key, column.error ? column.title :
          column.label);
      }
      against.replaceChildren(...options);
      const errors = data.columns.filter((column) => column.error);
      const parameter = data.columns.find((column) => !column.error);
      if (options.some((option) => option.value === before)) against.value = before;
      else if (errors.length === 1 && parameter) against.value = parameter.key;
    };
    group.addEventListener("change", () => { offer(); build(); });
    against.addEventListener("change", build);
    byId("explore-clear").addEventListener("click", () => { state.picked = []; picksChanged(); });
    byId("explore").hidden = false;
    offer();
    build();
  }

  // A cell of a matrix opens its scatter plot under the matrix.
  function buildMatrices() {
    for (const table of document.querySelectorAll("table.heat")) {
      const host = make("div", { class: "pair" });
      table.parentElement.after(host);
      let panel = null, axes = null, open = null;
      const show = (cell) => {
        if (open) open.removeAttribute("aria-current");
        open = cell;
        open.setAttribute("aria-current", "true");
        axes = [cell.dataset.x, cell.dataset.y];
        if (!panel) panel = new Scatter(host, () => axes);
        panel.draw();
      };
      for (const cell of table.querySelectorAll("td[data-x]")) {
        if (!columns.has(cell.dataset.x) || !columns.has(cell.dataset.y)) continue;
        const button = make("button", { type: "button", "aria-label": cell.title },
          ...cell.childNodes);
        button.addEventListener("click", () => show(cell));
        cell.append(button);
      }
    }
  }

  function buildCurves() {
    const section = byId("curve-explorer"), keys = Object.keys(data.curves);
    if (!section || !keys.length) return;
    const picker = byId("curve-dataset");
    for (const key of keys) picker.append(make("option", { value: key }, columns.get(key).title));
    picker.addEventListener("change", drawCurves);
    byId("curve-train").addEventListener("change", drawCurves);
    section.hidden = false;
    new ResizeObserver(drawCurves).observe(byId("curve-canvas").parentElement);
    drawCurves();
  }

  if (data.columns.length && data.archs.length) {
    buildExplorer();
    buildMatrices();
    buildCurves();
    for (const each of document.querySelectorAll(".interactive.hint")) each.hidden = false;
  }

  // The page holds every SVG once, as an image; a link to download it takes it from there.
  for (const link of document.querySelectorAll("a.embedded")) {
    link.addEventListener("click", () => {
      const image = link.closest("figure").querySelector("img");
      link.download = link.getAttribute("href").split("/").pop();
      link.href = image.src;
    }, { once: true });
  }

  // What the plots show already is folded away; without scripts it stays open.
  for (const each of document.querySelectorAll("details.folded")) each.open = false;

  // Paper shows what is folded on the screen.
  let folded = [];
  window.addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details.printed:not([open])")];
    for (const each of folded) each.open = true;
  });
  window.addEventListener("afterprint", () => { for (const each of folded) each.open = false; });

  // How long a hover takes, in milliseconds: from the event to drawn pixels, on all plots shown.
  window.pyclsBenchmark = (steps = 60) => {
    const panel = state.panels.find((each) => each.order && each.order.length), times = [];
    if (!panel) return null;
    for (let step = 0; step < steps; step++) {
      const arch = panel.order[Math.floor((step * 0.618034 % 1) * panel.order.length)];
      const box = panel.top.getBoundingClientRect();
      const start = performance.now();
      panel.top.dispatchEvent(new PointerEvent("pointermove", { bubbles: true,
        clientX: box.left + panel.x[arch], clientY: box.top + panel.y[arch] }));
      for (const each of state.panels) if (each.overlay) each.overlay.getImageData(0, 0, 1, 1);
      times.push(performance.now() - start);
    }
    times.sort((a, b) => a - b);
    return { panels: state.panels.length, median: times[Math.floor(steps / 2)],
      p95: times[Math.floor(0.95 * steps)], highest: times[steps - 1] };
  };
})();
