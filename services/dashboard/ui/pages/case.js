// One case: what happens next, what happened, why, and the decision.
import { html, useEffect, useMemo, useState } from "../lib/html.js";
import { get } from "../lib/api.js";
import { time } from "../lib/format.js";
import { onEvent } from "../lib/live.js";
import { useLoad } from "../lib/load.js";
import { agentPath, casePath, href } from "../lib/route.js";
import { me } from "../lib/session.js";
import { Copy, Countdown, ErrorBox, Head, Loaded, Loading, Severity, now } from "../lib/ui.js";
import { DIAGNOSES, say } from "../lib/words.js";
import { Bars } from "../case/bars.js";
import { Decide } from "../case/decide.js";
import { Feedback } from "../case/feedback.js";
import { MemoryTable } from "../case/history.js";
import { askLimits } from "../case/limits.js";
import { Affected, Containment, Diagnosis, EvidenceTable, Headline, PlanList, Proof, SecondPerson, StatePill, evidenceWords } from "../case/parts.js";
import { useWhole } from "../case/seen.js";
import { LANES, spansOf } from "../case/spans.js";
import { containment, decided, lasted } from "../case/story.js";
import { Timeline } from "../case/timeline.js";
import { Vitals, change } from "../case/vitals.js";

/** @typedef {import("../case/shapes").WholeCase} WholeCase */

/** What is shown before the case was opened and after it has ended, seconds. */
const BEFORE = 90;
const AFTER = 60;
/** Steps of the charts at most. */
const BUCKETS = 300;
/** Time between two looks at an open case's vitals and proof, milliseconds. */
const LOOK_EVERY = 3_000;
/** Rows of the action log that are shown. */
const ROWS_MAX = 100;

/** @param {{ params: { id: string } }} props */
export default function Case({ params }) {
  const load = useWhole(params.id);
  useEffect(() => void askLimits(), []);
  // How far a proof is grows without an event.
  const isWatched = load.value?.state === "probation";
  useEffect(() => {
    if (!isWatched) return;
    const timer = setInterval(() => document.hidden || load.reload(), LOOK_EVERY);
    return () => clearInterval(timer);
  }, [isWatched]);
  if (load.value === undefined) {
    return html`<${Head} title="Case" />${load.error ? html`<${ErrorBox} error=${load.error} onRetry=${load.reload} />` : html`<${Loading} what="Loading the case" />`}`;
  }
  return html`<${Whole} whole=${load.value} onStale=${load.reload} error=${load.error} />`;
}

/** @param {{ whole: WholeCase, error: any, onStale: () => void }} props */
function Whole({ whole, error, onStale }) {
  const last = whole.last_decision;
  return html`<div class="stack case">
    <${Head} title=${`${say(DIAGNOSES, whole.diagnosis)}: ${whole.agent_id}`}><${StatePill} state=${whole.state} /><${Severity} value=${whole.severity} /><//>
    ${error && html`<p class="banner banner-warn" role="alert">${error.detail ?? String(error)} What you see is from before.</p>`}
    <p class="muted"><a href=${href(agentPath(whole.agent_id))}>${whole.agent_id}</a>${whole.agent_type && `, ${whole.agent_type}`} · opened ${time(whole.opened_at)} · ${lasted(whole, now.value)} · <${Copy} text=${whole.case_id} label="Copy the case id" /></p>
    <section class="panel next" tabindex="-1" aria-label="In short">
      <${Headline} one=${whole} whole=${whole} />
      ${whole.open && html`<p>${containment(whole)}</p>`}
      <p class="next-words"><b>${whole.open ? "What happens next: " : "How it ended: "}</b>${whole.open ? whole.next : ending(whole)} ${whole.open && whole.state === "awaiting_approval" && whole.expires_at != null && html`<span class="muted">Escalates <${Countdown} until=${whole.expires_at} />.</span>`}</p>
      <${SecondPerson} one=${whole} self=${me.value?.subject ?? ""} />
      ${last && whole.open && html`<p>${decided(last)}${last.reason && html`: <q>${last.reason}</q>`}.</p>`}
      ${whole.probation && html`<${Proof} probation=${whole.probation} />`}
      <${Decide} one=${whole} plan=${whole.plan} onStale=${onStale} />
    </section>
    <${Axis} whole=${whole} />
    <div class="case-columns">
      <section class="panel" aria-label="Timeline"><h2>Timeline</h2><${Timeline} whole=${whole} /></section>
      <div class="stack">
        <section class="panel"><h2>What moved</h2><${Bars} one=${whole} window=${whole.window} /></section>
        <section class="panel"><h2>Why it is thought to be ill</h2><${Diagnosis} one=${whole} whole=${whole} /></section>
        <section class="panel"><h2>Containment</h2><${Containment} one=${whole} /></section>
        <section class="panel"><h2>${whole.open ? "Healing: tried, next, skipped" : "Healing: what was tried"}</h2>${whole.attempts.length === 0 && !whole.open ? html`<p class="muted">Nothing was tried.</p>` : html`<${PlanList} one=${whole} whole=${whole} />`}</section>
        ${whole.affected && html`<section class="panel"><h2>Who is affected</h2><${Affected} affected=${whole.affected} /></section>`}
        <${Memory} whole=${whole} />
        <${Feedback} one=${whole} />
      </div>
    </div>
    <section class="panel"><h2>${evidenceWords(whole)}</h2><${EvidenceTable} whole=${whole} /></section>
    <${Log} whole=${whole} />
  </div>`;
}

