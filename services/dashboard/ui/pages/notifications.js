// Outgoing notifications: how the targets stand, and what could not be delivered.
import { html } from "../lib/html.js";
import { del, get, post } from "../lib/api.js";
import { count, span } from "../lib/format.js";
import { useLoad } from "../lib/load.js";
import { agentPath, casePath, href } from "../lib/route.js";
import { Button, Empty, Head, Loaded, When, toast } from "../lib/ui.js";

export default function Notifications() {
  const load = useLoad((signal) => get("/api/notifications", {}, signal), []);
  const act = async (/** @type {() => Promise<any>} */ act, /** @type {string} */ said) => {
    try {
      await act();
      toast(said);
      load.reload();
    } catch (error) {
      toast(/** @type {any} */ (error).detail ?? String(error), "error");
    }
  };
  const path = (/** @type {any} */ letter) => `/api/notifications/${encodeURIComponent(letter.id)}`;
  return html`<${Head} title="Notifications"><${Button} onClick=${load.reload}>Look again<//><//>
    <${Loaded} load=${load} what="Asking how the targets stand">${(value) => value.targets.length === 0
      ? html`<${Empty} title="Nobody is told">Webhooks, Slack, Teams, PagerDuty and others are set in the configuration under <code>notify</code>.<//>`
      : html`<div class="table-box" tabindex="0" role="region" aria-label="Targets"><table>
          <thead><tr><th>Target</th><th>Kind</th><th>State</th><th class="number">Delivered</th><th class="number">Waiting</th><th class="number">Dead</th><th>Lag</th><th>Last delivered</th><th>Last failure</th><th><span class="hidden">Test</span></th></tr></thead>
          <tbody>${value.targets.map((target) => html`<tr key=${target.name}><td>${target.name}</td><td>${target.kind}</td>
            <td class=${target.state === "ok" ? "good" : target.state === "failing" ? "bad" : "muted"}>${target.state}</td>
            <td class="number">${count(target.delivered)}</td><td class="number">${count(target.waiting)}</td><td class=${`number ${target.dead ? "bad" : ""}`}>${count(target.dead)}</td>
            <td>${span(target.lag_seconds)}</td><td><${When} at=${target.last_delivered_at} /></td>
            <td>${target.last_error ? html`${target.last_error.text}, <${When} at=${target.last_error.at} />` : "–"}</td>
            <td>${target.kind !== "none" && html`<${Button} kind="quiet" onClick=${() => act(() => post(`/api/notifications/targets/${encodeURIComponent(target.name)}/test`), `A test is on its way to ${target.name}.`)}>Test<//>`}</td></tr>`)}</tbody></table></div>
        <h2>Dead letters</h2>
        ${value.dead_letters.length === 0
          ? html`<p class="muted">None: everything was delivered or is on its way.</p>`
          : html`<div class="table-box" tabindex="0" role="region" aria-label="Dead letters"><table>
              <thead><tr><th>Target</th><th>What</th><th>Agent</th><th>Happened</th><th class="number">Attempts</th><th>Why given up</th><th><span class="hidden">Actions</span></th></tr></thead>
              <tbody>${value.dead_letters.map((letter) => html`<tr key=${letter.id}><td>${letter.target}</td><td><a href=${href(casePath(letter.case_id))}>${letter.text}</a></td>
                <td><a href=${href(agentPath(letter.agent_id))}>${letter.agent_id}</a></td><td><${When} at=${letter.at} /></td><td class="number">${letter.attempts}</td><td>${letter.error}</td>
                <td class="row"><${Button} kind="quiet" onClick=${() => act(() => post(`${path(letter)}/retry`), "It is sent again.")}>Send again<//><${Button} kind="quiet" onClick=${() => act(() => del(path(letter)), "It was discarded.")}>Discard<//></td></tr>`)}</tbody></table></div>`}`}<//>`;
}
