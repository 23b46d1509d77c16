// Numbers and times for people.

const number = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** @param {number | null | undefined} value */
export const count = (value) => (value == null ? "–" : whole.format(value));
/** @param {number | null | undefined} value */
export const decimal = (value) => (value == null ? "–" : number.format(value));

/** A length of time, from milliseconds. @param {number | null | undefined} ms */
export function millis(ms) {
  if (ms == null || !Number.isFinite(ms)) return "–";
  if (ms < 1_000) return `${whole.format(ms)} ms`;
  if (ms < 60_000) return `${number.format(ms / 1_000)} s`;
  return span(ms / 1_000);
}

/** A length of time, from seconds. @param {number | null | undefined} seconds */
export function span(seconds) {
  if (seconds == null || !Number.isFinite(seconds)) return "–";
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3_600) return `${Math.floor(s / 60)} min ${s % 60 ? `${s % 60} s` : ""}`.trim();
  if (s < 86_400) return `${Math.floor(s / 3_600)} h ${Math.floor((s % 3_600) / 60)} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3_600)} h`;
}

/** The time of day, with the day where it was not today. @param {number | null | undefined} epoch seconds */
export function time(epoch) {
  if (epoch == null) return "–";
  const date = new Date(epoch * 1_000);
  return date.toDateString() === new Date().toDateString() ? clock.format(date) : day.format(date);
}

/** How long ago. @param {number | null | undefined} epoch seconds @param {number} [now] milliseconds */
export function ago(epoch, now = Date.now()) {
  if (epoch == null) return "never";
  const seconds = now / 1_000 - epoch;
  if (seconds < 2) return "now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

/** The whole time, for titles and `datetime`. @param {number | null | undefined} epoch seconds */
export const iso = (epoch) => (epoch == null ? "" : new Date(epoch * 1_000).toISOString());

/** A value of a metric with its unit. @param {string} metric @param {number | null | undefined} value */
export function measure(metric, value) {
  if (metric === "latency") return millis(value);
  if (metric === "retry_rate") return value == null ? "–" : `${whole.format(value * 100)} %`;
  return decimal(value);
}
