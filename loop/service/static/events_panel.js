// What happened, newest first, and notes that people leave for each other.

import { post } from "./api.js";
import { button, h, panel } from "./element.js";
import { sentence, when } from "./format.js";
import { attempt } from "./notice.js";
import { mayOperate } from "./session.js";

const MOST = 120;
const LOUD = new Set(["failed", "unknown", "quarantined", "ended", "refused", "vetoed", "ignored", "held"]);

/** The list of events. */
export class EventsPanel {
  constructor(campaign) {
    this.campaign = campaign;
    this.list = h("ol", { class: "events" }, campaign.events.slice(0, MOST).map(item));
    this.empty = h("p", { class: "absent", hidden: campaign.events.length > 0 }, "Nothing has happened yet.");
    const scroll = h("div", { class: "scroll low", tabindex: "0", role: "region", "aria-label": "List of events" }, this.list);
    this.form = mayOperate() ? this.#form() : null;
    this.element = panel("Events", {}, this.empty, scroll, this.form);
    this.update({ events: [] });
  }

  /** Puts new events on top. */
  update(change) {
    if (this.form) this.form.hidden = this.campaign.isDamaged;
    if (!change.events.length) return;
    this.empty.hidden = true;
    const fresh = change.events.slice().sort((a, b) => b.number - a.number).slice(0, MOST);
    this.list.prepend(...fresh.map(item));
    while (this.list.children.length > MOST) this.list.lastElementChild.remove();
  }

  #form() {
    const input = h("input", { type: "text", "aria-label": "Note for the journal", placeholder: "Leave a note …", autocomplete: "off", maxlength: 2000 });
    const form = h("form", { class: "row note-form" }, input, button("Add note", () => form.requestSubmit()));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const text = input.value.trim();
      if (text && (await attempt(() => post(["campaigns", this.campaign.name, "notes"], { text }), "Note added."))) input.value = "";
    });
    return form;
  }
}

function item(event) {
  return h("li", { class: LOUD.has(event.kind) ? "loud" : "" }, h("time", { class: "mono soft" }, when(event.time)), h("span", {}, sentence(event)));
}
