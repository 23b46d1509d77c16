// What is normal for an agent, and what a person does to it.
import { html, useState } from "../lib/html.js";
import { get, post } from "../lib/api.js";
import { useDraft } from "../lib/draft.js";
import { count } from "../lib/format.js";
import { useLoad } from "../lib/load.js";
import { may } from "../lib/session.js";
import { Button, Dialog, Field, Loaded, When, toast } from "../lib/ui.js";
import { wordsOf } from "../lib/act.js";
import { REASON_MAX } from "./decide.js";

/** @typedef {import("./shapes").WholeAgent} WholeAgent */
/** @typedef {import("./shapes").Baseline} Known */
/** @typedef {"freeze" | "unfreeze" | "pin" | "accept" | "reset" | "import"} Verb */

/** What each act is called, does, and says when it is done. @type {Record<Verb, { button: string, title: string, does: string, done: string }>} */
const ACTS = {
  accept: { button: "Accept the present level", title: "Take the present level for normal", does: "The executions since the baseline last learned become its baseline, and it is judged by them from now on. An open case stays open: release it if there is nothing to heal.", done: "Accepted: it is judged by its present level." },
  freeze: { button: "Freeze", title: "Stop it from learning", does: "It is judged on by what is known, and learns nothing until somebody lets it.", done: "Frozen: it learns nothing from now on." },
  unfreeze: { button: "Let it learn", title: "Let it learn again", does: "Its healthy executions teach again.", done: "It learns again." },
  pin: { button: "Pin to a time", title: "Learn from a time that was good", does: "The executions of that time become its baseline, which stays there: it is frozen, too.", done: "Pinned." },
  reset: { button: "Reset", title: "Forget what is normal", does: "It is learned anew from the executions that begin from now on. Until there are enough of them it is not judged.", done: "Reset: it is learned anew." },
  import: { button: "Import", title: "Give it the numbers of a file", does: "A file that was exported here, of this agent at another time or of another one. It replaces what is known.", done: "Imported." },
};

/** Which acts are open in a state. @param {Known} known @returns {Verb[]} */
const open = (known) => [
  ...(known.state === "suspect" ? /** @type {Verb[]} */ (["accept"]) : []),
  ...(known.is_frozen ? /** @type {Verb[]} */ (["unfreeze"]) : known.state === "learning" ? [] : /** @type {Verb[]} */ (["freeze"])),
  ...(known.state !== "suspect" && known.state !== "learning" ? /** @type {Verb[]} */ (["accept"]) : []),
  "pin", "import", "reset",
];

/** How the baseline is, in a sentence. @param {Known} known */
function standing(known) {
  const frozen = known.is_frozen ? " It is frozen: it learns nothing." : "";
  switch (known.state) {
    case "learning": return `Too little is known to judge by.${frozen}`;
    case "stale": return `It has not learned for long; the agent is judged by it all the same.${frozen}`;
    case "suspect": return `The agent has been at another level for long. Say which is right: the baseline, then heal or release the agent; or the agent, then accept its level.${frozen}`;
    default: return `The agent is judged by it.${frozen}`;
  }
}

/** Where the baseline comes from. @param {NonNullable<Known["version"]>} version */
export const origin = (version) => ({ seen: `another ${version.changed.join(", ")}`, reset: "reset by a person", pinned: "pinned by a person", imported: "imported by a person", accepted: "accepted by a person" })[version.origin];

/** @param {{ agent: WholeAgent, path: string, onChange: () => void }} props */
export function Baseline({ agent, path, onChange }) {
  const [verb, setVerb] = useState(/** @type {Verb | null} */ (null));
  const { samples, state } = agent.baseline;
  const load = useLoad(async (signal) => (samples === 0 && state === "learning" ? null : /** @type {Known} */ (await get(`${path}/baseline`, undefined, signal))), [path, state, samples > 0]);
  const done = () => {
    setVerb(null);
    load.reload();
    onChange();
  };
  return html`<section class="panel" aria-label="Baseline">
    <h2>What is normal</h2>
    <${Loaded} load=${load} what="Loading the baseline">${(/** @type {Known | null} */ known) => known === null ? html`<p class="muted">Nothing yet: no execution has taught it.</p>` : html`
      <p>${standing(known)}</p>
      <${Numbers} known=${known} />
      <p class="muted">${count(known.samples)} executions taught it; it changed last <${When} at=${known.updated_at} />.</p>
      <div class="row">
        ${may("admin") && open(known).map((each) => html`<${Button} key=${each} isSmall kind=${each === "reset" ? "danger" : each === "accept" && known.state === "suspect" ? "primary" : "plain"} onClick=${() => setVerb(each)}>${ACTS[each].button}<//>`)}
        <${Button} isSmall kind="quiet" onClick=${() => save(known)}>Export<//>
      </div>`}<//>
    ${verb && html`<${Act} key=${verb} verb=${verb} agent=${agent} path=${path} onDone=${done} onClose=${() => setVerb(null)} />`}
  </section>`;
}

