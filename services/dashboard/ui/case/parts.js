// What a card and the page of a case are made of: why, how it is contained, what would be done, who is affected, which
// executions show it.
import { html } from "../lib/html.js";
import { count, millis, span, time } from "../lib/format.js";
import { agentPath, href } from "../lib/route.js";
import { Copy, Countdown, Pill, When, now } from "../lib/ui.js";
import { DECISIONS, DIAGNOSES, STATES, say } from "../lib/words.js";
import { limitsOf } from "./limits.js";
import { actionName, containment, headline } from "./story.js";

/** @typedef {import("./shapes").Case} Case */
/** @typedef {import("./shapes").WholeCase} WholeCase */

/** Which pill a state wears. @type {Record<string, string>} */
const PILLS = {
  awaiting_approval: "waiting",
  rejected: "quarantined",
  heal_queued: "healing",
  healing: "healing",
  probation: "healing",
  healed: "healthy",
  released: "healthy",
};

/** @param {{ state: string }} props */
export const StatePill = ({ state }) => html`<${Pill} kind=${PILLS[state] ?? "suspect"} label=${say(STATES, state)} />`;

/** What moved and how far. @param {{ one: Case, whole: WholeCase | undefined }} props */
export function Headline({ one, whole }) {
  const [main, rest] = headline(one, whole?.window);
  return html`<p class="headline">${main}</p>${rest && html`<p>${rest}</p>`}`;
}

/** The diagnosis, why, and what else it could be. @param {{ one: Case, whole: WholeCase | undefined }} props */
export function Diagnosis({ one, whole }) {
  const [main, ...others] = whole?.hypotheses ?? [];
  const ruledOut = whole?.ruled_out ?? [];
  return html`<div class="why">
    <p><b>${say(DIAGNOSES, one.diagnosis)}</b>${main && html` <span class="muted">${percent(main.confidence)} sure</span>`}</p>
    <p>${sentence(one.reasoning) || "No reason is on record."}</p>
    ${others.length > 0 &&
    html`<details><summary>${others.length === 1 ? "Another possibility" : `${others.length} other possibilities`}</summary>
      <ul class="plain-list">${others.map((other) => html`<li key=${other.diagnosis}><b>${say(DIAGNOSES, other.diagnosis)}</b> <span class="muted">${percent(other.confidence)}</span>: ${other.because}</li>`)}</ul>
    </details>`}
    ${ruledOut.length > 0 &&
    html`<details><summary>What it was not</summary>
      <ul class="plain-list">${ruledOut.map((not) => html`<li key=${not.diagnosis}><b>${say(DIAGNOSES, not.diagnosis)}</b>: ${not.because}</li>`)}</ul>
    </details>`}
  </div>`;
}

/** @param {number} share */
const percent = (share) => `${Math.round(share * 100)} %`;

/** @param {string} text */
const sentence = (text) => (text ? `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}` : "");

/** @type {Record<string, string>} */
const WANTED = { contained: "contain", probation: "let it run under watch", free: "let it go" };
/** @type {Record<string, { mark: string, word: string, kind: string }>} */
const ANSWERS = {
  confirmed: { mark: "✓", word: "confirmed", kind: "good" },
  requested: { mark: "…", word: "asked, no answer yet", kind: "warn" },
  failed: { mark: "✕", word: "failed", kind: "bad" },
  unsupported: { mark: "–", word: "cannot do this", kind: "warn" },
};

/** What holds the agent, lever by lever, in the levers' own words. @param {{ one: Case }} props */
export function Containment({ one }) {
  const { phase } = one.quarantine;
  const isBad = phase === "breached" || (one.open && (phase === "not_wanted" || phase === "requested"));
  return html`<div class="containment">
    <p class=${isBad ? "bad" : ""}>${isBad && html`<b aria-hidden="true">▲ </b>`}${containment(one)}</p>
    ${phase !== "not_wanted" &&
    html`<ul class="plain-list">${one.quarantine.levers.map((lever) => {
      const answer = ANSWERS[lever.status] ?? { mark: "?", word: lever.status, kind: "" };
      return html`<li key=${lever.lever}><span class=${answer.kind}><span aria-hidden="true">${answer.mark} </span><b>${lever.lever}</b>, asked to ${WANTED[lever.wanted]}: ${answer.word}</span>${lever.at != null && html` <span class="muted">${time(lever.at)}</span>`}${lever.attempts > 1 && html` <span class="muted">after ${lever.attempts} attempts</span>`}
        ${lever.detail && html`<br /><q class="receipt">${lever.detail}</q>`}</li>`;
    })}</ul>`}
  </div>`;
}

