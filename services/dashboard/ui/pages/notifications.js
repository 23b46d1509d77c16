// Outgoing notifications: how the targets stand, and what could not be delivered.
import { html, useEffect, useState } from "../lib/html.js";
import { Confirm, act } from "../lib/act.js";
import { del, get, post } from "../lib/api.js";
import { count, span } from "../lib/format.js";
import { useLoad } from "../lib/load.js";
import { agentPath, casePath, href } from "../lib/route.js";
import { Table } from "../lib/table.js";
import { Button, Empty, Head, Loaded, Sign, When } from "../lib/ui.js";

/** @typedef {import("../lib/shapes").Target} Target */
/** @typedef {import("../lib/shapes").DeadLetter} DeadLetter */
/** @typedef {import("../lib/table.js").Column<Target>} TargetColumn */
/** @typedef {import("../lib/table.js").Column<DeadLetter>} LetterColumn */

/** Time between two looks, milliseconds. */
const EVERY = 5_000;

/** @type {Record<string, { mark: string, kind: "good" | "warn" | "bad" | "muted", label: string }>} */
const STATES = {
  ok: { mark: "●", kind: "good", label: "delivers" },
  failing: { mark: "▲", kind: "bad", label: "fails" },
  waiting: { mark: "…", kind: "muted", label: "nothing sent yet" },
  removed: { mark: "✕", kind: "muted", label: "not configured any more" },
};

/** @param {string} word */
const unknownState = (word) => ({ mark: "?", kind: /** @type {const} */ ("warn"), label: word });
/** @param {DeadLetter} letter */
const pathOf = (letter) => `/api/notifications/${encodeURIComponent(letter.id)}`;

export default function Notifications() {
  const load = useLoad(
    (signal) => /** @type {Promise<{ targets: Target[], dead_letters: DeadLetter[] }>} */ (get("/api/notifications", {}, signal)),
    [],
  );
  const [discarding, setDiscarding] = useState(/** @type {DeadLetter | null} */ (null));
  useEffect(() => {
    const timer = setInterval(() => document.hidden || load.reload(), EVERY);
    return () => clearInterval(timer);
  }, []);
  /** @param {() => Promise<unknown>} doing @param {string} said */
  const change = async (doing, said) => {
    await act(doing, said);
    load.reload();
  };
  /** @param {Target} target */
  const test = (target) =>
    change(() => post(`/api/notifications/targets/${encodeURIComponent(target.name)}/test`), `A test is on its way to ${target.name}.`);
  /** @param {DeadLetter} letter */
  const retry = (letter) => change(() => post(`${pathOf(letter)}/retry`), "It is sent again.");
  /** @param {DeadLetter} letter */
  const discard = (letter) => {
    setDiscarding(null);
    void change(() => del(pathOf(letter)), "It was discarded.");
  };

  /** @type {TargetColumn[]} */
  const targets = [
    { name: "Target", cell: (target) => html`<b>${target.name}</b>` },
    { name: "Kind", cell: (target) => target.kind },
    { name: "State", cell: (target) => html`<${Sign} ...${STATES[target.state] ?? unknownState(target.state)} />` },
    { name: "Delivered", kind: "number", cell: (target) => count(target.delivered) },
    { name: "Waiting", kind: "number", cell: (target) => count(target.waiting) },
    { name: "Dead", kind: "number", cell: (target) => html`<span class=${target.dead ? "bad" : ""}>${count(target.dead)}</span>` },
    { name: "Lag", kind: "number", cell: (target) => (target.waiting ? span(target.lag_seconds) : "–") },
    { name: "Last delivered", cell: (target) => html`<${When} at=${target.last_delivered_at} />` },
    {
      name: "Last failure",
      kind: "long",
      cell: ({ last_error: failure }) => (failure ? html`${failure.text}, <${When} at=${failure.at} />` : html`<span class="muted">none</span>`),
    },
    {
      name: "Test",
      kind: "act",
      cell: (target) => target.kind !== "none" && html`<${Button} isSmall onClick=${() => test(target)} label=${`Send a test to ${target.name}`}>Test<//>`,
    },
  ];
  /** @type {LetterColumn[]} */
  const letters = [
    { name: "Target", cell: (letter) => letter.target },
    { name: "Agent", cell: (letter) => html`<a href=${href(agentPath(letter.agent_id))}>${letter.agent_id}</a>` },
    { name: "What", kind: "long", cell: (letter) => html`<a href=${href(casePath(letter.case_id))}>${letter.text}</a>` },
    { name: "Happened", cell: (letter) => html`<${When} at=${letter.at} />` },
    { name: "Attempts", kind: "number", cell: (letter) => letter.attempts },
    { name: "Why given up", kind: "long", cell: (letter) => letter.error },
    {
      name: "Actions",
      kind: "act",
      cell: (letter) => html`<span class="row-acts"><${Button} isSmall onClick=${() => retry(letter)}>Send again<//>
        <${Button} kind="quiet" isSmall onClick=${() => setDiscarding(letter)}>Discard<//></span>`,
    },
  ];

  return html`<${Head} title="Notifications" />
    <${Loaded} load=${load} what="Asking how the targets stand">${(/** @type {{ targets: Target[], dead_letters: DeadLetter[] }} */ value) =>
      value.targets.length === 0
        ? html`<${Empty} title="Nobody is told">Webhooks, Slack, Teams, PagerDuty and others are set in the configuration under <code>notify</code>.<//>`
        : html`<${Table} label="Targets" columns=${targets} rows=${value.targets} keyOf=${(/** @type {Target} */ target) => target.name} />
            <h2>Dead letters</h2>
            ${value.dead_letters.length === 0
              ? html`<p class="muted">None: everything was delivered or is on its way.</p>`
              : html`<${Table} label="Dead letters" columns=${letters} rows=${value.dead_letters} keyOf=${(/** @type {DeadLetter} */ letter) => letter.id} />`}`}<//>
    ${discarding &&
    html`<${Confirm} title="Discard this notification?" yes="Discard" onYes=${() => discard(discarding)} onNo=${() => setDiscarding(null)}>
      ${discarding.target} will never be told: ${discarding.text}
    <//>`}`;
}
