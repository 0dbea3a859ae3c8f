// Light and dark: as the system says, or as the button in the corner says. Figures take their template from the same two themes.

import { button, write } from "./element.js";

const KEY = "latentloop.theme";
const NEXT = { auto: "light", light: "dark", dark: "auto" };
const SYMBOL = { auto: "◐", light: "☀", dark: "☾" };
const system = matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set();
let choice = localStorage.getItem(KEY) || "auto";
if (!(choice in NEXT)) choice = "auto";

/** Whether the page is dark now. */
export function isDark() {
  return choice === "auto" ? system.matches : choice === "dark";
}

/** Calls back whenever light becomes dark or the other way; returns how to stop that. */
export function onTheme(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** The button that goes from automatic to light to dark. */
export function themeButton() {
  const element = button("", () => {
    choice = NEXT[choice];
    localStorage.setItem(KEY, choice);
    apply();
    label();
  }, { kind: "quiet icon" });
  const label = () => {
    write(element, SYMBOL[choice]);
    const name = `Colours: ${choice === "auto" ? "as the system" : choice}`;
    element.setAttribute("aria-label", name);
    element.title = name;
  };
  label();
  return element;
}

function apply() {
  if (choice === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = choice;
  for (const listener of listeners) listener(isDark());
}

system.addEventListener("change", apply);
apply();