/** @type {Record<string, { mark: string, word: string, kind: string }>} */
const OUTCOMES = {
  succeeded: { mark: "✓", word: "helped", kind: "good" },
  failed: { mark: "✕", word: "did not help", kind: "bad" },
  unsupported: { mark: "–", word: "not supported", kind: "warn" },
  unproven: { mark: "?", word: "not proven", kind: "warn" },
};

/** What was tried, what would be done and in which order, what is skipped and why. @param {{ one: Case, whole: WholeCase | undefined }} props */
export function PlanList({ one, whole }) {
  const plan = whole?.plan;
  return html`<div class="plan">
    ${one.attempts.length > 0 &&
    html`<ul class="plain-list">${one.attempts.map((attempt) => {
      const outcome = OUTCOMES[attempt.outcome] ?? { mark: "?", word: attempt.outcome, kind: "" };
      return html`<li key=${attempt.healing_id}><span class=${outcome.kind}><span aria-hidden="true">${outcome.mark} </span><b>${actionName(attempt.action)}</b> ${outcome.word}</span> <span class="muted">${time(attempt.at)}</span>${attempt.detail && html`<br /><span class="muted">${sentence(attempt.detail)}</span>`}</li>`;
    })}</ul>`}
    ${plan && plan.steps.length > 0 && html`<ol class="steps">${plan.steps.map((step) => html`<li key=${step}>${actionName(step)}</li>`)}</ol>`}
    ${plan && plan.steps.length === 0 && one.open && html`<p class="muted">No step is left on the ladder.</p>`}
    ${!plan && one.open && whole && html`<p class="muted">The healer does not answer: what it would do is not known now.</p>`}
    ${plan && plan.skipped.length > 0 &&
    html`<ul class="plain-list muted">${plan.skipped.map((skipped) => html`<li key=${skipped.action}><s>${actionName(skipped.action)}</s> is skipped: ${skipped.because}</li>`)}</ul>`}
  </div>`;
}

/** Who is affected. @param {{ affected: import("./shapes").Affected }} props */
export function Affected({ affected }) {
  const workload = Object.entries(affected.workload);
  return html`<div class="affected">
    <p>The agent <a href=${href(agentPath(affected.agent_id))}>${affected.agent_id}</a>${affected.agent_type && `, a ${affected.agent_type} agent`}${affected.namespace && `, in namespace ${affected.namespace}`}.</p>
    ${workload.length > 0 && html`<p class="muted">${workload.map(([name, value]) => `${name}: ${value}`).join(" · ")}</p>`}
    ${affected.mcp_servers.length > 0 && html`<p class="muted">Uses ${affected.mcp_servers.join(", ")}.</p>`}
    ${affected.agent_type && html`<${Others} others=${affected.same_type} what=${`other ${affected.agent_type} agents`} />`}
    ${affected.mcp_servers.length > 0 && html`<${Others} others=${affected.same_mcp_server} what="others with the same MCP servers" />`}
  </div>`;
}

/** @param {{ others: import("./shapes").Others, what: string }} props */
function Others({ others, what }) {
  if (others.count === 0) return html`<p class="muted">Of ${what} none is ill now.</p>`;
  const rest = others.count - others.agents.length;
  return html`<p><b>${count(others.count)}</b> of ${what} ${others.count === 1 ? "is" : "are"} ill, too: ${others.agents.map((agent, i) => html`${i > 0 && ", "}<a href=${href(agentPath(agent))} key=${agent}>${agent}</a>`)}${rest > 0 && ` and ${rest} more`}.</p>`;
}

/** The first of two people's words. @param {{ one: Case, self: string }} props */
export function SecondPerson({ one, self }) {
  const first = one.first_approval;
  if (first) {
    return html`<p class="banner banner-info"><b>${first.by === self ? "You" : first.by}</b> ${DECISIONS[first.decision]} at ${time(first.at)}${first.reason && html`: <q>${first.reason}</q>`}.
      ${first.by === self ? " Somebody else has to say the same" : " A second person has to say the same"}; the word lapses <${Countdown} until=${first.expires_at} />.</p>`;
  }
  return one.needs_second_person ? html`<p class="muted">Takes two people: the first word is recorded, the second takes effect.</p>` : null;
}

