// The latest latencies of the agents in view, asked for again while they are in view.
import { useEffect, useRef, useState } from "../lib/html.js";
import { get } from "../lib/api.js";

/** Time between two looks, milliseconds. */
const EVERY = 1_500;
/** Wait after other rows came into view, milliseconds: who scrolls on would ask in vain. */
const SETTLE = 120;
/** Agents that may be asked for at once. */
const AGENTS_MAX = 100;

/** @typedef {{ latency: [number, number][], band: [number, number] | null }} SparkData */

/**
 * @returns {[Record<string, SparkData>, (ids: string[]) => void]} what is known by agent, and how to say which are in view
 */
export function useSparks() {
  const wanted = useRef(/** @type {string[]} */ ([]));
  const soon = useRef(() => {});
  const [sparks, setSparks] = useState(/** @type {Record<string, SparkData>} */ ({}));
  useEffect(() => {
    const abort = new AbortController();
    let timer = 0;
    let isAsking = false;
    const look = async () => {
      const agents = wanted.current.slice(0, AGENTS_MAX);
      if (agents.length && !document.hidden) {
        isAsking = true;
        try {
          const found = await get("/api/sparks", { agents }, abort.signal);
          if (!abort.signal.aborted) setSparks(found);
        } catch {
          // The connection's banner says why; the next look tries again.
        }
        isAsking = false;
      }
      if (!abort.signal.aborted) timer = window.setTimeout(look, EVERY);
    };
    soon.current = () => {
      if (isAsking) return;
      clearTimeout(timer);
      timer = window.setTimeout(look, SETTLE);
    };
    soon.current();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, []);
  const see = (/** @type {string[]} */ ids) => {
    wanted.current = ids;
    soon.current();
  };
  return [sparks, see];
}
