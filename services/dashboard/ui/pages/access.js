// API keys: who may come in without a person's login.
import { html, useState } from "../lib/html.js";
import { Confirm, act, wordsOf } from "../lib/act.js";
import { call, del, get, post } from "../lib/api.js";
import { connect } from "../lib/live.js";
import { useLoad } from "../lib/load.js";
import { isHeld, loginWays, me } from "../lib/session.js";
import { Table } from "../lib/table.js";
import { Button, Copy, Dialog, Empty, Field, Head, Loaded, Sign, When, toast } from "../lib/ui.js";

/** @typedef {import("../lib/shapes").Key} Key */
/** @typedef {Key & { secret: string }} Created */

const DAY = 86_400;
const ROLES = ["viewer", "operator", "admin", "ingest"];

/** @type {Record<Key["state"], { mark: string, kind: "good" | "muted", label: string }>} */
const STATES = {
  active: { mark: "●", kind: "good", label: "active" },
  expired: { mark: "○", kind: "muted", label: "expired" },
  revoked: { mark: "✕", kind: "muted", label: "revoked" },
};

/** What the form says, as the server wants it. @param {FormData} form */
function keyOf(form) {
  const text = (/** @type {string} */ name) => form.get(name)?.toString().trim() ?? "";
  const runs = text("runs").split(",").map((run) => run.trim()).filter(Boolean);
  return {
    name: text("name"),
    role: text("role"),
    ...(runs.length > 0 && { runs }),
    ...(text("days") && { expires_in_seconds: Number(text("days")) * DAY }),
  };
}

/**
 * The first key closes the door: from then on everybody needs one, so this page goes on with it.
 * @param {string} key
 */
async function enter(key) {
  await call("POST", "/auth/key", { body: { key } });
  me.value = await get("/api/me");
  loginWays.value = null;
  connect();
}

/**
 * @param {{ isFirst: boolean, onClose: () => void, onCreated: (key: Created) => void, onEntered: () => void }} props
 * `onEntered`: the page goes on with the first key.
 */
function NewKey({ isFirst, onClose, onCreated, onEntered }) {
  const [error, setError] = useState("");
  const [isBusy, setBusy] = useState(false);
  const submit = async (/** @type {any} */ event) => {
    event.preventDefault();
    const key = keyOf(new FormData(event.target));
    setBusy(true);
    isHeld.value = isFirst;
    try {
      /** @type {Created} */
      const created = await post("/api/keys", key);
      onCreated(created);
      if (!isFirst) return;
      await enter(created.secret).catch((problem) => toast(wordsOf(problem), "error"));
      onEntered();
    } catch (problem) {
      isHeld.value = false;
      setBusy(false);
      setError(wordsOf(problem));
    }
  };
  return html`<${Dialog} title="New API key" onClose=${onClose}>
    <form onSubmit=${submit}>
      ${isFirst && html`<p>The first key is an administrator's, and does not expire: from it on, everybody who comes here needs a key or a login, you too.</p>`}
      <${Field} label="Name" hint="Stands in the action log: letters, digits and . - _ @">
        ${(/** @type {string} */ id, /** @type {string} */ by) => html`<input id=${id} name="name" required maxlength="64" autocomplete="off" aria-describedby=${by} />`}
      <//>
      ${isFirst ? html`<input type="hidden" name="role" value="admin" />` : html`<${Limits} />`}
      ${error && html`<p class="field-error" role="alert">${error}</p>`}
      <div class="dialog-actions">
        <${Button} onClick=${onClose}>Cancel<//>
        <${Button} type="submit" kind="primary" busy=${isBusy}>Create<//>
      </div>
    </form>
  <//>`;
}

