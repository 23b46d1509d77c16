// How the guard itself is: roles, stores, bus, telemetry.
import { html, useEffect } from "../lib/html.js";
import { get } from "../lib/api.js";
import { count, millis, span } from "../lib/format.js";
import { useLoad } from "../lib/load.js";
import { me } from "../lib/session.js";
import { Table } from "../lib/table.js";
import { Head, Loaded, Sign } from "../lib/ui.js";

/** @typedef {import("../lib/shapes").System} Health */
/** @typedef {import("../lib/shapes").Role} Role */
/** @typedef {import("../lib/shapes").Replica} Replica */

/** Time between two looks, milliseconds. */
const EVERY = 3_000;

/** @type {Record<string, { mark: string, label: string, kind: "good" | "warn" | "bad" }>} */
const STATUS = {
  serving: { mark: "●", label: "serving", kind: "good" },
  not_serving: { mark: "▲", label: "not ready", kind: "warn" },
  unreachable: { mark: "✕", label: "unreachable", kind: "bad" },
};

/** @type {Record<string, string>} */
const DUTIES = {
  ingestion: "reads telemetry into executions",
  baseline: "learns what is normal",
  sentinel: "judges what is recent",
  quarantine: "contains, and keeps the cases",
  healer: "heals, and proves it",
  dashboard: "serves this page and REST",
};

/** What to do about blindness, by its cause. @type {Record<string, string>} */
const REMEDIES = {
  store_away: "Bring the store back. Until then nothing is decided; what arrives waits where it can.",
  ingestion_away: "Look at the ingestion role below. SDKs and collectors keep what they cannot send, and send it again.",
  sentinel_away: "Look at the sentinel below. It reads the last seconds again when it is back.",
  sentinel_not_ready: "Wait a moment: after a start the sentinel first learns its partitions, profiles and open cases. If it lasts, look at baseline and quarantine below.",
  sentinel_behind: "Give the sentinel more room: further replicas, or a faster machine.",
  telemetry_stopped:
    "Do agents still run, and export to this server? OTEL_EXPORTER_OTLP_ENDPOINT names port 4317 (gRPC) or 4318 (HTTP). If a collector stands between, does it report refused exports?",
};

/** @param {{ word: string }} props */
const Status = ({ word }) => html`<${Sign} ...${STATUS[word] ?? { mark: "?", label: word, kind: "warn" }} />`;

export default function System() {
  const load = useLoad((signal) => /** @type {Promise<Health>} */ (get("/api/system", {}, signal)), []);
  useEffect(() => {
    const timer = setInterval(() => document.hidden || load.reload(), EVERY);
    return () => clearInterval(timer);
  }, []);
  return html`<${Head} title="System health" />
    <${Loaded} load=${load} what="Asking every role">${(/** @type {Health} */ system) => html`
      <${Verdict} system=${system} />
      <${Table} label="Roles" columns=${COLUMNS} rows=${system.roles.flatMap(rowsOf)} keyOf=${(/** @type {Row} */ row) => `${row.role} ${row.replica?.address}`} />
      <div class="grid">
        <${Telemetry} system=${system} />
        <${Places} system=${system} />
      </div>`}<//>`;
}

/** @param {{ system: Health }} props */
function Verdict({ system: { blind, healthy, stores } }) {
  const isWell = !blind.is_blind && healthy && !stores;
  const words = blind.is_blind ? "The guard is blind" : healthy && !stores ? "The guard sees, and everything serves" : "Not everything serves";
  const kind = isWell ? "good" : blind.is_blind ? "bad" : "warn";
  const telemetry =
    blind.silent_seconds == null ? "No telemetry has arrived yet." : blind.silent_seconds < 1 ? "Telemetry is arriving." : `The last telemetry arrived ${span(blind.silent_seconds)} ago.`;
  return html`<section class=${`panel verdict verdict-${kind}`}>
    <h2><${Sign} mark=${isWell ? "●" : "▲"} kind=${kind} label=${words} /></h2>
    ${blind.why && html`<p><b>Because ${blind.why}.</b></p>`}
    ${stores && html`<p><b>Stores: ${stores}.</b></p>`}
    <p>${(blind.cause && REMEDIES[blind.cause]) ?? telemetry}</p>
  </section>`;
}

/** @typedef {{ role: string, status: string, replica: Replica | null, isFirst: boolean }} Row */

/** A line for each replica; a role without any still has one. @param {Role} role @returns {Row[]} */
function rowsOf({ role, status, replicas }) {
  if (replicas.length === 0) return [{ role, status, replica: null, isFirst: true }];
  return replicas.map((replica, n) => ({ role, status: replica.status, replica, isFirst: n === 0 }));
}

/** @type {import("../lib/table.js").Column<Row>[]} */
const COLUMNS = [
  { name: "Role", cell: (row) => html`<b class=${row.isFirst ? "" : "muted"}>${row.role}</b>` },
  { name: "Status", cell: (row) => html`<${Status} word=${row.status} />` },
  { name: "What it does", kind: "long", cell: (row) => DUTIES[row.role] ?? "" },
  { name: "Where", cell: (row) => html`<code>${row.replica?.address ?? "nobody is known"}</code>` },
  { name: "Partitions", kind: "number", cell: ({ replica }) => (replica?.partitions == null ? null : count(replica.partitions)) },
  { name: "Lag", kind: "number", cell: ({ replica }) => (replica?.lag_seconds == null ? null : millis(replica.lag_seconds * 1_000)) },
  { name: "Last judged", kind: "number", cell: ({ replica }) => (replica?.idle_seconds == null ? null : replica.idle_seconds < 1 ? "now" : `${span(replica.idle_seconds)} ago`) },
];

/** @param {{ system: Health }} props */
const Telemetry = ({ system: { ingestion } }) => html`<section class="panel">
  <h2>Telemetry since ingestion started</h2>
  ${ingestion
    ? html`<dl class="facts facts-numbers">
        <dt>Requests</dt><dd>${count(ingestion.requests)}</dd>
        <dt>Spans accepted</dt><dd>${count(ingestion.spans_accepted)}</dd>
        <dt>Spans refused</dt><dd class=${ingestion.spans_refused ? "bad" : ""}>${count(ingestion.spans_refused)}</dd>
        <dt>Executions</dt><dd>${count(ingestion.executions)}</dd>
        <dt>Executions too late to be judged</dt><dd class=${ingestion.late_executions ? "warn" : ""}>${count(ingestion.late_executions)}</dd>
        <dt>Traces that are open now</dt><dd>${count(ingestion.open_traces)}</dd>
      </dl>`
    : html`<p class="bad">Ingestion does not answer: what agents do now is not seen.</p>`}
</section>`;

/** @type {Record<string, string>} */
const ACCESS = { open_loopback: "open: this machine only", keys: "API keys", oidc: "login with a provider, and API keys" };

/** @param {{ system: Health }} props */
const Places = ({ system }) => html`<section class="panel">
  <h2>This deployment</h2>
  <dl class="facts">
    <dt>Cases, profiles, memory in</dt><dd>${system.backends.workflow}</dd>
    <dt>Vitals in</dt><dd>${system.backends.vitals}</dd>
    <dt>Vitals bus</dt><dd>${system.backends.bus}</dd>
    <dt>Access</dt><dd>${ACCESS[me.value?.access ?? ""] ?? "–"}</dd>
    <dt>Version</dt><dd>${system.version}</dd>
    <dt>Up for</dt><dd>${span(system.runtime)}</dd>
  </dl>
</section>`;
