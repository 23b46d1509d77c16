// What the server says of itself, its log, rules, keys and targets, as the pages read it. The fields mean what they mean
// in /api/openapi.json. Times are epoch seconds.

export interface Replica {
  address: string;
  status: string;
  partitions: number | null;
  lag_seconds: number | null;
  idle_seconds: number | null;
}

export interface Role {
  role: string;
  status: string;
  replicas: Replica[];
}

export interface System {
  healthy: boolean;
  roles: Role[];
  /** The store that does not answer, in words. */
  stores: string | null;
  backends: { bus: string; workflow: string; vitals: string };
  /** Summed over the replicas since they started; null when none answers. */
  ingestion: {
    requests: number;
    spans_accepted: number;
    spans_refused: number;
    executions: number;
    open_traces: number;
    late_executions: number;
    silent_seconds: number | null;
  } | null;
  blind: import("./state.js").Blind;
  /** Seconds since the server started. */
  runtime: number;
  version: string;
}

export interface LogRow {
  sequence: number;
  type: string;
  agent_id: string | null;
  actor: string;
  outcome: "done" | "refused";
  timestamp: number;
  reason: string | null;
  payload: Record<string, unknown> | null;
  /** False for the moment until a new row has its hash. */
  chained: boolean;
  hash: string | null;
}

export interface Memory {
  agent_id: string;
  diagnosis_type: string;
  action: string;
  successes: number;
  failures: number;
  last_at: number | null;
  pin: "prefer" | "avoid" | null;
}

export interface PolicyView {
  settings: Record<string, unknown>;
  /** A sentence for each matter. */
  words: string[];
}

export interface Rule {
  name: string;
  whom: string;
  set: Record<string, unknown>;
  effective: PolicyView;
}

export interface Rules {
  defaults: PolicyView;
  rules: Rule[];
}

export interface Key {
  id: string;
  name: string;
  role: string;
  runs: string[];
  state: "active" | "expired" | "revoked";
  created_at: number;
  created_by: string;
  last_used_at: number | null;
  expires_at: number | null;
  revoked_by: string | null;
}

export interface Target {
  name: string;
  kind: string;
  state: string;
  waiting: number;
  dead: number;
  delivered: number;
  lag_seconds: number | null;
  last_delivered_at: number | null;
  last_error: { at: number; text: string } | null;
}

export interface DeadLetter {
  id: string;
  target: string;
  agent_id: string;
  case_id: string;
  text: string;
  at: number;
  attempts: number;
  error: string;
}
