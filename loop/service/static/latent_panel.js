// The latent space: what the surrogate believes, where trials were, and where they are now. Hovering over a trial shows its trajectory,
// a click chooses it; in steering mode a handle can be dragged through the space.

import { LineChart } from "./chart.js";
import { button, h, panel, write } from "./element.js";
import { Figure } from "./figure.js";
import { number } from "./format.js";
import { wholeTrial } from "./campaign_head.js";

const LAYERS = { mean: "Mean", uncertainty: "Uncertainty", acquisition: "Acquisition" };
const HOVER_WAIT = 90;
const SHARE = 8;
const REMEMBERED = 200;

/** The latent space with switchable surfaces. */
export class LatentPanel {
  #waiting = new Map();
  #timer = 0;
  #hover = 0;
  #seen = new Map();

  constructor(campaign) {
    this.campaign = campaign;
    this.layer = "mean";
    this.onPlace = null;
    this.switches = h("div", { class: "switch", role: "group", "aria-label": "Surface", hidden: true });
    this.figure = new Figure(["campaigns", campaign.name, "figures", "latent_space"], {
      label: "Latent space with the surrogate's belief, the explored trials and those under way",
      drawn: (figure) => this.#drawn(figure),
      prepare: (figure) => this.#prepare(figure),
      absent: () => (campaign.detail.models?.length ? "" : "The latent model has not been trained yet."),
    });
    this.preview = new LineChart({ height: 120, isSmall: true, label: "Trajectory of the trial under the pointer" });
    this.caption = h("p");
    this.bubble = h("div", { class: "bubble", "aria-hidden": "true", hidden: true }, this.caption, this.preview.element);
    this.handle = button("", () => {}, { kind: "handle", "aria-label": "Point in the latent space; move it with the arrow keys", hidden: true });
    this.handle.hidden = true;
    this.stage = h("div", { class: "stage" }, this.figure.element, this.handle, this.bubble);
    this.element = panel(
      "Latent space",
      { note: "Explored trials coloured by their value. Hover over one for its trajectory, click it to look at it.", tools: [this.switches] },
      this.stage,
    );
    this.#listenToHandle();
    this.known = new Set();
  }

