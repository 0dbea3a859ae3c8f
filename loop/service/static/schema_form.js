// A form made from a JSON Schema and the values of a preset. It gives back only what was changed, as dotted keys.

import { field, h } from "./element.js";
import { words } from "./format.js";

const OPEN = new Set(["trajectories", "objective", "optimizer", "budget"]);
const CHOICES = { "trajectories.family": "families", "latent.model": "latent_models", "optimizer.surrogate": "surrogates", "optimizer.acquisition": "acquisitions", evaluator: "evaluators", executor: "executors" };

// Of each of these groups one says where something comes from: who gives one takes back the others.
const ALTERNATIVES = [["trajectories.family", "trajectories.file", "trajectories.box"]];

/** The form of a configuration. */
export class SchemaForm {
  #controls = [];

  /** `schema`: JSON Schema; `values`: the preset's configuration; `names`: known names by kind; `changed()` after every change. */
  constructor(schema, values, names, changed) {
    this.definitions = schema.$defs || {};
    this.names = names || {};
    this.changed = changed;
    const sections = Object.entries(schema.properties || {}).filter(([key]) => key !== "name");
    const general = sections.filter(([, part]) => !this.#section(part));
    this.element = h(
      "div",
      { class: "schema" },
      this.#group("general", general.map(([key, part]) => this.#field([key], part, values[key])), true),
      sections.filter(([, part]) => this.#section(part)).map(([key, part]) => this.#group(key, this.#inside(key, part, values[key] ?? part.default ?? {}), OPEN.has(key))),
    );
  }

  /** What differs from the preset: dotted key to value. Throws an Error whose message names the field that cannot be read. */
  overrides() {
    const found = {};
    for (const control of this.#controls) {
      const text = control.text();
      if (text === control.initial) continue;
      found[control.key] = control.read();
    }
    return found;
  }

  /** The whole configuration of one section as it stands in the form. */
  section(name, values) {
    const whole = structuredClone(values[name] ?? {});
    for (const [key, item] of Object.entries(this.overrides())) {
      const parts = key.split(".");
      if (parts[0] !== name) continue;
      let target = whole;
      for (const part of parts.slice(1, -1)) target = target[part] ??= {};
      target[parts.at(-1)] = item;
    }
    return whole;
  }

  #group(name, fields, isOpen) {
    const items = fields.filter(Boolean);
    return items.length ? h("details", { class: "fold", open: isOpen }, h("summary", {}, words(name)), h("div", { class: "grid" }, items)) : null;
  }

  /** The fields of a section; one that is chosen by name, as the evaluator is, begins with its choice. */
  #inside(key, part, values) {
    const section = this.#section(part);
    const { name, parameters } = section.properties;
    return name && parameters ? this.#choice(key, words(key), "", section, values).flat() : this.#fields([key], section, values);
  }

  #fields(path, section, values) {
    return Object.entries(section.properties || {}).map(([key, part]) => this.#field([...path, key], part, values?.[key] === undefined ? part.default : values[key]));
  }

  #field(path, part, value) {
    if (part.anyOf?.length && part.anyOf.every((variant) => variant.type === "null")) return null; // there is nothing to choose from
    const plain = this.#plain(part);
    const label = words(path.at(-1));
    const key = path.join(".");
    const help = part.description || plain.description || "";
    const inner = plain.type === "object" && plain.properties && !("name" in plain.properties) ? plain : null;
    if (inner && !part.anyOf) return h("fieldset", { class: "inner" }, h("legend", {}, label), this.#fields(path, inner, value || {}));
    if (plain.properties?.name) return this.#choice(key, label, help, plain, value, isOptional(part));
    if (Array.isArray(plain.enum)) {
      const chooser = isOptional(part) ? select(["", ...plain.enum], value ?? "") : select(plain.enum, value);
      return this.#register(key, label, help, chooser, (text) => plain.enum.find((item) => String(item) === text) ?? null);
    }
    if (plain.type === "boolean") {
      const chooser = select(isOptional(part) ? [null, true, false] : [true, false], value ?? null, { null: "by itself", true: "yes", false: "no" });
      return this.#register(key, label, help, chooser, (text) => (text === "null" ? null : text === "true"));
    }
    if (plain.type === "integer" || plain.type === "number") {
      const input = h("input", { type: "text", inputmode: "decimal", autocomplete: "off", placeholder: isOptional(part) ? "none" : null });
      return this.#register(key, label, help, put(input, value), (text) => toNumber(text, label, plain, isOptional(part)));
    }
    if (plain.type === "string") return this.#register(key, label, help, put(h("input", { type: "text", autocomplete: "off", placeholder: isOptional(part) ? "none" : null }), value), (text) => (text === "" && isOptional(part) ? null : text));
    const input = h("input", { type: "text", class: "mono", autocomplete: "off", placeholder: "none" });
    return this.#register(key, label, help || "As JSON.", put(input, value), (text) => fromJson(text, label));
  }