/** @param {{ known: Known }} props */
function Numbers({ known }) {
  const { latency, tokens, tools } = known.metrics;
  const rows = /** @type {const} */ ([["Latency", latency, "ms"], ["Tokens", tokens, ""], ["Tool calls", tools, ""]]);
  return html`<div class="table-box" tabindex="0" role="region" aria-label="Mean and spread"><table><thead><tr><th scope="col">Metric</th><th scope="col" class="number">Mean</th><th scope="col" class="number">Spread</th><th scope="col" class="number">Executions</th></tr></thead>
    <tbody>${rows.map(([name, moments, unit]) => html`<tr key=${name}><th scope="row">${name}</th>${moments.count === 0 ? html`<td colspan="3" class="muted">never measured</td>` : html`<td class="number">${moments.mean.toFixed(1)} ${unit}</td><td class="number">± ${moments.stddev.toFixed(1)} ${unit}</td><td class="number">${count(moments.count)}</td>`}</tr>`)}</tbody></table></div>`;
}

/** Keeps the baseline in a file. @param {Known} known */
function save(known) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(known, null, 2)], { type: "application/json" }));
  link.download = `baseline-${known.agent_id.replace(/[^\w.-]+/g, "_")}.json`;
  link.click();
  URL.revokeObjectURL(link.href);
}

/** An act with its reason. @param {{ verb: Verb, agent: WholeAgent, path: string, onDone: () => void, onClose: () => void }} props */
function Act({ verb, agent, path, onDone, onClose }) {
  const { title, does, done, button } = ACTS[verb];
  const [reason, setReason, forget] = useDraft(`baseline:${verb}:${agent.agent_id}`);
  const [from, setFrom] = useState("");
  const [to, setTo] = useState("");
  const [file, setFile] = useState(/** @type {File | null} */ (null));
  const [error, setError] = useState("");
  const [isBusy, setBusy] = useState(false);
  const seconds = (/** @type {string} */ text) => (text === "" ? null : new Date(text).getTime() / 1_000);
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (reason.trim() === "") return setError("Say why: it is kept in the action log.");
    if (verb === "pin" && from === "") return setError("Say from when on the agent was good.");
    if (verb === "import" && file === null) return setError("Choose a file.");
    setBusy(true);
    try {
      const given = verb === "pin" ? { from: seconds(from), to: seconds(to) } : verb === "import" && file ? JSON.parse(await file.text()) : {};
      await post(`${path}/baseline/${verb}`, { ...given, reason: reason.trim() });
      forget();
      toast(done);
      onDone();
    } catch (problem) {
      setError(`${problem instanceof SyntaxError ? "The file is not JSON." : wordsOf(problem)} Your text is kept.`);
      setBusy(false);
    }
  };
  const when = (/** @type {string} */ label, /** @type {string} */ value, /** @type {(value: string) => void} */ set) => html`<${Field} label=${label} error=${null}>${(/** @type {string} */ id) => html`<input type="datetime-local" step="1" id=${id} value=${value} onInput=${(/** @type {any} */ event) => set(event.target.value)} />`}<//>`;
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <form onSubmit=${submit}>
      <p>${does}</p>
      ${verb === "pin" && html`${when("From (your time)", from, setFrom)}${when("To (empty: until now)", to, setTo)}`}
      ${verb === "import" && html`<${Field} label="File" error=${null}>${(/** @type {string} */ id) => html`<input type="file" accept="application/json,.json" id=${id} onChange=${(/** @type {any} */ event) => setFile(event.target.files[0] ?? null)} />`}<//>`}
      <${Field} label="Why? (required)" error=${error || null}>${(/** @type {string} */ id, /** @type {string} */ describedBy) => html`<textarea id=${id} aria-describedby=${describedBy} maxlength=${REASON_MAX} value=${reason} onInput=${(/** @type {any} */ event) => setReason(event.target.value)}></textarea>`}<//>
      <div class="dialog-actions"><${Button} onClick=${onClose}>Back<//><${Button} type="submit" kind=${verb === "reset" ? "danger" : "primary"} busy=${isBusy}>${button}<//></div>
    </form>
  <//>`;
}
