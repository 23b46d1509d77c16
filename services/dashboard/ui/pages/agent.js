// One agent: how it is and why, its vitals over time, its cases, what was done and what helped.
import { html, useEffect, useMemo, useState } from "../lib/html.js";
import { get, post } from "../lib/api.js";
import { useDraft } from "../lib/draft.js";
import { count, span, time } from "../lib/format.js";
import { onEvent } from "../lib/live.js";
import { useLoad } from "../lib/load.js";
import { casePath, go, href, queried, setQuery } from "../lib/route.js";
import { may, me } from "../lib/session.js";
import { fleet, needFleet } from "../lib/state.js";
import { Button, Chips, Condition, Dialog, ErrorBox, Field, Head, Loaded, Loading, Pill, Progress, Severity, When, now, toast } from "../lib/ui.js";
import { DIAGNOSES, STATES, say } from "../lib/words.js";
import { Decide, REASON_MAX } from "../case/decide.js";
import { HealingTable, MemoryTable } from "../case/history.js";
import { askLimits } from "../case/limits.js";
import { Bars } from "../case/bars.js";
import { Baseline, origin } from "../case/baseline.js";
import { Headline, SecondPerson, StatePill, Waiting } from "../case/parts.js";
import { useWhole } from "../case/seen.js";
import { containment } from "../case/story.js";
import { Vitals, change } from "../case/vitals.js";

/** @typedef {import("../case/shapes").WholeAgent} WholeAgent */
/** @typedef {import("../case/shapes").Series} Series */

/** Stretches of time, seconds, and how often they are looked at again, milliseconds. `all` is since it was first seen. @type {Record<string, { label: string, seconds: number, every: number }>} */
const RANGES = {
  "15m": { label: "15 min", seconds: 900, every: 2_000 },
  "1h": { label: "1 h", seconds: 3_600, every: 5_000 },
  "6h": { label: "6 h", seconds: 21_600, every: 15_000 },
  "24h": { label: "24 h", seconds: 86_400, every: 30_000 },
  all: { label: "All", seconds: 366 * 86_400 - 60, every: 30_000 },
};
const BUCKETS = 300;
/** Time between two looks at the agent's facts, milliseconds. */
const FACTS_EVERY = 5_000;

/** Asked for before anything is drawn: how the agent is now. */
export const prepare = needFleet;

/** @param {{ params: { id: string } }} props */
export default function Agent({ params }) {
  const { id } = params;
  const path = `/api/agents/${encodeURIComponent(id)}`;
  const load = useLoad(async (signal) => /** @type {WholeAgent} */ (await get(path, undefined, signal)), [id]);
  useEffect(() => void askLimits(), []);
  useEffect(() => {
    const timer = setInterval(() => document.hidden || load.reload(), FACTS_EVERY);
    const stop = onEvent((_name, data) => data?.case?.agent_id === id && load.reload());
    return () => {
      clearInterval(timer);
      stop();
    };
  }, [id]);
  if (load.value === undefined) {
    return html`<${Head} title=${id} />${load.error?.status === 404 ? html`<div class="state"><h2>Nobody has seen this agent</h2><p>It appears with its first execution. <a href=${href("/fleet")}>Go to the fleet</a></p></div>` : load.error ? html`<${ErrorBox} error=${load.error} onRetry=${load.reload} />` : html`<${Loading} what="Loading the agent" />`}`;
  }
  return html`<${Whole} agent=${load.value} path=${path} error=${load.error} onChange=${load.reload} />`;
}

