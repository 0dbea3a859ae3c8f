// The page's frame: who is here, which view the address asks for, and the corner with theme and name. Views are functions that fill
// the main element and return what lets go of them.

import { onUnauthorized } from "./api.js";
import { button, fill, h } from "./element.js";
import { notice } from "./notice.js";
import { identify, logout, mayOperate, whoami } from "./session.js";
import { themeButton } from "./theme.js";

const PAGES = [["#/", "Campaigns"], ["#/compare", "Compare"], ["#/new", "New campaign"]];
const main = document.getElementById("main");
let leave = () => {};
let turn = 0;

function route(view, isWanted) {
  const [page, ...rest] = location.hash.replace(/^#\/?/, "").split("/").map(decoded);
  if (page === "campaign" && rest[0]) return () => import("./campaign_view.js").then((module) => module.openCampaign(view, { name: rest[0], trial: rest[1], isWanted }));
  if (page === "compare") return () => import("./compare_view.js").then((module) => module.openCompare(view, { names: rest.filter(Boolean) }));
  if (page === "new") return () => import("./new_view.js").then((module) => module.openNew(view));
  if (page === "") return () => import("./campaigns_view.js").then((module) => module.openCampaigns(view));
  return async () => {
    fill(view, h("h1", { tabindex: "-1" }, "There is no such page"), h("p", {}, h("a", { href: "#/" }, "All campaigns")));
    return () => {};
  };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

async function show() {
  const mine = (turn += 1);
  leave();
  leave = () => {};
  frame();
  if (whoami() === null) return logIn();
  main.setAttribute("aria-busy", "true");
  // Every visit has an element of its own: one that comes too late fills what nobody sees any more.
  const view = h("div", { class: "view" });
  fill(main, view);
  try {
    const close = await route(view, () => mine === turn)();
    if (mine === turn) leave = close;
    else close();
  } catch (error) {
    if (mine === turn && error.status !== 401) trouble(error, mine);
  } finally {
    if (mine === turn) main.removeAttribute("aria-busy");
  }
  if (mine === turn && mine > 1) main.querySelector("h1")?.focus({ preventScroll: true });
}

function trouble(error, mine) {
  const isLost = error.code === "offline";
  const view = h(
    "div",
    { class: "view" },
    h("h1", { tabindex: "-1" }, isLost ? "No connection" : "That did not work"),
    h("p", { role: "alert" }, error.message),
    h("p", { class: "row" }, button("Try again", show, { kind: "main" }), h("a", { href: "#/" }, "All campaigns")),
  );
  fill(main, view);
  if (isLost) setTimeout(() => mine === turn && show(), 2000);
}

async function logIn() {
  const { openLogin } = await import("./login_view.js");
  leave = openLogin(main, { then: show });
  main.querySelector("input").focus();
}

function frame() {
  const me = whoami();
  const here = `#/${location.hash.replace(/^#\/?/, "").split("/")[0]}`;
  const pages = PAGES.filter(([address]) => me !== null && (address !== "#/new" || mayOperate()));
  fill(document.getElementById("pages"), pages.map(([address, name]) => h("a", { href: address, "aria-current": here === address ? "page" : null }, name)));
  const isKnown = me !== null && me.authentication !== false;
  fill(
    document.getElementById("corner"),
    isKnown ? [h("span", { class: "soft who" }, `${me.name} (${me.role})`), button("Log out", out, { kind: "quiet" })] : null,
    corner,
  );
}

async function out() {
  try {
    await logout();
  } catch (error) {
    notice(error.message, "bad");
  }
  show();
}

const corner = themeButton();
onUnauthorized.call = () => {
  if (whoami() === null) return;
  // The session has ended: whoever is here logs in again and comes back to the same place.
  identify().catch(() => {}).then(show);
};
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // addresses behind a # are pages here
  main.focus();
});
window.addEventListener("hashchange", show);
window.addEventListener("unhandledrejection", (event) => {
  if (event.reason?.code === "offline" || event.reason?.name === "AbortError" || event.reason?.status === 401) event.preventDefault();
});

async function start() {
  try {
    await identify();
  } catch (error) {
    trouble(error, turn);
    if (error.code === "offline") setTimeout(start, 2000);
    return;
  }
  await show();
}

start();