/** How long it waits, and what happens by itself. @param {{ one: Case }} props */
export function Waiting({ one }) {
  const { since, escalates_at: until, escalations } = one.state_details;
  if (one.state === "awaiting_approval" && since != null) {
    return html`<span>waits for ${span(now.value / 1_000 - since)}${escalations ? html`, <b class="bad">escalated ${escalations === 1 ? "once" : `${escalations} times`}</b>` : ""}${until != null && html`, escalates <${Countdown} until=${until} />`}</span>`;
  }
  if (one.state === "rejected") return html`<span>rejected by <b>${one.state_details.by}</b> <${When} at=${one.state_details.at} /></span>`;
  return html`<span>changed <${When} at=${one.updated_at} /></span>`;
}

/** How far a proof is. @param {{ probation: import("./shapes").Probation }} props */
export function Proof({ probation }) {
  const left = probation.silent_until - now.value / 1_000;
  return html`<div class="proof">
    <progress max=${probation.needed} value=${Math.min(probation.seen, probation.needed)} aria-label="Executions that prove the healing">${probation.seen} of ${probation.needed}</progress>
    <p><b>${probation.seen} of ${probation.needed}</b> executions seen since ${time(probation.since)}. Their average has to lie within the baseline; from ${time(probation.enough_at)} on fewer are enough.${left > 0 && html` <span class="muted">If the agent stays silent, a person is asked <${Countdown} until=${probation.silent_until} />.</span>`}</p>
  </div>`;
}

/** Whether a number of an execution is beyond normal.
 * @param {number | null | undefined} value
 * @param {import("./shapes").WindowMetric | undefined} normal
 * @param {number} threshold standard deviations
 */
function isOut(value, normal, threshold) {
  if (value == null || normal?.mean == null || !normal.stddev) return false;
  return Math.abs(value - normal.mean) > threshold * normal.stddev;
}

/** Evidence and what of it is beyond normal, the most conspicuous first. @param {WholeCase} whole */
function judged(whole) {
  const { metrics } = whole.window;
  const { threshold } = limitsOf(whole);
  const rows = whole.evidence.map((one) => {
    const out = {
      latency: isOut(one.latency_ms, metrics.latency, threshold),
      tokens: isOut(one.token_count, metrics.tokens, threshold),
      tools: isOut(one.tool_calls, metrics.tools, threshold),
      retries: (one.retries ?? 0) > 0,
      failed: !one.success,
    };
    return { one, out, weight: Object.values(out).filter(Boolean).length };
  });
  return rows.sort((a, b) => b.weight - a.weight || b.one.timestamp - a.one.timestamp);
}

/** The executions that show it: those beyond normal first. @param {{ whole: WholeCase }} props */
export function EvidenceTable({ whole }) {
  const rows = judged(whole);
  if (rows.length === 0) return html`<p class="muted">No execution is on record as evidence.</p>`;
  const cell = (/** @type {boolean} */ isBad, /** @type {any} */ text) => html`<td class=${isBad ? "number bad" : "number"}>${isBad ? html`<b><span aria-hidden="true">▲ </span>${text}</b>` : text}</td>`;
  return html`<div class="table-box" tabindex="0" role="region" aria-label=${`Evidence on ${whole.agent_id}`}><table>
    <caption class="hidden">Executions that show the infection, those beyond normal first</caption>
    <thead><tr><th scope="col">Ended</th><th scope="col" class="number">Latency</th><th scope="col" class="number">Tokens</th><th scope="col" class="number">Tools</th><th scope="col" class="number">Retries</th><th scope="col">Outcome</th><th scope="col">Trace</th></tr></thead>
    <tbody>${rows.map(({ one, out }) => html`<tr key=${one.execution_id}>
      <td class="when">${time(one.timestamp)}</td>${cell(out.latency, millis(one.latency_ms))}${cell(out.tokens, count(one.token_count))}${cell(out.tools, count(one.tool_calls))}${cell(out.retries, count(one.retries))}
      <td class=${one.success ? "" : "bad"}>${one.success ? "succeeded" : "▲ failed"}</td>
      <td>${one.trace_id ? html`<${Copy} text=${one.trace_id} label=${`Copy trace id ${one.trace_id}`} />` : html`<span class="muted">none</span>`}</td>
    </tr>`)}</tbody>
  </table></div>`;
}

/** How many executions show it, for a summary. @param {WholeCase} whole */
export function evidenceWords(whole) {
  if (whole.evidence.length === 0) return "Evidence: no execution is on record";
  const out = judged(whole).filter((row) => row.weight > 0).length;
  return `Evidence: ${out} of ${whole.evidence.length} recorded executions ${out === 1 ? "stands" : "stand"} out`;
}
