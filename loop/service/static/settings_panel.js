// How the campaign was set up, with what it runs, what it has trained, and everything to take home.

import { address } from "./api.js";
import { h, panel } from "./element.js";
import { value, words } from "./format.js";

const DOWNLOADS = [["trials.csv", "Trials as CSV"], ["store.zip", "Whole store (Zarr)"], ["report.html", "Report (HTML)"]];

/** Settings, versions and downloads. */
export class SettingsPanel {
  constructor(campaign) {
    const { configuration, environment, models } = campaign.detail;
    this.element = panel(
      "Settings",
      { className: "full settings" },
      h("p", { class: "downloads" }, DOWNLOADS.map(([file, label]) => h("a", { class: "button", href: address(["campaigns", campaign.name, "download", file]), download: "" }, label))),
      h(
        "div",
        { class: "columns" },
        Object.entries(configuration || {}).filter(([, item]) => item && typeof item === "object" && !Array.isArray(item)).map(([name, section]) => group(name, section)),
        group("general", Object.fromEntries(Object.entries(configuration || {}).filter(([, item]) => item === null || typeof item !== "object" || Array.isArray(item)))),
      ),
      h("details", {}, h("summary", {}, "Versions and models"), h("div", { class: "columns" }, group("environment", environment || {}), (models || []).map((model, k) => group(`latent model ${model.version ?? k}`, model)))),
    );
  }

  /** Settings do not change. */
  update() {}
}

function group(name, section) {
  const entries = Object.entries(section).filter(([key, item]) => key !== "sha256" && isSet(item));
  if (!entries.length) return null;
  return h("section", { class: "group" }, h("h3", {}, words(name)), h("dl", { class: "pairs narrow" }, entries.map(([key, item]) => h("div", {}, h("dt", {}, words(key)), h("dd", {}, value(item))))));
}

/** Whether there is anything to say: what is left out, or holds nothing that is set, is not listed. */
function isSet(item) {
  if (item === null || item === undefined) return false;
  return typeof item !== "object" || Object.values(item).some(isSet);
}
