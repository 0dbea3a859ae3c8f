// The trajectories that matter now: those being measured, the best one, and the one looked at, inside the safety envelope.

import { LineChart } from "./chart.js";
import { panel } from "./element.js";
import { wholeTrial } from "./campaign_head.js";

const MOST_RUNNING = 4;
const REMEMBERED = 60;

/** The chart of trajectories. */
export class TrajectoryPanel {
  #seen = new Map();
  #shown = "";
  #isBusy = false;

  constructor(campaign) {
    this.campaign = campaign;
    this.chart = new LineChart({ height: 330, label: "Trajectories", empty: "No trial has been measured yet." });
    this.element = panel("Trajectories", { note: "Being measured now, the best so far, and the one looked at; dashed lines bound what the safety envelope allows." }, this.chart.element);
    this.update({ trials: [true] });
  }

  /** Draws anew where another trial is measured, best or looked at. */
  async update(change) {
    if (this.#isBusy || !(change.trials.length || change.summary || change.chosen)) return;
    const wanted = this.#wanted();
    const mark = JSON.stringify(wanted);
    if (mark === this.#shown) return;
    this.#isBusy = true;
    try {
      const lines = (await Promise.all(wanted.map(([kind, trial, name]) => this.#line(kind, trial, name)))).filter(Boolean);
      this.#draw(lines);
      this.#shown = mark;
    } finally {
      this.#isBusy = false;
    }
    if (JSON.stringify(this.#wanted()) !== mark) this.update({ trials: [true] });
  }

  #wanted() {
    const best = this.campaign.summary.incumbent;
    const running = this.campaign.waiting("armed").slice(-MOST_RUNNING);
    const isRunning = running.some((trial) => trial.number === this.campaign.lookedAt);
    const chosen = this.campaign.lookedAt;
    return [
      ...running.map((trial) => ["running", trial.number, `measured now (trial ${trial.number})`]),
      ...(best ? [["best", best.trial, `best (trial ${best.trial})`]] : []),
      ...(chosen !== null && chosen !== best?.trial && !isRunning ? [["chosen", chosen, `looked at (trial ${chosen})`]] : []),
    ];
  }

  async #line(kind, trial, name) {
    try {
      const whole = this.#seen.get(trial) || (await wholeTrial(this.campaign.name, trial));
      if (!whole.trajectory) return null;
      this.#seen.set(trial, whole);
      if (this.#seen.size > REMEMBERED) this.#seen.delete(this.#seen.keys().next().value);
      return { name, values: whole.trajectory, kind };
    } catch {
      return null;
    }
  }

  #draw(lines) {
    const { detail } = this.campaign;
    const title = (quantity, unit) => (unit ? `${quantity} (${unit})` : quantity);
    const channels = detail.channels || [];
    this.chart.show({
      times: detail.times || [],
      lines,
      bounds: detail.envelope,
      channels,
      xTitle: title("time", detail.time_unit),
      yTitle: title(channels.length === 1 ? channels[0] : "value", detail.unit),
    });
  }
}
