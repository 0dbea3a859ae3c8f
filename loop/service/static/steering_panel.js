// Steering by hand: a point in the latent space is moved with sliders, by dragging or with the arrow keys, its decoded trajectory and
// what the surrogate expects of it follow, and it is added as a trial or put in the place of one that is held.

import { post } from "./api.js";
import { LineChart } from "./chart.js";
import { button, fill, h, panel, write } from "./element.js";
import { number } from "./format.js";
import { attempt, notice } from "./notice.js";

/** The editor of a point; hidden until it is opened. */
export class SteeringPanel {
  #isBusy = false;
  #isStale = false;

  constructor(campaign, latent) {
    this.campaign = campaign;
    this.latent = latent;
    this.trial = null;
    this.sliders = h("div", { class: "sliders" });
    this.chart = new LineChart({ height: 260, label: "Decoded trajectory" });
    this.expected = h("p", { role: "status" });
    this.violation = h("p", { class: "refused", role: "alert" });
    this.reason = h("input", { type: "text", "aria-label": "Reason", placeholder: "Reason (kept in the journal)", autocomplete: "off" });
    this.confirm = button("Add trial", () => this.#commit(), { kind: "main" });
    this.heading = h("p", { class: "soft note" });
    this.element = panel(
      "Steer by hand",
      { className: "steering" },
      this.heading,
      h("div", { class: "split" }, h("div", {}, this.sliders, this.expected, this.violation, h("div", { class: "row" }, this.reason, this.confirm, button("Close", () => this.close(), { kind: "quiet" }))), this.chart.element),
    );
    this.element.hidden = true;
  }

  /** Opens the editor for a new trial, or in the place of a held one. */
  async open(trial = null) {
    if (!this.campaign.detail.box?.length) await this.campaign.reread().catch(() => {});
    const box = this.campaign.detail.box;
    if (!box?.length) return notice("There is no latent space yet: its model is still being trained.", "bad");
    this.trial = trial;
    this.z = (trial?.z || this.campaign.summary.incumbent?.z || box.map(([low, high]) => (low + high) / 2)).slice();
    write(this.confirm, trial ? `Replace trial ${trial.number}` : "Add trial");
    write(this.heading, trial
      ? `Trial ${trial.number} is held: move its point in the latent space; the edited trajectory is measured in its place.`
      : "Move the point with the sliders, drag it in the latent space, or use the arrow keys on it; then add it as a trial.");
    fill(this.sliders, this.z.map((value, k) => this.#slider(value, k, box[k])));
    this.element.hidden = false;
    this.latent.steer(this.z, (z) => this.#moved(z, true));
    this.element.scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth", block: "nearest" });
    this.sliders.querySelector("input").focus({ preventScroll: true });
    this.#moved(this.z, true);
  }

  /** Closes the editor. */
  close() {
    this.element.hidden = true;
    this.latent.steer(null, null);
  }

  /** The campaign goes on underneath; nothing to do. */
  update() {}

  #slider(value, k, [low, high]) {
    const name = this.campaign.detail.axis_names?.[k] || `z${k + 1}`;
    const id = `steer-${k}`;
    // Steps a hair too short: rounding must not put the last one beyond the end, where it would be left out.
    const range = h("input", { type: "range", id, min: low, max: high, step: ((high - low) / 500) * (1 - 1e-9), on: { input: () => this.#from(k, Number(range.value)) } });
    range.value = value;
    return h("div", { class: "slider" }, h("label", { for: id }, name), range, h("output", { class: "mono", for: id }, number(value, 4)));
  }

  #from(k, value) {
    this.z[k] = value;
    this.#moved(this.z, false);
    this.latent.place(this.z);
  }

  #moved(z, writesSliders) {
    this.z = z.slice();
    [...this.sliders.children].forEach((row, k) => {
      if (writesSliders) row.querySelector("input").value = z[k];
      write(row.querySelector("output"), number(z[k], 4));
    });
    this.#decode();
  }

  async #decode() {
    // One request at a time; the last point is always decoded.
    if (this.#isBusy) {
      this.#isStale = true;
      return;
    }
    this.#isBusy = true;
    try {
      const found = await post(["campaigns", this.campaign.name, "decode"], { z: this.z });
      const { detail } = this.campaign;
      this.chart.show({
        times: found.times || detail.times,
        lines: [{ name: "decoded", values: found.trajectory, kind: "chosen" }],
        bounds: detail.envelope,
        channels: detail.channels || [],
        xTitle: detail.time_unit ? `time (${detail.time_unit})` : "time",
        yTitle: detail.unit ? `value (${detail.unit})` : "value",
      });
      write(this.violation, found.violation || "");
      write(this.expected, found.mean === null || found.mean === undefined
        ? "The surrogate has nothing to go by yet."
        : `The surrogate expects ${number(found.mean, 4)} ± ${number(found.std, 3)} here.`);
    } catch (error) {
      write(this.violation, error.message);
    } finally {
      this.#isBusy = false;
      if (this.#isStale && !this.element.hidden) {
        this.#isStale = false;
        this.#decode();
      }
    }
  }

  async #commit() {
    const body = { z: this.z, ...(this.reason.value.trim() ? { reason: this.reason.value.trim() } : {}) };
    const place = this.trial ? ["campaigns", this.campaign.name, "trials", this.trial.number, "edit"] : ["campaigns", this.campaign.name, "proposals"];
    const done = await attempt(() => post(place, body), this.trial ? `Trial ${this.trial.number} edited.` : "The point is in the queue; it is measured next.");
    if (!done) return;
    this.reason.value = "";
    this.campaign.refresh();
    this.close();
  }
}
