// From where on an average is an anomaly, as the policy says it. Only for drawing: what is one, the server says.
import { signal } from "../lib/html.js";
import { get } from "../lib/api.js";

/** @typedef {{ threshold: number, retryShare: number }} Limits in standard deviations; share of executions with a retry */

/** @type {import("@preact/signals").Signal<any>} */
const policy = signal(null);
let isAsked = false;

/** Asks for the policy, once. */
export async function askLimits() {
  if (isAsked) return;
  isAsked = true;
  try {
    policy.value = await get("/api/policy");
  } catch {
    // The usual settings are a fair picture; the next page that needs them asks again.
    isAsked = false;
  }
}

/** @param {string} pattern with `*` for any run of characters @param {string} text */
function matches(pattern, text) {
  const parts = pattern.split("*").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`, "s").test(text);
}

/** What holds for the agent of a case: the first rule that matches, else the defaults. @param {import("./shapes").Case & { affected?: import("./shapes").Affected | null }} one @returns {Limits} */
export function limitsOf(one) {
  /** @type {[string, string | null | undefined][]} */
  const facts = [["run", one.run_id], ["agent", one.agent_id], ["agent_type", one.agent_type], ["namespace", one.affected?.namespace]];
  const rule = policy.value?.rules.find((/** @type {any} */ rule) =>
    facts.every(([name, value]) => rule.match[name] == null || (value != null && matches(rule.match[name], value))),
  );
  const settings = (rule?.effective ?? policy.value?.defaults)?.settings;
  return { threshold: settings?.threshold_stddev ?? 2.5, retryShare: settings?.high_retry_share ?? 0.3 };
}
