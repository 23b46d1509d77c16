// How the guard itself is: roles, stores, bus, telemetry.
import { html, useEffect } from "../lib/html.js";
import { get } from "../lib/api.js";
import { count, decimal, span } from "../lib/format.js";
import { useLoad } from "../lib/load.js";
import { blind } from "../lib/state.js";
import { Head, Loaded } from "../lib/ui.js";

/** Time between two looks, milliseconds. */
const EVERY = 3_000;

/** @type {Record<string, { mark: string, word: string, kind: string }>} */
const STATUS = {
  serving: { mark: "●", word: "serving", kind: "good" },
  not_serving: { mark: "▲", word: "not ready", kind: "warn" },
  unreachable: { mark: "✕", word: "unreachable", kind: "bad" },
};

/** @type {Record<string, string>} */
const DUTIES = {
  ingestion: "reads telemetry into executions",
  baseline: "learns what is normal",
  sentinel: "judges what is recent",
  quarantine: "contains, and keeps the cases",
  healer: "heals, and proves it",
  dashboard: "this page and REST",
};

const Status = ({ word }) => {
  const status = STATUS[word] ?? { mark: "?", word, kind: "warn" };
  return html`<span class=${`dot ${status.kind}`}><span aria-hidden="true">${status.mark}</span>${status.word}</span>`;
};

export default function System() {
  const load = useLoad((signal) => get("/api/system", {}, signal), []);
  useEffect(() => {
    const timer = setInterval(() => document.hidden || load.reload(), EVERY);
    return () => clearInterval(timer);
  }, []);
  return html`<${Head} title="System health" /><${Loaded} load=${load} what="Asking every role">${(system) => html`
    <section class="panel">
      <h2>${system.blind.is_blind ? "The guard is blind" : system.healthy ? "Everything serves, and the guard sees" : "Not everything serves"}</h2>
      <p>${system.blind.is_blind ? system.blind.why : system.blind.silent_seconds == null ? "No telemetry has arrived yet." : `The last telemetry arrived ${span(system.blind.silent_seconds)} ago.`}
      ${system.stores && html` <b class="bad">${system.stores}.</b>`}</p>
    </section>
    <section class="roles" aria-label="Roles">${system.roles.map((role) => html`
      <article class="panel" key=${role.role}>
        <div class="panel-head"><h2>${role.role}</h2><${Status} word=${role.status} /></div>
        <p class="hint">${DUTIES[role.role] ?? ""}</p>
        <div class="stack">${role.replicas.map((replica) => html`<div key=${replica.address}>
          <div class="row"><code>${replica.address}</code>${role.replicas.length > 1 && html`<${Status} word=${replica.status} />`}</div>
          ${replica.partitions != null && html`<p class="hint">${count(replica.partitions)} partitions${replica.lag_seconds != null ? `, last execution judged after ${decimal(replica.lag_seconds * 1_000)} ms` : ""}${replica.idle_seconds != null ? `, ${span(replica.idle_seconds)} ago` : ""}</p>`}
        </div>`)}</div>
      </article>`)}
    </section>
    <section class="grid">
      <div class="panel"><h2>Where records live</h2><dl class="facts">
        <dt>Cases, profiles, memory</dt><dd>${system.backends.workflow}</dd>
        <dt>Vitals</dt><dd>${system.backends.vitals}</dd>
        <dt>Vitals bus</dt><dd>${system.backends.bus}</dd>
        <dt>Version</dt><dd>${system.version}</dd>
        <dt>Up for</dt><dd>${span(system.runtime)}</dd>
      </dl></div>
      <div class="panel"><h2>Telemetry since start</h2>${system.ingestion
        ? html`<dl class="facts">
            <dt>Requests</dt><dd>${count(system.ingestion.requests)}</dd>
            <dt>Spans accepted</dt><dd>${count(system.ingestion.spans_accepted)}</dd>
            <dt>Spans refused</dt><dd class=${system.ingestion.spans_refused ? "bad" : ""}>${count(system.ingestion.spans_refused)}</dd>
            <dt>Executions</dt><dd>${count(system.ingestion.executions)}</dd>
            <dt>Open traces</dt><dd>${count(system.ingestion.open_traces)}</dd>
            <dt>Too late to be judged</dt><dd>${count(system.ingestion.late_executions)}</dd>
          </dl>`
        : html`<p class="bad">Ingestion does not answer: what agents do now is not seen. Their SDKs and collectors keep it and send it again.</p>`}
      </div>
    </section>
    ${blind.value?.is_blind && html`<section class="panel"><h2>What to look at</h2><ul>
      <li>Do agents export to this server? Their <code>OTEL_EXPORTER_OTLP_ENDPOINT</code> names port 4317 (gRPC) or 4318 (HTTP).</li>
      <li>Does a collector stand between, and does it report refused exports?</li>
      <li>Is ingestion serving, above, and are the stores?</li></ul></section>`}
  `}<//>`;
}
