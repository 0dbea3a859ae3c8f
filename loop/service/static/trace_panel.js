// The objective against the trial, with the best so far: new trials are appended to the drawn figure.

import { panel } from "./element.js";
import { Figure } from "./figure.js";
import { number } from "./format.js";

const MOST_APPENDED = 3000; // beyond, the server's thinned figure takes over
const SHARE = 8;
const DEVIATIONS = 1.96; // 95 %

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
    this.element = panel("Objective by trial", { note: "Every measured trial, the best so far as a line, and what the surrogate expected as bars. Click a point to look at its trial." }, this.figure.element);
    this.drawnUpTo = new Set();
  }

  /** Takes new trials; they are drawn together, at most an eighth of the time. */
  update(change) {
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
    const isKnown = (trial) => roles[role(trial)] !== undefined && (roles.predicted !== undefined || !isPredicted(trial));
    const isSimple = roles && fresh.every((trial) => isKnown(trial) && roles.incumbent !== undefined && roles.best !== undefined);
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
    if (Array.isArray(trace.customdata)) trace.customdata.push(words(trial));
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
    if (isPredicted(trial)) {
      const half = DEVIATIONS * trial.predicted_error;
      data[roles.predicted].x.push(trial.number, trial.number, null);
      data[roles.predicted].y.push(trial.predicted_objective - half, trial.predicted_objective + half, null);
    }
    const values = layout.yaxis.range; // set where long bars would press the values together
    if (values && (trial.objective < values[0] || trial.objective > values[1])) {
      const pad = 0.05 * (values[1] - values[0]);
      layout.yaxis.range = [Math.min(values[0], trial.objective - pad), Math.max(values[1], trial.objective + pad)];
    }
    const range = layout.xaxis.range;
    if (range && trial.number > range[1] - 1) layout.xaxis.range = [range[0], trial.number + Math.max(0.5, 0.02 * trial.number)];
  }
}

/** Says who proposed a trial and what was expected of it; Plotly reads tags in it, so names of acquisition functions lose theirs. */
function words(trial) {
  const by = String(trial.acquisition).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  return isPredicted(trial) ? `${by}<br>predicted ${number(trial.predicted_objective, 4)} ± ${number(trial.predicted_error, 2)}` : by;
}

function isPredicted(trial) {
  return Number.isFinite(trial.predicted_objective) && Number.isFinite(trial.predicted_error);
}

function role(trial) {
  return trial.acquisition === "initial" ? "initial" : "optimized";
}
