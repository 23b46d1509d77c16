// What charts show beside their lines: bands, spans, marks and single measurements. All draw on a plot's canvas.

/**
 * @typedef {import("uplot")} uPlot
 * @typedef {(name: string) => string} Colour A colour of the theme by the name of its custom property.
 *
 * @typedef {"window" | "ill" | "waiting" | "healing" | "watched" | "well"} Mood
 *
 * @typedef {object} Span Something that lasted.
 * @property {number} from Epoch seconds.
 * @property {number | null} to Epoch seconds; null: it still lasts.
 * @property {string} label
 * @property {Mood} mood
 * @property {number} lane 0 is the uppermost.
 * @property {boolean} isShaded Whether the lines below it are shaded.
 *
 * @typedef {object} Mark Something that happened at a moment.
 * @property {number} at Epoch seconds.
 * @property {string} label
 *
 * @typedef {object} Dot A measurement that stands out.
 * @property {string} track
 * @property {number} at Epoch seconds.
 * @property {number} value
 */

/** Room for the words at the value axis, CSS pixels. */
export const AXIS_WIDTH = 58;

/** Draws within the plotting area only.
 * @param {uPlot} plot
 * @param {(context: CanvasRenderingContext2D) => void} draw
 */
function within(plot, draw) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  draw(ctx);
  ctx.restore();
}

/** Where a span lies, canvas pixels; what still lasts reaches to the right end.
 * @param {uPlot} plot
 * @param {Span} span
 */
function extent(plot, span) {
  const right = plot.bbox.left + plot.bbox.width;
  const left = Math.max(plot.valToPos(span.from, "x", true), plot.bbox.left);
  const end = span.to === null ? right : Math.min(plot.valToPos(span.to, "x", true), right);
  return { left, width: end - left };
}

/** Where a metric is normal.
 * @param {uPlot} plot
 * @param {{ low: number, high: number, mean: number }} band
 * @param {Colour} colour
 */
export function drawBand(plot, band, colour) {
  within(plot, (context) => {
    const top = plot.valToPos(band.high, "y", true);
    const bottom = plot.valToPos(Math.max(band.low, 0), "y", true);
    context.fillStyle = colour("--chart-band");
    context.fillRect(plot.bbox.left, top, plot.bbox.width, bottom - top);
    const mean = plot.valToPos(band.mean, "y", true);
    context.strokeStyle = colour("--chart-band-edge");
    context.lineWidth = devicePixelRatio;
    context.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
    context.beginPath();
    context.moveTo(plot.bbox.left, mean);
    context.lineTo(plot.bbox.left + plot.bbox.width, mean);
    context.stroke();
  });
}

/** Spans behind the lines.
 * @param {uPlot} plot
 * @param {Span[]} spans
 * @param {Colour} colour
 */
export function drawShades(plot, spans, colour) {
  within(plot, (context) => {
    context.globalAlpha = 0.1;
    for (const span of spans) {
      if (!span.isShaded) continue;
      const { left, width } = extent(plot, span);
      if (width <= 0) continue;
      context.fillStyle = colour(`--chart-${span.mood}`);
      context.fillRect(left, plot.bbox.top, Math.max(width, devicePixelRatio), plot.bbox.height);
    }
  });
}

/** Spans in lanes of their own, with their words where there is room.
 * @param {uPlot} plot
 * @param {Span[]} spans
 * @param {number} height Of a lane, CSS pixels.
 * @param {Colour} colour
 */
export function drawLanes(plot, spans, height, colour) {
  const pixel = devicePixelRatio;
  within(plot, (context) => {
    context.font = `600 ${11 * pixel}px system-ui, sans-serif`;
    context.textBaseline = "middle";
    context.textAlign = "left";
    for (const span of spans) {
      const { left, width } = extent(plot, span);
      if (width < 0) continue;
      const top = plot.bbox.top + span.lane * height * pixel;
      const shown = Math.max(width, 3 * pixel);
      context.fillStyle = colour(`--chart-${span.mood}`);
      context.beginPath();
      context.roundRect(left, top, shown, (height - 4) * pixel, 3 * pixel);
      context.fill();
      const room = shown - 10 * pixel;
      const words = fit(context, span.label, room);
      if (words === "") continue;
      context.fillStyle = colour("--chart-on-span");
      context.fillText(words, left + 5 * pixel, top + ((height - 4) / 2) * pixel + pixel / 2);
    }
  });
}

/** As much of a text as there is room for.
 * @param {CanvasRenderingContext2D} context
 * @param {string} text
 * @param {number} room
 */
function fit(context, text, room) {
  if (context.measureText(text).width <= room) return text;
  let length = text.length - 1;
  while (length > 2 && context.measureText(`${text.slice(0, length)}…`).width > room) length -= 1;
  return length > 2 ? `${text.slice(0, length)}…` : "";
}

/** Moments, as dashed lines from top to bottom.
 * @param {uPlot} plot
 * @param {Mark[]} marks
 * @param {Colour} colour
 */
export function drawMarks(plot, marks, colour) {
  const pixel = devicePixelRatio;
  within(plot, (context) => {
    context.strokeStyle = colour("--chart-change");
    context.lineWidth = 1.5 * pixel;
    context.setLineDash([2 * pixel, 3 * pixel]);
    for (const mark of marks) {
      const x = Math.round(plot.valToPos(mark.at, "x", true));
      context.beginPath();
      context.moveTo(x, plot.bbox.top);
      context.lineTo(x, plot.bbox.top + plot.bbox.height);
      context.stroke();
    }
  });
}

/** Measurements that stand out, as diamonds: the shape says it, too.
 * @param {uPlot} plot
 * @param {Dot[]} dots
 * @param {Colour} colour
 */
export function drawDots(plot, dots, colour) {
  const size = 5 * devicePixelRatio;
  within(plot, (context) => {
    context.fillStyle = colour("--chart-ill");
    context.strokeStyle = colour("--chart-ground");
    context.lineWidth = devicePixelRatio;
    for (const dot of dots) {
      const x = plot.valToPos(dot.at, "x", true);
      const y = plot.valToPos(dot.value, "y", true);
      context.beginPath();
      context.moveTo(x, y - size);
      context.lineTo(x + size, y);
      context.lineTo(x, y + size);
      context.lineTo(x - size, y);
      context.closePath();
      context.fill();
      context.stroke();
    }
  });
}
