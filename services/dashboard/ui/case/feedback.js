// What a person found out afterwards: whether the alarm and the diagnosis were right.
import { html, useState } from "../lib/html.js";
import { post } from "../lib/api.js";
import { useDraft } from "../lib/draft.js";
import { may } from "../lib/session.js";
import { Button, Field, toast } from "../lib/ui.js";
import { DIAGNOSES, say } from "../lib/words.js";
import { REASON_MAX } from "./decide.js";

/** @type {[string, string][]} */
const CAUSES = [
  ["confirmed", "The alarm and the diagnosis were right"],
  ["wrong_diagnosis", "It was ill, but of something else"],
  ["false_positive", "It was not ill: false alarm"],
];

/** @param {{ one: import("./shapes").Case }} props */
export function Feedback({ one }) {
  const [cause, setCause] = useState("");
  const [notes, setNotes, forget] = useDraft(`feedback:${one.case_id}`);
  const [isBusy, setBusy] = useState(false);
  if (!may("operator")) return null;
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    setBusy(true);
    try {
      await post("/api/feedback", { agent_id: one.agent_id, actual_cause: cause, notes: notes.trim(), case_id: one.case_id, diagnosis_type: one.diagnosis });
      forget();
      setCause("");
      toast(`Recorded what was found out about ${one.agent_id}.`);
    } catch (error) {
      toast(`${/** @type {any} */ (error).detail ?? String(error)} Your text is kept.`, "error");
    }
    setBusy(false);
  };
  return html`<details class="panel"><summary><h2 class="inline">Was this right?</h2></summary>
    <form class="stack" onSubmit=${submit}>
      <p class="muted">Said to be: ${say(DIAGNOSES, one.diagnosis)}. What you found out is recorded for tuning; it changes nothing about this case.</p>
      <fieldset class="choices"><legend class="hidden">What it really was</legend>${CAUSES.map(([value, label]) => html`<label key=${value}><input type="radio" name="cause" value=${value} checked=${cause === value} onChange=${() => setCause(value)} />${label}</label>`)}</fieldset>
      <${Field} label="Notes">${(/** @type {string} */ id) => html`<textarea id=${id} maxlength=${REASON_MAX} value=${notes} onInput=${(/** @type {any} */ event) => setNotes(event.target.value)}></textarea>`}<//>
      <div><${Button} type="submit" disabled=${!cause} busy=${isBusy}>Record<//></div>
    </form>
  </details>`;
}
