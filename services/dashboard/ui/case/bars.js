// Now beside normal, a bar for each metric.
import { html } from "../lib/html.js";
import { decimal } from "../lib/format.js";
import { limitsOf } from "./limits.js";
import { amount, departed, metricName } from "./story.js";

/**
 * @typedef {object} Row
 * @property {string} metric
 * @property {number} now
 * @property {number} low
 * @property {number} high
 * @property {number | null} mean
 * @property {number | null} deviation
 * @property {boolean} isOut
 */

/** Rows for a window beside its baseline. The band is where averages are no anomaly.
 * @param {import("./shapes").Case} one
 * @param {import("./shapes").Window} window
 * @param {import("./limits.js").Limits} limits
 * @returns {Row[]}
 */
function rows(one, window, { threshold, retryShare }) {
  const out = departed(one);
  const metrics = /** @type {const} */ (["latency", "tokens", "tools"]).flatMap((metric) => {
    const { average, mean, stddev } = window.metrics[metric] ?? {};
    if (average == null || mean == null || stddev == null) return [];
    const [low, high] = [Math.max(0, mean - threshold * stddev), mean + threshold * stddev];
    return [{ metric, now: average, low, high, mean, deviation: one.deviations[metric] ?? null, isOut: out.includes(metric) }];
  });
  const share = window.retry_share;
  if (share == null) return metrics;
  const retries = { metric: "retry_rate", now: share, low: 0, high: retryShare, mean: null, deviation: null, isOut: out.includes("retry_rate") };
  return [...metrics, retries];
}

/** @param {{ row: Row }} props */
function Bar({ row }) {
  const top = Math.max(row.now, row.high) * 1.08 || 1;
  const at = (/** @type {number} */ value) => Math.min(100, (value / top) * 100);
  const normal = row.metric === "retry_rate" ? `at most ${amount(row.metric, row.high)}` : `${amount(row.metric, row.low)} to ${amount(row.metric, row.high)}`;
  const side = row.mean != null && row.now < row.mean ? "below" : "above";
  const far = row.deviation != null ? `${decimal(row.deviation >= 10 ? Math.round(row.deviation) : row.deviation)} σ ${side}` : "above";
  return html`<li class=${row.isOut ? "bar bar-out" : "bar"}>
    <span class="bar-name">${metricName(row.metric)}</span>
    <svg class="bar-line" viewBox="0 0 100 14" preserveAspectRatio="none" aria-hidden="true">
      <rect class="bar-ground" x="0" y="0" width="100" height="14" />
      <rect class="bar-band" x=${at(row.low)} y="0" width=${Math.max(at(row.high) - at(row.low), 0.6)} height="14" />
      <rect class="bar-now" x="0" y="4" width=${Math.max(at(row.now), 0.4)} height="6" />
      ${row.mean != null && html`<rect class="bar-mean" x=${Math.max(at(row.mean) - 0.2, 0)} y="0" width="0.4" height="14" />`}
    </svg>
    <span class="bar-words"><b>${amount(row.metric, row.now)}</b> ${row.isOut && html`<span class="bar-far"><span aria-hidden="true">▲ </span>${far}</span> `}<span class="muted">${row.isOut ? "normal," : "within normal,"} ${normal}</span></span>
  </li>`;
}

/** @param {{ one: import("./shapes").Case, window: import("./shapes").Window }} props */
export function Bars({ one, window }) {
  const shown = rows(one, window, limitsOf(one));
  if (shown.length === 0) return html`<p class="muted">There are no numbers beside a baseline: the agent had not run recently, or has none yet.</p>`;
  return html`<ul class="bars" aria-label=${`Average of ${window.executions} executions in ${window.window_seconds} s beside normal`}>
    ${shown.map((row) => html`<${Bar} row=${row} key=${row.metric} />`)}
  </ul>`;
}
