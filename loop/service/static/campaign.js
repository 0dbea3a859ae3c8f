// One campaign as the page knows it: its summary, the trials seen so far, its latest events. The live stream keeps it up to date;
// panels hear of changes at most once per frame, with only what has changed.

import { address, get } from "./api.js";
import { Live } from "./live.js";

const FIRST_TRIALS = 200;
const FIRST_EVENTS = 60;
const FIRST_NEEDS = 100; // of trials held, unknown or quarantined each
const KEPT_EVENTS = 300;
const KEPT_TRIALS = 5000;
const DETAIL_WAIT = 1500; // between two looks at queue and workers

/** A campaign followed live. */
export class Campaign {
  #panels = new Set();
  #pending = null;
  #frame = 0;
  #live = null;
  #detailTimer = 0;
  #detailNext = 0;

  constructor(name) {
    this.name = name;
    this.detail = null;
    this.summary = null;
    this.trials = new Map();
    this.events = [];
    this.total = 0;
    this.chosen = null;
  }

  /** Reads what there is beside the campaign's `detail`, and follows from there on. */
  async load(detail) {
    const [page, last] = await Promise.all([
      get(["campaigns", this.name, "trials"], { limit: FIRST_TRIALS, newest: true }),
      get(["campaigns", this.name, "events"], { after: Math.max(-1, detail.last_event - FIRST_EVENTS), limit: FIRST_EVENTS }),
    ]);
    this.detail = detail;
    this.summary = detail;
    this.learn(page.trials);
    // What needs a person may be older than the newest trials.
    const wanted = Object.entries(detail.needs).filter(([state, n]) => n > this.waiting(state).length);
    for (const { trials } of await Promise.all(wanted.map(([state]) => get(["campaigns", this.name, "trials"], { state, limit: FIRST_NEEDS })))) this.learn(trials);
    this.total = page.total;
    this.events = last.events.slice().sort((a, b) => b.number - a.number);
    // The stream starts after the oldest answer, which is `detail`: an event may come twice, none can be missed.
    this.#live = new Live(address(["campaigns", this.name, "stream"]), ["hello", "journal", "summary"], (kind, data) => this.#receive(kind, data), {
      after: detail.last_event,
      caughtUp: () => this.#lookAgain(0),
    });
    return this;
  }

  /** Lets go of the stream. */
  close() {
    clearTimeout(this.#detailTimer);
    cancelAnimationFrame(this.#frame);
    if (this.#live) this.#live.close();
    this.#panels.clear();
  }

  /** Registers a panel: an object with `update(change)`. */
  add(panel) {
    this.#panels.add(panel);
    return panel;
  }

  /** Whether the objective is maximized. */
  get isMaximized() {
    return this.summary.goal !== "minimize";
  }

  /** Whether its journal cannot be read to its end: then there is nothing to steer, and nothing is written. */
  get isDamaged() {
    return this.summary.state === "damaged";
  }

  /** The trial that is looked at: the chosen one, else the incumbent, else the newest; null before the first. */
  get lookedAt() {
    return this.chosen ?? this.summary.incumbent?.trial ?? (this.trials.size ? Math.max(...this.trials.keys()) : null);
  }

  /** Chooses a trial to look at; null follows the incumbent. */
  choose(number) {
    this.chosen = number;
    this.#note({ chosen: true });
  }

  /** Trials that wait for a person or a result, by number. */
  waiting(...states) {
    return [...this.trials.values()].filter((trial) => states.includes(trial.state)).sort((a, b) => a.number - b.number);
  }

  /** Takes trials that a page of the table brought. */
  learn(trials) {
    for (const trial of trials) this.trials.set(trial.number, trial);
  }

  /** Reads the summary, the queue and the workers anew, soon. */
  refresh() {
    this.#lookAgain(0);
  }

  /** Reads them at once. */
  async reread() {
    this.detail = await get(["campaigns", this.name]);
    this.summary = this.detail;
    this.#note({ summary: true, detail: true });
  }

  #receive(kind, data) {
    if (kind === "hello" || !data) return;
    if (data.summary) this.summary = { ...this.summary, ...data.summary };
    if (kind === "summary") {
      this.summary = { ...this.summary, ...data };
      this.#note({ summary: true });
      return;
    }
    const change = { summary: Boolean(data.summary), trials: [], events: [] };
    if (data.trial && typeof data.trial === "object") {
      if (!this.trials.has(data.trial.number)) this.total = Math.max(this.total, data.trial.number + 1);
      this.trials.set(data.trial.number, data.trial);
      if (this.trials.size > KEPT_TRIALS) this.#forget();
      change.trials.push(data.trial);
    }
    if (!this.events.length || data.number > this.events[0].number) {
      // An event that changes a trial brings the trial instead of its own data.
      const told = data.trial ? { trial: data.trial.number, objective: data.trial.objective, reason: data.trial.reason } : {};
      this.events.unshift({ number: data.number, time: data.time, kind: data.kind, data: { ...told, ...data.data } });
      if (this.events.length > KEPT_EVENTS) this.events.length = KEPT_EVENTS;
      change.events.push(this.events[0]);
    }
    this.#note(change);
    this.#lookAgain(DETAIL_WAIT);
  }

  #forget() {
    for (const [number, trial] of this.trials) {
      if (this.trials.size <= 0.8 * KEPT_TRIALS) return;
      if (["completed", "failed", "refused", "vetoed"].includes(trial.state)) this.trials.delete(number);
    }
  }

  #note(change) {
    const sum = (this.#pending ??= { summary: false, detail: false, chosen: false, trials: new Map(), events: [] });
    sum.summary ||= Boolean(change.summary);
    sum.detail ||= Boolean(change.detail);
    sum.chosen ||= Boolean(change.chosen);
    for (const trial of change.trials || []) sum.trials.set(trial.number, trial);
    sum.events.push(...(change.events || []));
    // A tab in the background gets no frames; it catches up with the first one.
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      const whole = { ...this.#pending, trials: [...this.#pending.trials.values()] };
      this.#pending = null;
      for (const panel of this.#panels) panel.update(whole);
    });
  }

  #lookAgain(wait) {
    if (this.#detailTimer) return;
    this.#detailTimer = setTimeout(async () => {
      this.#detailTimer = 0;
      const start = performance.now();
      try {
        await this.reread();
      } catch {
        // the stream's banner says that the connection is lost
      }
      this.#detailNext = performance.now() + Math.max(DETAIL_WAIT, 10 * (performance.now() - start));
    }, Math.max(wait, this.#detailNext - performance.now()));
  }
}
