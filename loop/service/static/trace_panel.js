// The objective against the trial, with the best so far: new trials are appended to the drawn figure.

import { panel } from "./element.js";
import { Figure } from "./figure.js";

const MOST_APPENDED = 3000; // beyond, the server's thinned figure takes over
const SHARE = 8;

/** The incumbent trace. */
export class TracePanel {
  #waiting = new Map();
  #timer = 0;
  #appended = 0;

  constructor(campaign) {
    this.campaign = campaign;
    this.figure = new Figure(["campaigns", campaign.name, "figures", "incumbent_trace"], {
      label: "Objective of every trial against its number, with the best so far as a line",
      drawn: (figure) => this.#drawn(figure),
      tallest: 520,
    });
    this.element = panel("Objective by trial", { note: "Every measured trial, and the best so far as a line. Click a point to look at its trial." }, this.figure.element);
    this.drawnUpTo = new Set();
  }

  /** Takes new trials; they are drawn together, at most an eighth of the time. */
  update(change) {
    for (const trial of change.trials) this.#waiting.set(trial.number, trial);
    if (!this.#waiting.size || this.#timer) return;
    this.#timer = setTimeout(() => this.#append(), 60);
  }

  /** Lets go. */
  close() {
    clearTimeout(this.#timer);
    this.figure.close();
  }

  #drawn(figure) {
    const roles = figure.content.layout.meta?.latentloop;
    this.drawnUpTo = new Set();
    this.#appended = 0;
    for (const role of ["initial", "optimized"]) {
      const trace = roles && figure.content.data[roles[role]];
      if (trace) for (const number of trace.x) this.drawnUpTo.add(number);
    }
    if (figure.plot.dataset.listens) return;
    figure.plot.dataset.listens = "yes";
    figure.plot.on("plotly_click", (event) => this.campaign.choose(Math.round(event.points[0].x)));
  }

  async #append() {
    const trials = [...this.#waiting.values()].sort((a, b) => a.number - b.number);
    this.#waiting.clear();
    const start = performance.now();
    const roles = this.figure.content?.layout.meta?.latentloop;
    const fresh = trials.filter((trial) => trial.state === "completed" && trial.objective !== null && !this.drawnUpTo.has(trial.number));
    const isSimple = roles && fresh.every((trial) => roles[role(trial)] !== undefined && roles.incumbent !== undefined && roles.best !== undefined);
    if (!isSimple || this.#appended > MOST_APPENDED) this.figure.invalidate();
    else if (fresh.length) {
      this.#appended += fresh.length;
      await this.figure.revise((data, layout) => fresh.forEach((trial) => this.#add(data, layout, roles, trial)));
    }
    // Marks of failed trials and of those under way come with the next whole figure.
    if (isSimple && trials.some((trial) => !["completed", "armed", "held"].includes(trial.state))) this.figure.invalidate();
    this.#timer = setTimeout(() => {
      this.#timer = 0;
      if (this.#waiting.size) this.update({ trials: [] });
    }, SHARE * (performance.now() - start));
  }

  #add(data, layout, roles, trial) {
    this.drawnUpTo.add(trial.number);
    const trace = data[roles[role(trial)]];
    trace.x.push(trial.number);
    trace.y.push(trial.objective);
    if (Array.isArray(trace.customdata)) trace.customdata.push(trial.acquisition);
    if (Array.isArray(trace.error_y?.array)) trace.error_y.array.push(trial.objective_error);
    const line = data[roles.incumbent];
    const best = line.y.at(-1);
    const isBetter = roles.goal === "minimize" ? trial.objective < best : trial.objective > best;
    if (isBetter) {
      line.x.splice(line.x.length - 1, 1, trial.number);
      line.y.splice(line.y.length - 1, 1, trial.objective);
      Object.assign(data[roles.best], { x: [trial.number], y: [trial.objective], name: `best (trial ${trial.number})` });
      line.x.push(trial.number);
      line.y.push(trial.objective);
    } else line.x[line.x.length - 1] = Math.max(line.x.at(-1), trial.number);
    const range = layout.xaxis.range;
    if (range && trial.number > range[1] - 1) layout.xaxis.range = [range[0], trial.number + Math.max(0.5, 0.02 * trial.number)];
  }
}

function role(trial) {
  return trial.acquisition === "initial" ? "initial" : "optimized";
}