/** @param {{ agent: WholeAgent, path: string, error: any, onChange: () => void }} props */
function Whole({ agent, path, error, onChange }) {
  const [isReporting, setReporting] = useState(false);
  const live = fleet.value.agents.get(agent.agent_id);
  const openCase = agent.cases.find((one) => one.open);
  return html`<div class="stack">
    <${Head} title=${agent.agent_id}>
      ${live ? html`<${Condition} agent=${live} />` : html`<${Pill} kind=${agent.status} />`}<${Severity} value=${agent.severity} />
      ${may("operator") && !openCase && html`<${Button} kind="danger" onClick=${() => setReporting(true)}>Report as infected<//>`}
    <//>
    ${error && html`<p class="banner banner-warn" role="alert">${error.detail ?? String(error)} What you see is from before.</p>`}
    ${isReporting && html`<${Report} agent=${agent} path=${path} onClose=${() => setReporting(false)} />`}
    ${openCase ? html`<${OpenCase} id=${openCase.case_id} key=${openCase.case_id} />` : html`<p>${well(agent)}</p>`}
    <${Over} agent=${agent} path=${path} />
    <div class="grid">
      <section class="panel"><h2>Identity</h2><${Facts} agent=${agent} /></section>
      <section class="panel"><h2>Cases</h2>${agent.cases.length === 0 ? html`<p class="muted">It has never been ill, as far as is on record.</p>` : html`<ul class="plain-list">${agent.cases.slice(0, 10).map((one) => html`<li key=${one.case_id}><${StatePill} state=${one.state} /> <a href=${href(casePath(one.case_id))}>${say(DIAGNOSES, one.diagnosis)}</a>, severity ${one.severity.toFixed(1)} <span class="muted"><${When} at=${one.opened_at} /></span></li>`)}</ul>${agent.cases.length > 10 && html`<p><a href=${href("/cases", { agent: agent.agent_id })}>All its cases</a></p>`}`}</section>
    </div>
    <${Baseline} agent=${agent} path=${path} onChange=${onChange} />
    <section class="panel"><h2>Healings</h2><${HealingTable} healings=${agent.healings} /></section>
    <section class="panel"><h2>What immune memory knows</h2><${MemoryTable} memory=${agent.memory} empty="Nothing yet: no healing of this agent has ended." /></section>
  </div>`;
}

/** How an agent without a case is, in a sentence. @param {WholeAgent} agent */
function well(agent) {
  if (agent.status === "quarantined") return "A system on the agent's own side holds it in quarantine and decides on it; here is no case.";
  if (agent.telemetry === "silent") return `No telemetry for ${span(agent.silent_seconds)}: it was active and is not heard any more. Nobody knows how it is.`;
  if (agent.telemetry === "gone") return `Gone: it was last heard ${span(agent.silent_seconds)} ago, and is not expected any more.`;
  if (agent.baseline.state === "learning") return `Still being learned: ${agent.baseline.samples} of ${agent.baseline.samples_min} executions. Until then it is not judged.`;
  if (agent.suspect) return `Suspect: ${agent.anomalies.join(", ").replaceAll("_", " ")}. It departs from normal now, but not surely enough for a case; nothing is done.`;
  if (agent.baseline.state === "suspect") return "Its baseline is suspect: it has been at another level for long. Say below which is right.";
  if (agent.baseline.state === "stale") return "Its baseline is stale: what was normal for it is too long ago.";
  return "Well: its recent executions are within its baseline.";
}

/** Its open case, and the decision. @param {{ id: string }} props */
function OpenCase({ id }) {
  const load = useWhole(id);
  const whole = load.value;
  if (!whole) return load.error ? html`<${ErrorBox} error=${load.error} onRetry=${load.reload} />` : html`<${Loading} what="Loading its case" />`;
  return html`<section class="panel next" tabindex="-1" aria-label="Open case">
    <div class="row"><${StatePill} state=${whole.state} /><b>${say(DIAGNOSES, whole.diagnosis)}</b><span class="muted"><${Waiting} one=${whole} /></span><a class="card-link" href=${href(casePath(id))}>Whole case and timeline</a></div>
    <${Headline} one=${whole} whole=${whole} />
    <${Bars} one=${whole} window=${whole.window} />
    <p>${containment(whole)}</p>
    <p class="next-words"><b>What happens next: </b>${whole.next}</p>
    <${SecondPerson} one=${whole} self=${me.value?.subject ?? ""} />
    <${Decide} one=${whole} plan=${whole.plan} onStale=${load.reload} />
  </section>`;
}

/** Vitals over a stretch of time that the person chooses. @param {{ agent: WholeAgent, path: string }} props */
function Over({ agent, path }) {
  const name = queried("range", "15m");
  const range = RANGES[name] ?? /** @type {typeof RANGES[string]} */ (RANGES["15m"]);
  const load = useLoad(
    async (signal) => {
      const end = Date.now() / 1_000;
      const first = agent.first_seen_at ?? end - 900;
      const from = name === "all" ? Math.max(first - 5, end - range.seconds) : end - range.seconds;
      return /** @type {Series} */ (await get(`${path}/series`, { from, buckets: BUCKETS }, signal));
    },
    [path, name],
  );
  useEffect(() => {
    const timer = setInterval(() => document.hidden || load.reload(), range.every);
    return () => clearInterval(timer);
  }, [name]);
  const series = load.value;
  const spans = useMemo(() => (series?.cases ?? []).map((one) => ({ from: one.opened_at, to: one.closed_at, label: `${say(DIAGNOSES, one.diagnosis)} · ${say(STATES, one.state).toLowerCase()}`, mood: /** @type {"ill" | "well"} */ (one.closed_at === null ? "ill" : "well"), lane: 0, isShaded: true })), [series]);
  const marks = useMemo(() => (series?.changes ?? []).map(change), [series]);
  return html`<section class="panel">
    <div class="panel-head"><h2>Vitals</h2><${Chips} label="Stretch of time" value=${name} onChange=${(/** @type {string} */ value) => setQuery({ range: value === "15m" ? null : value })} choices=${Object.entries(RANGES).map(([value, { label }]) => ({ value, label }))} /></div>
    <${Loaded} load=${load} what="Loading the vitals">${(/** @type {Series} */ shown) => html`<${Vitals} series=${shown} spans=${spans} marks=${marks} lanes=${["Cases"]} label=${`Vitals of ${agent.agent_id}, ${range.label}`} />`}<//>
    ${series && series.cases.length > 0 && html`<p class="hint">Cases in this time: ${series.cases.map((one, i) => html`${i > 0 && ", "}<a key=${one.case_id} href=${href(casePath(one.case_id))}>${say(DIAGNOSES, one.diagnosis)} at ${time(one.opened_at)}</a>`)}</p>`}
  </section>`;
}

/** @param {{ agent: WholeAgent }} props */
function Facts({ agent }) {
  const load = useLoad(async (signal) => /** @type {{ allowed: boolean, reason: string | null }} */ (await get(`/api/v1/agents/${encodeURIComponent(agent.agent_id)}/admission`, undefined, signal)), [agent.agent_id, agent.status, agent.quarantine_phase]);
  const { baseline, first_seen_at: first, last_seen_at: last } = agent;
  return html`<dl class="facts">
    <dt>Type</dt><dd>${agent.type}</dd>
    <dt>Model</dt><dd>${agent.model ?? html`<span class="muted">not named</span>`}</dd>
    <dt>MCP servers</dt><dd>${agent.mcp_servers.length ? agent.mcp_servers.join(", ") : html`<span class="muted">none named</span>`}</dd>
    <dt>Executions</dt><dd>${count(agent.executions)}</dd>
    <dt>First seen</dt><dd>${first == null ? "never" : html`${time(first)} <span class="muted">${span(now.value / 1_000 - first)} ago</span>`}</dd>
    <dt>Last seen</dt><dd><${When} at=${last} /></dd>
    <dt>Baseline</dt><dd><${Progress} baseline=${baseline} /> <span class="muted">${count(baseline.samples)} executions taught it</span>${baseline.version && html`<br /><span class="muted">Version ${baseline.version.epoch + 1} since <${When} at=${baseline.version.since} />: ${origin(baseline.version)}</span>`}</dd>
    <dt>Anomaly from</dt><dd>${agent.threshold_stddev} standard deviations</dd>
    <dt>May it act?</dt><dd>${load.value ? (load.value.allowed ? html`<span class="good">✓ yes</span>` : html`<span class="bad">✕ no</span>: ${load.value.reason}`) : load.error ? html`<span class="warn">not known: ${load.error.detail}</span>` : "…"}</dd>
  </dl>`;
}

/** A person's word that the agent is infected. @param {{ agent: WholeAgent, path: string, onClose: () => void }} props */
function Report({ agent, path, onClose }) {
  const [reason, setReason, forget] = useDraft(`report:${agent.agent_id}`);
  const [error, setError] = useState("");
  const [isBusy, setBusy] = useState(false);
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (reason.trim() === "") return setError("Say how you know: it becomes the reason of the case.");
    setBusy(true);
    try {
      const { case_id: id } = await post(`${path}/infected`, { reason: reason.trim() });
      forget();
      onClose();
      if (id) go(href(casePath(id)));
      else toast("Recorded. The agent's policy keeps the report from opening a case.");
    } catch (problem) {
      setError(`${/** @type {any} */ (problem).detail ?? String(problem)} Your text is kept.`);
      setBusy(false);
    }
  };
  return html`<${Dialog} title=${`Report ${agent.agent_id} as infected`} onClose=${onClose}>
    <form onSubmit=${submit}>
      <p>Your word counts whatever its vitals say: a case is opened, and the agent is contained as policy says. A person then decides on healing.</p>
      <${Field} label="How do you know? (required)" error=${error || null}>${(/** @type {string} */ id, /** @type {string} */ describedBy) => html`<textarea id=${id} aria-describedby=${describedBy} maxlength=${REASON_MAX} value=${reason} onInput=${(/** @type {any} */ event) => setReason(event.target.value)}></textarea>`}<//>
      <div class="dialog-actions"><${Button} onClick=${onClose}>Back<//><${Button} type="submit" kind="danger" busy=${isBusy}>Report and contain<//></div>
    </form>
  <//>`;
}
