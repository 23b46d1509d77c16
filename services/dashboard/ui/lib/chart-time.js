// Words at the time axis of a chart: 24 hours, the day where it begins.

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const SECONDS = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/**
 * @param {unknown} _plot
 * @param {number[]} splits Where words stand, epoch seconds.
 * @param {number} _axis
 * @param {number} _space
 * @param {number} step Distance of two words, seconds.
 */
export function timeTicks(_plot, splits, _axis, _space, step) {
  let day = "";
  return splits.map((split) => {
    const at = new Date(split * 1000);
    const today = DAY.format(at);
    if (step >= 86_400) return today;
    const clock = (step < 60 ? SECONDS : CLOCK).format(at);
    const isNew = today !== day;
    day = today;
    return isNew ? `${clock}\n${today}` : clock;
  });
}
