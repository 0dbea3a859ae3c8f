// Who measures what: the workers with the trial each has in hand, and the trials that wait.

import { button, fill, h, panel, write } from "./element.js";
import { count, duration, some } from "./format.js";

const SHOWN = 24;

/** Workers and queue. */
export class QueuePanel {
  constructor(campaign) {
    this.campaign = campaign;
    this.workers = h("ul", { class: "workers" });
    this.queues = h("dl", { class: "pairs" });
    this.element = panel("Queue and workers", {}, this.workers, this.queues);
    this.mark = "";
    this.update({ detail: true });
    this.clock = setInterval(() => this.#tick(), 1000);
  }

  /** Writes workers and queue where they have changed. */
  update(change) {
    if (!change.detail) return;
    const workers = this.campaign.detail.workers || [];
    const queue = this.campaign.detail.queue || {};
    const mark = JSON.stringify([workers, queue]);
    if (mark === this.mark) return;
    this.mark = mark;
    this.since = [];
    fill(this.workers, workers.length ? workers.map((worker) => this.#worker(worker)) : h("li", { class: "absent" }, "No worker has reported yet."));
    fill(
      this.queues,
      ["armed", "held", "approved", "proposed"].filter((state) => queue[state]?.length || state === "armed").map((state) =>
        h("div", {}, h("dt", {}, state === "armed" ? "under way" : state), h("dd", {}, this.#numbers(queue[state] || [])))),
    );
    this.#tick();
  }

  /** Stops the clock. */
  close() {
    clearInterval(this.clock);
  }

  #worker(worker) {
    const isBusy = worker.measuring !== null && worker.measuring !== undefined;
    const time = h("span", { class: "soft mono" });
    if (isBusy && worker.since) this.since.push([time, worker.since]);
    return h(
      "li",
      { class: isBusy ? "busy" : "idle" },
      h("span", { class: "lamp", "aria-hidden": "true" }),
      h("strong", {}, worker.name),
      isBusy ? [h("span", {}, "measures "), button(`trial ${worker.measuring}`, () => this.campaign.choose(worker.measuring), { kind: "link" }), time] : h("span", { class: "soft" }, "idle"),
      h("span", { class: "soft" }, `${some(worker.n_trials ?? 0, "trial")} done`),
    );
  }

  #numbers(numbers) {
    if (!numbers.length) return "none";
    const links = numbers.slice(0, SHOWN).map((trial) => button(String(trial), () => this.campaign.choose(trial), { kind: "link", "aria-label": `Look at trial ${trial}` }));
    return [h("span", { class: "numbers" }, links), numbers.length > SHOWN ? ` and ${count(numbers.length - SHOWN)} more` : ""];
  }

  #tick() {
    for (const [element, since] of this.since || []) write(element, duration(Math.max(0, Date.now() / 1000 - since)));
  }
}
