// Charts that stand on top of each other on one time axis: lines and bars with the band where they are normal, spans
// and marks through all of them, one cursor, one zoom. Drawn on canvas by uPlot; the colours are custom properties of
// the page, so that they follow the theme. Whoever draws charts also offers the numbers as a table.

import uPlot from "uplot";
import { AXIS_WIDTH, drawBand, drawDots, drawLanes, drawMarks, drawShades } from "./chart-marks.js";
import { timeTicks } from "./chart-time.js";

/**
 * @typedef {import("./chart-marks.js").Span} Span
 * @typedef {import("./chart-marks.js").Mark} Mark
 * @typedef {import("./chart-marks.js").Dot} Dot
 *
 * @typedef {object} Track One line or one row of bars.
 * @property {string} id
 * @property {string} label What is measured.
 * @property {"line" | "bars"} kind
 * @property {(number | null)[]} values One for each time.
 * @property {{ low: number, high: number, mean: number } | null} band Where it is normal.
 * @property {(value: number) => string} format
 * @property {number} height CSS pixels, without the time axis.
 *
 * @typedef {object} Drawing
 * @property {number} from Beginning of the axis, epoch seconds.
 * @property {number} to End of the axis, epoch seconds.
 * @property {number[]} times Epoch seconds, ascending.
 * @property {Track[]} tracks
 * @property {Span[]} spans What lasted.
 * @property {Mark[]} marks What happened at a moment.
 * @property {Dot[]} dots Single measurements that stand out.
 *
 * @typedef {object} Listener
 * @property {(index: number | null) => void} onCursor Which time the cursor is at.
 * @property {(isZoomed: boolean) => void} onZoom
 */

const TIME_AXIS_HEIGHT = 34;
const LANE_HEIGHT = 20;

/** Stacked charts in an element. */
export class Charts {
  /** @type {uPlot[]} */
  #plots = [];
  /** @type {Drawing | null} */
  #drawing = null;
  #shape = "";
  /** @type {{ min: number, max: number } | null} */
  #zoom = null;
  /** What the axes were last set to here: whatever else they become, a person did. */
  #set = { min: 0, max: 0 };
  /** @type {Map<string, string>} */
  #colours = new Map();
  /** Where the values at the cursor stand, one for each track. @type {HTMLElement[]} */
  #values = [];
  /** @type {number | null} */
  #at = null;

