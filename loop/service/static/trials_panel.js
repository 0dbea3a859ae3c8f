// The table of trials, newest first. New trials are put on top of it, changed ones written in place; older ones are read on demand.

import { get } from "./api.js";
import { button, h, panel, write } from "./element.js";
import { count, duration, number, some, vector, when } from "./format.js";
import { attempt } from "./notice.js";

const PAGE = 100;
const MOST_ROWS = 2000;
const STATES = ["completed", "armed", "held", "failed", "quarantined", "unknown", "refused", "vetoed"];

/** The table of trials. */
export class TrialsPanel {
  constructor(campaign) {
    this.campaign = campaign;
    this.rows = new Map();
    this.state = "";
    this.body = h("tbody", { on: { click: (event) => this.#clicked(event) } });
    this.note = h("p", { class: "soft", role: "status" });
    this.more = button("Older trials", () => this.#older(), { kind: "quiet" });
    const filter = h("select", { "aria-label": "Show trials in state", on: { change: () => this.#filter(filter.value) } }, h("option", { value: "" }, "all states"), STATES.map((state) => h("option", { value: state }, state)));
    const head = ["Trial", "State", campaign.summary.metric, "z", "Proposed by", "Seconds", "Worker", "Finished", "Reason"];
    const table = h(
      "table",
      { class: "trials" },
      h("caption", { class: "hidden" }, "Trials, newest first"),
      h("thead", {}, h("tr", {}, head.map((name, k) => h("th", { scope: "col", class: [0, 2, 5].includes(k) ? "number" : "" }, name)))),
      this.body,
    );
    this.scroll = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of trials" }, table);
    this.element = panel("Trials", { className: "full", tools: [filter] }, this.note, this.scroll, h("div", { class: "row" }, this.more));
    this.#reset([...campaign.trials.values()].sort((a, b) => b.number - a.number).slice(0, PAGE), campaign.total);
  }

  /** Puts new trials on top and writes changed ones in place. */
  update(change) {
    for (const trial of change.trials.slice().sort((a, b) => a.number - b.number)) this.#take(trial);
    if (change.summary) this.#mark();
    if (change.chosen) this.#mark();
    if (change.trials.length) this.#say();
  }

  #take(trial) {
    const row = this.rows.get(trial.number);
    if (this.state && trial.state !== this.state) {
      if (row) this.#drop(trial.number);
      return;
    }
    if (row) this.#write(row, trial);
    else if (!this.newest || trial.number > this.newest) {
      this.body.prepend(this.#row(trial));
      this.newest = trial.number;
      if (this.rows.size > MOST_ROWS) this.#drop(Number(this.body.lastElementChild.dataset.trial));
    }
  }

  #drop(number) {
    this.rows.get(number).remove();
    this.rows.delete(number);
  }

  #row(trial) {
    const row = h("tr", { data: { trial: trial.number } }, h("td", { class: "number" }, button(String(trial.number), () => {}, { kind: "link", "aria-label": `Look at trial ${trial.number}` })), Array.from({ length: 8 }, () => h("td")));
    const [, state, objective, z, , seconds, , finished, reason] = row.cells;
    objective.className = seconds.className = "number";
    z.className = finished.className = "mono";
    reason.className = "why";
    state.append(h("span"));
    this.rows.set(trial.number, row);
    this.#write(row, trial);
    return row;
  }

  #write(row, trial) {
    const [, state, objective, z, by, seconds, worker, finished, reason] = row.cells;
    const label = state.firstElementChild;
    label.className = `badge ${trial.state}`;
    write(label, trial.state);
    write(objective, number(trial.objective) + (Number.isFinite(trial.objective_error) ? ` ± ${number(trial.objective_error, 2)}` : ""));
    write(z, vector(trial.z));
    write(by, trial.acquisition || "–");
    write(seconds, trial.seconds === null || trial.seconds === undefined ? "–" : duration(trial.seconds));
    write(worker, trial.worker || "–");
    write(finished, when(trial.finished_at));
    write(reason, trial.reason || "");
    row.classList.toggle("best", this.campaign.summary.incumbent?.trial === trial.number);
  }

  #mark() {
    const best = this.campaign.summary.incumbent?.trial;
    for (const [selector, wanted] of [["best", best], ["chosen", this.campaign.lookedAt]]) {
      const row = this.rows.get(wanted);
      for (const old of this.body.querySelectorAll(`tr.${selector}`)) if (old !== row) old.classList.remove(selector);
      if (row) row.classList.add(selector);
    }
  }

  #clicked(event) {
    const row = event.target.closest("tr");
    if (row && event.target.closest("button, td:first-child")) this.campaign.choose(Number(row.dataset.trial));
  }

  #reset(trials, total) {
    this.rows.clear();
    this.matching = total;
    this.newest = trials.length ? trials[0].number : 0;
    this.body.replaceChildren(...trials.map((trial) => this.#row(trial)));
    this.#mark();
    this.#say();
  }

  #say() {
    const total = this.state ? this.matching : Math.max(this.campaign.total, this.campaign.summary.n_trials);
    write(this.note, total ? `${count(Math.min(this.rows.size, total))} of ${some(total, "trial")}${this.state ? ` ${this.state}` : ""}, newest first.` : "No trial has been recorded yet.");
    this.scroll.hidden = this.rows.size === 0;
    this.more.hidden = this.rows.size >= total || this.rows.size >= MOST_ROWS;
  }

  async #filter(state) {
    this.state = state;
    const page = await attempt(() => get(["campaigns", this.campaign.name, "trials"], { state, limit: PAGE, newest: true }));
    if (page && this.state === state) this.#reset(page.trials.slice().sort((a, b) => b.number - a.number), page.total);
  }

  async #older() {
    const page = await attempt(() => get(["campaigns", this.campaign.name, "trials"], { state: this.state, offset: this.rows.size, limit: PAGE, newest: true }));
    if (!page) return;
    this.campaign.learn(page.trials);
    const fresh = page.trials.filter((trial) => !this.rows.has(trial.number)).sort((a, b) => b.number - a.number);
    this.body.append(...fresh.map((trial) => this.#row(trial)));
    this.matching = page.total;
    this.#say();
    if (!fresh.length) this.more.hidden = true;
  }
}
