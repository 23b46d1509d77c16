// One decision on several cases: one reason, and what came of each.
import { html, useState } from "../lib/html.js";
import { Problem } from "../lib/api.js";
import { useDraft } from "../lib/draft.js";
import { casePath, href } from "../lib/route.js";
import { may } from "../lib/session.js";
import { Button, Field } from "../lib/ui.js";
import { REASON_MAX, send } from "./decide.js";
import { newest, remember } from "./seen.js";
import { VERBS, verbs } from "./story.js";

/** @typedef {import("./shapes").Case} Case */
/** @typedef {import("./shapes").Verb} Verb */
/** @typedef {{ one: Case, text: string, isDone: boolean }} Result */

/** Decisions that are under way at the same time. */
const AT_ONCE = 4;

/** What a decision leads to when it is said of many. @type {Record<Verb, string>} */
const LEADS = {
  approve: "A healer tries the steps of each agent's ladder until one helps; each agent is released when its executions are normal again.",
  heal_now: "A healer tries the steps of each agent's ladder until one helps; each agent is released when its executions are normal again.",
  reject: "Nothing is healed. Agents that are contained stay contained until somebody orders to heal them now or releases them.",
  release: "The agents may act again as they are: nothing is healed, and the cases end.",
};

/**
 * @param {{ chosen: Case[], total: number, onAll: () => void, onNone: () => void, onDecided: (id: string, verb: Verb) => void }} props
 */
export function Several({ chosen, total, onAll, onNone, onDecided }) {
  const [verb, setVerb] = useState(/** @type {Verb | null} */ (null));
  const [reason, setReason, forgetReason] = useDraft("reason:several");
  const [isBusy, setBusy] = useState(false);
  const [results, setResults] = useState(/** @type {Result[] | null} */ (null));
  const [problem, setProblem] = useState("");
  const possible = /** @type {Verb[]} */ (["approve", "heal_now", "reject", "release"]).filter((each) => chosen.length > 0 && chosen.every((one) => verbs(one).includes(each)));
  const two = chosen.filter((one) => one.needs_second_person).length;

  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (!verb || isBusy) return;
    if (verb === "release" && reason.trim() === "") return setProblem("Say why they are released: the action log keeps the reason.");
    setProblem("");
    setBusy(true);
    const left = [...chosen];
    /** @type {Result[]} */
    const done = [];
    const work = async () => {
      for (let next = left.shift(); next !== undefined; next = left.shift()) {
        const one = newest(next.case_id) ?? next;
        try {
          const whole = await send(one, verb, reason);
          onDecided(one.case_id, verb);
          remember(whole);
          const waits = whole.first_approval !== null && whole.state === one.state;
          done.push({ one, text: waits ? "recorded as the first of two words" : "done", isDone: true });
        } catch (error) {
          done.push({ one, text: error instanceof Problem ? error.detail : String(error), isDone: false });
        }
        setResults([...done]);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    setBusy(false);
    setVerb(null);
    if (done.every((result) => result.isDone)) forgetReason();
    onNone();
  };

  if (results && !isBusy) return html`<${Results} results=${results} onClose=${() => setResults(null)} />`;
  if (chosen.length === 0) return null;
  return html`<section class="several" aria-label="Several at once">
    <div class="row"><b>${chosen.length} selected</b>
      ${chosen.length < total && html`<${Button} kind="quiet" onClick=${onAll}>Select all ${total} that are listed<//>`}
      <${Button} kind="quiet" onClick=${onNone} disabled=${isBusy}>Select none<//>
      <span class="several-verbs">${possible.map((each) => html`<${Button} key=${each} kind=${verb === each ? "primary" : "plain"} disabled=${isBusy || !may("operator")} onClick=${() => setVerb(each)}>${VERBS[each].label}<//>`)}</span>
    </div>
    ${verb &&
    html`<form class="several-form" onSubmit=${submit}>
      <p><b>${VERBS[verb].label} for ${chosen.length} ${chosen.length === 1 ? "agent" : "agents"}</b>: ${chosen.slice(0, 8).map((one) => one.agent_id).join(", ")}${chosen.length > 8 && ` and ${chosen.length - 8} more`}.</p>
      <p>${LEADS[verb]}</p>
      ${two > 0 && verb !== "reject" && html`<p class="banner banner-info">${two} of them ${two === 1 ? "takes" : "take"} two people: where you are the first, nothing happens until somebody else says the same.</p>`}
      <${Field} label=${verb === "release" ? "One reason for all (required)" : "One reason for all"} error=${problem || null} hint="Kept in the action log with your name.">
        ${(/** @type {string} */ id, /** @type {string} */ describedBy) => html`<textarea id=${id} aria-describedby=${describedBy} maxlength=${REASON_MAX} value=${reason} onInput=${(/** @type {any} */ event) => setReason(event.target.value)}></textarea>`}
      <//>
      <div class="row"><${Button} type="submit" kind=${verb === "approve" || verb === "heal_now" ? "primary" : "danger"} busy=${isBusy}>${isBusy ? `${results?.length ?? 0} of ${chosen.length} …` : `${VERBS[verb].label}: ${chosen.length}`}<//><${Button} onClick=${() => setVerb(null)} disabled=${isBusy}>Back<//></div>
    </form>`}
  </section>`;
}

/** @param {{ results: Result[], onClose: () => void }} props */
function Results({ results, onClose }) {
  const refused = results.filter((result) => !result.isDone);
  return html`<section class="several" role="status" aria-label="What came of it">
    <div class="row"><b>${results.length - refused.length} of ${results.length} decided.</b>${refused.length === 0 ? " None was refused." : ` ${refused.length} refused:`}<${Button} kind="quiet" onClick=${onClose}>Close<//></div>
    ${refused.length > 0 && html`<ul class="plain-list">${refused.map(({ one, text }) => html`<li key=${one.case_id}><a href=${href(casePath(one.case_id))}>${one.agent_id}</a>: ${text}</li>`)}</ul><p class="hint">Your reason is kept for another try.</p>`}
  </section>`;
}
