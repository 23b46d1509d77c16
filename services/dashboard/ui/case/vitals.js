// An agent's vitals over time as stacked charts, with a table for those who cannot see them.
import { html, useEffect, useRef, useState } from "../lib/html.js";
import { Charts } from "../lib/chart.js";
import { count, decimal, millis, time } from "../lib/format.js";
import { Button } from "../lib/ui.js";

/**
 * @typedef {import("./shapes").Series} Series
 * @typedef {import("../lib/chart.js").Track} Track
 * @typedef {import("../lib/chart-marks.js").Span} Span
 * @typedef {{ at: number, latency: number | null, tokens: number | null, tools: number | null, retries: number | null, failures: number | null, count: number }} Row
 */

/** Rows of the table at most; the latest. */
const TABLE_MAX = 200;
const EMPTY = { latency: null, tokens: null, tools: null, retries: null, failures: null, count: 0 };

/** Executions one by one where there are few, else steps. @param {Series} series @returns {Row[]} */
function measured(series) {
  if (series.executions.length > 0) {
    return series.executions.map((one) => {
      const known = (/** @type {string} */ name, /** @type {number} */ value) => (one.unknown.includes(name) ? null : value);
      return { at: one.timestamp, latency: one.latency_ms, tokens: known("token_count", one.token_count), tools: known("tool_calls", one.tool_calls), retries: known("retries", one.retries), failures: one.success ? 0 : 1, count: 1 };
    });
  }
  return series.points.map((point) => ({ ...point, at: point.at + series.bucket_seconds / 2 }));
}

/** Breaks where nothing was measured, so that no line is drawn over times when the agent did not run. @param {Row[]} rows @param {Series} series @returns {Row[]} */
function withBreaks(rows, series) {
  const steps = rows.slice(1).map((row, i) => row.at - /** @type {Row} */ (rows[i]).at);
  const usual = [...steps].sort((a, b) => a - b)[Math.floor(steps.length / 2)] ?? 0;
  const longest = series.executions.length > 0 ? Math.max(usual * 8, 5) : series.bucket_seconds * 1.5;
  return rows.flatMap((row, i) => {
    const before = rows[i - 1];
    return before && row.at - before.at > longest ? [{ ...EMPTY, at: (before.at + row.at) / 2 }, row] : [row];
  });
}

/** @param {Series} series @returns {{ times: number[], tracks: Track[], rows: Row[] }} */
function tracks(series) {
  const measuredRows = measured(series);
  const rows = withBreaks(measuredRows, series);
  const band = (/** @type {string} */ metric) => series.band.find((each) => each.metric === metric) ?? null;
  const isRaw = series.executions.length > 0;
  const line = (/** @type {"latency" | "tokens" | "tools"} */ id, /** @type {string} */ label, /** @type {(value: number) => string} */ format, height = 84) =>
    ({ id, label, kind: /** @type {"line"} */ ("line"), values: rows.map((row) => row[id]), band: band(id), format, height });
  const bars = (/** @type {"retries" | "failures"} */ id, /** @type {string} */ label) =>
    ({ id, label, kind: /** @type {"bars"} */ ("bars"), values: rows.map((row) => row[id]), band: null, format: count, height: 52 });
  const step = isRaw ? "each execution" : `in ${series.bucket_seconds < 60 ? `${series.bucket_seconds} s` : `${series.bucket_seconds / 60} min`}`;
  return {
    rows: measuredRows,
    times: rows.map((row) => row.at),
    tracks: [line("latency", "Latency", short, 120), line("tokens", "Tokens", compact), line("tools", "Tool calls", decimal), bars("retries", `Retries, ${step}`), bars("failures", `Failures, ${step}`)],
  };
}

/** A latency for an axis. @param {number} ms */
const short = (ms) => (ms >= 1_000 ? `${decimal(ms / 1_000)} s` : `${ms >= 10 ? count(ms) : decimal(ms)} ms`);
const thousands = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
/** @param {number} value */
const compact = (value) => (value >= 10_000 ? thousands.format(value) : count(value));

/** Evidence that is beyond normal, per track. @param {Series} series */
function dots(series) {
  return series.anomalies.flatMap((one) =>
    /** @type {const} */ (["latency", "tokens", "tools"]).flatMap((track) => {
      const [value, band] = [one[track], series.band.find((each) => each.metric === track)];
      return value != null && band && (value > band.high || value < band.low) ? [{ track, at: one.at, value }] : [];
    }),
  );
}

/**
 * @param {{ series: Series, spans: Span[], marks: { at: number, label: string }[], lanes: string[], label: string }} props
 */
