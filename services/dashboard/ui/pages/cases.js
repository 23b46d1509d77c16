// All cases of the run, open and past.
import { html, useEffect, useState } from "../lib/html.js";
import { call } from "../lib/api.js";
import { span } from "../lib/format.js";
import { useLoad } from "../lib/load.js";
import { agentPath, casePath, href, queried, setQuery } from "../lib/route.js";
import { cases } from "../lib/state.js";
import { Button, Chips, Empty, Head, Loaded, Severity, When, now, toast } from "../lib/ui.js";
import { DIAGNOSES, PHASES, STATES, say } from "../lib/words.js";
import { StatePill } from "../case/parts.js";
import { newest, remember, seen } from "../case/seen.js";
import { actionName, capital } from "../case/story.js";

/** @typedef {import("../case/shapes").Case} Case */

/** Cases on a page. */
const PAGE = 50;
/** Wait before the list is asked for again when there are cases that it does not know, milliseconds. */
const AGAIN_AFTER = 1_000;

/** How a case ended, or what is under way. @param {Case} one */
function outcome(one) {
  const action = one.state_details.action;
  switch (one.state) {
    case "healed":
      return action ? actionName(action) : "–";
    case "released":
      return one.state_details.by ? `by ${one.state_details.by}` : "–";
    case "rejected":
      return one.state_details.by ? `by ${one.state_details.by}` : "–";
    case "healing":
    case "probation":
      return action ? actionName(action) : "–";
    case "awaiting_approval":
    case "heal_queued":
      return capital(say(PHASES, one.quarantine.phase));
  }
}

export default function Cases() {
  const only = queried("only", "all");
  const states = queried("state");
  const agent = queried("agent");
  const [more, setMore] = useState(/** @type {{ key: string, cases: Case[], next: string | null } | null} */ (null));
  const [isBusy, setBusy] = useState(false);
  const query = { open: only === "all" ? null : only === "open", state: states || null, agent_id: agent || null, limit: PAGE };
  const key = JSON.stringify(query);
  const fetchPage = async (/** @type {string | null} */ before, /** @type {AbortSignal | undefined} */ signal) => {
    const { value, headers } = await call("GET", "/api/cases", { query: { ...query, before }, signal });
    value.forEach(remember);
    return { cases: /** @type {Case[]} */ (value), next: headers.get("x-next-before") };
  };
  const load = useLoad((signal) => fetchPage(null, signal), [key]);
  const listed = [...(load.value?.cases ?? []), ...(more?.key === key ? more.cases : [])];

  // What was opened since is on top, as soon as it is known.
  const first = listed[0];
  const isNewer = [...cases.value.values(), ...seen.value.values()].some((one) => (!first || one.opened_at > first.opened_at) && !listed.some((known) => known.case_id === one.case_id) && (!agent || one.agent_id === agent) && only !== "closed" && !states);
  useEffect(() => {
    if (!isNewer || load.isLoading) return;
    const timer = setTimeout(load.reload, AGAIN_AFTER);
    return () => clearTimeout(timer);
  }, [isNewer, load.isLoading]);

  const unique = [...new Map(listed.map((one) => [one.case_id, newest(one.case_id) ?? one])).values()];
  const fits = (/** @type {Case} */ one) => (only === "all" || one.open === (only === "open")) && (!states || states.split(",").includes(one.state));
  const rows = unique.filter(fits);
  const next = more?.key === key ? more.next : (load.value?.next ?? null);
  const showMore = async () => {
    setBusy(true);
    try {
      const page = await fetchPage(next, undefined);
      setMore({ key, cases: [...(more?.key === key ? more.cases : []), ...page.cases], next: page.next });
    } catch (error) {
      toast(/** @type {any} */ (error).detail ?? String(error), "error");
    }
    setBusy(false);
  };
  const submit = (/** @type {any} */ event) => {
    event.preventDefault();
    setQuery({ agent: new FormData(event.target).get("agent")?.toString().trim() || null });
  };
  return html`<div class="stack">
    <${Head} title="Cases" />
    <div class="tools">
      <${Chips} label="Which cases" value=${only} onChange=${(/** @type {string} */ value) => setQuery({ only: value === "all" ? null : value, state: null })}
        choices=${[{ value: "all", label: "All" }, { value: "open", label: "Open", count: cases.value.size }, { value: "closed", label: "Past" }]} />
      <label class="select">State <select onChange=${(/** @type {any} */ event) => setQuery({ state: event.target.value || null })}>
        <option value="" selected=${!states}>any</option>${Object.entries(STATES).map(([word, label]) => html`<option key=${word} value=${word} selected=${word === states}>${label}</option>`)}
      </select></label>
      <form class="row" onSubmit=${submit} role="search"><label class="hidden" for="cases-agent">Only of this agent</label><input id="cases-agent" name="agent" class="search" type="search" placeholder="Only of this agent (whole id)" defaultValue=${agent} key=${agent} /><${Button} type="submit">Show<//></form>
    </div>
    <${Loaded} load=${load} what="Loading the cases">
      ${() => (rows.length === 0 ? html`<${NoCases} hasFilter=${only !== "all" || !!states || !!agent} />` : html`<${Table} rows=${rows} />`)}
    <//>
    ${next && html`<p class="more"><${Button} onClick=${showMore} busy=${isBusy}>${isBusy ? "Loading …" : "Show older ones"}<//></p>`}
  </div>`;
}

/** @param {{ rows: Case[] }} props */
const Table = ({ rows }) => html`<div class="table-box" tabindex="0" role="region" aria-label="Cases"><table class="cases">
  <thead><tr><th scope="col">State</th><th scope="col">Agent</th><th scope="col">Severity</th><th scope="col">Diagnosis</th><th scope="col" class="wide-only">What was done</th><th scope="col">Opened</th><th scope="col" class="number wide-only">Lasted</th></tr></thead>
  <tbody>${rows.map((one) => html`<tr key=${one.case_id}>
    <td><a class="plain" href=${href(casePath(one.case_id))} aria-label=${`Case of ${one.agent_id}: ${say(STATES, one.state)}`}><${StatePill} state=${one.state} /></a></td>
    <td><a href=${href(agentPath(one.agent_id))}>${one.agent_id}</a></td>
    <td><${Severity} value=${one.severity} isShort=${true} /></td>
    <td><a href=${href(casePath(one.case_id))}>${say(DIAGNOSES, one.diagnosis)}</a></td>
    <td class="wide-only">${outcome(one)}</td>
    <td class="when"><${When} at=${one.opened_at} /></td>
    <td class="number wide-only">${span((one.open ? now.value / 1_000 : one.updated_at) - one.opened_at)}</td>
  </tr>`)}</tbody>
</table></div>`;

/** @param {{ hasFilter: boolean }} props */
const NoCases = ({ hasFilter }) =>
  hasFilter
    ? html`<${Empty} title="No case matches"><button class="button" type="button" onClick=${() => setQuery({ only: null, state: null, agent: null })}>Show all</button><//>`
    : html`<${Empty} title="No agent has fallen ill">A case is opened when an agent departs from its baseline, or when your platform reports one as infected.<//>`;