/** @param {WholeCase} whole */
function ending(whole) {
  const { by, reason, at, action } = whole.state_details;
  if (whole.state === "released") return `${by ?? "Somebody"} released the agent as it was at ${time(at)}${reason ? `: “${reason}”` : ""}.`;
  return `Healed at ${time(at)}${action ? ` by: ${action.replaceAll("_", " ")}` : ""}. Its executions were normal again, and the agent was released.`;
}

/** The same time as lanes and as vitals. @param {{ whole: WholeCase }} props */
function Axis({ whole }) {
  const from = whole.opened_at - BEFORE;
  const to = whole.open ? null : whole.updated_at + AFTER;
  const load = useLoad(
    async (signal) => /** @type {import("../case/shapes").Series} */ (await get(`/api/agents/${encodeURIComponent(whole.agent_id)}/series`, { from, to, buckets: BUCKETS }, signal)),
    [whole.case_id, to === null],
  );
  const isMoving = to === null || Date.now() / 1_000 < to;
  useEffect(() => {
    if (!isMoving) return;
    const timer = setInterval(() => document.hidden || load.reload(), LOOK_EVERY);
    return () => clearInterval(timer);
  }, [isMoving]);
  const spans = useMemo(() => spansOf(whole), [whole]);
  const marks = useMemo(() => [...(load.value?.changes ?? []).map(change), ...whole.timeline.filter((entry) => ["opened", "approved", "rejected", "released", "ordered to heal now"].includes(entry.kind)).map((entry) => ({ at: entry.at, label: entry.text }))], [whole, load.value]);
  return html`<section class="panel"><h2>Containment, healing and vitals over time</h2>
    <${Loaded} load=${load} what="Loading the vitals">${(/** @type {import("../case/shapes").Series} */ series) => html`<${Vitals} series=${series} spans=${spans} marks=${marks} lanes=${LANES} label=${`Vitals of ${whole.agent_id} around the case`} />`}<//>
  </section>`;
}

/** What helped this agent against this. @param {{ whole: WholeCase }} props */
function Memory({ whole }) {
  const load = useLoad(
    async (signal) => /** @type {import("../case/shapes").Memory[]} */ (await get("/api/memory", { agent_id: whole.agent_id, diagnosis_type: whole.diagnosis }, signal)),
    [whole.case_id, whole.attempts.length],
  );
  return html`<section class="panel"><h2>What immune memory knows</h2><${Loaded} load=${load}>${(/** @type {import("../case/shapes").Memory[]} */ memory) => html`<${MemoryTable} memory=${memory} empty="Nothing was tried on this agent against this yet." isShort=${true} />`}<//></section>`;
}

/** Who did what, for the record. @param {{ whole: WholeCase }} props */
function Log({ whole }) {
  const [isOpen, setOpen] = useState(false);
  const load = useLoad(
    async (signal) => (isOpen ? /** @type {import("../case/shapes").LogRow[]} */ (await get("/api/action-log", { agent_id: whole.agent_id, text: whole.case_id, limit: ROWS_MAX }, signal)) : undefined),
    [whole.case_id, isOpen],
  );
  useEffect(() => onEvent((_name, data) => void (isOpen && data?.case?.case_id === whole.case_id && load.reload())), [isOpen, whole.case_id]);
  return html`<details class="panel" onToggle=${(/** @type {any} */ event) => setOpen(event.target.open)}><summary><h2 class="inline">Action log of this case</h2></summary>
    ${isOpen && html`<${Loaded} load=${load} what="Loading the rows">${(/** @type {import("../case/shapes").LogRow[] | undefined} */ rows) => html`<div class="table-box" tabindex="0" role="region" aria-label="Action log of this case"><table>
      <thead><tr><th scope="col">Time</th><th scope="col">What</th><th scope="col">Who</th><th scope="col">Outcome</th><th scope="col">Reason</th></tr></thead>
      <tbody>${(rows ?? []).map((row) => html`<tr key=${row.sequence}><td class="when">${time(row.timestamp)}</td><td>${row.type.replaceAll("_", " ")}</td><td>${row.actor}</td><td class=${row.outcome === "refused" ? "bad" : ""}>${row.outcome}</td><td>${row.reason ?? ""}</td></tr>`)}</tbody>
    </table></div><p class="hint"><a href=${href("/log", { text: whole.case_id })}>Search the whole log for it</a> · <a href=${href(casePath(whole.case_id))}>Link to this case</a></p>`}<//>`}
  </details>`;
}
