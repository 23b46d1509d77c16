// What all pages share: the fleet, the open cases, whether the guard sees. Filled once, then kept up to date by live
// events.
import { batch, computed, signal } from "@preact/signals";
import { Problem, get } from "./api.js";
import { connect, onEvent, onResync } from "./live.js";
import { me } from "./session.js";

/**
 * @typedef {{ id: string, type: string, model: string | null, status: "healthy" | "infected" | "quarantined",
 *   telemetry: "live" | "silent" | "gone" | null, silent_seconds?: number, suspect: boolean, severity: number, diagnosis: string | null, case_id: string | null, case_state: string | null,
 *   phase: string | null, executions: number, baseline: { state: string, samples: number, samples_min: number,
 *     version?: { epoch: number, since: number, changed: string[] } },
 *   last_seen_at: number | null, latest: { latency: number, tokens: number | null, tools: number | null } | null }} Agent
 * @typedef {{ is_blind: boolean, silent_seconds: number | null, cause: string | null, why: string | null }} Blind
 */

/** Agents by id. The map changes in place; the signal is a new object each time. */
export const fleet = signal(/** @type {{ agents: Map<string, Agent>, truncated: boolean, isLoaded: boolean }} */ ({ agents: new Map(), truncated: false, isLoaded: false }));
/** Why the fleet cannot be shown. */
export const fleetProblem = signal(/** @type {Problem | null} */ (null));
/** Open cases by id, as in `/api/cases`. */
export const cases = signal(/** @type {Map<string, any>} */ (new Map()));
/** @type {import("@preact/signals").Signal<Blind | null>} */
export const blind = signal(null);

/** Cases that wait for a person, the most severe first. */
export const waiting = computed(() =>
  [...cases.value.values()].filter((one) => one.state === "awaiting_approval").sort((a, b) => b.severity - a.severity),
);

/** What was heard of agents while the fleet was being loaded: it may be newer than the answer. @type {Map<string, Agent>} */
const heard = new Map();
/** @type {Promise<void> | null} */
let loading = null;
let isWantedAgain = false;

let isNeeded = false;

/** Has the fleet loaded and kept up to date from now on; pages that show no fleet do without. */
export function needFleet() {
  if (isNeeded) return;
  isNeeded = true;
  void loadFleet();
}

/** Asks for the whole fleet; whoever wants it while it is being loaded gets the next one. */
export function loadFleet() {
  isWantedAgain = loading !== null;
  loading ??= loadOnce().finally(() => {
    loading = null;
    if (isWantedAgain) void loadFleet();
  });
  return loading;
}

async function loadOnce() {
  heard.clear();
  try {
    const document = await get("/api/fleet");
    const agents = new Map();
    for (const agent of document.agents) agents.set(agent.id, agent);
    for (const [id, agent] of heard) agents.set(id, agent);
    batch(() => {
      fleet.value = { agents, truncated: document.truncated === true, isLoaded: true };
      fleetProblem.value = null;
    });
  } catch (error) {
    if (error instanceof Problem) fleetProblem.value = error;
    else throw error;
  }
}

async function loadBlindness() {
  try {
    blind.value = (await get("/api/system")).blind;
  } catch {
    // The connection's state says that the server is away.
  }
}

/** @param {string} name @param {any} data */
function apply(name, data) {
  if (name === "agents") {
    const { agents } = fleet.peek();
    for (const agent of data.agents ?? data) {
      agents.set(agent.id, agent);
      if (loading) heard.set(agent.id, agent);
    }
    fleet.value = { ...fleet.peek(), agents };
  } else if (name === "system") {
    blind.value = data.blind ?? data;
  } else if (name === "reset") {
    if (data.what === "cases") cases.value = new Map();
    else if (isNeeded) void loadFleet();
  } else if (data.case) {
    const known = cases.peek().get(data.case.case_id);
    if (known && known.version > data.case.version) return;
    const next = new Map(cases.peek());
    if (data.case.open) next.set(data.case.case_id, data.case);
    else next.delete(data.case.case_id);
    cases.value = next;
  }
}

/** Asks who is there and begins to listen. Returns whether somebody is logged in. */
export async function start() {
  try {
    me.value = await get("/api/me");
  } catch (error) {
    if (error instanceof Problem && error.status === 401) return false;
    throw error;
  }
  onEvent(apply);
  onResync(() => {
    if (isNeeded) void loadFleet();
    void loadBlindness();
  });
  connect();
  void loadBlindness();
  return true;
}
