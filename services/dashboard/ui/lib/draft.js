// Text that a person has typed and not sent yet. It outlives a reload, a lost session and a lost race.
import { useState } from "preact/hooks";

/**
 * @param {string} key
 * @returns {[string, (text: string) => void, () => void]} the text, how to change it, how to forget it
 */
export function useDraft(key) {
  const name = `draft:${key}`;
  const [text, setText] = useState(() => sessionStorage.getItem(name) ?? "");
  const change = (/** @type {string} */ text) => {
    setText(text);
    if (text) sessionStorage.setItem(name, text);
    else sessionStorage.removeItem(name);
  };
  return [text, change, () => change("")];
}
