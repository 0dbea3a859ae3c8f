// What the page says and asks: short notices in a corner that a screen reader hears, and dialogs that want an answer.

import { button, field, h } from "./element.js";

const SHOWN_FOR = 7000;

/** Says something; `kind`: "good" or "bad". */
export function notice(text, kind = "good") {
  const place = document.getElementById("notices");
  const item = h("div", { class: `notice ${kind}` }, text, button("×", () => item.remove(), { kind: "quiet", "aria-label": "Close this notice" }));
  place.append(item);
  while (place.children.length > 4) place.firstElementChild.remove();
  if (kind === "good") setTimeout(() => item.remove(), SHOWN_FOR);
}

/** Runs an action; says that it was done, or why it was refused. Returns its result, or undefined where it was refused. */
export async function attempt(action, done = "") {
  try {
    const result = await action();
    if (done) notice(done);
    return result === null ? true : result;
  } catch (error) {
    notice(error.message, "bad");
    return undefined;
  }
}

/**
 * Asks for an answer in a dialog.
 *
 * `fields`: list of {name, label, help, kind: "text"|"long"|"number"|"choice", choices, required, value}.
 * `check(values)` says what is wrong with them, or "". Resolves to the values by name, or to null where the dialog was left.
 */
export function ask({ title, text = "", fields = [], confirm = "OK", danger = false, check = () => "" }) {
  return new Promise((resolve) => {
    const controls = fields.map((item) => [item, control(item)]);
    const refused = h("p", { class: "refused", role: "alert" });
    const form = h(
      "form",
      { method: "dialog", novalidate: true },
      h("h2", { id: "dialog-title" }, title),
      text ? h("p", {}, text) : null,
      controls.map(([item, input]) => field(item.label, input, item.help || "")),
      refused,
      h(
        "div",
        { class: "row end" },
        button("Cancel", () => dialog.close(), { kind: "quiet" }),
        h("button", { type: "submit", class: danger ? "danger" : "main" }, confirm),
      ),
    );
    const dialog = h("dialog", { "aria-labelledby": "dialog-title" }, form);
    let answer = null;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const missing = controls.find(([item, input]) => item.required && !input.value.trim());
      if (missing) {
        refused.textContent = `${missing[0].label} is needed.`;
        missing[1].focus();
        return;
      }
      const values = Object.fromEntries(controls.map(([item, input]) => [item.name, read(item, input)]));
      refused.textContent = check(values);
      if (refused.textContent) return;
      answer = values;
      dialog.close();
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
    (controls.length ? controls[0][1] : form.querySelector("button[type=submit]")).focus();
  });
}

function control(item) {
  const value = item.value ?? "";
  if (item.kind === "long") return h("textarea", { name: item.name, rows: 3, required: item.required }, value);
  if (item.kind === "choice") {
    return h(
      "select",
      { name: item.name },
      item.choices.map(([key, label]) => h("option", { value: key, selected: key === value }, label)),
    );
  }
  const input = h("input", { name: item.name, type: "text", autocomplete: "off", required: item.required });
  if (item.kind === "number") input.inputMode = "decimal";
  input.value = value;
  return input;
}

function read(item, input) {
  const text = input.value.trim();
  return item.kind === "number" ? (text === "" ? null : Number(text.replace(",", "."))) : text;
}
