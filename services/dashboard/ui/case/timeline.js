// Everything that happened to a case, in order, and what comes next.
import { html } from "../lib/html.js";
import { span, time, iso } from "../lib/format.js";
import { DIAGNOSES, say } from "../lib/words.js";
import { actionName } from "./story.js";

/** @typedef {import("./shapes").Entry} Entry */

/** @type {Record<string, { mark: string, kind: string, title: (entry: Entry) => string }>} */
const KINDS = {
  opened: { mark: "▲", kind: "bad", title: () => "Found to be ill" },
  reported_again: { mark: "▲", kind: "bad", title: () => "Reported again" },
  quarantine_requested: { mark: "■", kind: "held", title: () => "Containment asked for" },
  quarantine_confirmed: { mark: "■", kind: "held", title: () => "Contained" },
  quarantine_released: { mark: "○", kind: "good", title: () => "Free to act again" },
  breached: { mark: "▲", kind: "bad", title: () => "Containment breached" },
  lever_confirmed: { mark: "✓", kind: "good", title: (entry) => `Receipt of ${entry.actor}` },
  lever_lost: { mark: "▲", kind: "bad", title: (entry) => `${entry.actor} does not hold the agent any more` },
  lever_failed: { mark: "✕", kind: "bad", title: (entry) => `${entry.actor} failed` },
  lever_unknown: { mark: "?", kind: "warn", title: (entry) => `No answer from ${entry.actor}` },
  lever_unsupported: { mark: "–", kind: "warn", title: (entry) => `${entry.actor} cannot do this` },
  waiting: { mark: "?", kind: "bad", title: () => "Waits for a person" },
  escalated: { mark: "!", kind: "bad", title: () => "Escalated" },
  second_person_wanted: { mark: "1", kind: "busy", title: (entry) => `First of two words, by ${entry.actor}` },
  first_approval_lapsed: { mark: "–", kind: "warn", title: () => "The first word lapsed" },
  approved: { mark: "✓", kind: "good", title: (entry) => `Healing approved by ${entry.actor}` },
  rejected: { mark: "✕", kind: "bad", title: (entry) => `Healing rejected by ${entry.actor}` },
  "ordered to heal now": { mark: "✓", kind: "good", title: (entry) => `Healing ordered by ${entry.actor}` },
  released: { mark: "○", kind: "warn", title: (entry) => `Released by ${entry.actor}` },
  claimed: { mark: "✚", kind: "busy", title: () => "A healer took the case" },
  taken_over: { mark: "✚", kind: "busy", title: () => "Another healer took over" },
  healing_started: { mark: "✚", kind: "busy", title: (entry) => `Healing step: ${actionName(entry.text.split(" ")[0] ?? "")}` },
  probation_started: { mark: "◔", kind: "busy", title: () => "Step done; runs under watch" },
  step_failed: { mark: "✕", kind: "bad", title: (entry) => `${actionName(entry.text.split(" ")[0] ?? "")} did not help` },
  step_unsupported: { mark: "–", kind: "warn", title: (entry) => `${actionName(entry.text.split(" ")[0] ?? "")} is not supported` },
  step_unproven: { mark: "?", kind: "warn", title: (entry) => `${actionName(entry.text.split(" ")[0] ?? "")} is not proven` },
  ladder_exhausted: { mark: "!", kind: "bad", title: () => "No step of the ladder is left" },
  healed: { mark: "●", kind: "good", title: (entry) => `Healed: ${actionName(entry.text.split(" ")[0] ?? "")}` },
};

/** What a title says already, left out of the text. @type {Record<string, RegExp>} */
const PREFIXES = {
  lever_confirmed: /^lever .* confirmed \((\w+)\): /,
  lever_lost: /^lever .* does not hold the agent any more: /,
  lever_failed: /^lever .* failed \((\w+)\): /,
  claimed: /^a healer took the case$/,
  quarantine_requested: /^quarantine asked for$/,
  healing_started: /^\w+ begins$/,
  probation_started: /^\w+ is done, the agent runs under watch: /,
  healed: /^\w+ succeeded: /,
  step_failed: /^\w+ failed: /,
  step_unsupported: /^\w+ unsupported: /,
  step_unproven: /^\w+ unproven: /,
  approved: /^approved by [^:]*(: |$)/,
  rejected: /^rejected by [^:]*(: |$)/,
  released: /^released by [^:]*(: |$)/,
  "ordered to heal now": /^ordered to heal now by [^:]*(: |$)/,
};
/** The system's words for what an agent has, inside its sentences. */
const DIAGNOSED = new RegExp(`\\b(?:${Object.keys(DIAGNOSES).filter((word) => word.includes("_")).join("|")})\\b`, "g");
const PERSONS = ["approved", "rejected", "released", "ordered to heal now"];

/** Since the case was opened. @param {number} seconds */
function offset(seconds) {
  if (Math.abs(seconds) < 0.0005) return "0 s";
  return `+${seconds < 10 ? `${seconds.toFixed(seconds < 1 ? 2 : 1)} s` : span(seconds)}`;
}

/** @param {Entry} entry */
function words(entry) {
  const text = entry.text.replace(PREFIXES[entry.kind] ?? /^$/, "").replace(DIAGNOSED, (word) => say(DIAGNOSES, word).toLowerCase());
  return text === "" ? "" : text.charAt(0).toUpperCase() + text.slice(1);
}

/** @param {{ whole: import("./shapes").WholeCase }} props */
export function Timeline({ whole }) {
  return html`<ol class="timeline">
    ${whole.timeline.map((entry, i) => {
      const kind = KINDS[entry.kind] ?? { mark: "·", kind: "", title: () => entry.kind.replaceAll("_", " ") };
      const text = words(entry);
      return html`<li class=${`entry entry-${kind.kind}`} key=${i}>
        <span class="entry-mark" aria-hidden="true">${kind.mark}</span>
        <div class="entry-body"><p><b>${kind.title(entry)}</b>${entry.count > 1 && html` <span class="muted">${entry.count} times</span>`} <time class="muted entry-when" datetime=${iso(entry.at)} title=${iso(entry.at)}>${time(entry.at)} · ${offset(entry.at - whole.opened_at)}</time></p>
          ${text && html`<p class="entry-text">${PERSONS.includes(entry.kind) ? html`<q>${text}</q>` : text}</p>`}</div>
      </li>`;
    })}
    ${whole.open && html`<li class="entry entry-next"><span class="entry-mark" aria-hidden="true">…</span><div class="entry-body"><p><b>Next</b></p><p class="entry-text">${whole.next}</p></div></li>`}
  </ol>`;
}
