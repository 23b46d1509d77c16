// What a case says, in sentences: what moved and how far, what a decision leads to, what happened.
import { ago, count, decimal, measure, span, time } from "../lib/format.js";
import { ACTIONS, DECISIONS, METRICS, say } from "../lib/words.js";

/**
 * @typedef {import("./shapes").Case} Case
 * @typedef {import("./shapes").WholeCase} WholeCase
 * @typedef {import("./shapes").Window} Window
 * @typedef {import("./shapes").Verb} Verb
 */

/** Which metric an anomaly is about. @type {Record<string, string>} */
const METRIC_OF = { latency_spike: "latency", token_spike: "tokens", tool_explosion: "tools", high_retry_rate: "retry_rate" };

/** Subjects of sentences. @type {Record<string, [string, string]>} what, and whether it is one or many */
const SUBJECTS = { latency: ["latency", "is"], tokens: ["token use", "is"], tools: ["the number of tool calls", "is"] };

/** Metrics that departed, the farthest first. @param {Case} one */
export function departed(one) {
  const metrics = one.anomalies.flatMap((anomaly) => METRIC_OF[anomaly] ?? []);
  return metrics.sort((a, b) => (one.deviations[b] ?? 0) - (one.deviations[a] ?? 0));
}

/** @param {string} text */
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** @param {number} deviation */
function deviations(deviation) {
  const text = decimal(deviation >= 10 ? Math.round(deviation) : deviation);
  return `${text} standard deviation${text === "1" ? "" : "s"}`;
}

/**
 * How far a metric is from normal.
 * @param {Case} one
 * @param {string} metric
 * @param {Window | undefined} window
 */
function departure(one, metric, window) {
  if (metric === "retry_rate") {
    const share = window?.retry_share ?? (one.deviations.retry_rate ?? 0) / 10;
    return `${Math.round(share * 100)} % of the recent executions had to retry`;
  }
  const [what, verb] = SUBJECTS[metric] ?? [metric, "is"];
  const numbers = window?.metrics[/** @type {"latency"} */ (metric)];
  const far = deviations(one.deviations[metric] ?? 0);
  if (numbers?.average == null || numbers.mean == null) return `${what} ${verb} ${far} from normal`;
  const side = numbers.average >= numbers.mean ? "above" : "below";
  return `${what} ${verb} ${far} ${side} normal: ${amount(metric, numbers.average)} instead of ${amount(metric, numbers.mean)}`;
}

/** A value of a metric, with no more digits than anybody needs. @param {string} metric @param {number} value */
export const amount = (metric, value) => (metric === "tokens" && value >= 100 ? count(value) : measure(metric, value));

/** What moved and how far: the farthest in one sentence, the rest in another. @param {Case} one @param {Window} [window] @returns {[string, string]} */
export function headline(one, window) {
  const metrics = departed(one);
  const main = metrics[0];
  const said = one.anomalies.includes("platform_report") ? "the platform reported this agent as infected" : null;
  // The reasoning has what the platform said.
  if (main === undefined) return [`${capital(one.reasoning || said || "this agent was reported as infected")}.`, ""];
  const rest = [...(said ? [said] : []), ...metrics.slice(1).map((metric) => departure(one, metric, window))];
  return [`${capital(departure(one, main, window))}.`, rest.length > 0 ? `Besides, ${rest.join("; ")}.` : ""];
}

/** An action. @param {string} action */
export const actionName = (action) => say(ACTIONS, action);

/** Whether the agent is kept from acting, as far as levers have said. @param {Case} one */
export const isHeld = (one) => ["partial", "confirmed", "breached"].includes(one.quarantine.phase);

/** What stands of the containment, in a sentence. @param {Case} one */
export function containment(one) {
  const { phase, levers, breaches } = one.quarantine;
  const names = levers.map((lever) => lever.lever).join(", ");
  switch (phase) {
    case "not_wanted":
      return "Not contained: the agent goes on running.";
    case "requested":
      return `Containment was asked for (${names}); no lever has confirmed it yet, so the agent may still run.`;
    case "partial":
      return "Partly contained: some levers have confirmed, others have not.";
    case "confirmed":
      return "Contained: every lever has confirmed that the agent cannot act.";
    case "breached":
      if (breaches === 0) return "Breached: what contained the agent was taken away; the levers are asked again.";
      return `Breached: the agent executed ${breaches === 1 ? "once" : `${breaches} times`} after its containment was confirmed.`;
    case "probation":
      return "Runs under watch: it may act, and is contained again when it departs from normal.";
    case "releasing":
      return "Is being released; not every lever has confirmed yet.";
    case "released":
      return "Not contained any more: every lever has confirmed the release.";
  }
}

