// The action log: who did what, to whom, when, why, with what outcome.
import { html, useEffect, useState } from "../lib/html.js";
import { wordsOf } from "../lib/act.js";
import { get } from "../lib/api.js";
import { iso, time } from "../lib/format.js";
import { onEvent } from "../lib/live.js";
import { useLoad } from "../lib/load.js";
import { agentPath, casePath, href, place, queried, run, setQuery } from "../lib/route.js";
import { Table } from "../lib/table.js";
import { Button, Empty, Field, Head, Loaded, Sign, toast } from "../lib/ui.js";

/** @typedef {import("../lib/shapes").LogRow} LogRow */

/** Rows that are asked for at a time. */
const LIMIT = 100;
/** Wait after an event, for more of them and for its row to be chained, milliseconds. */
const SETTLE = 700;
const FILTERS = ["text", "actor", "agent_id", "type", "outcome"];
const OUTCOMES = ["", "done", "refused"];

/** Calls back soon after something happened to a case; it has left a row. @param {() => void} then */
function useHappenings(then) {
  useEffect(() => {
    let timer = 0;
    const stop = onEvent((_, data) => {
      if (data?.case && !timer) {
        timer = window.setTimeout(() => {
          timer = 0;
          then();
        }, SETTLE);
      }
    });
    return () => {
      clearTimeout(timer);
      stop();
    };
  }, []);
}

/** The same order as the server's. @param {LogRow[]} rows */
const unique = (rows) => [...new Map(rows.map((row) => [row.sequence, row])).values()];

export default function Log() {
  const filter = Object.fromEntries(FILTERS.map((name) => [name, queried(name)]));
  const key = JSON.stringify(filter);
  const load = useLoad((signal) => /** @type {Promise<LogRow[]>} */ (get("/api/action-log", { ...filter, limit: LIMIT }, signal)), [key]);
  useHappenings(load.reload);
  // What was shown when older rows were asked for stays: new rows push some of it out of the first answer. Where the two
  // do not meet any more, rows between them are not known, and the old ones go.
  const [kept, setKept] = useState(/** @type {{ key: string, rows: LogRow[], isEnd: boolean }} */ ({ key, rows: [], isEnd: false }));
  const first = load.value ?? [];
  const isMet = kept.key === key && (first.at(-1)?.sequence ?? 0) <= (kept.rows[0]?.sequence ?? 0);
  const older = isMet ? kept : { key, rows: [], isEnd: false };
  const rows = unique([...first, ...older.rows]);
  const isEnd = older.isEnd || rows.length < LIMIT;
  const more = async () => {
    try {
      /** @type {LogRow[]} */
      const next = await get("/api/action-log", { ...filter, limit: LIMIT, before: rows.at(-1)?.sequence });
      setKept({ key, rows: [...rows, ...next], isEnd: next.length < LIMIT });
    } catch (error) {
      toast(wordsOf(error), "error");
    }
  };
  const hasFilter = FILTERS.some((name) => filter[name]);
  const query = run.value ? `?run_id=${encodeURIComponent(run.value)}` : "";
  return html`<${Head} title="Action log"><a class="button" href=${`/api/action-log/export${query}`} download>Export as JSON lines</a><//>
    <p class="hint">Every write, and every refused one. Each row carries a hash over itself and the row before it: <code>immune verify-log</code> proves that none was changed or removed.</p>
    <${Filter} filter=${filter} key=${place.value.query.toString()} />
    <${Loaded} load=${load} what="Loading the action log">${() =>
      rows.length === 0
        ? html`<${Empty} title=${hasFilter ? "No row matches" : "Nothing has been written yet"}>${hasFilter && html`<${Button} onClick=${clear}>Show all<//>`}<//>`
        : html`<${Table} label="Action log" columns=${COLUMNS} rows=${rows} keyOf=${(/** @type {LogRow} */ row) => row.sequence} more=${details} />
            ${!isEnd && html`<p class="more"><${Button} onClick=${more}>Older rows<//></p>`}`}<//>`;
}

const clear = () => setQuery(Object.fromEntries(FILTERS.map((name) => [name, null])));

/** @param {{ filter: Record<string, string> }} props */
function Filter({ filter }) {
  const submit = (/** @type {any} */ event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    setQuery(Object.fromEntries(FILTERS.map((name) => [name, form.get(name)?.toString().trim() || null])));
  };
  const input = (/** @type {string} */ name, /** @type {string} */ label, hint = "") => html`<${Field} label=${label}>
    ${(/** @type {string} */ id) => html`<input id=${id} name=${name} defaultValue=${filter[name]} placeholder=${hint} spellcheck=${false} />`}
  <//>`;
  return html`<form class="filters" role="search" aria-label="Filter the action log" onSubmit=${submit}>
    ${input("text", "Text", "anywhere in a row")} ${input("actor", "Who", "subject or role")} ${input("agent_id", "Agent", "whole id")}
    ${input("type", "What", "user_approved")}
    <${Field} label="Outcome">
      ${(/** @type {string} */ id) => html`<select id=${id} name="outcome">
        ${OUTCOMES.map((word) => html`<option key=${word} value=${word} selected=${filter.outcome === word}>${word || "any"}</option>`)}
      </select>`}
    <//>
    <div class="row"><${Button} type="submit" kind="primary">Filter<//><${Button} onClick=${clear}>Clear<//></div>
  </form>`;
}

/** @type {import("../lib/table.js").Column<LogRow>[]} */
const COLUMNS = [
  { name: "When", cell: (row) => html`<time datetime=${iso(row.timestamp)} title=${iso(row.timestamp)}>${time(row.timestamp)}</time>` },
  { name: "Who", cell: (row) => row.actor },
  { name: "What", cell: (row) => row.type.replaceAll("_", " ") },
  { name: "Agent", cell: (row) => (row.agent_id ? html`<a href=${href(agentPath(row.agent_id))}>${row.agent_id}</a>` : html`<span class="muted">–</span>`) },
  {
    name: "Outcome",
    cell: (row) => (row.outcome === "refused" ? html`<${Sign} mark="✕" kind="bad" label="refused" />` : row.outcome),
  },
  {
    name: "Why",
    kind: "long",
    cell: (row) => html`${row.reason ?? (row.payload?.case_id ? "" : html`<span class="muted">–</span>`)}
      ${row.payload?.case_id && html` <a class="log-case" href=${href(casePath(String(row.payload.case_id)))} aria-label=${`Case of ${row.agent_id}`}>case</a>`}`,
  },
  {
    name: "Row",
    kind: "number",
    cell: (row) => html`<span title=${row.hash ? `hash ${row.hash}` : "has no hash yet"}>${row.sequence}${row.chained ? "" : html`<span class="muted"> …</span>`}</span>`,
  },
];

/** Everything that the row holds. @param {LogRow} row */
function details(row) {
  const fields = Object.entries(row.payload ?? {});
  return html`<dl class="facts facts-code">
    ${fields.map(([name, value]) => html`<dt key=${name}>${name}</dt><dd>${typeof value === "string" ? value : JSON.stringify(value)}</dd>`)}
    <dt>time</dt><dd>${iso(row.timestamp)}</dd>
    <dt>hash</dt><dd>${row.hash ?? "not chained yet"}</dd>
  </dl>`;
}
