// A person's decision: buttons, then what it leads to, a reason, and the word itself. What is typed stays until the
// server has it, whatever happens in between: a reload, a login, or somebody who was faster.
import { html, signal, useEffect, useRef, useState } from "../lib/html.js";
import { Problem, get, post } from "../lib/api.js";
import { useDraft } from "../lib/draft.js";
import { time } from "../lib/format.js";
import { may, me } from "../lib/session.js";
import { Button, Copy, Field } from "../lib/ui.js";
import { STATES, say } from "../lib/words.js";
import { remember } from "./seen.js";
import { VERBS, changes, consequences, decided, gist, isSameWish, verbs } from "./story.js";

/** @typedef {import("./shapes").Case} Case */
/** @typedef {import("./shapes").WholeCase} WholeCase */
/** @typedef {import("./shapes").Verb} Verb */

/** The longest reason, characters; the server counts bytes and takes more. */
export const REASON_MAX = 2_000;

/**
 * Cases on which this page has sent a word: the event that tells of it may come before the answer, and the case may be
 * drawn elsewhere meanwhile. One's own word is not somebody else's who was faster.
 */
const sent = signal(/** @type {ReadonlySet<string>} */ (new Set()));

/** @param {string} id @param {boolean} isSent */
function mark(id, isSent) {
  const next = new Set(sent.value);
  if (isSent) next.add(id);
  else next.delete(id);
  sent.value = next;
}

/** Words of refusals that mean: the case is not what you saw. */
const STALE = ["version_changed", "case_already_decided", "case_closed", "wrong_state"];

/** @param {any} error @param {string[]} words */
export const isOneOf = (error, words) => error instanceof Problem && words.some((word) => error.code.endsWith(`.${word}`));

/** How often a decision is sent again when the case has changed in nothing that matters to it. */
const TRIES_MAX = 4;

/**
 * Sends a decision on what the person saw. A case also changes when a lever answers once more: as long as nothing has
 * changed that a person decides on, the decision is sent again for the case as it is now.
 * @param {Case} one
 * @param {Verb} verb
 * @param {string} reason
 * @returns {Promise<WholeCase>}
 */
export async function send(one, verb, reason) {
  const path = `/api/cases/${encodeURIComponent(one.case_id)}`;
  let version = one.version;
  for (let tries = 1; ; tries += 1) {
    try {
      return await post(`${path}/${VERBS[verb].path}`, { reason: reason.trim(), expected_version: version });
    } catch (error) {
      if (tries === TRIES_MAX || !isOneOf(error, ["version_changed"])) throw error;
      const now = /** @type {WholeCase} */ (await get(path));
      if (gist(now) !== gist(one)) {
        remember(now);
        throw error;
      }
      version = now.version;
    }
  }
}

/** Why somebody may not decide, or null. @param {Case} one */
export function hindrance(one) {
  if (!may("operator")) return "You may look but not decide: that takes the role operator.";
  const first = one.first_approval;
  return first && first.by === me.value?.subject ? "You have said the first of two words; somebody else has to say the second." : null;
}

/** What was sent and what came of it, until it is dismissed. @typedef {{ kind: "done" | "lost" | "changed" | "error", text: string }} Outcome */

/**
 * @param {{ one: Case, plan?: import("./shapes").Plan | null, asked?: { verb: Verb, count: number } | null, onDecided?: (whole: WholeCase, verb: Verb) => void, onStale?: () => void }} props
 *   `asked`: a verb that the keyboard asks for; the count grows with each press
 */
