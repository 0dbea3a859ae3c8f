// Numbers, times and words as people read them. A value that is not there is a dash.

const DASH = "–";
const MINUS = "−";

/** A number with as many digits as matter. */
export function number(value, digits = 5) {
  if (value === null || value === undefined || !Number.isFinite(value)) return DASH;
  if (value === 0) return "0";
  const size = Math.abs(value);
  let text;
  if (size >= 1e6 || size < 1e-4) text = value.toExponential(Math.max(0, digits - 2)).replace(/\.?0+e/, "e").replace("e+", "e");
  else if (Number.isInteger(value)) text = value.toLocaleString("en-US");
  else text = String(Number(value.toPrecision(digits)));
  return text.replace("-", MINUS);
}

/** A whole number with separators. */
export function count(value) {
  return value === null || value === undefined ? DASH : Number(value).toLocaleString("en-US");
}

/** "1 trial", "2 trials". */
export function some(n, word, plural = `${word}s`) {
  return `${count(n)} ${n === 1 ? word : plural}`;
}

/** A latent vector, of a long one the first four coordinates. */
export function vector(z) {
  if (!z) return DASH;
  const shown = z.slice(0, 4).map((value) => (value === null ? DASH : value.toFixed(3).replace("-", MINUS)));
  return `(${shown.join(", ")}${z.length > 4 ? ", …" : ""})`;
}

/** A time span as people say it. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return DASH;
  if (seconds < 0.0995) return `${(1000 * seconds).toPrecision(2)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** A POSIX time as the clock on the wall: with the day where it is not today. */
export function when(posix) {
  if (posix === null || posix === undefined || !Number.isFinite(posix)) return DASH;
  const moment = new Date(1000 * posix);
  const clock = moment.toLocaleTimeString("en-GB");
  return moment.toDateString() === new Date().toDateString() ? clock : `${moment.toLocaleDateString("en-CA")} ${clock}`;
}

/** What a key of the configuration means, as words: `n_initial` becomes "n initial". */
export function words(key) {
  return key.replaceAll("_", " ");
}

/** A value of the configuration on one line. */
export function value(item) {
  if (item === null || item === undefined) return "none";
  if (typeof item === "boolean") return item ? "yes" : "no";
  if (typeof item === "number") return number(item, 8);
  if (typeof item === "string") return item;
  if (item && typeof item === "object" && !Array.isArray(item) && "name" in item) {
    const inner = Object.entries(item.parameters || {}).map(([key, part]) => `${key}: ${value(part)}`);
    return inner.length ? `${item.name} (${inner.join(", ")})` : String(item.name);
  }
  if (Array.isArray(item)) return `[${item.map(value).join(", ")}]`;
  return Object.entries(item).filter(([, part]) => part !== null && !(Array.isArray(part) && !part.length)).map(([key, part]) => `${words(key)}: ${value(part)}`).join(", ") || "none";
}

/** What happened, as a short sentence for the list of events. */
export function sentence(event) {
  const data = event.data || {};
  const trial = data.trial === undefined || data.trial === null ? "" : `trial ${data.trial}`;
  const who = data.who ? ` by ${data.who}` : "";
  const reason = data.reason ? `: ${data.reason}` : data.text ? `: ${data.text}` : "";
  const result = Number.isFinite(data.objective) ? `, ${number(data.objective)}` : "";
  const what = { armed: "armed", model: "latent model trained", ended: data.state || "ended", started: "session started" }[event.kind];
  return `${trial ? `${trial} ` : ""}${what || words(event.kind)}${result}${who}${reason}`;
}
