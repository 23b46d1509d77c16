// Which rules hold for whom; to read. They are changed where they are configured.
import { html } from "../lib/html.js";
import { get } from "../lib/api.js";
import { useLoad } from "../lib/load.js";
import { Head, Loaded } from "../lib/ui.js";

/** @typedef {import("../lib/shapes").Rules} Rules */
/** @typedef {import("../lib/shapes").Rule} Rule */
/** @typedef {import("../lib/shapes").PolicyView} PolicyView */

export default function Policy() {
  const load = useLoad((signal) => /** @type {Promise<Rules>} */ (get("/api/policy", {}, signal)), []);
  return html`<${Head} title="Policy" />
    <p class="hint">Rules are tried from the top; the first that matches an agent holds for it. They are changed in the configuration, not here.</p>
    <${Loaded} load=${load} what="Loading the rules">${(/** @type {Rules} */ { rules, defaults }) => html`<ol class="rules">
      ${rules.map((rule, n) => html`<li key=${rule.name} class="panel"><${OneRule} rule=${rule} number=${n + 1} defaults=${defaults} /></li>`)}
      <li class="panel">
        <h2>${rules.length ? "Everybody else" : "Every agent"}</h2>
        <${Words} words=${defaults.words} />
        <${Settings} policy=${defaults} />
      </li>
    </ol>`}<//>`;
}

/** What a rule makes different stands first, and the rest can be looked up. @param {{ rule: Rule, number: number, defaults: PolicyView }} props */
function OneRule({ rule, number, defaults }) {
  const usual = new Set(defaults.words);
  const different = rule.effective.words.filter((word) => !usual.has(word));
  const same = rule.effective.words.filter((word) => usual.has(word));
  return html`<h2>${number}. ${rule.name}</h2>
    <p>Holds for <b>${rule.whom}</b>.</p>
    ${different.length > 0 ? html`<h3>Other than for everybody else</h3><${Words} words=${different} />` : html`<p class="muted">Nothing is different from everybody else.</p>`}
    ${same.length > 0 && html`<details><summary>As for everybody else</summary><${Words} words=${same} /></details>`}
    <${Settings} policy=${rule.effective} changed=${Object.keys(rule.set)} />`;
}

/** @param {{ words: string[] }} props */
const Words = ({ words }) => html`<ul>${words.map((word) => html`<li key=${word}>${word}</li>`)}</ul>`;

/** @param {{ policy: PolicyView, changed?: string[] }} props */
const Settings = ({ policy, changed = [] }) => html`<details>
  <summary>Every setting by its name</summary>
  <dl class="facts facts-code">
    ${Object.entries(policy.settings).map(
      ([name, value]) => html`<dt key=${name}>${name}</dt><dd>${changed.includes(name) ? html`<b>${shown(value)}</b> <span class="muted">by this rule</span>` : shown(value)}</dd>`,
    )}
  </dl>
</details>`;

/** @param {unknown} value @returns {any} */
function shown(value) {
  if (value === null) return "none";
  if (Array.isArray(value)) return value.length ? value.join(", ") : "none";
  if (typeof value === "object") {
    return html`<dl class="facts">${Object.entries(value).map(([name, inner]) => html`<dt key=${name}>${name}</dt><dd>${shown(inner)}</dd>`)}</dl>`;
  }
  return String(value);
}
