// What needs a person, before everything else: trials held for approval, trials nobody knows the fate of, readings nobody believes.

import { wholeTrial } from "./campaign_head.js";
import { LineChart } from "./chart.js";
import { button, fill, h, panel } from "./element.js";
import { number, some, vector } from "./format.js";
import { trialActions } from "./trial_actions.js";

const SHOWN = 12;
const WHY = {
  held: "waits for approval before it is measured",
  unknown: "nobody knows whether it fired",
  quarantined: "measured, but not believable",
};

/** The list of trials that need a person; hidden while there are none. */
export class AttentionPanel {
  constructor(campaign, edit) {
    this.campaign = campaign;
    this.edit = edit;
    this.list = h("ul", { class: "attention-list" });
    this.count = h("p", { class: "soft", role: "status" });
    this.element = panel("Needs a person", { className: "attention" }, this.count, this.list);
    this.shown = "";
    this.update({ trials: [true] });
  }

  /** Lists the trials anew where one of them changed. */
  update(change) {
    if (!change.trials.length && !change.detail && !change.summary) return;
    const trials = this.campaign.waiting("held", "unknown", "quarantined");
    const mark = JSON.stringify([this.campaign.isDamaged, trials.map((trial) => [trial.number, trial.state, trial.z])]);
    if (mark === this.shown) return;
    this.shown = mark;
    this.element.hidden = trials.length === 0;
    this.count.textContent = `${some(trials.length, "trial")} ${trials.length === 1 ? "waits" : "wait"} for a decision${trials.length > SHOWN ? `; the first ${SHOWN} are listed` : ""}.`;
    fill(this.list, trials.slice(0, SHOWN).map((trial) => this.#item(trial)));
  }

  #item(trial) {
    return h(
      "li",
      { class: trial.state },
      h(
        "div",
        {},
        button(`Trial ${trial.number}`, () => this.campaign.choose(trial.number), { kind: "link" }),
        h("span", { class: `badge ${trial.state}` }, trial.state),
        h("span", { class: "soft" }, [WHY[trial.state], trial.reason].filter(Boolean).join(": ")),
        h("span", { class: "soft mono" }, `z = ${vector(trial.z)}${trial.objective === null || trial.objective === undefined ? "" : `, ${number(trial.objective)}`}`),
      ),
      trial.state === "held" ? this.#peek(trial) : null,
      h("div", { class: "row" }, trialActions(this.campaign, trial, this.edit)),
    );
  }
  /** What would be measured, drawn small beside the decision about it. */
  #peek(trial) {
    const chart = new LineChart({ height: 46, isSmall: true, label: `Trajectory of trial ${trial.number}` });
    const { detail, name } = this.campaign;
    wholeTrial(name, trial.number)
      .then((whole) => chart.show({ times: whole.times, lines: [{ name: "held", values: whole.trajectory || [], kind: "chosen" }], bounds: detail.envelope, channels: detail.channels || [] }))
      .catch(() => {}); // the decision does not hang on the picture; the trial's own panel says what is wrong
    return h("div", { class: "peek" }, chart.element);
  }
}
