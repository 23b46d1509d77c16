// The inbox: every case that waits for a person, with what is needed to decide.
import { html, useEffect, useRef, useState } from "../lib/html.js";
import { get } from "../lib/api.js";
import { casePath, go, href, queried, setQuery } from "../lib/route.js";
import { me } from "../lib/session.js";
import { useLoad } from "../lib/load.js";
import { cases } from "../lib/state.js";
import { Button, Chips, Empty, ErrorBox, Head, Loading, now } from "../lib/ui.js";
import { DIAGNOSES, say } from "../lib/words.js";
import { Card, Settled } from "../case/card.js";
import { KeysHelp, useKeys } from "../case/keys.js";
import { askLimits } from "../case/limits.js";
import { newest, remember } from "../case/seen.js";
import { Several } from "../case/several.js";
import { verbs } from "../case/story.js";

/** @typedef {import("../case/shapes").Case} Case */
/** @typedef {import("../case/shapes").Verb} Verb */

/** Cards that are drawn before somebody asks for more. */
const SHOWN = 30;
/** How long what others have decided stays in the list, milliseconds. */
const SETTLED_FOR = 120_000;

/** Where `case/decide.js` keeps which decision is being written. */
const DRAFT = "draft:verb:";
/** Unfinished decisions that are looked at when the page is loaded. */
const LOST_MAX = 20;

const TABS = { waiting: "awaiting_approval", rejected: "rejected" };

/** @type {Record<string, (a: Case, b: Case) => number>} */
const SORTS = {
  severity: (a, b) => b.severity - a.severity || a.opened_at - b.opened_at,
  oldest: (a, b) => a.opened_at - b.opened_at,
  newest: (a, b) => b.opened_at - a.opened_at,
  escalation: (a, b) => (a.state_details.escalates_at ?? Infinity) - (b.state_details.escalates_at ?? Infinity),
};

/** @type {Record<string, Verb>} */
const VERB_OF = { a: "approve", r: "reject", h: "heal_now", e: "release" };

/** What left the list while the person was here: when, and whether by their own word. @typedef {{ at: number, isOwn: boolean }} Left */

