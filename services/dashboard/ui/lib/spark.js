// A line of the latest latencies with the band of what is normal.
import { html } from "./html.js";
import { millis } from "./format.js";

const WIDTH = 120;
const HEIGHT = 28;
const PAD = 2;

/** @param {{ spark: { latency: [number, number][], band: [number, number] | null } | undefined }} props */
export function Spark({ spark }) {
  const points = spark?.latency ?? [];
  if (points.length < 2) return html`<span class="spark spark-none" aria-hidden="true"></span>`;
  const values = points.map(([, ms]) => ms);
  const band = spark?.band ?? null;
  const top = Math.max(...values, ...(band ?? []));
  const low = Math.min(...values, ...(band ?? []));
  const height = top - low || 1;
  const x = (/** @type {number} */ n) => PAD + (n / (points.length - 1)) * (WIDTH - 2 * PAD);
  const y = (/** @type {number} */ ms) => HEIGHT - PAD - ((ms - low) / height) * (HEIGHT - 2 * PAD);
  const line = values.map((ms, n) => `${x(n).toFixed(1)},${y(ms).toFixed(1)}`).join(" ");
  const last = values.at(-1) ?? 0;
  const isOut = band !== null && (last > band[1] || last < band[0]);
  const said = `latest latency ${millis(last)}${band ? `, normal ${millis(band[0])} to ${millis(band[1])}` : ""}`;
  return html`<svg class="spark" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label=${said}>
    ${band && html`<rect class="spark-band" x="0" y=${y(band[1])} width=${WIDTH} height=${Math.max(1, y(band[0]) - y(band[1]))} />`}
    <polyline class="spark-line" points=${line} />
    <circle class=${isOut ? "spark-out" : "spark-dot"} cx=${x(points.length - 1)} cy=${y(last)} r="2.5" />
  </svg>`;
}