export function Decide({ one, plan, asked, onDecided, onStale }) {
  const [verbText, setVerbText, forgetVerb] = useDraft(`verb:${one.case_id}`);
  const [reason, setReason, forgetReason] = useDraft(`reason:${one.case_id}`);
  const [isBusy, setBusy] = useState(false);
  const [outcome, setOutcome] = useState(/** @type {Outcome | null} */ (null));
  const opened = useRef(/** @type {Case | null} */ (null));
  const field = useRef(/** @type {HTMLTextAreaElement | null} */ (null));
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const possible = verbs(one);
  const verb = /** @type {Verb} */ (verbText) || null;
  const isPossible = verb !== null && possible.includes(verb);
  const self = me.value?.subject ?? "";
  const why = hindrance(one);

  const open = (/** @type {Verb} */ next) => {
    opened.current = one;
    mark(one.case_id, false);
    setOutcome(null);
    setVerbText(next);
    requestAnimationFrame(() => field.current?.focus());
  };
  const close = () => {
    opened.current = null;
    forgetVerb();
    // Who works by keyboard goes on where they were.
    const own = /** @type {HTMLElement | null | undefined} */ (box.current?.closest('[tabindex="-1"]'));
    requestAnimationFrame(() => document.activeElement === document.body && own?.isConnected && own.focus({ preventScroll: true }));
  };
  const forget = () => {
    close();
    forgetReason();
    setOutcome(null);
  };
  useEffect(() => {
    if (asked && possible.includes(asked.verb) && !isBlocked(asked.verb, one, why)) open(asked.verb);
  }, [asked?.count]);
  if (verb !== null && opened.current === null) opened.current = one;

  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (verb === null || isBusy) return;
    if (verb === "release" && reason.trim() === "") {
      setOutcome({ kind: "error", text: "Say why it is released: the action log keeps the reason." });
      field.current?.focus();
      return;
    }
    setBusy(true);
    setOutcome(null);
    mark(one.case_id, true);
    try {
      const whole = await send(one, verb, reason);
      forget();
      remember(whole);
      onDecided?.(whole, verb);
    } catch (error) {
      mark(one.case_id, false);
      const isStale = isOneOf(error, STALE);
      const text = error instanceof Problem ? error.detail : String(error);
      setOutcome(isStale ? { kind: "changed", text: `${text} Your text is kept.` } : { kind: "error", text: `${text} Your text is kept.` });
      if (isStale) onStale?.();
    } finally {
      setBusy(false);
    }
  };

  // Somebody was faster, or the case went on, while a decision was being written.
  const isOwn = sent.value.has(one.case_id);
  useEffect(() => void (isOwn && verb !== null && !isPossible && !isBusy && forget()), [isOwn, verb, isPossible, isBusy]);
  if (verb !== null && !isPossible && !isBusy && isOwn) return null;
  if (verb !== null && !isPossible && !isBusy) return html`<${Lost} one=${one} verb=${verb} reason=${reason} onDismiss=${forget} />`;
  if (possible.length === 0) return null;
  if (verb === null) {
    return html`<div ref=${box} class="decide">
      <div class="row">${possible.map((each, i) => html`<${Button} key=${each} kind=${i === 0 && each !== "release" ? "primary" : "plain"} disabled=${isBlocked(each, one, why)} onClick=${() => open(each)}>${buttonLabel(each, one)}<//>`)}</div>
      ${why && html`<p class="hint">${why}</p>`}
      ${reason && html`<p class="hint">Kept from before: <q>${reason}</q> <${Button} kind="quiet" onClick=${forgetReason}>Discard<//></p>`}
    </div>`;
  }
  const since = opened.current ? changes(opened.current, one) : [];
  const keys = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      close();
    } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) void submit(event);
  };
  return html`<form ref=${box} class=${`decide decide-open decide-${verb}`} onSubmit=${submit} onKeyDown=${keys} aria-label=${`${VERBS[verb].label}: ${one.agent_id}`}>
    <p><b>${VERBS[verb].label}: what will happen</b></p>
    <ul class="plain-list">${consequences(verb, one, plan, self).map((line) => html`<li key=${line}>${line}</li>`)}</ul>
    ${since.length > 0 && html`<p class="banner banner-warn" role="status"><b>Changed since you began:</b> ${since.join("; ")}.</p>`}
    <${Field} label=${verb === "release" ? "Reason (required)" : "Reason"} hint="Kept in the action log with your name. Ctrl+Enter sends, Escape goes back and keeps the text.">
      ${(/** @type {string} */ id, /** @type {string} */ describedBy) => html`<textarea ref=${field} id=${id} aria-describedby=${describedBy} maxlength=${REASON_MAX} value=${reason} required=${verb === "release"} aria-invalid=${outcome?.kind === "error" && verb === "release" && reason.trim() === ""} onInput=${(/** @type {any} */ event) => setReason(event.target.value)}></textarea>`}
    <//>
    ${outcome && html`<p class=${`banner ${outcome.kind === "changed" ? "banner-warn" : "banner-error"}`} role="alert">${outcome.text}</p>`}
    <div class="row">
      <${Button} type="submit" kind=${verb === "release" || verb === "reject" ? "danger" : "primary"} busy=${isBusy} disabled=${why !== null && verb !== "reject"}>${isBusy ? `${VERBS[verb].doing} …` : buttonLabel(verb, one)}<//>
      <${Button} onClick=${close}>Back<//>
    </div>
  </form>`;
}

/** Whether a person may not press a button. @param {Verb} verb @param {Case} one @param {string | null} why */
function isBlocked(verb, one, why) {
  if (!may("operator")) return true;
  const first = one.first_approval;
  return why !== null && first !== null && isSameWish(first.decision, verb);
}

/** @param {Verb} verb @param {Case} one */
function buttonLabel(verb, one) {
  const first = one.first_approval;
  const completes = first && first.by !== me.value?.subject && isSameWish(first.decision, verb);
  return completes ? `${VERBS[verb].label} as the second person` : VERBS[verb].label;
}

/** Somebody else was faster: who, when and why, and the text that was not sent. @param {{ one: Case, verb: Verb, reason: string, onDismiss: () => void }} props */
function Lost({ one, verb, reason, onDismiss }) {
  const last = one.last_decision;
  return html`<div class="decide decide-lost" role="alert">
    <p><b>${last ? `${decided(last)}, before you.` : `The case went on without a decision at ${time(one.updated_at)}.`}</b> It is now: ${say(STATES, one.state).toLowerCase()}.</p>
    ${last?.reason && html`<p>Their reason: <q>${last.reason}</q></p>`}
    <p>Your word (${VERBS[verb].label.toLowerCase()}) was not sent.${reason ? " What you had typed:" : ""}</p>
    ${reason && html`<p class="kept"><${Copy} text=${reason} label="Copy what you had typed" /></p>`}
    <div><${Button} onClick=${onDismiss}>${reason ? "Discard my text" : "Close"}<//></div>
  </div>`;
}