export function Vitals({ series, spans, marks, lanes, label }) {
  const root = useRef(/** @type {HTMLElement | null} */ (null));
  const charts = useRef(/** @type {Charts | null} */ (null));
  const [at, setAt] = useState(/** @type {number | null} */ (null));
  const [isZoomed, setZoomed] = useState(false);
  const drawn = tracks(series);
  useEffect(() => {
    if (!root.current) return;
    const made = new Charts(root.current, { onCursor: setAt, onZoom: setZoomed });
    charts.current = made;
    return () => made.destroy();
  }, []);
  useEffect(() => {
    charts.current?.show({ from: series.from, to: series.to, times: drawn.times, tracks: drawn.tracks, spans, marks, dots: dots(series) });
  }, [series, spans, marks]);
  const keys = (/** @type {KeyboardEvent} */ event) => {
    if (event.target !== event.currentTarget) return;
    const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
    if (by !== undefined) {
      event.preventDefault();
      charts.current?.step(by);
    } else if (event.key === "Escape") {
      charts.current?.leave();
      charts.current?.resetZoom();
    }
  };
  const all = [...marks, ...series.changes.map(change)].sort((a, b) => a.at - b.at).filter((mark) => mark.at >= series.from && mark.at <= series.to);
  return html`<div class="vitals">
    <div class="row vitals-head">
      <span class="muted" aria-hidden="true">${at !== null && drawn.times[at] != null ? time(drawn.times[at]) : "Latest"}</span>
      <ul class="legend"><li class="legend-band">normal</li><li class="legend-dot">evidence beyond normal</li>${marks.length + series.changes.length > 0 && html`<li class="legend-mark">change or decision</li>`}</ul>
      ${isZoomed ? html`<${Button} kind="quiet" onClick=${() => charts.current?.resetZoom()}>Show all<//>` : html`<span class="hint pointer-only">Drag to look closer</span>`}
    </div>
    ${lanes.length > 0 && html`<p class="hidden">${spans.map((span) => `${lanes[span.lane]}: ${span.label}, from ${time(span.from)} ${span.to === null ? "until now" : `to ${time(span.to)}`}`).join(". ")}</p>`}
    <div ref=${root} class="charts" role="group" tabindex="0" aria-label=${`${label}. Arrow keys move from one measurement to the next; the same numbers are in the table below.`} onKeyDown=${keys} onBlur=${() => charts.current?.leave()}></div>
    <p class="hidden" aria-live="polite">${at !== null && drawn.times[at] != null ? drawn.tracks.map((track) => `${track.label} ${track.values[at] == null ? "unknown" : track.format(/** @type {number} */ (track.values[at]))}`).join(", ") : ""}</p>
    ${drawn.rows.length === 0 && html`<p class="muted">The agent has not run in this time.</p>`}
    ${series.truncated && html`<p class="hint">There are more executions than can be summed up: the earliest are missing.</p>`}
    ${all.length > 0 && html`<details><summary>${all.length} ${all.length === 1 ? "moment is" : "moments are"} marked</summary><ul class="plain-list">${all.map((mark) => html`<li key=${`${mark.at}${mark.label}`}><b>${time(mark.at)}</b> ${mark.label}</li>`)}</ul></details>`}
    <details><summary>The numbers as a table</summary>${drawn.rows.length > TABLE_MAX && html`<p class="hint">The latest ${TABLE_MAX} of ${drawn.rows.length}.</p>`}<${Table} rows=${drawn.rows.slice(-TABLE_MAX).reverse()} isRaw=${series.executions.length > 0} /></details>
  </div>`;
}

/** A change of model or prompt in words. @param {import("./shapes").Change} one */
export const change = (one) => ({ at: one.at, label: one.kind === "model" ? `Model: ${one.from} → ${one.to}` : `Prompt version: ${one.from.slice(0, 12)} → ${one.to.slice(0, 12)}` });

/** @param {{ rows: Row[], isRaw: boolean }} props */
const Table = ({ rows, isRaw }) => html`<div class="table-box table-low" tabindex="0" role="region" aria-label="Vitals as a table"><table>
  <thead><tr><th scope="col">Time</th>${!isRaw && html`<th scope="col" class="number">Executions</th>`}<th scope="col" class="number">Latency</th><th scope="col" class="number">Tokens</th><th scope="col" class="number">Tools</th><th scope="col" class="number">Retries</th><th scope="col" class="number">Failures</th></tr></thead>
  <tbody>${rows.map((row, i) => html`<tr key=${`${row.at}-${i}`}><td class="when">${time(row.at)}</td>${!isRaw && html`<td class="number">${count(row.count)}</td>`}<td class="number">${millis(row.latency)}</td><td class="number">${count(row.tokens)}</td><td class="number">${decimal(row.tools)}</td><td class="number">${count(row.retries)}</td><td class="number">${count(row.failures)}</td></tr>`)}</tbody>
</table></div>`;
