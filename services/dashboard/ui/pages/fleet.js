// Every agent of the run: how it is, how far from normal, and since when.
import { html, useEffect, useMemo, useRef, useState } from "../lib/html.js";
import { get } from "../lib/api.js";
import { count, millis } from "../lib/format.js";
import { List } from "../lib/list.js";
import { agentPath, casePath, href, queried, setQuery } from "../lib/route.js";
import { Spark } from "../lib/spark.js";
import { blind, fleet, fleetProblem, loadFleet } from "../lib/state.js";
import { Chips, Condition, Empty, ErrorBox, Head, Loading, Progress, Severity, When } from "../lib/ui.js";
import { CONDITIONS, DIAGNOSES, condition, say } from "../lib/words.js";

/** Time between two looks for the sparklines of the rows in view, milliseconds. */
const SPARKS_EVERY = 1_500;
/** Agents that may be asked for at once. */
const SPARKS_MAX = 100;
const ROW = 48;
const ROW_NARROW = 64;

/** The most urgent first. */
const ORDER = ["waiting", "infected", "quarantined", "healing", "suspect", "learning", "healthy"];

/** @typedef {import("../lib/state.js").Agent} Agent */
/** @type {Record<string, (a: Agent, b: Agent) => number>} */
const SORTS = {
  urgency: (a, b) => ORDER.indexOf(condition(a)) - ORDER.indexOf(condition(b)) || b.severity - a.severity || compare(a.id, b.id),
  agent: (a, b) => compare(a.id, b.id),
  severity: (a, b) => b.severity - a.severity || compare(a.id, b.id),
  latency: (a, b) => (b.latest?.latency ?? -1) - (a.latest?.latency ?? -1),
  tokens: (a, b) => (b.latest?.tokens ?? -1) - (a.latest?.tokens ?? -1),
  seen: (a, b) => (b.last_seen_at ?? 0) - (a.last_seen_at ?? 0),
};

/** @param {string} a @param {string} b */
const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