/** What can be decided in a state; see `domain/case/people.rs`. @param {Case} one @returns {Verb[]} */
export function verbs(one) {
  switch (one.state) {
    case "awaiting_approval":
      return ["approve", "reject", "release"];
    case "rejected":
      return ["heal_now", "release"];
    case "heal_queued":
    case "healing":
    case "probation":
      return ["release"];
    case "healed":
    case "released":
      return [];
  }
}

/** @type {Record<Verb, { label: string, doing: string, path: string, key: string }>} */
export const VERBS = {
  approve: { label: "Approve healing", doing: "Approving", path: "approve", key: "a" },
  reject: { label: "Reject healing", doing: "Rejecting", path: "reject", key: "r" },
  heal_now: { label: "Heal now", doing: "Ordering", path: "heal-now", key: "h" },
  release: { label: "Release as it is", doing: "Releasing", path: "release", key: "e" },
};

/**
 * What a decision leads to, a sentence for each matter.
 * @param {Verb} verb
 * @param {Case} one
 * @param {import("./shapes").Plan | null | undefined} plan
 * @param {string} self who decides
 */
export function consequences(verb, one, plan, self) {
  /** @type {string[]} */
  const lines = [];
  const lets = verb !== "reject";
  const first = one.first_approval;
  if (lets && one.needs_second_person) {
    if (first && first.by !== self && isSameWish(first.decision, verb)) lines.push(`${first.by} ${DECISIONS[first.decision]} before you: your word completes it, and it takes effect at once.`);
    else lines.push("This case takes two people: yours is the first word, and nothing happens until somebody else says the same.");
  }
  switch (verb) {
    case "approve":
    case "heal_now":
      if (one.quarantine.phase === "not_wanted") lines.push("The agent is contained first.");
      if (plan?.steps.length) lines.push(`A healer tries, until one helps: ${plan.steps.map((step, i) => `${i + 1}. ${actionName(step)}`).join(", ")}.`);
      else if (plan) lines.push("No step is left on the ladder: the case will come back to wait for a person.");
      else lines.push("A healer takes the steps of the ladder, one after the other, until one helps.");
      lines.push("After each step the agent runs under watch: it is released when its executions are normal again, and contained again when they are not.");
      break;
    case "reject":
      lines.push(
        one.quarantine.phase === "not_wanted"
          ? "Nothing is healed. The agent is not contained and goes on running."
          : !isHeld(one)
            ? "Nothing is healed. Its containment goes on being asked for, until somebody orders to heal it now or releases it."
            : "Nothing is healed. The agent stays contained until somebody orders to heal it now or releases it.",
      );
      break;
    case "release":
      lines.push("The agent may act again as it is: nothing is healed, and the case ends.");
      if (one.state === "healing" || one.state === "probation") lines.push("The healing that is under way is given up.");
      lines.push("If it is still ill, a new case is opened.");
      break;
  }
  return lines;
}

/** Approve and heal now are the same wish. @param {Verb} a @param {Verb} b */
export const isSameWish = (a, b) => a === b || (a !== "release" && b !== "release" && a !== "reject" && b !== "reject");

/** Who decided, in a sentence. @param {import("./shapes").Decision} decision */
export function decided(decision) {
  const after = decision.first ? `, after ${decision.first.by}` : "";
  return `${decision.by} ${DECISIONS[decision.decision]}${after} at ${time(decision.at)}`;
}

/** What a person has to see again before deciding: all that matters to a decision. @param {Case} one */
export const gist = (one) => JSON.stringify([one.state, one.severity, one.diagnosis, one.quarantine.phase, one.first_approval, one.attempts.length]);

/** What has changed between two looks, in words. @param {Case} then @param {Case} now */
export function changes(then, now) {
  /** @type {string[]} */
  const lines = [];
  if (then.severity !== now.severity) lines.push(`severity is ${now.severity.toFixed(1)}, it was ${then.severity.toFixed(1)}`);
  if (then.diagnosis !== now.diagnosis) lines.push(`the diagnosis is ${now.diagnosis.replaceAll("_", " ")}, it was ${then.diagnosis.replaceAll("_", " ")}`);
  if (then.quarantine.phase !== now.quarantine.phase) lines.push(`containment: ${containment(now).toLowerCase().replace(/\.$/, "")}`);
  if (then.attempts.length !== now.attempts.length) lines.push("another healing step was tried");
  if (!then.first_approval && now.first_approval) lines.push(`${now.first_approval.by} ${DECISIONS[now.first_approval.decision]} as the first of two`);
  if (then.first_approval && !now.first_approval) lines.push("the first person's word no longer holds");
  return lines;
}

/** Names of metrics, with the unit that they are counted in. @param {string} metric */
export const metricName = (metric) => say(METRICS, metric);

/** How long a case has lasted. @param {Case} one @param {number} now milliseconds */
export function lasted(one, now) {
  return one.open ? `open for ${span(now / 1_000 - one.opened_at)}` : `took ${span(one.updated_at - one.opened_at)}, ended ${ago(one.updated_at, now)}`;
}
