// What healed whom against what: the immune memory, and people's word on it.
import { html, useState } from "../lib/html.js";
import { Confirm, act } from "../lib/act.js";
import { get, post } from "../lib/api.js";
import { useLoad } from "../lib/load.js";
import { agentPath, href, queried, setQuery } from "../lib/route.js";
import { may } from "../lib/session.js";
import { Table } from "../lib/table.js";
import { Button, Empty, Head, Loaded, When } from "../lib/ui.js";
import { ACTIONS, DIAGNOSES, say } from "../lib/words.js";

/** @typedef {import("../lib/shapes").Memory} Memory */

/** Rows that are asked for. */
const LIMIT = 1_000;

const PINS = [
  { value: "", label: "none" },
  { value: "prefer", label: "prefer" },
  { value: "avoid", label: "avoid" },
];

/** What names a memory to the server. @param {Memory} row */
const nameOf = ({ agent_id, diagnosis_type, action }) => ({ agent_id, diagnosis_type, action });
/** @param {Memory} row */
const keyOf = (row) => `${row.agent_id} ${row.diagnosis_type} ${row.action}`;
/** @param {Memory} row */
const wordsOf = (row) => `${row.agent_id} ${say(DIAGNOSES, row.diagnosis_type)} ${say(ACTIONS, row.action)}`.toLowerCase();

export default function Memories() {
  const text = queried("q").toLowerCase();
  const load = useLoad((signal) => /** @type {Promise<Memory[]>} */ (get("/api/memory", { limit: LIMIT }, signal)), []);
  const [forgetting, setForgetting] = useState(/** @type {Memory | null} */ (null));
  const isAdmin = may("admin");

  /** @param {Memory} row @param {string | null} pin */
  const pin = async (row, pin) => {
    const said = pin ? `${say(ACTIONS, row.action)} is pinned: ${pin}.` : "The pin was taken away.";
    await act(() => post("/api/memory/pin", { ...nameOf(row), pin }), said);
    load.reload();
  };
  /** @param {Memory} row */
  const forget = async (row) => {
    setForgetting(null);
    await act(() => post("/api/memory/forget", nameOf(row)), "The memory was forgotten.");
    load.reload();
  };

  /** @type {import("../lib/table.js").Column<Memory>[]} */
  const columns = [
    { name: "Agent", cell: (row) => html`<a href=${href(agentPath(row.agent_id))}>${row.agent_id}</a>` },
    { name: "Diagnosis", cell: (row) => say(DIAGNOSES, row.diagnosis_type) },
    { name: "Action", cell: (row) => say(ACTIONS, row.action) },
    { name: "Helped", kind: "number", cell: (row) => html`<span class=${row.successes ? "good" : "muted"}>${row.successes}</span>` },
    { name: "Failed", kind: "number", cell: (row) => html`<span class=${row.failures ? "bad" : "muted"}>${row.failures}</span>` },
    { name: "Last", cell: (row) => html`<${When} at=${row.last_at} />` },
    { name: "Pin", cell: (row) => (isAdmin ? html`<${Pin} row=${row} onPin=${pin} />` : (row.pin ?? "none")) },
  ];
  if (isAdmin) {
    const forgetButton = (/** @type {Memory} */ row) =>
      html`<${Button} kind="quiet" isSmall onClick=${() => setForgetting(row)} label=${`Forget ${row.action} for ${row.agent_id}`}>Forget<//>`;
    columns.push({ name: "Forget", kind: "act", cell: forgetButton });
  }

  return html`<${Head} title="Immune memory">
      <input class="search" type="search" aria-label="Search the memory" placeholder="Search agent, diagnosis, action" value=${queried("q")}
        onInput=${(/** @type {any} */ event) => setQuery({ q: event.target.value || null })} />
    <//>
    <p class="hint">What failed for an agent and a diagnosis is skipped while another action is left. A pin is a person's word: prefer goes first, avoid is never tried.</p>
    <${Loaded} load=${load} what="Loading the memory">${(/** @type {Memory[]} */ rows) => {
      const shown = rows.filter((row) => !text || wordsOf(row).includes(text));
      if (rows.length === 0) return html`<${Empty} title="Nothing is remembered yet">The first healing of an agent leaves a memory here.<//>`;
      if (shown.length === 0) return html`<${Empty} title="No memory matches"><${Button} onClick=${() => setQuery({ q: null })}>Show all<//><//>`;
      return html`<${Table} label="Immune memory" columns=${columns} rows=${shown} keyOf=${keyOf} />
        ${rows.length === LIMIT && html`<p class="warn">Only the first ${LIMIT} memories are shown.</p>`}`;
    }}<//>
    ${forgetting &&
    html`<${Confirm} title="Forget this memory?" yes="Forget" onYes=${() => forget(forgetting)} onNo=${() => setForgetting(null)}>
      ${say(ACTIONS, forgetting.action)} against ${say(DIAGNOSES, forgetting.diagnosis_type)} of <b>${forgetting.agent_id}</b>${" "}
      counts again as if it had never been tried.
    <//>`}`;
}

/** @param {{ row: Memory, onPin: (row: Memory, pin: string | null) => void }} props */
const Pin = ({ row, onPin }) => html`<select class="select-small" aria-label=${`Pin of ${row.action} for ${row.agent_id}`}
  onChange=${(/** @type {any} */ event) => onPin(row, event.target.value || null)}>
  ${PINS.map(({ value, label }) => html`<option key=${value} value=${value} selected=${(row.pin ?? "") === value}>${label}</option>`)}
</select>`;
