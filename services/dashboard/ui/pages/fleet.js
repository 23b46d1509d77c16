// Every agent of the run: how it is, how far from normal, and since when.
import { html, useEffect, useMemo, useState } from "../lib/html.js";
import { count, millis } from "../lib/format.js";
import { List } from "../lib/list.js";
import { agentPath, casePath, href, queried, setQuery } from "../lib/route.js";
import { Spark } from "../lib/spark.js";
import { blind, fleet, fleetProblem, loadFleet, needFleet } from "../lib/state.js";
import { Button, Chips, Condition, Empty, ErrorBox, Head, Loading, Progress, Severity, When } from "../lib/ui.js";
import { CONDITIONS, DIAGNOSES, say } from "../lib/words.js";
import { Incidents } from "../fleet/incidents.js";
import { useRate } from "../fleet/rate.js";
import { ORDER, SORTS, select, sortOf } from "../fleet/select.js";
import { useSparks } from "../fleet/sparks.js";

/** @typedef {import("../lib/state.js").Agent} Agent */
/** @typedef {import("../fleet/sparks.js").SparkData} SparkData */

/** Heights of a row, pixels; the style sheet agrees. */
const ROW = 40;
const ROW_NARROW = 56;
/** Time between two looks at the whole fleet while it is sorted by what changes with every execution, milliseconds. */
const AGAIN_EVERY = 10_000;

/** Asked for before anything is drawn. */
export const prepare = needFleet;

export default function Fleet() {
  const { agents, truncated, isLoaded } = fleet.value;
  const [sparks, inView] = useSparks();
  const isNarrow = useNarrow();
  const only = queried("status", "all");
  const text = queried("q");
  const sort = queried("sort", "urgency");
  const { shown, counts } = useMemo(() => select(agents.values(), { only, text, sort }), [fleet.value, only, text, sort]);
  useFreshness(sort);

  if (!isLoaded) {
    const problem = fleetProblem.value;
    return html`<${Head} title="Fleet" />
      ${problem ? html`<${ErrorBox} error=${problem} onRetry=${loadFleet} />` : html`<${Loading} what="Loading the fleet" />`}`;
  }
  return html`<div class="fleet">
    <${Head} title="Fleet"><${Summary} counts=${counts} /><//>
    <${Incidents} />
    <div class="tools">
      <label class="hidden" for="fleet-search">Search agents</label>
      <input id="fleet-search" class="search" type="search" placeholder="Search id, type, model, diagnosis" value=${text}
        onInput=${(/** @type {any} */ event) => setQuery({ q: event.target.value || null })} />
      <${Chips} label="Only agents that are" value=${only} choices=${choices(counts, only)}
        onChange=${(/** @type {string} */ value) => setQuery({ status: value === "all" ? null : value })} />
      ${truncated && html`<span class="warn">Only the first ${count(agents.size)} agents are shown.</span>`}
    </div>
    ${shown.length === 0
      ? html`<${Nobody} hasAgents=${agents.size > 0} />`
      : html`<${List} label="Agents" items=${shown} rowHeight=${isNarrow ? ROW_NARROW : ROW} head=${html`<${Headings} sort=${sort} />`}
          keyOf=${(/** @type {Agent} */ agent) => agent.id} onRange=${(/** @type {Agent[]} */ items) => inView(items.map((agent) => agent.id))}
          row=${(/** @type {Agent} */ agent) => html`<${Row} agent=${agent} spark=${sparks[agent.id]} />`} />`}
  </div>`;
}

/** The fleet in one line. @param {{ counts: Record<string, number> }} props */
function Summary({ counts }) {
  const rate = useRate();
  const waiting = counts.waiting ?? 0;
  const ill = waiting + (counts.infected ?? 0) + (counts.quarantined ?? 0) + (counts.healing ?? 0);
  const isBlind = blind.value?.is_blind === true;
  return html`<ul class="summary" aria-label="The fleet in short">
    <li><b>${count(counts.all)}</b> ${counts.all === 1 ? "agent" : "agents"}</li>
    <li class=${ill ? "bad" : ""}><b>${count(ill)}</b> ill</li>
    <li><a class=${waiting ? "bad" : ""} href=${href("/approvals")}><b>${count(waiting)}</b> ${waiting === 1 ? "waits" : "wait"} for a person</a></li>
    <li><b>${count(counts.healing ?? 0)}</b> being healed</li>
    ${(counts.silent ?? 0) > 0 && html`<li class="bad"><b>${count(counts.silent ?? 0)}</b> without telemetry</li>`}
    <li><b>${rate === null ? "–" : count(rate)}</b> executions/s</li>
    <li><a class=${isBlind ? "bad" : "good"} href=${href("/system")}><span aria-hidden="true">${isBlind ? "▲" : "●"}</span> the guard ${isBlind ? "is blind" : "sees"}</a></li>
  </ul>`;
}

