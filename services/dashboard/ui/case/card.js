// A case in the inbox: all that a person needs to decide, and the decision.
import { html, useEffect, useRef, useState } from "../lib/html.js";
import { agentPath, casePath, href } from "../lib/route.js";
import { me } from "../lib/session.js";
import { Button, ErrorBox, Severity, now } from "../lib/ui.js";
import { DECISIONS, DIAGNOSES, say } from "../lib/words.js";
import { Bars } from "./bars.js";
import { Decide } from "./decide.js";
import { Affected, Containment, Diagnosis, EvidenceTable, Headline, PlanList, SecondPerson, StatePill, Waiting, evidenceWords } from "./parts.js";
import { useWhole } from "./seen.js";
import { decided, departed, isHeld, verbs } from "./story.js";

/** @typedef {import("./shapes").Case} Case */
/** @typedef {import("./shapes").Verb} Verb */

/** How far below the window cards are filled already, CSS pixels. */
const AHEAD = "600px";

/** Whether an element is, or was, near what the person sees. @param {{ current: Element | null }} box */
function useNear(box) {
  const [isNear, setNear] = useState(false);
  useEffect(() => {
    if (isNear || !box.current) return;
    const watch = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && setNear(true), { rootMargin: AHEAD });
    watch.observe(box.current);
    return () => watch.disconnect();
  }, [isNear]);
  return isNear;
}

/**
 * @param {{ one: Case, isCurrent: boolean, isChosen: boolean, asked: { verb: Verb, count: number } | null, onChoose: (isChosen: boolean) => void, onCurrent: () => void, onDecided: (id: string, verb: Verb) => void }} props
 */
export function Card({ one, isCurrent, isChosen, asked, onChoose, onCurrent, onDecided }) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const load = useWhole(one.case_id, useNear(box));
  const whole = load.value;
  const self = me.value?.subject ?? "";
  useEffect(() => {
    if (!isCurrent || !box.current || box.current.contains(document.activeElement)) return;
    box.current.focus({ preventScroll: true });
    box.current.scrollIntoView({ block: "nearest" });
  }, [isCurrent]);
  const title = `card-${one.case_id}`;
  return html`<article ref=${box} class=${isCurrent ? "card card-current" : "card"} tabindex="-1" aria-labelledby=${title} onFocusIn=${onCurrent}>
    <header class="card-head">
      ${verbs(one).length > 1 && html`<label class="card-choose"><input type="checkbox" checked=${isChosen} onChange=${(/** @type {any} */ event) => onChoose(event.target.checked)} /><span class="hidden">Select ${one.agent_id}</span></label>`}
      <${Severity} value=${one.severity} />
      <h2 id=${title}><a href=${href(agentPath(one.agent_id))}>${one.agent_id}</a></h2>
      ${one.agent_type && html`<span class="muted">${one.agent_type}</span>`}
      <span class="card-when muted"><${Waiting} one=${one} /></span>
    </header>
    <${Headline} one=${one} whole=${whole} />
    <${SecondPerson} one=${one} self=${self} />
    ${one.state_details.reason && one.state === "awaiting_approval" && one.state_details.reason !== "severe" && html`<p class="banner banner-info">${WAITS[one.state_details.reason] ?? one.state_details.reason}</p>`}
    ${one.state === "rejected" && one.state_details.reason && html`<p class="muted">Rejected because: <q>${one.state_details.reason}</q></p>`}
    ${load.error && !whole && html`<${ErrorBox} error=${load.error} onRetry=${load.reload} />`}
    <div class="card-columns">
      <div class="card-column">
        <h3>What moved</h3>
        ${whole ? html`<${Bars} one=${one} window=${whole.window} />` : html`<p class="muted bars-wait">${load.error ? "–" : "Loading …"}</p>`}
        <h3>Why it is thought to be ill</h3>
        <${Diagnosis} one=${one} whole=${whole} />
      </div>
      <div class="card-column">
        <h3>Contained?</h3>
        <${Containment} one=${one} />
        <h3>${PLANS[one.state] ?? "Healing"}</h3>
        ${whole ? html`<${PlanList} one=${one} whole=${whole} />` : html`<p class="muted">Loading …</p>`}
        ${whole?.affected && html`<h3>Who is affected</h3><${Affected} affected=${whole.affected} />`}
      </div>
    </div>
    ${whole && html`<details class="card-more"><summary>${evidenceWords(whole)}</summary><${EvidenceTable} whole=${whole} /></details>`}
    <footer class="card-foot">
      <${Decide} one=${one} plan=${whole?.plan} asked=${asked} onDecided=${(/** @type {any} */ _whole, /** @type {Verb} */ verb) => onDecided(one.case_id, verb)} onStale=${load.reload} />
      <a class="card-link" href=${href(casePath(one.case_id))}>Whole case and timeline</a>
    </footer>
  </article>`;
}

/** What stands over the plan. @type {Record<string, string>} */
const PLANS = { awaiting_approval: "If you approve", rejected: "If you order healing" };

/** Why a case waits, beyond its severity. @type {Record<string, string>} */
const WAITS = {
  ladder_exhausted: "Every step that policy allows was tried, and none helped. Approving starts the ladder anew.",
  blast_radius: "As many agents of this run are quarantined automatically as policy allows: this one is not contained until somebody decides.",
  observing: "Policy only watches this agent: it is not contained until somebody decides.",
  unproven: "The last step was done, but the agent did not run afterwards, so nothing is proven.",
};

/** A card whose case has been decided while it was in view: who did, and how it goes on. @param {{ one: Case, isOwn: boolean, isCurrent: boolean, onDismiss: () => void }} props */
export function Settled({ one, isOwn, isCurrent, onDismiss }) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  // It takes the place of the card that had the focus.
  useEffect(() => {
    if (isCurrent && document.activeElement === document.body) box.current?.focus({ preventScroll: true });
  }, []);
  const last = one.last_decision;
  const isRecent = now.value / 1_000 - one.updated_at < 600;
  return html`<article ref=${box} class="card card-settled" tabindex="-1" aria-label=${`${one.agent_id}, decided`}>
    <${StatePill} state=${one.state} />
    <b><a href=${href(agentPath(one.agent_id))}>${one.agent_id}</a></b>
    <span class="card-settled-words">${last ? (isOwn ? `You ${DECISIONS[last.decision]}.` : `${decided(last)}${last.reason ? `: “${last.reason}”` : ""}.`) : "Needs nobody any more."} <span class="muted">${isRecent ? progress(one) : say(DIAGNOSES, one.diagnosis)}</span></span>
    <a href=${href(casePath(one.case_id))}>Follow it</a>
    <${Button} kind="quiet" label=${`Remove ${one.agent_id} from the list`} onClick=${onDismiss}>✕<//>
  </article>`;
}

/** How a decided case goes on, in a few words. @param {Case} one */
function progress(one) {
  const action = one.state_details.action?.replaceAll("_", " ");
  switch (one.state) {
    case "heal_queued":
      return "A healer takes it next.";
    case "healing":
      return action ? `Now: ${action}.` : "A healer has it.";
    case "probation":
      return `Runs under watch after ${action ?? "the step"}.`;
    case "healed":
      return `Healed by ${action ?? "the step"}.`;
    case "released":
      return "Released as it is.";
    case "rejected":
      return isHeld(one) ? "Stays contained." : "Nothing is healed.";
    case "awaiting_approval":
      return departed(one).length ? "Waits again." : "Waits.";
  }
}
