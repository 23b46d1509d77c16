// Which rules hold for whom; to read. They are changed where they are configured.
import { html } from "../lib/html.js";
import { get } from "../lib/api.js";
import { useLoad } from "../lib/load.js";
import { Head, Loaded } from "../lib/ui.js";

const Words = ({ policy }) => html`<ul>${policy.words.map((word) => html`<li>${word}</li>`)}</ul>
  <details><summary>Every setting</summary><pre class="log-payload">${JSON.stringify(policy.settings, null, 2)}</pre></details>`;

export default function Policy() {
  const load = useLoad((signal) => get("/api/policy", {}, signal), []);
  return html`<${Head} title="Policy" />
    <p class="hint">Rules are tried from the top; the first that matches an agent holds for it. They are changed in the configuration, not here.</p>
    <${Loaded} load=${load} what="Loading the rules">${(value) => html`<div class="rules">
      ${value.rules.map((rule, n) => html`<section class="panel" key=${rule.name}><h2>${n + 1}. ${rule.name}</h2>
        <p><b>${rule.whom}</b></p>
        ${Object.keys(rule.set).length > 0 && html`<p class="hint">Changes ${Object.entries(rule.set).map(([name, set]) => `${name} to ${JSON.stringify(set)}`).join(", ")}.</p>`}
        <${Words} policy=${rule.effective} /></section>`)}
      <section class="panel"><h2>${value.rules.length ? "Everybody else" : "Every agent"}</h2><${Words} policy=${value.defaults} /></section>
    </div>`}<//>`;
}
