// Who is here, and what they may do. The service decides; the page only leaves out what would be refused anyway.

import { get, post } from "./api.js";

const RANK = { viewer: 0, instrument: 0, operator: 1, admin: 2 };

let me = null;

/** Asks the service who is here; null where nobody is logged in. */
export async function identify() {
  me = (await get(["login"])).me; // never refused: a browser shouts at its console about every refusal
  return me;
}

/** The last answer of `identify`. */
export function whoami() {
  return me;
}

/** Whether actions on campaigns are offered. */
export function mayOperate() {
  return me !== null && RANK[me.role] >= RANK.operator;
}

/** Whether deleting is offered. */
export function mayAdminister() {
  return me !== null && RANK[me.role] >= RANK.admin;
}

/** Logs in with a token; the cookie that comes back is out of reach of scripts. */
export async function login(token) {
  await post(["login"], { token });
  return identify();
}

/** Logs out. */
export async function logout() {
  await post(["logout"]);
  me = null;
}
