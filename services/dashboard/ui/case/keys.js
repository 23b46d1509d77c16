// The inbox by keyboard. Keys never do anything while somebody types.
import { html, useEffect, useRef } from "../lib/html.js";
import { Dialog } from "../lib/ui.js";

/** @type {[string, string][]} */
export const KEYS = [
  ["j", "next case"],
  ["k", "previous case"],
  ["x", "select the case, or not"],
  ["a", "approve healing"],
  ["r", "reject healing"],
  ["h", "heal now (rejected cases)"],
  ["e", "release as it is"],
  ["o", "open the whole case"],
  ["/", "search"],
  ["?", "show these keys"],
];

/** Whether what has the focus takes keys itself. @param {EventTarget | null} target */
function takesKeys(target) {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target.closest("dialog")) return true;
  if (target instanceof HTMLInputElement) return !["checkbox", "radio", "button", "submit"].includes(target.type);
  return ["TEXTAREA", "SELECT"].includes(target.tagName);
}

/** Calls back for the keys above. @param {(key: string) => void} act */
export function useKeys(act) {
  const latest = useRef(act);
  latest.current = act;
  useEffect(() => {
    const listen = (/** @type {KeyboardEvent} */ event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented) return;
      if (takesKeys(event.target) || document.querySelector("dialog[open]")) return;
      if (!KEYS.some(([key]) => key === event.key)) return;
      event.preventDefault();
      latest.current(event.key);
    };
    document.addEventListener("keydown", listen);
    return () => document.removeEventListener("keydown", listen);
  }, []);
}

/** @param {{ onClose: () => void }} props */
export const KeysHelp = ({ onClose }) => html`<${Dialog} title="Keys" onClose=${onClose}>
  <dl class="facts">${KEYS.map(([key, what]) => html`<dt key=${key}><kbd>${key}</kbd></dt><dd>${what}</dd>`)}<dt><kbd>Ctrl</kbd>+<kbd>Enter</kbd></dt><dd>send the decision that is open</dd><dt><kbd>Esc</kbd></dt><dd>go back; what was typed is kept</dd></dl>
<//>`;