export default function Approvals() {
  const tab = queried("tab", "waiting") === "rejected" ? "rejected" : "waiting";
  const text = queried("q");
  const diagnosis = queried("diagnosis");
  const sort = queried("sort", "severity");
  const [shown, setShown] = useState(SHOWN);
  const [current, showCurrent] = useState(/** @type {string | null} */ (null));
  // Keys come faster than pages are drawn.
  const pointed = useRef(current);
  const setCurrent = (/** @type {string} */ id) => {
    pointed.current = id;
    showCurrent(id);
  };
  const [chosen, setChosen] = useState(/** @type {Set<string>} */ (new Set()));
  const [asked, setAsked] = useState(/** @type {{ id: string, verb: Verb, count: number } | null} */ (null));
  const [isHelp, setHelp] = useState(false);
  const [left, setLeft] = useState(/** @type {Map<string, Left>} */ (new Map()));
  const own = useRef(/** @type {Set<string>} */ (new Set()));
  const listed = useRef(/** @type {{ tab: string, ids: Set<string> }} */ ({ tab, ids: new Set() }));
  const search = useRef(/** @type {HTMLInputElement | null} */ (null));
  // Live events bring the open cases, too; this one says when there are none, and what is wrong.
  const load = useLoad(async (signal) => {
    const found = /** @type {Case[]} */ (await get("/api/cases", { open: true, limit: 1_000 }, signal));
    found.forEach(remember);
    return found;
  }, []);
  useEffect(() => void askLimits(), []);
  // What was being written before the page was loaded again, on cases that somebody else has decided meanwhile.
  useEffect(() => void findLost().then((lost) => lost.length > 0 && setLeft((before) => new Map([...before, ...lost.map((one) => /** @type {const} */ ([one.case_id, { at: Date.now(), isOwn: false }]))]))), []);

  /** @type {Map<string, Case>} */
  const known = new Map();
  for (const id of [...(load.value ?? []).map((one) => one.case_id), ...cases.value.keys()]) {
    const one = newest(id);
    if (one?.open) known.set(id, one);
  }
  const open = [...known.values()];
  const ofTab = open.filter((one) => one.state === TABS[tab]);
  const words = text.toLowerCase();
  const isWanted = (/** @type {Case} */ one) =>
    (!words || `${one.agent_id}\n${one.agent_type ?? ""}\n${one.diagnosis}\n${one.reasoning}\n${one.case_id}`.toLowerCase().includes(words)) && (!diagnosis || one.diagnosis === diagnosis);
  const listedNow = ofTab.filter(isWanted);

  // Cards that were here and have been decided stay as a line, where they were.
  if (listed.current.tab !== tab) {
    listed.current = { tab, ids: new Set() };
    if (left.size > 0) setLeft(new Map());
  }
  const here = new Set(listedNow.map((one) => one.case_id));
  const gone = [...listed.current.ids].filter((id) => !here.has(id) && newest(id)?.state !== TABS[tab]);
  listed.current.ids = here;
  useEffect(() => {
    if (gone.length === 0) return;
    setLeft((before) => {
      const next = new Map(before);
      for (const id of gone) next.set(id, { at: Date.now(), isOwn: own.current.has(id) });
      return next;
    });
    setChosen((before) => new Set([...before].filter((id) => !gone.includes(id))));
  });
  const isKept = (/** @type {string} */ id, /** @type {Left} */ one) => hasDraft(id) || now.value - one.at < SETTLED_FOR;
  const settled = [...left].flatMap(([id, one]) => {
    const known = newest(id);
    return known && !here.has(id) && isKept(id, one) ? [known] : [];
  });
  const rows = [...listedNow, ...settled].sort(SORTS[sort] ?? SORTS.severity);
  const visible = rows.slice(0, shown);
  const choosable = listedNow.filter((one) => verbs(one).length > 0);

  const decided = (/** @type {string} */ id) => void own.current.add(id);
  const choose = (/** @type {string} */ id, /** @type {boolean} */ isChosen) =>
    setChosen((before) => {
      const next = new Set(before);
      if (isChosen) next.add(id);
      else next.delete(id);
      return next;
    });
  const drop = (/** @type {string} */ id) =>
    setLeft((before) => {
      const next = new Map(before);
      next.delete(id);
      return next;
    });

  useKeys((key) => {
    const at = visible.findIndex((one) => one.case_id === pointed.current);
    const one = at >= 0 && here.has(visible[at]?.case_id ?? "") ? visible[at] : undefined;
    if (key === "?") return setHelp(true);
    if (key === "/") return search.current?.focus();
    if (key === "j" || key === "k") {
      const beyond = key === "j" ? visible.slice(at + 1) : visible.slice(0, Math.max(at, 0)).reverse();
      const next = beyond.find((one) => here.has(one.case_id));
      if (next) setCurrent(next.case_id);
      return;
    }
    if (!one) return;
    if (key === "x") return choose(one.case_id, !chosen.has(one.case_id));
    if (key === "o") return go(href(casePath(one.case_id)));
    const verb = VERB_OF[key];
    if (verb) setAsked((before) => ({ id: one.case_id, verb, count: (before?.count ?? 0) + 1 }));
  });

  const count = (/** @type {"waiting" | "rejected"} */ name) => open.filter((one) => one.state === TABS[name]).length;
  const diagnoses = [...new Set(ofTab.map((one) => one.diagnosis))].sort();
  return html`<div class="stack">
    <${Head} title="Approvals"><${Button} kind="quiet" onClick=${() => setHelp(true)}>Keys <kbd>?</kbd><//><//>
    ${isHelp && html`<${KeysHelp} onClose=${() => setHelp(false)} />`}
    <div class="tools">
      <${Chips} label="Which cases" value=${tab} onChange=${(/** @type {string} */ value) => setQuery({ tab: value === "waiting" ? null : value })}
        choices=${[{ value: "waiting", label: "Wait for a person", count: count("waiting") }, { value: "rejected", label: "Rejected", count: count("rejected") }]} />
      <label class="hidden" for="approvals-search">Search cases</label>
      <input ref=${search} id="approvals-search" class="search" type="search" placeholder="Search agent, type, diagnosis" value=${text} onInput=${(/** @type {any} */ event) => setQuery({ q: event.target.value || null })}
        onKeyDown=${(/** @type {KeyboardEvent} */ event) => event.key === "Escape" && search.current?.blur()} />
      <label class="select">Diagnosis <select onChange=${(/** @type {any} */ event) => setQuery({ diagnosis: event.target.value || null })}>
        <option value="" selected=${!diagnosis}>any</option>${[...new Set([...diagnoses, ...(diagnosis ? [diagnosis] : [])])].map((each) => html`<option key=${each} value=${each} selected=${each === diagnosis}>${say(DIAGNOSES, each)}</option>`)}
      </select></label>
      <label class="select">Sort by <select onChange=${(/** @type {any} */ event) => setQuery({ sort: event.target.value === "severity" ? null : event.target.value })}>
        ${[["severity", "severity"], ["oldest", "longest open"], ["newest", "newest"], ["escalation", "next to escalate"]].map(([value, label]) => html`<option key=${value} value=${value} selected=${value === sort}>${label}</option>`)}
      </select></label>
      ${choosable.length > 1 && html`<label class="select"><input type="checkbox" checked=${choosable.every((one) => chosen.has(one.case_id))} onChange=${(/** @type {any} */ event) => setChosen(event.target.checked ? new Set(choosable.map((one) => one.case_id)) : new Set())} />Select all ${choosable.length}</label>`}
    </div>
    <${Several} chosen=${choosable.filter((one) => chosen.has(one.case_id))} total=${choosable.length} onAll=${() => setChosen(new Set(choosable.map((one) => one.case_id)))} onNone=${() => setChosen(new Set())} onDecided=${decided} />
    ${load.error && html`<${ErrorBox} error=${load.error} onRetry=${load.reload} />`}
    ${visible.map((one) =>
      here.has(one.case_id) || hasDraft(one.case_id)
        ? html`<${Card} key=${one.case_id} one=${one} isCurrent=${current === one.case_id} isChosen=${chosen.has(one.case_id)} asked=${asked?.id === one.case_id ? asked : null}
            onChoose=${(/** @type {boolean} */ isChosen) => choose(one.case_id, isChosen)} onCurrent=${() => setCurrent(one.case_id)} onDecided=${decided} />`
        : html`<${Settled} key=${one.case_id} one=${one} isCurrent=${current === one.case_id} isOwn=${left.get(one.case_id)?.isOwn || one.last_decision?.by === me.value?.subject} onDismiss=${() => drop(one.case_id)} />`,
    )}
    ${rows.length > shown && html`<p class="more"><${Button} onClick=${() => setShown(shown + SHOWN)}>Show ${Math.min(SHOWN, rows.length - shown)} more of ${rows.length - shown}<//></p>`}
    ${rows.length === 0 && !load.error && (load.value === undefined ? html`<${Loading} what="Loading the cases that wait" />` : html`<${Nothing} tab=${tab} hasFilter=${ofTab.length > 0} />`)}
  </div>`;
}

/** Whether a decision on a case is being written. @param {string} id */
const hasDraft = (id) => sessionStorage.getItem(DRAFT + id) !== null;

/** Cases on which a decision was being written that does not apply any more. @returns {Promise<Case[]>} */
async function findLost() {
  const ids = Object.keys(sessionStorage).flatMap((key) => (key.startsWith(DRAFT) ? key.slice(DRAFT.length) : []));
  const found = await Promise.all(
    ids.slice(0, LOST_MAX).map(async (id) => {
      try {
        const one = /** @type {Case} */ (await get(`/api/cases/${encodeURIComponent(id)}`));
        remember(one);
        return verbs(one).includes(/** @type {Verb} */ (sessionStorage.getItem(DRAFT + id))) ? [] : [one];
      } catch {
        // Of another run, or too old to be kept.
        return [];
      }
    }),
  );
  return found.flat();
}

/** @param {{ tab: string, hasFilter: boolean }} props */
function Nothing({ tab, hasFilter }) {
  if (hasFilter) return html`<${Empty} title="No case matches"><button class="button" type="button" onClick=${() => setQuery({ q: null, diagnosis: null })}>Show all</button><//>`;
  if (tab === "rejected") return html`<${Empty} title="Nothing is rejected">An agent whose healing somebody rejects stays contained and is listed here, until somebody orders to heal it now or releases it.<//>`;
  return html`<${Empty} title="Nothing waits for a person">Severe cases appear here by themselves, as they are opened. <a href=${href("/cases")}>See what was healed without you</a>.<//>`;
}