  /** Appends new trials, and asks for new surfaces at leisure. */
  update(change) {
    if (change.detail && !this.figure.content) this.figure.invalidate();
    const hasEnded = this.state === "running" && this.campaign.summary.state !== "running";
    this.state = this.campaign.summary.state;
    if (hasEnded) this.figure.hurry();
    for (const trial of change.trials) this.#waiting.set(trial.number, trial);
    if (!this.#waiting.size || this.#timer) return;
    this.#timer = setTimeout(() => this.#append(), 60);
  }

  /** Lets go. */
  close() {
    clearTimeout(this.#timer);
    clearTimeout(this.#hover);
    this.figure.close();
  }

  /** Shows a handle at z and calls back with the new first two coordinates while it is moved; null ends that. */
  steer(z, onPlace) {
    this.onPlace = onPlace;
    this.z = z;
    this.stage.classList.toggle("is-steering", Boolean(onPlace));
    this.#placeHandle();
  }

  /** Moves the handle, for example after a slider was moved. */
  place(z) {
    this.z = z;
    this.#placeHandle();
  }

  #prepare(figure) {
    const layers = figure.layout.meta?.latentloop?.layers || {};
    for (const [key, index] of Object.entries(layers)) figure.data[index].visible = key === this.#available(layers);
    return figure;
  }

  #available(layers) {
    return this.layer in layers ? this.layer : "mean";
  }

  #drawn(figure) {
    const roles = figure.content.layout.meta?.latentloop;
    this.known = new Set(roles ? figure.content.data[roles.trials].customdata || [] : []);
    this.#offer(roles);
    this.#placeHandle();
    if (figure.plot.dataset.listens) return;
    figure.plot.dataset.listens = "yes";
    figure.plot.on("plotly_hover", (event) => this.#point(event));
    figure.plot.on("plotly_unhover", () => this.#leave());
    figure.plot.on("plotly_relayout", () => this.#placeHandle());
    figure.plot.on("plotly_click", (event) => {
      const trial = trialOf(event);
      if (trial !== null && !this.onPlace) this.campaign.choose(trial);
    });
  }

  #offer(roles) {
    const layers = Object.keys(roles?.layers || {});
    this.switches.hidden = layers.length < 2;
    const mark = layers.join();
    if (this.switches.dataset.layers !== mark) {
      this.switches.dataset.layers = mark;
      this.switches.replaceChildren(...layers.map((key) => button(LAYERS[key], () => this.#show(key), { data: { key } })));
    }
    for (const item of this.switches.children) item.setAttribute("aria-pressed", String(item.dataset.key === this.#available(roles?.layers || {})));
  }

  #show(key) {
    this.layer = key;
    const roles = this.figure.content.layout.meta.latentloop;
    this.#offer(roles);
    this.figure.revise((data) => {
      for (const [name, index] of Object.entries(roles.layers)) data[index].visible = name === key;
    }).then(() => this.#placeHandle());
  }

  async #append() {
    const trials = [...this.#waiting.values()];
    this.#waiting.clear();
    const start = performance.now();
    const roles = this.figure.content?.layout.meta?.latentloop;
    if (!roles) this.figure.invalidate();
    else {
      await this.figure.revise((data) => trials.forEach((trial) => this.#add(data, roles, trial)));
      if (trials.some((trial) => trial.state === "completed")) this.figure.invalidate();
    }
    this.#timer = setTimeout(() => {
      this.#timer = 0;
      if (this.#waiting.size) this.update({ trials: [] });
    }, SHARE * (performance.now() - start));
  }

  #add(data, roles, trial) {
    if (!trial.z || trial.z.length < 2) return;
    const pending = data[roles.pending];
    const at = (pending.customdata || []).indexOf(trial.number);
    if (["armed", "held", "proposed"].includes(trial.state)) {
      if (at < 0) push(pending, trial);
    } else if (at >= 0) for (const key of ["x", "y", "customdata", "text"]) if (Array.isArray(pending[key])) pending[key].splice(at, 1);
    if (trial.state !== "completed" || trial.objective === null || this.known.has(trial.number)) return;
    this.known.add(trial.number);
    push(data[roles.trials], trial);
    const colours = data[roles.trials].marker.color;
    if (Array.isArray(colours)) colours.push(trial.objective);
    if (this.campaign.summary.incumbent?.trial === trial.number) {
      Object.assign(data[roles.incumbent], { x: [trial.z[0]], y: [trial.z[1]], customdata: [trial.number], text: [number(trial.objective)] });
    }
  }

  #point(event) {
    const trial = trialOf(event);
    clearTimeout(this.#hover);
    if (trial === null) return this.#leave();
    this.#hover = setTimeout(async () => {
      try {
        const whole = this.#seen.get(trial) || (await wholeTrial(this.campaign.name, trial));
        this.#seen.set(trial, whole);
        if (this.#seen.size > REMEMBERED) this.#seen.delete(this.#seen.keys().next().value);
        const box = this.stage.getBoundingClientRect();
        const at = { x: event.event.clientX - box.left, y: event.event.clientY - box.top };
        this.bubble.style.left = `${at.x > box.width / 2 ? at.x - 236 : at.x + 16}px`;
        this.bubble.style.top = `${Math.max(0, at.y > box.height / 2 ? at.y - 190 : at.y + 16)}px`;
        write(this.caption, `Trial ${trial}: ${number(whole.objective)} (${whole.state})`);
        this.bubble.hidden = false;
        this.preview.show({ times: whole.times, lines: [{ name: `trial ${trial}`, values: whole.trajectory, kind: "chosen" }], channels: this.campaign.detail.channels || [] });
      } catch {
        this.bubble.hidden = true;
      }
    }, HOVER_WAIT);
  }

  #leave() {
    clearTimeout(this.#hover);
    this.bubble.hidden = true;
  }

  #axes() {
    const layout = this.figure.plot._fullLayout;
    return layout?.xaxis && layout.yaxis ? [layout.xaxis, layout.yaxis] : null;
  }

  #placeHandle() {
    const axes = this.onPlace && this.z && this.z.length > 1 ? this.#axes() : null;
    this.handle.hidden = !axes;
    if (!axes) return;
    const origin = this.figure.plot.getBoundingClientRect();
    const stage = this.stage.getBoundingClientRect();
    this.handle.style.left = `${origin.left - stage.left + axes[0]._offset + axes[0].d2p(this.z[0])}px`;
    this.handle.style.top = `${origin.top - stage.top + axes[1]._offset + axes[1].d2p(this.z[1])}px`;
  }

  #listenToHandle() {
    const move = (event) => {
      const axes = this.#axes();
      if (!axes || !this.onPlace) return;
      const origin = this.figure.plot.getBoundingClientRect();
      this.#to(axes[0].p2d(event.clientX - origin.left - axes[0]._offset), axes[1].p2d(event.clientY - origin.top - axes[1]._offset));
    };
    this.handle.addEventListener("pointerdown", (event) => {
      this.handle.setPointerCapture(event.pointerId);
      event.preventDefault();
      this.handle.focus();
    });
    this.handle.addEventListener("pointermove", (event) => this.handle.hasPointerCapture(event.pointerId) && move(event));
    this.handle.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (!by || !this.onPlace) return;
      event.preventDefault();
      const box = this.campaign.detail.box;
      const step = event.shiftKey ? 0.1 : 0.01;
      this.#to(this.z[0] + by[0] * step * (box[0][1] - box[0][0]), this.z[1] + by[1] * step * (box[1][1] - box[1][0]));
    });
  }

  #to(first, second) {
    const box = this.campaign.detail.box;
    const inside = (value, k) => Math.min(box[k][1], Math.max(box[k][0], value));
    this.z = [inside(first, 0), inside(second, 1), ...this.z.slice(2)];
    this.#placeHandle();
    this.onPlace(this.z);
  }
}

function push(trace, trial) {
  const values = { x: trial.z[0], y: trial.z[1], customdata: trial.number, text: number(trial.objective) };
  for (const [key, value] of Object.entries(values)) (Array.isArray(trace[key]) ? trace[key] : (trace[key] = [])).push(value);
}

function trialOf(event) {
  const found = event.points.map((point) => point.customdata).find((item) => typeof item === "number");
  return found === undefined ? null : found;
}
