// A Plotly figure of the service in a card. Plotly itself is loaded when the first figure is wanted. A figure is fetched when it comes
// into view; what has changed since is fetched again at most every few seconds and at most a tenth of the time, however busy the
// campaign is (but within a quarter of a minute); single points are appended in between.

import { get } from "./api.js";
import { fill, h } from "./element.js";
import { isDark, onTheme } from "./theme.js";

const LEAST_WAIT = 2000;
const LONGEST_WAIT = 15000;
const SHARE = 10; // a figure may take a tenth of the time
const TALLEST = 0.72; // of the window

let plotly = null;
let themes = null;

/** Loads Plotly and the two themes, once. */
export function loadPlotly() {
  plotly ??= new Promise((resolve, reject) => {
    const script = h("script", { src: "/static/plotly.js" });
    script.addEventListener("load", () => resolve(window.Plotly));
    script.addEventListener("error", () => {
      plotly = null;
      script.remove();
      reject(new Error("Plotly could not be loaded from the service."));
    });
    document.head.append(script);
  });
  themes ??= fetch("/static/themes.json").then((answer) => answer.json()).catch(() => {
    themes = null;
    return { light: {}, dark: {} };
  });
  return Promise.all([plotly, themes]);
}

/** One figure; `parts` is its address below /api/v1, unless its `content` is given. */
export class Figure {
  #isDirty = true;
  #isSeen = false;
  #isBusy = false;
  #timer = 0;
  #next = 0;
  #width = 0;
  #stops = [];
  #abort = new AbortController();

