// Further figures of the campaign, each drawn when it is opened.

import { get } from "./api.js";
import { fill, h, panel } from "./element.js";
import { Figure } from "./figure.js";

const SHOWN_ABOVE = new Set(["incumbent_trace", "latent_space", "polarization", "trajectories"]);

/** A fold for every figure that has no panel of its own. */
export class FiguresPanel {
  constructor(campaign) {
    this.campaign = campaign;
    this.figures = [];
    this.place = h("div", { class: "folds" });
    this.element = panel("More figures", { className: "full" }, this.place);
    this.element.hidden = true;
    this.#list();
  }

  /** Says to open figures that they are old. */
  update(change) {
    if (change.events.some((event) => event.kind === "model")) this.#list(); // some figures are there from then on
    if (change.trials.some((trial) => trial.state === "completed")) for (const figure of this.figures) figure.invalidate();
  }

  /** Lets go. */
  close() {
    for (const figure of this.figures) figure.close();
  }

  async #list() {
    try {
      const { figures } = await get(["campaigns", this.campaign.name, "figures"]);
      const more = figures.filter((figure) => !SHOWN_ABOVE.has(figure.name));
      this.element.hidden = more.length === 0;
      const names = more.map((figure) => figure.name).join(" ");
      if (names === this.names) return; // what is open stays open
      this.names = names;
      for (const figure of this.figures.splice(0)) figure.close();
      fill(this.place, more.map((figure) => this.#fold(figure)));
    } catch {
      this.element.hidden = true; // the other panels say what is wrong
    }
  }

  #fold({ name, title }) {
    const fold = h("details", { class: "fold" }, h("summary", {}, title));
    fold.addEventListener("toggle", () => {
      if (!fold.open || fold.dataset.filled) return;
      fold.dataset.filled = "yes";
      const figure = new Figure(["campaigns", this.campaign.name, "figures", name], { label: title });
      this.figures.push(figure);
      fold.append(figure.element);
    });
    return fold;
  }
}
