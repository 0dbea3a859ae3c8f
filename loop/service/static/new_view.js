// A new campaign: a preset, a name, and whatever of the preset's configuration should be different. A few trajectories of the chosen
// family or file are drawn as it changes.

import { get, post } from "./api.js";
import { LineChart } from "./chart.js";
import { field, fill, h, panel, write } from "./element.js";
import { count } from "./format.js";
import { SchemaForm } from "./schema_form.js";

const PREVIEW_WAIT = 350;

/** Fills `main` with the form. */
export async function openNew(main) {
  const page = new NewCampaign(main);
  await page.load();
  return () => page.close();
}

class NewCampaign {
  #timer = 0;
  #asked = 0;

  constructor(main) {
    this.presets = h("div", { class: "presets" });
    this.name = h("input", { type: "text", required: true, autocomplete: "off", maxlength: 100, spellcheck: "false" });
    this.place = h("div");
    this.chart = new LineChart({ height: 260, hasLegend: false, label: "Training trajectories", empty: "There is nothing to draw." });
    this.previewNote = h("p", { class: "soft", role: "status" });
    this.refused = h("p", { class: "refused", role: "alert" });
    this.submit = h("button", { type: "submit", class: "main" }, "Start campaign");
    this.form = h(
      "form",
      { class: "new", novalidate: true, on: { submit: (event) => this.#create(event) } },
      h("div", { class: "new-main" }, h("fieldset", { class: "panel" }, h("legend", {}, "Preset"), this.presets), h("div", { class: "panel" }, field("Name of the campaign", this.name, "Letters, digits, dots, dashes and underscores."), this.place)),
      h("div", { class: "new-side" }, panel("Training trajectories", {}, this.chart.element, this.previewNote), h("div", { class: "panel" }, this.refused, this.submit)),
    );
    this.form.hidden = true; // what is typed before the preset is there would be lost
    fill(main, h("h1", { tabindex: "-1" }, "New campaign"), this.form);
    document.title = "New campaign · latentloop";
  }

  async load() {
    const [presets, schema, names] = await Promise.all([get(["presets"]), get(["schema"]), get(["choices"]).catch(() => ({}))]);
    this.schema = schema;
    this.names = names;
    this.known = Array.isArray(presets) ? presets : presets.presets;
    fill(this.presets, this.known.map((preset, k) => this.#radio(preset, k)));
    this.form.hidden = false;
    if (this.known.length) this.#choose(this.known.find((preset) => preset.name === "quick") || this.known[0]);
    else {
      write(this.refused, "This service allows no preset; its configuration says which evaluators may be used.");
      this.submit.disabled = true;
    }
  }

  close() {
    clearTimeout(this.#timer);
  }

  #radio(preset, k) {
    const id = `preset-${k}`;
    const input = h("input", { type: "radio", name: "preset", id, value: preset.name, on: { change: () => this.#choose(preset) } });
    return h("label", { class: "preset", for: id }, input, h("strong", {}, preset.name), h("span", { class: "soft" }, preset.description || preset.configuration.description || ""));
  }

  #choose(preset) {
    this.preset = preset;
    for (const input of this.presets.querySelectorAll("input")) input.checked = input.value === preset.name;
    if (!this.name.value || this.name.value === this.suggested) this.name.value = this.suggested = `${preset.name}-${stamp()}`;
    this.fields = new SchemaForm(this.schema, preset.configuration, this.names, (key) => key.startsWith("trajectories") && this.#previewSoon());
    fill(this.place, this.fields.element);
    this.#preview();
  }

  #previewSoon() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#preview(), PREVIEW_WAIT);
  }

  async #preview() {
    const asked = (this.#asked += 1);
    try {
      const trajectories = this.fields.section("trajectories", this.preset.configuration);
      const isBox = Boolean(trajectories.box);
      if (isBox || !(trajectories.family || trajectories.file)) {
        this.#drawNothing(isBox ? "This campaign varies plain parameters; there are no trajectories." : "Choose a family or a file, or write down a box of parameters.", !isBox);
        return;
      }
      const found = await post(["preview"], { trajectories });
      if (asked !== this.#asked) return;
      const lines = found.trajectories.map((values, k) => ({ name: `trajectory ${k + 1}`, values, kind: `line-${k % 6}` }));
      this.chart.show({
        times: found.times,
        lines,
        channels: found.channels,
        xTitle: found.time_unit ? `time (${found.time_unit})` : "time",
        yTitle: found.unit ? `value (${found.unit})` : "value",
      });
      write(this.previewNote, trajectories.file ? `${lines.length} of the ${count(found.n_in_file)} trajectories in ${trajectories.file}.` : `${lines.length} of the family's trajectories.`);
      this.previewNote.classList.remove("refused");
    } catch (error) {
      if (asked === this.#asked) this.#drawNothing(error.message, true);
    }
  }

  #drawNothing(why, isRefused) {
    this.chart.show({ times: [], lines: [] }); // what is drawn is what would be measured, or nothing
    write(this.previewNote, why);
    this.previewNote.classList.toggle("refused", isRefused);
  }

  async #create(event) {
    event.preventDefault();
    write(this.refused, "");
    const name = this.name.value.trim();
    if (!name) {
      write(this.refused, "The campaign needs a name.");
      this.name.focus();
      return;
    }
    this.submit.disabled = true;
    try {
      const made = await post(["campaigns"], { name, preset: this.preset.name, overrides: this.fields.overrides() });
      location.hash = `#/campaign/${encodeURIComponent(made.name || name)}`;
    } catch (error) {
      write(this.refused, error.message);
    } finally {
      this.submit.disabled = false;
    }
  }
}

function stamp() {
  const now = new Date();
  const two = (value) => String(value).padStart(2, "0");
  return `${two(now.getMonth() + 1)}${two(now.getDate())}-${two(now.getHours())}${two(now.getMinutes())}`;
}
