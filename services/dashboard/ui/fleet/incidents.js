// Many agents that depart at once: what they share is sick, and not they.
import { html, useEffect, useState } from "../lib/html.js";
import { get } from "../lib/api.js";
import { count } from "../lib/format.js";
import { When } from "../lib/ui.js";
import { SIGNS, say } from "../lib/words.js";

/** Time between two looks, milliseconds. */
const EVERY = 3_000;

/**
 * @typedef {{ id: string, what: string[], shared: "run" | "model" | "tool", name: string | null, departing: number,
 *   active: number, share: number, opened_at: number, closed_at: number | null, held_back: number, diagnosis: string,
 *   because: string }} Incident
 */

/** The open fleet incidents of the run, asked for again and again. @returns {Incident[]} */
function useIncidents() {
  const [incidents, setIncidents] = useState(/** @type {Incident[]} */ ([]));
  useEffect(() => {
    const abort = new AbortController();
    let timer = 0;
    const look = async () => {
      if (!document.hidden) {
        try {
          /** @type {Incident[]} */
          const found = await get("/api/incidents", {}, abort.signal);
          if (!abort.signal.aborted) setIncidents(found.filter((one) => one.closed_at === null));
        } catch {
          // The connection's banner says why; the next look tries again.
        }
      }
      if (!abort.signal.aborted) timer = window.setTimeout(look, EVERY);
    };
    void look();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, []);
  return incidents;
}

/** What the agents of an incident have in common. @param {Incident} one */
const whose = (one) => (one.shared === "run" ? "agents of this run" : one.shared === "model" ? `agents of model ${one.name}` : `agents with tool ${one.name}`);

/** A line for each open incident; nothing where there is none. */
export function Incidents() {
  const incidents = useIncidents();
  return html`${incidents.map(
    (one) => html`<p key=${one.id} class="banner banner-warn" role="status"><b>Fleet incident:</b> ${count(one.departing)} of ${count(one.active)} ${whose(one)} depart in
      ${" "}${one.what.map((word) => say(SIGNS, word)).join(", ")}: ${Math.round(100 * one.share)} %, since <${When} at=${one.opened_at} isExact />. The cause is likely what they share; no agent is quarantined for it${one.held_back ? ` (${count(one.held_back)} held back)` : ""}.</p>`,
  )}`;
}