/** Latencies of the rows in view, asked for again while they are in view. */
function useSparks() {
  const wanted = useRef(/** @type {string[]} */ ([]));
  const [sparks, setSparks] = useState(/** @type {Record<string, any>} */ ({}));
  useEffect(() => {
    let isLeft = false;
    let timer = 0;
    const look = async () => {
      const agents = wanted.current.slice(0, SPARKS_MAX);
      if (agents.length && !document.hidden) {
        try {
          const found = await get("/api/sparks", { agents });
          if (!isLeft) setSparks(found);
        } catch {
          // The connection's banner says why; the next look tries again.
        }
      }
      if (!isLeft) timer = window.setTimeout(look, SPARKS_EVERY);
    };
    timer = window.setTimeout(look, 50);
    return () => {
      isLeft = true;
      clearTimeout(timer);
    };
  }, []);
  return /** @type {const} */ ([sparks, (/** @type {Agent[]} */ items) => void (wanted.current = items.map((agent) => agent.id))]);
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

export default function Fleet() {
  const { agents, truncated, isLoaded } = fleet.value;
  const [sparks, inView] = useSparks();
  const isNarrow = useNarrow();
  const only = queried("status", "all");
  const text = queried("q");
  const sort = queried("sort", "urgency");
  const all = [...agents.values()];
  /** @type {Record<string, number>} */
  const counts = { all: all.length };
  for (const agent of all) counts[condition(agent)] = (counts[condition(agent)] ?? 0) + 1;
  const words = text.toLowerCase();
  const shown = all
    .filter((agent) => only === "all" || condition(agent) === only)
    .filter((agent) => !words || `${agent.id}\n${agent.type}\n${agent.model ?? ""}\n${agent.diagnosis ?? ""}`.toLowerCase().includes(words))
    .sort(SORTS[sort] ?? SORTS.urgency);
  if (!isLoaded && fleetProblem.value) return html`<${Head} title="Fleet" /><${ErrorBox} error=${fleetProblem.value} onRetry=${loadFleet} />`;
  if (!isLoaded) return html`<${Head} title="Fleet" /><${Loading} what="Loading the fleet" />`;
  const ill = (counts.waiting ?? 0) + (counts.infected ?? 0) + (counts.quarantined ?? 0) + (counts.healing ?? 0);
  const heading = (/** @type {string} */ by, /** @type {string} */ label, extra = "") =>
    html`<span role="columnheader" class=${extra} aria-sort=${sort === by ? "descending" : "none"}><button type="button" class="sort" onClick=${() => setQuery({ sort: by === sort ? null : by })}>${label}${sort === by ? " ↓" : ""}</button></span>`;
  const plain = (/** @type {string} */ label, extra = "") => html`<span role="columnheader" class=${extra}>${label}</span>`;
  return html`<div class="fleet">
    <${Head} title="Fleet" />
    <div class="summary">
      <div><b>${count(all.length)}</b><span>agents</span></div>
      <div><b class=${ill ? "bad" : ""}>${count(ill)}</b><span>ill</span></div>
      <a href=${href("/approvals")}><b class=${counts.waiting ? "bad" : ""}>${count(counts.waiting ?? 0)}</b><span>wait for a person</span></a>
      <div><b>${count(counts.healing ?? 0)}</b><span>being healed</span></div>
      <div><b>${count(counts.suspect ?? 0)}</b><span>suspect</span></div>
      <div><b>${count(counts.learning ?? 0)}</b><span>learning</span></div>
      <a href=${href("/system")}><b class=${blind.value?.is_blind ? "bad" : "good"}>${blind.value?.is_blind ? "blind" : "sees"}</b><span>the guard</span></a>
    </div>
    <div class="tools">
      <label class="hidden" for="fleet-search">Search agents</label>
      <input id="fleet-search" class="search" type="search" placeholder="Search id, type, model, diagnosis" value=${text} onInput=${(/** @type {any} */ event) => setQuery({ q: event.target.value || null })} />
      <${Chips} label="Only agents that are" value=${only} onChange=${(/** @type {string} */ value) => setQuery({ status: value === "all" ? null : value })}
        choices=${[{ value: "all", label: "All", count: counts.all }, ...ORDER.filter((word) => counts[word] || word === only).map((word) => ({ value: word, label: CONDITIONS[word]?.label ?? word, count: counts[word] ?? 0 }))]} />
      ${truncated && html`<span class="warn">Only the first ${count(all.length)} agents are shown.</span>`}
    </div>
    ${shown.length === 0
      ? all.length === 0
        ? html`<${Empty} title="No agent has been seen yet">Point your agents' OpenTelemetry at this server (<code>OTEL_EXPORTER_OTLP_ENDPOINT</code>, port 4317 or 4318). The first execution makes an agent appear here.<//>`
        : html`<${Empty} title="No agent matches"><button class="button" type="button" onClick=${() => setQuery({ q: null, status: null })}>Show all<//><//>`
      : html`<${List} items=${shown} rowHeight=${isNarrow ? ROW_NARROW : ROW} label="Agents" keyOf=${(/** @type {Agent} */ agent) => agent.id} onRange=${inView}
          head=${html`${heading("urgency", "Status")}${heading("agent", "Agent")}${heading("severity", "Severity")}${plain("Diagnosis", "narrow-off")}${plain("Baseline", "wide narrow-off")}${plain("Latency, last 30", "narrow-off")}${heading("latency", "Latency", "number narrow-off")}${heading("tokens", "Tokens", "number wide narrow-off")}${plain("Tools", "number wide narrow-off")}${heading("seen", "Seen", "number narrow-off")}`}
          row=${(/** @type {Agent} */ agent) => html`
            <span role="cell">${agent.case_id ? html`<a class="plain" href=${href(casePath(agent.case_id))}><${Condition} agent=${agent} /><span class="hidden">, case of ${agent.id}</span></a>` : html`<${Condition} agent=${agent} />`}</span>
            <span role="cell" class="agent-name"><a class="clip" href=${href(agentPath(agent.id))}>${agent.id}</a><span class="clip">${[agent.type === "unknown" ? null : agent.type, agent.model].filter(Boolean).join(" · ")}</span></span>
            <span role="cell"><${Severity} value=${agent.severity} /></span>
            <span role="cell" class="clip narrow-off">${agent.diagnosis ? say(DIAGNOSES, agent.diagnosis) : html`<span class="muted">–</span>`}</span>
            <span role="cell" class="wide narrow-off"><${Progress} baseline=${agent.baseline} /></span>
            <span role="cell" class="narrow-off"><${Spark} spark=${sparks[agent.id]} /></span>
            <span role="cell" class="number narrow-off">${millis(lastOf(sparks[agent.id]) ?? agent.latest?.latency)}</span>
            <span role="cell" class="number wide narrow-off">${count(agent.latest?.tokens)}</span>
            <span role="cell" class="number wide narrow-off">${count(agent.latest?.tools)}</span>
            <span role="cell" class="number muted narrow-off"><${When} at=${lastSeen(agent, sparks[agent.id])} /></span>`} />`}
  </div>`;
}

/** @param {any} spark */
const lastOf = (spark) => spark?.latency?.at(-1)?.[1] ?? null;
/** @param {Agent} agent @param {any} spark */
const lastSeen = (agent, spark) => Math.max(agent.last_seen_at ?? 0, spark?.latency?.at(-1)?.[0] ?? 0) || null;