  /** `drawn(figure)` is called after each whole drawing, with this object; `absent()` says why there is nothing to ask for yet, or "". */
  constructor(parts, { parameters = {}, label = "Figure", drawn = () => {}, tallest = 720, prepare = (figure) => figure, content = null, absent = () => "" } = {}) {
    this.parts = parts;
    this.absent = absent;
    this.given = content;
    this.parameters = parameters;
    this.label = label;
    this.drawn = drawn;
    this.prepare = prepare;
    this.tallest = tallest;
    this.content = null;
    this.plot = h("div", { class: "plot", role: "figure", "aria-label": label });
    this.message = h("p", { class: "absent" }, "Loading …");
    this.element = h("div", { class: "figure" }, this.message, this.plot);
    this.plot.hidden = true;
    const sight = new IntersectionObserver((entries) => {
      this.#isSeen = entries.at(-1).isIntersecting;
      this.#schedule();
    }, { rootMargin: "200px" });
    sight.observe(this.element);
    const size = new ResizeObserver(() => this.#fit());
    size.observe(this.element);
    this.#stops.push(() => sight.disconnect(), () => size.disconnect(), onTheme(() => this.#paint()));
  }

  /** Says that the figure is old. */
  invalidate() {
    this.#isDirty = true;
    this.#schedule();
  }

  /** Asks for another variant at once, for example another trial's. */
  change(parameters) {
    this.parameters = parameters;
    this.#next = 0;
    this.invalidate();
  }

  /** Says that the figure is old and that nothing newer is to come: it is drawn at once. */
  hurry() {
    this.#next = 0;
    this.invalidate();
  }

  /** Changes drawn data through `edit(data, layout)` and draws once; does nothing while there is nothing drawn. */
  async revise(edit) {
    if (!this.content || this.plot.hidden) return;
    const [Plotly] = await loadPlotly();
    if (this.#abort.signal.aborted) return;
    edit(this.content.data, this.content.layout);
    this.content.layout.datarevision = (this.content.layout.datarevision || 0) + 1;
    await Plotly.react(this.plot, this.content.data, this.content.layout, this.#config());
  }

  /** Lets go of everything. */
  close() {
    this.#abort.abort();
    clearTimeout(this.#timer);
    for (const stop of this.#stops) stop();
    if (this.content && window.Plotly) window.Plotly.purge(this.plot);
  }

  #schedule() {
    if (!this.#isDirty || !this.#isSeen || this.#isBusy || this.#abort.signal.aborted) return;
    const why = this.absent();
    if (why) return this.#say(why);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#load(), Math.max(0, this.#next - performance.now()));
  }

  async #load() {
    if (this.#isBusy || this.#abort.signal.aborted) return;
    this.#isBusy = true;
    this.#isDirty = false;
    const start = performance.now();
    try {
      const [[Plotly, both], figure] = await Promise.all([loadPlotly(), this.given || get(this.parts, this.parameters, this.#abort.signal)]);
      if (this.#abort.signal.aborted) return;
      await this.#draw(Plotly, both, this.prepare(decoded(figure)));
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!this.content) this.#say(error.message);
      else if (error.code === "not_found") {
        this.content = null;
        this.#say(error.message);
      }
      if (error.code === "offline") this.#isDirty = true;
    } finally {
      this.#isBusy = false;
      const took = performance.now() - start;
      this.#next = performance.now() + Math.min(LONGEST_WAIT, Math.max(LEAST_WAIT, SHARE * took));
      this.#schedule();
    }
  }

  async #draw(Plotly, both, figure) {
    const says = figure.layout.meta && figure.layout.meta.says;
    if (says) {
      this.content = null;
      this.#say(`${says[0].toUpperCase()}${says.slice(1)}.`);
      return;
    }
    this.message.hidden = true;
    this.plot.hidden = false;
    this.themes = both;
    this.#width = Math.round(this.element.clientWidth);
    figure.layout.template = both[isDark() ? "dark" : "light"];
    figure.layout.uirevision = "kept"; // a reader's zoom survives new data
    if (matchMedia("(pointer: coarse)").matches) figure.layout.dragmode = false; // a finger scrolls the page
    shape(figure.layout, this.#width, this.#tallest());
    this.content = figure;
    await Plotly.react(this.plot, figure.data, figure.layout, this.#config());
    this.drawn(this);
  }

  #say(sentence) {
    fill(this.message, sentence);
    this.message.hidden = false;
    this.plot.hidden = true;
  }

  #tallest() {
    const text = parseFloat(getComputedStyle(document.documentElement).fontSize);
    return Math.min(Math.max(380, TALLEST * window.innerHeight), (this.tallest * text) / 16);
  }

  #fit() {
    const width = Math.round(this.element.clientWidth);
    if (!this.content || !width || width === this.#width) return;
    this.#width = width;
    this.revise((_, layout) => shape(layout, width, this.#tallest())).then(() => this.content && this.drawn(this));
  }

  #paint() {
    if (this.themes) this.revise((_, layout) => (layout.template = this.themes[isDark() ? "dark" : "light"]));
  }

  #config() {
    const modeBar = matchMedia("(hover: hover)").matches ? "hover" : false;
    return { displaylogo: false, displayModeBar: modeBar, modeBarButtonsToRemove: ["lasso2d", "select2d"], responsive: false };
  }
}

/** Gives a figure the shape that it wants in a container of this width: see layout.meta of the figures. */
function shape(layout, available, tallest) {
  const meta = layout.meta && layout.meta.wide ? layout.meta : { breakpoint: 0, wide: { aspect: 1.6, layout: {} } };
  const side = available < meta.breakpoint ? meta.narrow : meta.wide;
  const height = side.height || Math.max(320, Math.min(available / (side.aspect || 1.6), tallest));
  let width = available;
  if (meta.is_square) width = Math.min(width, side.aspect ? height * side.aspect : side.max_width);
  layout.width = Math.round(width);
  layout.height = Math.round(height);
  const text = parseFloat(getComputedStyle(document.documentElement).fontSize);
  layout.font = { ...layout.font, size: available < 480 ? 11 : Math.round(0.8 * text) };
  for (const [key, value] of Object.entries(side.layout || {})) put(layout, key.split("."), value);
}

function put(target, keys, value) {
  for (const key of keys.slice(0, -1)) target = target[key] ??= {};
  target[keys.at(-1)] = value;
}

const TYPES = { f8: Float64Array, f4: Float32Array, i1: Int8Array, u1: Uint8Array, i2: Int16Array, u2: Uint16Array, i4: Int32Array, u4: Uint32Array };

/** Turns the packed arrays of plotly.py into plain ones, so that points can be appended. */
export function decoded(item) {
  if (Array.isArray(item)) return item.map(decoded);
  if (item === null || typeof item !== "object") return item;
  if (typeof item.bdata === "string" && item.dtype in TYPES) {
    const bytes = Uint8Array.from(atob(item.bdata), (letter) => letter.charCodeAt(0));
    const flat = Array.from(new TYPES[item.dtype](bytes.buffer));
    if (!item.shape) return flat;
    const columns = Number(String(item.shape).split(",")[1]);
    if (!Number.isFinite(columns)) return flat;
    return Array.from({ length: flat.length / columns }, (_, row) => flat.slice(row * columns, (row + 1) * columns));
  }
  return Object.fromEntries(Object.entries(item).map(([key, value]) => [key, decoded(value)]));
}
