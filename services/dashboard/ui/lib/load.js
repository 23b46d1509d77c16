// Loading what a page shows.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { onResync } from "./live.js";

/**
 * Loads a value, again whenever `deps` change or events were missed. What was loaded stays while it is loaded again.
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} load
 * @param {any[]} deps
 * @returns {{ value: T | undefined, error: any, isLoading: boolean, reload: () => void, set: (value: T) => void }}
 */
export function useLoad(load, deps) {
  const [state, setState] = useState(/** @type {{ value: T | undefined, error: any, isLoading: boolean }} */ ({ value: undefined, error: null, isLoading: true }));
  const [round, setRound] = useState(0);
  const key = useRef("");
  const reload = useCallback(() => setRound((round) => round + 1), []);
  useEffect(() => {
    const abort = new AbortController();
    const isOther = key.current !== JSON.stringify(deps);
    key.current = JSON.stringify(deps);
    setState((old) => ({ value: isOther ? undefined : old.value, error: null, isLoading: true }));
    load(abort.signal).then(
      (value) => abort.signal.aborted || setState({ value, error: null, isLoading: false }),
      (error) => abort.signal.aborted || setState((old) => ({ ...old, error, isLoading: false })),
    );
    return () => abort.abort();
  }, [...deps, round]);
  useEffect(() => onResync(reload), []);
  return { ...state, reload, set: (value) => setState({ value, error: null, isLoading: false }) };
}