  /** Something chosen by name, with its parameters: two fields that change together. */
  #choice(key, label, help, plain, value, isAbsentAllowed = false) {
    const known = this.names[CHOICES[key]] || [];
    const name = typeof value === "string" ? value : (value?.name ?? "");
    const all = known.includes(name) || !name ? known : [name, ...known];
    const chooser = all.length ? select(name && !isAbsentAllowed ? all : ["", ...all], name) : put(h("input", { type: "text", autocomplete: "off" }), name);
    const parameters = put(h("input", { type: "text", class: "mono", autocomplete: "off" }), value?.parameters && Object.keys(value.parameters).length ? value.parameters : "");
    const isWhole = Object.keys(plain.properties).length > 2; // a section that is chosen by name keeps its other keys
    const others = isWhole ? Object.entries(plain.properties).filter(([part]) => part !== "name" && part !== "parameters") : [];
    if (isWhole) {
      chooser.addEventListener("change", () => (parameters.value = ""));
      return [
        this.#register(`${key}.name`, label, help, chooser, (text) => text),
        this.#register(`${key}.parameters`, `${label} parameters`, "As JSON, for example {\"n\": 3}.", parameters, (text) => fromJson(text, label) ?? {}),
        ...others.map(([part, inner]) => this.#field([...key.split("."), part], inner, value?.[part] === undefined ? inner.default : value[part])),
      ];
    }
    const both = { key, initial: `${name}\n${parameters.value}`, text: () => `${chooser.value}\n${parameters.value}` };
    both.read = () => (chooser.value ? { name: chooser.value, parameters: fromJson(parameters.value, label) ?? {} } : null);
    both.clear = () => (chooser.value = parameters.value = "");
    this.#controls.push(both);
    // Parameters of one choice mean nothing to another.
    chooser.addEventListener("change", () => (parameters.value = ""));
    for (const control of [chooser, parameters]) control.addEventListener("input", () => this.#touched(key, chooser.value));
    return [field(label, chooser, help), field(`${label} parameters`, parameters, "As JSON; empty takes the defaults.")];
  }

  #register(key, label, help, control, read) {
    const entry = { key, initial: control.value, text: () => control.value.trim(), read: () => read(control.value.trim()), clear: () => (control.value = "") };
    this.#controls.push(entry);
    control.addEventListener("input", () => this.#touched(key, control.value.trim()));
    return field(label, control, help);
  }

  #touched(key, text) {
    const others = text ? ALTERNATIVES.filter((group) => group.includes(key)).flat() : [];
    for (const control of this.#controls) if (control.key !== key && others.includes(control.key)) control.clear();
    this.changed(key);
  }

  #section(part) {
    const plain = this.#plain(part);
    return plain.type === "object" && plain.properties ? plain : null;
  }

  /** Follows references, and of several variants takes the one that says most. */
  #plain(part) {
    if (part.$ref) return this.#plain(this.definitions[part.$ref.split("/").at(-1)] || {});
    if (part.allOf?.length === 1) return this.#plain(part.allOf[0]);
    if (part.const !== undefined) return { ...part, enum: [part.const] };
    const variants = (part.anyOf || part.oneOf || []).map((variant) => this.#plain(variant)).filter((variant) => variant.type !== "null");
    if (!variants.length) return part;
    return variants.find((variant) => variant.properties) || variants[0];
  }
}

function isOptional(part) {
  return (part.anyOf || []).some((variant) => variant.type === "null");
}

function select(items, value, labels = {}) {
  return h("select", {}, items.map((item) => h("option", { value: String(item), selected: item === value }, labels[String(item)] ?? (item === "" ? "none" : String(item)))));
}

function put(input, value) {
  input.value = value === null || value === undefined ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
  return input;
}

function toNumber(text, label, plain, isEmptyAllowed) {
  if (text === "" && isEmptyAllowed) return null;
  const number = Number(text.replace(",", "."));
  if (text === "" || !Number.isFinite(number)) throw new Error(`${label} must be a number, not “${text}”.`);
  if (plain.type === "integer" && !Number.isInteger(number)) throw new Error(`${label} must be a whole number.`);
  return number;
}

function fromJson(text, label) {
  if (text.trim() === "") return null;
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`${label} is not valid JSON; write for example {"n": 3}, [0, 1] or "text".`);
  }
}
