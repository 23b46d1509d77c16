// Which agents are listed and in which order: pure, and quick enough to be done anew several times a second for 10,000.
import { condition } from "../lib/words.js";

/** @typedef {import("../lib/state.js").Agent} Agent */
/** @typedef {{ agent: Agent, condition: string, rank: number }} Entry */

/** Conditions, the most urgent first. */
export const ORDER = ["waiting", "infected", "quarantined", "healing", "silent", "suspect", "learning", "gone", "healthy"];
const RANKS = new Map(ORDER.map((word, rank) => [word, rank]));

/** @param {string} a @param {string} b */
const byText = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
/** Unknown values come last. @param {number | null | undefined} a @param {number | null | undefined} b */
const downwards = (a, b) => (b ?? -1) - (a ?? -1);

/**
 * By the word in the address; each says the order in which a person expects it at first, and whether live events keep
 * its values up to date (they tell of changes of condition, not of every execution).
 * @type {Record<string, { compare: (a: Entry, b: Entry) => number, natural: "ascending" | "descending", isLive: boolean }>}
 */
export const SORTS = {
  urgency: { compare: (a, b) => a.rank - b.rank || b.agent.severity - a.agent.severity, natural: "descending", isLive: true },
  agent: { compare: () => 0, natural: "ascending", isLive: true },
  severity: { compare: (a, b) => b.agent.severity - a.agent.severity, natural: "descending", isLive: true },
  latency: { compare: (a, b) => downwards(a.agent.latest?.latency, b.agent.latest?.latency), natural: "descending", isLive: false },
  tokens: { compare: (a, b) => downwards(a.agent.latest?.tokens, b.agent.latest?.tokens), natural: "descending", isLive: false },
  seen: { compare: (a, b) => downwards(a.agent.last_seen_at, b.agent.last_seen_at), natural: "descending", isLive: false },
};

/** What the address says of the order: `severity`, or `-severity` for the other way round. @param {string} word */
export function sortOf(word) {
  const isReversed = word.startsWith("-");
  const name = isReversed ? word.slice(1) : word;
  return SORTS[name] ? { name, isReversed } : { name: "urgency", isReversed: false };
}

/**
 * @param {Iterable<Agent>} agents
 * @param {{ only: string, text: string, sort: string }} wanted a condition or `all`; text to be found; see `sortOf`
 * @returns {{ shown: Agent[], counts: Record<string, number> }} counts of all agents by condition
 */
export function select(agents, { only, text, sort }) {
  /** @type {Record<string, number>} */
  const counts = { all: 0 };
  /** @type {Entry[]} */
  const entries = [];
  const words = text.trim().toLowerCase();
  for (const agent of agents) {
    const word = condition(agent);
    counts.all = (counts.all ?? 0) + 1;
    counts[word] = (counts[word] ?? 0) + 1;
    if (only !== "all" && word !== only) continue;
    if (words && !`${agent.id}\n${agent.type}\n${agent.model ?? ""}\n${agent.diagnosis ?? ""}`.toLowerCase().includes(words)) continue;
    entries.push({ agent, condition: word, rank: RANKS.get(word) ?? ORDER.length });
  }
  const { name, isReversed } = sortOf(sort);
  const { compare } = /** @type {typeof SORTS[string]} */ (SORTS[name]);
  const sign = isReversed ? -1 : 1;
  entries.sort((a, b) => sign * (compare(a, b) || byText(a.agent.id, b.agent.id)));
  return { shown: entries.map((entry) => entry.agent), counts };
}
