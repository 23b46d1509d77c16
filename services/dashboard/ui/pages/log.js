// The action log: who did what, to whom, when, why, with what outcome.
import { html, useEffect, useState } from "../lib/html.js";
import { get } from "../lib/api.js";
import { time } from "../lib/format.js";
import { useLoad } from "../lib/load.js";
import { agentPath, casePath, href, place, queried, run, setQuery } from "../lib/route.js";
import { Button, Empty, Field, Head, Loaded, toast } from "../lib/ui.js";

const LIMIT = 100;
const FILTERS = ["text", "actor", "agent_id", "type", "outcome"];

export default function Log() {
  const filter = Object.fromEntries(FILTERS.map((name) => [name, queried(name)]));
  const load = useLoad((signal) => get("/api/action-log", { ...filter, limit: LIMIT }, signal), [JSON.stringify(filter)]);
  const [older, setOlder] = useState(/** @type {any[]} */ ([]));
  const [isEnd, setEnd] = useState(false);
  useEffect(() => {
    setOlder([]);
    setEnd(false);
  }, [load.value]);
  const more = async () => {
    const rows = [...(load.value ?? []), ...older];
    try {
      const next = await get("/api/action-log", { ...filter, limit: LIMIT, before: rows.at(-1)?.sequence });
      setOlder([...older, ...next]);
      setEnd(next.length < LIMIT);
    } catch (error) {
      toast(/** @type {any} */ (error).detail ?? String(error), "error");
    }
  };
  const submit = (/** @type {any} */ event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    setQuery(Object.fromEntries(FILTERS.map((name) => [name, form.get(name)?.toString().trim() || null])));
  };
  const input = (/** @type {string} */ name, /** @type {string} */ label) => html`<${Field} label=${label}>${(/** @type {string} */ id) => html`<input id=${id} name=${name} defaultValue=${filter[name]} />`}<//>`;
  const query = run.value ? `?run_id=${encodeURIComponent(run.value)}` : "";
  return html`<${Head} title="Action log"><a class="button" href=${`/api/action-log/export${query}`} download>Export as JSON lines</a><//>
    <p class="hint">Each row carries a hash over itself and the row before it. <code>immune verify-log</code> proves that none was changed or removed.</p>
    <form class="panel tools" onSubmit=${submit} key=${place.value.query.toString()}>
      ${input("text", "Text")}${input("actor", "Who")}${input("agent_id", "Agent")}${input("type", "What")}
      <${Field} label="Outcome">${(/** @type {string} */ id) => html`<select id=${id} name="outcome">${["", "done", "refused"].map((word) => html`<option value=${word} selected=${filter.outcome === word}>${word || "any"}</option>`)}</select>`}<//>
      <div class="row"><${Button} type="submit" kind="primary">Filter<//><${Button} onClick=${() => setQuery(Object.fromEntries(FILTERS.map((name) => [name, null])))}>Clear<//></div>
    </form>
    <${Loaded} load=${load} what="Loading the action log">${(first) => {
      const rows = [...first, ...older];
      if (rows.length === 0) return html`<${Empty} title="No row matches">Every write is recorded here, and every refused one.<//>`;
      return html`<div class="table-box" tabindex="0" role="region" aria-label="Action log"><table>
        <thead><tr><th>When</th><th>Who</th><th>What</th><th>Agent</th><th>Outcome</th><th>Why and details</th><th>Row</th></tr></thead>
        <tbody>${rows.map((row) => html`<tr key=${row.sequence}>
          <td><time title=${new Date(row.timestamp * 1_000).toISOString()}>${time(row.timestamp)}</time></td>
          <td>${row.actor}</td><td>${String(row.type).replaceAll("_", " ")}</td>
          <td>${row.agent_id ? html`<a href=${href(agentPath(row.agent_id))}>${row.agent_id}</a>` : "–"}</td>
          <td class=${row.outcome === "refused" ? "bad" : ""}>${row.outcome}</td>
          <td>${row.reason ?? ""} ${row.payload?.case_id && html`<a class="log-case" href=${href(casePath(row.payload.case_id))}>case</a>`}
            <details><summary>details</summary><pre class="log-payload">${JSON.stringify(row.payload, null, 1)}</pre></details></td>
          <td><span title=${row.hash ?? "not chained yet"}>${row.sequence}${row.hash ? "" : " …"}</span></td>
        </tr>`)}</tbody></table></div>
        ${!isEnd && rows.length >= LIMIT && html`<div class="row"><${Button} onClick=${more}>Older rows<//></div>`}`;
    }}<//>`;
}
