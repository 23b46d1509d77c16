// API keys: who may come in without a person's login.
import { html, useState } from "../lib/html.js";
import { del, get, post } from "../lib/api.js";
import { useLoad } from "../lib/load.js";
import { Button, Copy, Dialog, Empty, Field, Head, Loaded, When, toast } from "../lib/ui.js";

const DAY = 86_400;

function NewKey({ onClose, onCreated }) {
  const [error, setError] = useState("");
  const [isBusy, setBusy] = useState(false);
  const submit = async (/** @type {any} */ event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const text = (/** @type {string} */ name) => form.get(name)?.toString().trim() ?? "";
    const runs = text("runs").split(",").map((run) => run.trim()).filter(Boolean);
    /** @type {any} */
    const body = { name: text("name"), role: text("role") };
    if (runs.length) body.runs = runs;
    if (text("days")) body.expires_in_seconds = Number(text("days")) * DAY;
    setBusy(true);
    try {
      onCreated(await post("/api/keys", body));
    } catch (problem) {
      setBusy(false);
      setError(/** @type {any} */ (problem).detail ?? String(problem));
    }
  };
  return html`<${Dialog} title="New API key" onClose=${onClose}><form onSubmit=${submit}>
    <${Field} label="Name" hint="Stands in the action log: letters, digits and . - _ @">${(/** @type {string} */ id, /** @type {string} */ by) => html`<input id=${id} name="name" required maxlength="64" autocomplete="off" aria-describedby=${by} />`}<//>
    <${Field} label="Role" hint="viewer reads; operator decides; admin changes keys and memory; ingest sends telemetry and nothing else">${(/** @type {string} */ id, /** @type {string} */ by) => html`<select id=${id} name="role" aria-describedby=${by}>${["viewer", "operator", "admin", "ingest"].map((role) => html`<option>${role}</option>`)}</select>`}<//>
    <${Field} label="Runs" hint="With commas between; empty means all that you may use">${(/** @type {string} */ id, /** @type {string} */ by) => html`<input id=${id} name="runs" autocomplete="off" aria-describedby=${by} />`}<//>
    <${Field} label="Expires after, days" hint="Empty means never">${(/** @type {string} */ id, /** @type {string} */ by) => html`<input id=${id} name="days" type="number" min="1" max="3650" defaultValue="90" aria-describedby=${by} />`}<//>
    ${error && html`<p class="field-error" role="alert">${error}</p>`}
    <div class="dialog-actions"><${Button} onClick=${onClose}>Cancel<//><${Button} type="submit" kind="primary" busy=${isBusy}>Create<//></div>
  </form><//>`;
}

export default function Access() {
  const load = useLoad((signal) => get("/api/keys", {}, signal), []);
  const [isNew, setNew] = useState(false);
  const [created, setCreated] = useState(/** @type {any} */ (null));
  const [revoking, setRevoking] = useState(/** @type {any} */ (null));
  const revoke = async () => {
    const key = revoking;
    setRevoking(null);
    try {
      await del(`/api/keys/${encodeURIComponent(key.id)}`);
      toast(`${key.name} opens nothing any more.`);
      load.reload();
    } catch (error) {
      toast(/** @type {any} */ (error).detail ?? String(error), "error");
    }
  };
  return html`<${Head} title="API keys"><${Button} kind="primary" onClick=${() => setNew(true)}>New key<//><//>
    <p class="hint">Keys of the configuration file are not listed here. A secret is shown once, when its key is created.</p>
    ${created && html`<section class="secret" role="status"><h2>The key ${created.name} was created</h2><p>Copy it now: it is shown here and never again.</p><${Copy} text=${created.secret} label="Copy the key" /><div><${Button} onClick=${() => setCreated(null)}>I have it<//></div></section>`}
    <${Loaded} load=${load} what="Loading the keys">${(keys) => keys.length === 0
      ? html`<${Empty} title="No keys have been created">Create one for each program that calls this server.<//>`
      : html`<div class="table-box" tabindex="0" role="region" aria-label="API keys"><table>
          <thead><tr><th>Name</th><th>Role</th><th>Runs</th><th>State</th><th>Created</th><th>Last used</th><th>Expires</th><th><span class="hidden">Revoke</span></th></tr></thead>
          <tbody>${keys.map((key) => html`<tr key=${key.id}><td>${key.name}</td><td>${key.role}</td><td>${key.runs.join(", ") || "all"}</td>
            <td class=${key.state === "active" ? "good" : "muted"}>${key.state}${key.revoked_by ? ` by ${key.revoked_by}` : ""}</td>
            <td><${When} at=${key.created_at} /> by ${key.created_by}</td><td><${When} at=${key.last_used_at} /></td>
            <td>${key.expires_at ? html`<${When} at=${key.expires_at} isExact />` : "never"}</td>
            <td>${key.state === "active" && html`<${Button} kind="quiet" label=${`Revoke ${key.name}`} onClick=${() => setRevoking(key)}>Revoke<//>`}</td></tr>`)}</tbody></table></div>`}<//>
    ${isNew && html`<${NewKey} onClose=${() => setNew(false)} onCreated=${(/** @type {any} */ key) => { setNew(false); setCreated(key); load.reload(); }} />`}
    ${revoking && html`<${Dialog} title=${`Revoke ${revoking.name}?`} onClose=${() => setRevoking(null)}><p>Whoever uses it is refused within seconds, and sessions that were opened with it end. It cannot be undone.</p>
      <div class="dialog-actions"><${Button} onClick=${() => setRevoking(null)}>Keep it<//><${Button} kind="danger" onClick=${revoke}>Revoke<//></div><//>`}`;
}