/** @param {Record<string, number>} counts @param {string} only */
function choices(counts, only) {
  const there = ORDER.filter((word) => counts[word] || word === only);
  return [
    { value: "all", label: "All", count: counts.all },
    ...there.map((word) => ({ value: word, label: CONDITIONS[word]?.label ?? word, count: counts[word] ?? 0 })),
  ];
}

/** @param {{ sort: string }} props */
const Headings = ({ sort }) => html`
  <${Heading} by="urgency" label="Status" sort=${sort} />
  <${Heading} by="agent" label="Agent" sort=${sort} />
  <${Heading} by="severity" label="Severity" sort=${sort} />
  <span role="columnheader" class="narrow-off">Diagnosis</span>
  <span role="columnheader" class="wide narrow-off">Baseline</span>
  <span role="columnheader" class="narrow-off">Latency, last 30</span>
  <${Heading} by="latency" label="Latency" sort=${sort} extra="number narrow-off" />
  <${Heading} by="tokens" label="Tokens" sort=${sort} extra="number wide narrow-off" />
  <span role="columnheader" class="number wide narrow-off">Tools</span>
  <${Heading} by="seen" label="Seen" sort=${sort} extra="number narrow-off" />`;

/** A heading that sorts: at first as expected, then the other way round. @param {{ by: string, label: string, sort: string, extra?: string }} props */
function Heading({ by, label, sort, extra = "" }) {
  const { name, isReversed } = sortOf(sort);
  const natural = SORTS[by]?.natural ?? "ascending";
  const reverse = natural === "ascending" ? "descending" : "ascending";
  const is = name !== by ? "none" : isReversed ? reverse : natural;
  const next = name === by && !isReversed ? `-${by}` : by;
  return html`<span role="columnheader" class=${extra} aria-sort=${is}>
    <button type="button" class="sort" onClick=${() => setQuery({ sort: next === "urgency" ? null : next })}>
      ${label}<span class="sort-mark" aria-hidden="true">${is === "none" ? "" : is === "ascending" ? "↑" : "↓"}</span>
    </button>
  </span>`;
}

/** @param {{ agent: Agent, spark: SparkData | undefined }} props */
function Row({ agent, spark }) {
  // Sparklines are asked for again and again, the fleet is not: they know the latest execution.
  const last = spark?.latency.at(-1);
  const seen = Math.max(agent.last_seen_at ?? 0, last?.[0] ?? 0) || null;
  const kind = [agent.type === "unknown" ? null : agent.type, agent.model].filter(Boolean).join(" · ");
  const condition = html`<${Condition} agent=${agent} />`;
  return html`
    <span role="cell">${agent.case_id ? html`<a class="plain" href=${href(casePath(agent.case_id))}>${condition}<span class="hidden">, case of ${agent.id}</span></a>` : condition}</span>
    <span role="cell" class="agent-name"><a class="clip" href=${href(agentPath(agent.id))}>${agent.id}</a><span class="clip">${kind}</span></span>
    <span role="cell"><${Severity} value=${agent.severity} /></span>
    <span role="cell" class="clip narrow-off">${agent.diagnosis ? say(DIAGNOSES, agent.diagnosis) : html`<span class="muted">–</span>`}</span>
    <span role="cell" class="wide narrow-off"><${Progress} baseline=${agent.baseline} /></span>
    <span role="cell" class="narrow-off"><${Spark} spark=${spark} /></span>
    <span role="cell" class="number narrow-off">${millis(last?.[1] ?? agent.latest?.latency)}</span>
    <span role="cell" class="number wide narrow-off">${count(agent.latest?.tokens)}</span>
    <span role="cell" class="number wide narrow-off">${count(agent.latest?.tools)}</span>
    <span role="cell" class="number muted narrow-off"><${When} at=${seen} /></span>`;
}

/** @param {{ hasAgents: boolean }} props */
const Nobody = ({ hasAgents }) =>
  hasAgents
    ? html`<${Empty} title="No agent matches"><${Button} onClick=${() => setQuery({ q: null, status: null })}>Show all<//><//>`
    : html`<${Empty} title="No agent has been seen yet">
        Point your agents' OpenTelemetry at this server (<code>OTEL_EXPORTER_OTLP_ENDPOINT</code>, port 4317 or 4318). The first execution makes an agent appear here.
      <//>`;

/** Keeps the order true where live events do not. @param {string} sort */
function useFreshness(sort) {
  const isLive = SORTS[sortOf(sort).name]?.isLive ?? true;
  useEffect(() => {
    if (isLive) return;
    void loadFleet();
    const timer = setInterval(() => document.hidden || void loadFleet(), AGAIN_EVERY);
    return () => clearInterval(timer);
  }, [isLive]);
}

/** Whether the rows have to be narrow. */
function useNarrow() {
  const query = useMemo(() => window.matchMedia("(max-width: 760px)"), []);
  const [isNarrow, setNarrow] = useState(query.matches);
  useEffect(() => {
    const change = () => setNarrow(query.matches);
    query.addEventListener("change", change);
    return () => query.removeEventListener("change", change);
  }, []);
  return isNarrow;
}
