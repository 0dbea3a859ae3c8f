// The trial that is looked at: its numbers, its polarization over time where the evaluator gave one, and what can be done with it.

import { button, fill, h, panel, write } from "./element.js";
import { Figure } from "./figure.js";
import { duration, number, sentence, vector, when, words } from "./format.js";
import { trialActions } from "./trial_actions.js";
import { wholeTrial } from "./campaign_head.js";

const FRAME = 60;

/** One trial in full. */
export class TrialPanel {
  #mark = "";
  #playing = 0;

  constructor(campaign, edit) {
    this.campaign = campaign;
    this.edit = edit;
    this.title = h("p", { class: "trial-title", role: "status" });
    this.facts = h("dl", { class: "pairs" });
    this.actions = h("div", { class: "row" });
    this.events = h("ul", { class: "plain-list soft" });
    this.picker = h("input", { type: "number", min: 0, step: 1, "aria-label": "Number of the trial to look at", on: { change: (event) => this.#pick(event) } });
    const tools = [
      button("‹", () => this.#step(-1), { kind: "quiet", "aria-label": "Previous trial" }),
      this.picker,
      button("›", () => this.#step(1), { kind: "quiet", "aria-label": "Next trial" }),
      button("Best", () => this.campaign.choose(null), { kind: "quiet", title: "Follow the best trial" }),
    ];
    this.play = button("Play", () => this.#toggle(), { kind: "quiet" });
    this.slider = h("input", { type: "range", min: 0, value: 0, "aria-label": "Time of the frame", on: { input: () => this.#show(Number(this.slider.value)) } });
    this.moment = h("output", { class: "mono" });
    this.player = h("div", { class: "row player", hidden: true }, this.play, this.slider, this.moment);
    this.fields = h("div", { class: "fields" });
    this.element = panel("Trial", { tools, className: "trial" }, h("div", { class: "trial-body" }, h("div", {}, this.title, this.facts, this.actions, this.events), h("div", {}, this.fields, this.player)));
    this.hasFields = false;
    this.update({ chosen: true, trials: [], summary: true });
  }

  /** Reads the trial anew where it or the choice has changed. */
  async update(change) {
    const trial = this.campaign.lookedAt;
    if (trial === null) {
      write(this.title, "There is no trial yet.");
      this.element.classList.add("empty");
      return;
    }
    this.element.classList.remove("empty");
    const known = this.campaign.trials.get(trial);
    const mark = `${trial} ${known?.state ?? ""} ${known?.finished_at ?? ""} ${this.campaign.isDamaged}`;
    const hasEvent = (change.events || []).some((event) => event.data?.trial === trial);
    if (mark === this.#mark && !hasEvent) return;
    const isOther = !this.#mark.startsWith(`${trial} `);
    this.#mark = mark;
    try {
      const whole = await wholeTrial(this.campaign.name, trial);
      if (this.campaign.lookedAt === trial) this.#write(whole, isOther);
    } catch (error) {
      write(this.title, error.message);
      if (error.code === "offline") this.#mark = "";
    }
  }

  /** Lets go. */
  close() {
    clearInterval(this.#playing);
    if (this.polarization) this.polarization.close();
  }

  #write(trial, isOther) {
    if (document.activeElement !== this.picker) this.picker.value = trial.number;
    const isBest = this.campaign.summary.incumbent?.trial === trial.number;
    fill(
      this.title,
      `Trial ${trial.number} `,
      h("span", { class: `badge ${trial.state}` }, trial.state),
      isBest ? h("span", { class: "badge best" }, "best") : null,
      trial.is_projected ? h("span", { class: "badge" }, "brought into the envelope") : null,
      trial.is_outlier ? h("span", { class: "badge unknown" }, "outlier") : null,
    );
    const error = Number.isFinite(trial.objective_error) ? ` ± ${number(trial.objective_error, 3)}` : "";
    const metrics = Object.entries(trial.metrics || {}).filter(([name]) => name !== this.campaign.summary.metric);
    const pairs = [
      [this.campaign.summary.metric, `${number(trial.objective)}${error}`],
      ["z", vector(trial.z)],
      ["proposed by", `${trial.acquisition}${trial.acquisition_value === null || trial.acquisition_value === undefined ? "" : ` (${number(trial.acquisition_value, 4)})`}`],
      ["predicted", Number.isFinite(trial.predicted_objective) ? `${number(trial.predicted_objective)} ± ${number(trial.predicted_error, 3)}` : null],
      ["from the data", trial.distance === null ? null : `${number(trial.distance, 3)} spacings`],
      ["measured", trial.seconds === null || trial.seconds === undefined ? null : `in ${duration(trial.seconds)}${trial.worker ? ` by ${trial.worker}` : ""}`],
      ["finished", trial.finished_at ? when(trial.finished_at) : null],
      ["reason", trial.reason || null],
      ...metrics.map(([name, item]) => [words(name), number(item)]),
    ];
    fill(this.facts, pairs.filter(([, text]) => text !== null).map(([name, text]) => h("div", {}, h("dt", {}, name), h("dd", {}, text))));
    fill(this.actions, trialActions(this.campaign, trial, this.edit));
    fill(this.events, (trial.events || []).slice(-8).map((event) => h("li", {}, h("span", { class: "mono" }, `${when(event.time)} `), sentence(event))));
    if (isOther) this.#fields(trial);
  }

  #fields(trial) {
    const arrays = Object.values(trial.arrays || {});
    const hasField = arrays.some((shape) => shape.length >= 3 && shape.at(-1) === 2);
    this.fields.hidden = !hasField;
    this.#stop();
    this.player.hidden = true;
    if (!hasField) return;
    if (!this.polarization) {
      this.polarization = new Figure(["campaigns", this.campaign.name, "figures", "polarization"], {
        label: "Polarization of the lattice as arrows over its curl",
        parameters: { trial: trial.number },
        prepare: (figure) => this.#frames(figure),
        tallest: 560,
      });
      this.fields.append(this.polarization.element);
    } else this.polarization.change({ trial: trial.number });
  }

  #frames(figure) {
    // The page has a slider of its own, which a keyboard and a screen reader can use.
    delete figure.layout.sliders;
    delete figure.layout.updatemenus;
    this.frames = figure.frames || [];
    if (this.frames.length) figure.layout.margin = { ...figure.layout.margin, b: 12 };
    this.player.hidden = this.frames.length < 2;
    this.slider.max = Math.max(0, this.frames.length - 1);
    this.slider.value = 0;
    this.#caption(0);
    return figure;
  }

  #caption(k) {
    const cursor = this.frames[k]?.data?.find((trace) => Array.isArray(trace.x) && trace.x.length === 2 && trace.x[0] === trace.x[1]);
    write(this.moment, cursor ? `t = ${number(cursor.x[0], 4)}` : `frame ${k + 1} of ${this.frames.length}`);
  }

  #show(k) {
    const frame = this.frames[k];
    if (!frame) return;
    this.#caption(k);
    this.polarization.revise((data) => frame.data.forEach((part, n) => Object.assign(data[frame.traces ? frame.traces[n] : n], part)));
  }

  #toggle() {
    if (this.#playing) return this.#stop();
    write(this.play, "Pause");
    if (Number(this.slider.value) >= this.frames.length - 1) this.slider.value = 0;
    this.#playing = setInterval(() => {
      const next = Number(this.slider.value) + 1;
      if (next >= this.frames.length) return this.#stop();
      this.slider.value = next;
      this.#show(next);
    }, FRAME);
  }

  #stop() {
    clearInterval(this.#playing);
    this.#playing = 0;
    write(this.play, "Play");
  }

  #pick(event) {
    const wanted = Math.round(Number(event.target.value));
    if (Number.isFinite(wanted) && wanted >= 0) this.campaign.choose(Math.min(wanted, Math.max(0, this.campaign.total - 1)));
  }

  #step(by) {
    const next = (this.campaign.lookedAt ?? 0) + by;
    if (next >= 0 && next < this.campaign.total) this.campaign.choose(next);
  }
}
