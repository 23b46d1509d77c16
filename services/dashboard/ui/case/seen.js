// The newest that is known of each case, ended ones included: a card of a case that somebody else has just decided can
// say who. Also loads cases in full, again when they have changed.
import { signal, useEffect, useRef } from "../lib/html.js";
import { get } from "../lib/api.js";
import { onEvent } from "../lib/live.js";
import { useLoad } from "../lib/load.js";
import { cases } from "../lib/state.js";

/** @typedef {import("./shapes").Case} Case */

/** The most that are remembered. */
const CASES_MAX = 2_000;

/** By id. @type {import("@preact/signals").Signal<Map<string, Case>>} */
export const seen = signal(new Map());

/** Keeps what is newer than what was known. @param {Case} one */
export function remember(one) {
  const known = seen.peek().get(one.case_id);
  if (known && known.version >= one.version) return;
  const next = new Map(seen.peek());
  next.delete(one.case_id);
  next.set(one.case_id, one);
  for (const id of next.keys()) {
    if (next.size <= CASES_MAX) break;
    next.delete(id);
  }
  seen.value = next;
}

onEvent((_name, data) => {
  if (data?.case) remember(data.case);
});

/** The newest that is known of a case. @param {string} id @returns {Case | undefined} */
export function newest(id) {
  const [open, remembered] = [cases.value.get(id), seen.value.get(id)];
  return (open?.version ?? -1) >= (remembered?.version ?? -1) ? (open ?? remembered) : remembered;
}

/**
 * A case in full, loaded again when live events tell of a newer version; what they tell is merged in at once.
 * @param {string} id
 * @param {boolean} [isWanted] whether it is worth asking for yet
 */
export function useWhole(id, isWanted = true) {
  const load = useLoad(
    async (signal) => {
      if (!isWanted) return undefined;
      const whole = /** @type {import("./shapes").WholeCase} */ (await get(`/api/cases/${encodeURIComponent(id)}`, undefined, signal));
      remember(/** @type {Case} */ (whole));
      return whole;
    },
    [id, isWanted],
  );
  const live = newest(id);
  const asked = useRef(0);
  const version = live?.version ?? 0;
  useEffect(() => {
    if (!isWanted || load.isLoading || !load.value || version <= load.value.version || asked.current >= version) return;
    asked.current = version;
    load.reload();
  }, [version, load.isLoading, load.value, isWanted]);
  const value = load.value && live && live.version > load.value.version ? { ...load.value, ...live, ...keep(load.value) } : load.value;
  return { ...load, value, live: live ?? load.value };
}

/** What only the full answer has. @param {import("./shapes").WholeCase} whole */
function keep(whole) {
  const { timeline, hypotheses, ruled_out, evidence, window, plan, expires_at, next, affected, probation } = whole;
  return { timeline, hypotheses, ruled_out, evidence, window, plan, expires_at, next, affected, probation };
}
