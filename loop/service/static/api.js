// The service's REST interface. Every refusal becomes a `Refusal` whose message is the server's own sentence; a connection that is
// not there becomes one whose code is "offline".

const ROOT = "/api/v1";

/** What the service refused, and why. */
export class Refusal extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Calls when the service asks who is there (401). */
export const onUnauthorized = { call: () => {} };

/** The address of a part of the interface; parts are escaped, `undefined` and `null` parameters left out. */
export function address(parts, parameters = {}) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== null && value !== "") query.set(key, value);
  }
  const tail = query.toString();
  return `${ROOT}/${parts.map(encodeURIComponent).join("/")}${tail ? `?${tail}` : ""}`;
}

/** Reads something. */
export function get(parts, parameters, signal) {
  return call("GET", address(parts, parameters), undefined, signal);
}

/** Does something. */
export function post(parts, body = {}) {
  return call("POST", address(parts), body);
}

/** Removes something. */
export function remove(parts, parameters) {
  return call("DELETE", address(parts, parameters));
}

async function call(method, url, body, signal) {
  const options = { method, signal, credentials: "same-origin", headers: { Accept: "application/json" } };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "offline", "The service does not answer; the page tries again by itself.");
  }
  if (answer.status === 204) return null;
  const text = await answer.text();
  let content = null;
  try {
    content = text ? JSON.parse(text) : null;
  } catch {
    content = null;
  }
  if (answer.ok && content !== null) return content;
  const error = (content && content.error) || {};
  const refusal = new Refusal(answer.status, error.code || "unknown", error.message || `The service answered ${answer.status}.`);
  if (answer.status === 401 && !url.endsWith("/login")) onUnauthorized.call(refusal);
  throw refusal;
}
