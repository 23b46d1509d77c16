// How many executions a second the whole server reads, from how its count grows.
import { useEffect, useState } from "../lib/html.js";
import { get } from "../lib/api.js";

/** Time between two looks, milliseconds; the second comes sooner, so that there is something to show. */
const EVERY = 5_000;
const SECOND_AFTER = 1_500;

/** @returns {number | null} executions per second; null before there are two looks, and while nobody counts */
export function useRate() {
  const [rate, setRate] = useState(/** @type {number | null} */ (null));
  useEffect(() => {
    const abort = new AbortController();
    /** @type {{ at: number, executions: number } | null} */
    let before = null;
    let timer = 0;
    let looks = 0;
    const look = async () => {
      if (!document.hidden) {
        try {
          const { ingestion } = await get("/api/system", {}, abort.signal);
          const now = ingestion && { at: performance.now(), executions: ingestion.executions };
          // A count that has become less began anew with its process.
          if (now && before && now.executions >= before.executions) setRate((1_000 * (now.executions - before.executions)) / (now.at - before.at));
          else setRate(null);
          before = now;
        } catch {
          before = null;
          if (!abort.signal.aborted) setRate(null);
        }
      }
      if (!abort.signal.aborted) timer = window.setTimeout(look, looks++ ? EVERY : SECOND_AFTER);
    };
    void look();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, []);
  return rate;
}
