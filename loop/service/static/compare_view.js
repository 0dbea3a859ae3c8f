// Several campaigns beside each other: their traces, how fast each one found what it found, and where their settings differ.

import { get } from "./api.js";
import { badge } from "./campaign_head.js";
import { fill, h, panel, write } from "./element.js";
import { Figure } from "./figure.js";
import { number, value } from "./format.js";

const MOST = 8;
const TITLES = { traces: ["Best so far", "The best value after each trial."], efficiency: ["Efficiency", "How many trials a campaign needed for a share of what it gained in the end."] };

/** Fills `main` with the comparison; `names` are chosen at first. */
export async function openCompare(main, { names }) {
  const page = new Comparison(main, names);
  await page.load();
  return () => page.close();
}

class Comparison {
  constructor(main, names) {
    this.chosen = new Set(names);
    this.choices = h("div", { class: "choices" });
    this.note = h("p", { class: "absent", role: "status" });
    this.figures = h("div", { class: "board" });
    this.differences = h("div");
    fill(main, h("h1", { tabindex: "-1" }, "Compare"), h("fieldset", { class: "panel" }, h("legend", {}, "Campaigns"), this.choices), this.note, this.figures, this.differences);
    this.drawn = [];
    document.title = "Compare · latentloop";
  }

  async load() {
    const { campaigns } = await get(["campaigns"]);
    this.summaries = new Map(campaigns.map((summary) => [summary.name, summary]));
    for (const name of this.chosen) if (!this.summaries.has(name)) this.chosen.delete(name);
    fill(this.choices, campaigns.length ? campaigns.map((summary) => this.#choice(summary)) : h("p", { class: "absent" }, "There is no campaign yet."));
    await this.#show();
  }

  close() {
    for (const figure of this.drawn) figure.close();
  }

  #choice(summary) {
    const box = h("input", { type: "checkbox", checked: this.chosen.has(summary.name), on: { change: () => this.#toggle(summary.name, box.checked) } });
    return h("label", { class: "choice" }, box, h("span", { class: "name" }, summary.name), badge(summary.state), h("span", { class: "soft" }, summary.incumbent ? number(summary.incumbent.objective) : "–"));
  }

  #toggle(name, isChosen) {
    if (isChosen) this.chosen.add(name);
    else this.chosen.delete(name);
    history.replaceState(null, "", `#/compare/${[...this.chosen].map(encodeURIComponent).join("/")}`);
    this.#show();
  }

  async #show() {
    this.close();
    this.drawn = [];
    fill(this.figures);
    fill(this.differences);
    const names = [...this.chosen];
    write(this.note, names.length < 2 ? "Choose two or more campaigns." : names.length > MOST ? `Choose at most ${MOST}.` : "Loading …");
    this.note.hidden = false;
    if (names.length < 2 || names.length > MOST) return;
    let found;
    try {
      found = await get(["compare"], { campaigns: names.join(",") });
    } catch (error) {
      write(this.note, error.message);
      return;
    }
    if (names.join() !== [...this.chosen].join()) return; // another box was ticked meanwhile
    this.note.hidden = true;
    fill(this.figures, Object.entries(found.figures).map(([name, content]) => this.#panel(name, content)));
    fill(this.differences, this.#table(names, found.differences));
  }

  #panel(name, content) {
    const [title, note] = TITLES[name] || [name, ""];
    const figure = new Figure([], { label: `${title} of ${[...this.chosen].join(", ")}`, content });
    this.drawn.push(figure);
    return panel(title, { note }, figure.element);
  }

  #table(names, differences) {
    const body = differences.map(({ key, values }) => h("tr", {}, h("th", { scope: "row", class: "mono" }, key), names.map((name) => h("td", {}, values[name] === null || values[name] === undefined ? "–" : value(values[name])))));
    const table = h(
      "table",
      {},
      h("caption", { class: "hidden" }, "Settings in which the campaigns differ"),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Setting"), names.map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, body),
    );
    return panel(
      "Where their settings differ",
      { className: "full" },
      differences.length ? h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Differences" }, table) : h("p", { class: "absent" }, "Their settings are the same."),
    );
  }
}
