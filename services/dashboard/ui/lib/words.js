// What the system's words mean, in words for people.

/** @type {Record<string, string>} */
export const DIAGNOSES = {
  prompt_drift: "Prompt drift",
  prompt_injection: "Prompt injection",
  infinite_loop: "Endless loop",
  tool_instability: "Unstable tool",
  retry_storm: "Retry storm",
  memory_corruption: "Corrupted memory",
  latency_degradation: "Slow answers",
  token_explosion: "Token explosion",
  cost_overrun: "Cost overrun",
  silent_degradation: "Silent degradation",
  external_cause: "External cause",
  unknown: "Unknown cause",
};

/** @type {Record<string, string>} */
export const STATES = {
  awaiting_approval: "Waits for a person",
  rejected: "Healing rejected",
  heal_queued: "Healing is next",
  healing: "Healing",
  probation: "Under watch",
  healed: "Healed",
  released: "Released",
};

/** @type {Record<string, string>} */
export const PHASES = {
  not_wanted: "not contained",
  requested: "containment asked for",
  partial: "partly contained",
  confirmed: "contained",
  breached: "breached",
  probation: "runs under watch",
  releasing: "being released",
  released: "released",
};

/** @type {Record<string, string>} */
export const ACTIONS = {
  reset_memory: "Reset its memory",
  rollback_prompt: "Roll its prompt back",
  reduce_autonomy: "Reduce its autonomy",
  clone_agent: "Replace it with a clone",
  revoke_tools: "Revoke its tools",
  reset_agent: "Reset the agent",
};

/** @type {Record<string, string>} */
export const SIGNS = {
  latency_up: "latency (up)", latency_down: "latency (down)", tokens_up: "tokens (up)", tokens_down: "tokens (down)",
  tools_up: "tool calls (up)", tools_down: "tool calls (down)", failures: "failures", retries: "retries",
};

/** @type {Record<string, string>} */
export const METRICS = { latency: "Latency", tokens: "Tokens", tools: "Tool calls", retry_rate: "Retries" };

/** @type {Record<string, string>} */
export const DECISIONS = { approve: "approved healing", reject: "rejected healing", heal_now: "ordered healing now", release: "released the agent" };

/** @param {Record<string, string>} table @param {string | null | undefined} word */
export const say = (table, word) => (word == null ? "–" : (table[word] ?? word.replaceAll("_", " ")));

/** How bad a severity is; 7.0 is where a person decides by default. @param {number} severity */
export function grade(severity) {
  if (severity >= 9) return "critical";
  if (severity >= 7) return "severe";
  if (severity >= 4) return "moderate";
  return severity > 0 ? "mild" : "none";
}

/** The one word for an agent, and its mark: shape and colour both say it. @param {import("./state.js").Agent} agent */
export function condition(agent) {
  if (agent.case_state === "awaiting_approval") return "waiting";
  if (agent.case_state === "heal_queued" || agent.case_state === "healing" || agent.case_state === "probation") return "healing";
  if (agent.status === "quarantined") return "quarantined";
  if (agent.status === "infected") return "infected";
  // Nobody knows how it is.
  if (agent.telemetry === "silent" || agent.telemetry === "gone") return agent.telemetry;
  if (agent.suspect) return "suspect";
  return agent.baseline.state === "learning" ? "learning" : "healthy";
}

/** @type {Record<string, { label: string, mark: string }>} */
export const CONDITIONS = {
  waiting: { label: "Waits for a person", mark: "?" },
  quarantined: { label: "Quarantined", mark: "■" },
  infected: { label: "Infected", mark: "▲" },
  healing: { label: "Being healed", mark: "✚" },
  silent: { label: "No telemetry", mark: "⊘" },
  suspect: { label: "Suspect", mark: "△" },
  learning: { label: "Learning", mark: "…" },
  gone: { label: "Gone", mark: "○" },
  healthy: { label: "Healthy", mark: "●" },
};
