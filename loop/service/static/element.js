// Elements from plain values. Whatever users, instruments or campaigns wrote reaches the document as text here, never as markup:
// there is no other way to build an element on this page.

const SVG = "http://www.w3.org/2000/svg";

/**
 * Makes an element. Properties: `class`, `text`, `on` (event name to listener), `data` (dataset), everything else an attribute;
 * `false`, `null` and `undefined` leave an attribute out, `true` sets it empty. Children: elements, text, lists of both, or nothing.
 */
export function h(tag, properties = {}, ...children) {
  return filled(document.createElement(tag), properties, children);
}

/** Makes an element of an SVG drawing; properties as in `h`. */
export function svg(tag, properties = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), properties, children);
}

/** Replaces what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren(...flat(children));
  return element;
}

/** Writes a text only where it changed, so that a screen reader or a selection is not disturbed. */
export function write(element, text) {
  const wanted = String(text);
  if (element.textContent !== wanted) element.textContent = wanted;
  return element;
}

/** A button that says what it does; `kind`: "", "main", "danger" or "quiet". */
export function button(text, action, { kind = "", title = null, disabled = false, ...more } = {}) {
  return h("button", { type: "button", class: kind, title, disabled, on: { click: action }, ...more }, text);
}

/** A labelled field: the label, the control, and a line of help underneath. */
export function field(label, control, help = "") {
  const id = control.id || (control.id = `field-${(field.count = (field.count || 0) + 1)}`);
  const line = help ? h("small", { id: `${id}-help` }, help) : null;
  if (line) control.setAttribute("aria-describedby", line.id);
  return h("div", { class: "field" }, h("label", { for: id }, label), control, line);
}

/** A section with a heading of its own, as all panels of the page are. */
export function panel(title, { className = "", note = "", tools = [] } = {}, ...children) {
  const id = `panel-${(panel.count = (panel.count || 0) + 1)}`;
  return h(
    "section",
    { class: `panel ${className}`, "aria-labelledby": id },
    h("div", { class: "panel-head" }, h("h2", { id }, title), h("div", { class: "tools" }, tools)),
    note ? h("p", { class: "soft note" }, note) : null,
    children,
  );
}

function filled(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === false || value === null || value === undefined) continue;
    if (name === "text") element.textContent = value;
    else if (name === "on") for (const [kind, listener] of Object.entries(value)) element.addEventListener(kind, listener);
    else if (name === "data") Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...flat(children));
  return element;
}

function flat(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}
