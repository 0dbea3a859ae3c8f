// The head of a campaign's page: its state in numbers, how far it is, and the buttons that steer it.

import { get, post, remove } from "./api.js";
import { button, fill, h, write } from "./element.js";
import { count, duration, number, some } from "./format.js";
import { ask, attempt } from "./notice.js";
import { mayAdminister, mayOperate } from "./session.js";

const DRIVEN = ["running", "starting"];
const REST = { finished: "done", damaged: "it cannot go on" };

/** A state as a small label. */
export function badge(state) {
  return h("span", { class: `badge ${state}` }, state);
}

/** The progress of a campaign as a bar. */
export function progress(summary) {
  const share = summary.budget ? Math.min(1, summary.n_trials / summary.budget) : 0;
  const bar = h("progress", { max: 1, value: share, "aria-label": `${summary.n_trials} of ${summary.budget} trials` });
  return bar;
}

/** Title, state, facts and buttons. */
export class CampaignHead {
  /** `isEarly`: the campaign has no folder, so there are no numbers. */
  constructor(campaign, { isEarly = false } = {}) {
    this.campaign = campaign;
    this.isEarly = isEarly;
    this.title = h("h1", { tabindex: "-1" });
    this.place = h("span", { role: "status" });
    this.about = h("p", { class: "soft about" });
    this.reason = h("p", { class: "reason", hidden: true });
    this.buttons = h("div", { class: "row actions", role: "group", "aria-label": "Steer the campaign" });
    this.facts = new Map();
    const list = h("dl", { class: "facts" }, ["Best", "Trials", "Time", "Time left", "Objective"].map((name) => this.#fact(name)));
    this.bar = h("div", { class: "bar" });
    this.element = h("div", { class: "head" }, h("div", { class: "headline" }, this.title, this.place, this.buttons), this.about, this.reason, this.bar, list);
    list.hidden = this.bar.hidden = isEarly;
    this.state = null;
    this.update({ summary: true });
    this.clock = setInterval(() => this.#tick(), 1000);
  }

  /** Writes what has changed. */
  update(change) {
    if (!change.summary) return;
    const { summary, detail } = this.campaign;
    this.since = performance.now();
    // A fork has its parent's title: what tells campaigns apart is the name.
    write(this.title, summary.name);
    const isTitled = summary.title && summary.title !== summary.name;
    write(this.about, [isTitled ? summary.title : "", detail.configuration?.description || ""].filter(Boolean).join(": "));
    this.about.hidden = !this.about.textContent;
    if (summary.state !== this.state) {
      this.state = summary.state;
      fill(this.place, badge(summary.state));
      fill(this.buttons, this.#actions(summary));
    }
    write(this.reason, summary.reason || "");
    this.reason.hidden = !summary.reason;
    const best = summary.incumbent;
    this.#set("Best", best ? number(best.objective) : "–", best ? `trial ${best.trial}` : "no trial has completed yet");
    const counts = Object.entries(summary.counts || {}).filter(([, n]) => n);
    this.#set("Trials", `${count(summary.n_trials)} of ${count(summary.budget)}`, counts.map(([word, n]) => `${count(n)} ${word}`).join(", ") || "none yet");
    this.#set("Objective", summary.metric, `${summary.goal}, ${summary.kind === "physical" ? "a real instrument" : "a simulator"}`);
    fill(this.bar, progress(summary));
    this.#tick();
  }

  /** Stops the clock. */
  close() {
    clearInterval(this.clock);
  }

  #tick() {
    const { summary } = this.campaign;
    const isDriven = DRIVEN.includes(summary.state);
    const more = summary.state === "running" ? (performance.now() - this.since) / 1000 : 0;
    this.#set("Time", duration((summary.seconds ?? NaN) + more), `${isDriven ? "since" : "started"} ${new Date(1000 * summary.created_at).toLocaleString("en-CA", { dateStyle: "short", timeStyle: "short", hourCycle: "h23" })}`, isDriven ? "Running for" : "Ran for");
    const left = summary.seconds_left;
    this.#set("Time left", left === null || left === undefined ? "–" : duration(Math.max(0, left - more)), REST[summary.state] ?? `${some(Math.max(0, summary.budget - summary.n_trials), "trial")} left`);
  }

  #fact(name) {
    const value = h("dd", {}, "–");
    const detail = h("small");
    const term = h("dt", {}, name);
    this.facts.set(name, [value, detail, term]);
    return h("div", {}, term, value, h("dd", { class: "small" }, detail));
  }

  #set(name, value, detail, shownAs = name) {
    const [big, small, term] = this.facts.get(name);
    write(term, shownAs);
    write(big, value);
    write(small, detail);
  }

  #actions(summary) {
    if (!mayOperate()) return [];
    const kept = (done) => (summary.state === "starting" ? "Kept: it is done as soon as the campaign has started." : done);
    const act = (verb, done, body) => attempt(() => post(["campaigns", this.campaign.name, verb], body), kept(done)).then(() => this.campaign.refresh());
    const isDriven = DRIVEN.includes(summary.state);
    return [
      isDriven ? button("Pause", () => act("pause", "Pausing: trials under way are finished first.")) : null,
      ["paused", "interrupted", "failed"].includes(summary.state) && !this.isEarly ? button("Resume", () => act("resume", "Resumed."), { kind: "main" }) : null,
      isDriven || summary.state === "paused" ? button("Stop …", () => this.#stop(), { kind: "danger" }) : null,
      this.isEarly || this.campaign.isDamaged ? null : button("Fork …", () => this.#fork(), { kind: "quiet" }),
      mayAdminister() && !isDriven ? button("Delete …", () => this.#delete(), { kind: "quiet" }) : null,
    ];
  }

  async #stop() {
    const answer = await ask({
      title: "Stop this campaign?",
      text: "Nothing new is measured. What has been measured stays.",
      fields: [{ name: "reason", label: "Reason", help: "Kept in the campaign's journal." }],
      confirm: "Stop",
      danger: true,
    });
    if (answer && (await attempt(() => post(["campaigns", this.campaign.name, "stop"], clean(answer)), "Stopping."))) this.campaign.refresh();
  }

  async #fork() {
    const answer = await ask({
      title: "Fork this campaign",
      text: "A new campaign starts from the trials of this one.",
      fields: [
        { name: "name", label: "Name of the new campaign", required: true, value: `${this.campaign.name}-fork` },
        { name: "at_trial", label: "Keep trials before number", kind: "number", required: true, value: String(this.campaign.summary.n_trials) },
      ],
      confirm: "Fork",
      check: ({ at_trial: at }) => (Number.isInteger(at) && at >= 0 ? "" : "The number of a trial is a whole one."),
    });
    if (!answer) return;
    const made = await attempt(() => post(["campaigns", this.campaign.name, "fork"], { ...answer, overrides: {} }), `Forked as ${answer.name}.`);
    if (made) location.hash = `#/campaign/${encodeURIComponent(made.name || answer.name)}`;
  }

  async #delete() {
    const answer = await ask({
      title: "Delete this campaign?",
      text: "All its trials, models and figures are removed for good.",
      fields: [{ name: "confirm", label: `Type ${this.campaign.name} to confirm`, required: true }],
      confirm: "Delete for good",
      check: ({ confirm }) => (confirm === this.campaign.name ? "" : `That is not its name, ${this.campaign.name}.`),
      danger: true,
    });
    if (answer && (await attempt(() => remove(["campaigns", this.campaign.name], { confirm: answer.confirm }), "Deleted."))) location.hash = "#/";
  }
}

/** Leaves out what was not filled in. */
export function clean(answer) {
  return Object.fromEntries(Object.entries(answer).filter(([, value]) => value !== "" && value !== null));
}

/** Reads one trial whole, with trajectory and events. */
export function wholeTrial(campaign, trial) {
  return get(["campaigns", campaign, "trials", trial]);
}
