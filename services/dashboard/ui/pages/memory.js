// What healed whom against what: the immune memory, and people's word on it.
import { html, useState } from "../lib/html.js";
import { get, post } from "../lib/api.js";
import { useLoad } from "../lib/load.js";
import { agentPath, href, queried, setQuery } from "../lib/route.js";
import { may } from "../lib/session.js";
import { Button, Dialog, Empty, Head, Loaded, When, toast } from "../lib/ui.js";
import { ACTIONS, DIAGNOSES, say } from "../lib/words.js";

const LIMIT = 1_000;

export default function Memory() {
  const text = queried("q").toLowerCase();
  const load = useLoad((signal) => get("/api/memory", { limit: LIMIT }, signal), []);
  const [forgetting, setForgetting] = useState(/** @type {any} */ (null));
  const act = async (/** @type {() => Promise<any>} */ act, /** @type {string} */ said) => {
    try {
      await act();
      toast(said);
      load.reload();
    } catch (error) {
      toast(/** @type {any} */ (error).detail ?? String(error), "error");
    }
  };
  const pin = (/** @type {any} */ row, /** @type {string | null} */ pin) =>
    act(() => post("/api/memory/pin", { agent_id: row.agent_id, diagnosis_type: row.diagnosis_type, action: row.action, pin }), "The memory was pinned anew.");
  const isAdmin = may("admin");
  return html`<${Head} title="Immune memory"><input class="search" type="search" aria-label="Search the memory" placeholder="Search agent, diagnosis, action" value=${queried("q")} onInput=${(/** @type {any} */ e) => setQuery({ q: e.target.value || null })} /><//>
    <p class="hint">What failed for an agent and a diagnosis is skipped while another action is left. A pin is a person's word: prefer goes first, avoid is never tried.</p>
    <${Loaded} load=${load} what="Loading the memory">${(rows) => {
      const shown = rows.filter((row) => !text || `${row.agent_id} ${row.diagnosis_type} ${row.action}`.toLowerCase().includes(text));
      if (rows.length === 0) return html`<${Empty} title="Nothing is remembered yet">The first healing of an agent leaves a memory here.<//>`;
      if (shown.length === 0) return html`<${Empty} title="No memory matches" />`;
      return html`<div class="table-box" tabindex="0" role="region" aria-label="Immune memory"><table>
        <thead><tr><th>Agent</th><th>Diagnosis</th><th>Action</th><th class="number">Helped</th><th class="number">Failed</th><th>Last</th><th>Pin</th>${isAdmin && html`<th><span class="hidden">Forget</span></th>`}</tr></thead>
        <tbody>${shown.map((row) => html`<tr key=${`${row.agent_id} ${row.diagnosis_type} ${row.action}`}>
          <td><a href=${href(agentPath(row.agent_id))}>${row.agent_id}</a></td>
          <td>${say(DIAGNOSES, row.diagnosis_type)}</td><td>${say(ACTIONS, row.action)}</td>
          <td class="number good">${row.successes}</td><td class=${`number ${row.failures ? "bad" : ""}`}>${row.failures}</td>
          <td><${When} at=${row.last_at} /></td>
          <td>${isAdmin
            ? html`<select aria-label=${`Pin of ${row.action} for ${row.agent_id}`} onChange=${(/** @type {any} */ e) => pin(row, e.target.value || null)}>
                ${[["", "none"], ["prefer", "prefer"], ["avoid", "avoid"]].map(([value, label]) => html`<option value=${value} selected=${(row.pin ?? "") === value}>${label}</option>`)}</select>`
            : (row.pin ?? "none")}</td>
          ${isAdmin && html`<td><${Button} kind="quiet" onClick=${() => setForgetting(row)} label=${`Forget ${row.action} for ${row.agent_id}`}>Forget<//></td>`}
        </tr>`)}</tbody></table></div>`;
    }}<//>
    ${forgetting && html`<${Dialog} title="Forget this memory?" onClose=${() => setForgetting(null)}>
      <p>${say(ACTIONS, forgetting.action)} against ${say(DIAGNOSES, forgetting.diagnosis_type)} of <b>${forgetting.agent_id}</b> will be tried again as if it had never been.</p>
      <div class="dialog-actions"><${Button} onClick=${() => setForgetting(null)}>Keep it<//>
      <${Button} kind="danger" onClick=${() => { const row = forgetting; setForgetting(null); void act(() => post("/api/memory/forget", { agent_id: row.agent_id, diagnosis_type: row.diagnosis_type, action: row.action }), "The memory was forgotten."); }}>Forget<//></div>
    <//>`}`;
}
