// The timeline of a case as spans on a time axis: what held the agent, and what was done meanwhile.
import { actionName } from "./story.js";

/** @typedef {import("../lib/chart-marks.js").Span} Span */
/** @typedef {import("../lib/chart-marks.js").Mood} Mood */

/** The lanes, from top to bottom. */
export const LANES = ["Containment", "What is done"];

/** What begins with an entry of the timeline; null: something ends. @param {import("./shapes").Entry} entry @returns {{ label: string, mood: Mood } | null | undefined} undefined: it begins and ends nothing */
function step(entry) {
  const action = entry.text.split(" ")[0] ?? "";
  switch (entry.kind) {
    case "waiting":
      return { label: "waits for a person", mood: "waiting" };
    case "rejected":
      return { label: "rejected", mood: "waiting" };
    case "healing_started":
      return { label: actionName(action), mood: "healing" };
    case "probation_started":
      return { label: "under watch", mood: "watched" };
    case "approved":
    case "ordered to heal now":
    case "claimed":
    case "step_failed":
    case "step_unsupported":
    case "step_unproven":
    case "healed":
    case "released":
      return null;
    default:
      return undefined;
  }
}

/** @param {import("./shapes").Entry} entry @returns {{ label: string, mood: Mood } | null | undefined} */
function hold(entry) {
  switch (entry.kind) {
    case "quarantine_requested":
      return { label: "asked for", mood: "waiting" };
    case "quarantine_confirmed":
      return { label: "contained", mood: "ill" };
    case "breached":
      return { label: "breached", mood: "ill" };
    case "probation_started":
    case "healed":
    case "released":
    case "quarantine_released":
      return null;
    default:
      return undefined;
  }
}

/**
 * @param {import("./shapes").Entry[]} timeline
 * @param {(entry: import("./shapes").Entry) => { label: string, mood: Mood } | null | undefined} read
 * @param {number} lane
 * @returns {Span[]}
 */
function follow(timeline, read, lane) {
  /** @type {Span[]} */
  const spans = [];
  /** @type {Span | null} */
  let open = null;
  for (const entry of timeline) {
    const next = read(entry);
    if (next === undefined) continue;
    if (open !== null) {
      open.to = entry.at;
      spans.push(open);
    }
    open = next === null ? null : { from: entry.at, to: null, ...next, lane, isShaded: lane === 0 && next.mood === "ill" };
  }
  if (open !== null) spans.push(open);
  return spans.filter((span) => span.to === null || span.to > span.from);
}

/** @param {import("./shapes").WholeCase} whole @returns {Span[]} */
export function spansOf(whole) {
  const window = { from: whole.opened_at - whole.window.window_seconds, to: whole.opened_at, label: "window", mood: /** @type {Mood} */ ("window"), lane: 1, isShaded: true };
  return [...follow(whole.timeline, hold, 0), window, ...follow(whole.timeline, step, 1)];
}