/** What a key is for, and how long. */
const Limits = () => html`
  <${Field} label="Role" hint="viewer reads; operator decides; admin changes keys and memory; ingest sends telemetry and nothing else">
    ${(/** @type {string} */ id, /** @type {string} */ by) => html`<select id=${id} name="role" aria-describedby=${by}>${ROLES.map((role) => html`<option key=${role}>${role}</option>`)}</select>`}
  <//>
  <${Field} label="Runs" hint="With commas between; empty means all that you may use">
    ${(/** @type {string} */ id, /** @type {string} */ by) => html`<input id=${id} name="runs" autocomplete="off" aria-describedby=${by} />`}
  <//>
  <${Field} label="Expires after, days" hint="Empty means never">
    ${(/** @type {string} */ id, /** @type {string} */ by) => html`<input id=${id} name="days" type="number" min="1" max="3650" defaultValue="90" aria-describedby=${by} />`}
  <//>`;

/** @param {{ created: Created, onDone: () => void }} props */
const Secret = ({ created, onDone }) => html`<section class="secret" role="status">
  <h2>The key ${created.name} was created</h2>
  <p>Copy it now: it is shown here and never again.</p>
  <${Copy} text=${created.secret} label="Copy the key" />
  <div><${Button} onClick=${onDone}>I have it<//></div>
</section>`;

export default function Access() {
  const load = useLoad((signal) => /** @type {Promise<Key[]>} */ (get("/api/keys", {}, signal)), []);
  const [isNew, setNew] = useState(false);
  const [created, setCreated] = useState(/** @type {Created | null} */ (null));
  const isFirst = me.value?.access === "open_loopback";
  const [revoking, setRevoking] = useState(/** @type {Key | null} */ (null));
  /** @param {Key} key */
  const revoke = async (key) => {
    setRevoking(null);
    await act(() => del(`/api/keys/${encodeURIComponent(key.id)}`), `${key.name} opens nothing any more.`);
    load.reload();
  };

  const taken = () => {
    setCreated(null);
    isHeld.value = false;
    load.reload();
  };

  /** @type {import("../lib/table.js").Column<Key>[]} */
  const columns = [
    { name: "Name", cell: (key) => html`<b>${key.name}</b>` },
    { name: "Role", cell: (key) => key.role },
    { name: "Runs", cell: (key) => key.runs.join(", ") || "all" },
    { name: "State", cell: (key) => html`<${Sign} ...${STATES[key.state]} />${key.revoked_by && html`<span class="muted"> by ${key.revoked_by}</span>`}` },
    { name: "Created", cell: (key) => html`<${When} at=${key.created_at} /> <span class="muted">by ${key.created_by}</span>` },
    { name: "Last used", cell: (key) => html`<${When} at=${key.last_used_at} />` },
    { name: "Expires", cell: (key) => (key.expires_at ? html`<${When} at=${key.expires_at} isExact />` : "never") },
    {
      name: "Revoke",
      kind: "act",
      cell: (key) => key.state === "active" && html`<${Button} kind="danger" isSmall label=${`Revoke ${key.name}`} onClick=${() => setRevoking(key)}>Revoke<//>`,
    },
  ];

  return html`<${Head} title="API keys"><${Button} kind="primary" onClick=${() => setNew(true)}>New key<//><//>
    <p class="hint">Keys of the configuration file are not listed here. A secret is shown once, when its key is created.</p>
    ${created && html`<${Secret} created=${created} onDone=${taken} />`}
    <${Loaded} load=${load} what="Loading the keys">${(/** @type {Key[]} */ keys) =>
      keys.length === 0
        ? html`<${Empty} title="No keys have been created">Create one for each program that calls this server, so that each can be revoked alone.<//>`
        : html`<${Table} label="API keys" columns=${columns} rows=${keys} keyOf=${(/** @type {Key} */ key) => key.id} />`}<//>
    ${isNew &&
    html`<${NewKey} isFirst=${isFirst} onClose=${() => setNew(false)} onEntered=${load.reload}
      onCreated=${(/** @type {Created} */ key) => {
        setNew(false);
        setCreated(key);
        if (!isFirst) load.reload();
      }} />`}
    ${revoking &&
    html`<${Confirm} title=${`Revoke ${revoking.name}?`} yes="Revoke" onYes=${() => revoke(revoking)} onNo=${() => setRevoking(null)}>
      Whoever uses it is refused within seconds, and sessions that were opened with it end. It cannot be undone.
    <//>`}`;
}