  /**
   * @param {HTMLElement} root
   * @param {Listener} listener
   */
  constructor(root, listener) {
    this.root = root;
    this.listener = listener;
    this.resizing = new ResizeObserver(() => this.#resize());
    this.resizing.observe(root);
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.dark.addEventListener("change", this.#recolour);
    this.theming = new MutationObserver(this.#recolour);
    this.theming.observe(document.documentElement, { attributes: true });
  }

  /** Shows something else, or the same with more in it. A zoom stays until it is reset or leaves the axis.
   * @param {Drawing} drawing
   */
  show(drawing) {
    this.#drawing = drawing;
    const bands = drawing.tracks.map((track) => [track.id, track.kind, track.height, track.band]);
    const shape = JSON.stringify([bands, lanes(drawing.spans), isSparse(drawing.times)]);
    if (shape !== this.#shape || this.#plots.length === 0) {
      this.#shape = shape;
      this.#build();
      return;
    }
    if (this.#zoom && (this.#zoom.max <= drawing.from || this.#zoom.min >= drawing.to)) this.#zoom = null;
    const limits = this.#limits();
    this.#set = limits;
    this.#plots.forEach((plot, i) =>
      plot.batch(() => {
        plot.setData(this.#data(i), false);
        plot.setScale("x", limits);
      }),
    );
    this.#sayValues();
  }

  /** Shows the whole axis again. */
  resetZoom() {
    this.#zoom = null;
    this.#scaleAll();
  }

  /** Moves the cursor by some measurements; for the keyboard.
   * @param {number} by
   */
  step(by) {
    const [plot] = this.#plots;
    const times = this.#drawing?.times ?? [];
    if (!plot || times.length === 0) return;
    const { min, max } = this.#limits();
    const first = times.findIndex((time) => time >= min);
    let last = times.length - 1;
    while (last > 0 && /** @type {number} */ (times[last]) > max) last -= 1;
    const from = this.#at ?? (by > 0 ? first - 1 : last + 1);
    const index = Math.min(Math.max(from + by, Math.max(first, 0)), last);
    const left = plot.valToPos(/** @type {number} */ (times[index]), "x");
    this.#plots.forEach((each) => each.setCursor({ left, top: 4 }, false));
    this.#said(index);
  }

  /** Hides the cursor. */
  leave() {
    this.#plots.forEach((plot) => plot.setCursor({ left: -10, top: -10 }, false));
    this.#said(null);
  }

  /** Ends drawing and listening. */
  destroy() {
    this.resizing.disconnect();
    this.theming.disconnect();
    this.dark.removeEventListener("change", this.#recolour);
    this.#plots.forEach((plot) => plot.destroy());
    this.#plots = [];
  }

  #recolour = () => {
    this.#colours.clear();
    this.#plots.forEach((plot) => plot.redraw(false, false));
  };

  /** A colour of the theme.
   * @param {string} name
   */
  #colour = (name) => {
    let colour = this.#colours.get(name);
    if (colour === undefined) {
      colour = getComputedStyle(this.root).getPropertyValue(name).trim() || "gray";
      this.#colours.set(name, colour);
    }
    return colour;
  };

  #limits() {
    const drawing = /** @type {Drawing} */ (this.#drawing);
    return this.#zoom ?? { min: drawing.from, max: drawing.to };
  }

  #width() {
    return Math.max(240, Math.floor(this.root.clientWidth));
  }

  #resize() {
    const width = this.#width();
    for (const plot of this.#plots) if (plot.width !== width) plot.setSize({ width, height: plot.height });
  }

  #scaleAll() {
    const limits = this.#limits();
    this.#set = limits;
    this.#plots.forEach((plot) => plot.setScale("x", limits));
    this.listener.onZoom(this.#zoom !== null);
  }

  /** @param {number | null} index */
  #said(index) {
    if (index === this.#at) return;
    this.#at = index;
    this.#sayValues();
    this.listener.onCursor(index);
  }

  /** Writes the values at the cursor, else the latest ones, beside the names. */
  #sayValues() {
    this.#drawing?.tracks.forEach((track, i) => {
      const value = this.#at === null ? track.values.findLast((each) => each !== null) : track.values[this.#at];
      const place = this.#values[i];
      if (place) place.textContent = value == null ? "–" : track.format(value);
    });
  }

  /** What stands over a chart: its name, its value, what is normal.
   * @param {Track} track
   */
  #heading(track) {
    const line = document.createElement("div");
    line.className = "chart-label";
    const [name, value, normal] = [document.createElement("b"), document.createElement("span"), document.createElement("span")];
    name.textContent = track.label;
    value.className = "chart-value";
    normal.className = "muted";
    if (track.band) normal.textContent = `normal ${track.format(Math.max(0, track.band.low))} to ${track.format(track.band.high)}`;
    line.append(name, value, normal);
    this.#values.push(value);
    this.root.append(line);
  }

  /** The data of a plot; the first one has only the spans, and no line.
   * @param {number} index
   * @returns {uPlot.AlignedData}
   */
  #data(index) {
    const drawing = /** @type {Drawing} */ (this.#drawing);
    const track = drawing.tracks[index - (this.#hasLanes() ? 1 : 0)];
    return [drawing.times, track ? track.values : drawing.times.map(() => null)];
  }

  #hasLanes() {
    return (this.#drawing?.spans.length ?? 0) > 0;
  }

  #build() {
    this.#plots.forEach((plot) => plot.destroy());
    const drawing = /** @type {Drawing} */ (this.#drawing);
    const group = `charts-${Math.random().toString(36).slice(2)}`;
    /** @type {(string | null)[]} */
    const ids = drawing.tracks.map((track) => track.id);
    if (this.#hasLanes()) ids.unshift(null);
    this.root.replaceChildren();
    this.#values = [];
    this.#plots = ids.map((id, i) => {
      const isLast = i === ids.length - 1;
      const track = drawing.tracks.find((each) => each.id === id);
      if (track) this.#heading(track);
      return new uPlot(this.#options(id, group, isLast), this.#data(i), this.root);
    });
    this.#scaleAll();
    this.#sayValues();
  }

  /**
   * @param {string | null} id Which track; none: the lanes of the spans.
   * @param {string} group Whose cursors move together.
   * @param {boolean} isLast Whether it shows the times.
   * @returns {uPlot.Options}
   */
  #options(id, group, isLast) {
    const colour = this.#colour;
    const drawing = () => /** @type {Drawing} */ (this.#drawing);
    const track = () => drawing().tracks.find((each) => each.id === id) ?? null;
    const first = track();
    const inner = first ? first.height : lanes(drawing().spans) * LANE_HEIGHT + 6;
    const font = "11px system-ui, sans-serif";
    const bars = uPlot.paths.bars?.({ size: [0.7, 14, 1], align: 1 });
    return {
      width: this.#width(),
      height: inner + (isLast ? TIME_AXIS_HEIGHT : 0),
      padding: [6, 10, isLast ? 0 : 4, 0],
      legend: { show: false },
      cursor: {
        sync: { key: group, setSeries: false },
        drag: { x: true, y: false, dist: 6 },
        points: { show: first !== null, size: 7, fill: () => colour("--chart-line") },
        bind: { dblclick: () => () => (this.resetZoom(), null) },
      },
      scales: {
        x: { time: true, auto: false },
        y: { range: (_plot, low, high) => range(low, high, track()) },
      },
      axes: [
        {
          show: isLast,
          size: TIME_AXIS_HEIGHT,
          font,
          space: 70,
          gap: 4,
          stroke: () => colour("--chart-text"),
          grid: { stroke: () => colour("--chart-grid"), width: 1 },
          ticks: { show: false },
          values: timeTicks,
        },
        {
          size: AXIS_WIDTH,
          font,
          gap: 4,
          space: 26,
          stroke: () => colour("--chart-text"),
          grid: { show: first !== null, stroke: () => colour("--chart-grid"), width: 1 },
          ticks: { show: false },
          values: (_plot, splits) => splits.map((split) => (first ? first.format(split) : "")),
        },
      ],
      series: [
        {},
        {
          stroke: () => colour("--chart-line"),
          fill: first?.kind === "bars" ? () => colour("--chart-bar") : undefined,
          width: first?.kind === "bars" ? 1 : 1.5,
          paths: first?.kind === "bars" ? bars : undefined,
          spanGaps: false,
          points: { show: first?.kind === "line" && isSparse(drawing().times), size: 3.5 },
        },
      ],
      hooks: {
        drawClear: [
          (plot) => {
            drawShades(plot, drawing().spans, colour);
            const band = track()?.band;
            if (band) drawBand(plot, band, colour);
          },
        ],
        draw: [
          (plot) => {
            if (first === null) drawLanes(plot, drawing().spans, LANE_HEIGHT, colour);
            drawMarks(plot, drawing().marks, colour);
            drawDots(plot, drawing().dots.filter((dot) => dot.track === id), colour);
          },
        ],
        setCursor: [
          (plot) => {
            // All plots of the group say the same; the one that the pointer is over is enough.
            const isHere = plot.cursor.event != null || plot === this.#plots[0];
            if (isHere) this.#said((plot.cursor.left ?? -1) < 0 ? null : (plot.cursor.idx ?? null));
          },
        ],
        setScale: [
          (plot, key) => {
            const { min, max } = plot.scales.x ?? {};
            if (key !== "x" || min == null || max == null) return;
            if (this.#set.min === min && this.#set.max === max) return;
            this.#set = { min, max };
            this.#zoom = { min, max };
            queueMicrotask(() => this.#scaleAll());
          },
        ],
      },
    };
  }
}

/** How many lanes spans need.
 * @param {Span[]} spans
 */
function lanes(spans) {
  return spans.reduce((most, span) => Math.max(most, span.lane + 1), 0);
}

/** Few enough that each measurement is worth a point of its own.
 * @param {number[]} times
 */
function isSparse(times) {
  return times.length <= 160;
}

/** What the value axis spans: the data and where they are normal, with some air, never below 0.
 * @param {number | null} low
 * @param {number | null} high
 * @param {Track | null} track
 * @returns {[number, number]}
 */
function range(low, high, track) {
  if (track === null) return [0, 1];
  const band = track.band;
  const top = Math.max(high ?? 0, band ? band.high : 0);
  if (track.kind === "bars") return [0, Math.max(top * 1.1, 1)];
  const bottom = Math.min(low ?? top, band ? Math.max(band.low, 0) : top);
  const air = (top - bottom || top || 1) * 0.1;
  return [Math.max(0, bottom - air), top + air];
}
