// What was done to an agent and what helped: tables of healings and of immune memory.
import { html } from "../lib/html.js";
import { millis, time } from "../lib/format.js";
import { casePath, href } from "../lib/route.js";
import { When } from "../lib/ui.js";
import { DIAGNOSES, say } from "../lib/words.js";
import { actionName } from "./story.js";

/** @type {Record<string, { label: string, kind: string }>} */
const OUTCOMES = {
  running: { label: "… under way", kind: "" },
  verifying: { label: "… under watch", kind: "" },
  succeeded: { label: "✓ helped", kind: "good" },
  failed: { label: "✕ did not help", kind: "bad" },
  unsupported: { label: "– not supported", kind: "warn" },
  abandoned: { label: "– given up", kind: "warn" },
};
/** @type {Record<string, string>} */
const TRIGGERS = { auto: "by itself", after_approval: "after an approval", explicit_after_reject: "ordered by a person" };

/** @param {{ healings: import("./shapes").Healing[] }} props */
export function HealingTable({ healings }) {
  if (healings.length === 0) return html`<p class="muted">Nothing was done to this agent yet.</p>`;
  return html`<div class="table-box" tabindex="0" role="region" aria-label="Healings"><table>
    <thead><tr><th scope="col">Began</th><th scope="col">What was done</th><th scope="col">Against</th><th scope="col">Why then</th><th scope="col">Outcome</th><th scope="col" class="number">Took</th></tr></thead>
    <tbody>${healings.map((one, i) => {
      const outcome = OUTCOMES[one.outcome] ?? { label: one.outcome, kind: "" };
      return html`<tr key=${one.healing_id ?? i}><td class="when">${time(one.started_at)}</td><td>${one.case_id ? html`<a href=${href(casePath(one.case_id))}>${actionName(one.action)}</a>` : actionName(one.action)}${one.detail && html`<br /><span class="muted">${one.detail}</span>`}</td><td>${say(DIAGNOSES, one.diagnosis_type)}</td><td>${say(TRIGGERS, one.trigger)}${one.source === "posted" && html`<br /><span class="muted">told by the agent's own system</span>`}</td><td class=${outcome.kind}>${outcome.label}</td><td class="number">${one.ended_at ? millis((one.ended_at - one.started_at) * 1_000) : "–"}</td></tr>`;
    })}</tbody>
  </table></div>`;
}

/** @param {{ memory: import("./shapes").Memory[], empty: string, isShort?: boolean }} props `isShort`: against one diagnosis only */
export function MemoryTable({ memory, empty, isShort = false }) {
  if (memory.length === 0) return html`<p class="muted">${empty}</p>`;
  const hasPins = memory.some((one) => one.pin !== null);
  return html`<div class="table-box" tabindex="0" role="region" aria-label="Immune memory"><table>
    <thead><tr>${!isShort && html`<th scope="col">Against</th>`}<th scope="col">What was done</th><th scope="col" class="number">Helped</th><th scope="col" class="number">Did not</th><th scope="col">Last</th>${hasPins && html`<th scope="col">A person's word</th>`}</tr></thead>
    <tbody>${memory.map((one) => html`<tr key=${`${one.diagnosis_type}/${one.action}`}>${!isShort && html`<td>${say(DIAGNOSES, one.diagnosis_type)}</td>`}<td>${actionName(one.action)}</td><td class=${one.successes ? "number good" : "number"}>${one.successes}</td><td class=${one.failures ? "number bad" : "number"}>${one.failures}</td><td><${When} at=${one.last_at} /></td>${hasPins && html`<td>${one.pin ?? html`<span class="muted">none</span>`}</td>`}</tr>`)}</tbody>
  </table></div>`;
}
