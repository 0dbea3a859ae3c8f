// All campaigns at a glance: those that need a person first, then those that run, then the others. Cards are made once and written in
// place while the campaigns go on.

import { address, get } from "./api.js";
import { badge, progress } from "./campaign_head.js";
import { sparkline } from "./chart.js";
import { fill, h, write } from "./element.js";
import { count, duration, number, some } from "./format.js";
import { Live } from "./live.js";
import { mayOperate } from "./session.js";

const RANK = { damaged: 0, running: 2, starting: 2, failed: 3, interrupted: 4, paused: 4, finished: 5 }; // 1: trials need a person
const SORT_WAIT = 2000; // cards do not jump under a pointer

/** Fills `main` with the campaigns; returns what lets go of them. */
export async function openCampaigns(main) {
  const page = new Campaigns(main);
  await page.load();
  return () => page.close();
}

class Campaigns {
  #cards = new Map();
  #frame = 0;
  #sorted = 0;
  #changed = new Set();

  constructor(main) {
    this.summaries = new Map();
    this.list = h("ul", { class: "cards" });
    this.note = h("p", { class: "soft", role: "status" });
    this.empty = h("div", { class: "welcome", hidden: true });
    fill(main, h("div", { class: "headline" }, h("h1", { tabindex: "-1" }, "Campaigns"), mayOperate() ? h("a", { class: "button main", href: "#/new" }, "New campaign") : null), this.note, this.empty, this.list);
    fill(
      this.empty,
      h("h2", {}, "No campaign yet"),
      h("p", {}, "A campaign looks for the best trajectory of an instrument or a simulator, in few experiments."),
      mayOperate() ? h("p", {}, h("a", { class: "button main", href: "#/new" }, "Start from a preset")) : h("p", {}, "An operator can start one."),
    );
    document.title = "Campaigns · latentloop";
  }

  async load() {
    await this.#read();
    this.live = new Live(address(["stream"]), ["hello", "summary", "removed"], (kind, data) => this.#receive(kind, data), { caughtUp: () => this.#read().catch(() => {}) });
  }

  close() {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.timer);
    this.live.close();
  }

  async #read() {
    const { campaigns } = await get(["campaigns"]);
    const names = new Set(campaigns.map((summary) => summary.name));
    for (const name of this.summaries.keys()) if (!names.has(name)) this.summaries.delete(name);
    for (const summary of campaigns) this.#learn(summary);
    this.#sort();
  }

  #receive(kind, data) {
    if (kind === "removed" && data) this.summaries.delete(data.name);
    else if (kind === "summary" && data && data.name) this.#learn(data);
    else return;
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#write();
      this.timer ||= setTimeout(() => {
        this.timer = 0;
        this.#sort();
      }, SORT_WAIT);
    });
  }

  #learn(summary) {
    this.summaries.set(summary.name, summary);
    this.#changed.add(summary.name);
  }

  #write() {
    for (const name of this.#changed) {
      const summary = this.summaries.get(name);
      if (!summary) continue;
      if (!this.#cards.has(name)) this.#cards.set(name, new Card(name));
      this.#cards.get(name).write(summary);
      if (!this.#cards.get(name).element.isConnected) this.list.append(this.#cards.get(name).element);
    }
    this.#changed.clear();
    for (const [name, card] of this.#cards) {
      if (this.summaries.has(name)) continue;
      card.element.remove();
      this.#cards.delete(name);
    }
    const all = [...this.summaries.values()];
    const waiting = all.filter((summary) => needs(summary)).length;
    const running = all.filter((summary) => summary.state === "running").length;
    write(this.note, all.length ? `${some(all.length, "campaign")}, ${running} running${waiting ? `; ${waiting} ${waiting === 1 ? "needs" : "need"} a person` : ""}.` : "");
    this.empty.hidden = all.length > 0;
  }

  #sort() {
    this.#write();
    const order = [...this.summaries.values()].sort((a, b) => rank(a) - rank(b) || (b.created_at ?? 0) - (a.created_at ?? 0));
    let before = null;
    for (const summary of order) {
      const { element } = this.#cards.get(summary.name);
      const place = before ? before.nextElementSibling : this.list.firstElementChild;
      // Moving an element takes the focus from what is in it; the one that has it stays.
      if (place !== element && !element.contains(document.activeElement)) this.list.insertBefore(element, place);
      before = element;
    }
  }
}

class Card {
  #spark = "";

  constructor(name) {
    this.link = h("a", { class: "card-link", href: `#/campaign/${encodeURIComponent(name)}` });
    this.state = h("span");
    this.title = h("p", { class: "card-name" });
    this.needs = h("p", { class: "needs" });
    this.best = h("strong", { class: "big" });
    this.metric = h("span", { class: "soft" });
    this.line = h("div", { class: "spark" });
    this.bar = h("div");
    this.trials = h("span");
    this.time = h("span", { class: "soft" });
    this.reason = h("p", { class: "soft reason-line" });
    this.element = h(
      "li",
      { class: "card" },
      h("div", { class: "card-head" }, h("h2", {}, this.link), h("div", { class: "card-side" }, this.state, this.needs)),
      this.title,
      h("div", { class: "card-best" }, h("div", {}, this.best, this.metric), this.line),
      this.bar,
      h("div", { class: "card-foot" }, this.trials, this.time),
      this.reason,
    );
  }

  write(summary) {
    write(this.link, summary.name);
    this.link.title = summary.name; // long ones are cut
    write(this.title, summary.title || "");
    this.title.hidden = !summary.title || summary.title === summary.name;
    this.state.className = `badge ${summary.state}`;
    write(this.state, summary.state);
    const wanted = Object.entries(summary.needs || {}).filter(([, n]) => n).map(([word, n]) => `${count(n)} ${word}`);
    if (isDamaged(summary)) wanted.unshift("needs mending");
    write(this.needs, wanted.join(", "));
    this.needs.hidden = wanted.length === 0;
    this.element.classList.toggle("needy", wanted.length > 0);
    write(this.best, summary.incumbent ? number(summary.incumbent.objective) : "–");
    const isThere = summary.budget > 0; // it has a folder
    write(this.metric, isThere ? `${summary.goal} ${summary.metric}` : "");
    const spark = JSON.stringify(summary.sparkline || []);
    if (spark !== this.#spark) {
      this.#spark = spark;
      fill(this.line, summary.sparkline?.length > 1 ? sparkline(summary.sparkline) : null);
    }
    fill(this.bar, progress(summary));
    write(this.trials, isThere ? `${count(summary.n_trials)} of ${some(summary.budget, "trial")}` : "no trial yet");
    const left = summary.state === "running" && summary.seconds_left !== null ? `${duration(summary.seconds_left)} left` : `ran ${duration(summary.seconds)}`;
    write(this.time, isThere ? left : "");
    write(this.reason, summary.reason || "");
    this.reason.hidden = !summary.reason;
    this.reason.classList.toggle("whole", isDamaged(summary)); // it says what to do, at its end
  }
}

function isDamaged(summary) {
  return summary.state === "damaged";
}

function needs(summary) {
  return isDamaged(summary) || Object.values(summary.needs || {}).some((n) => n > 0);
}

function rank(summary) {
  return needs(summary) && !isDamaged(summary) ? 1 : RANK[summary.state] ?? 6;
}
