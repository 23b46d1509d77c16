// Doing something for a person, and saying how it went.
import { Problem } from "./api.js";
import { Button, Dialog, toast } from "./ui.js";
import { html } from "./html.js";

/** Why something failed, in words for people. @param {unknown} error */
export const wordsOf = (error) => (error instanceof Problem ? error.detail : error instanceof Error ? error.message : String(error));

/**
 * Does it and says so; says why if it failed.
 * @param {() => Promise<unknown>} doing
 * @param {string} said what to say when it is done
 * @returns {Promise<boolean>} whether it is done
 */
export async function act(doing, said) {
  try {
    await doing();
    toast(said);
    return true;
  } catch (error) {
    toast(wordsOf(error), "error");
    return false;
  }
}

/**
 * Asks before something that cannot be undone.
 * @param {{ title: string, yes: string, no?: string, onYes: () => void, onNo: () => void, children: any }} props
 */
export const Confirm = ({ title, yes, no = "Keep it", onYes, onNo, children }) => html`<${Dialog} title=${title} onClose=${onNo}>
  <p>${children}</p>
  <div class="dialog-actions"><${Button} onClick=${onNo}>${no}<//><${Button} kind="danger" onClick=${onYes}>${yes}<//></div>
<//>`;
