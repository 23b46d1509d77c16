// What the server says of cases and agents, as the pages about them read it. The fields mean what they mean in
// /api/openapi.json. Times are epoch seconds.

export type CaseState =
  | "awaiting_approval"
  | "rejected"
  | "heal_queued"
  | "healing"
  | "probation"
  | "healed"
  | "released";

export type Verb = "approve" | "reject" | "heal_now" | "release";

export type Metric = "latency" | "tokens" | "tools";

/** What is true in a state; which fields are there depends on the state. */
export interface StateDetails {
  since?: number;
  at?: number;
  reason?: string;
  by?: string;
  escalates_at?: number;
  escalations?: number;
  trigger?: string;
  not_before?: number;
  action?: string | null;
}

export interface Lever {
  lever: string;
  wanted: "contained" | "probation" | "free";
  status: "requested" | "confirmed" | "failed" | "unsupported";
  attempts: number;
  detail: string;
  at: number | null;
}

export interface Quarantine {
  phase:
    | "not_wanted"
    | "requested"
    | "partial"
    | "confirmed"
    | "breached"
    | "probation"
    | "releasing"
    | "released";
  since: number;
  breaches: number;
  levers: Lever[];
}

export interface Attempt {
  healing_id: string;
  action: string;
  outcome: "succeeded" | "failed" | "unsupported" | "unproven";
  detail: string;
  at: number;
}

export interface FirstApproval {
  by: string;
  via: string;
  decision: Verb;
  reason: string;
  at: number;
  expires_at: number;
}

export interface Decision {
  decision: Verb;
  by: string;
  via: string;
  reason: string;
  at: number;
  first: FirstApproval | null;
}

/** A case as lists and events have it. */
export interface Case {
  case_id: string;
  run_id: string;
  agent_id: string;
  agent_type: string | null;
  version: number;
  state: CaseState;
  state_details: StateDetails;
  open: boolean;
  severity: number;
  max_deviation: number | null;
  evidence_score: number | null;
  anomalies: string[];
  deviations: Record<string, number>;
  diagnosis: string;
  reasoning: string;
  quarantine: Quarantine;
  attempts: Attempt[];
  last_decision: Decision | null;
  needs_second_person: boolean;
  first_approval: FirstApproval | null;
  opened_at: number;
  updated_at: number;
}

export interface Entry {
  at: number;
  kind: string;
  actor: string;
  text: string;
  count: number;
}

export interface Hypothesis {
  diagnosis: string;
  confidence: number;
  because: string;
}

export interface Evidence {
  execution_id: string;
  trace_id: string | null;
  timestamp: number;
  latency_ms: number;
  token_count: number | null;
  tool_calls: number | null;
  retries: number | null;
  success: boolean;
}

export interface WindowMetric {
  average: number | null;
  mean: number | null;
  stddev: number | null;
}

export interface Window {
  executions: number;
  window_seconds: number;
  retry_share: number | null;
  failure_share: number | null;
  metrics: Record<Metric, WindowMetric>;
}

export interface Plan {
  steps: string[];
  skipped: { action: string; because: string }[];
}

export interface Others {
  count: number;
  agents: string[];
}

export interface Affected {
  agent_id: string;
  agent_type: string | null;
  namespace: string | null;
  workload: Record<string, string>;
  mcp_servers: string[];
  same_type: Others;
  same_mcp_server: Others;
}

export interface Probation {
  seen: number;
  needed: number;
  since: number;
  enough_at: number;
  silent_until: number;
}

/** A case in full. */
export interface WholeCase extends Case {
  timeline: Entry[];
  hypotheses: Hypothesis[];
  ruled_out: { diagnosis: string; because: string }[];
  evidence: Evidence[];
  window: Window;
  plan: Plan | null;
  expires_at: number | null;
  next: string;
  affected: Affected | null;
  probation: Probation | null;
}

export interface Band {
  metric: Metric;
  samples: number;
  mean: number;
  stddev: number;
  low: number;
  high: number;
}

export interface Vitals {
  timestamp: number;
  latency_ms: number;
  token_count: number;
  tool_calls: number;
  retries: number;
  success: boolean;
  model: string;
  execution_id: string;
  trace_id: string | null;
  completeness: string;
  unknown: string[];
}

export interface Healing {
  agent_id: string;
  started_at: number;
  ended_at: number | null;
  diagnosis_type: string;
  action: string;
  trigger: string;
  outcome: string;
  success: boolean | null;
  detail: string;
  healing_id: string | null;
  case_id: string | null;
  source: "native" | "posted";
}

export interface Memory {
  agent_id: string;
  diagnosis_type: string;
  action: string;
  successes: number;
  failures: number;
  last_at: number;
  pin: "prefer" | "avoid" | null;
}

export interface Agent {
  agent_id: string;
  type: string;
  model: string | null;
  mcp_servers: string[];
  status: "healthy" | "infected" | "quarantined";
  infected: boolean;
  diagnosis: string | null;
  executions: number;
  telemetry: "live" | "silent" | "gone" | null;
  silent_seconds: number | null;
  suspect: boolean;
  evidence: number | null;
  severity: number;
  anomalies: string[];
  deviations: Record<string, number>;
  case_id: string | null;
  case_state: CaseState | null;
  quarantine_phase: string | null;
  baseline: { state: BaselineState; samples: number; samples_min: number; version?: AgentVersion };
  latest_metrics: { latency: number; tokens: number | null; tools: number | null } | null;
  first_seen_at: number | null;
  last_seen_at: number | null;
}

export type BaselineState = "learning" | "active" | "stale" | "suspect";

/** A version of an agent, or of its baseline where a person has set that. */
export interface AgentVersion {
  epoch: number;
  since: number;
  changed: string[];
  origin: "seen" | "reset" | "pinned" | "imported" | "accepted";
}

export interface Moments {
  count: number;
  mean: number;
  stddev: number;
}

/** What is normal for an agent. */
export interface Baseline {
  agent_id: string;
  state: BaselineState;
  is_frozen: boolean;
  samples: number;
  metrics: { latency: Moments; tokens: Moments; tools: Moments };
  reference: string | null;
  updated_at: number;
  version: AgentVersion | null;
}

/** An agent in full. */
export interface WholeAgent extends Agent {
  vitals: Vitals[];
  band: Band[];
  threshold_stddev: number;
  cases: Case[];
  healings: Healing[];
  memory: Memory[];
}

export interface Point {
  at: number;
  count: number;
  latency: number | null;
  tokens: number | null;
  tools: number | null;
  retries: number | null;
  failures: number;
}

export interface CaseSpan {
  case_id: string;
  opened_at: number;
  closed_at: number | null;
  severity: number;
  diagnosis: string;
  state: string;
}

export interface Anomaly {
  case_id: string;
  execution_id: string;
  trace_id: string | null;
  at: number;
  latency: number;
  tokens: number | null;
  tools: number | null;
  retries: number | null;
  success: boolean;
}

export interface Change {
  at: number;
  kind: "model" | "version";
  from: string;
  to: string;
}

/** An agent's vitals over time. */
export interface Series {
  from: number;
  to: number;
  bucket_seconds: number;
  points: Point[];
  truncated: boolean;
  executions: Vitals[];
  band: Band[];
  threshold_stddev: number;
  cases: CaseSpan[];
  anomalies: Anomaly[];
  changes: Change[];
}

export interface LogRow {
  sequence: number;
  type: string;
  agent_id: string | null;
  actor: string;
  outcome: string;
  timestamp: number;
  reason: string | null;
  payload: Record<string, unknown>;
}
