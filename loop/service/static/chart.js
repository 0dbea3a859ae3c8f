// Trajectories over time: a small line chart in plain SVG. It costs a millisecond, so it can follow a pointer; colours are CSS classes,
// so it changes with the theme by itself; and it is there before Plotly is loaded.

import { fill, h, svg, write } from "./element.js";
import { number } from "./format.js";

const MOST_POINTS = 1200;
const MARGIN = { left: 58, right: 14, top: 10, bottom: 40 };

/** A chart that shows what `show` gives it, as wide as its container. */
export class LineChart {
  #shown = null;
  #scale = null;
  #width = 0;

  /** `height` in pixels; `isSmall` leaves out axes and legend, for previews; `empty` is said while there is no line. */
  constructor({ height = 300, isSmall = false, hasLegend = !isSmall, label = "Trajectories over time", empty = "" } = {}) {
    this.height = height;
    this.isSmall = isSmall;
    this.margin = isSmall ? { left: 4, right: 4, top: 4, bottom: 4 } : MARGIN;
    this.drawing = svg("svg", { class: "chart", height, role: "img", "aria-label": label });
    this.label = label;
    this.legend = h("ul", { class: "legend", hidden: !hasLegend });
    this.readout = h("p", { class: "readout", "aria-hidden": "true" });
    this.nothing = h("p", { class: "absent chart-empty", hidden: true }, empty);
    this.element = h("div", { class: "chart-box" }, this.drawing, isSmall ? null : [this.readout, this.nothing, this.legend]);
    new ResizeObserver(() => this.#fit()).observe(this.element);
    if (!isSmall) {
      this.drawing.addEventListener("pointermove", (event) => this.#read(event));
      this.drawing.addEventListener("pointerleave", () => this.#read(null));
    }
  }

  /**
   * Draws lines over time.
   *
   * `times`: (T,); `lines`: list of {name, values: (T,) or (T, channels), kind: a CSS class}; `bounds`: {lower, upper} of the safety
   * envelope, null where nothing is bounded; `channels`: their names; `xTitle`, `yTitle`.
   */
  show({ times, lines, bounds = null, channels = [], xTitle = "", yTitle = "" }) {
    this.#shown = { times, lines: lines.flatMap((line) => split(line, channels)), bounds: splitBounds(bounds), xTitle, yTitle };
    this.#draw();
  }

  #fit() {
    const width = Math.round(this.element.clientWidth);
    if (width === this.#width || width === 0) return;
    this.#width = width;
    this.#draw();
  }

  #draw() {
    const shown = this.#shown;
    if (!shown || !this.#width) return;
    const { times, lines, bounds } = shown;
    const box = { x0: this.margin.left, x1: this.#width - this.margin.right, y0: this.height - this.margin.bottom, y1: this.margin.top };
    const [low, high] = extent(lines, bounds);
    const x = scale(times[0] ?? 0, times[times.length - 1] ?? 1, box.x0, box.x1);
    const y = scale(low, high, box.y0, box.y1);
    this.#scale = { x, y, box };
    this.drawing.setAttribute("width", this.#width);
    this.drawing.setAttribute("viewBox", `0 0 ${this.#width} ${this.height}`);
    this.drawing.setAttribute("aria-label", `${this.label}: ${lines.map((line) => line.name).join(", ") || "nothing yet"}.`);
    this.cursor = svg("line", { class: "cursor", y1: box.y0, y2: box.y1, visibility: "hidden" });
    fill(
      this.drawing,
      this.isSmall ? null : this.#axes(x, y, low, high, box),
      bounds.map((side) => svg("path", { class: "line bound", d: path(times, side, x, y) })),
      lines.map((line) => svg("path", { class: `line ${line.kind}${line.isDashed ? " dashed" : ""}`, d: path(times, line.values, x, y) })),
      this.cursor,
    );
    this.nothing.hidden = lines.length > 0;
    if (this.isSmall) return;
    const entries = lines.map((line) => [line.kind, line.name, line.isDashed]);
    if (bounds.length) entries.push(["bound", "safety envelope", false]);
    fill(this.legend, entries.map(([kind, name, isDashed]) => h("li", {}, h("span", { class: `swatch ${kind}${isDashed ? " dashed" : ""}` }), name)));
  }

  #axes(x, y, low, high, box) {
    const across = ticks(this.#shown.times[0] ?? 0, this.#shown.times.at(-1) ?? 1, Math.max(2, Math.floor((box.x1 - box.x0) / 90)));
    const upward = ticks(low, high, Math.max(2, Math.floor((box.y0 - box.y1) / 55)));
    return [
      upward.map((tick) => svg("line", { class: "grid", x1: box.x0, x2: box.x1, y1: y(tick), y2: y(tick) })),
      svg("path", { class: "axis", d: `M${box.x0},${box.y1}V${box.y0}H${box.x1}` }),
      across.map((tick) => svg("text", { class: "tick", x: x(tick), y: box.y0 + 16, "text-anchor": "middle" }, number(tick, 4))),
      upward.map((tick) => svg("text", { class: "tick", x: box.x0 - 7, y: y(tick) + 4, "text-anchor": "end" }, number(tick, 4))),
      svg("text", { class: "axis-title", x: (box.x0 + box.x1) / 2, y: box.y0 + 34, "text-anchor": "middle" }, this.#shown.xTitle),
      svg("text", { class: "axis-title", x: 0, y: 0, "text-anchor": "middle", transform: `translate(13 ${(box.y0 + box.y1) / 2}) rotate(-90)` }, this.#shown.yTitle),
    ];
  }

  #read(event) {
    const shown = this.#shown;
    if (!shown || !this.#scale || !shown.times.length) return;
    if (event === null) {
      this.cursor.setAttribute("visibility", "hidden");
      write(this.readout, "");
      return;
    }
    const { x } = this.#scale;
    const at = event.clientX - this.drawing.getBoundingClientRect().left;
    let step = 0;
    for (let k = 1; k < shown.times.length; k += 1) if (Math.abs(x(shown.times[k]) - at) < Math.abs(x(shown.times[step]) - at)) step = k;
    this.cursor.setAttribute("x1", x(shown.times[step]));
    this.cursor.setAttribute("x2", x(shown.times[step]));
    this.cursor.setAttribute("visibility", "visible");
    write(this.readout, `t = ${number(shown.times[step], 4)}: ${shown.lines.map((line) => `${line.name} ${number(line.values[step], 4)}`).join(", ")}`);
  }
}

/** A tiny line of the best value so far, for cards and tables. */
export function sparkline(values, { width = 120, height = 34 } = {}) {
  const known = values.filter((value) => value !== null);
  const label = known.length ? `Best value so far, from ${number(known[0])} to ${number(known.at(-1))}` : "No value yet";
  const x = scale(0, Math.max(1, values.length - 1), 3, width - 3);
  const y = scale(Math.min(...known), Math.max(...known), height - 4, 4);
  const steps = values.map((value, k) => [k, value]).filter(([, value]) => value !== null);
  const d = steps.map(([k, value], n) => (n === 0 ? `M${x(k)},${y(value)}` : `H${x(k)}V${y(value)}`)).join("");
  const last = steps.at(-1);
  return svg(
    "svg",
    { class: "sparkline", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label },
    svg("path", { d, class: "line" }),
    last ? svg("circle", { cx: x(last[0]), cy: y(last[1]), r: 2.6 }) : null,
  );
}

function split(line, channels) {
  const { name, values, kind } = line;
  if (!values || !values.length) return [];
  if (!Array.isArray(values[0])) return [{ name, values, kind, isDashed: false }];
  return values[0].map((_, channel) => ({
    name: values[0].length > 1 ? `${name}, ${channels[channel] || `channel ${channel + 1}`}` : name,
    values: values.map((row) => row[channel]),
    kind,
    isDashed: channel % 2 === 1,
  }));
}

function splitBounds(bounds) {
  if (!bounds) return [];
  const sides = [bounds.lower, bounds.upper].filter(Boolean).flatMap((side) => split({ name: "", values: side, kind: "bound" }, []));
  return sides.map((side) => side.values).filter((side) => side.some((value) => value !== null));
}

function extent(lines, bounds) {
  let low = Infinity;
  let high = -Infinity;
  for (const values of [...lines.map((line) => line.values), ...bounds]) {
    for (const value of values) {
      if (value === null || !Number.isFinite(value)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (low > high) return [0, 1];
  const room = 0.05 * (high - low) || 0.5 * Math.abs(high) || 1;
  return [low - room, high + room];
}

function scale(from, to, start, end) {
  const slope = (end - start) / (to - from || 1);
  return (value) => Math.round(10 * (start + slope * (value - from))) / 10;
}

function ticks(low, high, wanted) {
  const rough = (high - low) / wanted;
  if (!(rough > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough) || 10);
  const found = [];
  for (let k = Math.ceil(low / step); k * step <= high + 1e-9 * step; k += 1) found.push(Number((k * step).toPrecision(12)));
  return found;
}

function path(times, values, x, y) {
  const stride = Math.max(1, Math.ceil(values.length / MOST_POINTS));
  let d = "";
  let isDown = false;
  for (let k = 0; k < values.length; k += stride) {
    const value = values[k];
    if (value === null || !Number.isFinite(value)) {
      isDown = false;
      continue;
    }
    d += `${isDown ? "L" : "M"}${x(times[k])},${y(value)}`;
    isDown = true;
  }
  return d;
}
